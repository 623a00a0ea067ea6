r"""Folds by lineage, and what a difference over folds, families, seeds and rows is certain of.

**Folds.** Equal rows share a fold, and a row that was made from others is in the fold of its first
seed, together with all lineages that equal rows join. While a fold is held out nothing is trained
on that equals one of its rows or was made from one, from whichever of its seeds: for rows of one
seed each these are the lineages of the seeds; for rows of several seeds a lineage of all of them
would soon be everything.

**Repeated cross-validation.** A rule is trained on n₁ rows and tested on n₂ others, J times on
splits of the same rows, with results ``v_1 … v_J`` of variance σ² each. Training sets overlap, and
so do test sets of different repeats: the results are correlated, say by ρ. Then

``Var(v̄) = σ² (1/J + (1 − 1/J) ρ)``  and  ``E s² = σ² (1 − ρ)``

for the mean v̄ and the sample variance s², so that

``Var(v̄) = E s² · (1/J + ρ/(1 − ρ))``.

The naive standard error, ``s/√J``, takes ρ for 0: with J it falls to 0, though no number of splits
tells more than the rows do. ρ cannot be estimated from the splits (Bengio & Grandvalet 2004).
Nadeau & Bengio (2003) argue that results of splits with one and the same rule would be correlated
as their test sets overlap, by ``ρ = n₂/(n₁ + n₂)``, and that a rule does not change so much by the
choice of its n₁ rows that this is far off. Then ``ρ/(1 − ρ) = n₂/n₁``:

``Var(v̄) ≈ s² (1/J + n₂/n₁)``,  and  ``v̄/√Var(v̄)``

is held against Student's t with J − 1 degrees of freedom. Bouckaert & Frank (2004) use it for
r-times repeated K-fold cross-validation, J = rK and n₂/n₁ = 1/(K − 1), and find its level right
and its verdict the same when the splits are drawn again. Where the rows themselves are in part
drawn anew for each repeat, ρ is smaller, and the interval is too wide rather than too narrow.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

LEVEL = 0.95
Z95 = 1.96
"""Standard errors from an estimate to an end of its 95 % interval."""


def lineages(ids: Iterable[Hashable], together: Iterable[Collection[Hashable]] = ()) -> np.ndarray:
    """The number of the lineage of each row [n]: of equal ids, and of those that are joined.

    Ids that are ``together`` are of one lineage, such as a row and what it was made from; they may
    join rows through ids that no row has.
    """
    from scipy.cluster.hierarchy import DisjointSet

    rows = list(ids)
    known = DisjointSet(dict.fromkeys(rows))
    for several in map(list, together):
        for each in several:
            known.add(each)
            known.merge(several[0], each)
    number = {each: k for k, subset in enumerate(known.subsets()) for each in subset}
    return np.array([number[each] for each in rows], dtype=int)


def deal(lineage: np.ndarray, kind: np.ndarray, n_folds: int, *, seed: int) -> np.ndarray:
    """The fold 0 … K−1 of each row [n]: lineages stay whole, and each kind is dealt out evenly.

    Of fewer than K lineages each has a fold of its own, and the other folds are empty. ``lineage``
    and ``kind``, such as the class, are of each row [n]; ``seed`` is below 2³².
    """
    from sklearn.model_selection import StratifiedGroupKFold

    _, lineage = np.unique(lineage, return_inverse=True)
    _, kind = np.unique(kind, return_inverse=True)
    n, n_lineages = len(lineage), int(lineage.max(initial=-1)) + 1
    filled = min(n_folds, n_lineages)
    if filled < 2:
        return np.zeros(n, dtype=int)
    if np.bincount(kind).max() < filled:
        # scikit-learn refuses where all kinds are rarer than folds: blank rows are one that is not.
        lineage = np.concatenate([lineage, n_lineages + np.arange(filled)])
        kind = np.concatenate([kind, np.full(filled, kind.max() + 1)])
    fold = np.empty(len(lineage), dtype=int)
    splitter = StratifiedGroupKFold(filled, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")
        for number, (_, inside) in enumerate(splitter.split(kind, kind, lineage)):
            fold[inside] = number
    return fold[:n]


@dataclass(frozen=True, eq=False)
class Folds:
    """Folds of rows of which some were made from others."""

    home: np.ndarray  # fold in which a row is tested on [n]
    barred: np.ndarray  # whether a row must not be trained on while a fold is held out [K, n]

    @classmethod
    def of(
        cls,
        ids: Sequence[Hashable],
        seeds: Sequence[Sequence[Hashable]],
        kind: np.ndarray,
        n_folds: int,
        *,
        seed: int,
    ) -> Folds:
        """Deal rows out by lineage (:func:`deal`).

        Equal rows have one of the ``ids`` [n]; ``seeds`` are the ids that each row was made from,
        none for a real one [n].
        """
        n, made_from = len(ids), [each for some in seeds for each in some]
        first = ((own, some[0]) for own, some in zip(ids, seeds, strict=True) if some)
        number = lineages([*ids, *made_from], first)
        home = deal(number[:n], kind, n_folds, seed=seed)
        fold_of = dict(zip(number[:n].tolist(), home.tolist(), strict=True))
        barred = np.zeros((n_folds, n), dtype=bool)
        barred[home, np.arange(n)] = True
        child = np.repeat(np.arange(n), [len(some) for some in seeds])
        for row, parent in zip(child, number[n:].tolist(), strict=True):
            # A seed that is in no fold is never held out.
            if parent in fold_of:
                barred[fold_of[parent], row] = True
        return cls(home, barred)


def clustered_error(values: np.ndarray, family: np.ndarray) -> float | None:
    """Standard error of a mean of values that are independent between families only.

    ``√(F/(F−1) Σ_f (Σ_{i∈f} (x_i − x̄))²)/n`` (Liang and Zeger 1986, for a mean); None for fewer
    than two families.
    """
    names, place = np.unique(family, return_inverse=True)
    if len(names) < 2:
        return None
    sums = np.bincount(place, values - values.mean())
    return float(np.sqrt(len(names) / (len(names) - 1) * np.sum(sums**2)) / len(values))


class Crossed(NamedTuple):
    """A mean over repetitions, its standard error, and what that comes from."""

    mean: float
    std_error: float
    dof: float = math.inf  # degrees of freedom of the standard error
    of_repetitions: float = 0.0  # variance that more repetitions would lower
    of_rows: float = 0.0  # that more rows would
    of_both: float = 0.0  # that either would

    @property
    def half_width(self) -> float:
        """Of the 95 % interval."""
        return float(half_width(self.std_error, self.dof))


def half_width(std_error: Any, dof: Any) -> Any:
    """Of 95 % intervals: Student's t, since few repetitions know their variance badly."""
    from scipy import stats

    return stats.t.ppf((1 + LEVEL) / 2, dof) * std_error


def crossed(values: np.ndarray, influence: np.ndarray) -> Crossed:
    """The mean over repetitions of a statistic of rows: the same, or their own, or some of each.

    With influences ψ_si and their means ψ̄_i over S repetitions, ``A = Var_s(v)/S`` counts
    repetitions, ``R = Σ_i ψ̄_i²`` rows, and both count ``B = Σ_si (ψ_si − ψ̄_i)²/(S(S − 1))``, their
    interaction: the variance is A + R − B (Cameron, Gelbach and Miller 2011), and no less than A or
    R, however they fall. Where no two repetitions share a row, R = B and A is left, with S − 1
    degrees of freedom: Student's interval of the values. Degrees of freedom are Satterthwaite's, of
    A and R. One repetition shows the error over rows alone.

    Args:
        values: the statistic in each repetition [S].
        influence: first-order change of each value by each row, 0 where a repetition lacks the
            row; the sum of squares of a line is the variance of its value over rows [S, n].
    """
    size = len(values)
    pairs, row = max(size * (size - 1), 1), influence.mean(axis=0)
    a = float(np.sum((values - values.mean()) ** 2)) / pairs
    r, b = float(np.sum(row**2)), float(np.sum((influence - row) ** 2)) / pairs
    variance = max(a + r - b, a, r)
    free = max(size - 1, 1), max(int(np.any(influence, axis=0).sum()) - 1, 1)
    spread = a**2 / free[0] + r**2 / free[1]
    dof = variance**2 / spread if spread > 0 else math.inf
    parts = max(a - b, 0.0), max(r - b, 0.0), min(b, variance)
    return Crossed(float(values.mean()), math.sqrt(variance), dof, *parts)


def of_means(parts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A sum over groups of means over rows that all repetitions have, for :func:`crossed`.

    ``parts`` are a group each, ``[S, n_g]``; returned are the sums [S] and influences [S, n].
    """
    values = np.sum([part.mean(axis=1) for part in parts], axis=0)
    changes = [
        (part - part.mean(axis=1, keepdims=True))
        / math.sqrt(part.shape[1] * max(part.shape[1] - 1, 1))
        for part in parts
    ]
    return values, np.concatenate(changes, axis=1)


class CrossedMeans(NamedTuple):
    """Means over repetitions [K], their standard errors, and the degrees of freedom of those."""

    mean: np.ndarray
    std_error: np.ndarray
    dof: np.ndarray
    of_rows: np.ndarray  # the part of the standard error that more repetitions would not lower


def crossed_influence(
    values: np.ndarray, influence: Sequence[np.ndarray | None], which: np.ndarray
) -> CrossedMeans:
    """Means over repetitions of statistics of the same rows, of any number of statistics at once.

    A row moves all repetitions: its influences are averaged over them first, then squared, and what
    is left of the spread of repetitions without the interaction of the two is added (Cameron,
    Gelbach and Miller 2011). Degrees of freedom are Satterthwaite's. Five repetitions are enough
    for intervals of 95 %; two know too little of their spread, and a single one has the error over
    rows alone.

    Args:
        values: a statistic in a repetition each [R].
        influence: first-order change of each value by each row, or by each block of rows that was
            put together at random, of sum 0: [B], the same rows for all values of a statistic;
            None where the rows play no part, as in exact values.
        which: the number 0 … K−1 of each value's statistic [R].
    """
    order = np.argsort(which, kind="stable")
    starts = np.flatnonzero(np.diff(which[order], prepend=-1))
    held = [influence[i] if influence[i] is not None else () for i in order]
    rows = np.array([len(each) for each in held], dtype=float)
    changes = np.zeros((len(order), max(int(rows.max(initial=0)), 1)))
    for line, each in zip(changes, held, strict=True):
        line[: len(each)] = each
    size = np.diff(starts, append=len(order)).astype(float)
    n_rows = rows[starts]
    mean = np.add.reduceat(values[order], starts) / size
    number = np.repeat(np.arange(len(starts)), size.astype(int))
    of_row = np.add.reduceat(changes, starts, axis=0) / size[:, None]
    apart = np.add.reduceat(((changes - of_row[number]) ** 2).sum(axis=1), starts)
    spread = np.add.reduceat((values[order] - mean[number]) ** 2, starts)
    pairs = np.maximum(size * (size - 1), 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        correction = np.where(n_rows > 1, n_rows / (n_rows - 1), 0.0)
        of_rows = correction * (of_row**2).sum(axis=1)
        of_repetitions = np.maximum(spread / pairs - correction * apart / pairs, 0.0)
        variance = of_rows + of_repetitions
        free = of_repetitions**2 / (size - 1), of_rows**2 / (n_rows - 1)
        total = sum(np.where(np.isfinite(each), each, 0.0) for each in free)
        dof = np.where(total > 0, variance**2 / total, np.inf)
    return CrossedMeans(mean, np.sqrt(variance), dof, np.sqrt(of_rows))


def z_score(difference: float, *errors: float | None) -> float | None:
    """A difference over its standard error, from those of independent parts; None without one."""
    if any(error is None for error in errors):
        return None
    error = float(np.sqrt(sum(each**2 for each in errors if each is not None)))
    return difference / error if error > 0 else None


def auc_error(auc: float, n_one: int, n_other: int) -> float:
    """Standard error of an AUC from independent rows of two kinds (Hanley and McNeil 1982)."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (n_one - 1) * (q1 - auc**2) + (n_other - 1) * (q2 - auc**2)
    return float(np.sqrt(max(variance, 0.0) / (n_one * n_other)))


def auc_score(auc: float, n_one: int, n_other: int, n_folds: int) -> float:
    """Z of a cross-validated AUC against one half.

    Rules of K folds share rows, so that results of the folds are correlated: the variance is that
    of a fixed rule times ``1 + K/(K − 1)`` (Nadeau and Bengio 2003; see the module).
    """
    error = auc_error(0.5, n_one, n_other) * math.sqrt(1 + n_folds / (n_folds - 1))
    return (auc - 0.5) / error


def mean_auc(kind: np.ndarray, score: np.ndarray, fold: np.ndarray) -> float:
    """Mean over folds of the AUC of held-out scores [n], weighted by pairs of the two kinds.

    Rows whose score is not a number are left out; not a number where no fold has both kinds.
    """
    from sklearn.metrics import roc_auc_score

    areas, pairs = [], []
    for k in np.unique(fold):
        inside = (fold == k) & np.isfinite(score)
        n_one, n = int(kind[inside].sum()), int(inside.sum())
        if 0 < n_one < n:
            areas.append(roc_auc_score(kind[inside], score[inside]))
            pairs.append(n_one * (n - n_one))
    return float(np.average(areas, weights=pairs)) if areas else math.nan


@dataclass(frozen=True)
class CrossValidated:
    """A mean over splits."""

    mean: float  # over the splits
    std_error: float  # corrected
    lower: float  # end of the interval
    upper: float  # the other
    n: int  # splits
    p_value: float  # two-sided, of the hypothesis that the mean is 0


def cross_validated(
    values: Sequence[float] | np.ndarray, ratio: float, *, level: float = LEVEL
) -> CrossValidated:
    """The mean of results of splits, and its corrected interval.

    Args:
        values: a number for each split; NaN where a split has none.
        ratio: n₂/n₁, test rows over training rows: 1/(K − 1) in K-fold cross-validation; 0 is the
            naive interval.
        level: of the interval.

    Raises:
        ValueError: fewer than two splits have a value, or ratio or level are out of range.
    """
    from scipy import stats

    kept = np.asarray(values, dtype=float)
    kept = kept[~np.isnan(kept)]
    if len(kept) < 2:
        raise ValueError(
            f"an interval needs the results of at least two splits; got {len(kept)}. Use more "
            "folds or repeats."
        )
    if not (0 <= ratio < math.inf and 0 < level < 1):
        raise ValueError(
            f"ratio must be finite and not negative, and level in (0, 1); got {ratio} and {level}."
        )
    mean = float(kept.mean())
    error = math.sqrt(float(kept.var(ddof=1)) * (1 / len(kept) + ratio))
    half = float(stats.t.ppf((1 + level) / 2, len(kept) - 1)) * error
    score = abs(mean) / error if error else math.inf if mean else 0.0
    p_value = float(2 * stats.t.sf(score, len(kept) - 1))
    return CrossValidated(mean, error, mean - half, mean + half, len(kept), p_value)
