r"""How synthetic rows depend on the real ones, and what that does to the estimator's noise.

``seed_use`` names the dependence: ``"none"`` for rows independent of the seeds, ``"copy in turn"``
and ``"copy at random"`` for duplication, ``"moments"`` for a Gaussian with the seeds' mean and
(shrunk) covariance. Seeds are the training rows, or rows of the generator's own of which some may
be training rows. Derivations: docs/theory.md, section 3.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from opal.arrays import AnyArray
from opal.losses import Loss
from opal.objective import GeneratorRows, RowCounts, RowWeights
from opal.settings.gaussian import GaussianLaw
from opal.settings.law import SmoothLaw, SmoothTruth
from opal.theory import moments


def shares(rows: RowCounts, weights: RowWeights) -> tuple[Array, Array]:
    """Total weight of the real and of the synthetic rows of each group [G] each."""
    made = rows.oversampled * weights.oversampled + rows.augmented * weights.augmented
    return jnp.asarray(rows.real * weights.real), jnp.asarray(made)


def squared_weights(rows: RowCounts, weights: RowWeights) -> Array:
    """Sum of the squared weights of the synthetic rows of each group [G]."""
    return jnp.asarray(
        rows.oversampled * weights.oversampled**2 + rows.augmented * weights.augmented**2
    )


def of_generator(rows: RowCounts, generator: GeneratorRows | None) -> tuple[Array, Array]:
    """Rows that the generator was fitted to, and those of them that are in training [G] each.

    All training rows, and no others, where nothing else is said.
    """
    if generator is None:
        return jnp.asarray(rows.real), jnp.asarray(rows.real)
    return jnp.asarray(generator.fitted), jnp.asarray(generator.shared)


def gradient_covariance(
    truth: SmoothTruth,
    synthetic: SmoothLaw,
    theta: Float[Array, " p"],
    rows: RowCounts,
    weights: RowWeights,
    seed_use: str,
    shrinkage: Array | float,
    loss: Loss,
    generator: GeneratorRows | None = None,
) -> Float[Array, "p p"]:
    """Covariance V(θ) of the weighted gradient [p, p]; ``generator`` as in :func:`of_generator`."""
    n, r = jnp.asarray(rows.real), jnp.asarray(weights.real)
    fitted, shared = of_generator(rows, generator)
    _, made = shares(rows, weights)
    spread = squared_weights(rows, weights)
    own = truth.group_score_covariance(theta, loss)
    if seed_use == "copy in turn":
        numbers, sizes = copied_in_turn(rows, weights, generator)
        return jnp.einsum("kg,gpq->pq", numbers * sizes**2, own)
    if seed_use == "copy at random":
        scale = shared * (r + made / fitted) ** 2 + spread * (1 - 1 / fitted)
        if generator is not None:
            scale += (n - shared) * r**2 + (fitted - shared) * (made / fitted) ** 2
        return jnp.einsum("g,gpq->pq", scale, own)
    covariance = jnp.einsum("g,gpq->pq", n * r**2, own)
    covariance += jnp.einsum("g,gpq->pq", spread, synthetic.group_score_covariance(theta, loss))
    if seed_use == "moments":
        laws = moments.gaussian(truth, synthetic)
        covariance += moment_covariance(*laws, theta, rows, weights, shrinkage, loss, generator)
    return covariance


def moment_covariance(
    truth: GaussianLaw,
    synthetic: GaussianLaw,
    theta: Float[Array, " p"],
    rows: RowCounts,
    weights: RowWeights,
    shrinkage: Array | float,
    loss: Loss,
    generator: GeneratorRows | None = None,
) -> Float[Array, "p p"]:
    """What fitted moments add to the covariance of the gradient of independent rows [p, p]."""
    fitted, shared = of_generator(rows, generator)
    _, made = shares(rows, weights)
    cross, auto = moments.moment_influence(truth, synthetic, theta, shrinkage, loss)
    both = weights.real * made * (shared / fitted)
    through = jnp.einsum("g,gpq->pq", both, cross + cross.swapaxes(1, 2))
    return through + jnp.einsum("g,gpq->pq", made**2 / fitted, auto)


def copied_in_turn(
    rows: RowCounts, weights: RowWeights, generator: GeneratorRows | None = None
) -> tuple[Float[Array, "k g"], Float[Array, "k g"]]:
    """Numbers of real rows and seeds, and their weights: copies of seeds differ by at most one.

    Both kinds of copies start at the first seed, so those with an extra copy overlap.

    Returns:
        Of training rows that are seeds: with no extra copy, an oversampled one, an augmented one,
        and both; [4, G] each. Where a generator has rows of its own four more for these, which have
        no weight but that of their copies, and one for the training rows that are not copied.
    """
    n, shared = of_generator(rows, generator)
    m, more = (k - n * jnp.floor(k / n) for k in (rows.oversampled, rows.augmented))
    o, a = weights.oversampled, weights.augmented

    def kinds(first: Array, real: AnyArray) -> tuple[Array, Array]:
        """Of the first so many seeds, whose own rows weigh ``real``."""
        base = real + o * jnp.floor(rows.oversampled / n) + a * jnp.floor(rows.augmented / n)
        some, others = jnp.minimum(m, first), jnp.minimum(more, first)
        both = jnp.minimum(some, others)
        numbers = jnp.stack([first - jnp.maximum(some, others), some - both, others - both, both])
        return numbers, jnp.stack([base, base + o, base + a, base + o + a])

    numbers, sizes = kinds(shared, weights.real)
    if generator is None:
        return numbers, sizes
    every, unseen = kinds(n, jnp.zeros_like(n))
    alone, real = jnp.asarray(rows.real - shared), jnp.asarray(weights.real)
    return (
        jnp.concatenate([numbers, every - numbers, alone[None]]),
        jnp.concatenate([sizes, unseen, real[None]]),
    )
