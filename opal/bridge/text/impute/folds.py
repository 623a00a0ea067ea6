"""Folds of original texts, and which synthetic texts may be trained or tested on beside them.

A synthetic text belongs to the held-out side of a fold if any of its seeds does: a rule that has
seen one of two texts with a common seed has seen part of the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np
import pandas as pd
from jaxtyping import Array, Key

from opal.bridge.text import texts
from opal.draws import on_host


def split(
    frame: pd.DataFrame,
    n_folds: int,
    *,
    key: Key[Array, ""],
    together: Iterable[Collection[str]] = (),
) -> np.ndarray:
    """The fold 0 … K−1 of each original text [n].

    Every class has as many texts in each fold as in any other, up to one; equal texts are in one
    fold. Another key gives another split: repeat it.

    Args:
        frame: original texts.
        n_folds: K.
        key: of the draw.
        together: ids that must share a fold, such as those that one text was made from.

    Raises:
        ValueError: K is below 2 or above the number of different texts, or a text was made from
            others.
    """
    _check(frame, n_folds)
    rng = on_host(key)
    group = _groups(frame["id"], together)
    # Each lineage once, with the class of its first text.
    sizes = pd.Series(1, index=group).groupby(level=0).sum()
    label = frame["label"].set_axis(group).groupby(level=0).first()
    of_label = {name: np.zeros(n_folds, dtype=int) for name in label.unique()}
    total = np.zeros(n_folds, dtype=int)
    fold = {}
    shuffled = rng.permutation(sizes.index.to_numpy())
    for lineage in sorted(shuffled, key=lambda each: -sizes[each]):
        counts = of_label[label[lineage]]
        chosen = np.lexsort((rng.random(n_folds), total, counts))[0]
        fold[lineage] = chosen
        counts[chosen] += sizes[lineage]
        total[chosen] += sizes[lineage]
    return np.array([fold[each] for each in group])


def trainable(synthetic: pd.DataFrame, held_out: Collection[str]) -> np.ndarray:
    """Which synthetic texts may be trained on while the texts of these ids are held out [n]."""
    return ~texts.leaks(synthetic, held_out)


def testable(
    synthetic: pd.DataFrame, held_out: Collection[str], trained: Collection[str]
) -> np.ndarray:
    """Which synthetic texts may be tested on: a seed is held out, and none was trained on [n].

    Args:
        synthetic: n texts.
        held_out: ids of the original texts of the fold.
        trained: ids of all texts that the rule was trained on.
    """
    hidden = frozenset(held_out)
    made = np.array([not hidden.isdisjoint(seeds) for seeds in synthetic["seeds"]], dtype=bool)
    return made & ~synthetic["id"].isin(frozenset(trained)).to_numpy(dtype=bool)


def _groups(ids: pd.Series, together: Iterable[Collection[str]]) -> np.ndarray:
    """Lineage of each text: the first id of those that must share a fold with it."""
    first: dict[str, str] = {}
    for several in together:
        merged = {_root(first, each) for each in several}
        least = min(merged, default="")
        first |= dict.fromkeys(merged - {least}, least)
    return np.array([_root(first, each) for each in ids], dtype=object)


def _root(first: Mapping[str, str], each: str) -> str:
    while each in first:
        each = first[each]
    return each


def _check(frame: pd.DataFrame, n_folds: int) -> None:
    made = sum(bool(seeds) for seeds in frame["seeds"])
    if made:
        raise ValueError(
            f"folds are of original texts; {made} of {len(frame)} were made from others. Leave "
            "them out: what may be trained on follows from their seeds."
        )
    if not 2 <= n_folds <= frame["id"].nunique():
        raise ValueError(
            f"folds must be at least 2, and at most the number of different texts, "
            f"{frame['id'].nunique()}; got {n_folds}."
        )
