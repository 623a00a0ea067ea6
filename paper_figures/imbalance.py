"""Excess balanced risk against minority size, for every way to fill the minority."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from opal.checks import Check

STUDIES = ("imbalance",)
SECONDS = 53  # wall_time_s of the cells, about, at --preset quick --workers 2
CAPTION = (
    "Excess balanced risk (left) and worst-group error (right) of a logistic rule against the size "
    "of the minority, the majority fixed: points are simulations with two standard errors, lines "
    "are theory with nothing fitted (none is known for SMOTE, nor where so few rows tend to be "
    "separable); synthetic rows that only rearrange the seeds do not beat weighting, an unbiased "
    "generator does, and a biased one has a floor."
)
# Rows of the minority from which theory is held against simulation: it leaves out the order 1/n²
# without a factor p, and for a Gaussian fit all but the order 1/n.
LARGE = 100


def draw(records: pd.DataFrame) -> Figure:
    """Excess risk and worst-group error, one panel each."""
    from opal import plotting

    from ._panels import arms_against

    with plotting.paper_style():
        figure, panels = arms_against(
            records,
            "n_min",
            xlabel="minority rows $n_{min}$",
            metrics=("excess_balanced_risk", "worst_error"),
            ticks={"worst_error": (0.15, 0.2, 0.3, 0.5, 0.9)},
        )
        for axes in panels:
            axes.set_xscale("log")
            sizes = sorted(records["n_min"].unique())
            axes.set_xticks(sizes, [str(n) for n in sizes])
            axes.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    return figure


def checks(records: pd.DataFrame) -> list[Check]:
    """Theory where the small group is not small, duplication as weighting, and a control."""
    from opal.checks import at_most, control, within_standard_errors
    from opal.plotting import agreement

    table = agreement(records, "excess_balanced_risk", ("arm", "n_min"))
    difference = records[
        (records["metric"] == "excess_balanced_risk minus weighting")
        & (records["arm"] == "duplication")
        & (records["n_max"] % records["n_min"] == 0)
    ]
    return [
        within_standard_errors(f"theory at n_min ≥ {LARGE}", table["z"][table["n_min"] >= LARGE]),
        control(
            "duplicates are not new draws",
            table[table["arm"] == "duplication"],
            table[table["arm"] == "oracle"],
            ("n_min",),
            "duplication against the theory of fresh draws, which must fail",
        ),
        at_most(
            "whole duplication is weighting",
            difference["value"].abs(),
            1e-6,
            "largest difference in excess risk where n_max is a multiple of n_min",
        ),
    ]
