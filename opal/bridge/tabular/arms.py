"""The arms of the sound evaluation: what each trains on, and with which weights.

An arm turns the real training rows of a split (all of them, or those of a cross-validation fold)
into rows, labels and weights. ``m_g = n_max − n_g`` is what group g lacks; weights are 1 for
each row, or make every group's total weight the same.

==================== ===========================================================================
raw                  the real rows
threshold            the same fit; class 1 is predicted above its base rate among the rows that
                     were trained on and have the same attribute (all in the imbalanced task)
weighting            the real rows, each group with the same total weight
duplication          and m_g rows of each group drawn again with replacement
smote                and m_g SMOTE rows of each group, neighbours within the group, scaled features
synthetic            and the first R synthetic rows in file order, R the number of real rows
synthetic_balanced   and the first m_g synthetic rows of each group, or as many as there are
synthetic_threshold  the same fit; the threshold is moved as in ``threshold``, which mends what
                     the groups lack of balance where too few rows were made
synthetic_novel      as ``synthetic_balanced``, after rows that equal a real row (label
                     included) are dropped
synthetic_weighting  the rows of ``synthetic``, each group with the same total weight
real_balanced        and as many fresh real rows of each group as ``synthetic_balanced`` has (m_g
                     where there are no synthetic rows)
synthetic_corrected  as ``synthetic_balanced``, with as many synthetic rows of the largest group as
                     it has real ones; the share λ of the weight of the rows that fill up is
                     taken from these, whose weight is below 0 then, and given to the real ones of
                     the group, which subtracts what the generator gets wrong there
                     (:func:`opal.objective.corrected`); λ is chosen as penalties are
==================== ===========================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from opal import names
from opal.bridge.tabular.splits import SplitArrays, TableRows, recurs
from opal.objective import Design, RowCounts, RowWeights, corrected

ARMS = (
    "raw",
    "threshold",
    "weighting",
    "duplication",
    "smote",
    "synthetic",
    "synthetic_balanced",
    "synthetic_threshold",
    "synthetic_novel",
    "synthetic_weighting",
    "real_balanced",
    "synthetic_corrected",
)
CORRECTED = "synthetic_corrected"
CORRECTIONS = (0.0, 0.3, 1.0)
"""λ that are tried."""
RANDOM_ARMS = frozenset({"duplication", "smote", "real_balanced"})
WEIGHTED_ARMS = frozenset({"weighting", "synthetic_weighting"})
MOVED = {"threshold": "raw", "synthetic_threshold": "synthetic_balanced"}
"""Arms that move the threshold of another one's fit."""
REFERENCE = "weighting"
SMOTE_NEIGHBOURS = 5


@dataclass(frozen=True)
class TrainingRows:
    """What a classifier is given: rows, and weights ``(n,)`` whose mean is 1."""

    rows: TableRows
    weight: np.ndarray
    n_added: np.ndarray  # (K,) rows beyond the real ones
    correction: float = 0.0  # λ
    lost: bool = False  # whether λ > 0 was chosen, and given up for a fit without a minimum


def why_not(arm: str, data: SplitArrays, classifier: str = "logistic") -> str | None:
    """Why an arm cannot be made from these data, or this classifier not trained on it; or None."""
    counts = data.train.counts(len(data.group_names))
    if arm == "smote" and (counts[counts < counts.max()] < 2).any():
        return "SMOTE needs two rows of a group to lie between; a group has one"
    if arm.startswith("synthetic") and not len(data.synthetic):
        return "there are no synthetic rows"
    if arm == "real_balanced" and data.fresh is None:
        return "there is no source table to draw fresh real rows from"
    if arm == CORRECTED:
        largest = int(counts.argmax())
        if not data.synthetic.counts(len(counts))[largest]:
            return (
                f"there are no synthetic rows of the largest group, {data.group_names[largest]}, "
                "where alone there are real rows enough to see a bias"
            )
        if classifier != "logistic":
            return "some of its weights are negative, which trees do not take"
    return None


def build(
    arm: str,
    data: SplitArrays,
    chosen: np.ndarray,
    rng: np.random.Generator,
    correction: float = 0.0,
) -> TrainingRows:
    """Training rows and weights of an arm from the real training rows ``chosen`` (an index).

    Real rows that were not chosen are being held out: synthetic rows equal to one of them are
    left out too, so that no copy of a held-out row is trained on. ``correction`` is the λ of
    ``synthetic_corrected``.
    """
    real = data.train.take(chosen)
    usable = _not_held_out(data, chosen)
    added = _added(arm, data, real, usable, rng)
    n_groups = len(data.group_names)
    if arm == CORRECTED and correction:
        counts = real.counts(n_groups)
        large = np.where(np.arange(n_groups) == counts.argmax(), counts, 0)
        yardstick = _first(data.synthetic, large, usable)
        if len(yardstick):  # none may be left that equals no row that is held out
            return _corrected([real, added, yardstick], n_groups, correction)
    rows = TableRows.joined([real, added])
    weight = balancing(rows.group, n_groups) if arm in WEIGHTED_ARMS else np.ones(len(rows))
    return TrainingRows(rows, weight, added.counts(n_groups))


def balancing(group: np.ndarray, n_groups: int) -> np.ndarray:
    """Weights ``(n,)`` of mean 1 under which all groups that are present weigh the same."""
    counts = np.bincount(group, minlength=n_groups)
    present = counts > 0
    design = Design(tuple(int(n) for n in counts[present]), weighting="group")
    weight = np.zeros(n_groups)
    weight[present] = design.row_weights().real
    return len(group) * weight[group]


def _corrected(kinds: Sequence[TableRows], n_groups: int, correction: float) -> TrainingRows:
    """Real rows, rows that fill up and the yardstick's, with the weights of a correction."""
    counts = RowCounts(*(rows.counts(n_groups).astype(float) for rows in kinds))
    one = np.ones(n_groups)
    weights = corrected(counts, RowWeights(one, one, 0 * one), correction)
    weight = np.concatenate([each[rows.group] for each, rows in zip(weights, kinds, strict=True)])
    added = np.asarray(counts.oversampled + counts.augmented, dtype=int)
    rows = TableRows.joined(kinds)
    return TrainingRows(rows, weight * len(rows) / weight.sum(), added, correction)


def thresholds(trained: TableRows, rows: TableRows, *, by_attribute: bool) -> np.ndarray:
    """Probability above which class 1 is predicted, ``(n,)``, where the threshold is moved.

    The base rate of class 1 among the rows ``trained`` on, or among those with the same attribute:
    where p(y | x, a) is right, this is Bayes' rule for groups of equal size.
    """
    if not by_attribute:
        return np.full(len(rows), trained.y.mean())
    rate = [trained.y[trained.group // 2 == a].mean() for a in (0, 1)]
    return np.array(rate)[rows.group // 2]


def _not_held_out(data: SplitArrays, chosen: np.ndarray) -> np.ndarray:
    """``(n_synthetic,)`` True where a synthetic row equals no training row that is held out."""
    held_out = data.train.take(np.setdiff1d(np.arange(len(data.train)), chosen))
    made, hidden = (np.column_stack([rows.x, rows.y]) for rows in (data.synthetic, held_out))
    return ~recurs(made, hidden)


def _added(
    arm: str, data: SplitArrays, real: TableRows, usable: np.ndarray, rng: np.random.Generator
) -> TableRows:
    """What an arm trains on beyond the ``real`` rows; ``usable`` marks synthetic rows."""
    counts = real.counts(len(data.group_names))
    lacking = np.where(counts > 0, counts.max() - counts, 0)  # a group without rows is not filled
    match arm:
        case "duplication":
            return _duplicates(real, lacking, rng)
        case "smote":
            return _smote(real, lacking, rng)
        case "synthetic" | "synthetic_weighting":
            return data.synthetic.take(usable & (np.arange(len(usable)) < len(data.train)))
        case "synthetic_balanced" | "synthetic_threshold" | "synthetic_corrected":
            return _first(data.synthetic, lacking, usable)
        case "synthetic_novel":
            return _first(data.synthetic, lacking, usable & data.novel)
        case "real_balanced":
            if len(usable):
                lacking = _first(data.synthetic, lacking, usable).counts(len(lacking))
            return _fresh(data.fresh, lacking, rng)
        case "raw" | "threshold" | "weighting":
            return real.take(np.empty(0, dtype=int))
    raise names.unknown("arm", arm, ARMS)


def _duplicates(real: TableRows, lacking: np.ndarray, rng: np.random.Generator) -> TableRows:
    picks = [
        rng.choice(np.flatnonzero(real.group == g), m, replace=True)
        for g, m in enumerate(lacking)
        if m
    ]
    return real.take(np.concatenate([np.empty(0, dtype=int), *picks]))


def _smote(real: TableRows, lacking: np.ndarray, rng: np.random.Generator) -> TableRows:
    """imbalanced-learn's SMOTE, one group at a time, on features scaled by their SD in ``real``."""
    scale = real.x.std(axis=0)
    scale[scale == 0] = 1.0
    parts = [real.take(np.empty(0, dtype=int))]
    for g, m in enumerate(lacking):
        inside = real.group == g
        if m:
            x = _smote_group(real.x / scale, inside, int(m), rng) * scale
            parts.append(TableRows(x, np.full(m, real.y[inside][0]), np.full(m, g)))
    return TableRows.joined(parts)


def _smote_group(x: np.ndarray, inside: np.ndarray, m: int, rng: np.random.Generator) -> np.ndarray:
    """``m`` SMOTE rows ``(m, d)`` of the rows ``inside``; a lone row of a fold is repeated."""
    n = int(inside.sum())
    if n == 1:
        return np.repeat(x[inside], m, axis=0)
    from imblearn.over_sampling import SMOTE

    sampler = SMOTE(
        sampling_strategy={1: n + m},
        k_neighbors=min(SMOTE_NEIGHBOURS, n - 1),
        random_state=int(rng.integers(2**31)),
    )
    # imbalanced-learn returns the given rows first and the new ones after them.
    made, _ = sampler.fit_resample(x, inside.astype(int))
    return np.asarray(made[len(x) :])


def _first(rows: TableRows, wanted: np.ndarray, usable: np.ndarray) -> TableRows:
    """The first ``wanted[g]`` usable rows of each group, in file order."""
    picks = [np.flatnonzero(usable & (rows.group == g))[:m] for g, m in enumerate(wanted)]
    return rows.take(np.sort(np.concatenate(picks)).astype(int))


def _fresh(fresh: TableRows | None, wanted: np.ndarray, rng: np.random.Generator) -> TableRows:
    if fresh is None:
        raise ValueError("the arm real_balanced needs a source table; there is none.")
    pools = [np.flatnonzero(fresh.group == g) for g in range(len(wanted))]
    picks = [
        rng.choice(pool, min(int(m), len(pool)), replace=False)
        for pool, m in zip(pools, wanted, strict=True)
    ]
    return fresh.take(np.concatenate(picks).astype(int))
