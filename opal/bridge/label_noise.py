r"""The share of wrong labels among made rows, from what a classifier of real rows reads in them.

Let s be the score of a row for its class: the log odds against the other classes, by a rule of real
rows that saw no relative of the row. Real rows of the class say how s is distributed where the
label is right, ``f``, and real rows of the other classes how where it is wrong, ``g``. If a share
π of the labels is wrong, made rows have ``(1 − π) f + π g``. With the means a, b and c of any
weight w(s) over real rows of the class, over those of the others, and over made rows,

``π = (a − c)/(a − b)``.

Near ``π = π₀`` no weight has a smaller error than the score of the mixture,

``w = (f − g)/((1 − π₀) f + π₀ g)``.

It needs their ratio alone, ``f/g = q/(1 − q)``, where q is the probability of the class among
equally many rows of both kinds: a logistic function of s, fitted to the real rows (Platt 1999). A
bad fit costs power and no level, since a and b are measured.

The error holds the noise of all three means; rows of a family (a seed, and what was made of it)
count as one. Where no label is wrong, real and made rows of the class are alike, so that the pooled
variance of both can stand for either: few real rows seldom hold one of those that read like others,
and look surer than they are. A test divides by the larger error of the two.

What is compared is how rows *read*. Rows of right labels that are unlike real ones may read like
other classes too; :attr:`WrongLabels.between` tells where rows lie between the classes, rather than
some in one and some in the other. Rows more typical than real ones have a negative share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from opal.bridge.label_scores import (
    KINDS,
    MADE,
    RIGHT,
    WRONG,
    Precision,
    Readings,
    clustered,
    weights,
)

LEVEL = 0.005
"""Chance of any false finding among an audit's comparisons of labels."""
LEAST = 10
"""Fewest made rows of a class that anything is said about."""
LEAST_REAL = 30
"""Fewest real ones, of the class and of the others: by fewer nobody knows how the class reads."""
LEAST_AUC = 0.65
"""Of a classifier that knows a class; of one that knows less, the scores are noise of its folds."""
POWER = 0.8
"""Probability with which a share counts as one that would be found."""
_TELLS = 4.0  # standard errors between right and wrong labels of real rows, for a rule that knows


def threshold(n_tests: int) -> float:
    """The z from which one of so many shares is a finding: one-sided, corrected by Bonferroni."""
    return float(norm.isf(LEVEL / max(n_tests, 1)))


@dataclass(frozen=True, eq=False)
class WrongLabels:
    """An estimated share of wrong labels.

    Attributes:
        share: the estimate; unbiased, so that it may be negative.
        std_error: of it.
        test_error: what a test of there being no wrong label divides it by.
        auc: of real rows of the class against those of the others.
        between: z of how much more the readings vary than those of right and wrong labels mixed:
            far below 0 they lie between the classes. None for several classes.
        influence: of each row on the share [n].
        precision: of each class.
    """

    share: float
    std_error: float
    test_error: float
    auc: float
    between: float | None
    influence: np.ndarray
    precision: tuple[Precision, ...]

    @property
    def z(self) -> float:
        """The share in standard errors of the test; 0 where all rows read the same."""
        return self.share / self.test_error if self.test_error > 0 else 0.0

    def detectable(self, least: float) -> float | None:
        """The share of wrong labels whose z would exceed ``least`` with probability .8.

        None where not even wrong labels alone would.
        """
        shares = np.linspace(0.005, 1.0, 200)
        errors = np.array([self._error(share) for share in shares])
        found = shares >= (least + norm.ppf(POWER)) * errors
        return float(shares[np.argmax(found)]) if found.any() else None

    def _error(self, wrong: float) -> float:
        each = [(one.part * max(one.error(wrong))) ** 2 for one in self.precision]
        return float(np.sqrt(sum(each)))


def wrong_labels(
    score: np.ndarray, kind: np.ndarray, stratum: np.ndarray, family: np.ndarray
) -> WrongLabels | str:
    """The share of wrong labels among the made rows of a class, or why it cannot be told.

    Args:
        score: log odds of the class against the others [n]; rows without one are left out.
        kind: :data:`MADE`, :data:`RIGHT` or :data:`WRONG` [n]; rows of other kinds are left out.
        stratum: real rows count in the made rows' mix of strata; made rows of a stratum without two
            real rows of both kinds are left out [n].
        family: what rows that are not independent share [n].
    """
    kind = np.where(np.isfinite(score), kind, -1)
    weight = weights(kind, stratum)
    counts = [int(np.sum((kind == each) & (weight > 0))) for each in KINDS]
    if counts[MADE] < LEAST or min(counts[RIGHT], counts[WRONG]) < LEAST_REAL:
        made, right, wrong = counts
        return (
            f"needs {LEAST} synthetic rows, and {LEAST_REAL} real ones of the class and of others; "
            f"there are {made}, {right} and {wrong}"
        )
    read = Readings.of(score, kind, weight, stratum, family)
    apart, auc = read.error(read.moved(RIGHT) - read.moved(WRONG)), read.auc(score)
    if auc < LEAST_AUC or not read.gap > _TELLS * apart:
        return f"a classifier of real rows cannot tell the class (AUC {auc:.2f})"
    influence, precision = read.influence(), read.precision()
    std_error, mixed = read.error(influence), read.variance(MADE)
    tested = max(std_error, precision.error(0.0, mixed)[1])
    return WrongLabels(read.share, std_error, tested, auc, read.between(), influence, (precision,))


def together(found: Sequence[WrongLabels], n: Sequence[int], family: np.ndarray) -> WrongLabels:
    """The share among the made rows of several classes, ``n`` of each, from those of the same n."""
    mix = np.array(n) / sum(n)
    influence = mix @ np.stack([each.influence for each in found])
    std_error = clustered(influence, family)
    tested = float(np.linalg.norm(mix * [each.test_error for each in found]))
    parts = [
        one._replace(part=float(share))
        for share, each in zip(mix, found, strict=True)
        for one in each.precision
    ]
    share, auc = (float(mix @ [getattr(each, of) for each in found]) for of in ("share", "auc"))
    tested = max(std_error, tested)
    return WrongLabels(share, std_error, tested, auc, None, influence, tuple(parts))


def described(
    found: Sequence[tuple[dict[str, Any], WrongLabels | str]], family: np.ndarray, whole: str
) -> list[dict[str, Any]]:
    """What was found of each class, JSON-able, and of all classes together where there are several.

    Each comes with what else is known of it, ``n`` and ``n_real`` at least, and gets a ``reason``
    or, where that is None, ``wrong``, ``std_error``, ``z``, ``auc``, ``detectable`` (of as many
    comparisons as there are) and ``between``. ``whole`` is the class's name of all together.
    """
    told = [(row, each) for row, each in found if isinstance(each, WrongLabels)]
    counts = {of: [row[of] for row, _ in told] for of in ("n", "n_real")}
    rows = list(found)
    if len(told) > 1:
        total: dict[str, Any] = {"class": whole} | {of: sum(n) for of, n in counts.items()}
        rows.append((total, together([each for _, each in told], counts["n"], family)))
    least = threshold(sum(isinstance(each, WrongLabels) for _, each in rows))
    return [row | _described(each, least) for row, each in rows]


def _described(found: WrongLabels | str, least: float) -> dict[str, Any]:
    if isinstance(found, str):
        return {"reason": found}
    row = {"reason": None, "wrong": found.share, "std_error": found.std_error, "z": float(found.z)}
    return row | {
        "auc": found.auc,
        "detectable": found.detectable(least),
        "between": found.between,
    }
