"""How wrong a generator is that is known by a table of its rows (docs/theory.md, section 15).

The law that draws rows of the table differs from the generator's by what n rows can differ. That
makes every measure of bias too large by a term of order 1/n, which is subtracted, and uncertain by
a standard error. Where the rows were themselves made from a few originals (SMOTE, copies), both are
given the originals.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from opal import risk
from opal.arrays import AnyArray
from opal.losses import Loss
from opal.objective import RowCounts, RowWeights
from opal.settings.law import SmoothLaw, SmoothTruth
from opal.theory import seeds
from opal.theory.asymptotics import Asymptotics, asymptotics, scrambled_excess
from opal.theory.metrics import n_scrambles

if TYPE_CHECKING:
    from opal.objective import Design

_ENDLESS = 1e15  # real rows, whose noise is no part of a floor


class RowEstimate(NamedTuple):
    """A number that a table of rows tells, and how well.

    Attributes:
        value: less what the finite number of rows adds to it; may be below zero.
        std_error: of the rows, and of the truth's quadrature where it has one.
    """

    value: Float[np.ndarray, "*g"]
    std_error: Float[np.ndarray, "*g"]


def squared_bias(
    truth: SmoothTruth,
    synthetic: SmoothLaw,
    n_rows: ArrayLike,
    *,
    loss: Loss = "logistic",
) -> RowEstimate:
    """``‖∇b_g(θ*)‖²`` in the norm of ``H⁻¹`` of each group [G].

    Half of it is the excess of a rule for which that bias is the whole of the gradient's.

    Args:
        truth: P, which gives θ* and H.
        synthetic: Q by its rows.
        n_rows: independent rows of each group [G].
        loss: logistic or squared.
    """
    with jax.enable_x64(True):
        found = _squared_bias(truth, synthetic, np.asarray(n_rows, float), loss=loss)
    return RowEstimate(*(np.asarray(each) for each in found))


@partial(jax.jit, static_argnames="loss")
def _squared_bias(
    truth: SmoothTruth, synthetic: SmoothLaw, n_rows: Float[AnyArray, " g"], *, loss: Loss
) -> tuple[Float[Array, " g"], Float[Array, " g"]]:
    best = truth.optimum(loss)
    bias = synthetic.group_gradient(best, loss) - truth.group_gradient(best, loss)
    noise = synthetic.group_score_covariance(best, loss) / n_rows[:, None, None]
    hessian = truth.group_hessian(best, loss).mean(axis=0)
    solve = partial(jax.scipy.linalg.solve, hessian, assume_a="pos")
    raised = solve(bias.T).T
    spread = jax.vmap(solve)(noise)  # H⁻¹ Σ of each group
    value = jnp.einsum("gp,gp->g", bias, raised) - jnp.trace(spread, axis1=1, axis2=2)
    along = jnp.einsum("gp,gpq,gq->g", raised, noise, raised)
    return value, jnp.sqrt(4 * along + 2 * jnp.einsum("gpq,gqp->g", spread, spread))


def floor(
    truth: SmoothTruth, synthetic: SmoothLaw, design: Design, n_rows: ArrayLike
) -> RowEstimate:
    """Excess balanced risk at a design's pseudo-target: what is left with ever more rows.

    Args:
        truth: P.
        synthetic: Q by its rows, in place of the design's synthesizer.
        design: whose shares of real and synthetic rows count, not their numbers.
        n_rows: independent rows of each group [G] by which Q is known.
    """
    numbers = np.asarray(n_rows, float)
    loss = design.loss
    with jax.enable_x64(True):
        real, made = seeds.shares(design.row_counts(), design.row_weights())
        none, endless = np.zeros(len(numbers)), np.full(len(numbers), _ENDLESS)
        rows = RowCounts(endless, numbers, none)
        weights = RowWeights(np.asarray(real) / endless, np.asarray(made) / numbers, none)
        found = asymptotics(truth, synthetic, rows, weights, ridge=design.ridge, loss=loss)
        spread = _spread(truth, found, loss=loss)
        error = 0.0
        if max(n_scrambles(law, loss) for law in (truth, synthetic)) > 1:
            parts = scrambled_excess(
                truth, synthetic, rows, weights, found, ridge=design.ridge, loss=loss
            )
            error = risk.mean_and_std_error(np.asarray(parts)[:, 0])[1].item()
        value = np.asarray(found.bias - found.variance - found.drift_risk)
    return RowEstimate(value, np.hypot(spread, error))


@partial(jax.jit, static_argnames="loss")
def _spread(truth: SmoothTruth, found: Asymptotics, *, loss: Loss) -> Float[Array, ""]:
    """Standard deviation of the excess at a target with that covariance, to second order."""
    slope = truth.group_gradient(found.target, loss).mean(axis=0)
    moved = truth.group_hessian(found.target, loss).mean(axis=0) @ found.covariance
    return jnp.sqrt(slope @ found.covariance @ slope + jnp.trace(moved @ moved) / 2)
