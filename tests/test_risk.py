"""Metrics of a rule: their definitions, and their exact values against samples."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import expit
from sklearn import metrics as peer

from opal import checks, risk
from opal.settings import GaussianLaw, GaussianMixture, SpuriousCorrelation

MIXTURE = GaussianMixture(
    [[[-1.0, 0.0], [-0.5, 1.0]], [[0.8, 0.2], [1.5, -1.0]]], mode_weights=[[0.3, 0.7], [0.6, 0.4]]
)
THETA = jnp.array([1.3, -0.6, -0.4])
COUNTS = (50, 20)
MANY = 100_000


@partial(jax.jit, static_argnames="counts")
def metrics_of(law: GaussianLaw, theta: jax.Array, counts: tuple[int, ...]) -> dict[str, jax.Array]:
    return risk.exact_metrics(law, theta, counts, best_risk=0.25)


@pytest.fixture(scope="module")
def exact() -> dict[str, np.ndarray]:
    found = metrics_of(MIXTURE.law, THETA, COUNTS)
    return {name: np.asarray(value) for name, value in found.items()}


@pytest.fixture(scope="module")
def sampled() -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels of a large balanced sample."""
    rows = MIXTURE.sample((MANY, MANY), key=2)
    scores = np.asarray(rows.x) @ np.asarray(THETA[:2]) + float(THETA[2])
    return scores, np.asarray(rows.y)


def test_metrics_agree_with_a_large_sample(
    exact: dict[str, np.ndarray], sampled: tuple[np.ndarray, np.ndarray]
) -> None:
    scores, y = sampled
    loss = np.logaddexp(0, -(2 * y - 1) * scores).reshape(2, MANY)
    wrong = ((scores > 0) != y).astype(float).reshape(2, MANY)
    z = [
        *((loss.mean(axis=1) - exact["risk"]) / (loss.std(axis=1) / np.sqrt(MANY))),
        *((wrong.mean(axis=1) - exact["error"]) / (wrong.std(axis=1) / np.sqrt(MANY))),
    ]
    check = checks.within_standard_errors("risk and error", z)
    assert check.passed, check


def test_f1_is_that_of_a_balanced_sample(
    exact: dict[str, np.ndarray], sampled: tuple[np.ndarray, np.ndarray]
) -> None:
    scores, y = sampled
    predicted = scores > 0
    halves = [peer.f1_score(y[i::10], predicted[i::10]) for i in range(10)]
    z = (exact["f1"] - np.mean(halves)) / (np.std(halves, ddof=1) / np.sqrt(10))
    assert abs(z) < stats.t(9).ppf(0.999)


def test_the_smallest_group_is_the_positive_one() -> None:
    error = jnp.array([0.1, 0.4])
    f1 = [float(risk.f1_of_errors(error, np.array(p))) for p in ([True, False], [False, True])]
    np.testing.assert_allclose(f1, [2 * 0.9 / (2 * 0.9 + 0.5), 2 * 0.6 / (2 * 0.6 + 0.5)])
    other = metrics_of(MIXTURE.law, THETA, (20, 50))
    assert float(other["f1"]) != float(metrics_of(MIXTURE.law, THETA, COUNTS)["f1"])


def test_calibration_is_the_integral_over_the_score(exact: dict[str, np.ndarray]) -> None:
    law, w, b = MIXTURE.law, np.asarray(THETA[:2]), float(THETA[2])
    centres = law.means @ w + b
    spread = np.linalg.norm(w)

    def gap(u: float) -> float:
        densities = np.sum(law.weights * stats.norm.pdf(u, centres, spread), axis=1) / 2
        return abs(densities[1] - expit(u) * densities.sum())

    expected = integrate.quad(gap, -14, 14, limit=400, epsabs=1e-8)[0]
    assert expected > 0.01
    np.testing.assert_allclose(exact["calibration_error"], expected, atol=1e-4)


def test_the_bayes_rule_is_calibrated() -> None:
    setting = GaussianMixture([[-1.0, 0.0], [1.0, 0.0]])
    best = jax.jit(lambda law: law.calibration_error(law.optimum()))(setting.law)
    assert float(best) < 1e-6


def test_summaries_are_what_they_are_called() -> None:
    values = jnp.array([0.3, 0.1, 0.6, 0.2]), jnp.array([0.2, 0.05, 0.5, 0.25])
    found = risk.summaries(*values, (90, 10, 10, 90))
    expected = {
        "balanced_risk": 0.3,
        "worst_risk": 0.6,
        "balanced_error": 0.25,
        "worst_error": 0.5,
        "minority_error": (0.05 + 0.5) / 2,
        "majority_error": (0.2 + 0.25) / 2,
        "gap_error": 0.45,
    }
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-15, err_msg=name)


def test_the_worst_error_need_not_be_that_of_the_worst_risk() -> None:
    """One group has a few rows that are far off, the other has many that are a little off."""
    setting = GaussianMixture(
        [[[-2.0, 0.0], [16.0, 0.0]], [[-0.2, 0.0], [-0.2, 0.0]]],
        mode_weights=[[0.9, 0.1], [0.5, 0.5]],
    )
    found = metrics_of(setting.law, jnp.array([2.0, 0.0, 0.0]), COUNTS)
    assert int(found["risk"].argmax()) != int(found["error"].argmax())
    margin = np.array([2.0, -16.0, -0.2])
    errors = stats.norm.sf(margin)
    expected = max(0.9 * errors[0] + 0.1 * errors[1], errors[2])
    np.testing.assert_allclose(found["worst_error"], expected, rtol=1e-6)
    np.testing.assert_allclose(found["worst_risk"], found["risk"].max())


def test_excess_is_over_the_best_risk(exact: dict[str, np.ndarray]) -> None:
    np.testing.assert_allclose(exact["excess_balanced_risk"], exact["balanced_risk"] - 0.25)
    without = jax.eval_shape(lambda t: risk.exact_metrics(MIXTURE.law, t, COUNTS), THETA)
    assert "excess_balanced_risk" not in without
    assert "balanced_risk" in without


def test_four_groups_have_a_positive_label() -> None:
    setting = SpuriousCorrelation()
    found = metrics_of(setting.law, jnp.array([1.0, 0.7, 0.2]), (9, 1, 9, 9))
    error = np.asarray(found["error"])  # the smallest group has label 0: groups 0 and 1
    hits = np.sum(1 - error[:2])
    np.testing.assert_allclose(found["f1"], 2 * hits / (2 * hits + error.sum()), rtol=1e-12)


def test_three_classes_have_no_binary_metrics() -> None:
    """Errors of the other classes among themselves are no false positives: F1 is not theirs."""
    setting = GaussianMixture([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = metrics_of(setting.law, jnp.arange(6.0) / 6, (3, 2, 1))
    assert "f1" not in found
    assert "calibration_error" not in found
    assert found["risk"].shape == (3,)


def test_mean_and_std_error() -> None:
    values = np.array([[1.0, 2.0], [3.0, 2.0], [5.0, 8.0]])
    mean, error = risk.mean_and_std_error(values)
    np.testing.assert_allclose(mean, [3.0, 4.0])
    np.testing.assert_allclose(error, [2 / np.sqrt(3), np.sqrt(12 / 3)])
    assert np.isnan(risk.mean_and_std_error(values[:1])[1]).all()


def test_groups_are_split_by_name() -> None:
    flat = risk.flatten_metrics(
        {"risk": np.array([[1.0, 2.0]]), "worst_error": np.array([3.0])}, ["a", "b"]
    )
    assert list(flat) == [("risk", "a"), ("risk", "b"), ("worst_error", "all")]
    np.testing.assert_array_equal(flat["risk", "b"], [2.0])
