"""Excess balanced risk against minority size, for every way to fill the minority."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._panels import arms_against

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from opal.checks import Check

STUDIES = ("imbalance",)
SECONDS = 66  # wall_time_s of the cells, about, at --preset quick --workers 2
FITS_COLUMN = True
CAPTION = (
    "Excess balanced risk (first panel) and worst-group error (second) of a logistic rule against "
    "the size of the minority, the majority fixed: points are simulations with two standard "
    "errors, lines are theory with nothing fitted (none is known for SMOTE)."
)
# Rows of the minority from which theory is held against simulation: it leaves out the order 1/n²
# without a factor p (10,000 replicates show 4 % of weighting's excess at 100 rows, and nothing at
# 250), and for a Gaussian fit all but the order 1/n.
LARGE = 250


def caption(records: pd.DataFrame) -> str:
    """What the records say, in numbers of the smallest minority and of the worst line."""
    n_min = records["n_min"].min()
    simulated = records[(records["group"] == "all") & (records["source"] == "simulation")]
    few = simulated[simulated["n_min"] == n_min]
    value = few.set_index(["arm", "metric"])["value"]
    error = few.set_index(["arm", "metric"])["std_error"]
    paired = "excess_balanced_risk minus weighting"
    gaps = {
        arm: f"{value[arm, paired]:+.3f} ± {error[arm, paired]:.3f}"
        for arm in ("Gaussian fit", "SMOTE", "oracle")
    }
    return (
        f"{CAPTION} With {n_min} minority rows a Gaussian fitted to the seeds differs from "
        f"weighting by {gaps['Gaussian fit']}, SMOTE by {gaps['SMOTE']} and an unbiased generator "
        f"by {gaps['oracle']}; duplication is weighting. {_of_lines(records)}"
    )


def _of_lines(records: pd.DataFrame) -> str:
    """Where lines end, and how far they are from the points at most."""
    from opal.plotting import agreement

    tables = {
        name: agreement(records, metric, ("arm", "n_min"))
        for metric, name in (
            ("excess_balanced_risk", "excess"),
            ("worst_error", "worst-group error"),
        )
    }
    known = {name: table.dropna(subset=["predicted"]) for name, table in tables.items()}
    said = []
    for name, table in known.items():
        off = (table["predicted"] / table["simulated"] - 1).abs()
        worst = table.loc[off.idxmax()]
        said.append(f"{off.max():.0%} of the {name} ({worst['arm']}, {worst['n_min']} rows)")
    separable = records.loc[records["metric"] == "separated", "value"].max()
    points, solved = len(tables["excess"]), len(known["excess"])
    some = f"up to {separable:.1%} at a point are" if separable else "none are"
    return (
        f"Lines miss by up to {' and '.join(said)}; {points - solved} of {points} points have "
        f"none, as their equations have no solution. Of the replicates {some} separable."
    )


def draw(records: pd.DataFrame) -> Figure:
    """Excess risk and worst-group error, one panel each."""
    from opal import plotting

    with plotting.paper_style():
        figure, _ = arms_against(
            records,
            "n_min",
            xlabel="minority rows $n_\\mathrm{min}$",
            metrics=("excess_balanced_risk", "worst_error"),
            ticks={"worst_error": (0.15, 0.2, 0.3, 0.5, 0.9)},
            xscale="log",
        )
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
