"""Features of all texts of an evaluation at once, learned anew from whatever is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from opal.bridge.text.encoders import Encoder, TfIdf, encoder, words

WORDS = "words"


class Features(Protocol):
    """Features of n texts."""

    def given(self, rows: np.ndarray) -> Any:
        """Features of all texts, once the encoder has seen the training texts ``rows`` [n, d]."""
        ...


@dataclass(frozen=True, eq=False)
class Known:
    """Features that nothing is learned for.

    Attributes:
        x: of all texts [n, d].
    """

    x: np.ndarray

    def given(self, rows: np.ndarray) -> np.ndarray:
        """The same for all ``rows``."""
        del rows
        return self.x


@dataclass(frozen=True, eq=False)
class Counted:
    """Those of :class:`opal.bridge.text.encoders.TfIdf`, from counts that are taken once.

    Columns of words that no training text has are zero, so that rules of different training texts
    have the same coordinates.

    Attributes:
        counts: of the words of all texts, sparse [n, d].
        most_features: how many words are kept, the most frequent ones of the training texts.
    """

    counts: Any
    most_features: int

    @classmethod
    def of(cls, texts: Sequence[str], most_features: int) -> Counted:
        """Count the words of all texts."""
        counter = words(use_idf=False, norm=None)
        return cls(counter.fit_transform(texts).tocsr(), most_features)

    @cached_property
    def _logarithmic(self) -> Any:
        scaled = self.counts.copy()
        scaled.data = 1 + np.log(scaled.data)
        return scaled

    def given(self, rows: np.ndarray) -> Any:
        """Weighted by the inverse frequencies in ``rows``, and of norm one."""
        from scipy.sparse import diags_array
        from sklearn.preprocessing import normalize

        trained = self.counts[rows]
        occurs = np.bincount(trained.indices, minlength=self.counts.shape[1])
        rarity = np.where(occurs > 0, 1 + np.log((1 + len(rows)) / (1 + occurs)), 0.0)
        if np.count_nonzero(occurs) > self.most_features:
            total = np.asarray(trained.sum(axis=0)).ravel()
            rarity[np.argsort(-total, kind="stable")[self.most_features :]] = 0.0
        return normalize(self._logarithmic @ diags_array(rarity))


@dataclass(frozen=True)
class Words:
    """Which words of the grammar occur: rules on these features have exact errors."""

    name: str = WORDS

    def fit(self, texts: Sequence[str]) -> Words:
        """Itself: nothing is learned."""
        del texts
        return self

    def transform(self, texts: Sequence[str]) -> np.ndarray:
        """Features [n, r].

        Raises:
            ValueError: a text is no sentence of the grammar.
        """
        from opal.bridge.text.grammar import GRAMMAR

        return GRAMMAR.rows(texts)


def named(name: str) -> Encoder:
    """``words``, or what :func:`opal.bridge.text.encoders.encoder` knows.

    Raises:
        UnknownNameError: there is no such encoder.
        ImportError: the extra ``text`` is not installed and a transformer was asked for.
    """
    return Words() if name == WORDS else encoder(name)


def of(chosen: Encoder, texts: Sequence[str]) -> Features:
    """Features of all texts.

    Args:
        chosen: an encoder that learns nothing, or tf-idf.
        texts: n of them.
    """
    if isinstance(chosen, TfIdf):
        return Counted.of(texts, chosen.most_features)
    return Known(np.asarray(chosen.fit(texts).transform(texts), dtype=float))
