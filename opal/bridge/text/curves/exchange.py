"""What N synthetic texts are worth in human ones, and where more of them stop helping.

Errors are balanced errors, which macro-F1 follows; the log loss also falls and rises with
calibration, which weights move. The size of a training set is G times the harmonic mean of its
groups' texts: what group weighting makes of unequal groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from opal.bridge.resampling import half_width
from opal.bridge.text.curves.evaluate import AGAINST, KEYS, summary
from opal.scaling.fit import Fit, fit

ARM = "synthetic_weighting"
METRIC = "balanced_error"
SIZE = "texts trained on"
"""What messages call the size of a training set."""
Errors = Mapping[int, Mapping[int, tuple[float, float]]]
"""Standard error and half of the 95 % interval of a difference, by N and m."""
_LEVEL = 0.99  # of a floor's interval, so that of those that are shown .95 hold
_BLOCKS = 20  # of test texts, that a floor's interval is made from
_GRID = 2001  # sizes of human training sets between the least and the largest


@dataclass(frozen=True)
class Worth:
    """What N texts of a writer are worth."""

    added: int  # N
    human: float  # texts with the same error: 0 if none are needed, infinite beyond all there are
    low: float  # end of its 95 % interval
    high: float  # the other


@dataclass(frozen=True)
class Floor:
    """The error that endless texts of a writer would leave, where a curve shows it.

    Attributes:
        estimate: of the fitted law, whether it is identified or not.
        low: end of its 95 % interval.
        high: the other.
        why_not: why the curve does not identify it; empty if it does.
    """

    estimate: float
    low: float
    high: float
    why_not: str


def curve(records: pd.DataFrame, writer: str) -> pd.DataFrame:
    """Error against the size of the training set, seed by seed, beginning without added texts.

    ``records`` are of one corpus and encoder. Columns are ``added``, ``total`` (size), ``value``,
    ``seed`` and ``influence``.
    """
    chosen = records[(records["metric"] == METRIC) & (records["source"] == "data")]
    own = (chosen["arm"] == ARM) & (chosen["synthesizer"] == writer)
    rows = chosen[own | (chosen["arm"] == "weighting")]
    columns = ["added", "total", "value", "seed", "influence"]
    return rows.rename(columns={"replicate": "seed"})[columns]


def most_added(points: pd.DataFrame) -> int:
    """The largest number of added texts that no fewer seeds have than any other."""
    n_seeds = points.groupby("added")["seed"].nunique()
    return int(n_seeds.index[n_seeds == n_seeds.max()].max())


def law(points: pd.DataFrame, *, level: float = 0.95) -> Fit:
    """A power of the size with a floor, and intervals over seeds of confidence ``level``.

    Sizes are means over seeds.

    Raises:
        ValueError: too few sizes, or errors that do not vary.
    """
    if points["value"].nunique() == 1:
        raise ValueError(f"the error is {points['value'].iloc[0]:.3g} at all sizes: nothing falls")
    mean = points.groupby("added")["total"].transform("mean")
    named = {"total": SIZE, "value": "balanced error"}
    frame = points.assign(total=mean, seed=points["seed"].astype(int)).rename(columns=named)
    # SciPy divides by what is left to gain, which may be nothing.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        return fit("power", frame, x={"n": SIZE}, y=named["value"], seed="seed", level=level)


def floor(points: pd.DataFrame) -> Floor:
    """The floor of a curve, with an interval over seeds and test texts.

    Seeds share their test texts, which move all sizes together. The law is fitted twice, with seeds
    and with blocks of test texts as what rows share, and the two profile intervals are joined as
    independent errors are; their interaction, which both hold, makes the interval a little wide.

    Few curves show their floor, and those do first whose draws lie together by luck. Where one in
    five is shown, intervals of level 1 − .05/5 hold 95 % of the floors that are (Benjamini and
    Yekutieli 2005), so that this is their level.

    Raises:
        ValueError: too few sizes, or errors that do not vary.
    """
    fits = [law(points, level=_LEVEL)]
    if "influence" in points:
        fits.append(law(_by_block(points), level=_LEVEL))
    parts = [each.params["E"] for each in fits]
    best = parts[0].estimate
    below = float(np.hypot.reduce([each.estimate - each.low for each in parts]))
    above = float(np.hypot.reduce([each.high - each.estimate for each in parts]))
    low, high = max(best - below, 0.0), best + above
    said = [text for each in fits for text in each.warnings]
    unknown = any(text.startswith("E is not identified") for text in said)
    why_not = (
        f"the curve does not show where it ends: anywhere from {low:.3g} to {high:.3g}. More texts "
        "and larger --sizes may show it"
    )
    return Floor(best, low, high, why_not if unknown else "")


def _by_block(points: pd.DataFrame) -> pd.DataFrame:
    """The mean curve of all seeds as each of a few blocks of test texts would have it, alone."""
    rows = []
    for added, own in points.groupby("added"):
        changes = np.stack(own["influence"].tolist()).mean(axis=0)
        n = min(_BLOCKS, len(changes))
        of_block = np.bincount(np.arange(len(changes)) % n, changes)
        alone = own["value"].mean() + n * of_block
        same = {"added": added, "total": own["total"].mean()}
        rows += [same | {"value": value, "seed": b} for b, value in enumerate(alone)]
    return pd.DataFrame(rows)


def worth(
    human: pd.DataFrame,
    made: pd.DataFrame,
    sizes: tuple[int, ...] = (),
    *,
    errors: Errors | None = None,
) -> list[Worth]:
    """What texts of a writer are worth in human ones, which are added in the same way.

    The worth of N is where the difference between the source's error and that of m human texts
    changes its sign, a monotone function of m. Its interval holds every m at which the 95 %
    interval of the difference, paired on seeds and test texts, holds 0: where the human curve is
    flat, no finite number may be shown to be too many, and the end is open (Fieller 1954).

    Args:
        human: the curve of human texts.
        made: the curve of the writer's texts; of the same seeds.
        sizes: numbers N of added texts; all of the writer's if none is named.
        errors: of :func:`errors_of_differences`; those over seeds alone if None.

    Raises:
        ValueError: there are no human texts, or no seed has both.
    """
    values = human.pivot(index="seed", columns="added", values="value").dropna(axis="columns")
    if values.shape[1] < 2:
        raise ValueError("texts are worth something in human ones; none were added.")
    total = human.groupby("added")["total"].mean()[values.columns]
    at = made[made["added"] > 0].pivot(index="seed", columns="added", values="value")
    found = []
    for size in sizes or tuple(int(n) for n in at.columns):
        differences = values.rsub(at[size], axis="index").dropna()
        known = _over_seeds(differences) if errors is None else errors[size]
        error, far = np.array([known[int(m)] for m in values.columns]).T
        mean = differences.to_numpy().mean(axis=0)
        found.append(Worth(size, *_crossing(mean, error, far, total)))
    return found


def errors_of_differences(records: pd.DataFrame, writer: str) -> Errors:
    """Of the difference to m human texts, by N and m."""
    rows = records[(records["metric"] == AGAINST) & (records["synthesizer"] == writer)]
    table = summary(rows, (*KEYS, "against")) if len(rows) else pd.DataFrame()
    found: dict[int, dict[int, tuple[float, float]]] = {}
    for row in table.itertuples():
        of_size = found.setdefault(int(row.added), {})
        of_size[int(row.against)] = row.std_error, row.upper - row.value
    return found


def _over_seeds(differences: pd.DataFrame) -> dict[int, tuple[float, float]]:
    n = len(differences)
    error = differences.std(ddof=1) / np.sqrt(n) if n > 1 else differences.mean() * 0.0
    return {int(m): (each, half_width(each, max(n - 1, 1))) for m, each in error.items()}


def _crossing(
    mean: np.ndarray, error: np.ndarray, far: np.ndarray, total: pd.Series
) -> tuple[float, float, float]:
    """Where the difference [sizes] changes its sign, and an interval.

    Between sizes, differences and variances are on a line in ``total^(-1/2)``, as errors fall.
    """
    trust = 1 / np.maximum(error**2, 1e-3 * error.max() ** 2 + np.finfo(float).tiny)
    rising = isotonic_regression(mean, weights=trust).x
    grid, human = -(total.to_numpy(float) ** -0.5), total.index.to_numpy(float)
    sizes = np.union1d(np.linspace(grid[0], grid[-1], _GRID), grid)
    rise = np.interp(sizes, grid, rising)
    m = np.round(np.interp(sizes**-2, total.to_numpy(float), human), 6)  # 0 is 0
    wide = np.sqrt(np.interp(sizes, grid, far**2))
    high = _last(m, rise - wide <= 0)
    if human[0] == mean[0] == error[0] == 0:  # nothing changes, whatever human texts change
        return 0.0, 0.0, high
    return _first(m, rise >= 0), _first(m, rise + wide >= 0), high


def _first(m: np.ndarray, holds: np.ndarray) -> float:
    """The least m at which it holds; infinite if there is none."""
    return float(m[np.argmax(holds)]) if holds.any() else np.inf


def _last(m: np.ndarray, holds: np.ndarray) -> float:
    """The largest m at which it holds; infinite if it holds at the end, 0 if nowhere."""
    if holds[-1]:
        return np.inf
    return float(m[np.flatnonzero(holds)[-1]]) if holds.any() else 0.0
