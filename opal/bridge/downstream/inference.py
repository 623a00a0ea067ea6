"""Coefficients and intervals of a regression on labels, by each method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import special

from opal.bridge.downstream.equations import (
    DESIGN,
    HUMAN,
    NAIVE,
    POWERED,
    best_powers,
    covariance,
    solution,
)
from opal.bridge.downstream.regression import Regression
from opal.settings.groups import validate_number


def infer(task: Regression, *, level: float = 0.95) -> pd.DataFrame:
    """Coefficients by people's labels alone, by the model's, and by both.

    Standard errors are those of the sandwich, with ``n/(n − k)`` for n labels of people and k
    coefficients, and intervals are Student's. The naive rows take the model's labels for true. Each
    prediction-powered coefficient has the λ of its own least variance, near the coefficients of
    people's labels, so that its interval depends on no other's units.

    Returns:
        Columns ``method``, ``power`` (λ), ``term``, ``estimate``, ``std_error``, ``lower`` and
        ``upper``, one row for each method and coefficient. Of naive and design-based rows there are
        none where their equations have no solution.

    Raises:
        ValueError: level outside (0, 1), or other equations without a solution.
    """
    validate_number(level, "level is a confidence in (0, 1), as 0.95", least=1e-9, most=1 - 1e-9)
    terms, n = len(task.terms), int(task.labelled.sum())
    standard, back, shift = _standardised(task)
    alone = solution(standard, HUMAN, 0.0)
    powers = {
        HUMAN: np.zeros(terms),
        NAIVE: np.full(terms, np.nan),
        POWERED: best_powers(standard, alone, back),
        DESIGN: np.ones(terms),
    }
    parts = []
    for method, used in powers.items():
        freedom = (len(task.human) if method == NAIVE else n) - terms
        values, own = np.unique(used, return_inverse=True)
        try:
            found = [solution(standard, method, power, alone) for power in values]
        except ValueError:
            if method == POWERED:
                raise
            continue
        theta, error = np.empty(terms), np.empty(terms)
        for i, (power, at) in enumerate(zip(values, found, strict=True)):
            spread = back @ covariance(standard, method, power, at) @ back.T
            theta[own == i] = (back @ at + shift)[own == i]
            error[own == i] = np.sqrt(np.diag(spread) * (freedom + terms) / freedom)[own == i]
        half = special.stdtrit(freedom, (1 + level) / 2) * error
        columns = {"method": method, "power": used, "term": task.terms, "estimate": theta}
        intervals = {"std_error": error, "lower": theta - half, "upper": theta + half}
        parts.append(pd.DataFrame(columns | intervals))
    return pd.concat(parts, ignore_index=True)


def _standardised(task: Regression) -> tuple[Regression, np.ndarray, np.ndarray]:
    """The same in units in which all columns are of one size, and the way back.

    Equations in years or in millions are nearly singular in floating point, and these are not.

    Returns:
        The regression on covariates of mean 0 and standard deviation 1, an outcome of a linear
        regression likewise; and ``back`` [k, k] and ``shift`` [k], with which its coefficients θ
        are ``back @ θ + shift`` in the units of ``task``.
    """
    mean, width = task.covariates.mean(axis=0), task.covariates.std(axis=0)
    k = len(task.terms)
    back, shift, outcome = np.eye(k), np.zeros(k), task.outcome
    first = k - len(task.names)
    back[range(first, k), range(first, k)] = 1 / width
    back[0, first:] = -mean / width
    if outcome is not None and task.model == "linear":
        shift[0], unit = outcome.mean(), outcome.std()
        outcome, back = (outcome - shift[0]) / unit, back * unit
    covariates = (task.covariates - mean) / width
    return replace(task, covariates=covariates, outcome=outcome), back, shift


def agreement(task: Regression) -> pd.DataFrame:
    """How often the model says 1, by what people say, among rows that both have labelled.

    Returns:
        Columns ``human`` (0 and 1), ``rows`` and ``said_1``.
    """
    human, said = task.human[task.labelled], task.predicted[task.labelled]
    rows = [(k, int((human == k).sum()), float(said[human == k].mean())) for k in (0, 1)]
    return pd.DataFrame(rows, columns=["human", "rows", "said_1"])
