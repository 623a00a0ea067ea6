"""Law fits of OPAL against what people use today: one start of curve_fit, and a grid of BFGS runs.

Tables are those of ``simulations/fit_coverage.py``: the additive law of two sizes, 36 points with 8
seeds each, noise shared by the rows of a seed. Compared are the time of a fit with intervals, the
share of 95 % intervals that cover the truth, and the optimum that is found.

``curve_fit`` starts once, from ones (its default) or from plausible values, and its intervals come
from its covariance, with the seeds' rows taken for independent, as its users do. The grid of
Hoffmann et al. 2022 (appendix D.3) minimises Huber's loss on logarithms (δ = 1e-3) by
L-BFGS from 4500 starts (``--starts`` takes that many of them); it has no intervals.

Run ``python benchmarks/fits.py``, or with ``--json``; one process.
"""

from __future__ import annotations

import json
import time
import warnings
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import tyro
from scipy import optimize, special

from opal.scaling.fit import Fit, fit
from opal.scaling.laws import LAWS
from opal.scaling.problem import HUBER_DELTA
from simulations.fit_coverage import Config, draw_truth, points, simulate

LAW = LAWS["additive"]
PARAMS = LAW.params
PLAUSIBLE = (1.5, 1e3, 1e3, 0.3, 0.3)
# Hoffmann et al. 2022, appendix D.3: logarithms of A, B and E, then the exponents.
GRID = (
    *(np.arange(0, 30, 5), np.arange(0, 30, 5), np.arange(-1, 1.5, 0.5)),
    *(np.arange(0, 2.5, 0.5), np.arange(0, 2.5, 0.5)),
)
_NEAR = 1e-6  # relative excess of an objective that counts as the optimum


@dataclass(frozen=True)
class Options:
    """Compare law fits with curve_fit and with a grid of BFGS runs.

    Example:
        python benchmarks/fits.py --json
    """

    json: bool = False
    """Print JSON."""
    tables: int = 100
    """Tables that opal and curve_fit fit."""
    grid_tables: int = 5
    """Tables that the grid fits, too."""
    starts: int = 500
    """Starts of the grid, spread evenly over all 4500."""


@dataclass(frozen=True)
class Found:
    """What a method says of one table: parameters, standard errors or intervals, seconds."""

    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    seconds: float


def main(options: Options) -> None:
    """Measure and print."""
    tables = [_table(index) for index in range(options.tables)]
    squares = _compare_squares(tables)
    huber = _compare_huber(tables[: options.grid_tables], options.starts)
    results = {"least_squares": squares, "huber_log": huber}
    if options.json:
        print(json.dumps(results))
        return
    for title, entries in results.items():
        print(title)
        for entry in entries:
            print("  " + ", ".join(f"{name} {_text(value)}" for name, value in entry.items()))


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _table(index: int) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng((5, index))
    truth = draw_truth("additive", rng)
    frame = simulate(LAW, points("additive", identified=True), truth, Config(), rng)
    return frame, np.array([truth[name] for name in PARAMS])


def _ours(frame: pd.DataFrame, loss: str) -> tuple[Found, Fit]:
    start = time.perf_counter()
    x = {"x1": "x1", "x2": "x2"}
    result = fit(LAW, frame, x=x, y="y", seed="seed", loss=loss)
    seconds = time.perf_counter() - start
    numbers = [(e.estimate, e.low, e.high) for e in (result.params[name] for name in PARAMS)]
    values, low, high = np.array(numbers).T
    return Found(values, low, high, seconds), result


def _curve(columns: np.ndarray, *values: float) -> np.ndarray:
    with np.errstate(all="ignore"):
        f = LAW.derivatives(np.array(values), {"x1": columns[0], "x2": columns[1]})[0]
    return np.nan_to_num(f, nan=1e10, posinf=1e10, neginf=-1e10)


def _curve_fit(frame: pd.DataFrame, start: tuple[float, ...], sigma: np.ndarray) -> Found | None:
    """One run of curve_fit with the weights that opal uses; None where it gives up."""
    columns, y = frame[["x1", "x2"]].to_numpy().T, frame["y"].to_numpy()
    begin = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optimize.OptimizeWarning)
            values, covariance = optimize.curve_fit(
                _curve, columns, y, p0=start, sigma=sigma, maxfev=20_000
            )
    except RuntimeError:
        return None
    seconds = time.perf_counter() - begin
    half = 1.96 * np.sqrt(np.maximum(np.diag(covariance), 0))
    return Found(values, values - half, values + half, seconds)


def _compare_squares(tables: list[tuple[pd.DataFrame, np.ndarray]]) -> list[dict[str, Any]]:
    methods: dict[str, list[tuple[Found | None, np.ndarray, float]]] = {
        name: [] for name in ("opal", "curve_fit from ones", "curve_fit from plausible values")
    }
    _ours(tables[0][0], "least-squares")  # warm
    for frame, truth in tables:
        ours, result = _ours(frame, "least-squares")
        weights = result.covariance.problem.root_weights
        found: list[Found | None] = [ours]
        found += [_curve_fit(frame, s, 1 / weights) for s in ((1.0,) * 5, PLAUSIBLE)]
        columns, y = frame[["x1", "x2"]].to_numpy().T, frame["y"].to_numpy()
        costs = [_cost(f, columns, y, weights) for f in found]
        for name, f, reached in zip(methods, found, costs, strict=True):
            methods[name].append((f, truth, reached / min(costs) - 1))
    return [_summary(name, entries) for name, entries in methods.items()]


def _cost(found: Found | None, columns: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    """Weighted sum of squares; infinite for a run that gave up."""
    if found is None:
        return np.inf
    return float(np.sum((weights * (y - _curve(columns, *found.values))) ** 2))


def _summary(name: str, entries: list[tuple[Found | None, np.ndarray, float]]) -> dict[str, Any]:
    """Time, optimum and coverage of one method; a run that gave up covers nothing."""
    inside = [
        np.zeros(len(PARAMS)) if f is None else (f.low <= truth) & (truth <= f.high)
        for f, truth, _ in entries
    ]
    coverage = np.mean(inside, axis=0)
    return {
        "method": name,
        "seconds": float(np.median([f.seconds for f, _, _ in entries if f is not None])),
        "optimum_found": float(np.mean([excess < _NEAR for _, _, excess in entries])),
        "least_coverage": float(coverage.min()),
        "largest_coverage": float(coverage.max()),
        "tables": len(entries),
    }


def hoffmann(frame: pd.DataFrame, starts: int) -> tuple[np.ndarray, float]:
    """The best of a grid of L-BFGS runs, as parameters, and its seconds."""
    x1, x2 = np.log(frame["x1"].to_numpy()), np.log(frame["x2"].to_numpy())
    log_y = np.log(frame["y"].to_numpy())

    def objective(v: np.ndarray) -> tuple[float, np.ndarray]:
        terms = np.stack([v[0] - v[3] * x1, v[1] - v[4] * x2, np.full_like(x1, v[2])])
        total = special.logsumexp(terms, axis=0)
        score = np.clip(total - log_y, -HUBER_DELTA, HUBER_DELTA)
        share = score * np.exp(terms - total)
        slopes = [*share.sum(axis=1), -share[0] @ x1, -share[1] @ x2]
        return float(np.sum(score * (total - log_y - score / 2))), np.array(slopes)

    grid = np.array(list(product(*GRID)))
    chosen = grid[np.linspace(0, len(grid) - 1, min(starts, len(grid))).astype(int)]
    begin = time.perf_counter()
    ends = [optimize.minimize(objective, start, jac=True, method="L-BFGS-B") for start in chosen]
    best = min(ends, key=lambda end: float(end.fun))
    seconds = time.perf_counter() - begin
    return np.array([*np.exp(best.x[[2, 0, 1]]), *best.x[3:]]), seconds


def _compare_huber(
    tables: list[tuple[pd.DataFrame, np.ndarray]], starts: int
) -> list[dict[str, Any]]:
    seconds: list[tuple[float, float]] = []
    excesses: list[float] = []
    for frame, _ in tables:
        ours, result = _ours(frame, "huber-log")
        theirs, their_seconds = hoffmann(frame, starts)
        problem = result.covariance.problem
        costs = [problem.deviance(problem.coordinates(v))[0] for v in (ours.values, theirs)]
        seconds.append((ours.seconds, their_seconds))
        excesses.append(costs[0] / costs[1] - 1)
    excess = np.array(excesses)
    sides = [
        ("opal, with intervals", excess),
        (f"grid of {starts} starts", 1 / (1 + excess) - 1),
    ]
    return [
        {
            "method": name,
            "seconds": float(np.median([pair[i] for pair in seconds])),
            "optimum_found": float(np.mean(side < _NEAR)),
            "largest_relative_excess": float(side.max()),
            "tables": len(tables),
        }
        for i, (name, side) in enumerate(sides)
    ]


if __name__ == "__main__":
    main(tyro.cli(Options, description=Options.__doc__))
