"""Weights of rows: standard deviations from the scatter of replicates.

docs/theory.md, section 11.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

_TREND_PARAMETERS_PER_POINT = 0.5
_DF = np.geomspace(0.1, 4000, 400)
_FALLING_TRIGAMMA = -special.polygamma(1, _DF / 2)


@dataclass(frozen=True)
class Replicates:
    """Rows of which several share a design point.

    Attributes:
        y: values ``[rows]``.
        point: number of the design point of each row ``[rows]``.
        features: what the variance may depend on, ``[rows, k]``.
    """

    y: np.ndarray
    point: np.ndarray
    features: np.ndarray

    def errors(self, kept: np.ndarray | None = None) -> np.ndarray | None:
        """Standard deviation of each row; of the kept rows only, and from them, if given.

        None where points have no replicates or do not scatter.
        """
        if kept is None:
            return replicate_errors(self.y, self.point, self.features)
        point = np.unique(self.point[kept], return_inverse=True)[1].reshape(-1)
        return replicate_errors(self.y[kept], point, self.features[kept])


def points(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Number of the design point of each row ``[rows]``: equal sizes, equal point."""
    return np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def replicate_errors(y: np.ndarray, point: np.ndarray, features: np.ndarray) -> np.ndarray | None:
    """Standard deviation of each row from the scatter of rows at its own design point.

    The variances of points are drawn towards their log-linear trend in ``features``, the more the
    better the trend explains them (empirical Bayes; Smyth 2004, section 6): weights from a
    few seeds alone would be wild.

    Args:
        y: values ``[rows]``.
        point: number of the design point of each row ``[rows]``.
        features: what the variance may depend on, ``[rows, k]``.

    Returns:
        Standard deviations ``[rows]``; None where points have no replicates or do not scatter.
    """
    count = np.bincount(point)
    mean = np.bincount(point, y) / count
    square = np.bincount(point, (y - mean[point]) ** 2)
    # Differences of rounding are no scatter.
    square = np.where(square > count * (1e-13 * np.abs(mean)) ** 2, square, 0.0)
    repeated = count > 1
    if repeated.sum() < 2 or not np.all(square[repeated] > 0):
        return None
    df = count[repeated] - 1.0
    variance = square[repeated] / df
    first = np.unique(point, return_index=True)[1]
    design = _design(features[first], int(repeated.sum()))
    coefficients, excess = log_trend(variance, df, design[repeated])
    spread = np.sum(excess**2) / max(len(df) - design.shape[1], 1)
    prior_df = degrees_of_freedom(float(spread - np.mean(special.polygamma(1, df / 2))))
    trend = np.exp(design @ coefficients)
    if np.isfinite(prior_df):
        trend *= np.exp(special.digamma(prior_df / 2) - np.log(prior_df / 2))
        trend[repeated] = (prior_df * trend[repeated] + df * variance) / (prior_df + df)
    return np.sqrt(trend[point])


def log_trend(
    variance: np.ndarray, df: np.ndarray, design: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The log-linear trend of sample variances, each weighing as its degrees of freedom.

    The logarithm of a sample variance is too small by log(df/2) − ψ(df/2) on average.

    Args:
        variance: of each point ``[points]``.
        df: their degrees of freedom ``[points]``.
        design: what the logarithm of the variance depends on, ``[points, k]``.

    Returns:
        Coefficients ``[k]``, and what they leave of the logarithms ``[points]``.
    """
    unbiased = np.log(variance) - special.digamma(df / 2) + np.log(df / 2)
    root = np.sqrt(df)
    coefficients = np.linalg.lstsq(root[:, None] * design, root * unbiased)[0]
    return coefficients, unbiased - design @ coefficients


def _design(features: np.ndarray, n_repeated: int) -> np.ndarray:
    """A constant, and standardised features if there are points enough to tell their slopes."""
    varying = features[:, np.ptp(features, axis=0) > 0]
    constant = np.ones((len(features), 1))
    if 1 + varying.shape[1] > _TREND_PARAMETERS_PER_POINT * n_repeated:
        return constant
    scaled = (varying - varying.mean(axis=0)) / varying.std(axis=0)
    return np.concatenate([constant, scaled], axis=1)


def degrees_of_freedom(spread: float) -> float:
    """Degrees of freedom d with trigamma(d/2) = spread; infinite where nothing is left."""
    if spread <= 1e-3:
        return np.inf
    return float(np.interp(-spread, _FALLING_TRIGAMMA, _DF))
