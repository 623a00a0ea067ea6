"""Intervals of a fit: by profile likelihood, and by a bootstrap over seeds.

The ends of the profile interval of g(φ) are its largest and smallest value where the deviance S
exceeds its minimum by no more than an allowance (docs/theory.md, section 11.3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, stats

from opal.scaling.covariance import SamplingCovariance
from opal.scaling.problem import Problem
from opal.scaling.scaling_law import Columns
from opal.scaling.solver import descend

Target = Callable[[np.ndarray], tuple[float, np.ndarray]]
REACH = 25.0  # logarithms of amplitudes are followed this far from the estimate
_CONTINUATION = (0.1, 0.4, 1.0)
_EDGE = 1e-3  # of the logarithm of a scale: so near the end of where it is looked for
_MOST_STEPS = 40
_EXACT = 1e-13  # residuals below this share of the values are rounding
_TOLERANCE = 1e-8  # of a fit to a resampled table
_VISIBLE = 0.5  # what a vanished amplitude is given back, in standard errors of the whole table


def of_parameter(covariance: SamplingCovariance, index: int, level: float) -> tuple[float, float]:
    """Interval of one parameter, on its own scale."""
    problem = covariance.problem
    slope = np.eye(len(covariance.phi))[index]
    low, high = profile_interval(covariance, lambda phi: (phi[index], slope), level)
    if problem.is_log[index]:
        near, centre = 0.99 * REACH, covariance.phi[index]
        box = problem.bounds[0][index] + _EDGE, problem.bounds[1][index] - _EDGE
        low = 0.0 if low < max(centre - near, box[0]) else float(np.exp(low))
        high = np.inf if high > min(centre + near, box[1]) else float(np.exp(high))
    bounds = problem.law.bounds[problem.law.params[index]]
    low, high = max(low, bounds[0]), min(high, bounds[1])
    return (bounds[0] if low - bounds[0] < _EXACT * high else low), high


def of_prediction(covariance: SamplingCovariance, x: Columns, level: float) -> tuple[float, float]:
    """Interval of the law at one point, on the link's scale."""

    def target(phi: np.ndarray) -> tuple[float, np.ndarray]:
        f, slopes = covariance.problem.model(phi, x)
        return float(f[0]), slopes[0]

    return profile_interval(covariance, target, level)


def profile_interval(
    covariance: SamplingCovariance, target: Target, level: float = 0.95
) -> tuple[float, float]:
    """Lower and upper end of ``target`` at confidence ``level``.

    Args:
        covariance: the fit and its sampling covariance.
        target: maps coordinates φ ``[p]`` to g and its gradient ``[p]``.
        level: of confidence.
    """
    problem = covariance.problem
    centre = float(target(covariance.phi)[0])
    least = problem.deviance(covariance.phi)[0]
    exact = (_EXACT * np.linalg.norm(problem.root_weights * problem.y)) ** 2
    ends = [centre]
    others = list(_elsewhere(covariance))
    ends += [float(target(near.phi)[0]) for near in others]
    for near in (covariance, *others, *_revived(covariance)):
        slope = target(near.phi)[1]
        allowance = near.allowance(slope, level) if np.any(slope) else 0.0
        if allowance > exact:
            region = Region(near, target, least, allowance)
            ends += [region.end(-1.0), region.end(1.0)]
    return min(ends), max(ends)


def _elsewhere(covariance: SamplingCovariance) -> Iterator[SamplingCovariance]:
    """The fit with a scale that no row shows at either end of where it is looked for."""
    for index in np.flatnonzero(covariance.unseen):
        for bound in covariance.problem.bounds:
            phi = covariance.phi.copy()
            phi[index] = bound[index]
            yield replace(covariance, phi=phi)


def _revived(covariance: SamplingCovariance) -> Iterator[SamplingCovariance]:
    """The fit with a vanished amplitude given back, so little that the deviance hardly tells.

    Where an amplitude is zero nothing depends on its exponent, and no slope leads away from there.
    """
    for index in np.flatnonzero(covariance.idle & covariance.problem.is_log):
        phi = covariance.phi.copy()
        others = covariance.idle & ~covariance.problem.is_log
        phi[others] = np.clip(phi[others], 0.2, 1.0)
        one = covariance.problem.residuals(phi)[1][:, index]
        norm = np.linalg.norm(one)
        if norm > 0:
            phi[index] += np.log(_VISIBLE * np.sqrt(covariance.unit) / norm)
            yield replace(covariance, phi=phi)


@dataclass(frozen=True)
class Region:
    """The coordinates that the table allows, and the quantity whose extremes there are sought.

    Attributes:
        covariance: where to start from, and the shape of the region there.
        target: the quantity.
        least: minimum of the deviance.
        allowance: how far the deviance may exceed it.
    """

    covariance: SamplingCovariance
    target: Target
    least: float
    allowance: float

    def end(self, sign: float) -> float:
        """The farthest value on one side."""
        value, step = self._climb(sign, None)
        if step is not None:
            return value
        # The region is bent: follow it from a small allowance to the whole.
        moved = None
        for share in _CONTINUATION:
            part = replace(self, allowance=share * self.allowance)
            reached, moved = part._climb(sign, step)
            if moved is not None:
                value, step = max(value, reached, key=lambda end: sign * end), moved
        return reached if moved is not None else value

    def _climb(self, sign: float, start: np.ndarray | None) -> tuple[float, np.ndarray | None]:
        """SLSQP in coordinates u where the region is nearly the unit ball, φ = φ̂ + moves u.

        Returns:
            The value, and the step in φ from the optimum, None if there is no success. Where the
            search left the region the value is that of a region without a bend.
        """
        problem, phi = self.covariance.problem, self.covariance.phi
        low, high = _box(problem, phi)
        moves = np.sqrt(self.allowance) * self.covariance.inverse
        centre, slope = self.target(phi)
        along = slope @ moves
        unit = max(float(np.linalg.norm(along)), 1e-300)
        rows, offsets = _sides(moves, phi - low, high - phi)

        def at(u: np.ndarray) -> np.ndarray:
            return np.clip(phi + moves @ u, low, high)

        def objective(u: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = self.target(at(u))
            return -sign * (value - centre) / unit, -sign * gradient @ moves / unit

        def room(u: np.ndarray) -> np.ndarray:
            excess = 1 - (problem.deviance(at(u))[0] - self.least) / self.allowance
            return np.append(rows @ u + offsets, max(excess, -1e6))

        def room_slope(u: np.ndarray) -> np.ndarray:
            gradient = -problem.deviance(at(u))[1] @ moves / self.allowance
            return np.concatenate([rows, gradient[None]])

        begin = 0.5 * sign * along / unit
        if start is not None:
            begin = np.linalg.lstsq(moves, start)[0]
        pace = np.maximum(-(rows @ begin), 1e-12)
        begin = begin * min(1.0, 0.99 * np.min(offsets / pace, initial=np.inf))
        found = optimize.minimize(
            objective,
            begin,
            jac=True,
            method="SLSQP",
            constraints=[{"type": "ineq", "fun": room, "jac": room_slope}],
            options={"maxiter": _MOST_STEPS, "ftol": 1e-8},
        )
        inside = np.min(room(found.x)) > -1e-3
        value = float(centre + sign * unit * (-found.fun if inside else 1.0))
        return value, moves @ found.x if found.success and inside else None


def _box(problem: Problem, phi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the coordinates, with logarithms kept within reach of the estimate."""
    low, high = problem.bounds
    near = np.where(problem.is_log, REACH, np.inf)
    return np.maximum(low, phi - near), np.minimum(high, phi + near)


def _sides(
    moves: np.ndarray, below: np.ndarray, above: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The box as linear limits ``rows @ u + offsets ≥ 0``."""
    both = [(moves, below), (-moves, above)]
    rows = np.concatenate([m[np.isfinite(room)] for m, room in both])
    offsets = np.concatenate([room[np.isfinite(room)] for _, room in both])
    norms = np.hypot.reduce(rows, axis=1)  # squares may overflow
    norms = np.where(norms > 1e-300, norms, 1.0)  # along what is not moved there is no limit
    return rows / norms[:, None], np.maximum(offsets, 0.0) / norms


def bootstrap_draws(covariance: SamplingCovariance, n_draws: int, *, seed: int) -> np.ndarray:
    """Coordinates ``[n_draws, p]`` of fits to resampled tables.

    Clusters of rows (seeds) are drawn with replacement, so that arms and sizes that share a seed
    stay paired. If there are fewer than two rows to a cluster (no seeds), rows get normal noise
    of their standard error instead, except under Huber's loss, where rows are drawn.

    Deviations are widened by √(S/(S−1)): S seeds drawn with replacement scatter that much less.
    """
    rng = np.random.default_rng(seed)
    problem = covariance.problem
    n_clusters = int(problem.clusters.max()) + 1
    by_cluster = n_clusters < problem.n_rows or problem.robust
    again = _resampled if by_cluster else _perturbed
    found = np.stack(
        [
            descend(again(covariance, rng), covariance.phi, tolerance=_TOLERANCE)
            for _ in range(n_draws)
        ]
    )
    widening = np.sqrt(n_clusters / (n_clusters - 1)) if by_cluster else 1.0
    low, high = problem.bounds
    return np.clip(covariance.phi + widening * (found - covariance.phi), low, high)


def _resampled(covariance: SamplingCovariance, rng: np.random.Generator) -> Problem:
    """Clusters drawn with replacement."""
    problem = covariance.problem
    n = int(problem.clusters.max()) + 1
    times = np.bincount(rng.integers(n, size=n), minlength=n)[problem.clusters]
    rows = np.repeat(np.arange(problem.n_rows), times)
    return replace(
        problem,
        x={name: column[rows] for name, column in problem.x.items()},
        y=problem.y[rows],
        root_weights=problem.root_weights[rows],
        clusters=problem.clusters[rows],
    )


def _perturbed(covariance: SamplingCovariance, rng: np.random.Generator) -> Problem:
    """The fitted curve with new noise."""
    problem = covariance.problem
    scale = 1.0 if covariance.kind == "known" else 0.0
    noise = np.sqrt(max(covariance.inflation, scale)) / problem.root_weights
    f, _slopes = problem.model(covariance.phi)
    return replace(problem, y=f + noise * rng.standard_normal(len(f)))


def percentile_interval(
    estimate: float, samples: np.ndarray, level: float = 0.95
) -> tuple[float, float]:
    """Bias-corrected percentile interval (Efron 1981)."""
    below = (np.sum(samples < estimate) + 0.5 * np.sum(samples == estimate)) / len(samples)
    edge = 0.5 / len(samples)
    shift = stats.norm.ppf(np.clip(below, edge, 1 - edge))
    tail = stats.norm.ppf((1 + level) / 2)
    low, high = np.quantile(samples, stats.norm.cdf([2 * shift - tail, 2 * shift + tail]))
    return float(low), float(high)
