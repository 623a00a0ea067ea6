"""What a reader of a fit must be told: bounds, flat directions, short spans, far extrapolation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from scipy import stats

from opal.scaling.covariance import SamplingCovariance
from opal.scaling.scaling_law import Columns, ScalingLaw
from opal.scaling.table import Roles
from opal.scaling.weights import points

_LEAST_SIZES = 4
_LEAST_SPAN = 10.0
_FAR = 10.0  # times the largest size
_OPEN = 1e5  # an amplitude whose interval ends differ by this factor is not known
_SINGULAR = 1e-7
_LACK_LEVEL = 1e-3


def of_sizes(law: ScalingLaw, x: Columns, columns: Mapping[str, str]) -> Iterator[str]:
    """Sizes that are few, or that span little."""
    for name in law.sizes:
        values = np.unique(x[name][x[name] > 0])
        if len(values) < _LEAST_SIZES:
            yield (
                f"few sizes: {columns[name]!r} has {len(values)} different values; an exponent "
                f"with an honest interval needs {_LEAST_SIZES} or more."
            )
        if len(values) and values[-1] < _LEAST_SPAN * values[0]:
            yield (
                f"sizes span too little: {columns[name]!r} goes from {values[0]:g} to "
                f"{values[-1]:g}, less than a factor of {_LEAST_SPAN:g}; the exponent and the "
                "floor are hard to tell apart."
            )


def of_params(
    covariance: SamplingCovariance, intervals: Mapping[str, tuple[float, float]]
) -> Iterator[str]:
    """Parameters on a bound, and parameters that the table does not identify."""
    law, gone = covariance.problem.law, covariance.problem.gone(covariance.phi)
    values = np.where(gone, 0.0, covariance.problem.values(covariance.phi))
    yield from _singular(law.params, covariance.problem.residuals(covariance.phi)[1])
    reach = np.max(np.abs(covariance.problem.model(covariance.phi)[1]), axis=0)
    span = float(np.ptp(covariance.problem.y))
    for index, name in enumerate(law.params):
        low, high = law.bounds[name]
        left, right = intervals[name]
        amplitude = name in law.amplitudes
        faint = amplitude and covariance.idle[index]
        room = min(values[index] - low, high - values[index])
        size = 1.0 if np.isfinite(high) else float(np.abs(covariance.problem.y).max())
        close = 1e-6 * min(max(size, abs(values[index])), high - low)
        at_bound = not amplitude and not gone[index] and room <= close
        if faint or at_bound:
            yield (
                f"{name} is at its bound ({values[index]:.3g}): the table does not show this part "
                "of the law; try a law without it."
            )
        if is_open(name, left, right, law, span, reach[index]):
            yield (
                f"{name} is not identified: its interval [{left:.3g}, {right:.3g}] is open. "
                "Add sizes where this part of the law changes."
            )


def is_open(name: str, low: float, high: float, law: ScalingLaw, span: float, reach: float) -> bool:
    """Whether an interval says nothing: it reaches a bound, or is too wide.

    That of a linear parameter is if its ends move a value (by ``reach`` for a unit) farther than
    all values lie apart (``span``), or if it holds zero and is wider than that itself: a part of
    the law that the table weighs so little may be absent, or as large as all there is.
    """
    if name in law.amplitudes or name in law.scales:
        return not low > 0 or high / low > _OPEN
    bound = law.bounds[name]
    width = bound[1] - bound[0]
    if np.isfinite(width):
        # Bounds that span decades are far from a value that is a multiple of the lower one.
        below = min(1e-3 * width, 0.5 * bound[0]) if bound[0] > 0 else 1e-3 * width
        reaches = low - bound[0] < below or bound[1] - high < 1e-3 * width
        return reaches and min(low - bound[0], bound[1] - high) <= high - low
    wide, absent = high - low, low <= 0 <= high
    return wide * reach > span or (absent and wide > span)


def _singular(params: tuple[str, ...], slopes: np.ndarray) -> Iterator[str]:
    """Directions along which the fit does not change at all."""
    norms = np.linalg.norm(slopes, axis=0)
    if np.any(norms == 0):
        gone = ", ".join(np.array(params)[norms == 0])
        yield f"not identified: no row depends on {gone}."
        return
    _, values, rotation = np.linalg.svd(slopes / norms, full_matrices=False)
    if values[-1] < _SINGULAR * values[0]:
        shares = rotation[-1] ** 2
        names = ", ".join(np.array(params)[shares > 0.05])
        yield f"not identified: the table cannot tell {names} apart; only their sum is fitted."


def of_noise(covariance: SamplingCovariance) -> Iterator[str]:
    """A law that does not fit: means that lie farther off than their noise allows."""
    problem = covariance.problem
    if covariance.kind == "known" and covariance.n_free > 0:
        deviance = problem.deviance(covariance.phi)[0]
        if stats.chi2.sf(deviance, covariance.n_free) < _LACK_LEVEL:
            yield (
                f"the law misses the values by {np.sqrt(covariance.inflation):.1f} times their "
                "standard errors: intervals are widened by this factor, and another law may fit."
            )
    if covariance.kind != "clusters":
        return
    point = points([problem.x[name] for name in problem.law.variables])
    r = problem.residuals(covariance.phi)[0]
    count = np.bincount(point)
    if count.min() < 3:
        return
    mean = np.bincount(point, r) / count
    square = np.bincount(point, (r - mean[point]) ** 2)
    error = np.sqrt(square / (count - 1) / count)
    # A point that is the same for every seed (all real rows, say) has no noise to be judged by.
    scatters = error > 1e-9 * np.abs(mean)
    error = np.where(scatters, error, np.inf)
    level = stats.t.sf(np.abs(mean) / error, count - 1) * 2 * len(count)
    if np.min(level) < _LACK_LEVEL and np.max(np.abs(r)) > 1e-9 * np.max(np.abs(r + 1)):
        worst = int(np.argmin(level))
        row = int(np.flatnonzero(point == worst)[0])
        where = ", ".join(f"{name} = {problem.x[name][row]:g}" for name in problem.law.variables)
        yield (
            f"the law misses the mean at {where} by {abs(mean[worst]) / error[worst]:.1f} standard "
            "errors: another law may fit."
        )


def of_copies(frame: pd.DataFrame) -> Iterator[str]:
    """Rows that repeat others in every column, as pasted ones do."""
    copies = int(frame.astype(str).duplicated().sum())
    if copies:
        yield (
            f"{copies} rows repeat another one in every column, and each counts as independent: if "
            "they are copies, drop them; if they are runs that agree, name their seeds."
        )


def of_curves(frame: pd.DataFrame, roles: Roles) -> Iterator[str]:
    """Rows of one size that another column tells apart: several curves, it may be, in one table.

    Several rows at one size are expected where neither seeds nor standard errors are named.
    """
    if roles.seed is None and roles.std_error is None:
        return
    same = [*roles.x.values(), *([roles.seed] if roles.seed is not None else [])]
    text = frame.astype(str)
    if not text.duplicated(same).any():
        return
    for name in text.columns.difference(roles.columns, sort=False):
        values = text[name].unique()
        if 1 < len(values) <= len(text) / 2 and text.groupby(same)[name].nunique().median() > 1:
            yield (
                f"rows of one size differ in {name!r} ({', '.join(values[:4])}): if these are "
                f"different curves, keep one (--where {name}={values[0]}) or fit each "
                f"(--group-by {name})."
            )


def of_direction(law: ScalingLaw, x: Columns, y: np.ndarray) -> Iterator[str]:
    """Values that rise with size, where the law can only fall."""
    if not law.amplitudes:
        return
    ranks = [stats.spearmanr(x[name], y).statistic for name in law.sizes if np.ptp(x[name]) > 0]
    if ranks and min(ranks) > 0.5:
        yield (
            "the values rise with size, and this law only falls: fit an error (1 − value), or "
            "use link logit or log, where amplitudes may be negative."
        )


def of_extrapolation(law: ScalingLaw, x: Columns, at: Columns) -> Iterator[str]:
    """Predictions far from the sizes that were seen."""
    for name in law.sizes:
        largest = float(np.max(x[name]))
        asked = float(np.max(at[name]))
        if asked > _FAR * largest * (1 + 1e-9):
            yield (
                f"far extrapolation: {name} = {asked:g} is {asked / largest:.3g} times the largest "
                "size in the table; the interval holds only if the law does."
            )
