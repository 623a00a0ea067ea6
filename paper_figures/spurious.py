"""Worst-group error against the strength of a spurious correlation, for every arm."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from opal.checks import Check

STUDIES = ("spurious",)
CAPTION = (
    "Worst-group error (left) and excess balanced risk (right) against the strength of the "
    "spurious correlation at a fixed number of real rows: points are simulations with two standard "
    "errors, lines are theory with nothing fitted; filling the small groups removes the dependence "
    "on the attribute as far as the generator's bias and the scarcity of seeds allow."
)
# Rows of the smallest group from which theory is held against simulation.
LARGE = 100


def draw(records: pd.DataFrame) -> Figure:
    """Worst-group error and excess risk, one panel each."""
    from opal import plotting
    from paper_figures._panels import arms_against

    with plotting.paper_style():
        figure, _ = arms_against(
            records,
            "strength",
            xlabel="strength P(attribute = label)",
            metrics=("worst_error", "excess_balanced_risk"),
            ticks={"worst_error": (0.17, 0.2, 0.3, 0.4, 0.6)},
        )
    return figure


def checks(records: pd.DataFrame) -> list[Check]:
    """Theory of both metrics where groups are not small, and what must differ from it."""
    from opal.checks import at_least, within_standard_errors, z_threshold
    from opal.plotting import agreement

    columns = ("arm", "strength", "n_min")
    risk = agreement(records, "excess_balanced_risk", columns)
    error = agreement(records, "worst_error", columns)
    enough = min(LARGE, risk["n_min"].max())
    z_scores = [z for table in (risk, error) for z in table.loc[table["n_min"] >= enough, "z"]]
    raw = error[error["arm"] == "raw"].set_index("strength")
    weighted = error[error["arm"] == "weighting"].set_index("strength")["predicted"]
    mistaken = ((raw["simulated"] - weighted) / raw["std_error"]).abs().max()
    return [
        within_standard_errors(f"theory at groups of ≥ {LARGE} rows", z_scores),
        at_least(
            "plain risk is not weighting",
            float(mistaken),
            z_threshold(len(raw)),
            "largest |z| of the raw fit against the theory of weighting, which must fail",
        ),
    ]
