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
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from opal.losses import Loss
from opal.objective import GeneratorRows, RowCounts, RowWeights
from opal.settings.gaussian import GaussianLaw
from opal.settings.law import ScoreLaw
from opal.theory import moments, seeds
from opal.theory.asymptotics import Asymptotics
from opal.theory.contributions import expected_risk, kinds_of_design, of_kinds

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
    shrinkage: Array | float = 0.0,
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
        seed_use: "none", "copy in turn" or "moments", see :class:`opal.theory.seeds`.
        generator: the seeds; None where they are the real rows.
        shrinkage: γ of a fitted covariance.
        ridge: λ.
        shift: added to the estimate after the fit [p] (a moved threshold).
        loss: logistic or squared; two classes.
    """
    moved = jnp.zeros_like(first.target) if shift is None else jnp.asarray(shift)
    kinds = kinds_of_design(truth, synthetic, rows, weights, seed_use, generator)
    numbers = jnp.concatenate([kind.numbers for kind in kinds])
    sizes = jnp.concatenate([kind.sizes for kind in kinds])
    total, penalty = numbers * sizes, ridge * jnp.ones_like(moved).at[-1].set(0.0)
    start, largest = first.target - moved, jnp.max(jnp.abs(first.covariance))
    fitted = _no_fit(start)
    if seed_use == "moments":
        laws = moments.gaussian(truth, synthetic)
        fitted = _of_fit(*laws, start, rows, weights, shrinkage, loss, generator)

    def step(state: _State) -> _State:
        leave_out = state.centre[None, :] + (sizes[:, None] * state.gradients) @ state.response
        around = (state.covariance, state.response)
        mean, curved, square = of_kinds(kinds, leave_out, *around, loss)
        hessian = jnp.einsum("k,kpq->pq", total, curved) + jnp.diag(penalty)
        response = jax.scipy.linalg.solve(hessian, jnp.eye(len(penalty)), assume_a="pos")
        within = square - mean[:, :, None] * mean[:, None, :]
        noise = jnp.einsum("k,kpq->pq", total * sizes, within) + fitted.noise
        pull = 0.5 * jnp.einsum("pq,pqr->r", response, fitted.slope) - fitted.drift
        centre = state.centre - response @ (total @ mean + penalty * state.centre - pull)
        covariance = response @ noise @ response
        # A centre may be zero, and then all that changes of it is rounding.
        spread = jnp.sqrt(jnp.max(jnp.abs(covariance)))
        changes = (
            _change(centre, state.centre, spread),
            _change(covariance, state.covariance),
            _change(response, state.response),
        )
        change = jnp.stack(changes).max()
        return _State(centre, covariance, response, mean, change, state.n + 1)

    def unfinished(state: _State) -> Array:
        bounded = jnp.max(jnp.abs(state.covariance)) < _DIVERGED * largest
        return (state.change > _TOLERANCE) & (state.n < _MAX_ITERATIONS) & bounded

    zeros = jnp.zeros((len(sizes), len(start)))
    infinite, none = jnp.full((), jnp.inf), jnp.zeros((), int)
    state = _State(start, first.covariance, jnp.zeros_like(first.covariance), zeros, infinite, none)
    state = jax.lax.while_loop(unfinished, step, state)
    converged = state.change <= _TOLERANCE
    best = truth.group_risk(first.target, loss).mean() - first.bias
    excess = expected_risk(truth, state.centre + moved, state.covariance, loss).mean() - best

    def kept(value: Array) -> Array:
        return jnp.where(converged, value, jnp.nan)

    found = (kept(first.target), kept(state.centre - start), kept(state.covariance))
    return SelfConsistent(*found, kept(excess), state.n, converged)


class _Fitted(NamedTuple):
    """What a generator that is fitted to seeds adds to the gradient of independent rows (8.7)."""

    noise: Float[Array, "p p"]
    slope: Float[Array, "p p p"]  # derivative of the noise in θ
    drift: Float[Array, " p"]


def _no_fit(theta: Float[Array, " p"]) -> _Fitted:
    p = len(theta)
    return _Fitted(jnp.zeros((p, p)), jnp.zeros((p, p, p)), jnp.zeros(p))


def _of_fit(
    truth: GaussianLaw,
    synthetic: GaussianLaw,
    theta: Float[Array, " p"],
    rows: RowCounts,
    weights: RowWeights,
    shrinkage: Array | float,
    loss: Loss,
    generator: GeneratorRows | None,
) -> _Fitted:
    def noise(at: Array) -> Array:
        return seeds.moment_covariance(
            truth, synthetic, at, rows, weights, shrinkage, loss, generator
        )

    _, made = seeds.shares(rows, weights)
    number, _ = seeds.of_generator(rows, generator)
    drift = moments.generator_drift(truth, synthetic, theta, number, made, shrinkage, loss)
    return _Fitted(noise(theta), jax.jacfwd(noise)(theta), drift)


def _change(new: Array, old: Array, scale: Array | float = 1e-300) -> Array:
    """The largest change, relative to the largest entry or a ``scale`` of its own."""
    return jnp.max(jnp.abs(new - old)) / jnp.maximum(jnp.max(jnp.abs(new)), scale)
