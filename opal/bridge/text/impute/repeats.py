"""Repeats of an imputation as independent cells: a stopped run goes on, and processes share them.

Where an encoder is fine-tuned a repeat can take hours, and each of its folds is a cell.

The task is a file, named by its content, so that a repeat of another one is never taken for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from opal import records
from opal.bridge.llm.request import digest
from opal.bridge.text import classifiers, encoders
from opal.bridge.text.classifiers import FineTuning
from opal.bridge.text.impute import evaluate
from opal.bridge.text.impute.claims import STUDY
from opal.bridge.text.impute.evaluate import Learner, Trial
from opal.bridge.text.impute.task import Task
from opal.files import write_text
from opal.runner import Cell

_COLUMNS = {"repeat": "replicate", "n_original": "n_min"}  # as they are called in records
_FOLD = ("fold", "arm", "synthesizer", "tested", "metric", "value")


@dataclass(frozen=True)
class Classifier:
    """What is trained: a linear rule on features of an encoder, or an encoder, fine-tuned."""

    name: str  # of an encoder, or of the settings of fine-tuning or a model for the usual ones
    fine_tuned: bool = False  # whether it is the latter

    @property
    def tuning(self) -> FineTuning | None:
        """How an encoder is fine-tuned; None for a linear rule.

        A folder or hub name stands for that model with the settings of ``roberta-large``.
        """
        if not self.fine_tuned:
            return None
        usual = replace(classifiers.PRESETS["roberta-large"], model=self.name)
        return classifiers.PRESETS.get(self.name, usual)

    def learner(self) -> Learner:
        """What trains it.

        Raises:
            UnknownNameError: there is no such encoder.
        """
        if self.tuning is not None:
            return evaluate.fine_tuned(self.tuning)
        return evaluate.linear(encoders.encoder(self.name))

    def require_loadable(self) -> None:
        """Load its model, before anything is done or spent.

        Raises:
            ImportError: a package that it needs is missing.
            OSError: there is no such model here or on the hub, or it cannot be read.
        """
        model = self.name if self.tuning is None else self.tuning.model
        try:
            encoders.require_loadable(model)
        except OSError as error:
            raise OSError(
                f"the classifier must be there before anything starts; {model} cannot be loaded "
                f"({str(error).splitlines()[0]}). Name another with --encoder or --classifier."
            ) from error


@dataclass(frozen=True)
class Repeat:
    """One repeat of the cross-validation of a task, or one fold of it."""

    task: str  # its file
    trial: Trial  # of one repeat: how many others there are changes nothing
    classifier: Classifier
    number: int
    source: str  # ``data`` or ``simulation``
    fold: int | None = None  # the only one, if not all


def cells(
    task: Task, trials: Sequence[Trial], classifier: Classifier, *, source: str, folder: Path
) -> list[Cell]:
    """A cell for each repeat of each trial, or each fold; the task is written to the folder.

    Raises:
        OSError: the folder cannot be written.
        ValueError: task and trials do not fit.
    """
    for trial in trials:
        task.check(trial.n_originals, trial.fill_to, trial.n_folds)
    path = str(stored(task, folder).absolute())
    return [
        Cell(
            repeated,
            Repeat(path, replace(trial, n_repeats=1), classifier, number, source, fold),
            f"filled to {trial.fill_to}, repeat {number + 1}"
            + ("" if fold is None else f", fold {fold + 1}"),
        )
        for number in range(max(trial.n_repeats for trial in trials))
        for trial in trials
        for fold in (range(trial.n_folds) if classifier.fine_tuned else (None,))
    ]


def repeated(config: Repeat) -> pd.DataFrame:
    """The folds of one repeat, or one of them, as records."""
    task = _restored(config.task)
    learner = config.classifier.learner()
    found = evaluate.repeated(task, config.trial, learner, config.number, fold=config.fold)
    frame = pd.DataFrame(found).rename(columns=_COLUMNS)
    return records.validate(
        frame.assign(
            study=STUDY,
            source=config.source,
            setting=task.name,
            n_real=frame["n_min"] + len(task.others),
            n_max=int(task.others["label"].value_counts().max()),
            n_oversampled=config.trial.fill_to - frame["n_min"],
        )
    )


def folds(frame: pd.DataFrame, trial: Trial) -> pd.DataFrame:
    """The folds of a trial, as :func:`~opal.bridge.text.impute.evaluate.evaluate` gives them.

    ``frame`` are records of all cells.
    """
    own = frame[frame["n_min"] + frame["n_oversampled"] == trial.fill_to]
    names = {there: name for name, there in _COLUMNS.items()}
    kept = own[[*names, *_FOLD]].rename(columns=names).reset_index(drop=True)
    return kept.astype(dict.fromkeys(_COLUMNS, "int64"))


def stored(task: Task, folder: Path) -> Path:
    """Write the texts of a task to a file that is named by its content."""
    parts = {"originals": task.originals, "spare": task.spare, "others": task.others}
    groups = {"synthetic": task.synthetic, "fixed": task.fixed}
    content: dict[str, Any] = {name: _rows(frame) for name, frame in parts.items()}
    content |= {
        kind: {name: _rows(each) for name, each in by.items()} for kind, by in groups.items()
    }
    content |= {"name": task.name, "category": task.category}
    content["ssmba"] = None if task.ssmba is None else _rows(task.ssmba)
    text = json.dumps(content, ensure_ascii=False)
    path = folder / f"task-{digest(text)[:20]}.json"
    write_text(path, text)
    return path


@lru_cache(maxsize=2)
def _restored(path: str) -> Task:
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    parts = {name: _frame(content[name]) for name in ("originals", "spare", "others")}
    return Task(
        content["name"],
        content["category"],
        **parts,
        synthetic=_frames(content["synthetic"]),
        fixed=_frames(content["fixed"]),
        ssmba=None if content["ssmba"] is None else _frame(content["ssmba"]),
    )


def _rows(frame: pd.DataFrame) -> dict[str, list[Any]]:
    return {str(name): frame[name].tolist() for name in frame}


def _frame(rows: Mapping[str, list[Any]]) -> pd.DataFrame:
    return pd.DataFrame({**rows, "seeds": pd.Series(map(tuple, rows["seeds"]), dtype=object)})


def _frames(by: Mapping[str, Mapping[str, list[Any]]]) -> dict[str, pd.DataFrame]:
    return {name: _frame(rows) for name, rows in by.items()}
