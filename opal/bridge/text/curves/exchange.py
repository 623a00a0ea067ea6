"""What N synthetic texts are worth in human ones, and where more of them stop helping.

Errors are balanced errors, which macro-F1 follows; the log loss also falls and rises with
calibration, which weights move. The size of a training set is G times the harmonic mean of its
groups' texts: what group weighting makes of unequal groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from opal.bridge.resampling import Z95
from opal.bridge.text.curves.evaluate import AGAINST
from opal.scaling.fit import Fit, fit

ARM = "synthetic_weighting"
METRIC = "balanced_error"
DRAWS = 100
_GRID = 2001  # sizes of human training sets between the least and the largest


@dataclass(frozen=True)
class Worth:
    """What N texts of a writer are worth."""

    added: int  # N
    human: float  # texts with the same error: 0 if none are needed, infinite beyond all there are
    low: float  # end of its 95 % interval
    high: float  # the other


def curve(records: pd.DataFrame, writer: str) -> pd.DataFrame:
    """Error against the size of the training set, seed by seed, beginning without added texts.

    ``records`` are of one corpus and encoder. Columns are ``added``, ``total`` (size), ``value``
    and ``seed``.
    """
    chosen = records[(records["metric"] == METRIC) & (records["source"] == "data")]
    own = (chosen["arm"] == ARM) & (chosen["synthesizer"] == writer)
    rows = chosen[own | (chosen["arm"] == "weighting")]
    return rows.rename(columns={"replicate": "seed"})[["added", "total", "value", "seed"]]


def law(points: pd.DataFrame, *, n_draws: int = DRAWS) -> Fit:
    """A power of the size with a floor; intervals by resampling seeds ``n_draws`` times.

    Sizes are means over seeds. All fits draw the same seeds, so that their draws are paired.

    Raises:
        ValueError: too few sizes, or errors that do not vary.
    """
    mean = points.groupby("added")["total"].transform("mean")
    frame = points.assign(total=mean, seed=points["seed"].astype(int))
    settings: dict[str, Any] = {"intervals": "bootstrap", "n_bootstrap": n_draws, "key": 0}
    # SciPy divides by what is left to gain, which may be nothing.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        found = fit("power", frame, x={"n": "total"}, y="value", seed="seed", **settings)
        found.draws.setflags(write=False)  # drawn once, here
    return found


def worth(
    human: pd.DataFrame,
    made: pd.DataFrame,
    sizes: tuple[int, ...] = (),
    *,
    test_error: Mapping[int, Mapping[int, float]] | None = None,
) -> list[Worth]:
    """What texts of a writer are worth in human ones, which are added in the same way.

    The worth of N is where the difference between the source's error and that of m human texts
    changes its sign, a monotone function of m. Its interval holds every m at which the difference
    is within 1.96 of its standard errors, paired on seeds and test texts: where the human curve is
    flat, no finite number may be shown to be too many, and the end is open (Fieller 1954).

    Args:
        human: the curve of human texts.
        made: the curve of the writer's texts; of the same seeds.
        sizes: numbers N of added texts; all of the writer's if none is named.
        test_error: standard error over test texts of the difference, by N and m; seeds share their
            test texts and do not show it.

    Raises:
        ValueError: there are no human texts, or no seed has both.
    """
    errors = human.pivot(index="seed", columns="added", values="value").dropna(axis="columns")
    if errors.shape[1] < 2:
        raise ValueError("texts are worth something in human ones; none were added.")
    total = human.groupby("added")["total"].mean()[errors.columns]
    at = made[made["added"] > 0].pivot(index="seed", columns="added", values="value")
    found = []
    for size in sizes or tuple(int(n) for n in at.columns):
        differences = errors.rsub(at[size], axis="index").dropna()
        noise = (test_error or {}).get(size, {})
        over_tests = np.array([noise.get(int(m), 0.0) for m in errors.columns])
        found.append(Worth(size, *_crossing(differences.to_numpy(), over_tests, total)))
    return found


def errors_over_tests(records: pd.DataFrame, writer: str) -> dict[int, dict[int, float]]:
    """Standard error over test texts of the difference to m human texts, by N and m."""
    rows = records[(records["metric"] == AGAINST) & (records["synthesizer"] == writer)]
    squares = (rows["std_error"] ** 2).groupby([rows["added"], rows["against"].astype(int)]).mean()
    by_size = np.sqrt(squares).groupby(level=0)
    return {int(size): each.droplevel(0).to_dict() for size, each in by_size}


def _crossing(
    differences: np.ndarray, over_tests: np.ndarray, total: pd.Series
) -> tuple[float, float, float]:
    """Where the mean of ``differences`` [seeds, sizes] changes its sign, and an interval.

    Between sizes, differences and variances are on a line in ``total^(-1/2)``, as errors fall.
    """
    spread = differences.var(axis=0, ddof=1) if len(differences) > 1 else 0.0
    variance = spread / len(differences) + over_tests**2
    trust = 1 / np.maximum(variance, 1e-3 * variance.max() + np.finfo(float).tiny)
    mean = isotonic_regression(differences.mean(axis=0), weights=trust).x
    grid, human = -(total.to_numpy(float) ** -0.5), total.index.to_numpy(float)
    sizes = np.union1d(np.linspace(grid[0], grid[-1], _GRID), grid)
    rise = np.interp(sizes, grid, mean)
    m = np.round(np.interp(sizes**-2, total.to_numpy(float), human), 6)  # 0 is 0
    far = Z95 * np.sqrt(np.interp(sizes, grid, variance))
    return _first(m, rise >= 0), _first(m, rise + far >= 0), _last(m, rise - far <= 0)


def _first(m: np.ndarray, holds: np.ndarray) -> float:
    """The least m at which it holds; infinite if there is none."""
    return float(m[np.argmax(holds)]) if holds.any() else np.inf


def _last(m: np.ndarray, holds: np.ndarray) -> float:
    """The largest m at which it holds; infinite if it holds at the end, 0 if nowhere."""
    if holds[-1]:
        return np.inf
    return float(m[np.flatnonzero(holds)[-1]]) if holds.any() else 0.0
