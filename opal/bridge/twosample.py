"""Can a classifier tell synthetic rows from real ones of the same group?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from opal.bridge.composition import Grouping
from opal.bridge.tabular.rows import keys

FOLDS = 5
LEAST_ROWS = 10
REAL_PER_SYNTHETIC = 5


def report(
    synthetic: pd.DataFrame,
    real: pd.DataFrame,
    features: list[str],
    groups: Grouping,
    trees: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Cross-validated AUC of a forest that tells synthetic from real rows, group by group.

    0.5: indistinguishable; 1: every synthetic row is recognised. All copies of one row, real or
    synthetic, are kept in one fold: otherwise a recited row would be met in training under the
    other name, and recitation would push the AUC below one half. ``std_error`` is Hanley and
    McNeil's (1982). A group with fewer than 10 different rows of a kind has no AUC but a reason.
    """
    of_synthetic, of_real = groups.label(synthetic), groups.label(real)
    found = []
    for index, group in enumerate(groups.names):
        rng = np.random.default_rng([seed, index])
        ours = synthetic.loc[of_synthetic == group, features]
        theirs = real.loc[of_real == group, features]
        row: dict[str, Any] = {"group": group, "n_synthetic": len(ours), "n_real": len(theirs)}
        most = REAL_PER_SYNTHETIC * max(len(ours), LEAST_ROWS)
        if len(theirs) > most:
            theirs = theirs.iloc[rng.choice(len(theirs), most, replace=False)]
        distinct = min(len(set(keys(ours))), len(set(keys(theirs))))
        if distinct < LEAST_ROWS:
            reason = f"needs {LEAST_ROWS} different rows of each kind; one kind has {distinct}"
            found.append(row | {"auc": None, "std_error": None, "reason": reason})
        else:
            auc = _auc(ours, theirs, trees, rng)
            error = hanley_mcneil(auc, len(ours), len(theirs))
            found.append(row | {"auc": auc, "std_error": error, "reason": None})
    return found


def _auc(ours: pd.DataFrame, theirs: pd.DataFrame, trees: int, rng: np.random.Generator) -> float:
    """Mean over folds of the held-out AUC."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score

    rows = pd.concat([ours, theirs])
    x, is_synthetic = rows.to_numpy(dtype=float), np.arange(len(rows)) < len(ours)
    fold = folds_by_row(keys(rows), is_synthetic, rng)
    scores, pairs = [], []
    for k in range(FOLDS):
        held_out = fold == k
        positive = int(is_synthetic[held_out].sum())
        if not 0 < positive < held_out.sum():
            continue
        forest = RandomForestClassifier(
            trees,
            min_samples_leaf=3,
            class_weight="balanced",
            random_state=int(rng.integers(2**31)),
        ).fit(x[~held_out], is_synthetic[~held_out])
        p = forest.predict_proba(x[held_out])[:, 1]
        scores.append(roc_auc_score(is_synthetic[held_out], p))
        pairs.append(positive * (held_out.sum() - positive))
    return float(np.average(scores, weights=pairs))


def folds_by_row(
    row_keys: list[bytes], is_synthetic: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Fold of each row, ``(n,)``: equal rows share one; each kind of row is dealt out evenly."""
    kinds: dict[bytes, bool] = {}
    for key, ours in zip(row_keys, is_synthetic, strict=True):
        kinds[key] = kinds.get(key, False) or bool(ours)
    fold: dict[bytes, int] = {}
    for kind in (True, False):
        members = [key for key, ours in kinds.items() if ours is kind]
        order = rng.permutation(len(members))
        fold |= {members[j]: int(position % FOLDS) for position, j in enumerate(order)}
    return np.array([fold[key] for key in row_keys])


def hanley_mcneil(auc: float, n_one: int, n_other: int) -> float:
    """Standard error of an AUC from ``n_one`` and ``n_other`` independent rows."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (n_one - 1) * (q1 - auc**2) + (n_other - 1) * (q2 - auc**2)
    return float(np.sqrt(max(variance, 0.0) / (n_one * n_other)))
