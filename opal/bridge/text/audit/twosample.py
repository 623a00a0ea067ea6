"""Can a classifier tell synthetic texts from real ones of the same class?"""

from __future__ import annotations

from typing import Any

import numpy as np

from opal.bridge import resampling
from opal.bridge.text.audit import rules, splits
from opal.bridge.text.audit.folds import FOLDS, Folds
from opal.bridge.text.audit.seeds import family
from opal.bridge.text.audit.stock import Stock


def report(stock: Stock, source: str, seed: int) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Out-of-fold AUC of a linear rule that tells synthetic from real texts, group by group.

    .5: indistinguishable; 1: every synthetic text is recognised. Copies and relatives are never on
    both sides (:mod:`opal.bridge.text.audit.folds`). ``std_error`` is Hanley and McNeil's (1982)
    for as many synthetic texts as there are families. Beside it stands ``null``, the same for two
    random halves of the real texts. Of each kind at most 1,000 texts are used.

    Returns:
        The rows, and for each synthetic text of the source the score that it is one, NaN where it
        was not asked [n].
    """
    score = np.full(len(stock.frame), np.nan)
    rows = []
    for index, (name, ours, theirs) in enumerate(splits.pools(stock, source)):
        rng = np.random.default_rng([seed, index])
        _, first = np.unique(stock.key[theirs], return_index=True)
        theirs = theirs[np.sort(first)]
        row: dict[str, Any] = {"class": name, "n": len(ours), "n_real": len(theirs)}
        n_families = len(np.unique(family(stock, ours)))
        row["reason"] = splits.too_few(ours, theirs)
        if row["reason"] is None and n_families < splits.LEAST:
            row["reason"] = f"needs texts of {splits.LEAST} seeds; there are {n_families}"
        if row["reason"] is None:
            a, b = (_some(part, rng) for part in (ours, theirs))
            row["auc"], score[a] = _auc(stock, a, b, rng)
            n_families = len(np.unique(family(stock, a)))
            row["std_error"] = resampling.auc_error(row["auc"], n_families, len(b))
            one, other = np.array_split(rng.permutation(b), 2)
            row["null"], _ = _auc(stock, one, other, rng)
            row["null_error"] = resampling.auc_error(0.5, len(one), len(other))
        rows.append(row)
    return rows, score[stock.made[source]]


def _some(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if len(rows) <= splits.MOST:
        return rows
    return np.sort(rng.choice(rows, splits.MOST, replace=False))


def _auc(
    stock: Stock, ours: np.ndarray, theirs: np.ndarray, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """Mean over folds of the held-out AUC, and the probability that each of ``ours`` is one."""
    from sklearn.metrics import roc_auc_score

    rows = np.concatenate([ours, theirs])
    mine = (np.arange(len(rows)) < len(ours)).astype(int)
    folds = Folds.of(stock, rows, mine, int(rng.integers(2**31)))
    every = np.ones(len(rows), dtype=bool)
    p = rules.out_of_fold(stock, rows, mine, mine, folds, trained=every)[:, 1]
    scores, pairs = [], []
    for k in range(FOLDS):
        inside = (folds.home == k) & np.isfinite(p)
        positive = int(mine[inside].sum())
        if 0 < positive < inside.sum():
            scores.append(roc_auc_score(mine[inside], p[inside]))
            pairs.append(positive * (int(inside.sum()) - positive))
    return float(np.average(scores, weights=pairs)), p[: len(ours)]
