"""Worst-group error against the strength of a spurious correlation, for every arm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._panels import arms_against

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from opal.checks import Check

STUDIES = ("spurious",)
SECONDS = 69  # wall_time_s of the cells, about, at --preset quick --workers 2
FITS_COLUMN = True
CAPTION = (
    "Worst-group error (first panel) and excess balanced risk (second) against the strength of "
    "the spurious correlation at a fixed number of real rows: points are simulations with two "
    "standard errors, lines are theory with nothing fitted; filling the small groups removes the "
    "dependence on the attribute as far as the generator's bias and the scarcity of seeds allow."
)
# Rows of the smallest group from which theory is held against simulation.
LARGE = 100


def draw(records: pd.DataFrame) -> Figure:
    """Worst-group error and excess risk, one panel each."""
    from opal import plotting

    with plotting.paper_style():
        figure, _ = arms_against(
            records,
            "strength",
            xlabel="strength P(attribute = label)",
            metrics=("worst_error", "excess_balanced_risk"),
            ticks={"worst_error": (0.17, 0.2, 0.3, 0.4, 0.6)},
            xscale="logit",  # strengths near 1 differ in the size of the small groups
        )
    return figure


def checks(records: pd.DataFrame) -> list[Check]:
    """Theory of both metrics where groups are not small, and what must differ from it."""
    from opal.checks import control, within_standard_errors
    from opal.plotting import agreement

    columns = ("arm", "strength", "n_min")
    risk = agreement(records, "excess_balanced_risk", columns)
    error = agreement(records, "worst_error", columns)
    z_scores = [z for table in (risk, error) for z in table.loc[table["n_min"] >= LARGE, "z"]]
    return [
        within_standard_errors(f"theory at groups of ≥ {LARGE} rows", z_scores),
        control(
            "plain risk is not weighting",
            error[error["arm"] == "raw"],
            error[error["arm"] == "weighting"],
            ("strength",),
            "worst error of the raw fit against the theory of weighting, which must fail",
        ),
    ]
