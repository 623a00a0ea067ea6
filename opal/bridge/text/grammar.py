"""The corpus that is always at hand: sentences of a grammar, and two writers of known quality.

Its laws are finite (:class:`opal.settings.grammar.Grammar`): the error of the best rule, and the
bias of each writer, given the base texts at hand too, are exact sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Array, Key

from opal.bridge.text import texts
from opal.bridge.text.corpora import DEFAULT, TextCorpus, measured
from opal.draws import as_key, named, on_host
from opal.settings.grammar import Grammar
from opal.synthesis.writer import Writer

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


def grammar_corpus(key: int | Key[Array, ""] = 0) -> TextCorpus:
    """The corpus of a key.

    The attribute of a synthetic text is the one that its writer was asked for. Its seed is drawn
    from the base texts of its class and attribute, with replacement.
    """
    root = named(as_key(key), "grammar corpus")
    base, human, test = _drawn(root)
    tables = {"base": base, "human": human, "test": test}
    groups = {name: np.concatenate(_groups(each)) for name, each in tables.items()}
    meanings = {name: np.concatenate(each) for name, each in tables.items()}
    asked = np.repeat(np.arange(GRAMMAR.n_groups), PER_GROUP_SYNTHETIC)
    picked = {}
    for name, writer in WRITERS.items():
        picked[name] = _seeds(groups["base"], asked, named(root, f"seeds {name}"))
        seeds = meanings["base"][picked[name]]
        meanings[name] = writer.rewrite(GRAMMAR, seeds, asked, key=named(root, name))
        groups[name] = asked
    said = _said(meanings, named(root, "sentences"))
    frames = {name: _frame(said[name], groups[name], source=texts.HUMAN) for name in tables}
    ids = np.array(frames["base"]["id"])
    synthetic = {
        name: _frame(said[name], asked, source=name, seeds=[(i,) for i in ids[picked[name]]])
        for name in WRITERS
    }
    mixed = {
        name: _shuffled(each, named(root, name)) for name, each in (frames | synthetic).items()
    }
    corpus = TextCorpus(
        DEFAULT,
        tuple(sorted(GRAMMAR.labels)),
        mixed["base"],
        mixed["human"],
        mixed["test"],
        {name: mixed[name] for name in WRITERS},
    )
    return replace(corpus, notes=measured(corpus))


def _drawn(key: Key[Array, ""]) -> tuple[list[np.ndarray], ...]:
    """Meanings of base, human and test texts, group by group: three parts of one draw."""
    sizes = np.stack(
        [
            GRAMMAR.counts(N_BASE, SHARES),
            GRAMMAR.counts(N_HUMAN, SHARES),
            [PER_GROUP_TEST] * GRAMMAR.n_groups,
        ],
        axis=1,
    )
    totals = sizes.sum(axis=1).tolist()
    drawn = np.split(GRAMMAR.draw(totals, key=key), np.cumsum(totals)[:-1])
    parts = [np.split(each, np.cumsum(size)[:-1]) for each, size in zip(drawn, sizes, strict=True)]
    return tuple([part[k] for part in parts] for k in range(3))


def _groups(parts: list[np.ndarray]) -> list[np.ndarray]:
    return [np.full(len(part), g) for g, part in enumerate(parts)]


def _seeds(base: np.ndarray, asked: np.ndarray, key: Key[Array, ""]) -> np.ndarray:
    """For each text asked for, the row of a base text of its group."""
    order = np.argsort(base, kind="stable")
    sizes = np.bincount(base, minlength=GRAMMAR.n_groups)
    starts = np.cumsum(sizes) - sizes
    within = on_host(key).random(len(asked)) * sizes[asked]
    return order[starts[asked] + np.floor(within).astype(int)]


def _said(meanings: Mapping[str, np.ndarray], key: Key[Array, ""]) -> dict[str, list[str]]:
    """Sentences of all tables, from one draw."""
    said = GRAMMAR.sentences(np.concatenate(list(meanings.values())), key=key)
    ends = np.cumsum([len(each) for each in meanings.values()]).tolist()
    starts = [0, *ends[:-1]]
    return {name: said[start:end] for name, start, end in zip(meanings, starts, ends, strict=True)}


def _frame(
    said: list[str],
    groups: np.ndarray,
    *,
    source: str,
    seeds: list[tuple[str, ...]] | None = None,
) -> pd.DataFrame:
    known = [GRAMMAR.groups[g] for g in groups]
    return texts.table(
        said,
        [GRAMMAR.labels[group.label] for group in known],
        source=source,
        seeds=seeds,
        attribute=[GRAMMAR.attributes[group.attribute or 0] for group in known],
    )


def _shuffled(frame: pd.DataFrame, key: Key[Array, ""]) -> pd.DataFrame:
    order = on_host(named(key, "order")).permutation(len(frame))
    return frame.iloc[order].reset_index(drop=True)
