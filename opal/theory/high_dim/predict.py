"""Exact high-dimensional errors with the face of a simulation, checked on the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from opal import risk
from opal.theory.high_dim.components import Components, validate
from opal.theory.high_dim.designs import of_setting
from opal.theory.high_dim.margins import margin_loss
from opal.theory.high_dim.rule import HighDim, solve

if TYPE_CHECKING:
    import pandas as pd

    from opal.objective import Design
    from opal.settings.setting import GaussianSetting


def evaluate(components: Components, ridge: float, *, loss: str = "squared") -> HighDim:
    """Check the numbers, solve, and bring the result to the host.

    >>> from opal.theory.high_dim.components import components
    >>> pair = components([1.0, 0.1], [-1, 1], gram=[[1, -1], [-1, 1]])
    >>> evaluate(pair, 0.1).error.round(3)
    array([0.069, 0.783])

    Args:
        components: what is trained and tested on.
        ridge: λ ≥ 0.
        loss: squared, logistic or hinge.

    Returns:
        NumPy numbers; NaN with ``converged`` False where the equations have no solution or it was
        not found.

    Raises:
        ValueError: a number is out of range, or the loss is unknown.
    """
    validate(components)
    known = margin_loss(loss)
    if not (np.isfinite(ridge) and ridge >= 0):
        raise ValueError(f"ridge is a penalty λ of at least 0; got {ridge}.")
    with jax.enable_x64(True):
        found = jax.device_get(solve(components, float(ridge), loss=known))
    return HighDim(*(np.asarray(value) for value in found))


def predict(setting: GaussianSetting, design: Design, *, study: str = "high_dim") -> pd.DataFrame:
    """Predict errors and risks of a design for many dimensions at its rows for each.

    Args:
        setting: two classes, groups of one isotropic Gaussian each.
        design: how to train; independent synthetic rows, or copies in turn.
        study: name in the records.

    Returns:
        Records with the metrics of :func:`opal.risk.summaries` and each group's error and risk,
        source ``"theory"``; NaN where there is no solution.

    Raises:
        ValueError: the limit does not cover the setting or the design, see
            :func:`opal.theory.high_dim.designs.of_setting`.
    """
    from opal import records

    with jax.enable_x64(True):
        found = evaluate(of_setting(setting, design), design.ridge, loss=design.loss)
        groups = setting.law.groups
        own, wrong = (jnp.asarray(part)[: len(groups)] for part in (found.risk, found.error))
        metrics = {"risk": own, "error": wrong, **risk.summaries(own, wrong, design.counts)}
    values = {name: np.asarray(value) for name, value in metrics.items()}
    flat = risk.flatten_metrics(values, [group.name for group in groups])
    rows = {key: (float(value), np.nan) for key, value in flat.items()}
    return records.of_design(setting, design, rows, study=study, source="theory")
