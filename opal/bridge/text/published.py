"""The corpora that are known by name: five published ones, and a grammar's.

The published ones are those of "The Parrot Dilemma" (Møller et al., EACL 2024): human texts, and
about nine texts that GPT-4 and Llama-2-70B made of each of a few hundred of them. They are read as
they were published; what one must know about them is in :attr:`TextCorpus.notes`. ``hate-speech``
is Danish: DKHATE (Sigurbergsson and Derczynski, LREC 2020, CC BY 4.0), with texts of GPT-4 alone.

The grammar's is always at hand: its sentences, and those of two writers of known quality. Its laws
are finite (:class:`opal.settings.grammar.Grammar`): the error of the best rule, and the bias of
each writer, given the base texts at hand too, are exact sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import pandas as pd
from jaxtyping import Array, Key

from opal import names as known_names
from opal.bridge import download
from opal.bridge.prompts.common import identity
from opal.bridge.resampling import LEVEL
from opal.bridge.text.corpus import (
    HUMAN,
    TextCorpus,
    faults,
    labels_of,
    one_spelling,
    text_table,
)
from opal.draws import as_key, named, on_host
from opal.reading import read_strings
from opal.settings.grammar import Grammar
from opal.synthesis.writer import Writer

DEFAULT = "grammar"


@dataclass(frozen=True)
class _Layout:
    """How a published corpus is laid out."""

    column: str = "text"  # what is classified
    writers: tuple[str, ...] = ("gpt-4", "llama-2-70b")
    language: str = "en"  # ISO 639-1


_PUBLISHED: Mapping[str, _Layout] = {
    "hypo-l": _Layout(),
    "sentiment": _Layout(),
    "ten-dim": _Layout("h_text"),  # a sentence; the column "text" is the paragraph around it
    "crowdflower": _Layout(),
    "hate-speech": _Layout("tweet", ("gpt-4",), "da"),
}
ENGLISH = tuple(name for name, each in _PUBLISHED.items() if each.language == "en")
"""The published corpora whose texts are English."""
_FEW_TESTED = 50
"""Test texts of a class below which it is told how little they say."""
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
    return (DEFAULT, *_PUBLISHED)


def language(name: str) -> str:
    """The language of a corpus, as ISO 639-1 spells it.

    Raises:
        UnknownNameError: there is no such corpus.
    """
    known_names.check("corpus of texts", [name], names())
    return _PUBLISHED[name].language if name in _PUBLISHED else "en"


def load_corpus(name: str = DEFAULT, *, key: int = 0, hold_out: int = 0) -> TextCorpus:
    """The corpus of a name of :func:`names`.

    Args:
        name: of the corpus.
        key: of the grammar's texts.
        hold_out: human texts of a published corpus that are tested on too instead of being added,
            always the same ones: for test sets that are too small to judge by.

    Raises:
        UnknownNameError: there is no such corpus; the message lists those there are.
        DownloadError: a file cannot be had, or is not the published one.
        ValueError: there are not as many human texts to hold out.
    """
    known_names.check("corpus of texts", [name], names())
    if name != DEFAULT:
        return _published(name, hold_out)
    if hold_out:
        raise ValueError(
            f"--hold-out is of published corpora; the grammar has {PER_GROUP_TEST} test texts of "
            f"each group. Leave it out; got {hold_out}."
        )
    return grammar_corpus(key)


def unavailable(name: str) -> str | None:
    """None if the corpus can be loaded here; otherwise a line that says what is missing.

    Raises:
        UnknownNameError: there is no such corpus.
    """
    known_names.check("corpus of texts", [name], names())
    return None if name == DEFAULT else download.availability(download.TEXTS, f"data/{name}/")


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


def _published(name: str, hold_out: int) -> TextCorpus:
    layout = _PUBLISHED[name]
    column = layout.column
    told: list[str] = []

    def read(file: str, text: str, table: str) -> pd.DataFrame:
        return _told(read_strings(download.TEXTS.path(f"data/{name}/{file}")), text, table, told)

    human = {}
    for role in ("base", "train", "test"):
        whole = read(f"{role}.json", column, role)
        human[role] = text_table(whole[column].tolist(), whole["target"].tolist())
    if hold_out:
        human |= _held_out(human, hold_out)
        told.append(f"test: {hold_out} of its texts are of train.json, and are not added")
    synthetic = {}
    for source in layout.writers:
        whole = read(f"balanced_{source}_augmented.json", f"augmented_{column}", source)
        synthetic[source] = text_table(
            whole[f"augmented_{column}"].tolist(),
            whole["target"].tolist(),
            source=source,
            seeds=[(identity(seed),) for seed in whole[column]],
        )
    labels = labels_of(*human.values(), *synthetic.values())
    corpus = TextCorpus(name, labels, human["base"], human["train"], human["test"], synthetic)
    return replace(corpus, notes=(*told, *_few_tested(human["test"]), *faults(corpus)))


def _held_out(human: Mapping[str, pd.DataFrame], n: int) -> dict[str, pd.DataFrame]:
    """Training texts without n that are drawn once, and test texts with them."""
    base, train, test = one_spelling(human["base"], human["train"], human["test"])
    different = train.drop_duplicates("id")
    free = different[~different["id"].isin({*base["id"], *test["id"]})]
    if not 0 < n <= len(free):
        raise ValueError(
            f"--hold-out must be 0 to {len(free)}, the different training texts that are neither "
            f"base nor test texts; got {n}."
        )
    rows = on_host(named(as_key(0), "held out")).choice(len(free), n, replace=False)
    chosen = free.index[np.sort(rows)]
    left = ~train["id"].isin(train["id"][chosen])
    more = human["train"].loc[chosen]
    return {
        "train": human["train"][left].reset_index(drop=True),
        "test": pd.concat([human["test"], more], ignore_index=True),
    }


def _few_tested(test: pd.DataFrame) -> list[str]:
    """A line where classes have too few test texts to know their errors by."""
    counts = test["label"].value_counts()
    few = counts[counts < _FEW_TESTED]
    if few.empty:
        return []
    said = ", ".join(f"{n} of {label!r}" for label, n in few.items())
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * np.sqrt(0.25 / few.max())
    what = f"{said} among {len(test)} texts: an error near .5 of such a class"
    return [f"test: {what} is known to ± {half:.2f} at best, however many draws there are"]


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
