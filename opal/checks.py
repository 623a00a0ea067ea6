"""Verdicts that a figure or a study states about itself, and what flags and imports must be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
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


SEED_BITS = 32  # scikit-learn takes no longer seeds


def require_at_least(name: str, value: float, least: float, why: str = "") -> None:
    """Check the number that a flag sets against its least value.

    Raises:
        ValueError: it is smaller; the message names the flag.

    >>> require_at_least("prompt_rows", -2, 0)
    Traceback (most recent call last):
    ValueError: --prompt-rows must be at least 0; got -2.
    """
    if value < least:
        raise ValueError(f"{_flag(name)} must be at least {least}; got {value}.{why and ' ' + why}")


def require_at_most(name: str, value: float, most: float, what: str) -> None:
    """Check the number that a flag sets against the largest that means anything.

    Args:
        name: of the flag, as Python spells it.
        value: of the number.
        most: the largest.
        what: that largest number is.

    Raises:
        ValueError: it is larger; the message names the flag.

    >>> require_at_most("rows", 500, 60, "the number of rows of made.csv")
    Traceback (most recent call last):
    ValueError: --rows must be at most 60, the number of rows of made.csv; got 500.
    """
    if value > most:
        raise ValueError(f"{_flag(name)} must be at most {most}, {what}; got {value}.")


def require_seed(value: int) -> None:
    """Check the number that ``--seed`` sets.

    Raises:
        ValueError: it is negative, or too long for scikit-learn.
    """
    require_at_least("seed", value, 0)
    require_at_most("seed", value, 2**SEED_BITS - 1, "the largest seed of a forest")


def require_installed(extra: str, *packages: str) -> None:
    """Check that optional packages are installed, before anything starts.

    Args:
        extra: of opal-scaling, that installs them.
        packages: as they are imported.

    Raises:
        ImportError: one is not; says how to get it.
    """
    absent = [name.replace("_", "-") for name in packages if find_spec(name) is None]
    if absent:
        raise ImportError(
            f"this needs {', '.join(absent)}; install the extra: "
            f"pip install 'opal-scaling[{extra}]'."
        )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
