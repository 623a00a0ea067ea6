"""Texts of two classes and two attributes made on the spot, honest ones and some with a fault."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from opal.bridge.prompts.common import identity
from opal.bridge.text.corpus import ATTRIBUTE, HUMAN, text_table

CLASSES = ("bad", "good")
PLACES = ("inn", "ship")
_SAID = {"bad": ("cold", "rude", "late", "dull"), "good": ("warm", "kind", "quick", "fine")}
_SEEN = {"inn": ("room", "cook", "yard"), "ship": ("deck", "crew", "harbour")}
_ENDS = ("lo", "ri", "tem", "nu")
_FILLER = tuple(f"{a}{b}{c}" for a in "bdfgklmnp" for b in "aeiou" for c in _ENDS)
_RARE, _USUAL = 0.15, 0.85
SHARES = {
    ("bad", "inn"): _USUAL,
    ("bad", "ship"): _RARE,
    ("good", "inn"): _RARE,
    ("good", "ship"): _USUAL,
}


def sentence(rng: np.random.Generator, label: str, place: str) -> str:
    """Two words of the class, two of the attribute, and six to ten that say nothing."""
    words = [*rng.choice(_SAID[label], 2), *rng.choice(_SEEN[place], 2)]
    words += list(rng.choice(_FILLER, rng.integers(6, 11)))
    return " ".join(str(word) for word in rng.permutation(words))


def real(rng: np.random.Generator, n: int) -> pd.DataFrame:
    """``n`` texts of each class, of which the attributes have their natural shares."""
    return table(rng, [(label, place) for (label, place), share in SHARES.items()
                       for _ in range(round(n * share))])  # fmt: skip


def table(
    rng: np.random.Generator,
    kinds: Sequence[tuple[str, str]],
    *,
    source: str = HUMAN,
    seeds: Sequence[tuple[str, ...]] | None = None,
) -> pd.DataFrame:
    """A text for each (class, attribute)."""
    return text_table(
        [sentence(rng, *kind) for kind in kinds],
        [label for label, _ in kinds],
        source=source,
        seeds=seeds,
        attribute=[place for _, place in kinds],
    )


def made(rng: np.random.Generator, base: pd.DataFrame, n: int) -> pd.DataFrame:
    """``n`` honest texts of each group, as if made from a base text of the group each."""
    kinds = [kind for kind in SHARES for _ in range(n)]
    group = list(zip(base["label"], base[ATTRIBUTE], strict=True))
    pools = {kind: [i for i, own in zip(base["id"], group, strict=True) if own == kind]
             for kind in SHARES}  # fmt: skip
    seeds = [(str(rng.choice(pools[kind])),) for kind in kinds]
    return table(rng, kinds, source="model", seeds=seeds)


def with_text(frame: pd.DataFrame, rows: Iterable[int], said: Sequence[str]) -> pd.DataFrame:
    """The table with other texts in some rows."""
    text = frame["text"].tolist()
    for row, each in zip(rows, said, strict=True):
        text[row] = each
    return frame.assign(text=text, id=[identity(each) for each in text])
