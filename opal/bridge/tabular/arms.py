"""The arms of the sound evaluation: what each trains on, and with which weights.

An arm turns the real training rows of a split (all of them, or those of a cross-validation fold)
into rows, labels and weights. ``m_g = n_max − n_g`` is what group g lacks; weights are 1 for
each row, or make every group's total weight the same.

==================== ===========================================================================
raw                  the real rows
threshold            the same fit; class 1 is predicted above its base rate among the training
                     rows of the same attribute (of all of them in the imbalanced task)
weighting            the real rows, each group with the same total weight
duplication          + m_g rows of each group drawn again with replacement
smote                + m_g SMOTE rows of each group, neighbours within the group, scaled features
synthetic            + the first R synthetic rows in file order, R the number of real rows
synthetic_balanced   + the first m_g synthetic rows of each group, or as many as there are
synthetic_novel      the same, after rows that equal a real row (label included) are dropped
synthetic_weighting  the rows of ``synthetic``, each group with the same total weight
real_balanced        + as many fresh real rows of each group as ``synthetic_balanced`` has (m_g
                     where there are no synthetic rows)
==================== ===========================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from opal.bridge.tabular.splits import Rows, SplitArrays
from opal.objective import Design

ARMS = (
    "raw",
    "threshold",
    "weighting",
    "duplication",
    "smote",
    "synthetic",
    "synthetic_balanced",
    "synthetic_novel",
    "synthetic_weighting",
    "real_balanced",
)
RANDOM_ARMS = frozenset({"duplication", "smote", "real_balanced"})
WEIGHTED_ARMS = frozenset({"weighting", "synthetic_weighting"})
REFERENCE = "weighting"
SMOTE_NEIGHBOURS = 5


@dataclass(frozen=True)
class TrainingRows:
    """What a classifier is given: rows, and weights ``(n,)`` whose mean is 1."""

    rows: Rows
    weight: np.ndarray
    n_added: np.ndarray  # (K,) rows beyond the real ones


def why_not(arm: str, data: SplitArrays) -> str | None:
    """Why an arm cannot be made from these data; None if it can."""
    counts = data.train.counts(len(data.group_names))
    if arm == "smote" and (counts[counts < counts.max()] < 2).any():
        return "SMOTE needs two rows of a group to lie between; a group has one"
    if arm.startswith("synthetic") and not len(data.synthetic):
        return "there are no synthetic rows"
    if arm == "real_balanced" and data.fresh is None:
        return "there is no source table to draw fresh real rows from"
    return None


def build(
    arm: str, data: SplitArrays, chosen: np.ndarray, rng: np.random.Generator
) -> TrainingRows:
    """Training rows and weights of an arm from the real training rows ``chosen`` (an index).

    Real rows that were not chosen are being held out: synthetic rows equal to one of them are
    left out too, so that no copy of a held-out row is trained on.
    """
    real = data.train.take(chosen)
    usable = _not_held_out(data, chosen)
    added = _ADDERS[arm](data, real, usable, rng)
    n_groups = len(data.group_names)
    parts = [real] if added is None else [real, added]
    rows = Rows(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("x", "y", "group")))
    weight = balancing(rows.group, n_groups) if arm in WEIGHTED_ARMS else np.ones(len(rows))
    n_added = np.zeros(n_groups, dtype=int) if added is None else added.counts(n_groups)
    return TrainingRows(rows, weight, n_added)


def balancing(group: np.ndarray, n_groups: int) -> np.ndarray:
    """Weights ``(n,)`` of mean 1 under which all groups that are present weigh the same."""
    counts = np.bincount(group, minlength=n_groups)
    present = counts > 0
    design = Design(tuple(int(n) for n in counts[present]), weighting="group")
    weight = np.zeros(n_groups)
    weight[present] = design.row_weights().real
    return len(group) * weight[group]


def thresholds(data: SplitArrays, rows: Rows) -> np.ndarray:
    """Probability above which class 1 is predicted, ``(n,)``, for the ``threshold`` arm.

    The base rate of class 1 among training rows, or among those with the same attribute: where
    p(y | x, a) is right, this is Bayes' rule for groups of equal size.
    """
    if not data.by_attribute:
        return np.full(len(rows), data.train.y.mean())
    rate = [data.train.y[data.train.group // 2 == a].mean() for a in (0, 1)]
    return np.array(rate)[rows.group // 2]


def _not_held_out(data: SplitArrays, chosen: np.ndarray) -> np.ndarray:
    """``(n_synthetic,)`` True where a synthetic row equals no training row that is held out."""
    held_out = np.setdiff1d(np.arange(len(data.train)), chosen)
    if not held_out.size or not len(data.synthetic):
        return np.ones(len(data.synthetic), dtype=bool)
    hidden = set(_array_keys(data.train.take(held_out)))
    return np.array([key not in hidden for key in _array_keys(data.synthetic)], dtype=bool)


def _array_keys(rows: Rows) -> list[bytes]:
    table = np.column_stack([rows.x, rows.y]) + 0.0
    return [row.tobytes() for row in table]


def _lacking(real: Rows, n_groups: int) -> np.ndarray:
    """``m_g``, ``(K,)``; a group without rows is not filled."""
    counts = real.counts(n_groups)
    return np.where(counts > 0, counts.max() - counts, 0)


def _nothing(*_: object) -> None:
    return None


def _duplicates(data: SplitArrays, real: Rows, _: np.ndarray, rng: np.random.Generator) -> Rows:
    lacking = _lacking(real, len(data.group_names))
    picks = [
        rng.choice(np.flatnonzero(real.group == g), m, replace=True)
        for g, m in enumerate(lacking)
        if m
    ]
    return real.take(np.concatenate(picks) if picks else np.empty(0, dtype=int))


def _smote(data: SplitArrays, real: Rows, _: np.ndarray, rng: np.random.Generator) -> Rows:
    """imbalanced-learn's SMOTE, one group at a time, on features scaled by their SD in ``real``."""
    scale = real.x.std(axis=0)
    scale[scale == 0] = 1.0
    parts = [real.take(np.empty(0, dtype=int))]
    for g, m in enumerate(_lacking(real, len(data.group_names))):
        inside = real.group == g
        if m:
            x = _smote_group(real.x / scale, inside, int(m), rng) * scale
            y = np.full(m, real.y[inside][0])
            parts.append(Rows(x, y, np.full(m, g)))
    return Rows(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("x", "y", "group")))


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


def _published(data: SplitArrays, _: Rows, usable: np.ndarray, __: np.random.Generator) -> Rows:
    used = np.arange(len(data.synthetic)) < len(data.train)
    return data.synthetic.take(used & usable)


def _balanced(data: SplitArrays, real: Rows, usable: np.ndarray, _: np.random.Generator) -> Rows:
    return data.synthetic.take(
        _first(data.synthetic, _lacking(real, len(data.group_names)), usable)
    )


def _novel(data: SplitArrays, real: Rows, usable: np.ndarray, rng: np.random.Generator) -> Rows:
    return _balanced(data, real, usable & data.novel, rng)


def _first(rows: Rows, wanted: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Index of the first ``wanted[g]`` usable rows of each group, in file order."""
    picks = [np.flatnonzero(usable & (rows.group == g))[:m] for g, m in enumerate(wanted)]
    return np.sort(np.concatenate(picks)).astype(int)


def _fresh(data: SplitArrays, real: Rows, usable: np.ndarray, rng: np.random.Generator) -> Rows:
    if data.fresh is None:
        raise ValueError("the arm real_balanced needs a source table; there is none.")
    n_groups = len(data.group_names)
    wanted = _lacking(real, n_groups)
    if len(data.synthetic):
        wanted = _balanced(data, real, usable, rng).counts(n_groups)
    picks = []
    for g, m in enumerate(wanted):
        pool = np.flatnonzero(data.fresh.group == g)
        picks.append(rng.choice(pool, min(int(m), len(pool)), replace=False))
    return data.fresh.take(np.concatenate(picks).astype(int))


_ADDERS: Mapping[
    str, Callable[[SplitArrays, Rows, np.ndarray, np.random.Generator], Rows | None]
] = {
    "raw": _nothing,
    "threshold": _nothing,
    "weighting": _nothing,
    "duplication": _duplicates,
    "smote": _smote,
    "synthetic": _published,
    "synthetic_balanced": _balanced,
    "synthetic_novel": _novel,
    "synthetic_weighting": _published,
    "real_balanced": _fresh,
}
