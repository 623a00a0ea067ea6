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
        build: numbers by name ↦ components and λ, a function that JAX can trace; for instance
            ``lambda t: (of_setting(setting, design, alpha=t["alpha"]), t["ridge"])``.
        bounds: of each number to tune.
        loss: of the rule.
        metric: of :data:`METRICS`.
        n_starts: on a Halton sequence within the bounds.

    Raises:
        ValueError: unknown metric, or bounds that are not a finite interval.
    """
    from scipy import optimize
    from scipy.stats import qmc

    if metric not in METRICS:
        raise ValueError(f"metric must be one of {METRICS}; got {metric!r}.")
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

    @jax.jit
    def moved(x: jax.Array) -> tuple[tuple[Components, jax.Array], tuple[Components, jax.Array]]:
        """What the numbers make, and its derivatives in each of them (the last axis)."""
        return made(x), jax.jacfwd(made)(x)

    def slope(x: np.ndarray) -> tuple[jax.Array, jax.Array]:
        at, by_number = moved(jnp.asarray(x))
        value, slopes = _slopes(*at, loss, metric)
        parts = jax.tree.map(lambda a, b: jnp.tensordot(a, b, a.ndim), slopes, by_number)
        return value, sum(jax.tree.leaves(parts), jnp.zeros(len(x)))

    with jax.enable_x64(True):
        box = np.array([np.log(b) if logs[name] else b for name, b in bounds.items()])
        starts = qmc.Halton(len(box), scramble=False).random(n_starts + 1)[1:]
        ends = [
            optimize.minimize(_finite(slope), start, jac=True, bounds=box, tol=1e-12)
            for start in qmc.scale(starts, box[:, 0], box[:, 1])
        ]
        first = min(ends, key=lambda end: end.fun)
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
            return 1e6, np.zeros_like(x)
        return float(value), np.asarray(gradient)

    return function
