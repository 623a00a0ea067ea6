"""Can a forest tell synthetic from real rows of the same group?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from opal.bridge import resampling
from opal.bridge.label_noise import LEAST
from opal.bridge.tabular.audit.cases import Grouping
from opal.bridge.tabular.splits import keys

_FOLDS = 5
_REAL_PER_SYNTHETIC = 5


def two_sample(
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
    McNeil's (1982), and ``z`` holds the AUC against .5. A group with fewer than 10 different rows
    of a kind has no AUC but a reason.
    """
    of_synthetic, of_real = groups.label(synthetic), groups.label(real)
    found = []
    for index, group in enumerate(groups.names):
        rng = np.random.default_rng([seed, index])
        ours = synthetic.loc[of_synthetic == group, features]
        theirs = real.loc[of_real == group, features]
        row: dict[str, Any] = {"group": group, "n_synthetic": len(ours), "n_real": len(theirs)}
        most = _REAL_PER_SYNTHETIC * max(len(ours), LEAST)
        if len(theirs) > most:
            theirs = theirs.iloc[rng.choice(len(theirs), most, replace=False)]
        distinct = min(len(set(keys(ours))), len(set(keys(theirs))))
        auc = error = z = reason = None
        if distinct < LEAST:
            reason = f"needs {LEAST} different rows of each kind; one kind has {distinct}"
        else:
            auc = _auc(ours, theirs, trees, rng)
            error = resampling.auc_error(auc, len(ours), len(theirs))
            z = resampling.auc_score(auc, len(ours), len(theirs), _FOLDS)
        found.append(row | {"auc": auc, "std_error": error, "z": z, "reason": reason})
    return found


def _auc(ours: pd.DataFrame, theirs: pd.DataFrame, trees: int, rng: np.random.Generator) -> float:
    from sklearn.ensemble import RandomForestClassifier

    rows = pd.concat([ours, theirs])
    x, is_synthetic = rows.to_numpy(dtype=float), np.arange(len(rows)) < len(ours)
    lineage = resampling.lineages(keys(rows))
    fold = resampling.deal(lineage, is_synthetic, _FOLDS, seed=int(rng.integers(2**32)))
    score = np.full(len(rows), np.nan)
    for k in range(_FOLDS):
        held_out = fold == k
        if len(set(is_synthetic[held_out])) < 2:
            continue
        forest = RandomForestClassifier(
            trees,
            min_samples_leaf=3,
            class_weight="balanced",
            random_state=int(rng.integers(2**31)),
        ).fit(x[~held_out], is_synthetic[~held_out])
        score[held_out] = forest.predict_proba(x[held_out])[:, 1]
    return resampling.mean_auc(is_synthetic, score, fold)
