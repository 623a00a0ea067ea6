"""Recomputed curves beside the committed result files, and why a number differs where it does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from opal.bridge.tabular.scaling.classifiers import TOLERANCE
from opal.bridge.tabular.scaling.published import METRICS, N_STEPS, NO_MAKER
from opal.bridge.tabular.scaling.tables import ScalingTable

ROUNDING = 1e-9
_CLASSIFIERS = {"log": "logistic", "rf": "forest", "xgb": "xgboost"}
_TASKS = {"imbalanced_class": "imbalanced", "spurious_corr": "spurious"}
_ARMS = {"imbalance_base": "imbalanced", "balance_base": "filled", "balance_augment": "augmented"}
_NAME = re.compile(
    r"(imbalanced_class|spurious_corr)_vary_(additional|ratio)_(log|rf|xgb)_(\w+?)"
    r"_(balanced|min)(_log)?_cross\.json"
)


class ResultFile(NamedTuple):
    """What the name of a committed result file says."""

    task: str
    experiment: str
    classifier: str
    maker: str
    metric: str
    logarithm: bool

    @classmethod
    def of(cls, name: str) -> ResultFile | None:
        """Read a file's name; None where it is of another kind."""
        found = _NAME.fullmatch(name)
        if found is None:
            return None
        task, experiment, classifier, maker, metric, logarithm = found.groups()
        return cls(
            _TASKS[task],
            experiment,
            _CLASSIFIERS[classifier],
            maker,
            METRICS[0 if metric == "balanced" else 1],
            logarithm is not None,
        )


def result_files(table: ScalingTable) -> dict[ResultFile, Path]:
    """The committed result files of a table."""
    named = {ResultFile.of(name): path for name, path in table.results().items()}
    return {file: path for file, path in named.items() if file is not None}


def compare(frame: pd.DataFrame, several: Mapping[str, ScalingTable]) -> dict[str, Any]:
    """The largest difference to each committed file that the records have all numbers of.

    Args:
        frame: records of :func:`opal.bridge.tabular.scaling.published.evaluate`.
        several: the tables by name.

    Returns:
        ``n_files``, ``max_abs_difference`` and ``files``: ``file``, ``classifier``, ``difference``
        (largest over means and standard deviations, as the file has them) and ``cause``.
    """
    files = []
    for name, table in several.items():
        mine = frame[frame["table"] == name]
        for file, path in result_files(table).items():
            rows = _rows_of(mine, file)
            if not rows.empty:
                files.append({"file": f"{name}/{path.name}", **_compared(rows, file, path, table)})
    if not files:
        raise ValueError("nothing was compared: no committed result file has these curves.")
    largest = max(entry["difference"] for entry in files)
    return {"n_files": len(files), "max_abs_difference": largest, "files": files}


def _rows_of(frame: pd.DataFrame, file: ResultFile) -> pd.DataFrame:
    same = ("task", "experiment", "classifier", "metric")
    chosen = np.logical_and.reduce([frame[name] == getattr(file, name) for name in same])
    return frame[chosen & frame["synthesizer"].isin([file.maker, NO_MAKER])]


def _compared(
    rows: pd.DataFrame, file: ResultFile, path: Path, table: ScalingTable
) -> dict[str, Any]:
    by_step = {
        step: max(abs(ours - theirs) for ours, theirs in pairs)
        for step, pairs in _pairs(rows, file, json.loads(path.read_text())).items()
    }
    difference = max(by_step.values())
    last = by_step.pop(N_STEPS, 0.0)
    cause = _cause(rows, file, max(by_step.values()), last, ordered=table.has("train"))
    return {"classifier": file.classifier, "difference": difference, "cause": cause}


def _pairs(
    rows: pd.DataFrame, file: ResultFile, published: Mapping[str, Mapping[str, float]]
) -> dict[int, list[tuple[float, float]]]:
    """Our number and the published one, for every number of a file, by its step.

    Raises:
        ValueError: the records lack a number.
    """
    values = rows.assign(value=np.log(rows["value"] + 1e-15)) if file.logarithm else rows
    found = values.groupby(["arm", "step"])["value"]
    mean, deviation = found.mean(), found.std(ddof=0)
    pairs: dict[int, list[tuple[float, float]]] = {}
    for step, numbers in published.items():
        for name, theirs in numbers.items():
            if name == "train_all_augment":
                ours = mean["all_real", int(step)]
            else:
                arm, _, kind = name.rpartition("_")
                ours = (mean if kind == "mean" else deviation)[_ARMS[arm], int(step)]
            pairs.setdefault(int(step), []).append((float(ours), float(theirs)))
    return pairs


def _cause(
    rows: pd.DataFrame, file: ResultFile, difference: float, last: float, *, ordered: bool
) -> str:
    """Why the numbers of a file differ, in a sentence that says what shows it."""
    causes = []
    if difference > ROUNDING or (last > ROUNDING and ordered):
        if file.classifier == "logistic":
            most = rows[["gradient", "to_minimum", "reordered"]].max()
            causes.append(
                f"lbfgs stops early on raw columns, at a gradient of up to "
                f"{most['gradient'] / TOLERANCE:.2g} times its tolerance: the log loss there is up "
                f"to {most['to_minimum']:.1g} from that at the minimum, and up to "
                f"{most['reordered']:.1g} from that of the same rows in another order"
            )
        else:
            causes.append("not explained")
    if last > ROUNDING and not ordered:
        causes.append(
            f"entry {N_STEPS} by {last:.1g}: train.csv is not there, and with it the order of rows"
        )
    return "; ".join(causes) or "none: equal to rounding"
