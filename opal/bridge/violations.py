"""Values that the real table says cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

FEW_VALUES = 10


def report(synthetic: pd.DataFrame, real: pd.DataFrame, target: str) -> dict[str, Any]:
    """Labels, ranges and value sets of the synthetic rows against the real ones.

    ``labels``: rows whose label no real row has, by label. ``features``: for each feature with a
    violation, its real range, rows ``below`` and ``above`` it, rows ``not_whole`` where all real
    values are whole, and rows with ``unseen`` values where the real column has at most 10. ``rows``
    counts rows with at least one violation.
    """
    wrong_label = ~synthetic[target].isin(real[target].unique())
    bad = wrong_label.to_numpy().copy()
    features = []
    for name in real.columns.drop(target):
        found = _feature(synthetic[name].to_numpy(float), real[name].to_numpy(float))
        hits = found.pop("rows")
        bad |= hits
        if hits.any():
            features.append({"feature": name, **found})
    labels = synthetic.loc[wrong_label, target].value_counts()
    return {
        "rows": int(bad.sum()),
        "share": float(bad.mean()),
        "labels": {f"{label:g}": int(count) for label, count in labels.items()},
        "features": features,
    }


def _feature(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    low, high, values = float(theirs.min()), float(theirs.max()), np.unique(theirs)
    below, above = ours < low, ours > high
    whole = bool((theirs == np.round(theirs)).all())
    not_whole = (ours != np.round(ours)) if whole else np.zeros(len(ours), dtype=bool)
    few = len(values) <= FEW_VALUES
    unseen = ~np.isin(ours, values) if few else np.zeros(len(ours), dtype=bool)
    return {
        "real_min": low,
        "real_max": high,
        "below": int(below.sum()),
        "above": int(above.sum()),
        "not_whole": int(not_whole.sum()),
        "unseen": int(unseen.sum()),
        "rows": below | above | not_whole | unseen,
    }
