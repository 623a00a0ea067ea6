"""Means of imputation over folds and corpora, and whether the claims of arXiv 2504.15160 hold.

The claims: from 75 originals on, synthetic texts do as well as a full sample of original ones; at
50, F1 on synthetic texts exceeds that on original ones by 2 to 4 %. The first is judged of rules
with a moved threshold on both sides, for it costs nothing and a rule of few texts needs it most;
the second of the most probable class, as it was published. Intervals are corrected
(:func:`opal.bridge.resampling.cross_validated`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from opal import records
from opal.bridge.resampling import cross_validated
from opal.bridge.text.impute import arms, verdict
from opal.bridge.text.impute.evaluate import Trial
from opal.bridge.text.impute.task import Task
from opal.bridge.text.impute.verdict import ARM, FREE, NOT_JUDGED

STUDY = "imputation"
CASE = ["n_original", "arm", "synthesizer"]
SPLIT = ["repeat", "fold"]
FULL = f"{arms.ALL_REAL}{arms.THRESHOLD}"
"""What the filled arm with a moved threshold is held against: a full sample of original texts."""
MIXED, MOVED = f"f1_mixed_minus_{arms.ALL_REAL}", f"f1_minus_{FULL}"
REFERENCES = (arms.ALL_REAL, FULL, *FREE)
MARGIN = 0.02
"""F1 that is given up without being missed: the least overfitting that the paper calls moderate."""
PUBLISHED_GAP = (0.02, 0.04)
_SHARES = ("f1", "f1_mixed", "recall", "f1_synthetic", "threshold", "shared")  # in [0, 1]
_COUNTS = ("n_trained", "n_different")
UNFILLED = (*FREE, arms.ALL_REAL, FULL)
ABLATIONS = (
    ("synthetic", "weighting"),
    ("synthetic", "ssmba"),
    ("fixed_seeds", "drawn_seeds"),
    ("fixed_seeds", "synthetic"),
)
"""Arms whose F1 and gap are compared with those of another filled one."""


def summarise(frame: pd.DataFrame, task: Task, trial: Trial, *, source: str) -> pd.DataFrame:
    """Records of an evaluation: mean, corrected standard error and interval of each measure.

    ``frame`` is of :func:`opal.bridge.text.impute.evaluate.evaluate`; ``source`` is ``data`` or
    ``simulation``.

    Returns:
        Beside the standard columns: ``tested``, ``lower``, ``upper``, ``p_value``, ``n_folds``, and
        ``n_full``, the original texts of the class in a data set, of which ``fill_to`` are a full
        sample. Metrics are ``f1``, ``recall``, ``n_trained``, ``n_different``; ``threshold`` where
        it is moved; ``f1_synthetic`` and ``gap``; ``f1_mixed`` and ``f1_mixed_minus_all_real`` of
        the published protocol; and paired differences, ``f1_minus_all_real``,
        ``f1_minus_all_real_threshold``, ``f1_minus_weighting`` and those to the other rules that
        cost nothing (:mod:`opal.bridge.text.impute.verdict`), ``gap_minus_all_real``; of naive
        folds ``gap_minus_synthetic`` and ``gap_minus_ssmba``; of synthetic texts ``f1_minus_ssmba``
        and ``gap_minus_ssmba``; of fixed seeds ``f1_minus_drawn_seeds`` and
        ``gap_minus_drawn_seeds``, or, if they were written for it, ``…_minus_synthetic``.
        ``shared`` is the share of the texts of drawn seeds that fixed seeds have too.
    """
    ratio = 1 / (trial.n_folds - 1)
    whole = pd.concat([frame, *_differences(frame)], ignore_index=True)
    rows = []
    for case, part in whole.groupby([*CASE, "tested", "metric"], sort=False):
        if part["value"].notna().sum() < 2:
            continue
        found = cross_validated(part["value"].to_numpy(), ratio)
        rows.append(dict(zip([*CASE, "tested", "metric"], case, strict=True)) | asdict(found))
    renamed = {"n_original": "n_min", "mean": "value", "n": "n_replicates"}
    table = pd.DataFrame(rows).rename(columns=renamed)
    return records.validate(
        bounded(table).assign(
            study=STUDY,
            source=source,
            setting=task.name,
            n_real=table["n_min"] + len(task.others),
            n_max=int(task.others["label"].value_counts().max()),
            n_oversampled=trial.fill_to - table["n_min"],
            n_folds=trial.n_folds,
            n_full=min(trial.fill_to, len(task.originals) + len(task.spare)),
        )
    )


def bounded(table: pd.DataFrame) -> pd.DataFrame:
    """Intervals that end where their metric does.

    Those of a share are symmetric on the scale of ``log(p/(1 − p))``, where they have the same
    width to first order; those of a difference of two shares are cut at −1 and 1.
    """
    shares, mean = table["metric"].isin(_SHARES), table["value"]
    cut = ~table["metric"].isin(_COUNTS) & ~shares
    inner = shares & mean.between(0, 1, inclusive="neither")
    p = mean.where(inner, 0.5)
    far = (table["upper"] - mean) / (p * (1 - p))
    ends = {}
    for end, sign in (("lower", -1), ("upper", 1)):
        odds = p / (1 - p) * np.exp(sign * far.clip(upper=50))
        plain = table[end].where(~cut, table[end].clip(-1, 1)).where(~shares, mean)
        ends[end] = plain.where(~inner, odds / (1 + odds))
    return table.assign(**ends)


def claims(table: pd.DataFrame) -> pd.DataFrame:
    """Whether filling helps, and whether the published claims hold, case by case.

    The table is of :func:`summarise`, of any number of tasks.

    Returns:
        A row for each setting, writer, number of originals and fill. ``f1`` of the filled class and
        of the arms without synthetic texts, as they are and with a moved threshold. ``verdict``
        against the free rules, with the gain and its interval
        (:mod:`opal.bridge.text.impute.verdict`). ``difference`` to the full sample, both with a
        moved threshold, with its interval and ``full_sample``: ``holds`` if the loss is at most
        :data:`MARGIN` on all of the interval, ``fails`` if all of it is below 0, ``open``
        otherwise, and ``not judged`` where there is no full sample, ``n_full`` texts instead of
        ``n_asked``; of the published protocol it is of F1 on all that is held out, without
        thresholds.
        ``gap`` with its interval and ``gap_published``: ``agrees`` if all of the interval is within
        2 to 4 %, ``smaller`` or ``larger`` if none of it is, ``open`` otherwise; ``gap_threshold``,
        with a moved one; ``gap_all_real``, of a rule that saw no synthetic text; ``naive_adds``,
        what folds without lineage add to the gap. Then, with intervals, F1 minus that of weighting,
        F1 and gap minus those of SSMBA, and those of fixed seeds minus those of equally many texts
        of seeds drawn anew, where there are such arms; ``same_texts`` where these are the same.
    """
    rows = []
    for (setting, n, added), case in table.groupby(["setting", "n_min", "n_oversampled"]):
        filled = case[case["arm"].isin([ARM, ARM.removesuffix(arms.THRESHOLD)])]
        for writer, part in filled.groupby("synthesizer"):
            about = {"setting": setting, "synthesizer": writer, "n_original": int(n)}
            about["fill_to"] = int(n + added)
            judged = verdict.described(verdict.gain(case, writer))
            found = _scores(part, case) | judged | _against_full(part)
            rows.append(about | found | _gaps(part, case, writer))
    return pd.DataFrame(rows)


def _scores(part: pd.DataFrame, case: pd.DataFrame) -> dict[str, float]:
    """F1 of the filled arm, and of those without synthetic texts."""
    moved = part["arm"] == ARM
    found = {"f1": _one(part[~moved], "f1"), "f1_threshold": _one(part[moved], "f1")}
    found |= {f"f1_{arm}": _one(case[case["arm"] == arm], "f1") for arm in UNFILLED}
    return {name: each["value"] for name, each in found.items()}


def _against_full(part: pd.DataFrame) -> dict[str, Any]:
    mixed = part["metric"] == MIXED  # F1 of the published protocol, which has no thresholds
    loss = _one(part[mixed], MIXED) if mixed.any() else _one(part[part["arm"] == ARM], MOVED)
    n_full, n_asked = int(part["n_full"].min()), int((part["n_min"] + part["n_oversampled"]).max())
    return {
        "difference": loss["value"],
        "lower": loss["lower"],
        "upper": loss["upper"],
        "full_sample": _full_sample(loss, enough=n_full >= n_asked),
        "n_full": n_full,
        "n_asked": n_asked,
    }


def _gaps(part: pd.DataFrame, case: pd.DataFrame, writer: str) -> dict[str, Any]:
    moved, same = part["arm"] == ARM, case[case["tested"] == writer]
    gap = _one(part[~moved], "gap")
    real, naive = (same[same["arm"] == arm] for arm in (arms.ALL_REAL, "naive_folds"))
    return {
        "gap": gap["value"],
        "gap_lower": gap["lower"],
        "gap_upper": gap["upper"],
        "gap_published": _published(gap),
        "gap_threshold": _one(part[moved], "gap")["value"],
        "gap_all_real": _one(real, "gap")["value"],
        "naive_adds": _one(naive, "gap_minus_synthetic")["value"],
        **_ablations(case[case["synthesizer"] == writer]),
    }


def _differences(frame: pd.DataFrame) -> list[pd.DataFrame]:
    tested, source = [*SPLIT, "n_original", "tested"], [*SPLIT, "n_original", "synthesizer"]

    def among(*arms: str) -> pd.DataFrame:
        return frame[frame["arm"].isin(arms)]

    found = [_minus(frame, "f1", reference, tested) for reference in REFERENCES]
    found += [_minus(frame, metric, arms.ALL_REAL, tested) for metric in ("gap", "f1_mixed")]
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


def _ablations(made: pd.DataFrame) -> dict[str, Any]:
    """Differences to other arms, and of fixed seeds, with their intervals."""
    found: dict[str, Any] = {}
    for arm, reference in ABLATIONS:
        part = made[made["arm"] == arm]
        for metric in ("f1", "gap"):
            known = _one(part, f"{metric}_minus_{reference}")
            name = f"{arm}_{metric}_minus_{reference}"
            if not np.isnan(known["value"]):
                found |= {name: known["value"]}
                found |= {f"{name}_{end}": known[end] for end in ("lower", "upper")}
    shared = _one(made[made["arm"] == "drawn_seeds"], "shared")["value"]
    return found if np.isnan(shared) else found | {"same_texts": bool(shared == 1)}


def _one(part: pd.DataFrame, metric: str) -> Mapping[str, Any]:
    rows = part[part["metric"] == metric]
    if rows.empty:
        return dict.fromkeys(("value", "lower", "upper"), np.nan)
    return {str(name): value for name, value in rows.iloc[0].items()}


def _full_sample(loss: Mapping[str, Any], *, enough: bool) -> str:
    if not enough or np.isnan(loss["value"]):
        return NOT_JUDGED
    if loss["lower"] >= -MARGIN:
        return "holds"
    return "fails" if loss["upper"] < 0 else "open"


def _published(gap: Mapping[str, Any]) -> str:
    low, high = PUBLISHED_GAP
    if np.isnan(gap["value"]):
        return NOT_JUDGED
    if gap["upper"] < low:
        return "smaller"
    if gap["lower"] > high:
        return "larger"
    return "agrees" if low <= gap["lower"] and gap["upper"] <= high else "open"
