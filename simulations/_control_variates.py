"""The mean excess of a design with what is known exactly of each replicate taken out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from opal import losses
from opal.draws import as_key, replicate_keys
from opal.objective import Design, RowWeights
from opal.simulation import replicate_metrics
from opal.theory import seeds
from opal.theory.estimator import expand, threshold_shift
from opal.training_rows import training_rows

from ._rows import EXCESS

if TYPE_CHECKING:
    from opal.settings.setting import GaussianSetting

_AT_ONCE = 50


def simulated_excess(
    setting: GaussianSetting, design: Design, seed: int, n_replicates: int
) -> tuple[float, float]:
    """Mean excess and its standard error, by regression on what has a known mean.

    The gradient g of the objective at the pseudo-target is centred with a known covariance V. To
    first order the rule is off by A⁻¹g, and its excess is half the square of that in H, of mean
    ``tr(H A⁻¹VA⁻¹)/2``. For rows that are independent, or copies in turn.
    """
    excess = replicate_metrics(
        setting, design, key=seed, n_replicates=n_replicates, calibration=False
    )[EXCESS]
    with jax.enable_x64(True):
        law, made = setting.law, getattr(design.synthesizer, "law", setting.law)
        first = expand(setting, design)
        theta = first.target - jnp.asarray(threshold_shift(law, made, design))
        real, synthetic = seeds.shares(design.row_counts(), design.row_weights())
        curvature = jnp.einsum("g,gpq->pq", real, law.group_hessian(theta))
        curvature += jnp.einsum("g,gpq->pq", synthetic, made.group_hessian(theta))
        hessian = np.asarray(law.group_hessian(first.target).mean(axis=0))
        gradients = _gradients(setting, design, theta, as_key(seed), n_replicates)
    moved = np.linalg.solve(np.asarray(curvature), gradients.T).T
    half = np.einsum("np,pq,nq->n", moved, hessian, moved) / 2
    known = np.trace(hessian @ np.asarray(first.covariance)) / 2
    return _intercept(excess, np.column_stack([half - known, moved]))


def _intercept(values: np.ndarray, centred: np.ndarray) -> tuple[float, float]:
    """Mean of the values given columns of mean zero, and its standard error."""
    columns = np.column_stack([np.ones(len(values)), centred])
    found, *_ = np.linalg.lstsq(columns, values, rcond=None)
    freedom = len(values) - columns.shape[1]
    spread = np.sqrt(((values - columns @ found) ** 2).sum() / freedom)
    return float(found[0]), float(spread / np.sqrt(len(values)))


def _gradients(
    setting: GaussianSetting,
    design: Design,
    theta: Float[Array, " p"],
    key: Key[Array, ""],
    n_replicates: int,
) -> Float[np.ndarray, "r p"]:
    """Gradient of each replicate's objective at θ [R, p]; its rows are those of the simulation."""
    law, weights = setting.law, RowWeights(*(np.asarray(w) for w in design.row_weights()))
    sizes = (design.n_oversampled, (design.n_augmented,) * design.n_groups)

    @jax.jit
    def of_replicates(keys: Key[Array, " r"]) -> Float[Array, "r p"]:
        def of(key: Key[Array, ""]) -> Float[Array, " p"]:
            maker = design.synthesizer
            rows, each = training_rows(law, maker, weights, design.counts, sizes, key=key)
            lifted = jnp.concatenate([rows.x, jnp.ones((len(rows.x), 1))], axis=1)
            scores = lifted @ theta.reshape(-1, lifted.shape[1]).T
            slopes = losses.slopes(scores, law.n_classes, design.loss)
            own = jnp.take_along_axis(slopes, rows.y[:, None, None], axis=1)[:, 0]
            return jnp.einsum("n,nc,ni->ci", each, own, lifted).ravel()

        found: Array = jax.lax.map(of, keys, batch_size=_AT_ONCE)
        return found

    return np.asarray(of_replicates(replicate_keys(key, jnp.arange(n_replicates))))
