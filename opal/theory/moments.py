r"""What fitting a Gaussian to the seeds does to the estimator: noise that it brings, and drift.

Derivations: docs/theory.md, section 3.4.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from opal import losses
from opal.arrays import AnyArray
from opal.losses import Loss
from opal.settings.gaussian import GaussianLaw
from opal.settings.quadrature import gaussian_nodes
from opal.theory import expansion

_Moments = tuple[Array, Array, Array]


def gaussian(truth: object, synthetic: object) -> tuple[GaussianLaw, GaussianLaw]:
    """Both laws, which are Gaussian where the moments of seeds are fitted.

    Raises:
        TypeError: one is not.
    """
    if not isinstance(truth, GaussianLaw) or not isinstance(synthetic, GaussianLaw):
        kinds = f"{type(truth).__name__} and {type(synthetic).__name__}"
        raise TypeError(f"a law follows the seeds' moments where it is Gaussian; got {kinds}.")
    return truth, synthetic


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

    def coefficients(
        mean: Array, covariance: Array, labels: Array, factor: Array, gamma: Array | float
    ) -> tuple[Array, Array]:
        def gradient(mean: Array, covariance: Array) -> Array:
            return single_group(truth, mean, covariance, labels).group_gradient(theta, loss)[0]

        of_mean, of_covariance = jax.jacfwd(gradient, argnums=(0, 1))(mean, covariance)
        through = (of_covariance + of_covariance.swapaxes(1, 2)) / 2
        linear = of_mean @ factor
        quadratic = jnp.einsum("pij,ik,jl->pkl", through, factor, factor)
        to_target = jnp.einsum("pii->p", through) / truth.dim
        target = to_target[:, None, None] * (factor.T @ factor)[None]
        return linear, (1 - gamma) * quadratic + gamma * target

    def inner(left: tuple[Array, Array], right: tuple[Array, Array]) -> Array:
        return left[0] @ right[0].T + 2 * jnp.einsum("pkl,qkl->pq", left[1], right[1])

    def of_group(seed: _Moments, fitted: _Moments) -> tuple[Array, Array]:
        factor = jnp.linalg.cholesky(seed[1])
        of_seed = coefficients(*seed, factor, 0.0)
        of_fit = coefficients(*fitted, factor, shrinkage)
        return inner(of_seed, of_fit), inner(of_fit, of_fit)

    cross, auto = jax.vmap(of_group)(_moments(truth), _moments(synthetic))
    return cross, auto


def _moments(law: GaussianLaw) -> _Moments:
    """Mean [G, d], covariance [G, d, d] and label probabilities [G, K] of one-mode groups."""
    parts = (law.means, law.covariances, law.labels_of_modes())
    mean, covariance, labels = (jnp.asarray(part)[:, 0] for part in parts)
    return mean, covariance, labels


def single_group(law: GaussianLaw, mean: Array, covariance: Array, labels: Array) -> GaussianLaw:
    """A law of one group with one mode, with the classes of ``law``."""
    return GaussianLaw(
        jnp.ones((1, 1)),
        mean[None, None],
        covariance[None, None],
        labels[None, None],
        law.groups[:1],
        law.n_classes,
    )


def generator_drift(
    truth: GaussianLaw,
    synthetic: GaussianLaw,
    theta: Float[Array, " p"],
    fitted: Float[AnyArray, " g"],
    made: Float[Array, " g"],
    shrinkage: Array | float,
    loss: Loss,
) -> Float[Array, " p"]:
    """Mean of the synthetic gradient over fitted moments minus its value at the limit law [p].

    Of order 1/n, from the curvature of the risk in the moments. The score of a fitted group has
    mean noise of variance ``wᵀΣw/n`` (which adds to its variance) and variance noise from the
    Wishart law of the covariance.

    Args:
        truth: P, whose groups have one mode.
        synthetic: Q in the limit of many seeds.
        theta: where the gradient is taken [p].
        fitted: seeds of each group [G], at least two.
        made: total weight of each group's synthetic rows [G].
        shrinkage: γ.
        loss: logistic or squared.
    """
    if len(theta) != truth.dim + 1:
        return _drift_of_many_scores(truth, synthetic, theta, fitted, made, shrinkage, loss)
    d = truth.dim

    def expected_risk(at: Array) -> Array:
        w, b = at[:-1], at[-1]

        def of_group(n: Array, seed: _Moments, fit: _Moments) -> Array:
            sigma = seed[1]
            limit, real, size = w @ fit[1] @ w, w @ sigma @ w, w @ w
            spread = (1 - shrinkage) ** 2 * real**2
            spread += 2 * (1 - shrinkage) * shrinkage / d * size * (w @ sigma @ sigma @ w)
            spread += (shrinkage / d * size) ** 2 * jnp.sum(sigma**2)

            def risk(variance: Array) -> Array:
                return _score_risk(truth, fit[0] @ w + b, variance, fit[2], loss)

            curved = jax.grad(jax.grad(risk))(limit)
            return risk(limit + real / n) - risk(limit) + curved * spread / (n - 1)

        n_seeds = jnp.asarray(fitted)
        return made @ jax.vmap(of_group)(n_seeds, _moments(truth), _moments(synthetic))

    return expansion.gradient(expected_risk)(theta)


def _drift_of_many_scores(
    truth: GaussianLaw,
    synthetic: GaussianLaw,
    theta: Float[Array, " p"],
    fitted: Float[AnyArray, " g"],
    made: Float[Array, " g"],
    shrinkage: Array | float,
    loss: Loss,
) -> Float[Array, " p"]:
    """The same drift for any number of scores, by derivatives in the moments themselves [p].

    With ``S − Σ = L W Lᵀ``, the second-order term is the sum over pairs (k, l) of the second
    derivatives along ``L (e_k e_lᵀ + e_l e_kᵀ)/2 Lᵀ``, divided by ``n − 1``.
    """
    eye = jnp.eye(truth.dim)
    pairs = eye[:, None, :, None] * eye[None, :, None, :]
    pairs = ((pairs + pairs.swapaxes(2, 3)) / 2).reshape(-1, truth.dim, truth.dim)

    def of_group(g: int) -> Array:
        sigma, n = truth.covariances[g, 0], fitted[g]
        factor = jnp.linalg.cholesky(sigma)

        def gradient(change: Array) -> Array:
            covariance = (synthetic.covariances[g, 0] + change)[None, None]
            moved = synthetic.moved(
                synthetic.means, jnp.broadcast_to(covariance, synthetic.covariances.shape)
            )
            return moved.group_gradient(theta, loss)[g]

        def curved(pair: Array) -> Array:
            step = factor @ pair @ factor.T
            step = (1 - shrinkage) * step + shrinkage * jnp.trace(step) / truth.dim * eye

            def slope(change: Array) -> Array:
                return jax.jvp(gradient, (change,), (step,))[1]

            return jax.jvp(slope, (jnp.zeros_like(step),), (step,))[1]

        none = jnp.zeros_like(sigma)
        by_mean = jax.jvp(gradient, (none,), (sigma,))[1] / n
        return by_mean + jax.lax.map(curved, pairs).sum(axis=0) / (n - 1)

    return made @ jnp.stack([of_group(g) for g in range(len(truth.groups))])


def _score_risk(law: GaussianLaw, mean: Array, variance: Array, labels: Array, loss: Loss) -> Array:
    """Risk of a group whose single score is Gaussian with the given moments."""
    t, weights = (jnp.asarray(a) for a in gaussian_nodes())
    scores = mean + jnp.sqrt(variance) * t
    return weights @ losses.values(scores, law.n_classes, loss) @ labels
