"""Exact errors where dimensions are as many as rows, for synthetic rows of three qualities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._panels import study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from opal.checks import Check

STUDIES = ("high_dim",)
SECONDS = 59  # wall_time_s of the cells, about, at --preset quick --workers 2
FITS_COLUMN = True
CAPTION = (
    "Balanced error against the weight α of augmented rows when rows and dimensions are "
    "comparable (majority, minority and augmented rows for each dimension: 1, 0.1 and 1), for "
    "synthetic rows that are exact, have means rotated by 45 degrees, or are shrunk to 0.3 of the "
    "true variance: lines are the exact limit with nothing fitted, points are training on drawn "
    "rows with two standard errors, stars mark the α of least error, found by the limit's gradient."
)
TITLES = {"squared": "ridge regression", "logistic": "logistic regression"}


def draw(records: pd.DataFrame) -> Figure:
    """A panel for each loss, a curve for each quality."""
    from opal import plotting

    rows = records[(records["part"] == "curves") & (records["metric"] == "balanced_error")]
    with plotting.paper_style():
        figure, axes = plotting.panels(2, size=(6.4, 2.7), height=2.2, sharex=True, sharey=True)
        for panel, (loss, title) in zip(axes, TITLES.items(), strict=True):
            qualities = [*dict.fromkeys(("exact", "rotated", "shrunk", *rows["quality"].dropna()))]
            for quality, look in plotting.looks(qualities).items():
                curve = rows[(rows["loss"] == loss) & (rows["quality"] == quality)]
                plotting.line(panel, curve[curve["source"] == "theory"], "alpha", look)
                simulated = curve[curve["source"] == "simulation"]
                grid, best = simulated[~simulated["is_optimum"]], simulated[simulated["is_optimum"]]
                plotting.points(panel, grid, "alpha", look, label=quality)
                plotting.points(panel, best, "alpha", look._replace(marker="*", size=10))
            panel.set(title=title, xlim=(0, 1))
        (star,) = axes[1].plot([], [], "k*", markersize=9)
        handles, names = axes[0].get_legend_handles_labels()
        plotting.legend(figure, [*handles, star], [*names, "α*"])
        plotting.label(axes, x="weight α of augmented rows", y="balanced error")
    return figure


def checks(records: pd.DataFrame) -> list[Check]:
    """Theory along the curves, a control, and the study's own checks on random designs."""
    from opal.checks import control, within_standard_errors
    from opal.plotting import agreement

    curves = records[records["part"] == "curves"]
    curves = curves.assign(alpha=curves["alpha"].round(9)).drop_duplicates(
        ["source", "loss", "quality", "alpha", "metric", "group"]
    )
    on = ("loss", "quality", "alpha")
    table = agreement(curves, "balanced_error", on)
    return [
        within_standard_errors("theory along the curves", table["z"]),
        control(
            "rotation is not ignored",
            table[table["quality"] == "rotated"],
            table[table["quality"] == "exact"],
            ("loss", "alpha"),
            "the rotated curves against theory of exact rows, which must fail",
        ),
        *study("high_dim").checks(records),
    ]
