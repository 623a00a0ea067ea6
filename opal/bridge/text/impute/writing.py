"""Texts of a small class from a language model, enough for cross-validation by lineage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from opal.bridge.llm import report
from opal.bridge.llm.command import Asking
from opal.bridge.llm.request import WrittenSample
from opal.bridge.prompts.common import N_EXAMPLES
from opal.bridge.prompts.text import TextPrompter
from opal.bridge.text import texts
from opal.bridge.text.impute.imputation import Task
from opal.bridge.text.impute.imputing import Trial

_SPARE = 1.1


def quota(trial: Trial, n_original: int, *, fixed: bool) -> int:
    """Texts to ask for so that every fold can be filled.

    In K folds (1 − 1/K) of the fill is trained on, by texts of whose five seeds none is held out: a
    share of ``(1 − 1/K)⁵`` of them, and a tenth to spare. Texts of fixed seeds are in or out
    together.
    """
    missing = trial.fill_to - n_original
    share = (1 - 1 / trial.n_folds) ** (N_EXAMPLES - 1)
    return missing if fixed else math.ceil(_SPARE * missing / share)


def written(
    asking: Asking, task: Task, trial: Trial, description: str | None
) -> tuple[Task, dict[str, Any]]:
    """The task with a model's texts, and an account; without texts if none was to be asked yet.

    Args:
        asking: the flags of the command; --fixed-seeds asks for a second set.
        task: whose originals are shown.
        trial: that the texts are for.
        description: what the class means, or None.

    Raises:
        ValueError: a rule of asking is broken, before anything is spent.
    """
    n = len(task.originals)
    told: dict[str, Any] = {}
    pools: list[Mapping[str, pd.DataFrame]] = []
    meant = {task.category: description} if description else None
    # All writers are made before the first is asked: each may refuse the texts.
    writers = [
        (fixed, _writer(asking, task, meant, fixed=fixed))
        for fixed in ((False, True) if asking.fixed_seeds else (False,))
    ]
    for fixed, writer in writers:
        wanted = {task.category: quota(trial, n, fixed=fixed)}
        kind = _elsewhere(asking, fixed=fixed)
        answered = kind.ask(writer, wanted, {task.category: n})
        told = told | {"fixed_seeds": answered.result} if fixed else answered.result
        if answered.samples:
            _write(kind, answered.samples, answered.prompts)
            pools.append({answered.samples[0].model: _table(answered.samples)})
    if len(pools) < len(writers):
        return task, told
    return replace(task, synthetic=pools[0], fixed=pools[1] if len(pools) > 1 else {}), told


def _writer(
    asking: Asking, task: Task, meant: Mapping[str, str] | None, *, fixed: bool
) -> TextPrompter:
    return TextPrompter(
        task.originals,
        asking.settings(),
        key=asking.seed,
        descriptions=meant,
        fixed_seeds=fixed,
    )


def _elsewhere(asking: Asking, *, fixed: bool) -> Asking:
    """The flags with a file of its own for the texts of fixed seeds."""
    if not fixed:
        return asking
    beside = asking.out.with_stem(f"{asking.out.stem}-fixed-seeds")
    batch = asking.batch_out and asking.batch_out.with_stem(f"{asking.batch_out.stem}-fixed-seeds")
    return replace(asking, out=beside, batch_out=batch)


def _table(samples: Sequence[WrittenSample]) -> pd.DataFrame:
    return texts.table(
        [sample.content for sample in samples],
        [sample.group for sample in samples],
        source=samples[0].model,
        seeds=[dict.fromkeys(sample.seeds) for sample in samples],
    )


def _write(asking: Asking, samples: Sequence[WrittenSample], prompts: report.Prompts) -> None:
    """The samples as a table of texts, one a line, with their lineage."""
    lines = [
        report.line(
            sample,
            prompts,
            id=texts.identity(str(sample.content)),
            text=sample.content,
            label=sample.group,
            source=sample.model,
        )
        for sample in samples
    ]
    report.write_lines(asking.out, lines)
