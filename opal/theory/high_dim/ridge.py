r"""Weighted ridge regression of labels ±1 in the limit: one root and one linear system.

Derivation: docs/theory.md, section 9.2.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from opal.theory.high_dim.bracket import Root, increasing_root
from opal.theory.high_dim.components import Components


class Rule(NamedTuple):
    """v, p [q], r and b of :class:`opal.theory.high_dim.rule.HighDim`."""

    response: Float[Array, ""]
    along: Float[Array, " q"]
    across: Float[Array, ""]
    intercept: Float[Array, ""]
    converged: Bool[Array, ""]


def ridge_rule(components: Components, ridge: Array) -> Rule:
    r"""The limit of the ridge rule.

    With ``c_k = α_kω_k/(1 + ω_kΔ_kv)`` and ``P = diag(c) − cc^⊤/Σc``, the part along the means
    solves ``(I + vA^⊤PA)p = vA^⊤Py``, where A has the means as rows; this is
    ``(I + vGP)m = vGPy`` for ``m = Ap``, and symmetric.
    """
    y, means = jnp.asarray(components.label), jnp.asarray(components.means)
    v, converged = ridge_response(components, ridge)
    weight, density = jnp.asarray(components.weight), jnp.asarray(components.density)
    shrunk = weight / (1 + components.weight * components.scale * v)
    c = density * shrunk

    def project(values: Array) -> Array:
        return c * (values - c @ values / c.sum())

    inner = means.T @ jax.vmap(project, in_axes=1, out_axes=1)(means)
    system = jnp.eye(inner.shape[0]) + v * inner
    factor = jax.scipy.linalg.cho_factor(0.5 * (system + system.T))
    along = jax.scipy.linalg.cho_solve(factor, v * means.T @ project(y))
    gap = y - means @ along
    intercept = c @ gap / c.sum()
    # s = v²(Σ w_kΔ_k(r_k² + Δ_k s) + ‖p‖²/v²), so that r² = s − ‖p‖² is this:
    noise = v**2 * density * shrunk**2 * components.scale
    own = noise @ (gap - intercept) ** 2
    shared = noise @ components.scale
    across = jnp.sqrt((own + shared * (along @ along)) / (1 - shared))
    return Rule(v, along, across, intercept, converged)


def ridge_response(components: Components, ridge: Array) -> Root:
    """The v > 0 with ``v(λ + Σ α_kω_kΔ_k/(1 + ω_kΔ_kv)) = 1``.

    It exists for λ > 0, and for λ = 0 if more rows than dimensions have weight. The equation is
    increasing in log v, and the bracket is found without search.
    """
    strength = jnp.asarray(components.weight * components.scale)
    density = jnp.where(strength > 0, components.density, 0.0)

    def excess(log_v: Array) -> Array:
        load = strength * jnp.exp(log_v)
        return ridge * jnp.exp(log_v) + density @ (load / (1 + load)) - 1.0

    low = -jnp.log(ridge + density @ strength)
    weakest = jnp.min(jnp.where(density > 0, strength, jnp.inf))
    surplus = weakest * (density.sum() - 1)
    most = jnp.where(ridge > 0, ridge, 0.0), jnp.where(surplus > 0, surplus, 0.0)
    # Without a root the bracket is arbitrary, and the search in it fails.
    high = -jnp.log(jnp.maximum(jnp.maximum(*most), jnp.exp(-low) * 1e-12))
    root = increasing_root(excess, low, low - 1e-9, jnp.maximum(low, high) + 1e-9)
    return Root(jnp.exp(root.x), root.converged)
