r"""Balanced excess risk of the weighted estimator to order 1/n (docs/theory.md, section 2).

With row weights ``r_g, o_g, a_g`` of real, oversampled and augmented rows, the estimator follows

.. math::
    \hat g(θ) = Σ_g r_g Σ_{i ≤ n_g} ∇ℓ(θ; z_i) + o_g Σ_{i ≤ m_g} ∇ℓ(θ; \tilde z_i)
              + a_g Σ_{i ≤ N} ∇ℓ(θ; \tilde z_i'),

whose mean defines the pseudo-target θ_α and whose covariance is V(θ). Everything is exact in the
laws; only the expansion in 1/n is approximate.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from opal import losses
from opal.losses import Loss
from opal.newton import minimise
from opal.objective import RowCounts, RowWeights
from opal.settings.law import SmoothLaw, SmoothTruth
from opal.settings.quadrature import N_SCRAMBLES
from opal.theory import expansion, moments, seeds

_Of = Callable[[Array], Array]


class Asymptotics(NamedTuple):
    """The estimator's law to order 1/n, and the balanced excess risk that follows from it.

    Attributes:
        target: pseudo-target θ_α [p], moved by the threshold's shift if there is one.
        drift: ``E θ̂ − θ_α`` [p], of order 1/n.
        covariance: of θ̂ [p, p], ``A⁻¹ V A⁻¹``.
        bias: ``R_bal(θ_α) − R_bal(θ*)``.
        drift_risk: ``∇R_bal(θ_α)ᵀ drift``; vanishes with the bias.
        variance: ``½ tr(H covariance)``.
        optimum: θ* [p], the truth's minimiser of the balanced risk.
    """

    target: Float[Array, " p"]
    drift: Float[Array, " p"]
    covariance: Float[Array, "p p"]
    bias: Float[Array, ""]
    drift_risk: Float[Array, ""]
    variance: Float[Array, ""]
    optimum: Float[Array, " p"]

    @property
    def excess(self) -> Float[Array, ""]:
        """``E R_bal(θ̂) − R_bal(θ*)``."""
        return self.bias + self.drift_risk + self.variance


@partial(jax.jit, static_argnames=("seed_use", "loss"))
def asymptotics(
    truth: SmoothTruth,
    synthetic: SmoothLaw,
    rows: RowCounts,
    weights: RowWeights,
    *,
    seed_use: str = "none",
    shrinkage: Array | float = 0.0,
    ridge: Array | float = 0.0,
    shift: Float[Array, " p"] | None = None,
    loss: Loss = "logistic",
) -> Asymptotics:
    """Expand the estimator around its pseudo-target.

    Args:
        truth: P.
        synthetic: Q in the limit of many seeds; the truth itself where nothing is synthetic.
        rows: numbers of rows [G] each, real numbers allowed.
        weights: weights of a row [G] each.
        seed_use: how Q depends on the seeds, see :class:`opal.theory.seeds`.
        shrinkage: γ of a fitted covariance.
        ridge: λ.
        shift: added to the estimate after the fit [p] (a moved threshold).
        loss: logistic or squared.
    """
    slope, curvature, noise = _equations(
        truth, synthetic, rows, weights, seed_use, shrinkage, ridge, loss
    )
    start = jnp.zeros(losses.n_parameters(loss, truth.n_classes, truth.dim))
    fit = minimise(lambda t: (slope(t), curvature(t)), start, tolerance=1e-11)
    theta = fit.theta
    solve = partial(jax.scipy.linalg.solve, curvature(theta), assume_a="pos")
    covariance = expansion.covariance(solve, noise(theta))
    pull = expansion.pull(solve, noise, curvature, theta)
    if seed_use == "moments":
        _, made = seeds.shares(rows, weights)
        pull -= moments.generator_drift(
            *moments.gaussian(truth, synthetic), theta, rows, made, shrinkage, loss
        )
    drift = solve(pull)
    target = theta if shift is None else theta + shift
    optimum = truth.optimum(loss)
    best = truth.group_risk(optimum, loss).mean()
    gradient = truth.group_gradient(target, loss).mean(axis=0)
    balanced = truth.group_hessian(target, loss).mean(axis=0)
    return Asymptotics(
        target,
        drift,
        covariance,
        truth.group_risk(target, loss).mean() - best,
        gradient @ drift,
        expansion.variance(balanced, covariance),
        optimum,
    )


def _equations(
    truth: SmoothTruth,
    synthetic: SmoothLaw,
    rows: RowCounts,
    weights: RowWeights,
    seed_use: str,
    shrinkage: Array | float,
    ridge: Array | float,
    loss: Loss,
) -> tuple[_Of, _Of, _Of]:
    """Mean [p] and Jacobian [p, p] of ĝ + λDθ, and covariance [p, p] of ĝ, as functions of θ."""
    p = losses.n_parameters(loss, truth.n_classes, truth.dim)
    penalty = jnp.tile(jnp.ones(truth.dim + 1).at[-1].set(0.0), p // (truth.dim + 1)) * ridge
    real, made = seeds.shares(rows, weights)

    def slope(theta: Array) -> Array:
        return (
            real @ truth.group_gradient(theta, loss)
            + made @ synthetic.group_gradient(theta, loss)
            + penalty * theta
        )

    def curvature(theta: Array) -> Array:
        return (
            jnp.einsum("g,gpq->pq", real, truth.group_hessian(theta, loss))
            + jnp.einsum("g,gpq->pq", made, synthetic.group_hessian(theta, loss))
            + jnp.diag(penalty)
        )

    def noise(theta: Array) -> Array:
        return seeds.gradient_covariance(
            truth, synthetic, theta, rows, weights, seed_use, shrinkage, loss
        )

    return slope, curvature, noise


@partial(jax.jit, static_argnames=("seed_use", "loss"))
def scrambled_excess(
    truth: Any,
    synthetic: Any,
    rows: RowCounts,
    weights: RowWeights,
    found: Asymptotics,
    *,
    seed_use: str = "none",
    ridge: Array | float = 0.0,
    shift: Float[Array, " p"] | None = None,
    loss: Loss = "logistic",
) -> Float[Array, "s 2"]:
    """Bias and variance of the excess by each scramble of the laws' points [S, 2].

    Their spread says how exact the quadrature of many scores is. The arguments are those of
    :func:`asymptotics` and what it found, at whose target the scrambles are compared; both laws
    have ``one_scramble``, and rows do not depend on the seeds through moments.
    """
    theta = found.target if shift is None else found.target - shift

    def of_scramble(index: Array) -> Array:
        true, made = truth.one_scramble(index), synthetic.one_scramble(index)
        _, curvature, noise = _equations(true, made, rows, weights, seed_use, 0.0, ridge, loss)
        solve = partial(jax.scipy.linalg.solve, curvature(theta), assume_a="pos")
        covariance = expansion.covariance(solve, noise(theta))
        balanced = true.group_hessian(found.target, loss).mean(axis=0)
        least = true.group_risk(found.optimum, loss).mean()
        bias = true.group_risk(found.target, loss).mean() - least
        return jnp.stack([bias, expansion.variance(balanced, covariance)])

    parts: Array = jax.lax.map(of_scramble, jnp.arange(N_SCRAMBLES))
    return parts
