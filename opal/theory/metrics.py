"""Metrics averaged over the estimator's Gaussian law, with standard errors of the quadrature."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from opal import losses, risk
from opal.losses import Loss
from opal.settings.law import SmoothTruth
from opal.settings.quadrature import N_SCRAMBLES, scrambled_normals
from opal.theory.asymptotics import Asymptotics, scrambled_excess
from opal.theory.cavity import SelfConsistent
from opal.theory.estimator import synthetic_rows, threshold_shift, truth_of

if TYPE_CHECKING:
    from opal.objective import Design
    from opal.settings.setting import Setting

_POINTS = 128  # of each scramble


def metric_rows(
    law: SmoothTruth,
    first: Asymptotics,
    estimator: SelfConsistent | Asymptotics,
    counts: tuple[int, ...],
    loss: Loss,
) -> dict[tuple[str, str], tuple[float, float]]:
    """Value and standard error of each metric, by metric and group."""
    order = risk.order_of_sizes(counts)
    moments = (estimator.target + estimator.drift, estimator.covariance)
    blocks = jax.device_get(_expected_metrics(law, *moments, counts=order, loss=loss))
    names = [group.name for group in law.groups]
    expected = risk.flatten_metrics(blocks, names)
    own = _quadrature_errors(law, moments[0], loss)
    rows = {}
    for (metric, group), values in expected.items():
        mean, error = risk.mean_and_std_error(values)
        # Nodes of the law's own quadrature are the same for all rules: their error is not averaged.
        each = own["risk" if metric.endswith("risk") else "error"]
        shared = each[names.index(group)] if group in names else each.max()
        rows[metric, group] = (float(mean), float(np.hypot(error, shared)))
    parts = {
        "excess_balanced_risk": estimator.excess,
        "excess_first_order": first.excess,
        "excess_bias": first.bias,
        "excess_drift": first.drift_risk,
        "excess_variance": first.variance,
    }
    # The error of a value that is not a number is none either.
    exact = {(name, "all"): (float(value), 0.0 * float(value)) for name, value in parts.items()}
    return rows | exact


def _quadrature_errors(
    law: SmoothTruth, theta: Float[Array, " p"], loss: Loss
) -> dict[str, Float[np.ndarray, " g"]]:
    """Standard errors of ``risk`` and ``error`` [G] of the law's own quadrature at θ.

    Only a law that has ``scrambled_risks`` and ``scrambled_errors``, means over independent sets of
    points [G, S], of which there is more than one, has any.
    """
    errors = {name: np.zeros(len(law.groups)) for name in ("risk", "error")}
    for name in errors:
        if n_scrambles(law, loss, name) > 1:
            blocks = partial(getattr(law, f"scrambled_{name}s"), loss=loss)
            values = np.asarray(jax.jit(blocks)(theta))
            errors[name] = risk.mean_and_std_error(values.T)[1]
    return errors


def n_scrambles(law: Any, loss: Loss, what: str = "risk") -> int:
    """Independent sets of points that a law's risks (or errors) are means over; 1 if exact."""
    blocks = getattr(law, f"scrambled_{what}s", None)
    if blocks is None:
        return 1
    p = losses.n_parameters(loss, law.n_classes, law.dim)
    shape = jax.eval_shape(partial(blocks, loss=loss), jax.ShapeDtypeStruct((p,), float)).shape
    return int(shape[-1])


def expansion_errors(
    setting: Setting, design: Design, first: Asymptotics
) -> dict[tuple[str, str], float]:
    """Standard errors of the excess and its parts, where risks are means over scrambles.

    That of the drift is not known, nor is any for rows whose law follows the seeds' moments.
    """
    truth, made = truth_of(setting), synthetic_rows(setting, design)
    if max(n_scrambles(law, design.loss) for law in (truth, made.law)) == 1:
        return {}
    if not all(hasattr(law, "one_scramble") for law in (truth, made.law)):
        return {}
    bias = variance = total = drift = np.nan
    if made.seed_use != "moments":
        parts = scrambled_excess(
            truth,
            made.law,
            design.row_counts(),
            design.row_weights(),
            first,
            seed_use=made.seed_use,
            generator=design.generator_rows(),
            ridge=design.ridge,
            shift=threshold_shift(truth, made.law, design),
            loss=design.loss,
        )
        columns = np.column_stack([parts, np.sum(parts, axis=1)])
        bias, variance, total = risk.mean_and_std_error(columns)[1].tolist()
    names = ("excess_bias", "excess_variance", "excess_drift")
    found = dict(zip(names, (bias, variance, drift), strict=True))
    found |= {"excess_balanced_risk": total, "excess_first_order": total}
    doubt = {("informative_rows", group.name): np.nan for group in truth.groups}
    return {(name, "all"): error for name, error in found.items()} | doubt


@partial(jax.jit, static_argnames=("counts", "loss"))
def _expected_metrics(
    law: SmoothTruth,
    centre: Float[Array, " p"],
    covariance: Float[Array, "p p"],
    *,
    counts: tuple[int, ...],
    loss: Loss,
) -> dict[str, Array]:
    """Metrics averaged over ``θ̂ ~ N(centre, covariance)``, by each scramble of Sobol' points."""
    p = losses.n_parameters(loss, law.n_classes, law.dim)
    many = losses.n_scores(loss, law.n_classes) > 2
    n_points = _POINTS // 8 if many else _POINTS
    normals = jnp.asarray(scrambled_normals(p)[:, :n_points]).reshape(-1, p)
    jitter = 1e-14 * jnp.trace(covariance) * jnp.eye(p)
    factor = jnp.linalg.cholesky(covariance + jitter)
    thetas = centre[None, :] + normals @ factor.T
    metrics = jax.lax.map(
        lambda theta: risk.exact_metrics(law, theta, counts, loss=loss),
        thetas,
        batch_size=risk.rules_at_once(law, loss),
    )
    return {
        name: values.reshape(N_SCRAMBLES, n_points, *values.shape[1:]).mean(axis=1)
        for name, values in metrics.items()
    }
