"""Corpora of labelled texts with synthetic texts beside them: four published ones, and a grammar.

The published ones are those of "The Parrot Dilemma" (Møller et al., EACL 2024): human texts, and
about nine texts that GPT-4 and Llama-2-70B made of each of a few hundred of them. They are read as
they were published; what one must know about them is in :attr:`TextCorpus.notes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from opal import names as known_names
from opal.bridge import download
from opal.bridge.text import texts
from opal.reading import read_strings

DEFAULT = "grammar"
# What is classified: in ten-dim a sentence, whose column "text" is the paragraph around it.
_TEXT_COLUMNS: Mapping[str, str] = {
    "hypo-l": "text",
    "sentiment": "text",
    "ten-dim": "h_text",
    "crowdflower": "text",
}
_SOURCES: Mapping[str, str] = {
    "gpt-4": "balanced_gpt-4_augmented.json",
    "llama-2-70b": "balanced_llama-2-70b_augmented.json",
}
# Each pair of tables is compared once; synthetic texts with all human ones.
_COMPARED: Mapping[str, tuple[str, ...]] = {
    "base": ("test",),
    "human": ("base", "test"),
    "test": (),
}


@dataclass(frozen=True)
class TextCorpus:
    """Tables of texts (:mod:`opal.bridge.text.texts`) of one task.

    Attributes:
        name: of the corpus.
        labels: all classes, sorted.
        base: the few human texts that synthetic ones were made from.
        human: more human texts, to compare with.
        test: human texts to test on.
        synthetic: the texts of each source; their seeds are base texts.
        notes: what one must know before one trusts a number: overlaps, repetitions, omissions.
    """

    name: str
    labels: tuple[str, ...]
    base: pd.DataFrame
    human: pd.DataFrame
    test: pd.DataFrame
    synthetic: Mapping[str, pd.DataFrame]
    notes: tuple[str, ...] = ()

    def apart(self) -> TextCorpus:
        """The corpus without what leaks: train on this one.

        No text of ``base``, ``human`` or ``synthetic`` equals a test text or was made from one, and
        none of ``human`` equals a base text.
        """
        test = frozenset(self.test["id"])
        base = _without(self.base, test)
        return replace(
            self,
            base=base,
            human=_without(self.human, test | frozenset(base["id"])),
            synthetic={name: _without(frame, test) for name, frame in self.synthetic.items()},
        )

    def tables(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """All tables with their names."""
        yield from (("base", self.base), ("human", self.human), ("test", self.test))
        yield from self.synthetic.items()


def names() -> tuple[str, ...]:
    """The corpora that :func:`load` knows."""
    return (DEFAULT, *_TEXT_COLUMNS)


def load(name: str = DEFAULT, *, key: int = 0) -> TextCorpus:
    """The corpus of that name.

    Args:
        name: one of :func:`names`.
        key: of the grammar's texts; the published ones are what they are.

    Raises:
        UnknownNameError: there is no such corpus; the message lists those there are.
        DownloadError: a file cannot be had, or is not the published one.
    """
    known_names.check("corpus of texts", [name], names())
    if name == DEFAULT:
        from opal.bridge.text.grammar import grammar_corpus

        return grammar_corpus(key)
    return _published(name)


def unavailable(name: str) -> str | None:
    """None if the corpus can be loaded here; otherwise a line that says what is missing.

    Raises:
        UnknownNameError: there is no such corpus.
    """
    known_names.check("corpus of texts", [name], names())
    return None if name == DEFAULT else download.unavailable(download.TEXTS)


def measured(corpus: TextCorpus) -> tuple[str, ...]:
    """What is repeated, contradicted or on both sides, a line each; nothing that does not occur."""
    found = [
        (table, n, len(frame), what)
        for table, frame in corpus.tables()
        for n, what in _found(corpus, table, frame)
        if n
    ]
    return tuple(f"{table}: {n} of {of} {what}" for table, n, of, what in found)


def _published(name: str) -> TextCorpus:
    column = _TEXT_COLUMNS[name]

    def read(file: str) -> pd.DataFrame:
        path: Path = download.TEXTS.path(f"data/{name}/{file}")
        return read_strings(path)

    told: list[str] = []
    human = {}
    for role in ("base", "train", "test"):
        whole = _told(read(f"{role}.json"), column, role, told)
        human[role] = texts.table(whole[column].tolist(), whole["target"].tolist())
    synthetic = {}
    for source, file in _SOURCES.items():
        whole = _told(read(file), f"augmented_{column}", source, told)
        synthetic[source] = texts.table(
            whole[f"augmented_{column}"].tolist(),
            whole["target"].tolist(),
            source=source,
            seeds=[(texts.identity(seed),) for seed in whole[column]],
        )
    labels = texts.labels(*human.values(), *synthetic.values())
    corpus = TextCorpus(name, labels, human["base"], human["train"], human["test"], synthetic)
    return replace(corpus, notes=(*told, *measured(corpus)))


def _told(rows: pd.DataFrame, column: str, table: str, told: list[str]) -> pd.DataFrame:
    """The rows that have a text and a label; how many have none is added to what is told."""
    held = pd.Series(True, index=rows.index)
    for needed in (column, "target"):
        held &= rows[needed].map(lambda value: isinstance(value, str) and bool(value.strip()))
    if not held.all():
        told.append(f"{table}: {(~held).sum()} of {len(rows)} rows without text or label left out")
    return rows[held]


def _without(frame: pd.DataFrame, held_out: frozenset[str]) -> pd.DataFrame:
    return frame[~texts.leaks(frame, held_out)].reset_index(drop=True)


def _found(corpus: TextCorpus, table: str, frame: pd.DataFrame) -> Iterator[tuple[int, str]]:
    """How many rows of a table have each of the faults that are looked for."""
    ids = frame["id"]
    n_labels = frame.groupby("id")["label"].transform("nunique")
    yield int(ids.duplicated().sum()), "repeat an earlier text"
    yield int((n_labels > 1).sum()), "occur with another label too"
    for other in _COMPARED.get(table, ("base", "human", "test")):
        yield int(ids.isin(getattr(corpus, other)["id"]).sum()), f"equal a text of {other}"
    if table not in corpus.synthetic:
        return
    seed = frame["seeds"].str[0]
    n_seeds = seed.groupby(ids).transform("nunique")
    yield int((n_seeds > 1).sum()), "were made from several seeds, word for word the same"
    yield int((~seed.isin(corpus.base["id"])).sum()), "have a seed that is not in base"
    yield int(seed.isin(corpus.test["id"]).sum()), "have a seed that is in test"
    label = corpus.base.drop_duplicates("id").set_index("id")["label"]
    strange = seed.isin(label.index) & (seed.map(label) != frame["label"])
    yield int(strange.sum()), "have a seed of another class"
