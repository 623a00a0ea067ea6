r"""Weighted ridge regression of class targets, in closed form."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from opal.arrays import AnyArray


def fit_ridge(
    x: Float[Array, "n d"],
    y: Int[Array, " n"],
    weights: Float[Array, " n"],
    *,
    n_classes: int = 2,
    ridge: Float[AnyArray, ""] | float = 0.0,
) -> Float[Array, " p"]:
    """Minimise ``Σ_i ω_i ½‖t_i − W x_i − b‖² + λ‖W‖²/2`` (targets as in :mod:`opal.losses`).

    The normal equations are solved by Cholesky, with a relative jitter of 1e-13 so that a singular
    design without penalty gives a minimiser of nearly least norm instead of no number.

    Returns:
        θ [p], intercepts last.
    """
    d = x.shape[1]
    targets = 2.0 * y[:, None] - 1.0 if n_classes == 2 else jax.nn.one_hot(y, n_classes)
    columns = jnp.concatenate([x, jnp.ones((len(x), 1), x.dtype)], axis=1)
    weighted = columns * weights[:, None]
    gram = weighted.T @ columns
    penalty = ridge * jnp.ones(d + 1, x.dtype).at[d].set(0.0)
    jitter = 1e-13 * jnp.trace(gram)
    factor = jax.scipy.linalg.cho_factor(gram + jnp.diag(penalty + jitter))
    return jax.scipy.linalg.cho_solve(factor, weighted.T @ targets.astype(x.dtype)).T.ravel()
