"""Can a classifier tell synthetic texts from real ones of the same class?"""

from __future__ import annotations

from typing import Any

import numpy as np

from opal.bridge.resampling import auc_error, auc_score, mean_auc
from opal.bridge.text.audit import variety
from opal.bridge.text.audit.labels import out_of_fold
from opal.bridge.text.audit.tables import FOLDS, AuditData, family, folds_of

_LEAST_NULL = 100


def two_sample(data: AuditData, writer: str, seed: int) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Out-of-fold AUC of a linear rule that tells synthetic from real texts, group by group.

    .5: indistinguishable; 1: every synthetic text is recognised. Copies and relatives are never on
    both sides (:mod:`opal.bridge.resampling`). ``std_error`` is Hanley and McNeil's (1982) for as
    many synthetic texts as there are families, and ``z`` holds the AUC against .5. Beside it stands
    ``null``, the same for two random halves of the real texts; None for fewer than 100, where what
    is held out pushes its own half away, so that the AUC lies far below one half. Of each kind at
    most 1,000 texts are used.

    Returns:
        The rows, and for each synthetic text of the writer the score that it is one, NaN where it
        was not asked [n].
    """
    score = np.full(len(data.frame), np.nan)
    rows = []
    for index, (name, ours, theirs) in enumerate(variety.pools(data, writer)):
        rng = np.random.default_rng([seed, index])
        _, first = np.unique(data.key[theirs], return_index=True)
        theirs = theirs[np.sort(first)]
        row: dict[str, Any] = {"class": name, "n": len(ours), "n_real": len(theirs)}
        n_families = len(np.unique(family(data, ours)))
        row["reason"] = variety.too_few(ours, theirs)
        if row["reason"] is None and n_families < variety.LEAST:
            row["reason"] = f"needs texts of {variety.LEAST} seeds; there are {n_families}"
        if row["reason"] is None:
            a, b = (_some(part, rng) for part in (ours, theirs))
            row["auc"], score[a] = _auc(data, a, b, rng)
            if np.isnan(row["auc"]):
                row |= {"auc": None, "reason": "equal texts are in one fold: none has both kinds"}
                rows.append(row)
                continue
            n_families = len(np.unique(family(data, a)))
            row["std_error"] = auc_error(row["auc"], n_families, len(b))
            row["z"] = auc_score(row["auc"], n_families, len(b), FOLDS)
            row |= {"null": None, "null_error": None}
            if len(b) >= _LEAST_NULL:
                one, other = np.array_split(rng.permutation(b), 2)
                row["null"], _ = _auc(data, one, other, rng)
                row["null_error"] = auc_error(0.5, len(one), len(other))
        rows.append(row)
    return rows, score[data.made[writer]]


def _some(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if len(rows) <= variety.MOST:
        return rows
    return np.sort(rng.choice(rows, variety.MOST, replace=False))


def _auc(
    data: AuditData, ours: np.ndarray, theirs: np.ndarray, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """The held-out AUC, and the probability that each of ``ours`` is one."""
    rows = np.concatenate([ours, theirs])
    mine = (np.arange(len(rows)) < len(ours)).astype(int)
    folds = folds_of(data, rows, mine, int(rng.integers(2**31)))
    every = np.ones(len(rows), dtype=bool)
    p = out_of_fold(data, rows, mine, mine, folds, trained=every)[:, 1]
    return mean_auc(mine, p, folds.home), p[: len(ours)]
