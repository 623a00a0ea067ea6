"""Texts as rows of numbers: weighted counts of words or characters, or frozen sentence embeddings.

An :class:`Encoder` turns all texts of an evaluation into features at once; what there is to learn
is learned anew from whatever is trained on. Counts are here, embeddings in
:mod:`opal.bridge.text.embeddings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from opal import names, validation
from opal.bridge.text.embeddings import (
    MINILM,
    MULTILINGUAL,
    MULTILINGUAL_USE,
    USE_PACKAGE,
    Frozen,
    Known,
    MultilingualUSE,
    loaded,
    model_path,
)
from opal.spelling import canonical

TFIDF = "tfidf"
CHARACTERS = "characters"
ENCODERS = (TFIDF, CHARACTERS, MINILM, MULTILINGUAL_USE, *MULTILINGUAL)
WORDS = "words"
MOST_WORDS = 20_000
MOST_RUNS = 100_000
LENGTHS = (2, 5)


class Features(Protocol):
    """Features of n texts."""

    def given(self, rows: np.ndarray) -> Any:
        """Features of all texts, once the encoder has seen the training texts ``rows`` [n, d]."""


class Encoder(Protocol):
    """Turns texts into features; what it learns, it learns from training texts alone."""

    @property
    def name(self) -> str:
        """Used in records."""

    def features(self, texts: Sequence[str]) -> Features:
        """Features of all texts, of which some will be trained on."""


@runtime_checkable
class Embedding(Encoder, Protocol):
    """An encoder that learns nothing, and keeps the vectors of texts that it has seen."""

    def transform(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings [n, d]."""


@dataclass(frozen=True, eq=False)
class Counted:
    """Those of :class:`TfIdf` and :class:`Characters`, from counts that are taken once.

    Columns of terms that no training text has are zero, so that rules of different training texts
    have the same coordinates.
    """

    counts: Any  # of the terms of all texts, sparse [n, d]
    most: int = MOST_WORDS  # terms that are kept, the most frequent ones of the training texts

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
        if np.count_nonzero(occurs) > self.most:
            total = np.asarray(trained.sum(axis=0)).ravel()
            rarity[np.argsort(-total, kind="stable")[self.most :]] = 0.0
        return normalize(self._logarithmic @ diags_array(rarity))


@dataclass(frozen=True)
class TfIdf:
    """Words, marks and pairs of them: logarithmic counts times inverse document frequency.

    The :data:`MOST_WORDS` most frequent ones of the training texts are kept, and rows are of norm
    one.
    """

    name: str = TFIDF

    def features(self, texts: Sequence[str]) -> Counted:
        """The counts, taken at once.

        Raises:
            ValueError: no text has a word.
        """
        from sklearn.feature_extraction.text import CountVectorizer

        counter = CountVectorizer(
            token_pattern=r"(?u)\b\w+\b|[^\w\s]", ngram_range=(1, 2), dtype=float
        )
        return Counted(counter.fit_transform(texts).tocsr())


@dataclass(frozen=True)
class Characters:
    """Runs of characters within words, weighted as :class:`TfIdf` weighs words.

    They know a word again in another form, in a compound and misspelt, whatever the language.

    Runs are of the lengths :data:`LENGTHS`, in small letters, with a space at each end of a word;
    the :data:`MOST_RUNS` most frequent ones of the training texts are kept.
    """

    name: str = CHARACTERS

    def features(self, texts: Sequence[str]) -> Counted:
        """The counts, taken at once.

        Raises:
            ValueError: no text has a character.
        """
        from sklearn.feature_extraction.text import CountVectorizer

        counter = CountVectorizer(
            analyzer="char_wb", preprocessor=_small, ngram_range=LENGTHS, dtype=float
        )
        return Counted(counter.fit_transform(texts).tocsr(), MOST_RUNS)


def _small(text: str) -> str:
    """In small letters, a letter and its accent in one character."""
    return canonical(text).lower()


@dataclass(frozen=True)
class Words:
    """Which words of the grammar occur: rules on these features have exact errors."""

    name: str = WORDS

    def features(self, texts: Sequence[str]) -> Known:
        """Features [n, r].

        Raises:
            ValueError: a text is no sentence of the grammar.
        """
        from opal.bridge.text.published import GRAMMAR

        return Known(np.asarray(GRAMMAR.rows(texts), dtype=float))


def encoder(name: str) -> Encoder:
    """An encoder of :data:`ENCODERS`, of a transformer's folder or hub name, or ``words``.

    The last is of the grammar alone. No model is loaded: see :func:`require_loadable`.

    Raises:
        UnknownNameError: a name that looks like none of these.
        ImportError: the extra ``text`` is not installed and embeddings were asked for.
    """
    counts: Mapping[str, Encoder] = {TFIDF: TfIdf(), CHARACTERS: Characters(), WORDS: Words()}
    if name in counts:
        return counts[name]
    if name == MULTILINGUAL_USE:
        validation.require_installed("text", USE_PACKAGE)
        return MultilingualUSE()
    if name not in ENCODERS and "/" not in name and not Path(name).is_dir():
        raise names.unknown("encoder", name, ENCODERS)
    validation.require_installed("text", "transformers", "torch")
    return Frozen(name)


def require_loadable(name: str) -> None:
    """Refuse an encoder that is not to be had, before anything is done for it.

    Raises:
        UnknownNameError: the name looks like none.
        ImportError: a package that it needs is not installed.
        OSError: there is no such model here or on the hub, or it cannot be read.
    """
    found = encoder(name)
    if isinstance(found, Frozen):
        path = model_path(found.model)
        if name != MINILM:  # whose package is installed
            loaded(path)


def usual(languages: Iterable[str]) -> str:
    """What texts of these languages (ISO 639-1) are counted by where nothing else is named."""
    return TFIDF if set(languages) <= {"en"} else CHARACTERS
