r"""Weighted logistic regression by Newton's method, made to be mapped over replicates.

Minimises ``Σ_i ω_i ℓ(θ; x_i, y_i) + λ‖w‖²/2``. Most of the work of a Newton step is its Hessian: a
factorised Hessian, computed in float32, serves several steps (Shamanskii 1967), and is corrected by
the last step's secant (one pair of L-BFGS), which saves a third of the Hessians. The first steps
are wholly in float32, which halves what passes through the cache; the gradients of the last ones
are computed in full precision. The gradient certifies the result: an inexact Hessian can slow the
iterations down but cannot move their limit. What is not finished then (ill-conditioned features,
almost separable rows) goes to damped Newton iterations with exact Hessians.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from opal import losses
from opal.arrays import AnyArray
from opal.newton import Solver, factorise, minimise

_Iterate = tuple[Array, Array, Array, tuple[Array, Array], Array]
_State = tuple[Array, Array, Array, Array, Array]

TOLERANCE = 1e-9
_SINGLE_TOLERANCE = 1e-3  # of the float32 steps, whose gradients have few digits below
_STEPS_PER_HESSIAN = 6
_MAX_HESSIANS = 8


class LogisticFit(NamedTuple):
    """A fitted logistic rule and how the fit ended.

    Attributes:
        theta: parameters [p].
        gradient_norm: largest absolute entry of the objective's gradient.
        converged: whether it is at most the tolerance.
        separated: whether the rule labels every row that has weight rightly, so that without a
            penalty no finite minimiser exists: ``theta`` is where the gradient became small.
    """

    theta: Float[Array, " p"]
    gradient_norm: Float[Array, ""]
    converged: Bool[Array, ""]
    separated: Bool[Array, ""]


def fit_logistic(
    x: Float[Array, "n d"],
    y: Int[Array, " n"],
    weights: Float[Array, " n"],
    *,
    n_classes: int = 2,
    ridge: Float[AnyArray, ""] | float = 0.0,
    tolerance: float = TOLERANCE,
) -> LogisticFit:
    """Fit a weighted logistic rule.

    Args:
        x: features.
        y: labels in 0 … K−1.
        weights: ω ≥ 0, of sum one (the tolerance is relative to that sum).
        n_classes: K; softmax with class 0 as reference.
        ridge: λ; the intercepts are not penalised.
        tolerance: the largest gradient entry at which the fit counts as converged.
    """
    if n_classes == 2:
        return _fit_binary(x, y, weights, jnp.asarray(ridge, x.dtype), tolerance)
    return _fit_softmax(x, y, weights, n_classes, jnp.asarray(ridge, x.dtype), tolerance)


def _fit_binary(x: Array, y: Array, weights: Array, ridge: Array, tolerance: float) -> LogisticFit:
    # Features run along memory, as both products of a gradient do; the intercept has none to read.
    features = x.T
    single = features.astype(jnp.float32)
    sign = 2.0 * y.astype(x.dtype) - 1.0
    penalty = ridge * _penalised(x.shape[1], 1, x.dtype)

    def margins(features: Array, theta: Array) -> Array:
        return sign.astype(theta.dtype) * (theta[:-1] @ features + theta[-1])

    def gradient(features: Array, theta: Array) -> tuple[Array, Array]:
        miss = jax.nn.sigmoid(-margins(features, theta))
        pull = (sign * weights).astype(theta.dtype) * miss
        slope = jnp.append(features @ pull, pull.sum())
        return penalty.astype(theta.dtype) * theta - slope, miss

    def hessian(features: Array, miss: Array) -> Array:
        curvature = (weights * miss * (1 - miss)).astype(features.dtype)
        weighted = features * curvature[None, :]
        side = jnp.append(weighted.sum(axis=1), curvature.sum())
        above = jnp.concatenate([weighted @ features.T, side[None, :-1]])
        whole = jnp.concatenate([above, side[:, None]], axis=1)
        return whole.astype(x.dtype) + jnp.diag(penalty)

    def derivatives(theta: Array) -> tuple[Array, Array]:
        slope, miss = gradient(features, theta)
        return slope, hessian(features, miss)

    rough = partial(hessian, single)
    start = jnp.zeros(x.shape[1] + 1, jnp.float32)
    near, _ = _shamanskii(partial(gradient, single), rough, start, _SINGLE_TOLERANCE)
    fast, slope = _shamanskii(partial(gradient, features), rough, near.astype(x.dtype), tolerance)
    fit = minimise(derivatives, fast, start_gradient=slope, tolerance=tolerance, max_iterations=200)
    right = margins(features, fit.theta) > 0
    separated = jnp.all(right | (weights == 0)) & (ridge == 0)
    return LogisticFit(fit.theta, fit.gradient_norm, fit.converged, separated)


def _shamanskii(
    gradient: Callable[[Array], tuple[Array, Array]],
    hessian: Callable[[Array], Array],
    start: Array,
    tolerance: float,
) -> tuple[Array, Array]:
    """Newton steps that share a Hessian, in the precision of ``start``.

    Returns:
        The last iterate and its gradient; ``start``, with an infinite gradient, where the steps
        led nowhere.
    """

    def unfinished(state: _State) -> Array:
        _, slope, _, n, last = state
        norm = jnp.max(jnp.abs(slope))
        # A round that does not halve the gradient (or spoils it) is not worth repeating.
        return (norm > tolerance) & (n < _MAX_HESSIANS) & (norm < 0.5 * last)

    def round_(state: _State) -> _State:
        theta, slope, miss, n, _ = state
        last = jnp.max(jnp.abs(slope))
        solve = factorise(hessian(miss), jitter=1e-6)

        def on_course(inner: _Iterate) -> Array:
            _, slope, _, _, steps = inner
            return (jnp.max(jnp.abs(slope)) > tolerance) & (steps < _STEPS_PER_HESSIAN)

        def step(inner: _Iterate) -> _Iterate:
            at, slope, _, pair, steps = inner
            move = -_with_secant(solve, slope, *pair).astype(at.dtype)
            new_slope, miss = gradient(at + move)
            return at + move, new_slope, miss, (move, new_slope - slope), steps + 1

        none = jnp.zeros_like(theta)
        begin = (theta, slope, miss, (none, none), jnp.zeros((), int))
        theta, slope, miss, *_ = jax.lax.while_loop(on_course, step, begin)
        return theta, slope, miss, n + 1, last

    slope, miss = gradient(start)
    size = jnp.max(jnp.abs(slope))
    state = (start, slope, miss, jnp.zeros((), int), jnp.full_like(size, jnp.inf))
    theta, last_slope, *_ = jax.lax.while_loop(unfinished, round_, state)
    led_somewhere = jnp.max(jnp.abs(last_slope)) <= size
    return (
        jnp.where(led_somewhere, theta, start),
        jnp.where(led_somewhere, last_slope, jnp.inf),
    )


def _with_secant(solve: Solver, slope: Array, move: Array, change: Array) -> Array:
    """``H⁻¹ slope`` [p], with H corrected so that ``H move = change`` (Nocedal 1980)."""
    curvature = move @ change
    inverse = jnp.where(curvature > 0, 1 / curvature, 0.0)
    along = inverse * (move @ slope)
    direction = solve(slope - along * change)
    return direction + (along - inverse * (change @ direction)) * move


def _fit_softmax(
    x: Array, y: Array, weights: Array, n_classes: int, ridge: Array, tolerance: float
) -> LogisticFit:
    columns = jnp.concatenate([x, jnp.ones((len(x), 1), x.dtype)], axis=1)
    p = losses.n_parameters("logistic", n_classes, x.shape[1])
    penalty = ridge * _penalised(x.shape[1], n_classes - 1, x.dtype)

    def scores(theta: Array) -> Array:
        return columns @ theta.reshape(n_classes - 1, -1).T

    def derivatives(theta: Array) -> tuple[Array, Array]:
        u = scores(theta)
        slopes = losses.slopes(u, n_classes, "logistic")
        slope = jnp.take_along_axis(slopes, y[:, None, None], axis=1)[:, 0]
        gradient = jnp.einsum("n,nc,ni->ci", weights, slope, columns).ravel()
        curvature = weights[:, None, None] * losses.curvatures(u, "logistic")
        hessian = jnp.einsum("nce,ni,nj->ciej", curvature, columns, columns).reshape(p, p)
        return gradient + penalty * theta, hessian + jnp.diag(penalty)

    fit = minimise(derivatives, jnp.zeros(p, x.dtype), tolerance=tolerance, max_iterations=200)
    right = losses.predictions(scores(fit.theta), n_classes, "logistic") == y
    separated = jnp.all(right | (weights == 0)) & (ridge == 0)
    return LogisticFit(fit.theta, fit.gradient_norm, fit.converged, separated)


def _penalised(dim: int, n_scores: int, dtype: jnp.dtype) -> Float[Array, " p"]:
    """One for weights, zero for intercepts."""
    row = jnp.ones(dim + 1, dtype).at[dim].set(0.0)
    return jnp.tile(row, n_scores)
