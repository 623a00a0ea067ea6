r"""Weighted logistic regression on many features: sentence embeddings, or counts of words.

Minimises ``Σ_i ω_i ℓ(W, b; x_i, y_i) + λ‖W‖²``, symmetric in the classes; for two of them this is
the objective of :mod:`opal.estimators.logistic`, whose w is the difference of the two columns of W.
Some weights may be negative, as those of a correction (docs/theory.md, section 16.1), if those of
each class have a positive sum: the penalty grows faster in W than the loss of any row, and the loss
grows in the intercepts, so that there is a least value. But the objective need not be convex, and
its minimum may be of no use: :attr:`WideFit.lost` tells.
A Newton step of K classes and d features would factorise a matrix of Kd rows. SciPy's L-BFGS needs
gradients only, and few of them in coordinates in which the largest curvature that the loss can
have, ``½ Σ_i ω_i x_i x_iᵀ`` for each class (Böhning 1992), is the identity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

TOLERANCE = 1e-5
_MOST_STEPS = 500
_MOST_DENSE = 2048  # features whose second moments are factorised; of more, only the diagonal


@dataclass(frozen=True)
class WideFit:
    """A fitted rule.

    Attributes:
        w: a column for each class [d, K].
        b: intercepts [K].
        gradient_norm: largest absolute entry of the objective's gradient, for weights of sum one.
        converged: whether it is at most the tolerance.
        loss: mean loss under the weights, without the penalty.
    """

    w: Float[np.ndarray, "d k"]
    b: Float[np.ndarray, " k"]
    gradient_norm: float
    converged: bool
    loss: float = np.nan

    @property
    def lost(self) -> bool:
        """Whether no minimum was found, or one that lives on rows of negative weight.

        Its loss is then below 0, which no risk is (Kiryo et al. 2017, arXiv 1703.00593).
        """
        return not self.converged or self.loss < 0

    def scores(self, x: Any) -> Float[np.ndarray, "n k"]:
        """Scores of rows, dense or sparse [n, K]."""
        return np.asarray(x @ self.w) + self.b

    def probabilities(self, x: Any) -> Float[np.ndarray, "n k"]:
        """Probabilities of the classes [n, K]."""
        from scipy.special import softmax

        return softmax(self.scores(x), axis=1)


def fit_wide(
    x: Any,
    y: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, " n"],
    *,
    n_classes: int,
    ridge: float,
    start: WideFit | None = None,
    tolerance: float = TOLERANCE,
) -> WideFit:
    """Fit a weighted logistic rule to rows of many features.

    Args:
        x: features [n, d], an array or a SciPy sparse matrix.
        y: labels in 0 … K−1.
        weights: ω, whose sum the tolerance is relative to; of a class that has negative ones, the
            sum is positive.
        n_classes: K; a class without rows has a low probability everywhere.
        ridge: λ > 0; the intercepts are not penalised.
        start: a rule to begin with, as that of fewer rows.
        tolerance: the largest gradient entry at which the fit counts as converged.

    Raises:
        ValueError: shapes that do not fit, a class of negative weights whose sum is not positive,
            no positive weight, λ ≤ 0.
    """
    from scipy.optimize import minimize

    _check(x, y, weights, n_classes, ridge)
    used = weights != 0
    problem = _Problem(x[used], y[used], weights[used], n_classes, ridge)
    begin = np.zeros((x.shape[1] + 1, n_classes))
    if start is not None:
        begin = np.vstack([start.w, start.b])
    found = minimize(
        problem.value_and_gradient,
        problem.scale.inverse(begin).ravel(),
        jac=True,
        method="L-BFGS-B",
        callback=problem.stop_at(tolerance),
        options={"maxiter": _MOST_STEPS, "ftol": 0.0, "gtol": 0.0, "maxcor": 10},
    )
    rule = problem.scale(found.x.reshape(begin.shape))
    value, slope = problem.at(rule)
    norm, penalty = float(np.abs(slope).max()), problem.penalty * np.sum(rule[:-1] ** 2)
    return WideFit(rule[:-1], rule[-1], norm, norm <= tolerance, float(value - penalty))


class _Scale:
    """Coordinates φ of a rule [d + 1, K], in which no curvature exceeds one."""

    def __init__(self, x: Any, share: np.ndarray, penalty: float) -> None:
        d = x.shape[1]
        floor = np.append(np.full(d, 2 * penalty), 0.0)
        if isinstance(x, np.ndarray) and d <= _MOST_DENSE:
            lifted = np.hstack([x, np.ones((len(x), 1))])
            self.factor = np.linalg.cholesky(0.5 * (lifted.T * share) @ lifted + np.diag(floor))
        else:
            squares = x.multiply(x) if hasattr(x, "multiply") else x**2
            moments = np.append(np.asarray(share @ squares).ravel(), 1.0)
            self.factor = np.sqrt(0.5 * moments + floor)[:, None]

    def __call__(self, coordinates: np.ndarray) -> np.ndarray:
        """The rule ``L⁻ᵀ φ``."""
        if self.factor.shape[1] == 1:
            return coordinates / self.factor
        return _triangular(self.factor, coordinates, transposed=True)

    def inverse(self, rule: np.ndarray) -> np.ndarray:
        """The coordinates ``Lᵀ θ``."""
        return self.factor * rule if self.factor.shape[1] == 1 else self.factor.T @ rule

    def of_gradient(self, gradient: np.ndarray) -> np.ndarray:
        """The gradient in coordinates, ``L⁻¹ g``."""
        if self.factor.shape[1] == 1:
            return gradient / self.factor
        return _triangular(self.factor, gradient, transposed=False)


class _Problem:
    """The objective, divided by the sum of the weights."""

    def __init__(
        self, x: Any, y: np.ndarray, weights: np.ndarray, n_classes: int, ridge: float
    ) -> None:
        total = float(weights.sum())
        self.x, self.y, self.share, self.penalty = x, y, weights / total, ridge / total
        self.shape = (x.shape[1] + 1, n_classes)
        self.scale = _Scale(x, np.abs(self.share), self.penalty)

    def at(self, rule: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient [d + 1, K] at a rule."""
        from scipy.special import log_softmax

        w, rows = rule[:-1], np.arange(len(self.y))
        logs = log_softmax(np.asarray(self.x @ w) + rule[-1], axis=1)
        value = -self.share @ logs[rows, self.y] + self.penalty * np.sum(w**2)
        pull = np.exp(logs)
        pull[rows, self.y] -= 1
        pull *= self.share[:, None]
        slope = np.asarray(self.x.T @ pull) + 2 * self.penalty * w
        return float(value), np.vstack([slope, pull.sum(axis=0)])

    def value_and_gradient(self, flat: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient in coordinates."""
        value, self.gradient = self.at(self.scale(flat.reshape(self.shape)))
        return value, self.scale.of_gradient(self.gradient).ravel()

    def stop_at(self, tolerance: float) -> Callable[[np.ndarray], None]:
        """Called after each step: ends the search where the last gradient is small enough."""

        def check(flat: np.ndarray) -> None:
            del flat
            if np.abs(self.gradient).max() <= tolerance:
                raise StopIteration

        return check


def _triangular(factor: np.ndarray, right: np.ndarray, *, transposed: bool) -> np.ndarray:
    from scipy.linalg import solve_triangular

    solved: np.ndarray = solve_triangular(
        factor, right, lower=True, trans="T" if transposed else "N", check_finite=False
    )
    return solved


def _check(x: Any, y: np.ndarray, weights: np.ndarray, n_classes: int, ridge: float) -> None:
    if not len(y) == len(weights) == x.shape[0]:
        raise ValueError(
            "features, labels and weights must have a row for each text; got "
            f"{x.shape[0]}, {len(y)} and {len(weights)}."
        )
    if len(y) and not 0 <= y.min() <= y.max() < n_classes:
        raise ValueError(
            f"labels must be 0 … {n_classes - 1}; got {y.min()} … {y.max()}. Give all classes."
        )
    if not np.isfinite(weights).all() or not (weights > 0).any():
        raise ValueError("weights must be finite, and some of them positive.")
    for label in np.unique(y[weights < 0]):
        if not (total := float(weights[y == label].sum())) > 0:
            raise ValueError(
                "weights of a class must have a positive sum where some are negative, or the fit "
                f"has no minimum; those of class {label} have {total:.3g}. Subtract less of it."
            )
    if not ridge > 0:
        raise ValueError(f"ridge must be positive on many features; got {ridge}.")
