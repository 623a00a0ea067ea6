r"""Balanced excess risk of the weighted estimator to order 1/n (docs/theory.md, section 2).

With row weights ``r_g, o_g, a_g`` of real, oversampled and augmented rows, the estimator follows

.. math::
    \hat g(θ) = Σ_g r_g Σ_{i ≤ n_g} ∇ℓ(θ; z_i) + o_g Σ_{i ≤ m_g} ∇ℓ(θ; \tilde z_i)
              + a_g Σ_{i ≤ N} ∇ℓ(θ; \tilde z_i'),

whose mean defines the pseudo-target θ_α and whose covariance is V(θ). Everything is exact in the
laws; only the expansion in 1/n is approximate.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from opal import losses
from opal.arrays import AnyArray
from opal.losses import Loss
from opal.newton import minimise
from opal.objective import GeneratorRows, RowCounts, RowWeights
from opal.settings.law import SmoothLaw, SmoothTruth
from opal.settings.quadrature import N_SCRAMBLES
from opal.theory import expansion, moments, seeds


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
        doubt: half the mean curvature of the loss over the scores of all classes at θ_α, of each
            group [G]: ``E p(1 − p)`` for two classes and the logistic loss, one for the squared.
    """

    target: Float[Array, " p"]
    drift: Float[Array, " p"]
    covariance: Float[Array, "p p"]
    bias: Float[Array, ""]
    drift_risk: Float[Array, ""]
    variance: Float[Array, ""]
    optimum: Float[Array, " p"]
    doubt: Float[Array, " g"]

    @property
    def excess(self) -> Float[Array, ""]:
        """``E R_bal(θ̂) − R_bal(θ*)``."""
        return self.bias + self.drift_risk + self.variance


def asymptotics(
    truth: SmoothTruth,
    synthetic: SmoothLaw,
    rows: RowCounts,
    weights: RowWeights,
    *,
    seed_use: str = "none",
    generator: GeneratorRows | None = None,
    shrinkage: Array | float = 0.0,
    ridge: Array | float = 0.0,
    shift: Float[AnyArray, " p"] | None = None,
    loss: Loss = "logistic",
) -> Asymptotics:
    """Expand the estimator around its pseudo-target.

    Args:
        truth: P.
        synthetic: Q in the limit of many seeds; the truth itself where nothing is synthetic.
        rows: numbers of rows [G] each, real numbers allowed.
        weights: weights of a row [G] each.
        seed_use: how Q depends on the seeds, see :class:`opal.theory.seeds`.
        generator: the seeds; None where they are the real rows.
        shrinkage: γ of a fitted covariance.
        ridge: λ.
        shift: added to the estimate after the fit [p] (a moved threshold).
        loss: logistic or squared.
    """
    # In three functions, since designs that differ in how their seeds are used share two of them,
    # and compiling is most of the time.
    numbers = (jnp.asarray(shrinkage, float), jnp.asarray(ridge, float))
    design = _Design(rows, weights, generator, *numbers)
    optimum = _optimum(truth, loss=loss)
    theta = _pseudo_target(truth, synthetic, design, loss=loss)
    moved = jnp.zeros_like(theta) if shift is None else jnp.asarray(shift, theta.dtype)
    return _around(truth, synthetic, design, theta, moved, optimum, seed_use=seed_use, loss=loss)


class _Design(NamedTuple):
    rows: RowCounts
    weights: RowWeights
    generator: GeneratorRows | None
    shrinkage: Array
    ridge: Array


@partial(jax.jit, static_argnames="loss")
def _optimum(truth: SmoothTruth, *, loss: Loss) -> Float[Array, " p"]:
    return truth.optimum(loss)


@partial(jax.jit, static_argnames="loss")
def _pseudo_target(
    truth: SmoothTruth, synthetic: SmoothLaw, design: _Design, *, loss: Loss
) -> Float[Array, " p"]:
    """Where the mean of ĝ + λDθ vanishes [p]."""
    slope, curvature = _mean_equations(truth, synthetic, design, loss)
    start = jnp.zeros(losses.n_parameters(loss, truth.n_classes, truth.dim))
    return minimise(lambda t: (slope(t), curvature(t)), start, tolerance=1e-11).theta


@partial(jax.jit, static_argnames=("seed_use", "loss"))
def _around(
    truth: SmoothTruth,
    synthetic: SmoothLaw,
    design: _Design,
    theta: Float[Array, " p"],
    shift: Float[Array, " p"],
    optimum: Float[Array, " p"],
    *,
    seed_use: str,
    loss: Loss,
) -> Asymptotics:
    """The expansion around the pseudo-target θ."""
    _, curvature = _mean_equations(truth, synthetic, design, loss)
    solve = partial(jax.scipy.linalg.solve, curvature(theta), assume_a="pos")

    def noise(at: Array) -> Array:
        return _noise(truth, synthetic, design, at, seed_use, loss)

    covariance = expansion.covariance(solve, noise(theta))
    pull = expansion.pull(solve, noise, curvature, theta)
    if seed_use == "moments":
        _, made = seeds.shares(design.rows, design.weights)
        fitted, _ = seeds.of_generator(design.rows, design.generator)
        pull -= moments.generator_drift(
            *moments.gaussian(truth, synthetic), theta, fitted, made, design.shrinkage, loss
        )
    drift, target = solve(pull), theta + shift
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
        _doubt(truth, theta, loss),
    )


def _doubt(law: SmoothTruth, theta: Float[Array, " p"], loss: Loss) -> Float[Array, " g"]:
    """Half of ``Σ E p(1 − p)`` over all classes, that of reference among them."""
    if loss == "squared":
        return jnp.ones(len(law.groups))
    intercepts = slice(law.dim, None, law.dim + 1)
    block = law.group_hessian(theta, loss)[:, intercepts, intercepts]
    return (jnp.trace(block, axis1=1, axis2=2) + block.sum(axis=(1, 2))) / 2


def _mean_equations(
    truth: SmoothTruth, synthetic: SmoothLaw, design: _Design, loss: Loss
) -> tuple[expansion.Of, expansion.Of]:
    """Mean [p] and Jacobian [p, p] of ĝ + λDθ, as functions of θ."""
    p = losses.n_parameters(loss, truth.n_classes, truth.dim)
    unpenalised = jnp.ones(truth.dim + 1).at[-1].set(0.0)
    penalty = jnp.tile(unpenalised, p // (truth.dim + 1)) * design.ridge
    real, made = seeds.shares(design.rows, design.weights)

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

    return slope, curvature


def _noise(
    truth: SmoothTruth,
    synthetic: SmoothLaw,
    design: _Design,
    theta: Float[Array, " p"],
    seed_use: str,
    loss: Loss,
) -> Float[Array, "p p"]:
    """Covariance of ĝ at θ [p, p]."""
    given = (design.rows, design.weights, seed_use, design.shrinkage)
    return seeds.gradient_covariance(
        truth, synthetic, theta, *given, loss, generator=design.generator
    )


@partial(jax.jit, static_argnames=("seed_use", "loss"))
def scrambled_excess(
    truth: Any,
    synthetic: Any,
    rows: RowCounts,
    weights: RowWeights,
    found: Asymptotics,
    *,
    seed_use: str = "none",
    generator: GeneratorRows | None = None,
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
    design = _Design(rows, weights, generator, jnp.zeros(()), jnp.asarray(ridge, float))

    def of_scramble(index: Array) -> Array:
        true, made = truth.one_scramble(index), synthetic.one_scramble(index)
        _, curvature = _mean_equations(true, made, design, loss)
        solve = partial(jax.scipy.linalg.solve, curvature(theta), assume_a="pos")
        noise = _noise(true, made, design, theta, seed_use, loss)
        covariance = expansion.covariance(solve, noise)
        balanced = true.group_hessian(found.target, loss).mean(axis=0)
        least = true.group_risk(found.optimum, loss).mean()
        bias = true.group_risk(found.target, loss).mean() - least
        return jnp.stack([bias, expansion.variance(balanced, covariance)])

    parts: Array = jax.lax.map(of_scramble, jnp.arange(N_SCRAMBLES))
    return parts
