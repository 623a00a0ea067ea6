"""The corpora that are known by name: four published ones, and a grammar's.

The published ones are those of "The Parrot Dilemma" (Møller et al., EACL 2024): human texts, and
about nine texts that GPT-4 and Llama-2-70B made of each of a few hundred of them. They are read as
they were published; what one must know about them is in :attr:`TextCorpus.notes`.

The grammar's is always at hand: its sentences, and those of two writers of known quality. Its laws
are finite (:class:`opal.settings.grammar.Grammar`): the error of the best rule, and the bias of
each writer, given the base texts at hand too, are exact sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Array, Key

from opal import names as known_names
from opal.bridge import download
from opal.bridge.prompts.common import identity
from opal.bridge.text.corpus import HUMAN, TextCorpus, faults, labels_of, text_table
from opal.draws import as_key, named, on_host
from opal.reading import read_strings
from opal.settings.grammar import Grammar
from opal.synthesis.writer import Writer

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
GRAMMAR = Grammar.reviews()
_NEUTRAL = (("plain", "busy", "quiet"), ("fresh", "polite", "pleasant"))
WRITERS: Mapping[str, Writer] = {
    "faithful": Writer(confusion=0.02, echo=0.3, name="faithful"),
    "biased": Writer(
        confusion=0.15,
        favour=0.35,
        favourites=_NEUTRAL,
        rebuild=0.8,
        link=0.95,
        echo=0.2,
        name="biased",
    ),
}
SHARES = (0.25, 0.75)
"""Of the classes in base and human texts; synthetic and test texts are as many of each group."""
N_BASE, N_HUMAN = 240, 4000
PER_GROUP_TEST, PER_GROUP_SYNTHETIC = 500, 1000


def names() -> tuple[str, ...]:
    """The corpora that :func:`load_corpus` knows."""
    return (DEFAULT, *_TEXT_COLUMNS)


def load_corpus(name: str = DEFAULT, *, key: int = 0) -> TextCorpus:
    """The corpus of a name of :func:`names`; ``key`` is that of the grammar's texts.

    Raises:
        UnknownNameError: there is no such corpus; the message lists those there are.
        DownloadError: a file cannot be had, or is not the published one.
    """
    known_names.check("corpus of texts", [name], names())
    return grammar_corpus(key) if name == DEFAULT else _published(name)


def unavailable(name: str) -> str | None:
    """None if the corpus can be loaded here; otherwise a line that says what is missing.

    Raises:
        UnknownNameError: there is no such corpus.
    """
    known_names.check("corpus of texts", [name], names())
    return None if name == DEFAULT else download.availability(download.TEXTS)


def grammar_corpus(
    key: int | Key[Array, ""] = 0,
    *,
    writers: Mapping[str, Writer] = WRITERS,
    per_group_test: int = PER_GROUP_TEST,
) -> TextCorpus:
    """The corpus of a key.

    The attribute of a synthetic text is the one that its writer was asked for. Its seed is drawn
    from the base texts of its class and attribute, with replacement.

    Args:
        key: of all texts.
        writers: of the synthetic texts, by name.
        per_group_test: test texts of each class and attribute.
    """
    root = named(as_key(key), "grammar corpus")
    meanings, groups = _drawn(root, per_group_test)
    asked = np.repeat(np.arange(GRAMMAR.n_groups), PER_GROUP_SYNTHETIC)
    picked = {}
    for name, writer in writers.items():
        picked[name] = _seeds(groups["base"], asked, named(root, f"seeds {name}"))
        seeds = meanings["base"][picked[name]]
        meanings[name] = writer.rewrite(GRAMMAR, seeds, asked, key=named(root, name))
        groups[name] = asked
    every = np.concatenate(list(meanings.values()))
    said = GRAMMAR.sentences(every, key=named(root, "sentences"))
    frames: dict[str, pd.DataFrame] = {}
    for name, group in groups.items():
        own, said = said[: len(group)], said[len(group) :]
        known = [GRAMMAR.groups[g] for g in group]
        frames[name] = text_table(
            own,
            [GRAMMAR.labels[each.label] for each in known],
            source=name if name in writers else HUMAN,
            seeds=[(frames["base"]["id"][i],) for i in picked[name]] if name in writers else None,
            attribute=[GRAMMAR.attributes[each.attribute or 0] for each in known],
        )
    mixed = {}
    for name, frame in frames.items():
        order = on_host(named(named(root, name), "order")).permutation(len(frame))
        mixed[name] = frame.iloc[order].reset_index(drop=True)
    base, human, test = (mixed.pop(name) for name in ("base", "human", "test"))
    corpus = TextCorpus(DEFAULT, tuple(sorted(GRAMMAR.labels)), base, human, test, mixed)
    return replace(corpus, notes=faults(corpus))


def _published(name: str) -> TextCorpus:
    column = _TEXT_COLUMNS[name]
    told: list[str] = []

    def read(file: str, text: str, table: str) -> pd.DataFrame:
        return _told(read_strings(download.TEXTS.path(f"data/{name}/{file}")), text, table, told)

    human = {}
    for role in ("base", "train", "test"):
        whole = read(f"{role}.json", column, role)
        human[role] = text_table(whole[column].tolist(), whole["target"].tolist())
    synthetic = {}
    for source, file in _SOURCES.items():
        whole = read(file, f"augmented_{column}", source)
        synthetic[source] = text_table(
            whole[f"augmented_{column}"].tolist(),
            whole["target"].tolist(),
            source=source,
            seeds=[(identity(seed),) for seed in whole[column]],
        )
    labels = labels_of(*human.values(), *synthetic.values())
    corpus = TextCorpus(name, labels, human["base"], human["train"], human["test"], synthetic)
    return replace(corpus, notes=(*told, *faults(corpus)))


def _told(rows: pd.DataFrame, column: str, table: str, told: list[str]) -> pd.DataFrame:
    """The rows that have a text and a label; how many have none is added to what is told."""
    held = pd.Series(True, index=rows.index)
    for needed in (column, "target"):
        held &= rows[needed].map(lambda value: isinstance(value, str) and bool(value.strip()))
    if not held.all():
        told.append(f"{table}: {(~held).sum()} of {len(rows)} rows without text or label left out")
    return rows[held]


def _drawn(
    key: Key[Array, ""], per_group_test: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Meanings and groups of base, human and test texts: three parts of one draw."""
    sizes = {
        "base": GRAMMAR.counts(N_BASE, SHARES),
        "human": GRAMMAR.counts(N_HUMAN, SHARES),
        "test": [per_group_test] * GRAMMAR.n_groups,
    }
    by_group = np.stack(list(sizes.values()), axis=1)
    drawn = GRAMMAR.draw(by_group.sum(axis=1).tolist(), key=key)
    group = np.repeat(np.arange(GRAMMAR.n_groups), by_group.sum(axis=1))
    part = np.repeat(np.tile(list(sizes), GRAMMAR.n_groups), by_group.ravel())
    inside = {name: part == name for name in sizes}
    return (
        {name: drawn[rows] for name, rows in inside.items()},
        {name: group[rows] for name, rows in inside.items()},
    )


def _seeds(base: np.ndarray, asked: np.ndarray, key: Key[Array, ""]) -> np.ndarray:
    """For each text asked for, the row of a base text of its group."""
    order = np.argsort(base, kind="stable")
    sizes = np.bincount(base, minlength=GRAMMAR.n_groups)
    starts = np.cumsum(sizes) - sizes
    within = on_host(key).random(len(asked)) * sizes[asked]
    return order[starts[asked] + np.floor(within).astype(int)]
