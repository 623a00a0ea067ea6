"""What the purchases brought that a plan may recommend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from opal.bridge.text.curves import purchase
from opal.bridge.text.curves.evaluate import KEYS, summary

if TYPE_CHECKING:
    from opal.bridge.text.curves.advice import Advice


def purchases(records: pd.DataFrame, source: str, metric: str) -> pd.DataFrame:
    """Gains over weighting of the purchases that most seeds could make, by N and α.

    Returns:
        Columns ``added``, ``alpha``, ``gain``, ``error`` (standard error, paired with weighting).
    """
    own = (records["arm"] == purchase.ARM) & (records["synthesizer"] == source)
    rows = records[own & (records["metric"] == f"{metric}_difference")]
    rows = rows[rows["source"] == "data"]
    table = summary(rows.assign(weight=rows["alpha"]), (*KEYS, "weight"))
    table = table[table["n_replicates"] == table["n_replicates"].max()]
    found = table.assign(alpha=table["weight"], gain=-table["value"], error=table["std_error"])
    return found[["added", "alpha", "gain", "error"]].reset_index(drop=True)


def outcome(records: pd.DataFrame, source: str, advised: Advice) -> dict[str, Any]:
    """What the purchase brought that the advice is about, and what the best one did.

    Returns:
        ``measured`` and ``measured_error``: gain in log loss over weighting, and its standard
        error; ``less_error`` and ``less_error_error``: the same of the balanced error; ``best``,
        ``best_error``, ``best_added``, ``best_alpha``: the purchase with the largest gain, or none
        if no gain is above 0; ``regret``: what the advice gains less than that, too large on
        average since the best is the luckiest too; ``came``: ``gain`` or ``loss`` if the measured
        interval excludes 0, else ``open``.
    """
    risk = purchases(records, source, "balanced_risk")
    error = purchases(records, source, "balanced_error")
    measured, wrong = (_at(table, advised.tried) for table in (risk, error))
    best = risk.loc[risk["gain"].idxmax()]
    none = best["gain"] <= 0
    made = measured[0] if advised.says == "buy" else 0.0
    return {
        "measured": measured[0],
        "measured_error": measured[1],
        "less_error": wrong[0],
        "less_error_error": wrong[1],
        "best": 0.0 if none else float(best["gain"]),
        "best_error": 0.0 if none else float(best["error"]),
        "best_added": 0 if none else int(best["added"]),
        "best_alpha": 0.0 if none else float(best["alpha"]),
        "regret": max(float(best["gain"]), 0.0) - made,
        "came": _side(*measured),
    }


def _at(table: pd.DataFrame, point: tuple[int, float]) -> tuple[float, float]:
    row = table[(table["added"] == point[0]) & (table["alpha"] == point[1])].iloc[0]
    return float(row["gain"]), float(row["error"])


def _side(value: float, error: float) -> str:
    if abs(value) <= 1.96 * error:
        return "open"
    return "gain" if value > 0 else "loss"
