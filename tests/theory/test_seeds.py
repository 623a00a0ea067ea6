"""Weights that copies give to seeds, and the drift of fitted moments, by brute force."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opal.objective import RowCounts, RowWeights
from opal.settings import GaussianLaw, GaussianMixture
from opal.synthesis import GaussianFit
from opal.theory import moments, seeds

LAW = GaussianMixture([[-0.6, 0.0], [0.6, 0.4]], [[1.0, 0.3], [0.3, 0.7]]).law
THETA = jnp.array([0.9, -0.5, 0.2])


def of_one_group(n: int, m: int, more: int) -> tuple[RowCounts, RowWeights]:
    counts = RowCounts(*(np.array([float(k), 50.0]) for k in (n, m, more)))
    weights = RowWeights(*(np.array([w, 0.0]) for w in (0.3, 0.5, 0.7)))
    return counts, weights


@jax.jit
def covariances(counts: RowCounts, weights: RowWeights) -> dict[str, jax.Array]:
    """V(θ) in units of the first group's own covariance."""
    own = LAW.group_score_covariance(THETA)[0]
    return {
        use: seeds.gradient_covariance(LAW, LAW, THETA, counts, weights, use, 0.0, "logistic")[0, 0]
        / own[0, 0]
        for use in ("none", "copy in turn", "copy at random")
    }


CASES = [(7, 0, 0), (7, 3, 0), (7, 10, 4), (7, 4, 12), (5, 10, 20), (6, 5, 5)]


@pytest.mark.parametrize(("n", "m", "more"), CASES)
def test_copies_in_turn_weigh_each_seed(n: int, m: int, more: int) -> None:
    weight = np.full(n, 0.3)
    for copies, each in ((m, 0.5), (more, 0.7)):
        np.add.at(weight, np.arange(copies) % n, each)
    found = covariances(*of_one_group(n, m, more))["copy in turn"]
    np.testing.assert_allclose(found, np.sum(weight**2), rtol=1e-12)


@pytest.mark.parametrize(("n", "m", "more"), CASES)
def test_copies_at_random_weigh_seeds_at_random(n: int, m: int, more: int) -> None:
    rng = np.random.default_rng(0)
    draws = 20_000
    weight = np.full((draws, n), 0.3)
    weight += 0.5 * rng.multinomial(m, np.full(n, 1 / n), size=draws)
    weight += 0.7 * rng.multinomial(more, np.full(n, 1 / n), size=draws)
    squares = np.sum(weight**2, axis=1)
    found = float(covariances(*of_one_group(n, m, more))["copy at random"])
    error = squares.std() / np.sqrt(draws) + 1e-12
    assert abs(squares.mean() - found) < 4 * error


def test_new_rows_add_their_squares() -> None:
    found = covariances(*of_one_group(7, 10, 4))["none"]
    np.testing.assert_allclose(found, 7 * 0.3**2 + 10 * 0.5**2 + 4 * 0.7**2, rtol=1e-12)


def drifts(n: float) -> tuple[np.ndarray, np.ndarray]:
    """The drift of fitted moments by both of its formulas, times n."""
    population = GaussianFit(0.4).population(LAW)
    assert population is not None
    fitted = np.array([n, n], float)
    made = jnp.array([0.3, 0.6])
    both = (moments.generator_drift, moments._drift_of_many_scores)
    first, second = (
        jax.jit(lambda f=f: f(LAW, population.law, THETA, fitted, made, 0.4, "logistic"))()
        for f in both
    )
    return n * np.asarray(first), n * np.asarray(second)


def test_the_drift_of_one_score_is_that_of_many() -> None:
    one, many = drifts(1e6)
    assert np.abs(one).max() > 1e-3
    np.testing.assert_allclose(one, many, rtol=1e-4, atol=1e-8)


def test_the_drift_is_that_of_many_fits() -> None:
    """Mean synthetic gradient over 20,000 fits, against its value at the limit law."""
    n, draws = 60, 20_000

    @jax.jit
    def mean_gradients(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        def of_fit(k: jax.Array) -> jax.Array:
            sample = LAW.sample((n, n), key=k)
            fitted: GaussianLaw = GaussianFit(0.4).fit(sample, LAW.groups, key=k)
            return jnp.array([0.3, 0.6]) @ fitted.group_gradient(THETA)

        gradients = jax.lax.map(of_fit, jax.random.split(key, draws), batch_size=500)
        return gradients.mean(axis=0), gradients.std(axis=0) / jnp.sqrt(draws)

    population = GaussianFit(0.4).population(LAW)
    assert population is not None
    limit = jnp.array([0.3, 0.6]) @ population.law.group_gradient(THETA)
    mean, error = mean_gradients(jax.random.key(0))
    predicted = drifts(n)[0] / n
    z = np.asarray((mean - limit - predicted) / error)
    assert np.abs(z).max() < 4
    without = np.asarray((mean - limit) / error)
    assert np.abs(without).max() > 6  # leaving the drift out is noticed
