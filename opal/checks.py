"""A verdict that a figure or a study states about itself."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    """One stated comparison: a statistic, the threshold it is held against, and the verdict."""

    name: str
    statistic: float
    threshold: float
    passed: bool
    detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The check as JSON-able fields."""
        return asdict(self)


def z_threshold(n_tests: int, level: float = 0.01) -> float:
    """Two-sided normal quantile that keeps the family-wise error of ``n_tests`` below ``level``.

    Šidák's correction: each test runs at ``1 − (1 − level)^(1/n_tests)``.
    """
    if n_tests < 1:
        raise ValueError(f"z_threshold needs at least one test; got {n_tests}.")
    from statistics import NormalDist

    each = -math.expm1(math.log1p(-level) / n_tests)
    return NormalDist().inv_cdf(1 - each / 2)


def within_standard_errors(name: str, z_scores: Iterable[float], *, level: float = 0.01) -> Check:
    """Check that the largest |z| of a family stays below the corrected threshold."""
    sizes = [abs(z) for z in z_scores]
    threshold = z_threshold(max(len(sizes), 1), level)
    detail = f"largest |z| of {len(sizes)} comparisons, family-wise level {level:g}"
    return at_most(name, sizes, threshold, detail)


def at_most(
    name: str, statistic: float | Iterable[float], threshold: float, detail: str = ""
) -> Check:
    """Check that a statistic does not exceed a threshold; of several, that none does.

    What compared nothing fails: no statistic, or one that is not a number.
    """
    values = _values(statistic)
    worst = max(values, default=math.nan)
    return _judged(name, values, worst, threshold, worst <= threshold, detail)


def at_least(
    name: str, statistic: float | Iterable[float], threshold: float, detail: str = ""
) -> Check:
    """Check that a statistic reaches a threshold; of several, that each does.

    What compared nothing fails: no statistic, or one that is not a number.
    """
    values = _values(statistic)
    worst = min(values, default=math.nan)
    return _judged(name, values, worst, threshold, worst >= threshold, detail)


def beyond_chance(name: str, z_scores: Iterable[float], detail: str = "") -> Check:
    """Check that each z of a family, of a sign that is known, exceeds the corrected threshold."""
    scores = list(z_scores)
    return at_least(name, scores, z_threshold(max(len(scores), 1)), detail)


def refuted(
    name: str, z: Iterable[float], apart: Iterable[float], detail: str, *, least: float = 0.75
) -> Check:
    """Check that a wrong theory, a negative control, is refused wherever it could be.

    A cell can tell if the wrong theory lies two standard errors beyond the family-wise threshold
    from the right one: there the simulation of a right theory refuses the wrong one in 98 % of
    cases. Theory alone says which cells these are, so that no lucky one makes the control pass.

    Args:
        name: of the check.
        z: simulation minus the wrong theory, in standard errors, of each cell.
        apart: right minus wrong theory, in the same units.
        detail: which cells and which wrong theory.
        least: share of the telling cells that must refuse it.
    """
    each = list(zip(z, apart, strict=True))
    threshold = z_threshold(max(len(each), 1))
    telling = [score for score, gap in each if abs(gap) > threshold + 2]
    refused = sum(abs(score) > threshold for score in telling)
    said = f"{refused} of {len(telling)} cells that can tell refuse it, of {len(each)}: {detail}"
    return at_least(name, refused / len(telling) if telling else (), least, said)


def refused(name: str, z: Iterable[float], detail: str, *, least: float = 0.75) -> Check:
    """Check that most comparisons refuse what is wrong, each at the family-wise threshold.

    For negative controls of which nobody says beforehand how far off they are.
    """
    scores = list(z)
    threshold = z_threshold(max(len(scores), 1))
    found = sum(abs(score) > threshold for score in scores)
    said = f"{found} of {len(scores)} comparisons refuse it at |z| > {threshold:.2f}: {detail}"
    return at_least(name, found / len(scores) if scores else (), least, said)


def agrees(z: Any, ratio: Any, *, relative: float = 0.03) -> Any:
    """Which cells a theory agrees with: within 3 standard errors, or a share of what is measured.

    Args:
        z: measured minus predicted, in standard errors (an array or a column).
        ratio: predicted over measured.
        relative: the share.
    """
    return (abs(z) <= 3) | (abs(ratio - 1) <= relative)


def misses(z: Any, ratio: Any, *, relative: float = 0.03) -> Any:
    """Which cells refuse a theory; one that has no number neither agrees nor refuses."""
    return (abs(z) > 3) & (abs(ratio - 1) > relative)


def share(cells: Iterable[Any]) -> float:
    """Share of the cells that are true; not a number, which no check passes, if there are none."""
    found = [bool(cell) for cell in cells]
    return sum(found) / len(found) if found else math.nan


def _values(statistic: float | Iterable[float]) -> list[float]:
    return [float(s) for s in (statistic if isinstance(statistic, Iterable) else (statistic,))]


def _judged(
    name: str, values: list[float], worst: float, threshold: float, passed: bool, detail: str
) -> Check:
    """The verdict, which says so where there was nothing to judge."""
    if values and not any(math.isnan(value) for value in values):
        return Check(name, worst, threshold, passed, detail)
    why = "a statistic is not a number" if values else "nothing was compared"
    return Check(name, math.nan, threshold, False, f"{why}; {detail}" if detail else why)
