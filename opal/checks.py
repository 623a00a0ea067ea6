"""Verdicts that a figure or a study states about itself, and what flags and imports must be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_MOSTLY = 0.75  # of the comparisons
_NEAR = 0.03  # of what is measured


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
    """Check that the largest ``|z|`` of a family stays below the corrected threshold."""
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
    worst = math.inf if _unknown(values) else max(values, default=math.nan)
    return Check(name, worst, threshold, worst <= threshold, _said(values, detail))


def at_least(
    name: str, statistic: float | Iterable[float], threshold: float, detail: str = ""
) -> Check:
    """Check that a statistic reaches a threshold; of several, that each does.

    What compared nothing fails: no statistic, or one that is not a number.
    """
    values = _values(statistic)
    worst = -math.inf if _unknown(values) else min(values, default=math.nan)
    return Check(name, worst, threshold, worst >= threshold, _said(values, detail))


def beyond_chance(name: str, z_scores: Iterable[float], detail: str = "") -> Check:
    """Check that each z of a family, of a sign that is known, exceeds the corrected threshold."""
    scores = list(z_scores)
    return at_least(name, scores, z_threshold(max(len(scores), 1)), detail)


def refuted(name: str, z: Iterable[float], apart: Iterable[float], detail: str) -> Check:
    """Check that a wrong theory, a negative control, is refused in most cells that can tell.

    A cell can tell if the wrong theory lies two standard errors beyond the family-wise threshold
    from the right one: there the simulation of a right theory refuses the wrong one in 98 % of
    cases. Theory alone says which cells these are, so that no lucky one makes the control pass.

    Args:
        name: of the check.
        z: simulation minus the wrong theory, in standard errors, of each cell.
        apart: right minus wrong theory, in the same units.
        detail: which cells and which wrong theory.
    """
    each = list(zip(z, apart, strict=True))
    threshold = z_threshold(max(len(each), 1))
    telling = [abs(score) > threshold for score, gap in each if abs(gap) > threshold + 2]
    said = f"a wrong theory, refused in {sum(telling)} of the {len(telling)} cells that can tell, "
    said += f"of {len(each)}: "
    return at_least(name, share(telling), _MOSTLY, said + detail)


def control(
    name: str, table: pd.DataFrame, wrong: pd.DataFrame, on: Sequence[str], detail: str
) -> Check:
    """Check that simulation refuses another design's theory, where theories say that it can.

    Args:
        name: of the check.
        table: columns ``on``, ``simulated``, ``std_error`` and ``predicted``, a row a cell.
        wrong: columns ``on`` and ``predicted``, of the theory that is wrong for the table.
        on: columns that tell which cells belong together.
        detail: which cells and which wrong theory.
    """
    theory = wrong[[*on, "predicted"]].drop_duplicates(list(on))
    both = table.merge(theory, on=list(on), suffixes=("", "_wrong"))
    z = (both["simulated"] - both["predicted_wrong"]) / both["std_error"]
    return refuted(
        name, z, (both["predicted"] - both["predicted_wrong"]) / both["std_error"], detail
    )


def refused(name: str, z: Iterable[float], detail: str, *, least: float = _MOSTLY) -> Check:
    """Check that most comparisons refuse what is wrong, each at the family-wise threshold.

    For negative controls of which nobody says beforehand how far off they are.
    """
    scores = list(z)
    threshold = z_threshold(max(len(scores), 1))
    beyond = [abs(score) > threshold for score in scores]
    said = f"{sum(beyond)} of {len(scores)} comparisons refuse it at |z| > {threshold:.2f}: "
    return at_least(name, share(beyond), least, said + detail)


def short_of(share: Any, n: Any, limit: float) -> Any:
    """By how many standard errors a share of ``n`` draws lies below a limit (arrays or columns).

    The standard error is that of a share at the limit: at the share that is seen it would grow
    with the distance, and forgive it.
    """
    return (limit - share) / (limit * (1 - limit) / n) ** 0.5


def agrees(z: Any, ratio: Any, *, relative: float = _NEAR) -> Any:
    """Which cells a theory agrees with: within 3 standard errors, or a share of what is measured.

    Args:
        z: measured minus predicted, in standard errors (an array or a column).
        ratio: predicted over measured.
        relative: the share.
    """
    return (abs(z) <= 3) | (abs(ratio - 1) <= relative)


def misses(z: Any, ratio: Any) -> Any:
    """Which cells refuse a theory; one that has no number neither agrees nor refuses."""
    return (abs(z) > 3) & (abs(ratio - 1) > _NEAR)


def share(cells: Iterable[Any]) -> list[float]:
    """Share of the cells that are true; none at all, which no check passes, if there are none."""
    found = [bool(cell) for cell in cells]
    return [sum(found) / len(found)] if found else []


def _values(statistic: float | Iterable[float]) -> list[float]:
    return [float(s) for s in (statistic if isinstance(statistic, Iterable) else (statistic,))]


def _unknown(values: list[float]) -> bool:
    return any(math.isnan(value) for value in values)


def _said(values: list[float], detail: str) -> str:
    """The detail, which begins with why there was nothing to judge."""
    if values and not _unknown(values):
        return detail
    why = "a statistic is not a number" if values else "nothing was compared"
    return f"{why}; {detail}" if detail else why
