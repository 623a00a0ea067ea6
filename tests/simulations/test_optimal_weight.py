"""Optima against grids: what is near the best, and whether that tells anything."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from simulations import optimal_weight as study
from simulations._config import DrawnDesign

NEAR = "predicted correction is near the best"
CONTROL = "control: correction at an end of the grid"


def records(curvature: float, optimum: float) -> pd.DataFrame:
    """Four designs whose excess is a parabola with its least value at λ = 0.4."""
    grid = np.linspace(0, 1, 11)
    at = np.append(grid, optimum)
    one = pd.DataFrame({"correction": at, "value": 1 + curvature * (at - 0.4) ** 2})
    one["is_optimum"] = np.arange(len(at)) == len(grid)
    one = one.assign(question="correction", std_error=0.01, dim=2, n_min=9, n_max=90)
    one = one.assign(n_augmented=9, alpha=0.5, n_oversampled=0)
    return pd.concat([one.assign(design=i) for i in range(4)], ignore_index=True)


def verdicts(table: pd.DataFrame) -> dict[str, bool]:
    return {check.name: check.passed for check in study.checks(table)}


def test_an_optimum_is_near_the_best_and_ends_are_not() -> None:
    assert verdicts(records(1.0, 0.45)) == {NEAR: True, CONTROL: True}
    assert verdicts(records(1.0, 0.6)) == {NEAR: False, CONTROL: True}


def test_a_flat_curve_tells_nothing() -> None:
    assert verdicts(records(0.01, 0.9)) == {NEAR: True, CONTROL: False}


@pytest.mark.slow
def test_designs_for_a_correction_have_one_to_make() -> None:
    """Some, with errors that classes share, should be corrected by nothing, some by most of it."""
    from opal.theory.optimal import best_weights

    found = []
    for index in range(8):
        setting, design = study.draw_design(DrawnDesign(study.Config(), index), alike=True)
        found.append(best_weights(setting, design, alpha=0.5).correction)
    assert min(found) < 0.1
    assert max(found) > 0.5
