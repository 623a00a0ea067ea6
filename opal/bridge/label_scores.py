"""How rows read: the weight that tells right labels from wrong ones best, and what it is sure of.

The formulas are those of :mod:`opal.bridge.label_noise`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from opal.bridge.resampling import clustered_error
from opal.estimators.wide import fit_wide

AIM = 0.2
"""π₀: the share of wrong labels that the weight is best for."""
KINDS = MADE, RIGHT, WRONG = 0, 1, 2
"""Kinds of rows: made ones, real ones of the class, and real ones of the others."""
_SURE = 0.98  # the farthest that a probability is trusted
_RIDGE, _TOLERANCE = 1e-4, 1e-4


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
class Readings:
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
    ) -> Readings:
        """Those of scores [n], with a probability fitted to the real rows that have a weight."""
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
        """Of the weight, or of ``x`` [n], over rows of a kind."""
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
        """Of a statistic, from the influence of each row [n]."""
        return clustered(influence, self.family)

    @cached_property
    def gap(self) -> float:
        """Between the means of right and of wrong labels, a − b."""
        return self.mean(RIGHT) - self.mean(WRONG)

    @cached_property
    def share(self) -> float:
        """The estimated share of wrong labels."""
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
        """What the error is made of; made rows count as few as their families make them."""
        n = [1 / float(np.sum(self.weight[self.kind == kind] ** 2)) for kind in KINDS]
        own = self.kind == MADE
        alone = np.sum(self.moved(MADE)[own] ** 2)
        if alone > 0:
            n[0] /= max(clustered(self.moved(MADE)[own], self.family[own]) ** 2 / alone, 1.0)
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


def weights(kind: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """Of each row in the mean of its kind: each sums to one in the made rows' mix of strata [n]."""
    size = int(stratum.max()) + 1
    counts = np.stack([np.bincount(stratum[kind == each], minlength=size) for each in KINDS])
    usable = (counts[RIGHT] > 1) & (counts[WRONG] > 1)
    mix = np.where(usable, counts[MADE], 0) / max(counts[MADE][usable].sum(), 1)
    each = np.where(counts > 0, mix / np.maximum(counts, 1), 0.0)
    return np.where(kind >= 0, each[np.maximum(kind, 0), stratum], 0.0)


def clustered(influence: np.ndarray, family: np.ndarray) -> float:
    """Standard error of a sum of influences that are independent between families only."""
    used = influence != 0
    error = clustered_error(influence[used], family[used]) if used.any() else None
    return 0.0 if error is None else error * int(used.sum())
