"""Means of imputation with corrected intervals, and whether the claims of arXiv 2504.15160 hold.

The claims: from 75 originals on, synthetic texts do as well as a full sample of original ones; at
50, F1 on synthetic texts exceeds that on original ones by 2 to 4 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from opal import records
from opal.bridge.text import filling
from opal.bridge.text.imputation import Task
from opal.bridge.text.imputing import Trial
from opal.bridge.text.resampled import LEVEL, corrected

STUDY = "imputation"
CASE = ["n_original", "arm", "synthesizer"]
SPLIT = ["repeat", "fold"]
REFERENCES = (filling.ALL_REAL, "weighting", "raw")
MARGIN = 0.02
"""F1 that is given up without being missed: the least overfitting that the paper calls moderate."""
ENOUGH = 75
PUBLISHED_GAP = (0.02, 0.04)


def summarise(frame: pd.DataFrame, task: Task, trial: Trial, *, source: str) -> pd.DataFrame:
    """Records of an evaluation: mean, corrected standard error and interval of each measure.

    Args:
        frame: of :func:`opal.bridge.text.imputing.evaluate`.
        task: that was evaluated.
        trial: how.
        source: ``data`` or ``simulation``.

    Returns:
        Beside the standard columns: ``tested``, ``lower``, ``upper``, ``p_value``. Metrics are
        ``f1``, ``recall``, ``n_trained``; ``f1_synthetic`` and ``gap``; and paired differences:
        ``f1_minus_all_real``, ``f1_minus_weighting``, ``f1_minus_raw``, ``gap_minus_all_real``,
        and, of naive folds, ``gap_minus_synthetic``.
    """
    ratio = 1 / (trial.n_folds - 1)
    whole = pd.concat([frame, *_differences(frame)], ignore_index=True)
    rows = []
    for case, part in whole.groupby([*CASE, "tested", "metric"], sort=False):
        if part["value"].notna().sum() < 2:
            continue
        found = corrected(part["value"].to_numpy(), ratio)
        rows.append(
            {
                **dict(zip([*CASE, "tested", "metric"], case, strict=True)),
                "value": found.mean,
                "std_error": found.std_error,
                "lower": found.lower,
                "upper": found.upper,
                "p_value": found.p_value,
                "n_replicates": found.n,
            }
        )
    table = pd.DataFrame(rows).rename(columns={"n_original": "n_min"})
    return records.validate(
        table.assign(
            study=STUDY,
            source=source,
            setting=task.name,
            n_real=table["n_min"] + len(task.others),
            n_max=int(task.others["label"].value_counts().max()),
            n_oversampled=trial.fill_to - table["n_min"],
        )
    )


def _differences(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """Paired differences, fold by fold."""
    found = [_minus(frame, "f1", reference) for reference in REFERENCES]
    lineage = frame[frame["arm"].isin(["naive_folds", "synthetic"])]
    return [*found, _minus(frame, "gap", filling.ALL_REAL), _minus(lineage, "gap", "synthetic")]


def _minus(frame: pd.DataFrame, metric: str, reference: str) -> pd.DataFrame:
    rows = frame[frame["metric"] == metric]
    on = [*SPLIT, "n_original", "tested"]
    base = rows.loc[rows["arm"] == reference, [*on, "value"]]
    joined = rows[rows["arm"] != reference].merge(base, on=on, suffixes=("", "_reference"))
    return joined.assign(
        value=joined["value"] - joined["value_reference"], metric=f"{metric}_minus_{reference}"
    ).drop(columns="value_reference")


def pooled(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the corpora of all rows that several of them have, under the setting ``all``.

    Classes of a corpus share texts: their errors count as one and the same. Corpora are
    independent, and intervals are normal.

    Args:
        table: of :func:`summarise`, of several tasks.
    """
    case = ["n_min", "arm", "synthesizer", "tested", "metric"]
    corpus = table["setting"].str.partition("/")[0].rename("corpus")
    each = table.groupby([*case, corpus])[["value", "std_error"]].mean()
    squares = each.assign(std_error=each["std_error"] ** 2).groupby(level=case)
    found = squares.agg(
        value=("value", "mean"), std_error=("std_error", "sum"), corpora=("value", "size")
    )
    found = found[found["corpora"] > 1].reset_index()
    error = np.sqrt(found["std_error"]) / found["corpora"]
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * error
    return found.assign(
        setting="all",
        std_error=error,
        lower=found["value"] - half,
        upper=found["value"] + half,
    )


def claims(table: pd.DataFrame, *, margin: float = MARGIN) -> pd.DataFrame:
    """Whether the published claims hold, for each setting, source and number of originals.

    Args:
        table: of :func:`summarise`, of any number of tasks.
        margin: F1 that may be lost.

    Returns:
        ``difference`` to the full sample with its interval and ``full_sample``: ``holds`` if the
        loss is at most the margin on all of the interval, ``fails`` if all of it is below 0,
        ``open`` otherwise; ``gap`` with its interval and ``gap_published``: ``agrees`` if it meets
        2 to 4 %, ``open`` if it also meets 0 and 8 %, ``smaller`` or ``larger`` otherwise;
        ``gap_all_real``, of a rule that saw no synthetic text; ``naive_adds``, what folds without
        lineage add to the gap. What has no full sample has the words ``unknown``.
    """
    synthetic = table[table["arm"] == "synthetic"]
    rows = []
    for (setting, source, n), part in synthetic.groupby(["setting", "synthesizer", "n_min"]):
        loss = _one(part, "f1_minus_all_real")
        gap = _one(part, "gap")
        same = table[(table["setting"] == setting) & (table["n_min"] == n)]
        same = same[same["tested"] == source]
        real, naive = (same[same["arm"] == arm] for arm in (filling.ALL_REAL, "naive_folds"))
        rows.append(
            {
                "setting": setting,
                "synthesizer": source,
                "n_original": int(n),
                "f1": _one(part, "f1")["value"],
                "difference": loss["value"],
                "lower": loss["lower"],
                "upper": loss["upper"],
                "full_sample": _full_sample(loss, margin),
                "gap": gap["value"],
                "gap_lower": gap["lower"],
                "gap_upper": gap["upper"],
                "gap_published": _published(gap),
                "gap_all_real": _one(real, "gap")["value"],
                "naive_adds": _one(naive, "gap_minus_synthetic")["value"],
            }
        )
    return pd.DataFrame(rows)


def _one(part: pd.DataFrame, metric: str) -> Mapping[str, Any]:
    rows = part[part["metric"] == metric]
    if rows.empty:
        return dict.fromkeys(("value", "lower", "upper"), np.nan)
    return {str(name): value for name, value in rows.iloc[0].items()}


def _full_sample(loss: Mapping[str, Any], margin: float) -> str:
    if np.isnan(loss["value"]):
        return "unknown"
    if loss["lower"] >= -margin:
        return "holds"
    return "fails" if loss["upper"] < 0 else "open"


def _published(gap: Mapping[str, Any]) -> str:
    low, high = PUBLISHED_GAP
    if np.isnan(gap["value"]):
        return "unknown"
    if gap["upper"] < low:
        return "smaller"
    if gap["lower"] > high:
        return "larger"
    # An interval that holds no gap and twice the published one says nothing.
    return "open" if gap["lower"] <= 0 and gap["upper"] >= 2 * high else "agrees"
