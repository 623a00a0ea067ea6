r"""The trained rule in the limit of many dimensions, and what it does on each component."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Bool, Float

from opal.arrays import AnyArray
from opal.theory.high_dim import margins
from opal.theory.high_dim.components import Components
from opal.theory.high_dim.general import saddle
from opal.theory.high_dim.margins import MarginLoss
from opal.theory.high_dim.ridge import Rule, ridge_rule


class HighDim(NamedTuple):
    """Limits of the rule and of its errors; all NaN where the equations were not solved.

    Attributes:
        response: v, ``tr H⁻¹/d`` of the objective's Hessian H.
        along: p, the rule's part in the space of the means [q]; component k has score a_k·p + b.
        across: r, the size of its part orthogonal to them; ``‖w‖²/d = ‖p‖² + r²``.
        intercept: b.
        error: of each component [k].
        risk: expected loss of each component, without loss weight [k].
        balanced_error: ``Σ test_k error_k``.
        worst_error: the largest error of a component that is tested on.
        balanced_risk: ``Σ test_k risk_k``.
        worst_risk: the largest risk of a component that is tested on.
        converged: whether the equations are solved to the stated tolerance.
    """

    response: Float[AnyArray, ""]
    along: Float[AnyArray, " q"]
    across: Float[AnyArray, ""]
    intercept: Float[AnyArray, ""]
    error: Float[AnyArray, " k"]
    risk: Float[AnyArray, " k"]
    balanced_error: Float[AnyArray, ""]
    worst_error: Float[AnyArray, ""]
    balanced_risk: Float[AnyArray, ""]
    worst_risk: Float[AnyArray, ""]
    converged: Bool[AnyArray, ""]


def solve(components: Components, ridge: Array | float, *, loss: MarginLoss = "squared") -> HighDim:
    """Errors and risks of the rule that minimises a weighted, ridge-penalised loss.

    A pure function of arrays: it may be differentiated in any of them (derivatives are those of the
    solution, not of the iterations), mapped and compiled. Numbers are not checked, see
    :func:`opal.theory.high_dim.predict.evaluate`. Call under ``jax.enable_x64(True)``.

    Args:
        components: what is trained and tested on.
        ridge: λ > 0; 0 where a finite minimiser exists without it.
        loss: squared (closed form but for one root), logistic, or hinge.
    """
    parts = Components(*(jnp.asarray(part, float) for part in components))
    return _solve(parts, jnp.asarray(ridge, float), loss)


@partial(jax.jit, static_argnames=("loss",))
def _solve(components: Components, ridge: Array, loss: MarginLoss) -> HighDim:
    start = ridge_rule(components, ridge)
    rule = start if loss == "squared" else saddle(components, ridge, start, loss)
    return _evaluated(components, rule, loss)


def _evaluated(components: Components, rule: Rule, loss: MarginLoss) -> HighDim:
    size = jnp.sqrt(rule.along @ rule.along + rule.across**2)
    label, scale = jnp.asarray(components.label), jnp.asarray(components.scale)
    centre = label * (components.means @ rule.along + rule.intercept)
    spread = jnp.sqrt(scale) * size
    converged = rule.converged & jnp.all(margins.resolved(spread, loss))
    error, risk = norm.cdf(-centre / spread), margins.risk(centre, spread, loss)
    tested = jnp.asarray(components.test) > 0

    def worst(values: Array) -> Array:
        return jnp.max(jnp.where(tested, values, -jnp.inf))

    found = HighDim(
        *rule[:4],
        error,
        risk,
        balanced_error=components.test @ error,
        worst_error=worst(error),
        balanced_risk=components.test @ risk,
        worst_risk=worst(risk),
        converged=converged,
    )
    known: HighDim = jax.tree.map(lambda value: jnp.where(converged, value, jnp.nan), found)
    return known._replace(converged=converged)
