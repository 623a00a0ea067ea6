"""The tasks of imputation that corpora and tables of one's own set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from opal import names
from opal.bridge.text.corpora import TextCorpus
from opal.bridge.text.impute.imputation import Task
from opal.draws import as_key, named, on_host


def of_corpus(corpus: TextCorpus, category: str, *, n_others: int | None) -> Task:
    """The task that a corpus with synthetic texts sets.

    Base texts of the class are its originals, its human texts are spare. Texts that occur with two
    labels are left out, and so is what leaks from or into the corpus's test texts.

    Args:
        corpus: as published.
        category: a class of it.
        n_others: texts of each other class, at most, base texts first; None for all.

    Raises:
        UnknownNameError: there is no such class.
    """
    names.check("class", [category], corpus.labels)
    apart = corpus.apart()
    known = pd.concat([apart.base, apart.human], ignore_index=True)
    clear = known[known.groupby("id")["label"].transform("nunique") == 1].drop_duplicates("id")
    mine, base = clear["label"] == category, clear["id"].isin(frozenset(apart.base["id"]))
    others = clear[~mine]
    if n_others is not None:
        others = others[others.groupby("label").cumcount() < n_others]
    lost = len(known.drop_duplicates("id")) - len(clear)
    notes = (f"{lost} texts that occur with two labels are left out",) if lost else ()
    return Task(
        f"{corpus.name}/{category}",
        category,
        clear[mine & base],
        clear[mine & ~base],
        others,
        {name: _of(frame, category) for name, frame in apart.synthetic.items()},
        notes=notes,
    )


def of_frame(frame: pd.DataFrame, category: str, *, name: str, n_others: int | None = None) -> Task:
    """The task that a table of one's own sets: rows with seeds are its synthetic texts.

    Raises:
        UnknownNameError: there is no such class.
        ValueError: an original text occurs twice.
    """
    names.check("class", [category], frame["label"].unique())
    made = np.array([bool(seeds) for seeds in frame["seeds"]], dtype=bool)
    original, synthetic = frame[~made], frame[made]
    again = int(original["id"].duplicated().sum())
    if again:
        first = original[original["id"].duplicated()]["text"].iloc[0]
        raise ValueError(
            f"each original text must be there once; {again} of {len(original)} repeat another, "
            f"such as {first[:60]!r}. Drop them (--drop-duplicates)."
        )
    mine = original["label"] == category
    others = original[~mine]
    if n_others is not None:
        others = others[others.groupby("label").cumcount() < n_others]
    by_source = {str(source): _of(each, category) for source, each in synthetic.groupby("source")}
    return Task(name, category, original[mine], original[:0], others, by_source)


def reduced(task: Task, n: int, *, seed: int = 0) -> Task:
    """The task with n originals at hand, drawn once; the others are spare."""
    rng = on_host(named(as_key(seed), f"at hand {task.name}"))
    order = task.originals.iloc[rng.permutation(len(task.originals))]
    return replace(task, originals=order[:n], spare=pd.concat([order[n:], task.spare]))


def _of(frame: pd.DataFrame, category: str) -> pd.DataFrame:
    return frame[frame["label"] == category].reset_index(drop=True)
