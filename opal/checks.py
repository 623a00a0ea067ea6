"""A verdict that a figure or a study states about itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
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


def within_standard_errors(name: str, z_scores: Sequence[float], *, level: float = 0.01) -> Check:
    """Check that the largest |z| of a family stays below the corrected threshold.

    A z-score that is not a number counts as a failure: a comparison that could not be
    made is not a comparison that was passed.
    """
    finite = [abs(z) for z in z_scores]
    if not finite:
        raise ValueError(f"check {name!r} was given no z-score: there is nothing to compare.")
    worst = math.inf if any(math.isnan(z) for z in finite) else max(finite)
    threshold = z_threshold(len(finite), level)
    detail = f"largest |z| of {len(finite)} comparisons, family-wise level {level:g}"
    return Check(name, worst, threshold, worst <= threshold, detail)


def at_most(name: str, statistic: float, threshold: float, detail: str = "") -> Check:
    """Check that a statistic does not exceed a threshold."""
    return Check(name, statistic, threshold, statistic <= threshold, detail)


def at_least(name: str, statistic: float, threshold: float, detail: str = "") -> Check:
    """Check that a statistic reaches a threshold (negative controls, shares that must be met)."""
    return Check(name, statistic, threshold, statistic >= threshold, detail)
