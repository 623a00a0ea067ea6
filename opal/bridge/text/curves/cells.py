"""Evaluations as independent cells: one for each corpus, encoder and seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from opal.bridge.text import corpora
from opal.bridge.text.corpora import TextCorpus
from opal.runner import Cell

if TYPE_CHECKING:
    import pandas as pd

    from opal.bridge.text.curves.evaluate import Settings


@dataclass(frozen=True)
class Named:
    """One seed of a corpus that has a name.

    Attributes:
        corpus: its name.
        seed: of base texts, orders and folds.
        settings: how it is evaluated.
    """

    corpus: str
    seed: int
    settings: Settings

    def load(self) -> TextCorpus:
        """The corpus, read once a process."""
        return _named(self.corpus)


@dataclass(frozen=True)
class Own:
    """One seed of a file of one's own (:mod:`opal.bridge.text.curves.own`).

    Attributes:
        file: labelled texts.
        test: more of them to test on; part of the file if None.
        synthetic: files of texts that a model wrote.
        digest: of all files, so that a changed file is evaluated again.
        columns: names of the columns text, label, attribute, seed, source, id; None to guess.
        seed: of base texts, orders and folds.
        settings: how it is evaluated.
    """

    file: str
    test: str | None
    synthetic: tuple[str, ...]
    digest: str
    columns: tuple[str | None, ...]
    seed: int
    settings: Settings

    def load(self) -> TextCorpus:
        """The corpus, read once a process."""
        return _own(self.file, self.test, self.synthetic, self.columns, self.digest)


def of_corpora(names: tuple[str, ...], settings: Settings, seeds: int) -> list[Cell]:
    """Cells of named corpora.

    Raises:
        UnknownNameError: there is no such corpus.
        ValueError: a corpus cannot be had here; says why.
    """
    for name in names:
        if (why := corpora.unavailable(name)) is not None:
            raise ValueError(f"corpus {name!r} cannot be had here: {why}")
    chosen = [Named(name, seed, settings) for name in names for seed in range(seeds)]
    return [
        Cell(evaluated, each, f"{each.corpus} {settings.encoder} seed {each.seed}")
        for each in chosen
    ]


def of_file(
    file: Path,
    test: Path | None,
    columns: tuple[str | None, ...],
    settings: Settings,
    seeds: int,
    synthetic: tuple[Path, ...] = (),
) -> list[Cell]:
    """Cells of a file of one's own; files are read at once, so that refusals come first.

    Args:
        file: labelled texts.
        test: texts to test on.
        columns: names of the columns text, label, attribute, seed, source, id; None to guess.
        settings: how the texts are evaluated.
        seeds: number of cells.
        synthetic: files of texts that a model wrote.

    Raises:
        ValueError: a file cannot be read, or holds too little.
    """
    every = [file, *([test] if test is not None else []), *synthetic]
    for each in every:
        if not each.is_file():
            raise ValueError(f"labelled texts are read from a file; there is none at {each}.")
    parts = [hashlib.sha256(each.read_bytes()).digest() for each in every]
    own = Own(
        str(file.absolute()),
        str(test.absolute()) if test is not None else None,
        tuple(str(each.absolute()) for each in synthetic),
        hashlib.sha256(b"".join(parts)).hexdigest(),
        columns,
        0,
        settings,
    )
    own.load()
    chosen = [replace(own, seed=seed) for seed in range(seeds)]
    return [Cell(evaluated, each, f"{file.name} seed {each.seed}") for each in chosen]


def evaluated(config: Named | Own) -> pd.DataFrame:
    """Records of one seed."""
    from opal.bridge.text.curves.evaluate import evaluate

    return evaluate(config.load(), config.seed, config.settings)


@lru_cache(maxsize=2)
def _named(name: str) -> TextCorpus:
    return corpora.load(name)


@lru_cache(maxsize=1)
def _own(
    file: str,
    test: str | None,
    synthetic: tuple[str, ...],
    columns: tuple[str | None, ...],
    digest: str,
) -> TextCorpus:
    from opal.bridge.text.curves import own

    del digest  # a file that has changed is another one
    frame, held_out = own.read(file, test, synthetic, columns)
    return own.corpus(frame, held_out, name=Path(file).stem)
