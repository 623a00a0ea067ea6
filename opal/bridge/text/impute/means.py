"""Means of imputation over folds and corpora, with corrected intervals."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pandas as pd

from opal import records
from opal.bridge.resampling import LEVEL, cross_validated
from opal.bridge.text.impute import filling
from opal.bridge.text.impute.imputation import Task
from opal.bridge.text.impute.imputing import Trial

STUDY = "imputation"
CASE = ["n_original", "arm", "synthesizer"]
SPLIT = ["repeat", "fold"]
REFERENCES = (filling.ALL_REAL, "weighting", "raw")


def summarise(frame: pd.DataFrame, task: Task, trial: Trial, *, source: str) -> pd.DataFrame:
    """Records of an evaluation: mean, corrected standard error and interval of each measure.

    Args:
        frame: of :func:`opal.bridge.text.impute.imputing.evaluate`.
        task: that was evaluated.
        trial: how.
        source: ``data`` or ``simulation``.

    Returns:
        Beside the standard columns: ``tested``, ``lower``, ``upper``, ``p_value``, and
        ``n_full``, the original texts of the class in a data set, of which ``fill_to`` are a full
        sample. Metrics are ``f1``, ``recall``, ``n_trained``, ``n_different``; ``f1_synthetic``
        and ``gap``; and paired differences, ``f1_minus_all_real``, ``f1_minus_weighting``,
        ``f1_minus_raw``, ``gap_minus_all_real``; of naive folds ``gap_minus_synthetic`` and
        ``gap_minus_ssmba``; of synthetic texts ``f1_minus_ssmba`` and ``gap_minus_ssmba``; of fixed
        seeds ``f1_minus_drawn_seeds`` and ``gap_minus_drawn_seeds``, or, if they were written for
        it, ``…_minus_synthetic``.
    """
    ratio = 1 / (trial.n_folds - 1)
    whole = pd.concat([frame, *_differences(frame)], ignore_index=True)
    rows = []
    for case, part in whole.groupby([*CASE, "tested", "metric"], sort=False):
        if part["value"].notna().sum() < 2:
            continue
        found = cross_validated(part["value"].to_numpy(), ratio)
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
            n_full=min(trial.fill_to, len(task.originals) + len(task.spare)),
        )
    )


def _differences(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """Paired differences, fold by fold."""
    tested, source = [*SPLIT, "n_original", "tested"], [*SPLIT, "n_original", "synthesizer"]

    def among(*arms: str) -> pd.DataFrame:
        return frame[frame["arm"].isin(arms)]

    found = [_minus(frame, "f1", reference, tested) for reference in REFERENCES]
    found.append(_minus(frame, "gap", filling.ALL_REAL, tested))
    found.append(_minus(among("naive_folds", "synthetic"), "gap", "synthetic", tested))
    found.append(_minus(among("naive_folds", "ssmba"), "gap", "ssmba", tested))
    fixed = "drawn_seeds" if "drawn_seeds" in set(frame["arm"]) else "synthetic"
    for metric in ("f1", "gap"):
        found.append(_minus(among("synthetic", "ssmba"), metric, "ssmba", [*SPLIT, "n_original"]))
        found.append(_minus(among("fixed_seeds", fixed), metric, fixed, source))
    return found


def _minus(frame: pd.DataFrame, metric: str, reference: str, on: list[str]) -> pd.DataFrame:
    """A measure minus that of another arm in the same fold, where ``on`` agrees."""
    rows = frame[frame["metric"] == metric]
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
    of_corpus = {"value": "mean", "std_error": "mean", "n_full": "min", "n_oversampled": "max"}
    each = table.groupby([*case, corpus])[[*of_corpus]].agg(of_corpus)
    squares = each.assign(std_error=each["std_error"] ** 2).groupby(level=case)
    found = squares.agg(
        value=("value", "mean"),
        std_error=("std_error", "sum"),
        n_full=("n_full", "min"),
        n_oversampled=("n_oversampled", "max"),
        corpora=("value", "size"),
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
