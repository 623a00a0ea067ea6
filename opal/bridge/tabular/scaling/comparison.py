"""Recomputed curves beside the committed result files, and why a number differs where it does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from opal.bridge.tabular.scaling.classifiers import TOLERANCE
from opal.bridge.tabular.scaling.published import METRICS, N_STEPS, OLDER
from opal.bridge.tabular.scaling.tables import NO_MAKER, ScalingTable

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
        is_older = (experiment, classifier, logarithm) == ("ratio", "rf", "_log")
        return cls(
            _TASKS[task],
            experiment,
            _CLASSIFIERS[classifier],
            maker,
            METRICS[1] if metric == "min" else OLDER if is_older else METRICS[0],
            logarithm is not None,
        )


def result_files(table: ScalingTable) -> dict[ResultFile, Path]:
    """The committed result files of a table."""
    named = {ResultFile.of(name): path for name, path in table.results().items()}
    return {file: path for file, path in named.items() if file is not None}


def numbers(frame: pd.DataFrame, table: ScalingTable) -> pd.DataFrame:
    """Every committed number of a table that the records have, beside what was recomputed.

    Args:
        frame: records of :func:`opal.bridge.tabular.scaling.published.evaluate`, of this table.
        table: the table.

    Returns:
        One row for each number: ``file``, the fields of :class:`ResultFile`, ``arm``, ``step``,
        ``statistic`` (``mean`` or ``std``), ``value`` and ``published``, both as the file has it.

    Raises:
        ValueError: a file does not hold what its name promises.
    """
    found = []
    for file, path in result_files(table).items():
        rows = _rows_of(frame, file)
        about = {"file": f"{table.name}/{path.name}", **file._asdict()}
        found += [about | number for number in _numbers(rows, file, _published(path))]
    return pd.DataFrame(found)


def _published(path: Path) -> dict[str, dict[str, float]]:
    """The numbers of a result file by step, then by arm and statistic."""
    found: dict[str, dict[str, float]] = json.loads(path.read_text())
    if not (isinstance(found, dict) and all(isinstance(of, dict) for of in found.values())):
        raise ValueError(
            f"{path} must hold an object of steps, each an object of numbers by name, as the "
            "published result files do: take it out of the folder, or leave --compare out."
        )
    return found


def _rows_of(frame: pd.DataFrame, file: ResultFile) -> pd.DataFrame:
    same = ("task", "experiment", "classifier", "metric")
    chosen = np.logical_and.reduce([frame[name] == getattr(file, name) for name in same])
    return frame[chosen & frame["synthesizer"].isin([file.maker, NO_MAKER])]


def _numbers(
    rows: pd.DataFrame, file: ResultFile, published: Mapping[str, Mapping[str, float]]
) -> Iterator[dict[str, Any]]:
    values = rows.assign(value=np.log(rows["value"] + 1e-15)) if file.logarithm else rows
    of_point = values.groupby(["arm", "step"])["value"]
    ours = {"mean": of_point.mean(), "std": of_point.std(ddof=0)}
    for step, several in published.items():
        for name, theirs in several.items():
            arm, _, statistic = name.rpartition("_")
            if name == "train_all_augment":
                arm, statistic = "all_real", "mean"
            point = (_ARMS.get(arm, arm), int(step))
            if point in ours[statistic].index:
                yield {
                    "arm": point[0],
                    "step": point[1],
                    "statistic": statistic,
                    "value": float(ours[statistic][point]),
                    "published": float(theirs),
                }


def compare(frame: pd.DataFrame, several: Mapping[str, ScalingTable]) -> dict[str, Any]:
    """The largest difference to each committed file, and its cause.

    Args:
        frame: records of :func:`opal.bridge.tabular.scaling.published.evaluate`.
        several: the tables by name.

    Returns:
        ``n_files``, ``max_abs_difference`` and ``files``: ``file``, ``classifier``, ``difference``
        (largest over means and standard deviations, as the file has them) and ``cause``.

    Raises:
        ValueError: nothing was compared.
    """
    files: list[dict[str, Any]] = []
    for name, table in several.items():
        mine = frame[frame["table"] == name]
        found = numbers(mine, table)
        for file, path in result_files(table).items():
            known = f"{name}/{path.name}"
            rows = found[found["file"] == known] if len(found) else found
            if len(rows):
                cause = _cause(rows, _rows_of(mine, file), ordered=table.has("train"))
                difference = float((rows["value"] - rows["published"]).abs().max())
                entry = {"file": known, "classifier": file.classifier}
                files.append({**entry, "difference": difference, "cause": cause})
    if not files:
        raise ValueError("nothing was compared: no committed result file has these curves.")
    largest = max(entry["difference"] for entry in files)
    return {"n_files": len(files), "max_abs_difference": largest, "files": files}


def _cause(found: pd.DataFrame, rows: pd.DataFrame, *, ordered: bool) -> str:
    """Why the numbers of a file differ, in a sentence that says what shows it."""
    off = (found["value"] - found["published"]).abs()
    unordered = (found["arm"] == "all_real") & (not ordered)
    causes = []
    largest = off[~unordered].max()
    if largest > ROUNDING:
        stops = "gradient" in rows and rows["gradient"].notna().any()
        most = rows[["gradient", "to_minimum", "reordered"]].max() if stops else None
        if most is not None and largest <= most[["to_minimum", "reordered"]].max():
            causes.append(
                "lbfgs stops short of the minimum on raw columns, at a gradient of up to "
                f"{most['gradient'] / TOLERANCE:.2g} times its tolerance: the log loss there is up "
                f"to {most['to_minimum']:.1g} from that at the minimum, and up to "
                f"{most['reordered']:.1g} from that of the same rows in another order"
            )
        else:
            causes.append("not explained")
    if off[unordered].max() > ROUNDING:
        causes.append(
            f"entry {N_STEPS} by {off[unordered].max():.1g}: train.csv is not there, and with it "
            "the published order of all real rows"
        )
    return "; ".join(causes) or "none: equal to rounding"
