"""What a fit leaves of the values, and what the law could have taken up of it.

docs/theory.md, section 11.4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import special

from opal.scaling.covariance import SamplingCovariance
from opal.scaling.misfit.contrasts import beyond, orthonormal, shapes, smoothness, without
from opal.scaling.problem import row_features
from opal.scaling.scaling_law import Columns, ScalingLaw
from opal.scaling.weights import points

LEAST_HEIGHT = 0.03  # of the curve, below which variances do not fall any further
_POINTS_PER_PARAMETER = (4, 16)  # of a trend of variances: of the first two, and of more
_WIDE = 3.0  # robust standard deviations, to which outliers are drawn under Huber's loss


@dataclass(frozen=True)
class Residuals:
    """A fit near its optimum: what is left of the values, and what the law can take up of it.

    Attributes:
        law: what was fitted.
        x: its variables.
        left: value less curve, on the scale of the fit ``[rows]``.
        slopes: of the curve in the coordinates that are not on a bound ``[rows, p]``.
        curve: ``[rows]``.
        root: 1 / standard deviation, or 1 ``[rows]``.
        clusters: number of the seed of each row ``[rows]``.
    """

    law: ScalingLaw
    x: Columns
    left: np.ndarray
    slopes: np.ndarray
    curve: np.ndarray
    root: np.ndarray
    clusters: np.ndarray

    @classmethod
    def of(cls, covariance: SamplingCovariance) -> Residuals:
        """Those of a fit; outliers are drawn in under Huber's loss."""
        problem = covariance.problem
        weighted, slopes = problem.residuals(covariance.phi)
        curve = problem.model(covariance.phi)[0]
        if problem.robust:
            curve = np.log(np.maximum(curve, 1e-150))
            wide = _WIDE * np.median(np.abs(weighted)) / special.ndtri(0.75)
            weighted = np.clip(weighted, -wide, wide)
        root = problem.root_weights
        free = slopes[:, ~covariance.active] / root[:, None]
        return cls(problem.law, problem.x, weighted / root, free, curve, root, problem.clusters)

    @cached_property
    def point(self) -> np.ndarray:
        """Number of the design point of each row ``[rows]``."""
        return points([self.x[name] for name in self.law.variables])

    @cached_property
    def height(self) -> np.ndarray:
        """Where a row lies between the foot of the curve, 0, and its head, 1 ``[rows]``."""
        return (self.curve - self.curve.min()) / max(float(np.ptp(self.curve)), 1e-300)

    @cached_property
    def lifts(self) -> np.ndarray:
        """How a seed may move its whole curve: by a constant, and in proportion ``[rows, 2]``."""
        return np.stack([np.ones_like(self.curve), self.curve], axis=1)

    @cached_property
    def shared(self) -> bool:
        """Whether some rows share a seed."""
        return len(np.unique(self.clusters)) < len(self.clusters)

    @cached_property
    def null(self) -> np.ndarray:
        """What the law can take up, weighted, ``[rows, p]`` orthonormal."""
        return orthonormal(self.root[:, None] * self.slopes)

    @cached_property
    def weighted(self) -> np.ndarray:
        """``left``, weighted, less what the law can take up ``[rows]``."""
        return without(self.root * self.left, self.null)

    def at(self, rows: np.ndarray, **other: np.ndarray) -> Residuals:
        """Some rows."""
        kept = {name: column[rows] for name, column in self.x.items()}
        names = ("left", "slopes", "curve", "root", "clusters")
        return replace(self, x=kept, **{name: getattr(self, name)[rows] for name in names} | other)

    def means(self) -> Residuals:
        """One row for each design point."""
        mass = np.bincount(self.point, self.root**2)
        left = np.bincount(self.point, self.root**2 * self.left) / mass
        first = np.unique(self.point, return_index=True)[1]
        return self.at(first, left=left, root=np.sqrt(mass), clusters=np.arange(len(first)))

    def contrasts(self, null: np.ndarray) -> list[tuple[tuple[str, ...], np.ndarray, np.ndarray]]:
        """Smooth directions ``[rows, k]`` and their weights ``[k]``, along each variable and pair.

        Args:
            null: what they must be orthogonal to, ``[rows, j]`` orthonormal.
        """
        found = []
        for shape in shapes(self.law, self.x):
            main = beyond(self.root[:, None] * shape.main, null)
            basis = np.concatenate([null, main], axis=1)
            directions = beyond(self.root[:, None] * shape.columns, basis)
            if directions.shape[1]:
                found.append((shape.along, directions, smoothness(directions.shape[1])))
        return found

    def smooth(self, directions: np.ndarray, weights: np.ndarray) -> float:
        """Weighted sum of the squares of what is left along directions ``[rows, k]``."""
        return float(weights @ (directions.T @ self.weighted) ** 2)

    def trend(self) -> np.ndarray:
        """What the logarithm of a variance may depend on ``[rows, k]``: height, sizes, weights."""
        features = row_features(self.law, self.x)
        features = features[:, np.ptp(features, axis=0) > 0]
        height = np.log(self.height + LEAST_HEIGHT)[:, None]
        columns = np.concatenate([np.ones_like(height), height, features], axis=1)
        few, many = (int(self.point.max() + 1) // each for each in _POINTS_PER_PARAMETER)
        return columns[:, : max(many, min(few, 2), 1)]
