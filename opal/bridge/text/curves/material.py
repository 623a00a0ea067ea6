"""What one seed of an evaluation trains and tests on, and what may be on which side of a fold.

A seed draws a share of the base texts: the data that a user has. Synthetic texts are at hand only
if all the texts that they were made from were drawn. Added texts have one random order a seed, in
which groups take turns, so that the first N are nested in the first 2N and as balanced as the
source allows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Array, Key

from opal import names
from opal.bridge.text import texts
from opal.bridge.text.corpora import TextCorpus
from opal.draws import as_key, named, on_host

SHARE = 0.5
MOST_TEST = 2000


@dataclass(frozen=True, eq=False)
class Material:
    """The texts of one seed.

    Attributes:
        labels: names of the K classes.
        groups: names of the G groups: classes, or pairs (class, attribute) where all tables have
            an attribute.
        frame: all texts, in the order base, sources, test.
        y: class of each text [n].
        group: group of each text [n].
        base: rows of the base texts that were drawn.
        added: rows of each source, in the order in which they are added.
        test: rows of the test texts.
    """

    labels: tuple[str, ...]
    groups: tuple[str, ...]
    frame: pd.DataFrame
    y: np.ndarray
    group: np.ndarray
    base: np.ndarray
    added: Mapping[str, np.ndarray]
    test: np.ndarray


@dataclass(frozen=True, eq=False)
class Fold:
    """A fold of the base texts, as rows of the material's frame.

    Attributes:
        base: base texts to train on.
        added: texts of each source that may be trained on with them, in their order.
        held_out: base texts to test on.
    """

    base: np.ndarray
    added: Mapping[str, np.ndarray]
    held_out: np.ndarray


def sources(corpus: TextCorpus) -> tuple[str, ...]:
    """Everything that can be added to a corpus: its generators, and fresh human texts."""
    generators = tuple(name for name, frame in corpus.synthetic.items() if len(frame))
    return (*generators, *((texts.HUMAN,) if len(corpus.human) else ()))


def material(
    corpus: TextCorpus,
    seed: int,
    *,
    chosen: Collection[str] = (),
    share: float = SHARE,
    most_test: int = MOST_TEST,
) -> Material:
    """The texts of a seed. The test texts are the same for all seeds.

    Args:
        corpus: what leaks is taken out of it first.
        seed: decides which base texts are drawn and in which order texts are added.
        chosen: of :func:`sources`; all of them by default.
        share: of the base texts that are drawn, of each class; at least one text.
        most_test: test texts beyond these are left out at random.

    Raises:
        ValueError: a source that is not there, a share outside (0, 1], a class without a base text,
            no test text.
    """
    corpus = corpus.apart()
    names.check("source", chosen, sources(corpus))
    if not 0 < share <= 1:
        raise ValueError(f"--share is a share of the base texts, in (0, 1]; got {share}.")
    key = as_key(seed)
    base = _drawn(corpus.base, share, named(key, "base"))
    at_hand = frozenset(base["id"])
    added = {}
    for name in chosen or sources(corpus):
        pool = corpus.human if name == texts.HUMAN else corpus.synthetic[name]
        added[name] = _in_turns(pool[usable(pool, at_hand)], named(key, f"order {name}"))
    test = _thinned(corpus.test, most_test)
    return _stacked(corpus, base, added, test)


def usable(
    frame: pd.DataFrame, at_hand: Collection[str], held_out: Collection[str] = ()
) -> np.ndarray:
    """Which texts may be trained on [n]: all their seeds are at hand, nothing of them is held out.

    Args:
        frame: n texts.
        at_hand: ids of the base texts that are trained on.
        held_out: ids that are tested on.
    """
    known = frozenset(at_hand)
    made = np.array([known.issuperset(seeds) for seeds in frame["seeds"]], dtype=bool)
    return made & ~texts.leaks(frame, held_out)


def folds(data: Material, n_folds: int, seed: int) -> Iterator[Fold]:
    """Folds of the base texts by lineage; equal texts share one, classes are spread evenly.

    Raises:
        ValueError: fewer different base texts than folds, or fewer than two folds.
    """
    ids = data.frame["id"].to_numpy()[data.base]
    first = np.unique(ids, return_index=True)[1]
    if not 2 <= n_folds <= len(first):
        raise ValueError(
            f"--folds must be 2 to {len(first)}, the number of different base texts; got {n_folds}."
        )
    shuffled = on_host(named(as_key(seed), "folds")).permutation(first)
    in_class = shuffled[np.argsort(data.y[data.base][shuffled], kind="stable")]
    place = dict(zip(ids[in_class], np.arange(len(in_class)) % n_folds, strict=True))
    fold = np.array([place[each] for each in ids])
    for k in range(n_folds):
        inside = fold == k
        yield _fold(data, data.base[~inside], data.base[inside])


def _fold(data: Material, base: np.ndarray, held_out: np.ndarray) -> Fold:
    ids = data.frame["id"].to_numpy()
    sides = ids[base], ids[held_out]
    added = {name: rows[usable(data.frame.iloc[rows], *sides)] for name, rows in data.added.items()}
    return Fold(base, added, held_out)


def _drawn(base: pd.DataFrame, share: float, key: Key[Array, ""]) -> pd.DataFrame:
    """A share of each class's different texts, with all their repetitions."""
    rng, chosen = on_host(key), []
    for _, ids in base.drop_duplicates("id").groupby("label")["id"]:
        size = max(1, round(share * len(ids)))
        chosen.append(rng.choice(ids.to_numpy(), size, replace=False))
    drawn = np.concatenate(chosen) if chosen else np.empty(0, dtype=object)
    return base[base["id"].isin(drawn)]


def _in_turns(frame: pd.DataFrame, key: Key[Array, ""]) -> pd.DataFrame:
    """The texts in a random order in which groups take turns, as long as they have any."""
    rng = on_host(key)
    mixed = frame.iloc[rng.permutation(len(frame))]
    columns = [name for name in ("label", texts.ATTRIBUTE) if name in mixed]
    turn = mixed.groupby(columns).cumcount().to_numpy()
    return mixed.iloc[np.lexsort((rng.random(len(mixed)), turn))]


def _thinned(test: pd.DataFrame, most: int) -> pd.DataFrame:
    if len(test) <= most:
        return test
    rows = on_host(named(as_key(0), "test")).choice(len(test), most, replace=False)
    return test.iloc[np.sort(rows)]


def _stacked(
    corpus: TextCorpus, base: pd.DataFrame, added: Mapping[str, pd.DataFrame], test: pd.DataFrame
) -> Material:
    tables = {"": base, **added, " ": test}  # no source has a blank name
    ends = np.cumsum([len(table) for table in tables.values()])
    rows = dict(zip(tables, np.split(np.arange(ends[-1]), ends[:-1]), strict=True))
    frame = pd.concat(list(tables.values()), ignore_index=True)
    y = np.array([corpus.labels.index(label) for label in frame["label"]])
    group, groups = y, corpus.labels
    if all(texts.ATTRIBUTE in table for table in tables.values()):
        pairs = frame["label"] + ", " + frame[texts.ATTRIBUTE]
        groups = tuple(sorted(pairs.unique()))
        group = np.array([groups.index(pair) for pair in pairs])
    _require(base, test, corpus.labels)
    own = {name: rows[name] for name in added}
    return Material(corpus.labels, groups, frame, y, group, rows[""], own, rows[" "])


def _require(base: pd.DataFrame, test: pd.DataFrame, labels: tuple[str, ...]) -> None:
    if test.empty:
        raise ValueError("an evaluation needs texts to test on; the corpus has none. Add some.")
    absent = [label for label in labels if label not in set(base["label"])]
    if absent:
        raise ValueError(
            f"every class needs a base text of its own; {absent[0]!r} has none. Add texts of it, "
            "or leave the class out."
        )
