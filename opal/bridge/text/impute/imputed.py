"""The result of an imputation: JSON-able, and as tables for the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from opal.bridge.text.impute import filling, neighbours, verdicts
from opal.bridge.text.impute.imputation import Task
from opal.bridge.text.impute.imputing import Trial

if TYPE_CHECKING:
    from rich.console import RenderableType

_INTERVAL = ("value", "lower", "upper")
_SHOWN = ("f1", "gap", "f1_minus_all_real", "f1_minus_weighting")


def result(table: pd.DataFrame, task: Task, trial: Trial) -> dict[str, Any]:
    """What was found.

    Args:
        table: of :func:`opal.bridge.text.impute.means.summarise`.
        task: that was evaluated.
        trial: how.
    """
    cases = table.groupby(["n_min", "arm", "synthesizer"], sort=False)
    arms = [
        {"n_original": int(n), "arm": arm, "synthesizer": source, **_measures(part, source)}
        for (n, arm, source), part in cases
    ]
    arms.sort(key=lambda row: (row["n_original"], filling.ARMS.index(row["arm"])))
    return {
        "class": task.category,
        "setting": task.name,
        "fill_to": trial.fill_to,
        "folds": trial.n_folds,
        "repeats": trial.n_repeats,
        "counts": {
            "originals": len(task.originals),
            "spare": len(task.spare),
            "others": {str(k): int(v) for k, v in task.others["label"].value_counts().items()},
            "synthetic": {name: len(frame) for name, frame in task.synthetic.items()},
        },
        "arms": arms,
        "claims": verdicts.claims(table).to_dict("records"),
        "notes": [*task.notes, *_notes(table, task, trial)],
    }


def _measures(part: pd.DataFrame, source: str) -> dict[str, Any]:
    """Each metric with its interval; those on synthetic texts of arms without any, by source."""
    found: dict[str, Any] = {}
    for row in part.to_dict("records"):
        own = row["tested"] in ("human", source)
        name = row["metric"] if own else f"{row['metric']} on {row['tested']}"
        found[str(name)] = {key: row[key] for key in _INTERVAL}
    return found


def _notes(table: pd.DataFrame, task: Task, trial: Trial) -> list[str]:
    """What was not done, and where texts did not suffice."""
    notes = []
    arms = set(table["arm"])
    if "all_real" not in arms and "all_real" in trial.arms:
        notes.append(
            f"no full sample: there are no texts of {task.category!r} beyond the originals at hand"
        )
    if "ssmba" not in arms and "ssmba" in trial.arms:
        notes.append(
            "no SSMBA: name a masked language model with --masked-model, or, of a corpus, "
            f"{neighbours.GROWN!r}"
        )
    if not task.synthetic:
        notes.append("no synthetic texts: name a model with --model or --local, or --synthetic")
    filled = table[table["metric"] == "n_trained"].set_index("arm")["value"]
    wanted = trial.fill_to * (1 - 1 / trial.n_folds)
    short = filled[filled.index.isin(filling.WRITTEN) & (filled < 0.98 * wanted)]
    n_full = len(task.originals) + len(task.spare)
    if "all_real" in arms and n_full < trial.fill_to:
        notes.append(
            f"no full sample: {task.category!r} has {n_full} original texts, all_real has no more"
        )
    return notes + [
        f"{arm}: too few texts to fill with, {short.loc[[arm]].min():.0f} of {wanted:.0f} in a fold"
        for arm in short.index.unique()
    ]


def compared(claims: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``verdicts.claims`` in as few columns as a terminal shows.

    F1 is that of the filled class; differences and the gap have their intervals beside them, and
    those that no row has are left out.
    """
    first = {"setting": "setting", "synthesizer": "texts by", "n_original": "originals"}
    table = claims[[*first]].rename(columns=first)
    scores = {"weighting": "f1_weighting", "filled": "f1", "all real": "f1_all_real"}
    for title, name in scores.items():
        table[title] = claims[name].map("{:.3f}".format)
    differences = {
        "minus weighting": "synthetic_f1_minus_weighting",
        "minus all real": "difference",
        "gap": "gap",
        "minus SSMBA": "synthetic_f1_minus_ssmba",
        "gap minus SSMBA": "synthetic_gap_minus_ssmba",
        "fixed minus drawn seeds": "fixed_seeds_f1_minus_drawn_seeds",
        "gap, fixed minus drawn": "fixed_seeds_gap_minus_drawn_seeds",
    }
    for title, name in differences.items():
        if name in claims:
            ends = (
                ("lower", "upper") if name == "difference" else (f"{name}_lower", f"{name}_upper")
            )
            table[title] = [_interval(*row) for row in claims[[name, *ends]].to_numpy()]
    verdicts_of = {"full sample": "full_sample", "2 to 4 %": "gap_published"}
    return table.assign(**{title: claims[name] for title, name in verdicts_of.items()})


def _interval(value: float, lower: float, upper: float) -> str:
    return "" if math.isnan(value) else f"{value:+.3f} ({lower:+.3f}, {upper:+.3f})"


def shown(found: Mapping[str, Any]) -> RenderableType:
    """Arms, verdicts and notes for people."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("originals", "arm", "texts by"):
        table.add_column(name)
    for name in ("F1", "gap", "minus all real", "minus weighting"):
        table.add_column(name, justify="right")
    for row in found["arms"]:
        about = (str(row["n_original"]), row["arm"], escape(row["synthesizer"].replace("none", "")))
        table.add_row(*about, *(_cell(row.get(metric)) for metric in _SHOWN))
    title = (
        f"{escape(found['setting'])}: filled to {found['fill_to']}, {found['repeats']} x "
        f"{found['folds']} folds; 95 % corrected intervals; gap is F1 on synthetic minus on "
        "original texts"
    )
    lines = [claim(row) for row in found["claims"]]
    return Group(title, table, *lines, *(escape(f"note: {note}") for note in found["notes"]))


def _cell(found: Mapping[str, float] | None) -> str:
    if found is None:
        return ""
    return f"{found['value']:.3f} ({found['lower']:.3f}, {found['upper']:.3f})"


def claim(row: Mapping[str, Any]) -> str:
    """A row of :func:`opal.bridge.text.impute.verdicts.claims` in a line, for a terminal."""
    from rich.markup import escape

    control = row["gap_all_real"]
    easy = "" if math.isnan(control) else f"; {control:+.3f} with original texts alone"
    judged = str(row["full_sample"])
    if judged == verdicts.NOT_JUDGED:
        judged += f", for all_real has {row['n_full']} of {row['n_asked']} texts"
    beyond = "".join(_ablation(row, *pair) for pair in verdicts.ABLATIONS)
    return (
        f"{row['n_original']} originals with {escape(str(row['synthesizer']))}: as good as a full "
        f"sample: {judged}; gap {row['gap']:+.3f} (2 to 4 % published: "
        f"{row['gap_published']}{easy}){beyond}"
    )


def _ablation(row: Mapping[str, Any], arm: str, reference: str) -> str:
    """What an arm has over another, where it is known; the table has what is over weighting."""
    names = {metric: f"{arm}_{metric}_minus_{reference}" for metric in ("f1", "gap")}
    known = [
        f"{metric} {_interval(row[name], row[f'{name}_lower'], row[f'{name}_upper'])}"
        for metric, name in names.items()
        if reference != "weighting" and not math.isnan(row.get(name, math.nan))
    ]
    return f"; {arm} minus {reference}: {', '.join(known)}" if known else ""
