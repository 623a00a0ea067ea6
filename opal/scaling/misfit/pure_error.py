"""What rows of one design point scatter, beyond the shifts of their seeds.

docs/theory.md, section 11.4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from opal.scaling.misfit.contrasts import orthonormal, upper_tail, without
from opal.scaling.misfit.residuals import Residuals
from opal.scaling.weights import log_trend

_MOST_SEEDS = 40  # with shifts of their own; of more, the shifts count as noise
_LEAST_DF = 2


@dataclass(frozen=True)
class PureError:
    """What rows of one point and the shifts of seeds leave.

    Attributes:
        left: residuals ``[rows]``, weighted.
        point: number of the design point of each row ``[rows]``.
        df: rows less points and shifts.
        shifts: the shifts of each seed ``[rows, k]``, weighted.
    """

    left: np.ndarray
    point: np.ndarray
    df: int
    shifts: np.ndarray

    @classmethod
    def of(cls, fitted: Residuals) -> PureError | None:
        """That of a fit; shifts count as noise where too little would be left. None if none is."""
        for shifts in (_shifts(fitted), np.zeros((len(fitted.left), 0))):
            columns = np.concatenate([(fitted.root * fitted.left)[:, None], shifts], axis=1)
            about = _about_points(fitted, columns)
            basis = orthonormal(about[:, 1:])
            left = without(about[:, 0], basis)
            df = len(left) - int(fitted.point.max()) - 1 - basis.shape[1]
            if df >= _LEAST_DF and float(left @ left) > 0:
                return cls(left, fitted.point, df, shifts)
        return None

    @property
    def variance(self) -> float:
        """Of a row of weight one."""
        return float(self.left @ self.left) / self.df

    @cached_property
    def evenness(self) -> float:
        """Share of the degrees of freedom that uneven variances leave (Box 1954)."""
        count = np.bincount(self.point) - 1.0
        df = (count * self.df / count.sum())[count > 0]
        squares = np.bincount(self.point, self.left**2)[count > 0]
        fourth = float(np.sum(squares**2 / (df + 2)))
        return min(1.0, float(squares.sum()) ** 2 / (self.df * fourth))

    def chance(self, total: float, directions: np.ndarray, weights: np.ndarray) -> float:
        """P(a weighted sum of squares along directions > total), if each is noise.

        Each point has the variance of its own rows: Satterthwaite's degrees of freedom.

        Args:
            total: the sum.
            directions: orthonormal, ``[rows, k]``.
            weights: of their squares ``[k]``.
        """
        count = np.bincount(self.point) - 1.0
        df = count * self.df / count.sum()
        squares = np.bincount(self.point, self.left**2)
        variance = np.where(count > 0, squares / np.maximum(df, 1e-300), self.variance)
        spread = directions * np.sqrt(weights) * np.sqrt(variance)[self.point][:, None]
        parts = np.bincount(self.point, np.sum(spread**2, axis=1))
        free = parts.sum() ** 2 / float(np.sum((parts**2 / (df + 2))[count > 0]))
        terms = np.linalg.eigvalsh(spread.T @ spread)
        limits = np.append(terms, -total / free)
        return upper_tail(limits, np.append(np.ones(len(terms)), free), 0.0)


def _shifts(fitted: Residuals) -> np.ndarray:
    """A constant and the curve itself for each seed that has rows to tell them, weighted."""
    count = np.bincount(fitted.clusters)
    both = orthonormal(fitted.root[:, None] * fitted.lifts)
    large = np.flatnonzero(count > 2 * both.shape[1])
    if len(count) > _MOST_SEEDS:
        large = large[:0]
    own = fitted.clusters[:, None] == large
    return (own[:, :, None] * both[:, None, :]).reshape(len(both), -1)


def _about_points(fitted: Residuals, columns: np.ndarray) -> np.ndarray:
    """Weighted columns less their means at each point."""
    mass = np.bincount(fitted.point, fitted.root**2)
    sums = np.stack([np.bincount(fitted.point, fitted.root * c) for c in columns.T], axis=1)
    return columns - fitted.root[:, None] * (sums / mass[:, None])[fitted.point]


def weighted_by_scatter(fitted: Residuals, noise: PureError) -> Residuals:
    """Weights from the trend of what seeds scatter about their shifts."""
    count = np.bincount(fitted.point)
    square = np.bincount(fitted.point, (noise.left / fitted.root) ** 2)
    first = np.unique(fitted.point, return_index=True)[1]
    kept = (count > 1) & (square > 0)
    df = count[kept] - 1.0
    design = fitted.trend()[first]
    trend = design @ log_trend(square[kept] / df, df, design[kept])[0]
    return replace(fitted, root=np.exp(-trend / 2)[fitted.point])
