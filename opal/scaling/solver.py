"""The best parameters: variable projection from many starts, then all coordinates together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import optimize

from opal.scaling.problem import HUBER_DELTA, Problem

_TIGHT = 1e-15
_WIDTHS = (1e-1, 1e-2, HUBER_DELTA)
_N_POLISHED = 4  # starts that are followed to the end
_N_RANDOM = 256  # starts of a law that is not separable


def minimise(problem: Problem) -> np.ndarray:
    """Coordinates φ ``[p]`` of the least deviance that is found from many starts."""
    ends = [descend(problem, start) for start in _starts(problem)]
    return min(ends, key=lambda phi: problem.deviance(phi)[0])


def descend(problem: Problem, start: np.ndarray, *, tolerance: float = _TIGHT) -> np.ndarray:
    """Coordinates of the minimum that is reached from ``start``."""
    low, high = problem.bounds
    start = np.clip(start, low, high)
    if not problem.robust:
        return _least_squares(problem, start, tolerance)
    # From a wide to a narrow quadratic part: the narrow one is nearly Σ|r|, with many kinks.
    for width in _WIDTHS if tolerance <= _TIGHT else ():
        start = _least_squares(problem, start, tolerance, width)
    return _polish(problem, start, tolerance)


def _least_squares(
    problem: Problem, start: np.ndarray, tolerance: float, width: float | None = None
) -> np.ndarray:
    low, high = problem.bounds
    margin = 1e-12 * np.maximum(1.0, np.abs(start))
    options = {} if width is None else {"loss": "huber", "f_scale": width}
    found = optimize.least_squares(
        lambda phi: problem.residuals(phi)[0],
        np.clip(start, low + margin, high - margin),
        jac=lambda phi: -problem.residuals(phi)[1],
        bounds=(low, high),
        x_scale="jac",
        xtol=tolerance,
        ftol=tolerance,
        gtol=tolerance,
        max_nfev=200,
        **options,
    )
    return _snapped(problem, found.x)


def _snapped(problem: Problem, phi: np.ndarray) -> np.ndarray:
    """On the bound what is next to it, where that costs nothing: the search stays inside."""
    low, high = problem.bounds
    room = 1e-9 * np.maximum(1.0, np.abs(phi))
    moved = np.where(phi - low < room, low, np.where(high - phi < room, high, phi))
    return moved if problem.deviance(moved)[0] <= problem.deviance(phi)[0] else phi


def _polish(problem: Problem, start: np.ndarray, tolerance: float) -> np.ndarray:
    """L-BFGS-B on Huber's sum, in coordinates where its curvature is about the same all round."""
    _, slopes = problem.residuals(start)
    low, high = problem.bounds
    scale = 1 / np.maximum(np.linalg.norm(slopes, axis=0), 1e-12)

    def objective(step: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = problem.deviance(start + scale * step)
        return value / HUBER_DELTA, gradient * scale / HUBER_DELTA

    found = optimize.minimize(
        objective,
        np.zeros_like(start),
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip((low - start) / scale, (high - start) / scale, strict=True)),
        options={"maxiter": 2000, "maxfun": 4000, "ftol": tolerance, "gtol": 1e-12, "maxcor": 20},
    )
    end = np.clip(start + scale * found.x, low, high)
    return end if problem.deviance(end)[0] <= problem.deviance(start)[0] else start


def _starts(problem: Problem) -> Iterator[np.ndarray]:
    """Coordinates to descend from, best first."""
    if not problem.law.separable:
        yield from _random_starts(problem)
        return
    projection = Projection(problem)
    grid = problem.law.starts(problem.x)
    costs = [float(np.sum(projection.residuals(point) ** 2)) for point in grid]
    seen: list[np.ndarray] = []
    for index in np.argsort(costs)[:_N_POLISHED]:
        point = projection.search(grid[index])
        if all(np.max(np.abs(point - other)) > 1e-4 for other in seen):
            seen.append(point)
            yield projection.coordinates(point)


def _random_starts(problem: Problem) -> Iterator[np.ndarray]:
    """The best of many points between the bounds; over decades where bounds span decades."""
    low, high = problem.bounds
    unit = np.random.default_rng(0).random((_N_RANDOM, len(low)))
    wide = (low > 0) & (high > 100 * np.maximum(low, 1e-300))
    logs = np.log(np.where(wide, low, 1.0)), np.log(np.where(wide, high, 1.0))
    points = np.where(wide, np.exp(logs[0] + unit * (logs[1] - logs[0])), low + unit * (high - low))
    with np.errstate(all="ignore"):
        costs = np.array([problem.deviance(point)[0] for point in points])
    order = np.argsort(np.where(np.isfinite(costs), costs, np.inf))
    yield from points[order[: 2 * _N_POLISHED]]


class Projection:
    """The problem in its nonlinear coordinates alone (Golub and Pereyra 1973).

    For each of their values the linear parameters are those of least squares, bounded as the law
    says. Under Huber's loss residuals are taken relative to y: near the optimum they are the same.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem, self.law = problem, problem.law
        self.weights = problem.root_weights / (problem.y if problem.robust else 1.0)
        self.target = self.weights * problem.y
        self.free = np.array([problem.law.bounds[name][0] < 0 for name in problem.law.linear])

    def linear(self, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Linear parameters and residuals at nonlinear coordinates."""
        columns = self.weights[:, None] * self.law.basis(point, self.problem.x)
        norms = np.maximum(np.linalg.norm(columns, axis=0), np.finfo(float).tiny)
        scaled = columns / norms
        # A number of either sign is the difference of two that are not negative.
        both = np.concatenate([scaled, -scaled[:, self.free]], axis=1)
        parts, _ = optimize.nnls(both, self.target)
        solution = parts[: len(norms)]
        solution[self.free] -= parts[len(norms) :]
        return solution / norms, self.target - scaled @ solution

    def residuals(self, point: np.ndarray) -> np.ndarray:
        """Residuals at nonlinear coordinates ``[rows]``."""
        return self.linear(point)[1]

    def search(self, start: np.ndarray) -> np.ndarray:
        """Nonlinear coordinates of the minimum that is reached from ``start``, if there are any."""
        if not self.law.nonlinear:
            return start
        box = {f"log_{name}": np.log(ends) for name, ends in self.law.box(self.problem.x).items()}
        known = {**self.law.bounds, **box}
        limits = [known.get(name, (-40.0, 40.0)) for name in self.law.nonlinear]
        low, high = np.array(limits, float).T
        found = optimize.least_squares(
            self.residuals, start, bounds=(low, high), x_scale=1.0, max_nfev=60
        )
        return found.x

    def coordinates(self, point: np.ndarray) -> np.ndarray:
        """All coordinates φ at nonlinear ones; an amplitude of zero becomes a small one."""
        if self.law.assemble is None:
            raise ValueError(f"law {self.law.name!r} is not separable.")
        linear, _ = self.linear(point)
        columns = np.abs(self.law.basis(point, self.problem.x)).max(axis=0)
        least = 1e-6 * np.abs(self.problem.y).max() / np.maximum(columns, np.finfo(float).tiny)
        amplitude = np.array([name in self.law.amplitudes for name in self.law.linear])
        linear = np.where(amplitude, np.maximum(linear, least), linear)
        return self.problem.coordinates(self.law.assemble(linear, point))
