"""What a reader of a fit must be told: bounds, flat directions, short spans, far extrapolation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from scipy import stats

from opal.scaling.covariance import SamplingCovariance
from opal.scaling.laws import LAWS
from opal.scaling.misfit import departures
from opal.scaling.problem import Link, Problem
from opal.scaling.scaling_law import Columns, ScalingLaw
from opal.scaling.table import Roles
from opal.scaling.weights import points

FAR = 10.0
"""Times the largest size of a table: beyond, a prediction holds only if the law does."""
_LEAST_SIZES = 4
_LEAST_SPAN = 10.0
_OPEN = 1e5  # an amplitude whose interval ends differ by this factor is not known
_SINGULAR = 1e-7


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
        nearest = min((low, high), key=lambda bound: abs(bound - values[index]))
        if faint or at_bound:
            yield (
                f"{name} is at its bound ({nearest:.3g}): the table does not show this part "
                "of the law; try a law without it."
            )
        if is_open(name, left, right, law, span, reach[index]):
            yield (
                f"{name} is not identified: its interval [{left:.3g}, {right:.3g}] is open, it "
                f"ends at a bound or is too wide to tell: many values of {name} fit as well, so do "
                "not read it by itself. Add sizes where this part of the law changes."
            )


def is_open(name: str, low: float, high: float, law: ScalingLaw, span: float, reach: float) -> bool:
    """Whether an interval says nothing: it reaches a bound, or is too wide.

    An amplitude and its exponent trade along a curve: of either sign or positive, an amplitude is
    open if it may be absent, or if the ends of its interval differ by orders of magnitude. That of
    another linear parameter is if its ends move a value (by ``reach`` for a unit) farther than
    all values lie apart (``span``), or if it holds zero and is wider than that itself: a part of
    the law that the table weighs so little may be absent, or as large as all there is.
    """
    if name in law.amplitudes or name in law.factors or name in law.scales:
        near, far = sorted((abs(low), abs(high)))
        return not (low > 0 or high < 0) or far / near > _OPEN
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


def of_misfit(
    covariance: SamplingCovariance, columns: Mapping[str, str], link: Link
) -> Iterator[str]:
    """A law that does not fit: along what, by how much at most and where, and what to do."""
    found = [each for each in departures.of_fit(covariance) if each.found]
    if not found:
        return
    worst = min(found, key=lambda each: each.level / each.allowed)
    along = [repr(columns[name]) for name in worst.along]
    what = f" along {along[0]}" if len(along) == 1 else ""
    if len(along) == 2:
        what = f" where {along[0]} and {along[1]} act together"
    widened = ""
    if covariance.kind == "known" and covariance.inflation > 1:
        widened = (
            f" On the whole misses are {np.sqrt(covariance.inflation):.1f} times their standard "
            "errors, and intervals are widened for it."
        )
    yield (
        f"the law misses the values{what}, {_largest_miss(covariance, columns, link)}."
        f"{widened} {_other_laws(covariance.problem.law)}"
    )


def _largest_miss(covariance: SamplingCovariance, columns: Mapping[str, str], link: Link) -> str:
    """Where the mean of a point lies farthest off, in the unit of the values and in noise."""
    problem = covariance.problem
    value, curve = link.inverse(problem.y), link.inverse(problem.model(covariance.phi)[0])
    point = points([problem.x[name] for name in problem.law.variables])
    miss = np.bincount(point, value - curve) / np.bincount(point)
    sure = covariance.kind == "known" or covariance.replicates is not None
    left = np.bincount(point, problem.root_weights * problem.residuals(covariance.phi)[0])
    errors = np.abs(left) / np.sqrt(np.bincount(point, problem.root_weights**2))
    worst = int(np.argmax(errors if sure else np.abs(miss)))
    row = int(np.flatnonzero(point == worst)[0])
    size = f"{errors[worst]:.1f} standard errors"
    if not sure:
        size = f"{abs(miss[worst]) / np.ptp(value):.1%} of the range of the values"
    side = "above" if miss[worst] > 0 else "below"
    where = _where(problem, row, columns)
    return f"most at {where}: {abs(miss[worst]):.3g} {side} the curve, {size}"


def _where(problem: Problem, row: int, columns: Mapping[str, str]) -> str:
    """The variables of a row, by the names of their columns."""
    values = ((columns[name], problem.x[name][row]) for name in problem.law.variables)
    return ", ".join(f"{name} = {value:g}" for name, value in values)


def _other_laws(law: ScalingLaw) -> str:
    """Laws of the same variables, if there are any."""
    same = [name for name, other in LAWS.items() if other.variables == law.variables]
    names = ", ".join(name for name in same if name != law.name)
    tried = f" (--law: {names})" if names else ""
    return (
        f"Another law may fit{tried}; the intervals hold only if this one does, and least of all "
        "beyond the sizes in the table."
    )


def of_tails(
    covariance: SamplingCovariance, columns: Mapping[str, str], link: str
) -> Iterator[str]:
    """Rows that lie so far off that least squares follows them."""
    distance = departures.outliers(covariance)
    if not distance.any():
        return
    problem, row = covariance.problem, int(np.argmax(distance))
    remedy = "check them"
    if link == "identity" and problem.y.min() > 0:
        remedy += ", or fit with --loss huber-log (loss='huber-log'), which they hardly move"
    yield (
        f"heavy tails: {np.sum(distance > 0)} of {problem.n_rows} rows lie more than 5 robust "
        f"standard deviations off the curve, the farthest {distance[row]:.3g} at "
        f"{_where(problem, row, columns)}. Least squares follows such rows: {remedy}."
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


def of_extrapolation(
    law: ScalingLaw, x: Columns, at: Columns, columns: Mapping[str, str]
) -> Iterator[str]:
    """Predictions far from the sizes and repetitions that were seen, by the names of columns."""
    for name in law.sizes:
        largest = float(np.max(x[name]))
        asked = float(np.max(at[name]))
        if asked > FAR * largest * (1 + 1e-9):
            yield (
                f"far extrapolation: {columns[name]} = {asked:g} is {asked / largest:.3g} times "
                "the largest size in the table; the interval holds only if the law does."
            )
    if {"unique", "tokens"} <= set(law.variables):
        most, asked = (float(np.max(np.maximum(c["tokens"] / c["unique"], 1))) for c in (x, at))
        if asked > FAR * most * (1 + 1e-9):
            yield (
                f"far extrapolation: {columns['tokens']!r} are {asked:.4g} passes over the "
                f"{columns['unique']!r} that differ, {asked / most:.3g} times the most in the "
                "table; the interval holds only if the law does."
            )
