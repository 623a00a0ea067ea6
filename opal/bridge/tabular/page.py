"""The page of an evaluation: Markdown, figure and records, each whole or absent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from opal import records
from opal.bridge.tabular.arms import ARMS, REFERENCE
from opal.bridge.tabular.bootstrap import METRICS
from opal.bridge.tabular.classifiers import Settings
from opal.bridge.tabular.picture import CLASSIFIERS, arm_label
from opal.files import write_atomically

TITLES = {"balanced_error": "balanced", "minority_error": "minority", "worst_error": "worst group"}
CAVEATS = """\
- *Balanced* is the mean of the group errors, *minority* the mean over the smallest groups in
  training, *worst group* the group with the largest error averaged over the seeds. Differences are
  paired with group weighting on seeds and test rows; below zero is better.
- Intervals are 95 % two-level bootstrap intervals: seeds, then test rows within groups. Seeds share
  one source table, so their tables overlap and the intervals are, if anything, too short; none is
  corrected for the number of comparisons on this page.
- Row weights move a linear rule, but hardly a classifier that can fit every row (boosted trees):
  there weighting is a weak reference, and the moved threshold is the one to beat.
- *rows added* is the mean over the seeds. Where a generator made too few rows of a group, "to
  balance" stops short of balance, and "none recited" stops shorter: read them with this number.
"""


def write(
    frame: pd.DataFrame, left_out: Mapping[str, Mapping[str, str]], settings: Settings, out: Path
) -> dict[str, Any]:
    """Write page, figure and records of a sound evaluation, each whole or absent.

    Returns:
        The JSON-able result: evaluations, arms left out with reasons, and the paths.
    """
    from opal.bridge.tabular import picture

    figure = picture.difference_figure(frame)
    paths = {kind: out / f"tabular.{kind}" for kind in ("png", "pdf", "md", "parquet")}
    for kind in ("png", "pdf"):
        metadata = {"CreationDate": None} if kind == "pdf" else None
        save = partial(figure.savefig, format=kind, dpi=200, metadata=metadata)
        write_atomically(paths[kind], save)
    text = page(frame, left_out, settings)
    write_atomically(paths["md"], partial(_write_text, text=text))
    records.write(frame, paths["parquet"], metadata={"config": asdict(settings)})
    return {
        "protocol": "sound",
        "evaluations": evaluations(frame),
        "left_out": {setting: dict(reasons) for setting, reasons in left_out.items()},
        "written": {kind: str(path) for kind, path in paths.items()},
    }


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def evaluations(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Each setting and classifier with its arms: counts, metrics and differences, as JSON."""
    found = []
    aggregate = frame[frame["replicate"].isna()]
    for (setting, classifier), rows in aggregate.groupby(["setting", "classifier"], sort=False):
        arms = []
        for arm in (arm for arm in ARMS if (rows["arm"] == arm).any()):
            mine = rows[rows["arm"] == arm]
            entry: dict[str, Any] = {
                "arm": arm,
                "synthesizer": str(mine["synthesizer"].iloc[0]),
                "n_added": int(mine["n_oversampled"].iloc[0]),
            }
            for row in mine.itertuples():
                names = ("value", "std_error", "lower", "upper")
                entry[row.metric] = {name: float(getattr(row, name)) for name in names}
            arms.append(entry)
        dataset, task = str(setting).rsplit("/", 1)
        n_seeds = int(rows["n_replicates"].iloc[0])
        base = {"dataset": dataset, "task": task, "classifier": classifier, "n_seeds": n_seeds}
        found.append({**base, "n_real": int(rows["n_real"].iloc[0]), "arms": arms})
    return found


def page(frame: pd.DataFrame, left_out: Mapping[str, Mapping[str, str]], settings: Settings) -> str:
    """The Markdown page: a verdict for each arm, then a table for each setting and classifier."""
    done = evaluations(frame)
    parts = ["# Synthetic rows against group weighting", "", "![differences](tabular.png)", ""]
    parts += [_verdicts(done), CAVEATS]
    parts.append(
        f"Settings: {settings.folds} folds, {settings.trees} trees, {settings.draws} draws, "
        f"{settings.resamples} resamples, seed {settings.seed}.\n"
    )
    for entry in done:
        name = CLASSIFIERS[entry["classifier"]][3]
        parts.append(f"## {entry['dataset']}, {entry['task']} task, {name}\n")
        parts.append(f"{entry['n_real']} real training rows, {entry['n_seeds']} seeds.\n")
        parts.append(_markdown(*cells(entry)))
    for setting, reasons in left_out.items():
        parts += [
            f"- {setting}: *{arm_label(arm)}* left out: {why}." for arm, why in reasons.items()
        ]
    return "\n".join(parts) + "\n"


def _verdicts(done: Sequence[Mapping[str, Any]]) -> str:
    """In how many evaluations each arm's interval lies below, around or above weighting."""
    rows = []
    for arm in (arm for arm in ARMS if arm != REFERENCE):
        mine = [a for entry in done for a in entry["arms"] if a["arm"] == arm]
        if not mine:
            continue
        row = [arm_label(arm, mine[0]["synthesizer"]), str(len(mine))]
        for metric in METRICS:
            found = [a[f"{metric}_difference"] for a in mine]
            better = sum(d["upper"] < 0 for d in found)
            worse = sum(d["lower"] > 0 for d in found)
            mean = sum(d["value"] for d in found) / len(found)
            row.append(f"{better} better, {worse} worse ({mean:+.3f})")
        rows.append(row)
    head = ["arm", "evaluations", *(f"{TITLES[metric]} error" for metric in METRICS)]
    intro = (
        "Evaluations (dataset, task, classifier) in which an arm's interval lies wholly below or "
        "above group weighting, and the mean difference.\n\n"
    )
    return intro + _markdown(head, rows)


def cells(entry: Mapping[str, Any], *, intervals: bool = True) -> tuple[list[str], list[list[str]]]:
    """Header and cells of one evaluation; differences always come with their intervals."""
    head = ["arm", "rows added"]
    for metric in METRICS:
        head += [f"{TITLES[metric]} error", "minus weighting"]
    rows = []
    for arm in entry["arms"]:
        row = [arm_label(arm["arm"], arm["synthesizer"]), str(arm["n_added"])]
        for metric in METRICS:
            level = arm[metric]
            row.append(_interval(level, "") if intervals else f"{level['value']:.3f}")
            is_reference = arm["arm"] == REFERENCE
            row.append("–" if is_reference else _interval(arm[f"{metric}_difference"], "+"))
        rows.append(row)
    return head, rows


def _interval(found: Mapping[str, float], sign: str) -> str:
    return f"{found['value']:{sign}.3f} [{found['lower']:{sign}.2f}, {found['upper']:{sign}.2f}]"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
