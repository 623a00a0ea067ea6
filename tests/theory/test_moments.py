"""What fitted moments do on average, against the exact law of a fitted variance at small n."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from opal.settings import GaussianMixture
from opal.settings.gaussian import GaussianLaw
from opal.theory import moments

MADE = np.array([0.3, 0.7])
N = np.array([4.0, 6.0])


def chi_square(df: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for means over χ² with ``df`` degrees of freedom, divided by ``df``."""
    nodes, weights = special.roots_genlaguerre(30, df / 2 - 1)
    return 2 * nodes / df, weights / weights.sum()


@jax.jit
def gradients(law: GaussianLaw, theta: jax.Array, factors: jax.Array) -> jax.Array:
    """Mean gradients of the groups with all covariances multiplied by each factor [f, G, p]."""

    def of_one(factor: jax.Array) -> jax.Array:
        return law.moved(law.means, factor * law.covariances).group_gradient(theta, "logistic")

    return jax.vmap(of_one)(factors)


@pytest.mark.parametrize("many_scores", [False, True])
def test_drift_of_a_fitted_variance_is_that_of_its_exact_law(many_scores: bool) -> None:
    """In one dimension ``s² = σ² χ²_(n−1)/(n−1)``, and the mean adds ``σ²/n`` to the variance.

    Scores are small, so that the second order, which the theory keeps, is nearly all. With n for
    n − 1 the drift would be off by a sixth to a quarter of the part that is compared.
    """
    law = GaussianMixture([[-0.4], [0.7]], [[[0.6]], [[1.0]]]).law
    theta, step = jnp.array([0.05, 0.4]), 1e-3
    drift = moments._drift_of_many_scores if many_scores else moments.generator_drift
    found = jax.jit(lambda at: drift(law, law, at, N, jnp.asarray(MADE), 0.0, "logistic"))(theta)
    by_mean = by_variance = np.zeros(2)
    for g, n in enumerate(N):
        nodes, weights = chi_square(n - 1)
        others = [1.0, 1 + 1 / n, 1 + step, 1 - step]
        at = gradients(law, theta, jnp.asarray([*nodes, *others]))[:, g]
        plain, more, above, below = at[-4:]
        # That of many scores is kept to first order in the noise of the mean.
        moved = (above - below) / (2 * step * n) if many_scores else more - plain
        by_mean = by_mean + MADE[g] * moved
        by_variance = by_variance + MADE[g] * (weights @ at[:-4] - plain)
    np.testing.assert_allclose(found - by_mean, by_variance, rtol=0.03)
