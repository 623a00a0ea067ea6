r"""Kinds of rows, and what each contributes to the leave-one-out equations (docs/theory.md, 8)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from opal import losses
from opal.losses import Loss
from opal.objective import GeneratorRows, RowCounts, RowWeights
from opal.settings.law import ScoreLaw, ScoreNodes, second_moment
from opal.theory import seeds


def of_kind(
    nodes: ScoreNodes,
    loss: Loss,
    size: Array,
    covariance: Float[Array, "p p"],
    response: Float[Array, "p p"],
) -> tuple[Float[Array, " p"], Float[Array, "p p"], Float[Array, "p p"]]:
    """``E ℓ'(v)x̃``, ``E ℓ''(v)/(1 + γℓ''(v)) x̃x̃ᵀ`` and ``E ℓ'(v)² x̃x̃ᵀ`` of one kind of rows.

    Args:
        nodes: of the scores under the mean of the estimator without the row; two labels.
        loss: logistic or squared.
        size: weight ω of a row.
        covariance: M [p, p].
        response: K [p, p].
    """
    noise, noise_weights = (jnp.asarray(a) for a in _hermite_nodes())
    spread = jnp.sqrt(_quadratic(nodes, covariance))
    leverage = size * _quadratic(nodes, response)
    scores = nodes.scores + spread[..., None] * noise[None, None, :]
    slope, curvature = _after_the_fit(scores, leverage, loss)

    def average(values: Array) -> Array:
        """Over labels and noise, times the weight of the node [m, q]."""
        return jnp.einsum("kmqe,mqk,e->mq", values, nodes.mass, noise_weights)

    # Given the score x̃ is Gaussian with the node's mean; the rest of it moves the variance of u and
    # the leverage, and Stein's lemma says what that adds to E[ℓ'(v) x̃].
    by_variance = average(curvature * noise[None, None, None, :]) / (2 * spread)
    by_leverage = -average(slope * curvature)
    direct = jnp.einsum("mq,mqi->i", average(slope), nodes.features)
    of_variance = jnp.einsum("mq,mqi->mi", by_variance, nodes.features) @ covariance
    of_leverage = jnp.einsum("mq,mqi->mi", by_leverage, nodes.features) @ response
    through = jnp.einsum("mij,mj->i", nodes.residual, of_variance + size * of_leverage)
    curved, square = (
        second_moment(nodes, losses.ScoreForm(average(values)[..., None]))
        for values in (curvature, slope**2)
    )
    return direct + 2 * through, curved, square


def _quadratic(nodes: ScoreNodes, form: Float[Array, "p p"]) -> Float[Array, "m q"]:
    """``E[x̃ᵀ form x̃ | score]``."""
    along = jnp.einsum("mqi,ij,mqj->mq", nodes.features, form, nodes.features)
    return along + jnp.einsum("ij,mij->m", form, nodes.residual)[:, None]


def _after_the_fit(
    scores: Float[Array, "m q e"], leverage: Float[Array, "m q"], loss: Loss
) -> tuple[Float[Array, "2 m q e"], Float[Array, "2 m q e"]]:
    """``ℓ'(v)`` and its derivative in u, where ``v + γℓ'(v) = u``, for either label.

    Newton's iterations start where ℓ' is steepest within ``u ± γ`` (ℓ' of the logistic loss is
    between ±1 and has its inflection at 0), and from there converge monotonely.
    """
    gamma = leverage[None, :, :, None]

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
    law: ScoreLaw, centre: Float[Array, " p"], covariance: Float[Array, "p p"], loss: Loss
) -> Float[Array, " g"]:
    """``E R_g(θ̂)`` over ``θ̂ ~ N(centre, covariance)``."""
    noise, noise_weights = (jnp.asarray(a) for a in _hermite_nodes())

    def of_group(group: Array) -> Array:
        nodes = law.score_nodes(group, centre, loss)
        spread = jnp.sqrt(_quadratic(nodes, covariance))
        scores = nodes.scores + spread[..., None] * noise[None, None, :]
        values = losses.values(scores[..., None], 2, loss)
        return jnp.einsum("mqek,mqk,e->", values, nodes.mass, noise_weights)

    found: Array = jax.vmap(of_group)(jnp.arange(len(law.groups)))
    return found


@lru_cache(maxsize=1)
def _hermite_nodes() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for the noise of a score: few, as it is narrow."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(17)
    return nodes, weights / weights.sum()


class Kinds(NamedTuple):
    """Kinds of independent rows: of each, its law among some, its group, rows and their weight."""

    laws: ScoreLaw  # their leaves stacked
    which: Int[Array, " k"]
    groups: Int[Array, " k"]
    numbers: Float[Array, " k"]
    sizes: Float[Array, " k"]


def kinds_of_design(
    truth: ScoreLaw,
    synthetic: ScoreLaw,
    rows: RowCounts,
    weights: RowWeights,
    seed_use: str,
    generator: GeneratorRows | None,
) -> tuple[Kinds, ...]:
    """All kinds of rows; those whose laws have the same shape together, which compiles once."""
    if seed_use == "copy in turn":
        numbers, sizes = seeds.copied_in_turn(rows, weights, generator)
        return (_kinds_of([truth] * len(numbers), numbers, sizes),)
    numbers, sizes = (jnp.stack([jnp.asarray(k) for k in each]) for each in (rows, weights))
    if _shape(truth) == _shape(synthetic):
        return (_kinds_of([truth, synthetic, synthetic], numbers, sizes),)
    return (
        _kinds_of([truth], numbers[:1], sizes[:1]),
        _kinds_of([synthetic] * 2, numbers[1:], sizes[1:]),
    )


def _shape(law: ScoreLaw) -> tuple[Any, list[tuple[int, ...]]]:
    leaves, structure = jax.tree.flatten(law)
    return structure, [jnp.shape(leaf) for leaf in leaves]


def _kinds_of(
    laws: list[ScoreLaw], numbers: Float[Array, "r g"], sizes: Float[Array, "r g"]
) -> Kinds:
    """The rows that each of some laws makes of each group."""
    stacked = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(each) for each in leaves]), *laws)
    which, groups = jnp.indices(numbers.shape)
    return Kinds(stacked, which.ravel(), groups.ravel(), numbers.ravel(), sizes.ravel())


def of_kinds(
    kinds: tuple[Kinds, ...],
    centres: Float[Array, "k p"],
    covariance: Float[Array, "p p"],
    response: Float[Array, "p p"],
    loss: Loss,
) -> tuple[Float[Array, "k p"], Float[Array, "k p p"], Float[Array, "k p p"]]:
    """What each kind of rows adds, given the mean of the estimator without one of them."""
    nothing = jax.tree.map(jnp.zeros_like, (centres[0], covariance, covariance))
    found, start = [], 0
    for part in kinds:
        mine = centres[start : start + len(part.groups)]
        start += len(part.groups)

        def one(kind: tuple[Array, ...], laws: ScoreLaw = part.laws) -> tuple[Array, ...]:
            which, group, centre, size, number = kind

            def of_rows() -> tuple[Array, Array, Array]:
                law = jax.tree.map(lambda leaf: leaf[which], laws)
                nodes = law.score_nodes(group, centre, loss)
                return of_kind(nodes, loss, size, covariance, response)

            return jax.lax.cond(number > 0, of_rows, lambda: nothing)

        rows = (part.which, part.groups, mine, part.sizes, part.numbers)
        found.append(jax.lax.map(one, rows))
    mean, curved, square = (jnp.concatenate(part) for part in zip(*found, strict=True))
    return mean, curved, square
