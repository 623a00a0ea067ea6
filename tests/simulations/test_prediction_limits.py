"""Checks of a prediction's own error tell right estimates from wrong ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from opal.cli import registry
from simulations import prediction_limits
from simulations._control_variates import _intercept

ERRORS = np.array([0.001, 0.002, 0.004, 0.006, 0.05, 0.1, 0.2, 0.4])  # of eight designs


def records(estimates: np.ndarray) -> pd.DataFrame:
    """Designs of an excess of one, simulated with errors, which are estimated."""
    metrics = {
        "simulation": {"excess_balanced_risk": 1 + ERRORS},
        "theory": {
            "excess_balanced_risk": np.ones(len(ERRORS)),
            "excess_neglected": estimates,
            "parameters_per_row": np.full(len(ERRORS), 0.01),
        },
    }
    rows = [
        (source, metric, design, value)
        for source, found in metrics.items()
        for metric, values in found.items()
        for design, value in enumerate(values)
    ]
    frame = pd.DataFrame(rows, columns=["source", "metric", "design", "value"])
    return frame.assign(group="all", std_error=1e-4, kind="near")


def passed(estimates: np.ndarray) -> list[bool]:
    return [check.passed for check in prediction_limits.checks(records(estimates))]


def test_right_estimates_pass() -> None:
    assert passed(1.1 * ERRORS) == [True, True, True, True]


@pytest.mark.parametrize(
    ("estimates", "failing"),
    [
        (ERRORS / 10, 0),  # too small
        (np.full(len(ERRORS), 0.01), 1),  # says nothing of those that are off
        (ERRORS + 0.03, 2),  # sounds the alarm for all
        (np.full(len(ERRORS), 1.0), 3),  # any estimate would cover
    ],
)
def test_wrong_estimates_fail(estimates: np.ndarray, failing: int) -> None:
    assert not passed(estimates)[failing]


def test_designs_without_a_prediction_are_flagged_and_not_judged() -> None:
    frame = records(1.1 * ERRORS)
    lost = (frame["source"] == "theory") & (frame["design"] == 7)
    frame.loc[lost & (frame["metric"] != "parameters_per_row"), "value"] = np.nan
    table = prediction_limits.comparison(frame)
    assert table.loc[7, "flagged"]
    assert not table.loc[7, ["off", "sound", "covered"]].any()


def test_what_is_known_is_taken_out_of_the_mean() -> None:
    rng = np.random.default_rng(0)
    known = rng.normal(size=(500, 2))
    values = 3 + known @ [1.0, -2.0] + 0.01 * rng.normal(size=500)
    mean, error = _intercept(values, known)
    assert abs(mean - 3) < 4 * error
    assert error < 0.001 < abs(values.mean() - 3)


def test_the_caption_of_imbalance_has_numbers_of_its_records() -> None:
    arms = {"weighting": 0.2, "Gaussian fit": 0.1, "SMOTE": 0.3, "oracle": 0.01}
    rows = [
        {"source": source, "arm": arm, "metric": metric, "value": value, "std_error": 0.01}
        for arm, excess in arms.items()
        for source, metric, value in (
            ("simulation", "excess_balanced_risk", excess),
            ("simulation", "excess_balanced_risk minus weighting", excess - 0.2),
            ("simulation", "worst_error", excess),
            ("simulation", "separated", 0.0),
            ("theory", "excess_balanced_risk", np.nan if arm == "weighting" else 0.9 * excess),
            ("theory", "worst_error", excess),
        )
    ]
    frame = pd.DataFrame(rows).assign(n_min=10, group="all")
    said = registry.load("figure", "imbalance").caption(frame)
    assert "weighting by -0.100 ± 0.010" in said
    assert "up to 10% of the excess" in said
    assert "1 of 4 points have none" in said
    assert "none are separable" in said
