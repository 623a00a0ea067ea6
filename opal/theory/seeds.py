r"""How synthetic rows depend on the real ones, and what that does to the estimator's noise.

``seed_use`` names the dependence: ``"none"`` for rows independent of the seeds, ``"copy in turn"``
and ``"copy at random"`` for duplication, ``"moments"`` for a Gaussian with the seeds' mean and
(shrunk) covariance. Derivations: docs/theory.md, section 3.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from opal import losses
from opal.losses import Loss
from opal.objective import RowCounts, RowWeights
from opal.settings.gaussian import GaussianLaw
from opal.settings.quadrature import gaussian_nodes

SEED_USES = ("none", "copy in turn", "copy at random", "moments")


def shares(rows: RowCounts, weights: RowWeights) -> tuple[Array, Array]:
    """Total weight of the real and of the synthetic rows of each group [G] each."""
    made = rows.oversampled * weights.oversampled + rows.augmented * weights.augmented
    return jnp.asarray(rows.real * weights.real), jnp.asarray(made)


def gradient_covariance(
    truth: GaussianLaw,
    synthetic: GaussianLaw,
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
    spread = rows.oversampled * weights.oversampled**2 + rows.augmented * weights.augmented**2
    own = truth.group_score_covariance(theta, loss)
    if seed_use == "copy in turn":
        return jnp.einsum("g,gpq->pq", _squared_seed_weights(rows, weights), own)
    if seed_use == "copy at random":
        scale = n * (r + made / n) ** 2 + spread * (1 - 1 / n)
        return jnp.einsum("g,gpq->pq", scale, own)
    covariance = jnp.einsum("g,gpq->pq", n * r**2, own)
    covariance += jnp.einsum("g,gpq->pq", spread, synthetic.group_score_covariance(theta, loss))
    if seed_use == "moments":
        cross, auto = moment_influence(truth, synthetic, theta, shrinkage, loss)
        covariance += jnp.einsum("g,gpq->pq", r * made, cross + cross.swapaxes(1, 2))
        covariance += jnp.einsum("g,gpq->pq", made**2 / n, auto)
    return covariance


def _squared_seed_weights(rows: RowCounts, weights: RowWeights) -> Float[Array, " g"]:
    """``Σ_i ω_i²`` over seeds that are copied in turn: copies differ by at most one [G].

    Both kinds of copies start at the first seed, so those with an extra copy overlap.
    """
    n = rows.real
    m, more = (k - n * jnp.floor(k / n) for k in (rows.oversampled, rows.augmented))
    o, a = weights.oversampled, weights.augmented
    base = weights.real + o * jnp.floor(rows.oversampled / n) + a * jnp.floor(rows.augmented / n)
    extra = 2 * base * (o * m + a * more) + o**2 * m + a**2 * more
    return jnp.asarray(n * base**2 + extra + 2 * o * a * jnp.minimum(m, more))


def moment_influence(
    truth: GaussianLaw,
    synthetic: GaussianLaw,
    theta: Float[Array, " p"],
    shrinkage: Array | float,
    loss: Loss,
) -> tuple[Float[Array, "g p p"], Float[Array, "g p p"]]:
    r"""Covariances that fitted moments bring about.

    A seed ``x = μ + L z`` moves the fitted moments, and with them the mean synthetic gradient, by
    ``ψ(x)/n``, linear in ``z`` and in ``zzᵀ − I``. On Gaussian seeds these are orthogonal, so the
    covariances of ψ with the seed's own gradient and with itself are sums over coefficients.

    Returns:
        ``Cov(∇ℓ, ψ)`` and ``Cov(ψ, ψ)``, [G, p, p] each.
    """

    def coefficients(law: GaussianLaw, g: int, gamma: Array | float) -> tuple[Array, Array]:
        mean, covariance = law.means[g, 0], law.covariances[g, 0]

        def gradient(mean: Array, covariance: Array) -> Array:
            moved = law.moved(
                jnp.broadcast_to(mean, law.means.shape),
                jnp.broadcast_to(covariance, law.covariances.shape),
            )
            return moved.group_gradient(theta, loss)[g]

        of_mean, of_covariance = jax.jacfwd(gradient, argnums=(0, 1))(mean, covariance)
        factor = jnp.linalg.cholesky(truth.covariances[g, 0])
        through = (of_covariance + of_covariance.swapaxes(1, 2)) / 2
        linear = of_mean @ factor
        quadratic = jnp.einsum("pij,ik,jl->pkl", through, factor, factor)
        to_target = jnp.einsum("pii->p", through) / law.dim
        target = to_target[:, None, None] * (factor.T @ factor)[None]
        return linear, (1 - gamma) * quadratic + gamma * target

    def inner(left: tuple[Array, Array], right: tuple[Array, Array]) -> Array:
        return left[0] @ right[0].T + 2 * jnp.einsum("pkl,qkl->pq", left[1], right[1])

    def of_group(g: int) -> tuple[Array, Array]:
        seed, fitted = coefficients(truth, g, 0.0), coefficients(synthetic, g, shrinkage)
        return inner(seed, fitted), inner(fitted, fitted)

    pairs = [of_group(g) for g in range(len(truth.groups))]
    cross, auto = zip(*pairs, strict=True)
    return jnp.stack(cross), jnp.stack(auto)


def generator_drift(
    truth: GaussianLaw,
    synthetic: GaussianLaw,
    theta: Float[Array, " p"],
    rows: RowCounts,
    made: Float[Array, " g"],
    seed_use: str,
    shrinkage: Array | float,
    loss: Loss,
) -> Float[Array, " p"]:
    """Mean of the synthetic gradient over fitted moments minus its value at the limit law [p].

    Of order 1/n, from the curvature of the risk in the moments; zero unless moments are fitted.
    The score of a fitted group has mean noise of variance ``wᵀΣw/n`` (which adds to its variance)
    and variance noise from the Wishart law of the covariance.
    """
    if seed_use != "moments" or len(theta) != truth.dim + 1:
        return jnp.zeros_like(theta)
    d = truth.dim

    def expected_risk(at: Array) -> Array:
        def of_group(g: int) -> Array:
            w, b = at[:-1], at[-1]
            sigma, n = truth.covariances[g, 0], rows.real[g]
            fitted, real, size = w @ synthetic.covariances[g, 0] @ w, w @ sigma @ w, w @ w
            spread = (1 - shrinkage) ** 2 * real**2
            spread += 2 * (1 - shrinkage) * shrinkage / d * size * (w @ sigma @ sigma @ w)
            spread += (shrinkage / d * size) ** 2 * jnp.sum(sigma**2)

            def risk(variance: Array) -> Array:
                return _score_risk(synthetic, g, synthetic.means[g, 0] @ w + b, variance, loss)

            curved = jax.grad(jax.grad(risk))(fitted)
            return risk(fitted + real / n) - risk(fitted) + curved * spread / (n - 1)

        return made @ jnp.stack([of_group(g) for g in range(len(truth.groups))])

    return jax.grad(expected_risk)(theta)


def _score_risk(law: GaussianLaw, g: int, mean: Array, variance: Array, loss: Loss) -> Array:
    """Risk of group g when its score is Gaussian with the given moments."""
    t, weights = (jnp.asarray(a) for a in gaussian_nodes())
    scores = mean + jnp.sqrt(variance) * t
    values = losses.values(scores[:, None], law.n_classes, loss)
    return weights @ values[:, law.groups[g].label]
