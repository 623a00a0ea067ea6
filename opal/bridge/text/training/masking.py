"""Corrupted texts, as masked language models are trained and asked: some tokens are hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

SHARES = (0.8, 0.1, 0.1)
"""Of the corrupted tokens: masked, replaced by a random one, kept."""


class Corrupted(NamedTuple):
    """Tokens, and the places among them that are to be guessed."""

    tokens: np.ndarray
    at: np.ndarray


@dataclass(frozen=True, eq=False)
class Masking:
    """Corruption of the tokens of one tokenizer.

    Attributes:
        words: a tokenizer with a mask.
        rate: share of a text's tokens that is corrupted; at least one is.
    """

    words: Any
    rate: float
    special: np.ndarray = field(init=False)
    _others: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Find the tokens that stand for words."""
        special = np.array(sorted(self.words.all_special_ids))
        object.__setattr__(self, "special", special)
        object.__setattr__(self, "_others", np.setdiff1d(np.arange(len(self.words)), special))

    def corrupted(self, tokens: Sequence[int], rng: np.random.Generator) -> Corrupted:
        """The tokens with some of them changed; special tokens stay."""
        changed = np.array(tokens)
        free = np.flatnonzero(~np.isin(changed, self.special))
        n = min(len(free), max(1, round(self.rate * len(free))))
        at = np.sort(rng.permutation(free)[:n])
        what = rng.choice(len(SHARES), size=n, p=SHARES)
        strange = rng.choice(self._others, size=n)
        mask = np.full(n, self.words.mask_token_id)
        changed[at] = np.select([what == 0, what == 1], [mask, strange], changed[at])
        return Corrupted(changed, at)
