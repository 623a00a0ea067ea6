"""The root of an increasing function, kept in a bracket and differentiable at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Scalar = Float[Array, ""]
_MAX_ITERATIONS = 200


class Root(NamedTuple):
    """A root and whether the function is within the tolerance of zero there."""

    x: Scalar
    converged: Bool[Array, ""]


class _Search(NamedTuple):
    x: Array  # to be evaluated next
    low: Array
    high: Array
    best: Array  # evaluated last
    value: Array
    n: Array


def increasing_root(
    function: Callable[[Scalar], Scalar],
    start: Scalar,
    low: Scalar,
    high: Scalar,
    *,
    tolerance: float = 1e-13,
) -> Root:
    """Solve ``function(x) = 0`` for an increasing function with a sign change in [low, high].

    Newton steps that leave the bracket or fail to halve the function are replaced by bisection, so
    that the iterations end for any start. Derivatives of the root are those of the implicit
    function theorem, whatever the iterations did.

    Args:
        function: increasing, differentiable; it may close over traced values.
        start: first iterate, moved into the bracket.
        low: lower end.
        high: upper end.
        tolerance: the largest ``|function|`` that counts as zero.
    """

    def solve(f: Callable[[Array], Array], x: Array) -> tuple[Array, Array]:
        return _safeguarded(f, x, low, high, tolerance)

    root, value = jax.lax.custom_root(
        function, start, solve, lambda linear, y: y / linear(jnp.ones_like(y)), has_aux=True
    )
    return Root(root, jnp.abs(value) <= tolerance)


def _safeguarded(
    f: Callable[[Array], Array], start: Array, low: Array, high: Array, tolerance: float
) -> tuple[Array, Array]:
    def unfinished(at: _Search) -> Array:
        wide = at.high - at.low > 4e-16 * (1 + jnp.abs(at.x))
        # A value that is not a number is no reason to stop: the first one never is.
        return ~(jnp.abs(at.value) <= tolerance) & wide & (at.n < _MAX_ITERATIONS)

    def step(at: _Search) -> _Search:
        value, slope = jax.jvp(f, (at.x,), (jnp.ones_like(at.x),))
        low = jnp.where(value < 0, at.x, at.low)
        high = jnp.where(value < 0, at.high, at.x)
        newton = at.x - value / slope
        slow = jnp.abs(value) > 0.5 * jnp.abs(at.value)
        good = (newton > low) & (newton < high) & ~slow
        x = jnp.where(good, newton, 0.5 * (low + high))
        return _Search(x, low, high, at.x, value, at.n + 1)

    x, none = jnp.clip(start, low, high), jnp.zeros((), int)
    at = _Search(x, low, high, x, jnp.full_like(x, jnp.nan), none)
    at = jax.lax.while_loop(unfinished, step, at)
    return at.best, at.value
