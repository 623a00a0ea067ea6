"""The equations that the coefficients of each method solve, their variances, and the best λ."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy import optimize, special

from opal.bridge.downstream.label_regression import Regression

HUMAN, NAIVE, POWERED, DESIGN = "human labels", "naive", "prediction-powered", "design-based"
_SINGULAR = 1e12  # condition of the mean derivative, beyond which a coefficient is not identified
_MOST_STEPS, _SHORT = 15, 1e-10  # of Newton, and when one is the last, relative to coefficients

Scores = Callable[
    [Float[np.ndarray, " k"]], tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "k k"]]
]


def _sides(task: Regression, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is regressed on [N, k], with its ones, and the outcome [N]."""
    among = [] if task.outcome is None else [labels[:, None]]
    rows = np.hstack([np.ones((len(labels), 1)), *among, task.covariates])
    return rows, labels if task.outcome is None else task.outcome


def _of_labels(
    task: Regression, labels: np.ndarray, weights: np.ndarray, *, centred: bool = False
) -> Scores:
    """Scores of each row [N, k] times its weight, and the mean of their derivatives [k, k].

    With ``centred`` the scores are less their mean, which weights that sum to 0 cancel anyway.
    """
    rows, outcome = _sides(task, labels)

    def scores(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        linear = rows @ theta
        mean = special.expit(linear) if task.model == "logistic" else linear
        bend = mean * (1 - mean) if task.model == "logistic" else np.ones_like(mean)
        each = (outcome - mean)[:, None] * rows
        if centred:
            each -= each.mean(axis=0)
        return weights[:, None] * each, -(rows * (weights * bend)[:, None]).T @ rows / len(rows)

    return scores


def _naive(task: Regression) -> Scores:
    return _of_labels(task, task.predicted, np.ones(len(task.predicted)))


def _correction(task: Regression, power: float) -> Scores:
    """λ(1 − R/π) times the classifier's scores less their mean.

    The weights R/π have mean one exactly, so that the mean adds nothing to the equations, and
    should not add to their variance.
    """
    return _of_labels(task, task.predicted, power * (1 - task.weights()), centred=True)


def with_power(task: Regression, power: float) -> Scores:
    """The scores of both kinds of labels, in one row each."""
    own = _of_labels(task, np.where(task.labelled, task.human, 0.0), task.weights())
    said = _correction(task, power)

    def scores(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        (first, slope), (second, more) = own(theta), said(theta)
        return first + second, slope + more

    return scores


def _scores(task: Regression, method: str, power: float) -> Scores:
    return _naive(task) if method == NAIVE else with_power(task, power)


def solution(
    task: Regression, method: str, power: float, start: Float[np.ndarray, " k"] | None = None
) -> Float[np.ndarray, " k"]:
    """Where the mean score of a method vanishes [k], sought from ``start``.

    Raises:
        ValueError: the equations have no solution.
    """
    scores = _scores(task, method, power)

    def equations(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        each, slope = scores(theta)
        return each.mean(axis=0), slope

    found = _newton(equations, np.zeros(len(task.terms)) if start is None else start)
    if found is None:  # its steps are too long where labels nearly part
        found = optimize.root(equations, np.zeros(len(task.terms)), jac=True, tol=1e-12).x
    gradient, slope = equations(found)
    solved = np.all(np.abs(gradient) < 1e-6) and np.abs(found).max() < 1e6
    if not solved or not np.linalg.cond(slope) < _SINGULAR or _parted(task, method, found):
        raise ValueError(
            f"the equations of the method {method!r} have no solution here: labels that a line "
            "separates, covariates that say the same, or too few human labels. Label more "
            "rows, or leave covariates out."
        )
    return np.asarray(found)


def _parted(task: Regression, method: str, theta: np.ndarray) -> bool:
    """Whether a logistic regression on labels of one kind fits all rows: larger θ fit better."""
    if task.model != "logistic" or method not in (HUMAN, NAIVE):
        return False
    used = task.labelled if method == HUMAN else np.full(len(task.human), True)
    rows, outcome = _sides(task, task.human if method == HUMAN else task.predicted)
    return bool(np.all((rows[used] @ theta > 0) * 1.0 == outcome[used]))


def _newton(
    equations: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], theta: np.ndarray
) -> np.ndarray | None:
    """Where Newton's steps from θ end [k]; None if they do not."""
    for _ in range(_MOST_STEPS):
        gradient, slope = equations(theta)
        try:
            step = np.linalg.solve(slope, gradient)
        except np.linalg.LinAlgError:
            return None
        theta = theta - step
        if not np.isfinite(theta).all():
            return None
        if np.abs(step).max() < _SHORT * (1 + np.abs(theta).max()):
            return theta
    return None


def covariance(
    task: Regression, method: str, power: float, theta: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "k k"]:
    """Of the solution θ, by the sandwich."""
    each, slope = _scores(task, method, power)(theta)
    inverse = np.linalg.inv(slope)
    return np.asarray(inverse @ np.cov(each.T, ddof=0).reshape(slope.shape) @ inverse.T / len(each))


def best_powers(
    task: Regression, theta: Float[np.ndarray, " k"], back: Float[np.ndarray, "j k"]
) -> Float[np.ndarray, " j"]:
    """The λ in [0, 1] at which each row of ``back @ θ`` has its least variance, near θ."""
    (own, slope), (more, _) = with_power(task, 0.0)(theta), _correction(task, 1.0)(theta)
    inverse = back @ np.linalg.inv(slope)
    inverse = inverse / np.abs(inverse).max(axis=1, keepdims=True)  # λ has no unit
    own, more = own @ inverse.T, more @ inverse.T
    weights = task.weights()[:, None]  # divided by their mean, whose error takes part of each mean
    own, more = own - weights * own.mean(axis=0), more - weights * more.mean(axis=0)
    return np.asarray(np.clip(-np.sum(own * more, axis=0) / np.sum(more**2, axis=0), 0.0, 1.0))
