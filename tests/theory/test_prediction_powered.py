"""Prediction-powered training: the best power, and simulation beside its theory."""

from __future__ import annotations

import re
from typing import Any

import jax
import numpy as np
import pytest

from opal.objective import PredictionPowered
from opal.settings import GaussianMixture, SpuriousCorrelation
from opal.settings.groups import Sample
from opal.simulation import replicate_metrics, simulate
from opal.theory.predict import predict
from opal.theory.prediction_powered import power_curve

SETTING = GaussianMixture([[-0.9, 0.0], [0.9, 0.3]], [[[1.0, 0.2], [0.2, 1.0]]] * 2)
PERFECT = ((1.0, 0.0), (0.0, 1.0))
GOOD = ((0.95, 0.05), (0.1, 0.9))
COIN = ((0.5, 0.5), (0.5, 0.5))


def design(confusion: Any = GOOD, power: float = 1.0) -> PredictionPowered:
    return PredictionPowered((400, 200), (4000, 2000), confusion, power)


def test_perfect_labels_are_worth_their_number() -> None:
    """Then all rows are labelled ones, and λ* is the share of those that were not: u/(n + u)."""
    curve = power_curve(SETTING, design(PERFECT))
    assert curve.best_power == pytest.approx(10 / 11, rel=1e-9)
    assert curve.excess(curve.best_power) == pytest.approx(curve.excess(0.0) / 11, rel=1e-9)


@pytest.mark.parametrize("confusion", [PERFECT, GOOD, COIN, ((0.3, 0.7), (0.6, 0.4))])
def test_the_best_power_is_never_worse_than_weighting(confusion: Any) -> None:
    curve = power_curve(SETTING, design(confusion))
    grid = curve.excess(np.linspace(0, 1, 1001))
    assert curve.excess(curve.best_power) <= np.min(grid) * (1 + 1e-9)
    assert curve.excess(curve.best_power) <= curve.excess(0.0)


def test_labels_that_are_more_often_wrong_than_right_get_no_weight() -> None:
    assert power_curve(SETTING, design(((0.2, 0.8), (0.8, 0.2)))).best_power == 0.0
    assert 0.1 < power_curve(SETTING, design(GOOD)).best_power < 0.9


def gradients(rows: Sample, labels: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """∇ℓ of each row with these labels [n, p]."""
    lifted = np.column_stack([np.asarray(rows.x), np.ones(len(labels))])
    return np.asarray((1 / (1 + np.exp(-lifted @ theta)) - labels)[:, None] * lifted)


def test_the_curve_has_the_covariances_of_drawn_rows() -> None:
    law, rng = SETTING.law, np.random.default_rng(0)
    n, u, pi = np.array([400.0, 200.0]), np.array([4000.0, 2000.0]), np.array([2 / 3, 1 / 3])
    with jax.enable_x64(True):
        best = law.optimum()
        inverse = np.linalg.inv(np.asarray(law.group_hessian(best)).mean(axis=0))
        theta = np.asarray(best)
        rows = law.sample((200_000, 200_000), key=jax.random.key(1))
    said = (rng.uniform(size=len(rows.group)) < np.array(GOOD)[rows.group, 1]).astype(int)
    own = gradients(rows, np.asarray(rows.y), theta) / 2
    shares = pi @ np.array(GOOD)
    model = gradients(rows, said, theta) / (2 * shares[said])[:, None]
    expected = np.zeros(3)
    for g in (0, 1):
        inside = rows.group == g
        a, b = own[inside] - own[inside].mean(axis=0), model[inside] - model[inside].mean(axis=0)
        for index, (one, two, factor) in enumerate(
            [(a, a, 1 / n[g]), (a, b, pi[g] / n[g]), (b, b, pi[g] ** 2 * (1 / n[g] + 1 / u[g]))]
        ):
            expected[index] += factor * np.trace(inverse @ one.T @ two) / inside.sum()
    np.testing.assert_allclose(power_curve(SETTING, design()), expected, rtol=0.02)


def test_simulation_agrees_and_refuses_a_theory_without_the_model() -> None:
    best = design(power=power_curve(SETTING, design()).best_power)
    where = ("excess_balanced_risk", "all")
    seen = simulate(SETTING, best, key=3, n_replicates=1500).set_index(["metric", "group"])
    value, error = seen.loc[where, ["value", "std_error"]]
    assert seen["n_unlabelled"].eq(6000).all()
    predicted = predict(SETTING, best).set_index(["metric", "group"])["value"]
    assert abs(value - predicted[where]) < 3 * error + 0.03 * value  # of the order 1/n²
    without = predict(SETTING, best.with_(power=0.0)).set_index(["metric", "group"])["value"]
    assert abs(value - without[where]) > 6 * error + 0.03 * value
    worst = ("worst_error", "all")
    assert abs(seen.loc[worst, "value"] - predicted[worst]) < 4 * seen.loc[worst, "std_error"]


def test_replicates_do_not_depend_on_chunks_and_share_labelled_rows() -> None:
    few, many = (
        replicate_metrics(SETTING, design(), key=1, n_replicates=7, chunk_size=c)["balanced_risk"]
        for c in (1, 4)
    )
    np.testing.assert_array_equal(few, many)
    without = replicate_metrics(SETTING, design(power=0.0), key=1, n_replicates=7)
    other = replicate_metrics(SETTING, design(COIN, 0.0), key=1, n_replicates=7)
    np.testing.assert_allclose(without["balanced_risk"], other["balanced_risk"], rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"power": 1.5}, "power is a weight in [0, 1]; got 1.5"),
        ({"n_unlabelled": (0, 5)}, "n_unlabelled must be whole numbers of at least 1; group 0"),
        ({"n_unlabelled": ()}, "n_unlabelled needs one number for each of the 2 groups"),
        ({"counts": (5, 5, 5)}, "counts needs one number for each of the 2 groups"),
        ({"confusion": ((0.9, 0.2), (0.2, 0.8))}, "of sum one, such as ((0.9, 0.1), (0.2, 0.8))"),
        ({"confusion": "good"}, "got 'good'"),
        ({"confusion": ((1.5, -0.5), (0.0, 1.0))}, "probabilities of the model's two labels"),
    ],
)
def test_impossible_designs_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        design().with_(**change)


def test_groups_that_share_a_label_are_refused() -> None:
    with pytest.raises(ValueError, match="two classes, each a group of its own"):
        simulate(SpuriousCorrelation(), design(), key=0, n_replicates=2)
