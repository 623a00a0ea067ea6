"""A small class to be filled with synthetic texts (arXiv 2504.15160), and the texts it is tried on.

One draw of a task is a data set of original texts: as many of the class as it is to be filled to,
and those of the other classes. Of the former only the first n count as at hand: the rest is what an
annotator would still have to label, and is trained on by the arm ``all_real`` alone. All arms and
all n are tested on the same held-out original texts.

:func:`of_corpus` and :func:`of_frame` are the tasks that a corpus, and a table of one's own, set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from jaxtyping import Array, Key

from opal import names
from opal.bridge.text.corpus import HUMAN, TextCorpus, labels_of, made_from, one_spelling
from opal.bridge.text.reading import LEAST
from opal.draws import as_key, named, on_host


@dataclass(frozen=True, eq=False)
class Task:
    """Texts of a class and of the others."""

    name: str  # used in records
    category: str  # the class that is filled
    originals: pd.DataFrame  # its texts that synthetic ones were made from
    spare: pd.DataFrame  # its other original texts
    others: pd.DataFrame  # originals of other classes, those that are used first in front
    synthetic: Mapping[str, pd.DataFrame] = field(default_factory=dict)  # of originals, by writer
    fixed: Mapping[str, pd.DataFrame] = field(default_factory=dict)  # likewise, of the same few
    ssmba: pd.DataFrame | None = None  # texts of :mod:`opal.bridge.text.impute.sources`
    notes: tuple[str, ...] = ()  # what was left out

    @property
    def labels(self) -> tuple[str, ...]:
        """All classes, sorted."""
        return labels_of(self.originals, self.others)

    def check(self, n_originals: tuple[int, ...], fill_to: int, n_folds: int) -> None:
        """Check what is asked of the task, before anything is spent.

        Raises:
            ValueError: there is one class only or too few texts of this one, or the numbers do not
                fit one another.
        """
        have = len(self.originals)
        if not len(self.others):
            raise ValueError(
                f"there must be texts of other classes than {self.category!r}; there are none."
            )
        if have < LEAST:
            raise ValueError(
                f"a class must have at least {LEAST} different texts; {self.category!r} has "
                f"{have}. Add texts, or choose another class."
            )
        if not n_originals:
            raise ValueError("name at least one number of originals; got none.")
        most = have + len(self.spare)
        for n in n_originals:
            if not LEAST <= n <= most:
                raise ValueError(
                    f"n_original must be {LEAST} to {most}, the original texts of "
                    f"{self.category!r}; got {n}."
                )
            if n >= fill_to:
                raise ValueError(
                    f"fill_to must exceed the number of originals, {n}; got {fill_to}: nothing is "
                    "to be filled."
                )
        if not 2 <= n_folds <= min(n_originals):
            raise ValueError(
                f"folds must be at least 2, and at most the number of originals, "
                f"{min(n_originals)}, so that each has one to test on; got {n_folds}."
            )


def draw(task: Task, fill_to: int, *, key: Key[Array, ""]) -> tuple[pd.DataFrame, int]:
    """A data set of original texts, and how many are of the class: those in front.

    They are the originals in random order, then spare texts in random order, up to the fill; the
    first n of them are at hand: spare ones too, where n exceeds the originals.
    """
    rng = on_host(named(key, "data"))
    mine = [part.iloc[rng.permutation(len(part))] for part in (task.originals, task.spare)]
    category = pd.concat(mine, ignore_index=True)[:fill_to]
    return pd.concat([category, task.others], ignore_index=True), len(category)


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
    lost = len(known.drop_duplicates("id")) - len(clear)
    notes = (f"{lost} texts that occur with two labels are left out",) if lost else ()
    return Task(
        f"{corpus.name}/{category}",
        category,
        clear[mine & base],
        clear[mine & ~base],
        _first(clear[~mine], n_others),
        {name: _of(frame, category) for name, frame in apart.synthetic.items()},
        notes=notes,
    )


def of_frame(frame: pd.DataFrame, category: str, *, name: str, n_others: int | None = None) -> Task:
    """The task that a table of one's own sets: rows with seeds are its synthetic texts.

    Rows of a writer without seeds are left out, for no fold can hold them out with their seeds.

    Raises:
        UnknownNameError: there is no such class.
        ValueError: an original text occurs twice, be it in another spelling, labels look alike, or
            no synthetic text was made from originals of the class.
    """
    names.check("class", [category], labels_of(frame))
    (frame,) = one_spelling(frame)
    made = np.array([bool(seeds) for seeds in frame["seeds"]], dtype=bool)
    unknown = ~made & (frame["source"] != HUMAN).to_numpy()
    original, synthetic = frame[~made & ~unknown], frame[made]
    again = int(original["id"].duplicated().sum())
    if again:
        first = original[original["id"].duplicated()]["text"].iloc[0]
        raise ValueError(
            f"each original text must be there once; {again} of {len(original)} repeat another, "
            f"such as {first[:60]!r}. Drop them (--drop-duplicates)."
        )
    mine = original["label"] == category
    others = _first(original[~mine], n_others)
    own = _of(synthetic, category)
    if len(synthetic) and own.empty:
        there = ", ".join(map(repr, synthetic["label"].unique()))
        raise ValueError(
            f"the class that is filled must have synthetic texts; {category!r} has none. Name one "
            f"that has (--class): {there}."
        )
    by_source = {str(source): each.reset_index(drop=True) for source, each in own.groupby("source")}
    lost = int((unknown & (frame["label"] == category)).sum())
    notes = [f"{lost} synthetic texts without known seeds are left out"] if lost else []
    absent = int((~made_from(own, original["id"][mine])).sum())
    if absent and absent == len(own):
        raise ValueError(
            f"synthetic texts must have seeds among the originals of {category!r}; of {len(own)} "
            "none has. Name the column that says what they were made from (--seed-column), or give "
            "the texts that they were made from."
        )
    if absent:
        notes.append(
            f"{absent} of {len(own)} synthetic texts were made from texts that are not among the "
            f"originals of {category!r}, and are left out"
        )
    return Task(name, category, original[mine], original[:0], others, by_source, notes=tuple(notes))


def reduced(task: Task, n: int, *, seed: int = 0) -> Task:
    """The task with n originals at hand, drawn once; the others are spare."""
    rng = on_host(named(as_key(seed), f"at hand {task.name}"))
    order = task.originals.iloc[rng.permutation(len(task.originals))]
    return replace(task, originals=order[:n], spare=pd.concat([order[n:], task.spare]))


def _first(others: pd.DataFrame, n: int | None) -> pd.DataFrame:
    return others if n is None else others.groupby("label").head(n)


def _of(frame: pd.DataFrame, category: str) -> pd.DataFrame:
    return frame[frame["label"] == category].reset_index(drop=True)
