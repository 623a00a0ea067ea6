"""How the values of synthetic rows differ from those of real ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from opal.bridge.tabular.audit.cases import Grouping, Tables

_FEW_VALUES = 10


def shift(tables: Tables, groups: Grouping) -> list[dict[str, Any]]:
    """Feature means of synthetic minus real rows within each group, in real SD units of the group.

    ``z`` is the shift over its standard error. A feature that does not vary among the group's real
    rows has no unit; its shift is None unless it is 0. Largest shifts come first.
    """
    rows = []
    synthetic, real = tables.synthetic, tables.real
    of_synthetic, of_real = groups.label(synthetic), groups.label(real)
    for group in groups.names:
        ours, theirs = synthetic[of_synthetic == group], real[of_real == group]
        if ours.empty or theirs.empty:
            continue
        for feature in tables.features:
            a, b = ours[feature].to_numpy(dtype=float), theirs[feature].to_numpy(dtype=float)
            rows.append({"group": group, "feature": feature, **_shift(a, b)})
    return sorted(rows, key=lambda row: -abs(row["shift_sd"] or 0.0))


def _shift(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    difference, unit = float(ours.mean() - theirs.mean()), float(theirs.std())
    error = float(np.sqrt(ours.var() / len(ours) + theirs.var() / len(theirs)))
    spread = min(len(ours), len(theirs)) > 1  # one row shows none
    scaled = difference / unit if unit > 0 else (0.0 if difference == 0 else None)
    return {
        "shift_sd": scaled,
        "sd_ratio": float(ours.std()) / unit if unit > 0 and spread else None,
        "z": difference / error if error > 0 and spread else None,
        "n_synthetic": len(ours),
        "n_real": len(theirs),
    }


def unseen(synthetic: pd.DataFrame, real: pd.DataFrame, target: str) -> dict[str, Any]:
    """Labels and values of synthetic rows that none of the real rows has; new ones are no fault.

    ``labels``: rows whose label no real row has, by label. ``features``: for each feature with such
    a value, its real range, rows ``below`` and ``above`` it, rows ``not_whole`` where all real
    values are whole, and rows with ``unseen`` values where the real column has at most 10. ``rows``
    counts rows with at least one of these, and ``natural`` those of the ``n_real`` real rows that
    have one which no other real row has: what a fresh real row would do.
    """
    wrong_label = ~synthetic[target].isin(real[target].unique())
    ours, theirs = (table.drop(columns=target).astype(float) for table in (synthetic, real))
    whole, few = (theirs == theirs.round()).all(), theirs.nunique() <= _FEW_VALUES
    novel = {name: few[name] & ~ours[name].isin(theirs[name]) for name in theirs}
    kinds = {
        "below": ours < theirs.min(),
        "above": ours > theirs.max(),
        "not_whole": (ours != ours.round()) & whole,
        "unseen": pd.DataFrame(novel),
    }
    wrong = kinds["below"] | kinds["above"] | kinds["not_whole"] | kinds["unseen"]
    features = [
        {"feature": name, "real_min": float(theirs[name].min())}
        | {"real_max": float(theirs[name].max())}
        | {kind: int(rows[name].sum()) for kind, rows in kinds.items()}
        for name in theirs
        if wrong[name].any()
    ]
    bad = wrong_label | wrong.any(axis=1)
    labels = synthetic.loc[wrong_label, target].value_counts()
    return {
        "rows": int(bad.sum()),
        "share": float(bad.mean()),
        "natural": int(_alone(real, target).sum()),
        "n_real": len(real),
        "labels": {f"{label:g}": int(count) for label, count in labels.items()},
        "features": features,
    }


def _alone(real: pd.DataFrame, target: str) -> np.ndarray:
    """Which real rows have a value that is unseen in all others [n]."""
    found = real.groupby(target)[target].transform("size").to_numpy() == 1
    for name in real.columns.drop(target):
        column = real[name].to_numpy(float)
        values, place, counts = np.unique(column, return_inverse=True, return_counts=True)
        single = counts[place] == 1
        ends = (place == 0) | (place == len(values) - 1)
        found |= single & (ends | (len(values) - 1 <= _FEW_VALUES))
        fractional = column != column.round()
        found |= fractional & (fractional.sum() == 1)
    return np.asarray(found)
