r"""What a row contributes to the fixed-point equations, for each loss of the margin.

A row that was left out meets the rule with margin ``m ~ N(c, σ²)``. Putting it back moves its
margin to the proximal point ``t = argmin γℓ(t) + (t − m)²/2`` (docs/theory.md, section 9.3).
Losses are ``(1 − t)²/2``, ``log(1 + e^{−t})`` and ``max(0, 1 − t)``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from jaxtyping import Array, Bool, Float

MarginLoss = Literal["squared", "logistic", "hinge"]
MARGIN_LOSSES: tuple[MarginLoss, ...] = ("squared", "logistic", "hinge")
_REACH = 8.3  # standard deviations beyond which a normal has no mass in double precision
_N_NODES = 512


class Pull(NamedTuple):
    """Averages of the pull ``f = −ℓ'(t)`` of a row on the rule, over its left-out margin [k]."""

    mean: Float[Array, " k"]  # E f
    square: Float[Array, " k"]  # E f²
    decline: Float[Array, " k"]  # −E df/dm


def margin_loss(name: str) -> MarginLoss:
    """The loss of that name.

    Raises:
        ValueError: there is none.
    """
    for loss in MARGIN_LOSSES:
        if loss == name:
            return loss
    raise ValueError(f"loss must be one of {MARGIN_LOSSES}; got {name!r}.")


def pull(
    centre: Float[Array, " k"],
    spread: Float[Array, " k"],
    step: Float[Array, " k"],
    loss: MarginLoss,
) -> Pull:
    """The pull at left-out margins of mean ``centre`` and standard deviation ``spread``.

    Args:
        centre: c [k].
        spread: σ > 0 [k].
        step: γ = ωΔv ≥ 0 [k].
        loss: of the margin.
    """
    if loss == "squared":
        shrunk = 1 / (1 + step)
        mean = (1 - centre) * shrunk
        return Pull(mean, mean**2 + (spread * shrunk) ** 2, shrunk)
    if loss == "hinge":
        return _hinge_pull(centre, spread, step)
    margins, weights = _trapezoid(centre, spread)
    t = proximal(margins, step[:, None] * jnp.ones_like(margins))
    f = jax.nn.sigmoid(-t)
    curvature = f * (1 - f)
    decline = curvature / (1 + step[:, None] * curvature)
    return Pull(f @ weights, f**2 @ weights, decline @ weights)


def risk(
    centre: Float[Array, " k"], spread: Float[Array, " k"], loss: MarginLoss
) -> Float[Array, " k"]:
    """``E ℓ(m)`` [k]."""
    gap = 1 - centre
    if loss == "squared":
        return 0.5 * (gap**2 + spread**2)
    if loss == "hinge":
        return gap * norm.cdf(gap / spread) + spread * norm.pdf(gap / spread)
    margins, weights = _trapezoid(centre, spread)
    return jax.nn.softplus(-margins) @ weights


def resolved(spread: Float[Array, " k"], loss: MarginLoss) -> Bool[Array, " k"]:
    """Whether averages over margins are exact to about 1e-9 [k].

    The logistic loss is analytic within π of the real axis, so that the trapezoidal rule of spacing
    h has an error of ``exp(−2π²/h)``. The other averages are closed forms, or nearly.
    """
    if loss != "logistic":
        return jnp.ones_like(spread, bool)
    return spread * (2 * _REACH / (_N_NODES - 1)) <= 1.0


@jax.custom_jvp
def proximal(margins: Float[Array, "k q"], step: Float[Array, "k q"]) -> Float[Array, "k q"]:
    """The root t of ``t = m + γ/(1 + e^t)`` (logistic loss); not-a-number where none was found.

    Newton's iterations start where the function is steepest on its bracket [m, m + γ], and from
    there converge monotonely: it is convex on one side of 0 and concave on the other.
    """

    def move_from(t: Array) -> Array:
        f = jax.nn.sigmoid(-t)
        return (margins + step * f - t) / (1 + step * f * (1 - f))

    def unfinished(state: tuple[Array, Array, Array]) -> Array:
        t, move, n = state
        return jnp.any(jnp.abs(move) > 1e-13 * (1 + jnp.abs(t))) & (n < 100)

    def step_(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        t, _, n = state
        move = move_from(t)
        return t + move, move, n + 1

    start = jnp.clip(jnp.zeros_like(margins), margins, margins + step)
    state = (start, jnp.full_like(start, jnp.inf), jnp.zeros((), int))
    t, move, _ = jax.lax.while_loop(unfinished, step_, state)
    return jnp.where(jnp.abs(move) <= 1e-9 * (1 + jnp.abs(t)), t, jnp.nan)


@proximal.defjvp
def _proximal_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    t = proximal(*primals)
    f = jax.nn.sigmoid(-t)
    rate = 1 / (1 + primals[1] * f * (1 - f))
    return t, rate * (tangents[0] + f * tangents[1])


def _hinge_pull(centre: Array, spread: Array, step: Array) -> Pull:
    """The pull is 1 below ``1 − γ``, ``(1 − m)/γ`` up to 1, and 0 beyond.

    The middle is integrated over ``τ = (1 − m)/γ`` at Gauss and Legendre's nodes: differences of
    distribution functions would lose all digits at small γ.
    """
    nodes, weights = (jnp.asarray(part) for part in _legendre())
    low, high = (
        jnp.clip((1 - centre - sign * _REACH * spread) / step, 0.0, 1.0) for sign in (1, -1)
    )
    width = (high - low)[:, None]
    tau = low[:, None] + width * nodes[None, :]
    z = (1 - step[:, None] * tau - centre[:, None]) / spread[:, None]
    mass = width * weights[None, :] * norm.pdf(z) * (step / spread)[:, None]
    full = norm.cdf((1 - step - centre) / spread)
    decline = mass.sum(axis=1) / step
    return Pull(full + (mass * tau).sum(axis=1), full + (mass * tau**2).sum(axis=1), decline)


def _trapezoid(centre: Array, spread: Array) -> tuple[Array, Array]:
    """Nodes [k, q] and weights [q] of normals, equally spaced."""
    z = np.linspace(-_REACH, _REACH, _N_NODES)
    weights = np.exp(-0.5 * z**2)
    nodes = centre[:, None] + spread[:, None] * jnp.asarray(z)[None, :]
    return nodes, jnp.asarray(weights / weights.sum())


@lru_cache(maxsize=1)
def _legendre() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(64)
    return 0.5 * (1 + nodes), 0.5 * weights
