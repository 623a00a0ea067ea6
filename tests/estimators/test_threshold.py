"""A moved threshold is where balanced classes would have it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opal.estimators import fit_logistic, fit_ridge, move_to_balance
from opal.losses import LOSSES, Loss, n_parameters
from opal.settings import GaussianMixture

BINARY = GaussianMixture([[-1.0, 0.0], [1.0, 0.5]])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_only_intercepts_change(n_classes: int, loss: Loss) -> None:
    means = np.random.default_rng(0).normal(size=(n_classes, 2))
    sample = GaussianMixture(means).sample((30, 20, 10)[:n_classes], key=0)
    weights = jnp.full(len(sample.x), 1 / len(sample.x))
    size = n_parameters(loss, n_classes, 2)
    theta = jnp.asarray(np.random.default_rng(1).normal(size=size))
    moved = move_to_balance(theta, sample.x, sample.y, weights, n_classes=n_classes, loss=loss)
    difference = np.asarray(moved - theta).reshape(-1, 3)
    np.testing.assert_array_equal(difference[:, :2], 0.0)
    assert np.abs(difference[:, 2]).min() > 1e-3


def test_log_odds_lose_the_prior_odds() -> None:
    weights = jnp.array([0.3, 0.3, 0.3, 0.1])
    x, y = jnp.zeros((4, 1)), jnp.array([0, 0, 1, 2])
    moved = move_to_balance(jnp.zeros(4), x, y, weights, n_classes=3, loss="logistic")
    np.testing.assert_allclose(moved, [0, -np.log(0.3 / 0.6), 0, -np.log(0.1 / 0.6)], atol=1e-14)


def test_the_squared_threshold_is_midway_between_weighted_means() -> None:
    x, y = jnp.array([[0.0], [1.0], [4.0]]), jnp.array([0, 0, 1])
    weights = jnp.array([0.3, 0.1, 0.6])
    moved = move_to_balance(jnp.array([2.0, 1.0]), x, y, weights, n_classes=2, loss="squared")
    means = np.array([(0.3 * 1 + 0.1 * 3) / 0.4, 9.0])
    np.testing.assert_allclose(moved, [2.0, 1.0 - means.mean()], atol=1e-14)


def test_squared_scores_of_three_classes_lose_their_frequencies() -> None:
    x, y = jnp.zeros((4, 1)), jnp.array([0, 0, 1, 2])
    weights = jnp.full(4, 0.5)  # whatever their sum
    moved = move_to_balance(jnp.zeros(6), x, y, weights, n_classes=3, loss="squared")
    np.testing.assert_allclose(moved, [0, -0.5, 0, -0.25, 0, -0.25], atol=1e-14)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_large_imbalanced_sample_gets_the_balanced_error(loss: Loss) -> None:
    counts = (20_000, 1_000)
    sample = BINARY.sample(counts, key=1)
    weights = jnp.full(len(sample.x), 1 / len(sample.x))

    @jax.jit
    def errors() -> tuple[jax.Array, ...]:
        if loss == "logistic":
            theta = fit_logistic(sample.x, sample.y, weights).theta
        else:
            theta = fit_ridge(sample.x, sample.y, weights)
        moved = move_to_balance(theta, sample.x, sample.y, weights, n_classes=2, loss=loss)
        rules = (theta, moved, BINARY.law.optimum())
        return tuple(BINARY.law.group_error(rule).mean() for rule in rules)

    raw, balanced, best = (float(e) for e in errors())
    assert balanced - best < 0.002
    assert raw - best > 0.02
