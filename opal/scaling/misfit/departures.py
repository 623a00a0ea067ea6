"""Tests of whether a law fits a table, by what is known of its noise: nothing, replicates, errors.

docs/theory.md, section 11.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import special, stats

from opal.scaling.covariance import SamplingCovariance
from opal.scaling.misfit.contrasts import chance, orthonormal, upper_tail, without
from opal.scaling.misfit.pure_error import PureError, weighted_by_scatter
from opal.scaling.misfit.residuals import LEAST_HEIGHT, Residuals
from opal.scaling.weights import degrees_of_freedom

_LEVEL = 0.01  # of all tests together, where the noise is measured
_LEVEL_OF_VALUES = 0.03  # where it is not: the largest of three levels, which is rarely that small
_FOOTS = (np.inf, 0.3, LEAST_HEIGHT)  # noise at the foot of the curve, beside what the head adds
_SHIFTED = 1e-2  # of a shift must lie beyond the law's slopes to be tested for
_EXACT = 1e-9  # residuals below this share of the values are rounding
_OUTLYING = 5.0  # robust standard deviations
_NEIGHBOURS = 20  # rows on each side, by whose residuals the scale of one is judged
_LEAST_OUTLIERS = 2
_ROWS_PER_OUTLIER = 200  # more outliers are asked for where rows are many
_ENOUGH_ROWS = 2 * _NEIGHBOURS


@dataclass(frozen=True)
class Departure:
    """One test of a law.

    Attributes:
        level: the chance of such a large statistic if the law is right.
        allowed: the level from which on the law is said to be wrong.
        along: the variables along which misses were sought; none for misses of any kind.
    """

    level: float
    allowed: float
    along: tuple[str, ...] = ()

    @property
    def found(self) -> bool:
        """Whether the law is said to be wrong."""
        return self.level < self.allowed


def of_fit(covariance: SamplingCovariance) -> list[Departure]:
    """Every test that the table allows; none where the fit is exact."""
    fitted = Residuals.of(covariance)
    scale = np.log(covariance.problem.y) if covariance.problem.robust else covariance.problem.y
    if np.linalg.norm(fitted.left) <= _EXACT * np.linalg.norm(scale):
        return []
    if covariance.kind == "known":
        return of_errors(fitted)
    return of_replicates(fitted) or of_values(fitted.means())


def of_values(fitted: Residuals) -> list[Departure]:
    """Nothing is known of the noise: the smooth share of the residuals of each point.

    Noise may be even or fall along the curve: the law is wrong if it is under each of these.
    """
    worst: dict[tuple[str, ...], float] = {}
    for foot in _FOOTS:
        spread = 1.0 if np.isinf(foot) else foot + fitted.height
        again = replace(fitted, root=fitted.root / spread)
        total = float(again.weighted @ again.weighted)
        n_free = len(again.left) - again.null.shape[1]
        for along, directions, weights in again.contrasts(again.null):
            share = again.smooth(directions, weights) / total
            terms = np.append(weights, 0.0) - share
            df = np.append(np.ones(len(weights)), n_free - len(weights))
            level = upper_tail(terms, df, 0.0) if n_free > 1 else 1.0
            worst[along] = max(worst.get(along, 0.0), level)
    return _together(worst, _LEVEL_OF_VALUES)


def of_errors(fitted: Residuals) -> list[Departure]:
    """Standard errors are given: χ² of all misses, and of the smooth ones.

    Errors from few seeds scatter, and their inverse squares are too large on average: the law is
    wrong if it is under the errors as they are and as their trend has them.
    """
    worst: dict[tuple[str, ...], float] = {}
    for again, df in ((fitted, np.inf), _on_trend(fitted)):
        n_free = len(again.left) - again.null.shape[1]
        if not n_free:
            return []
        every = float(again.weighted @ again.weighted)
        levels: dict[tuple[str, ...], float] = {(): chance(every, np.ones(1), n_free, df)}
        for along, directions, weights in again.contrasts(again.null):
            levels[along] = chance(again.smooth(directions, weights), weights, 1, df)
        worst = {along: max(level, worst.get(along, 0.0)) for along, level in levels.items()}
    return _together(worst, _LEVEL)


def _on_trend(fitted: Residuals) -> tuple[Residuals, float]:
    """Errors that follow their trend, and the degrees of freedom of all of them together."""
    logs = -2 * np.log(fitted.root)
    design = fitted.trend()
    trend = design @ np.linalg.lstsq(design, logs)[0]
    n_free = max(len(logs) - design.shape[1], 1)
    each = max(degrees_of_freedom(float(np.sum((logs - trend) ** 2)) / n_free), 1.0)
    if np.isinf(each):
        return fitted, np.inf
    bias = special.digamma(each / 2) - np.log(each / 2)
    return replace(fitted, root=np.exp(-(trend - bias) / 2)), each * len(logs)


def _together(levels: Mapping[tuple[str, ...], float], allowed: float) -> list[Departure]:
    """Tests that share a level (Bonferroni)."""
    return [Departure(level, allowed / len(levels), along) for along, level in levels.items()]


def of_replicates(fitted: Residuals) -> list[Departure]:
    """Points have several rows: misses of means against the scatter of rows about them.

    Seeds may shift their curves as they like, by a constant and in proportion: that is taken from
    both. Where the law cannot take up such a shift, its mean is held against the seeds' own.
    """
    fitted = _scattering(fitted)
    if not len(fitted.left) or (rough := PureError.of(fitted)) is None:
        return []
    fitted = weighted_by_scatter(fitted, rough)
    if (noise := PureError.of(fitted)) is None:
        return []
    lifts = fitted.root[:, None] * fitted.lifts[:, : 2 * fitted.shared]
    null = orthonormal(np.concatenate([fitted.null, noise.shifts, lifts], axis=1))
    levels = {
        along: noise.chance(fitted.smooth(directions, weights), directions, weights)
        for along, directions, weights in fitted.contrasts(null)
    }
    left = without(fitted.root * fitted.left, null)
    n_lack = len(left) - null.shape[1] - noise.df
    if n_lack > 0:
        lack = float(left @ left) / noise.variance - noise.df
        even = noise.evenness
        levels[()] = chance(even * lack, np.ones(1), even * n_lack, even * noise.df)
    return [*_together(levels, _LEVEL), *_of_shifts(fitted)]


def _scattering(fitted: Residuals) -> Residuals:
    """Rows of points whose rows differ, and of those with one row.

    A point that is the same for every seed (all real rows, say) has no noise to be judged by.
    """
    count = np.bincount(fitted.point)
    mean = np.bincount(fitted.point, fitted.left) / count
    square = np.bincount(fitted.point, (fitted.left - mean[fitted.point]) ** 2)
    height = np.bincount(fitted.point, np.abs(fitted.curve)) / count
    differ = (count == 1) | (square > count * (_EXACT * height) ** 2)
    return fitted.at(np.flatnonzero(differ[fitted.point]))


def _of_shifts(fitted: Residuals) -> list[Departure]:
    """Student's t over seeds of each shift that the law cannot take up."""
    seeds = np.unique(fitted.clusters)
    if len(seeds) < 3 or not fitted.shared:
        return []
    columns = fitted.root[:, None] * fitted.lifts
    beyond = without(columns / np.linalg.norm(columns, axis=0), fitted.null)
    left, values, _ = np.linalg.svd(beyond, full_matrices=False)
    levels = []
    for direction in left[:, values > _SHIFTED].T:
        each = np.bincount(fitted.clusters, direction * fitted.root * fitted.left)[seeds]
        error = max(float(each.std(ddof=1)) / np.sqrt(len(each)), 1e-300)
        levels.append(float(2 * stats.t.sf(abs(each.mean()) / error, len(each) - 1)))
    return [Departure(level, _LEVEL / len(levels)) for level in levels]


def outliers(covariance: SamplingCovariance) -> np.ndarray:
    """Robust standard deviations of rows that lie far from the curve, 0 of the others ``[rows]``.

    The scale of a row is that of its neighbours on the curve. All are 0 where no more rows stand
    out than may by chance, where rows are few, or where their noise is known.
    """
    problem = covariance.problem
    distance = np.zeros(problem.n_rows)
    if covariance.kind != "residual" or problem.n_rows < _ENOUGH_ROWS:
        return distance
    left = np.abs(problem.residuals(covariance.phi)[0])
    order = np.argsort(problem.model(covariance.phi)[0], kind="stable")
    width = 2 * _NEIGHBOURS + 1
    padded = np.pad(left[order], _NEIGHBOURS, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, width)
    scale = np.median(windows, axis=1) / special.ndtri(0.75)
    distance[order] = left[order] / np.maximum(scale, 1e-300)
    far = distance > _OUTLYING
    least = max(_LEAST_OUTLIERS, problem.n_rows // _ROWS_PER_OUTLIER)
    return np.where(far, distance, 0.0) if far.sum() >= least else np.zeros_like(left)
