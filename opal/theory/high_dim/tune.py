"""The α, N and λ of least error that theory itself finds, by gradients of the exact limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from opal.theory.high_dim.components import Components
from opal.theory.high_dim.margins import MarginLoss
from opal.theory.high_dim.rule import solve

Build = Callable[[Mapping[str, jax.Array]], tuple[Components, jax.Array | float]]
METRICS = ("balanced_error", "worst_error", "balanced_risk", "worst_risk")
_NO_ANSWER = 1e6  # what a search sees where theory has none


class Best(NamedTuple):
    """Where the metric is least within the bounds.

    Attributes:
        at: each number that was tuned.
        value: of the metric there.
        converged: whether the optimiser was satisfied with the end.
    """

    at: dict[str, float]
    value: float
    converged: bool


def best(
    build: Build,
    bounds: Mapping[str, tuple[float, float]],
    *,
    loss: MarginLoss = "squared",
    metric: str = "balanced_error",
    n_starts: int = 5,
) -> Best:
    """Minimise a metric over some numbers of a design, from several starts.

    Numbers whose bounds are positive are searched on a logarithmic scale.

    Args:
        build: numbers by name ↦ components and λ, differentiable; for instance
            ``lambda t: (of_setting(setting, design, alpha=t["alpha"]), t["ridge"])``.
        bounds: of each number to tune.
        loss: of the rule.
        metric: of :data:`METRICS`.
        n_starts: on a Halton sequence within the bounds.

    Raises:
        ValueError: unknown metric, no bounds or some that are not a finite interval, no start, or
            no solution at any.
    """
    from scipy import optimize
    from scipy.stats import qmc

    if metric not in METRICS:
        raise ValueError(f"metric must be one of {METRICS}; got {metric!r}.")
    if not bounds or n_starts < 1:
        raise ValueError(
            "best needs at least one number to tune, and one start; "
            f"got bounds of {list(bounds)} and n_starts {n_starts}."
        )
    for name, (low, high) in bounds.items():
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError(f"bounds of {name} must be a finite interval; got {(low, high)}.")
    logs = {name: low > 0 for name, (low, _) in bounds.items()}

    def named(x: jax.Array) -> dict[str, jax.Array]:
        return {
            name: jnp.exp(value) if logs[name] else value
            for name, value in zip(bounds, x, strict=True)
        }

    def made(x: jax.Array) -> tuple[Components, jax.Array]:
        parts, ridge = build(named(x))
        return Components(*(jnp.asarray(part, float) for part in parts)), jnp.asarray(ridge, float)

    def slope(x: np.ndarray) -> tuple[jax.Array, jax.Array]:
        at, pull_back = jax.vjp(made, jnp.asarray(x))
        value, slopes = _slopes(*at, loss, metric)
        return value, pull_back(slopes)[0]

    with jax.enable_x64(True):
        box = np.array([np.log(b) if logs[name] else b for name, b in bounds.items()])
        starts = qmc.Halton(len(box), scramble=False).random(n_starts + 1)[1:]
        ends = [
            optimize.minimize(_finite(slope), start, jac=True, bounds=box, tol=1e-12)
            for start in qmc.scale(starts, box[:, 0], box[:, 1])
        ]
        first = min(ends, key=lambda end: end.fun)
        if first.fun >= _NO_ANSWER:
            raise ValueError(
                f"theory has no answer at any of {len(ends)} starts within {dict(bounds)}: the "
                "equations have no solution there. Allow a larger ridge, or other bounds."
            )
        at = {name: float(number) for name, number in named(jnp.asarray(first.x)).items()}
    return Best(at, float(first.fun), bool(first.success))


@partial(jax.jit, static_argnames=("loss", "metric"))
def _slopes(
    components: Components, ridge: jax.Array, loss: MarginLoss, metric: str
) -> tuple[jax.Array, tuple[Components, jax.Array]]:
    """A metric and its derivatives in everything; compiled once for all designs of a size."""

    def value(made: Components, penalty: jax.Array) -> jax.Array:
        return getattr(solve(made, penalty, loss=loss), metric)

    return jax.value_and_grad(value, argnums=(0, 1))(components, ridge)


def _finite(
    slope: Callable[[np.ndarray], tuple[jax.Array, jax.Array]],
) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Where theory has no answer, a value that no search prefers."""

    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = slope(x)
        if not np.isfinite(value):
            return _NO_ANSWER, np.zeros_like(x)
        return float(value), np.asarray(gradient)

    return function
