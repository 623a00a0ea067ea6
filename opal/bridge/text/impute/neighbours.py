"""SSMBA's texts for a task, from a masked language model or one that is grown for it."""

from __future__ import annotations

import math
from dataclasses import replace

from opal.bridge.text.corpora import TextCorpus
from opal.bridge.text.impute import imputation
from opal.bridge.text.impute.imputation import Task
from opal.bridge.text.impute.imputing import Trial
from opal.bridge.text.impute.ssmba import Ssmba
from opal.bridge.text.training import masked
from opal.bridge.text.training.masked import Growing

GROWN = "grown"
"""Stands for a model's folder: it is grown on texts of the corpus that nothing else uses."""


def with_neighbours(
    task: Task,
    trial: Trial,
    model: str,
    corpus: TextCorpus | None = None,
    growing: Growing | None = None,
) -> Task:
    """The task with SSMBA's texts: as many of each original as fill the class from the fewest.

    Args:
        task: without them.
        trial: how it will be tried.
        model: folder or hub name of a masked language model, or :data:`GROWN`.
        corpus: that the task is of; a model grows on its texts.
        growing: how.

    Raises:
        ImportError: the extra ``text`` is not installed.
        OSError: there is no such model.
        ValueError: it is no masked language model, or there is nothing to grow one on.
    """
    chosen, notes = Ssmba(model), task.notes
    if model == GROWN:
        if corpus is None:
            raise ValueError(
                "a masked language model grows on texts of a corpus that are not tried; a file has "
                "none. Name the folder of a model."
            )
        grown = masked.grow(outside(corpus, task, trial), growing, seed=trial.seed)
        chosen = Ssmba.of(GROWN, grown.words, grown.model)
        notes = (*notes, grown.told())
    fewest = min(trial.n_originals)
    n_each = math.ceil((trial.fill_to - fewest) / fewest)
    made = chosen.augment(task.originals, n_each, seed=trial.seed)
    return replace(task, ssmba=made, notes=notes)


def outside(corpus: TextCorpus, task: Task, trial: Trial) -> list[str]:
    """Human texts of a corpus that are in no data set of a trial, nor among its test texts."""
    used = set(task.originals["id"]) | set(task.others["id"])
    for repeat in range(trial.n_repeats):
        key = trial.key(task.name, repeat)
        used |= set(imputation.draw(task, trial.fill_to, key=key).frame["id"])
    human = corpus.apart().human.drop_duplicates("id")
    return human.loc[~human["id"].isin(used), "text"].tolist()
