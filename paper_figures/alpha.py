"""Excess risk against the weight of augmented samples, with the optimum that theory predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from opal.checks import Check

STUDIES = ("alpha",)
SECONDS = 48  # wall_time_s of the cells, about, at --preset quick --workers 2
FITS_COLUMN = True
CAPTION = (
    "Excess balanced risk against the weight α of augmented samples, for generators shifted by "
    "growing fractions of a standard deviation: points are simulations with two standard errors, "
    "lines are theory with nothing fitted, and stars mark the predicted optimum α*."
)
SMALL_BIAS = 0.2  # shift in standard deviations up to which α* is meant to be near optimal


def draw(records: pd.DataFrame) -> Figure:
    """One curve for each bias."""
    from opal import plotting

    excess = records[records["metric"] == "excess_balanced_risk"]
    with plotting.paper_style():
        figure, (axes,) = plotting.panels(1, size=(4.6, 3.0), height=3.2)
        for shift, look in plotting.looks(sorted(excess["shift"].unique())).items():
            rows = excess[excess["shift"] == shift]
            simulated = rows[rows["source"] == "simulation"]
            plotting.line(axes, rows[rows["source"] == "theory"], "alpha", look)
            grid = simulated[~simulated["is_optimum"]]
            plotting.points(axes, grid, "alpha", look, label=f"{shift:g}")
            best = simulated[simulated["is_optimum"]]
            axes.plot(
                best["alpha"],
                best["value"],
                marker="*",
                markersize=11,
                color=look.colour,
                markeredgecolor="black",
                markeredgewidth=0.6,
                linestyle="none",
                zorder=4,
            )
        axes.set(
            yscale="log",
            xlabel="weight α of the augmented samples",
            ylabel="excess balanced risk",
        )
        (star,) = axes.plot([], [], "*", color="white", markeredgecolor="black", markersize=9)
        handles, names = axes.get_legend_handles_labels()
        plotting.legend(
            figure, [*handles, star], [*names, "α*"], title="shift of the\ngenerator (SD)"
        )
    return figure


def caption(records: pd.DataFrame) -> str:
    """What is shown, and of what: dimension, rows and replicates."""
    run = records[records["source"] == "simulation"].iloc[0]
    dim = run["setting"].rpartition("d=")[2].rstrip(")")
    return (
        f"{CAPTION} Two Gaussian classes in d = {dim} dimensions of {run['n_max']:,} and "
        f"{run['n_min']:,} real rows, N = {run['n_augmented']:,} augmented rows of each, "
        f"{run['n_replicates']:,} replicates at a point."
    )


def checks(records: pd.DataFrame) -> list[Check]:
    """Theory along the curves, α* near the best α at small bias, and two wrong theories."""
    from opal.checks import at_most, control, within_standard_errors
    from opal.plotting import agreement

    rounded = records.assign(alpha=records["alpha"].round(9))
    table = agreement(rounded, "excess_balanced_risk", ("shift", "alpha"))
    return [
        within_standard_errors("theory along the curves", table["z"]),
        control(
            "bias is not ignored",
            table[table["shift"] == table["shift"].max()],
            table[table["shift"] == table["shift"].min()],
            ("alpha",),
            "the most biased curve against unbiased theory, which must fail",
        ),
        at_most(
            "α* is near the best α",
            _regret(records),
            1.02,
            f"largest simulated excess at α* over the best on the grid, shifts ≤ {SMALL_BIAS}",
        ),
    ]


def _regret(records: pd.DataFrame) -> pd.Series:
    """Ratio, for each small bias, of the excess at α* to the least on the grid."""
    excess = records[
        (records["metric"] == "excess_balanced_risk")
        & (records["source"] == "simulation")
        & (records["shift"] <= SMALL_BIAS)
    ]
    best = excess.groupby("shift")["value"].min()
    chosen = excess[excess["is_optimum"]].groupby("shift")["value"].first()
    return chosen / best
