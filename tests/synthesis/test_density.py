"""The fitted Gaussian has the moments of the seeds, shrunk as stated."""

from __future__ import annotations

import re
from typing import Any

import jax
import numpy as np
import pytest

from opal.settings import GaussianMixture
from opal.synthesis import GaussianFit

SETTING = GaussianMixture([[0.0, 1.0, 2.0], [1.0, 0.0, 0.0]], [1.0, 4.0, 0.25])
SEEDS = SETTING.sample((20, 9), key=1)


@pytest.mark.parametrize("shrinkage", [0.0, 0.25, 1.0])
def test_moments_are_those_of_the_seeds(shrinkage: float) -> None:
    law = GaussianFit(shrinkage).fit(SEEDS, SETTING.groups, key=jax.random.key(0))
    for g in (0, 1):
        x = np.asarray(SEEDS.x[SEEDS.rows(g)])
        sample_covariance = np.cov(x.T)
        target = np.trace(sample_covariance) / 3 * np.eye(3)
        expected = (1 - shrinkage) * sample_covariance + shrinkage * target
        np.testing.assert_allclose(law.means[g, 0], x.mean(axis=0), atol=1e-14)
        np.testing.assert_allclose(law.covariances[g, 0], expected, atol=1e-13)


def test_the_population_law_keeps_means_and_shrinks_covariances() -> None:
    population = GaussianFit(0.5).population(SETTING.law)
    assert population is not None
    assert (population.seed_use, population.shrinkage) == ("moments", 0.5)
    np.testing.assert_array_equal(population.law.means, SETTING.law.means)
    expected = np.diag((np.array([1.0, 4.0, 0.25]) + 1.75) / 2)
    np.testing.assert_allclose(population.law.covariances[0, 0], expected)


@pytest.mark.parametrize("shrinkage", [-0.1, 1.1, float("nan"), "a"])
def test_a_shrinkage_that_is_no_weight_is_refused(shrinkage: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"weight in [0, 1]; got {shrinkage!r}.")):
        GaussianFit(shrinkage)
