r"""What one kind of rows contributes to the leave-one-out equations (docs/theory.md, section 8)."""

from __future__ import annotations

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from opal import losses
from opal.losses import Loss
from opal.settings.gaussian import GaussianLaw, ScoreNodes, second_moment

Modes = tuple[Array, Array, Array, Array]
"""Weights [M], means [M, d], covariances [M, d, d] and label probabilities [M, 2] of a mixture."""


def of_kind(
    law: GaussianLaw,
    loss: Loss,
    modes: Modes,
    size: Array,
    centre: Float[Array, " p"],
    covariance: Float[Array, "p p"],
    response: Float[Array, "p p"],
) -> tuple[Float[Array, " p"], Float[Array, "p p"], Float[Array, "p p"]]:
    """``E ℓ'(v)x̃``, ``E ℓ''(v)/(1 + γℓ''(v)) x̃x̃ᵀ`` and ``E ℓ'(v)² x̃x̃ᵀ`` of one kind of rows.

    Args:
        law: any law of the same dimension and classes (its own moments are not used).
        loss: logistic or squared.
        modes: the law of the rows.
        size: weight ω of a row.
        centre: mean of the estimator without the row [p].
        covariance: M [p, p].
        response: K [p, p].
    """
    noise, noise_weights = (jnp.asarray(a) for a in _hermite_nodes())

    def of_mode(mean: Array, sigma: Array, labels: Array) -> tuple[Array, Array, Array]:
        nodes = law.nodes(centre, mean, sigma, loss)
        spread = jnp.sqrt(_quadratic(nodes, covariance))
        leverage = size * _quadratic(nodes, response)
        scores = nodes.scores + spread[:, None] * noise[None, :]
        slope, curvature = _after_the_fit(scores, leverage, loss)

        def average(values: Array) -> Array:
            return jnp.einsum("kqe,k,e->q", values, labels, noise_weights)

        # Given the score x̃ is Gaussian with the node's mean; the rest of it moves the variance of
        # u and the leverage, and Stein's lemma says what that adds to E[ℓ'(v) x̃].
        by_variance = average(curvature * noise[None, None, :]) / (2 * spread)
        by_leverage = -average(slope * curvature)
        direct = (nodes.weights * average(slope)) @ nodes.features
        through = covariance @ ((nodes.weights * by_variance) @ nodes.features)
        through += size * response @ ((nodes.weights * by_leverage) @ nodes.features)
        curved, square = (average(values)[:, None, None] for values in (curvature, slope**2))
        gradient = direct + 2 * nodes.residual @ through
        return gradient, second_moment(nodes, curved), second_moment(nodes, square)

    weights, *parts = modes
    found = jax.vmap(of_mode)(*parts)
    gradient, curved, square = (jnp.einsum("m,m...->...", weights, part) for part in found)
    return gradient, curved, square


def _quadratic(nodes: ScoreNodes, form: Float[Array, "p p"]) -> Float[Array, " q"]:
    """``E[x̃ᵀ form x̃ | score]``."""
    along = jnp.einsum("qi,ij,qj->q", nodes.features, form, nodes.features)
    return along + jnp.sum(form * nodes.residual)


def _after_the_fit(
    scores: Float[Array, "q e"], leverage: Float[Array, " q"], loss: Loss
) -> tuple[Float[Array, "2 q e"], Float[Array, "2 q e"]]:
    """``ℓ'(v)`` and its derivative in u, where ``v + γℓ'(v) = u``, for either label.

    Newton's iterations start where ℓ' is steepest within ``u ± γ`` (ℓ' of the logistic loss is
    between ±1 and has its inflection at 0), and from there converge monotonely.
    """
    gamma = leverage[None, :, None]

    def derivatives(v: Array) -> tuple[Array, Array]:
        slopes = losses.slopes(v[..., None], 2, loss)[..., 0]
        own = jnp.stack([slopes[0, ..., 0], slopes[1, ..., 1]])
        return own, losses.curvatures(v[..., None], loss)[..., 0, 0]

    def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        v, _, n = state
        slope, curvature = derivatives(v)
        move = (scores[None] - v - gamma * slope) / (1 + gamma * curvature)
        # Relative: where equations have no solution scores grow, and with them their rounding.
        return v + move, jnp.max(jnp.abs(move) / (1 + jnp.abs(v))), n + 1

    start = jnp.clip(jnp.zeros_like(scores), scores - gamma[0], scores + gamma[0])
    state = (jnp.stack([start, start]), jnp.full((), jnp.inf), jnp.zeros((), int))
    v, _, _ = jax.lax.while_loop(lambda s: (s[1] > 1e-13) & (s[2] < 60), step, state)
    slope, curvature = derivatives(v)
    return slope, curvature / (1 + gamma * curvature)


def expected_risk(
    law: GaussianLaw, centre: Float[Array, " p"], covariance: Float[Array, "p p"], loss: Loss
) -> Float[Array, " g"]:
    """``E R_g(θ̂)`` over ``θ̂ ~ N(centre, covariance)``."""
    noise, noise_weights = (jnp.asarray(a) for a in _hermite_nodes())

    def of_mode(mean: Array, sigma: Array, labels: Array) -> Array:
        nodes = law.nodes(centre, mean, sigma, loss)
        spread = jnp.sqrt(_quadratic(nodes, covariance))
        scores = nodes.scores + spread[:, None] * noise[None, :]
        values = losses.values(scores[..., None], 2, loss) @ labels
        return nodes.weights @ values @ noise_weights

    parts = (law.means, law.covariances, law.labels_of_modes())
    risks = jax.vmap(jax.vmap(of_mode))(*(jnp.asarray(part) for part in parts))
    return jnp.einsum("gm,gm->g", law.weights, risks)


@lru_cache(maxsize=1)
def _hermite_nodes() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for the noise of a score: few, as it is narrow."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(17)
    return nodes, weights / weights.sum()
