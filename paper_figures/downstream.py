"""A regression on labels of a classifier: how far off it is, and what a few human labels repair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ._panels import study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from opal.checks import Check
    from opal.plotting import Look

STUDIES = ("downstream",)
STUDY = study("downstream")
SECONDS = 70  # wall_time_s of the cells, about, at --preset quick --workers 2
FITS_COLUMN = True
CAPTION = (
    "A regression on the labels of a classifier that calls some negatives positive (horizontally "
    "in a) and twice as many positives negative. a: slopes over the true ones where its labels are "
    "taken for true, as the outcome of a logistic regression or as a covariate of a linear one; "
    "points are means of simulations with two standard errors, lines are theory. b: coverage of "
    "95 % intervals of these slopes by method, the least over slopes and roles, against the number "
    "of rows that people label; all with the most errors of a. c: width over that of human labels "
    "alone, the median over slopes and roles; naive intervals are narrow and wrong."
)


def draw(records: pd.DataFrame) -> Figure:
    """Bias, coverage and width."""
    from opal import plotting
    from opal.bridge.downstream import HUMAN, NAIVE

    table = STUDY.comparison(records)
    table = table[table["term"] != "intercept"]
    worst = table[table["errors"] == table["errors"].max()]
    naive = table[table["arm"] == NAIVE].drop_duplicates(["role", "errors", "term"])
    slopes = naive.assign(name=naive["term"] + " (" + naive["role"] + ")")
    looks = plotting.looks([*table["arm"].unique(), *slopes["name"].unique()])
    with plotting.paper_style():
        figure, (first, second, third) = plotting.panels(3, size=(7.0, 2.5), height=2.1)
        _bias(first, slopes, looks)
        for arm, part in worst.groupby("arm", sort=False):
            by = part.groupby("n_real")
            look = looks[arm]
            style = {"marker": look.marker, "color": look.colour, "linestyle": look.dashes}
            coverage = by["coverage"].min()
            second.plot(coverage.index, coverage, label=arm, **style)
            if arm != HUMAN:
                alone = worst[worst["arm"] == HUMAN]
                both = part.merge(alone, on=["role", "n_real", "term"], suffixes=("", "_alone"))
                ratio = both["width"] / both["width_alone"]
                third.plot(coverage.index, ratio.groupby(both["n_real"]).median(), **style)
        second.axhline(0.95, color="0.6", linewidth=0.8, zorder=0)
        second.set(ylim=(0, 1.02), ylabel="coverage", title="b")
        third.set(ylim=(0, 1.1), ylabel="width over human labels'", title="c")
        for panel in (second, third):
            panel.set(xlabel="human labels", xscale="log")
            ticks = sorted(table["n_real"].unique())
            panel.set_xticks(ticks, [str(n) for n in ticks])
            panel.minorticks_off()
        plotting.legend(figure, *plotting.entries([first, second]), ncols=4)
    return figure


def _bias(panel: Axes, slopes: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    """Naive slopes over true ones against the rate of false positives."""
    for name, part in slopes.groupby("name", sort=False):
        look, rate = looks[name], part["errors"]
        true = STUDY.true_coefficient(*part[["role", "term"]].iloc[0])
        panel.plot(rate, part["predicted"] / true, color=look.colour, linestyle=look.dashes)
        panel.errorbar(
            rate,
            part["estimate"] / true,
            yerr=2 * part["std_error"] / abs(true),
            fmt=look.marker,
            color=look.colour,
            markerfacecolor="white",
            label=name,
        )
    panel.axhline(1, color="0.6", linewidth=0.8, zorder=0)
    panel.set(xlabel="false positives", ylabel="naive slope over true", title="a")


def checks(records: pd.DataFrame) -> list[Check]:
    """Those of the study."""
    return STUDY.checks(records)
