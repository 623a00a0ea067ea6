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
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import norm

from opal.bridge.resampling import clustered_error
from opal.estimators.wide import fit_wide

AIM = 0.2
"""π₀: the share of wrong labels that the weight is best for."""
LEVEL = 0.005
"""Chance of any false finding among an audit's comparisons of labels."""
LEAST = 10
"""Fewest rows of each kind that anything is said about."""
POWER = 0.8
"""Probability with which a share counts as one that would be found."""
MADE, RIGHT, WRONG = 0, 1, 2
"""Kinds of rows: made ones, real ones of the class, and real ones of the others."""
_KINDS = (MADE, RIGHT, WRONG)
_SURE = 0.98  # the farthest that a probability is trusted
_TELLS = 4.0  # standard errors between right and wrong labels of real rows, for a rule that knows
_RIDGE, _TOLERANCE = 1e-4, 1e-4


def threshold(n_tests: int) -> float:
    """The z from which one of so many shares is a finding: one-sided, corrected by Bonferroni."""
    return float(norm.isf(LEVEL / max(n_tests, 1)))


class Precision(NamedTuple):
    """What the error of the share of one class is made of."""

    part: float  # of all made rows: those of the class
    n: tuple[float, float, float]  # independent rows that would weigh as much as each kind does
    variance: tuple[float, float]  # of the weight among rows of right and of wrong labels
    gap: float  # a − b

    def error(self, wrong: float, mixed: float | None = None) -> tuple[float, float]:
        """Of a share ``wrong`` of wrong labels: by the variances of all kinds, and by the pooled.

        ``mixed`` is the variance of the weight among made rows; what the mixture has by default.
        """
        (made, of_right, of_wrong), right = self.n, 1 - wrong
        mixture = right * self.variance[0] + wrong * self.variance[1]
        mixed = mixture + wrong * right * self.gap**2 if mixed is None else mixed
        apart = mixed / made + right**2 * self.variance[0] / of_right
        apart += wrong**2 * self.variance[1] / of_wrong
        pooled = (of_right * self.variance[0] + made * mixed) / (of_right + made)
        pooled *= 1 / made + 1 / of_right
        return apart**0.5 / self.gap, pooled**0.5 / self.gap


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
    weight = _weights(kind, stratum)
    counts = [int(np.sum((kind == each) & (weight > 0))) for each in _KINDS]
    if min(counts) < LEAST:
        told = zip(counts, ("made", "real ones of the class", "real ones of others"), strict=True)
        return f"needs {LEAST} of each kind; there are " + ", ".join(f"{n} {of}" for n, of in told)
    read = _Readings.of(score, kind, weight, stratum, family)
    if not read.gap > _TELLS * read.error(read.moved(RIGHT) - read.moved(WRONG)):
        return f"a classifier of real rows cannot tell the class (AUC {read.auc(score):.2f})"
    influence, precision = read.influence(), read.precision()
    std_error, mixed = read.error(influence), read.variance(MADE)
    tested = max(std_error, precision.error(0.0, mixed)[1])
    return WrongLabels(
        read.share, std_error, tested, read.auc(score), read.between(), influence, (precision,)
    )


def together(found: Sequence[WrongLabels], n: Sequence[int], family: np.ndarray) -> WrongLabels:
    """The share among the made rows of several classes, ``n`` of each, from those of the same n."""
    mix = np.array(n) / sum(n)
    influence = mix @ np.stack([each.influence for each in found])
    std_error = _clustered(influence, family)
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


@dataclass(frozen=True, eq=False)
class _Readings:
    """The weight w(s) of each row, and what a row counts in the mean of its kind."""

    x: np.ndarray
    kind: np.ndarray
    weight: np.ndarray
    stratum: np.ndarray
    family: np.ndarray

    @classmethod
    def of(
        cls,
        score: np.ndarray,
        kind: np.ndarray,
        weight: np.ndarray,
        stratum: np.ndarray,
        family: np.ndarray,
    ) -> _Readings:
        used = weight > 0
        real = used & (kind != MADE)
        unit = score[real].std() or 1.0
        scaled, right = score[used, None] / unit, (kind[real] == RIGHT).astype(int)
        fit = fit_wide(
            score[real, None] / unit,
            right,
            weight[real] / 2,
            n_classes=2,
            ridge=_RIDGE,
            tolerance=_TOLERANCE,
        )
        q = np.clip(fit.probabilities(scaled)[:, 1], 1 - _SURE, _SURE)
        x = np.zeros(len(score))
        x[used] = (2 * q - 1) / ((1 - AIM) * q + AIM * (1 - q))
        return cls(x, kind, weight, stratum, family)

    def mean(self, kind: int, x: np.ndarray | None = None) -> float:
        own = (self.kind == kind) * self.weight
        return float(own @ (self.x if x is None else x))

    def moved(self, kind: int, x: np.ndarray | None = None) -> np.ndarray:
        """Influence of each row on the mean of a kind, whose mix of strata is given [n]."""
        x = self.x if x is None else x
        own = (self.kind == kind) * self.weight
        size = int(self.stratum.max()) + 1
        total = np.bincount(self.stratum, own, minlength=size)
        means = np.bincount(self.stratum, own * x, minlength=size) / np.where(total > 0, total, 1.0)
        return own * (x - means[self.stratum])

    def error(self, influence: np.ndarray) -> float:
        return _clustered(influence, self.family)

    @cached_property
    def gap(self) -> float:
        return self.mean(RIGHT) - self.mean(WRONG)

    @cached_property
    def share(self) -> float:
        return (self.mean(RIGHT) - self.mean(MADE)) / self.gap

    def influence(self) -> np.ndarray:
        """Of each row on the share [n]."""
        right, wrong, made = (self.moved(kind) for kind in (RIGHT, WRONG, MADE))
        return ((1 - self.share) * right + self.share * wrong - made) / self.gap

    def variance(self, kind: int) -> float:
        """Of the weight among independent rows of a kind."""
        moved, own = self.moved(kind), self.weight[self.kind == kind]
        return float(np.sum(moved**2) / np.sum(own**2))

    def precision(self) -> Precision:
        n = [1 / float(np.sum(self.weight[self.kind == kind] ** 2)) for kind in _KINDS]
        own = self.kind == MADE
        alone = np.sum(self.moved(MADE)[own] ** 2)
        if alone > 0:
            n[0] /= max(_clustered(self.moved(MADE)[own], self.family[own]) ** 2 / alone, 1.0)
        variance = self.variance(RIGHT), self.variance(WRONG)
        return Precision(1.0, (n[0], n[1], n[2]), variance, self.gap)

    def between(self) -> float | None:
        """Z of the mean square of the weight less that of right and wrong labels mixed."""
        square, share = self.x**2, self.share
        right, wrong, made = (self.mean(kind, square) for kind in (RIGHT, WRONG, MADE))
        moved = self.moved(MADE, square) - (1 - share) * self.moved(RIGHT, square)
        moved += (right - wrong) * self.influence() - share * self.moved(WRONG, square)
        error = self.error(moved)
        return (made - (1 - share) * right - share * wrong) / error if error > 0 else None

    def auc(self, score: np.ndarray) -> float:
        """Of rows of the class against those of the others, each with its weight."""
        right, wrong = ((self.kind == kind) & (self.weight > 0) for kind in (RIGHT, WRONG))
        order = np.flatnonzero(wrong)[np.argsort(score[wrong])]
        below = np.concatenate([[0.0], np.cumsum(self.weight[order])])
        sides = [np.searchsorted(score[order], score[right], side) for side in ("left", "right")]
        return float(self.weight[right] @ (below[sides[0]] + below[sides[1]]) / 2)


def _weights(kind: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """Of each row in the mean of its kind: each sums to one in the made rows' mix of strata [n]."""
    size = int(stratum.max()) + 1
    counts = np.stack([np.bincount(stratum[kind == each], minlength=size) for each in _KINDS])
    usable = (counts[RIGHT] > 1) & (counts[WRONG] > 1)
    mix = np.where(usable, counts[MADE], 0) / max(counts[MADE][usable].sum(), 1)
    each = np.where(counts > 0, mix / np.maximum(counts, 1), 0.0)
    return np.where(kind >= 0, each[np.maximum(kind, 0), stratum], 0.0)


def _clustered(influence: np.ndarray, family: np.ndarray) -> float:
    """Standard error of a sum of influences that are independent between families only."""
    used = influence != 0
    error = clustered_error(influence[used], family[used]) if used.any() else None
    return 0.0 if error is None else error * int(used.sum())
