"""A corpus made of texts of one's own: a table, or files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from opal import names
from opal.bridge.text import reading, texts
from opal.bridge.text.corpora import TextCorpus, measured
from opal.draws import as_key, named, on_host
from opal.reading import read_strings

TESTED = 1 / 3
"""Share of the human texts of each class that are tested on where no test texts are given."""


def corpus(
    frame: pd.DataFrame, test: pd.DataFrame | None = None, *, name: str = "own", key: int = 0
) -> TextCorpus:
    """Base, human, test and synthetic texts of a table.

    Base texts are those that a synthetic text was made from, and those of classes without synthetic
    texts; where there are none, half of the human texts that are not tested on. All other human
    texts can be added.

    Args:
        frame: texts of humans, and of generators if there are any.
        test: human texts to test on; a third of the table's, at random, if None.
        name: of the corpus.
        key: chooses test and base texts.

    Raises:
        ValueError: too few human texts, or a test text of a class that the table lacks.
    """
    human = frame[frame["source"] == texts.HUMAN]
    rest = frame[frame["source"] != texts.HUMAN]
    rng = on_host(named(as_key(key), "own texts"))
    if test is None:
        chosen = _share(human, TESTED, rng)
        test, human = human[chosen], human[~chosen]
    seeds = {seed for made in rest["seeds"] for seed in made}
    is_base = human["id"].isin(seeds).to_numpy()
    if is_base.any():
        is_base = is_base | ~human["label"].isin(human["label"][is_base]).to_numpy()
    else:
        is_base = _share(human, 0.5, rng)
    base, more = human[is_base], human[~is_base]
    _require(base, test)
    synthetic = {
        str(source): each.reset_index(drop=True) for source, each in rest.groupby("source")
    }
    base, more, test = (each.reset_index(drop=True) for each in (base, more, test))
    labels = texts.labels(base, more, test, *synthetic.values())
    found = TextCorpus(name, labels, base, more, test, synthetic)
    unknown = tuple(
        f"{source}: no text says what it was made from, so that nothing can be held out with it"
        for source, each in synthetic.items()
        if not any(each["seeds"])
    )
    return replace(found, notes=(*unknown, *measured(found)))


def read(
    file: str, test: str | None, synthetic: Sequence[str], columns: Sequence[str | None]
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The texts of files: those to train on, with the synthetic ones, and those to test on.

    Args:
        file: labelled texts.
        test: texts to test on.
        synthetic: files of texts that a model wrote: the one that the file says, or one of the
            file's name.
        columns: names of the columns text, label, attribute, seed, source, id, in those files that
            have them; None to guess.

    Raises:
        ValueError: a file is unfit, no file has a column, or a synthetic text is called human.
    """
    paths = [file, *([test] if test is not None else []), *synthetic]
    there = {path: [str(name) for name in read_strings(Path(path)).columns] for path in paths}
    every = dict.fromkeys(name for found in there.values() for name in found)
    for wanted in columns:
        if wanted is not None and wanted not in every:
            raise names.unknown("column", wanted, every)

    frames = {
        path: reading.read(
            path,
            reading.Columns(*(name if name in there[path] else None for name in columns)),
            source=Path(path).stem if path in synthetic else texts.HUMAN,
            n_classes=2 if path == file else 1,
        )
        for path in paths
    }
    for path in synthetic:
        if (frames[path]["source"] == texts.HUMAN).any():
            raise ValueError(
                f"texts of --synthetic are a model's; {path} calls some of them {texts.HUMAN!r}. "
                "Rename the file, or put human texts into --file."
            )
    _same_attributes(frames, columns[2])
    held_out = None if test is None else frames[test]
    return pd.concat([frames[path] for path in (file, *synthetic)], ignore_index=True), held_out


def _same_attributes(frames: dict[str, pd.DataFrame], wanted: str | None) -> None:
    """Groups have an attribute where all files do; one that is asked for must be in all."""
    lacking = [path for path, frame in frames.items() if texts.ATTRIBUTE not in frame]
    if lacking and wanted is not None:
        raise ValueError(
            f"all files need the attribute; {lacking[0]} has no column {wanted!r}. Add it, or "
            "leave --attribute-column out."
        )
    if lacking:
        for path, frame in frames.items():
            frames[path] = frame.drop(columns=texts.ATTRIBUTE, errors="ignore")


def _share(frame: pd.DataFrame, share: float, rng: np.random.Generator) -> np.ndarray:
    """A share of each class's different texts, with all their repetitions [n]."""
    chosen: set[str] = set()
    for _, ids in frame.drop_duplicates("id").groupby("label")["id"]:
        chosen.update(rng.permutation(ids.to_numpy())[: round(share * len(ids))])
    return frame["id"].isin(chosen).to_numpy()


def _require(base: pd.DataFrame, test: pd.DataFrame) -> None:
    """Every class that is tested needs base texts to be trained on, and be folded."""
    counts = base.drop_duplicates("id")["label"].value_counts()
    for label in texts.labels(base, test):
        if counts.get(label, 0) < 2:
            raise ValueError(
                f"every class needs two different base texts, which synthetic texts were made "
                f"from; {label!r} has {counts.get(label, 0)}. Give more human texts of it, or "
                "leave it out."
            )
