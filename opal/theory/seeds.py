r"""How synthetic rows depend on the real ones, and what that does to the estimator's noise.

``seed_use`` names the dependence: ``"none"`` for rows independent of the seeds, ``"copy in turn"``
and ``"copy at random"`` for duplication, ``"moments"`` for a Gaussian with the seeds' mean and
(shrunk) covariance. Derivations: docs/theory.md, section 3.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from opal.losses import Loss
from opal.objective import RowCounts, RowWeights
from opal.settings.law import SmoothLaw, SmoothTruth
from opal.theory import moments

SEED_USES = ("none", "copy in turn", "copy at random", "moments")


def shares(rows: RowCounts, weights: RowWeights) -> tuple[Array, Array]:
    """Total weight of the real and of the synthetic rows of each group [G] each."""
    made = rows.oversampled * weights.oversampled + rows.augmented * weights.augmented
    return jnp.asarray(rows.real * weights.real), jnp.asarray(made)


def squared_weights(rows: RowCounts, weights: RowWeights) -> Array:
    """Sum of the squared weights of the synthetic rows of each group [G]."""
    return jnp.asarray(
        rows.oversampled * weights.oversampled**2 + rows.augmented * weights.augmented**2
    )


def gradient_covariance(
    truth: SmoothTruth,
    synthetic: SmoothLaw,
    theta: Float[Array, " p"],
    rows: RowCounts,
    weights: RowWeights,
    seed_use: str,
    shrinkage: Array | float,
    loss: Loss,
) -> Float[Array, "p p"]:
    """Covariance V(θ) of the weighted gradient [p, p]."""
    n, r = jnp.asarray(rows.real), jnp.asarray(weights.real)
    _, made = shares(rows, weights)
    spread = squared_weights(rows, weights)
    own = truth.group_score_covariance(theta, loss)
    if seed_use == "copy in turn":
        numbers, sizes = copied_in_turn(rows, weights)
        return jnp.einsum("kg,gpq->pq", numbers * sizes**2, own)
    if seed_use == "copy at random":
        scale = n * (r + made / n) ** 2 + spread * (1 - 1 / n)
        return jnp.einsum("g,gpq->pq", scale, own)
    covariance = jnp.einsum("g,gpq->pq", n * r**2, own)
    covariance += jnp.einsum("g,gpq->pq", spread, synthetic.group_score_covariance(theta, loss))
    if seed_use == "moments":
        laws = moments.gaussian(truth, synthetic)
        cross, auto = moments.moment_influence(*laws, theta, shrinkage, loss)
        covariance += jnp.einsum("g,gpq->pq", r * made, cross + cross.swapaxes(1, 2))
        covariance += jnp.einsum("g,gpq->pq", made**2 / n, auto)
    return covariance


def copied_in_turn(
    rows: RowCounts, weights: RowWeights
) -> tuple[Float[Array, "4 g"], Float[Array, "4 g"]]:
    """Numbers of seeds that are copied in turn, and their weights: copies differ by at most one.

    Both kinds of copies start at the first seed, so those with an extra copy overlap.

    Returns:
        Of seeds with no extra copy, an oversampled one, an augmented one, and both; [4, G] each.
    """
    n = rows.real
    m, more = (k - n * jnp.floor(k / n) for k in (rows.oversampled, rows.augmented))
    o, a = weights.oversampled, weights.augmented
    base = weights.real + o * jnp.floor(rows.oversampled / n) + a * jnp.floor(rows.augmented / n)
    both = jnp.minimum(m, more)
    numbers = jnp.stack([n - jnp.maximum(m, more), m - both, more - both, both])
    return numbers, jnp.stack([base, base + o, base + a, base + o + a])
