"""Coefficients and intervals of a regression on labels, by each method."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import NamedTuple

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
from opal.bridge.downstream.label_regression import Regression
from opal.settings.groups import validate_number


class Solved(NamedTuple):
    """Coefficients of one λ.

    Attributes:
        power: λ.
        theta: coefficients [k].
        error: their standard errors [k], but for the degrees of freedom.
    """

    power: float
    theta: np.ndarray
    error: np.ndarray


def infer(
    task: Regression,
    *,
    level: float = 0.95,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Coefficients by human labels alone, by the classifier's, and by both.

    Standard errors are those of the sandwich, with ``n/(n − k)`` for n human labels and k
    coefficients, and intervals are Student's. The naive rows take the classifier's labels for true.
    Each prediction-powered coefficient has the λ of its own least variance near the coefficients of
    human labels, so that its interval depends on no other's units; and λ = 0 where the equations
    have no solution at this λ or its standard error is no smaller there.

    Args:
        task: the regression.
        level: confidence of the intervals.
        progress: told how many systems of equations are done, and of how many.

    Returns:
        Columns ``method``, ``power`` (λ), ``term``, ``estimate``, ``std_error``, ``lower`` and
        ``upper``, one row for each method and coefficient. Of naive and design-based rows there are
        none where their equations have no solution.

    Raises:
        ValueError: level outside (0, 1), or human labels alone give no solution.
    """
    validate_number(level, "level is a confidence in (0, 1), as 0.95", least=1e-9, most=1 - 1e-9)
    terms, n = len(task.terms), int(task.labelled.sum())
    standard, back, shift = _standardised(task)
    done = count(1)

    def tell() -> None:
        if progress is not None:
            progress(next(done), terms + 3)

    alone = solution(standard, HUMAN, 0.0)

    def solved(method: str, power: float) -> Solved:
        found = solution(standard, method, power, alone)
        spread = back @ covariance(standard, method, power, found) @ back.T
        return Solved(power, back @ found + shift, np.sqrt(np.diag(spread)))

    human = solved(HUMAN, 0.0)
    tell()
    methods = {HUMAN: [human] * terms}
    with contextlib.suppress(ValueError):
        methods[NAIVE] = [solved(NAIVE, np.nan)] * terms
    tell()
    methods[POWERED] = [human] * terms
    for j, power in enumerate(best_powers(standard, alone, back)):
        with contextlib.suppress(ValueError):
            better = solved(POWERED, power)
            if better.error[j] < human.error[j]:
                methods[POWERED][j] = better
        tell()
    with contextlib.suppress(ValueError):
        methods[DESIGN] = [solved(DESIGN, 1.0)] * terms
    tell()
    rows = []
    for method, found in methods.items():
        freedom = (len(task.human) if method == NAIVE else n) - terms
        wide = np.sqrt((freedom + terms) / freedom)
        quantile = special.stdtrit(freedom, (1 + level) / 2)
        for j, (term, at) in enumerate(zip(task.terms, found, strict=True)):
            theta, error = at.theta[j], wide * at.error[j]
            half = quantile * error
            rows.append((method, at.power, term, theta, error, theta - half, theta + half))
    names = ["method", "power", "term", "estimate", "std_error", "lower", "upper"]
    return pd.DataFrame(rows, columns=names)


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
    """How often the classifier says 1, by what people say, among rows that both have labelled.

    Where rows were labelled with probabilities of their own, each counts for as many as it stands
    for, so that rates are those of the corpus.

    Returns:
        Columns ``human`` (0 and 1), ``rows`` and ``said_1``.
    """
    rows = []
    for k in (0, 1):
        own = task.human == k
        rate = np.average(task.predicted[own], weights=task.weights()[own])
        rows.append((k, int(own.sum()), float(rate)))
    return pd.DataFrame(rows, columns=["human", "rows", "said_1"])
