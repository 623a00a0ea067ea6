"""Theory with the face of a simulation: a setting and a design in, records out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import jax

from opal.theory.estimator import effective_rows, expand, resum, truth_of
from opal.theory.limits import limits_of
from opal.theory.metrics import expansion_errors, metric_rows

if TYPE_CHECKING:
    import pandas as pd

    from opal.objective import Design, PredictionPowered
    from opal.settings.setting import Setting


Order = Literal["self-consistent", "first"]


def predict(
    setting: Setting,
    design: Design | PredictionPowered,
    *,
    order: Order = "self-consistent",
    study: str = "predict",
) -> pd.DataFrame:
    """Predict what :func:`opal.simulation.simulate` would measure.

    The balanced excess risk is an exact average over the estimator's Gaussian law. Its expansion to
    order 1/n is also reported, whole (``excess_first_order``) and by part (``excess_bias``,
    ``excess_drift``, ``excess_variance``). ``informative_rows`` of a group are its rows, as many as
    would count if all weighed alike, times the mean curvature of the loss (``E p(1 − p)`` for two
    classes and the logistic loss).

    Three rows say how far to trust the excess (:mod:`opal.theory.limits`): ``self_consistent`` is 1
    where the leave-one-out equations were solved and 0 where the excess is of order 1/n,
    ``parameters_per_row`` is p/n_eff, and ``excess_neglected`` estimates what the excess leaves
    out. It is not a number where nothing is known of it, or the expansion diverges.

    Other metrics are averages over the same Gaussian law, so that a worst group is the worst of
    each replicate.

    Args:
        setting: the truth; its law has the gradient, Hessian and score covariance of its groups
            (:class:`opal.settings.law.SmoothLaw`), whatever its class.
        design: how to train; prediction-powered training has theory to order 1/n.
        order: ``"self-consistent"`` solves the leave-one-out equations (all orders in p/n) for two
            classes, rows that are not copied at random, and laws that offer their score nodes;
            it is the same as ``"first"`` (order 1/n) for others.
        study: name in the records.

    Returns:
        Records with the columns of :data:`opal.records.COLUMNS`, source ``"theory"``; standard
        errors are those of the quadrature, zero where it is exact, and leave out what the expansion
        itself neglects. Where the leave-one-out equations have no solution, since so few rows tend
        to be separable, or rows that a correction subtracts outweigh others, what depends on them
        is NaN.

    Raises:
        ValueError: the synthesizer's law is not known, or the design has no theory here.
    """
    from opal import records
    from opal.objective import PredictionPowered
    from opal.theory.prediction_powered import predict_powered

    if order not in ("self-consistent", "first"):
        raise ValueError(f"order must be 'self-consistent' or 'first'; got {order!r}.")
    if isinstance(design, PredictionPowered):
        return predict_powered(setting, design, study=study)
    with jax.enable_x64(True):
        first = expand(setting, design)
        law = resum(setting, design, first) if order == "self-consistent" else first
        rows = metric_rows(truth_of(setting), first, law, design.counts, design.loss)
        told = zip(setting.law.groups, effective_rows(setting, design) * first.doubt, strict=True)
        rows |= {("informative_rows", group.name): (float(n), 0.0) for group, n in told}
        errors = expansion_errors(setting, design, first)
        rows |= {key: (rows[key][0], error) for key, error in errors.items()}
        rows |= limits_of(setting, design, first, law).rows()
    return records.of_design(setting, design, rows, study=study, source="theory")
