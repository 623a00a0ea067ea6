"""Damped Newton iterations for smooth convex functions given by their derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Solver = Callable[[Float[Array, " p"]], Float[Array, " p"]]
_State = tuple[Array, Array, Array, Array, Array]
Derivatives = Callable[[Float[Array, " p"]], tuple[Float[Array, " p"], Float[Array, "p p"]]]


class Minimum(NamedTuple):
    """Where the iterations stopped.

    Attributes:
        theta: [p].
        gradient_norm: largest absolute gradient entry there.
        n_iterations: Newton steps taken.
        converged: whether ``gradient_norm`` reached the tolerance: for a convex function the
            certificate of a minimum.
    """

    theta: Float[Array, " p"]
    gradient_norm: Float[Array, ""]
    n_iterations: Int[Array, ""]
    converged: Bool[Array, ""]


def factorise(hessian: Float[Array, "p p"], *, jitter: float = 1e-14) -> Solver:
    """Prepare ``gradient ↦ H⁻¹ gradient`` for a positive semi-definite H, by Cholesky.

    H is scaled to a unit diagonal first, so that features of any unit are treated alike, and gets
    ``jitter`` times the identity, so that a singular H gives finite numbers.
    """
    scale = jnp.sqrt(jnp.clip(jnp.diagonal(hessian), 1e-300))
    scaled = hessian / (scale[:, None] * scale[None, :]) + jitter * jnp.eye(len(scale))
    factor = jax.scipy.linalg.cho_factor(scaled)
    return lambda gradient: jax.scipy.linalg.cho_solve(factor, gradient / scale) / scale


def minimise(
    derivatives: Derivatives,
    start: Float[Array, " p"],
    *,
    tolerance: float,
    start_gradient: Float[Array, " p"] | None = None,
    max_iterations: int = 100,
) -> Minimum:
    """Minimise a convex function by Newton steps that are halved when they overshoot.

    A step along the direction s is kept when the slope along s has not turned positive beyond half
    its first size; otherwise the step is halved.

    Args:
        derivatives: θ [p] ↦ gradient [p] and Hessian [p, p].
        start: first iterate [p].
        tolerance: stop when no gradient entry exceeds this.
        start_gradient: gradient at ``start`` where it is known; if small enough, nothing is done.
        max_iterations: stop after so many evaluations, converged or not.
    """

    def unfinished(state: _State) -> Array:
        _, gradient, _, _, n = state
        return (jnp.max(jnp.abs(gradient)) > tolerance) & (n < max_iterations)

    def step(state: _State) -> _State:
        theta, gradient, towards, length, n = state
        candidate = theta + length * towards
        new_gradient, hessian = derivatives(candidate)
        # The first direction is zero: the first round only evaluates the start.
        before, after = jnp.where(n == 0, 0.0, gradient) @ towards, new_gradient @ towards
        accept = jnp.isfinite(after) & (after <= -0.5 * before)
        return (
            jnp.where(accept, candidate, theta),
            jnp.where(accept, new_gradient, gradient),
            jnp.where(accept, -factorise(hessian)(new_gradient), towards),
            jnp.where(accept, 1.0, 0.5 * length),
            n + 1,
        )

    first = jnp.full_like(start, jnp.inf) if start_gradient is None else start_gradient
    state = (start, first, jnp.zeros_like(start), jnp.ones((), start.dtype), jnp.zeros((), int))
    theta, gradient, _, _, n = jax.lax.while_loop(unfinished, step, state)
    norm = jnp.max(jnp.abs(gradient))
    return Minimum(theta, norm, n, norm <= tolerance)
