r"""Balanced excess risk to all orders in p/n, by leave-one-out (docs/theory.md, section 8).

A row of weight ω meets a rule that was fitted without it. With u its score there, K the inverse
Hessian and γ = ω x̃ᵀKx̃, ``x̃ = (x, 1)``, its score v under the full fit solves ``v + γ ℓ'(v) = u``.
The estimator is ``N(θ, M)`` for the solution of

.. math::
    0 = Σ_k n_k ω_k g_k + λDθ, \quad g_k = E[ℓ'(v) x̃], \quad
    K^{-1} = Σ_k n_k ω_k E\frac{ℓ''(v)\, x̃x̃^⊤}{1 + γ ℓ''(v)} + λD, \quad
    M = K \Big[Σ_k n_k ω_k^2 (E[ℓ'(v)^2 x̃x̃^⊤] - g_k g_k^⊤)\Big] K,

with ``u = x̃ᵀ(θ + ω_k K g_k) + (x̃ᵀMx̃)^{1/2} ε``. Its expansion in 1/n begins with that of
:mod:`opal.theory.asymptotics`, drift included; what it neglects is of relative order 1/n, not p/n.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from opal.losses import Loss
from opal.objective import GeneratorRows, RowCounts, RowWeights
from opal.settings.law import ScoreLaw
from opal.theory import seeds
from opal.theory.asymptotics import Asymptotics
from opal.theory.contributions import expected_risk, of_kind

_TOLERANCE = 1e-10
_MAX_ITERATIONS = 400
_DIVERGED = 1e4  # largest covariance in units of that to order 1/n: rows are as good as separable


class SelfConsistent(NamedTuple):
    """The estimator's law to all orders in p/n; see :class:`opal.theory.asymptotics.Asymptotics`.

    Attributes:
        target: pseudo-target θ_α [p], moved by the threshold's shift if there is one.
        drift: ``E θ̂ − θ_α`` [p].
        covariance: of θ̂ [p, p].
        excess: ``E R_bal(θ̂) − R_bal(θ*)``.
        n_iterations: of the fixed point.
        converged: whether it was found; if not, all other entries are NaN.
    """

    target: Float[Array, " p"]
    drift: Float[Array, " p"]
    covariance: Float[Array, "p p"]
    excess: Float[Array, ""]
    n_iterations: Int[Array, ""]
    converged: Bool[Array, ""]


class _State(NamedTuple):
    centre: Float[Array, " p"]
    covariance: Float[Array, "p p"]
    response: Float[Array, "p p"]  # K
    gradients: Float[Array, "k p"]
    change: Float[Array, ""]
    n: Int[Array, ""]


@partial(jax.jit, static_argnames=("seed_use", "loss"))
def self_consistent(
    first: Asymptotics,
    truth: ScoreLaw,
    synthetic: ScoreLaw,
    rows: RowCounts,
    weights: RowWeights,
    *,
    seed_use: str = "none",
    generator: GeneratorRows | None = None,
    ridge: Array | float = 0.0,
    shift: Float[Array, " p"] | None = None,
    loss: Loss = "logistic",
) -> SelfConsistent:
    """Solve the leave-one-out equations, from the first-order solution.

    Args:
        first: the expansion to order 1/n of the same design.
        truth: P.
        synthetic: Q; the truth itself where nothing is synthetic.
        rows: numbers of rows [G] each, real numbers allowed.
        weights: weights of a row [G] each.
        seed_use: "none" or "copy in turn", see :class:`opal.theory.seeds`.
        generator: the seeds that are copied; None where they are the real rows.
        ridge: λ.
        shift: added to the estimate after the fit [p] (a moved threshold).
        loss: logistic or squared; two classes.
    """
    moved = jnp.zeros_like(first.target) if shift is None else jnp.asarray(shift)
    kinds = _kinds(truth, synthetic, rows, weights, seed_use, generator)
    numbers = jnp.concatenate([kind.numbers for kind in kinds])
    sizes = jnp.concatenate([kind.sizes for kind in kinds])
    total, penalty = numbers * sizes, ridge * jnp.ones_like(moved).at[-1].set(0.0)

    def step(state: _State) -> _State:
        leave_out = state.centre[None, :] + (sizes[:, None] * state.gradients) @ state.response
        mean, curved, square = _contributions(kinds, leave_out, state, loss)
        hessian = jnp.einsum("k,kpq->pq", total, curved) + jnp.diag(penalty)
        response = jax.scipy.linalg.solve(hessian, jnp.eye(len(penalty)), assume_a="pos")
        within = square - mean[:, :, None] * mean[:, None, :]
        noise = jnp.einsum("k,kpq->pq", total * sizes, within)
        centre = state.centre - response @ (total @ mean + penalty * state.centre)
        new = (centre, response @ noise @ response, response)
        change = jnp.stack([_change(a, b) for a, b in zip(new, state[:3], strict=True)]).max()
        return _State(*new, mean, change, state.n + 1)

    def unfinished(state: _State) -> Array:
        bounded = jnp.max(jnp.abs(state.covariance)) < _DIVERGED * largest
        return (state.change > _TOLERANCE) & (state.n < _MAX_ITERATIONS) & bounded

    start, largest = first.target - moved, jnp.max(jnp.abs(first.covariance))
    zeros = jnp.zeros((len(sizes), len(start)))
    infinite, none = jnp.full((), jnp.inf), jnp.zeros((), int)
    state = _State(start, first.covariance, jnp.zeros_like(first.covariance), zeros, infinite, none)
    state = jax.lax.while_loop(unfinished, step, state)
    converged = state.change <= _TOLERANCE
    best = truth.group_risk(first.target, loss).mean() - first.bias
    excess = expected_risk(truth, state.centre + moved, state.covariance, loss).mean() - best

    def kept(value: Array) -> Array:
        return jnp.where(converged, value, jnp.nan)

    moments = (kept(first.target), kept(state.centre - start), kept(state.covariance))
    return SelfConsistent(*moments, kept(excess), state.n, converged)


def _change(new: Array, old: Array) -> Array:
    return jnp.max(jnp.abs(new - old)) / (jnp.max(jnp.abs(new)) + 1e-300)


class _Kinds(NamedTuple):
    """Kinds of independent rows: of each, its law among some, its group, rows and their weight."""

    laws: ScoreLaw  # their leaves stacked
    which: Int[Array, " k"]
    groups: Int[Array, " k"]
    numbers: Float[Array, " k"]
    sizes: Float[Array, " k"]


def _kinds(
    truth: ScoreLaw,
    synthetic: ScoreLaw,
    rows: RowCounts,
    weights: RowWeights,
    seed_use: str,
    generator: GeneratorRows | None,
) -> tuple[_Kinds, ...]:
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
) -> _Kinds:
    """The rows that each of some laws makes of each group."""
    stacked = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(each) for each in leaves]), *laws)
    which, groups = jnp.indices(numbers.shape)
    return _Kinds(stacked, which.ravel(), groups.ravel(), numbers.ravel(), sizes.ravel())


def _contributions(
    kinds: tuple[_Kinds, ...], centres: Float[Array, "k p"], state: _State, loss: Loss
) -> tuple[Float[Array, "k p"], Float[Array, "k p p"], Float[Array, "k p p"]]:
    """What each kind of rows adds, given the mean of the estimator without one of them."""
    nothing = jax.tree.map(jnp.zeros_like, (state.centre, state.covariance, state.covariance))
    found, start = [], 0
    for part in kinds:
        mine = centres[start : start + len(part.groups)]
        start += len(part.groups)

        def one(kind: tuple[Array, ...], laws: ScoreLaw = part.laws) -> tuple[Array, ...]:
            which, group, centre, size, number = kind

            def of_rows() -> tuple[Array, Array, Array]:
                law = jax.tree.map(lambda leaf: leaf[which], laws)
                nodes = law.score_nodes(group, centre, loss)
                return of_kind(nodes, loss, size, state.covariance, state.response)

            return jax.lax.cond(number > 0, of_rows, lambda: nothing)

        rows = (part.which, part.groups, mine, part.sizes, part.numbers)
        found.append(jax.lax.map(one, rows))
    mean, curved, square = (jnp.concatenate(part) for part in zip(*found, strict=True))
    return mean, curved, square
