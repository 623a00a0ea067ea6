"""Profile-likelihood intervals: how far a quantity can go before the deviance says no.

The ends of the interval of g(φ) are its largest and smallest value where the deviance S exceeds
its minimum by no more than an allowance (docs/theory.md, section 11.3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize

from opal.scaling.laws import Columns
from opal.scaling.problem import Problem
from opal.scaling.spread import Spread

Target = Callable[[np.ndarray], tuple[float, np.ndarray]]
REACH = 25.0  # logarithms of amplitudes are followed this far from the estimate
_CONTINUATION = (0.1, 0.4, 1.0)
_MOST_STEPS = 40
_EXACT = 1e-13  # residuals below this share of the values are rounding
_VISIBLE = 0.5  # what a vanished amplitude is given back, in standard errors of the whole table


def of_parameter(spread: Spread, index: int, level: float) -> tuple[float, float]:
    """Interval of one parameter, on its own scale."""
    problem = spread.problem
    slope = np.eye(len(spread.phi))[index]
    low, high = interval(spread, lambda phi: (phi[index], slope), level)
    if problem.is_log[index]:
        near, centre = 0.99 * REACH, spread.phi[index]
        low = 0.0 if low < centre - near else float(np.exp(low))
        high = np.inf if high > centre + near else float(np.exp(high))
    bounds = problem.law.bounds[problem.law.params[index]]
    low, high = max(low, bounds[0]), min(high, bounds[1])
    return (bounds[0] if low - bounds[0] < _EXACT * high else low), high


def of_prediction(spread: Spread, x: Columns, level: float) -> tuple[float, float]:
    """Interval of the law at one point, on the link's scale."""

    def target(phi: np.ndarray) -> tuple[float, np.ndarray]:
        f, slopes = spread.problem.model(phi, x)
        return float(f[0]), slopes[0]

    return interval(spread, target, level)


def interval(spread: Spread, target: Target, level: float = 0.95) -> tuple[float, float]:
    """Lower and upper end of ``target`` at confidence ``level``.

    Args:
        spread: the fit and its sampling spread.
        target: maps coordinates φ ``[p]`` to g and its gradient ``[p]``.
        level: of confidence.
    """
    problem = spread.problem
    centre = float(target(spread.phi)[0])
    least = problem.deviance(spread.phi)[0]
    exact = (_EXACT * np.linalg.norm(problem.root_weights * problem.y)) ** 2
    ends = [centre]
    for near in (spread, *_revived(spread)):
        slope = target(near.phi)[1]
        allowance = near.allowance(slope, level) if np.any(slope) else 0.0
        if allowance > exact:
            region = Region(near, target, least, allowance)
            ends += [region.end(-1.0), region.end(1.0)]
    return min(ends), max(ends)


def _revived(spread: Spread) -> Iterator[Spread]:
    """The fit with a vanished amplitude given back, so little that the deviance hardly tells.

    Where an amplitude is zero nothing depends on its exponent, and no slope leads away from there.
    """
    for index in np.flatnonzero(spread.idle & spread.problem.is_log):
        phi = spread.phi.copy()
        others = spread.idle & ~spread.problem.is_log
        phi[others] = np.clip(phi[others], 0.2, 1.0)
        one = spread.problem.residuals(phi)[1][:, index]
        norm = np.linalg.norm(one)
        if norm > 0:
            phi[index] += np.log(_VISIBLE * np.sqrt(spread.unit) / norm)
            yield replace(spread, phi=phi)


@dataclass(frozen=True)
class Region:
    """The coordinates that the table allows, and the quantity whose extremes there are sought.

    Attributes:
        spread: where to start from, and the shape of the region there.
        target: the quantity.
        least: minimum of the deviance.
        allowance: how far the deviance may exceed it.
    """

    spread: Spread
    target: Target
    least: float
    allowance: float

    def end(self, sign: float) -> float:
        """The farthest value on one side."""
        value, step = self._climb(sign, None)
        if step is not None:
            return value
        # The region is bent: follow it from a small allowance to the whole.
        for share in _CONTINUATION:
            part = replace(self, allowance=share * self.allowance)
            reached, moved = part._climb(sign, step)
            value, step = (reached, moved) if moved is not None else (value, step)
        return value

    def _climb(self, sign: float, start: np.ndarray | None) -> tuple[float, np.ndarray | None]:
        """SLSQP in coordinates u where the region is nearly the unit ball, φ = φ̂ + moves u.

        Returns:
            The value, and the step in φ from the optimum; None if there is no success.
        """
        problem, phi = self.spread.problem, self.spread.phi
        low, high = _box(problem, phi)
        moves = np.sqrt(self.allowance) * self.spread.inverse
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
        success = found.success and np.min(room(found.x)) > -1e-3
        return float(centre - sign * unit * found.fun), moves @ found.x if success else None


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
    norms = np.maximum(np.linalg.norm(rows, axis=1), 1e-300)
    return rows / norms[:, None], np.maximum(offsets, 0.0) / norms
