"""One new run beside the curve: how far a single run scatters, and an interval that holds it.

docs/theory.md, section 11.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from opal.scaling.covariance import SamplingCovariance
from opal.scaling.scaling_law import Columns
from opal.scaling.weights import points

UNKNOWN = (
    "unknown: the table holds means with their standard errors, which do not say how many runs "
    "each is of; give one row for each run, and name the seeds"
)
OF_RUNS = "the scatter of runs of one size, what a seed shifts included"
OF_MISSES = "the misses of the curve: no size has a second run, so misfit counts as noise"
_ROUNDS = 8  # of reweighting
_LEAST_POINTS = 4  # with several runs each, for a scatter that depends on the size


@dataclass(frozen=True)
class RunNoise:
    """How far one run scatters around the curve.

    Attributes:
        source: where that is known from, or why it is not.
        errors: standard deviation at some sizes ``[rows]``, on the scale of the fit; None if it is
            not known.
        df: degrees of freedom behind it ``[rows]``.
    """

    source: str
    errors: np.ndarray | None = None
    df: np.ndarray | float = 0.0

    def half_width(self, level: float) -> np.ndarray:
        """By how much one run may miss the curve, ``[rows]``.

        Raises:
            ValueError: the noise of a run is not known.
        """
        if self.errors is None:
            raise ValueError(f"an interval of a new run needs the noise of one: {self.source}.")
        return np.asarray(self.errors * stats.t.ppf((1 + level) / 2, self.df))


@dataclass(frozen=True)
class Runs:
    """Runs around a curve, on the scale on which their noise is alike: log values for Huber's loss.

    Attributes:
        y: values ``[rows]``.
        curve: the curve there ``[rows]``.
        point: number of the design point of each row ``[rows]``.
        seed: number of the seed of each row ``[rows]``.
    """

    y: np.ndarray
    curve: np.ndarray
    point: np.ndarray
    seed: np.ndarray

    def errors(self, curve: np.ndarray) -> np.ndarray | None:
        """Standard deviation of one run where the curve has these values ``[k]``.

        The variance is a₀ + a₁g + a₂g² of the height g over the lowest point, no part negative:
        what all runs share, and what shrinks with the excess. Outside of the table it is that of
        the nearest point. None where no two points have runs that scatter.
        """
        count = np.bincount(self.point)
        repeated = count > 1
        df = count[repeated] - 1.0
        height = (np.bincount(self.point, self.curve) / count)[repeated]
        variance = np.bincount(self.point, self.misses**2)[repeated] / df
        if len(df) < 2 or not np.all(np.sqrt(variance) > 1e-13 * np.abs(height)):
            return None
        low, high = height.min(), height.max()
        degree = 2 if len(df) >= _LEAST_POINTS and high > low else 0

        def basis(at: np.ndarray) -> np.ndarray:
            return np.vander((at - low) / max(high - low, 1e-300), degree + 1)

        fitted = np.full(len(df), np.average(variance, weights=df))
        for _ in range(_ROUNDS):
            root = np.sqrt(df) / fitted  # of a variance the error is about itself, over √df
            parts, _ = optimize.nnls(root[:, None] * basis(height), root * variance)
            fitted = np.maximum(basis(height) @ parts, 1e-6 * variance.min())
        return np.sqrt(basis(np.clip(curve, low, high)) @ parts)

    @property
    def misses(self) -> np.ndarray:
        """Distance of each row from the mean of its point ``[rows]``."""
        mean = np.bincount(self.point, self.y) / np.bincount(self.point)
        return self.y - mean[self.point]

    def degrees(self, errors: np.ndarray) -> np.ndarray:
        """Degrees of freedom behind ``errors`` ``[k]`` (Satterthwaite).

        The share of the variance that all rows of a seed have in common is known from as many
        numbers as there are seeds, less one; the rest from rows less points, for three parts.
        """
        own = self.errors(self.curve)
        assert own is not None  # asked only where runs scatter
        count = np.bincount(self.point)[self.point]
        weight = np.where(count > 1, 1 / own**2, 0.0)
        misses = self.misses * np.sqrt(count / np.maximum(count - 1, 1))
        pairs = np.bincount(self.seed, weight) ** 2 - np.bincount(self.seed, weight**2)
        products = np.bincount(self.seed, weight * misses) ** 2
        products -= np.bincount(self.seed, (weight * misses) ** 2)
        common = max(np.sum(products) / max(np.sum(pairs), 1e-300), 0.0)
        share = np.clip(common / errors**2, 0.0, 1.0)
        n_seeds, free = len(np.unique(self.seed)), len(self.y) - len(np.unique(self.point))
        shared, others = share**2 / max(n_seeds - 1, 1), (1 - share) ** 2 / max(free / 3, 1)
        return np.asarray(1 / (shared + others))


def run_noise(covariance: SamplingCovariance, x: Columns) -> RunNoise:
    """The noise of one run at ``x``: the law's variables, ``[rows]`` each."""
    problem, phi = covariance.problem, covariance.phi
    if covariance.kind == "known":
        return RunNoise(UNKNOWN)
    point = points([problem.x[name] for name in problem.law.variables])
    scale = np.log if problem.robust else np.asarray
    curve = scale(problem.model(phi)[0])
    runs = Runs(scale(problem.y), curve, point, problem.clusters)
    at = problem.model(phi, x)[0]
    errors = runs.errors(scale(at))
    relative = np.abs(at) if problem.robust else 1.0
    if errors is not None:
        return RunNoise(OF_RUNS, errors * relative, runs.degrees(errors))
    df = float(max(covariance.n_free, 1))
    error = np.sqrt(np.sum((runs.y - curve) ** 2) / df)
    return RunNoise(OF_MISSES, np.full(len(at), error) * relative, df)


def joined(
    best: np.ndarray, low: np.ndarray, high: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of an interval of the curve, widened by independent noise (Zou and Donner 2008)."""
    return best - np.hypot(best - low, noise), best + np.hypot(high - best, noise)
