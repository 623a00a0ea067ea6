"""All texts of an audit, with what is computed of each of them once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from opal.bridge.resampling import Folds
from opal.bridge.text.corpus import ATTRIBUTE, labels_of, stacked, validate_texts
from opal.bridge.text.embeddings import Known
from opal.bridge.text.encoders import Characters, Counted, Encoder, Features, TfIdf
from opal.spelling import folded, words

REAL = ("base", "human", "test")
_AT_ONCE = 256
_CHARACTERS = 4
ALL = "all classes"
FOLDS = 5


class Near(NamedTuple):
    """For each of n texts its nearest text of another table."""

    row: np.ndarray  # of that text in the data [n]
    cosine: np.ndarray  # of the two [n]


@dataclass(frozen=True, eq=False)
class AuditData:
    """The tables of an audit, one below the other."""

    frame: pd.DataFrame  # all texts
    real: Mapping[str, np.ndarray]  # rows of ``base``, ``human`` and ``test``, those there are
    made: Mapping[str, np.ndarray]  # rows of each writer
    encoder: Encoder  # of the classifiers, and of similarity if it gives embeddings
    _near: dict[tuple[str, str], Near] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls, real: Mapping[str, pd.DataFrame], made: Mapping[str, pd.DataFrame], encoder: Encoder
    ) -> AuditData:
        """Those of real texts by role, and of synthetic ones by writer.

        Raises:
            ValueError: a table breaks the rules of tables of texts, or an own table has no row.
        """
        kinds = {"real": real, "made": made}
        tables = {(kind, name): own[name] for kind, own in kinds.items() for name in own}
        for (_, name), each in tables.items():
            validate_texts(each)
            if each.empty:
                raise ValueError(f"{name} must hold texts; it has none. Leave it out.")
        frame, rows = stacked(tables)
        role, writer = ({name: rows[kind, name] for name in own} for kind, own in kinds.items())
        return cls(frame, role, writer, encoder)

    def own(self, rows: np.ndarray) -> pd.DataFrame:
        """Some rows of the frame."""
        return self.frame.iloc[rows]

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """All classes."""
        return labels_of(self.frame)

    @cached_property
    def label(self) -> np.ndarray:
        """Class of each text, a number [n]."""
        return np.searchsorted(self.labels, self.frame["label"].to_numpy(dtype=str))

    @cached_property
    def attributes(self) -> tuple[str, ...]:
        """All values of the attribute; none if some table has no attribute."""
        if ATTRIBUTE not in self.frame or self.frame[ATTRIBUTE].isna().any():
            return ()
        return tuple(sorted(set(self.frame[ATTRIBUTE])))

    @cached_property
    def attribute(self) -> np.ndarray:
        """Attribute of each text, a number; all 0 where there is none [n]."""
        if not self.attributes:
            return np.zeros(len(self.frame), dtype=int)
        return np.searchsorted(self.attributes, self.frame[ATTRIBUTE].to_numpy(dtype=str))

    @cached_property
    def group(self) -> np.ndarray:
        """Class and attribute of each text, a number: all of a class are next to each other [n]."""
        return self.label * max(len(self.attributes), 1) + self.attribute

    @cached_property
    def folded(self) -> list[str]:
        """Each text in one spelling."""
        return [folded(text) for text in self.frame["text"]]

    @cached_property
    def words(self) -> list[list[str]]:
        """Words of each text."""
        return [words(text) for text in self.frame["text"]]

    @cached_property
    def key(self) -> np.ndarray:
        """A number for each text; equal where texts differ in their spelling only [n]."""
        return pd.factorize(pd.Series(self.folded, dtype=object))[0]

    @cached_property
    def seed_keys(self) -> list[tuple[int, ...]]:
        """Keys of the seeds of each text that are texts of the data."""
        known = dict(zip(self.frame["id"], self.key.tolist(), strict=True))
        return [tuple(known[s] for s in seeds if s in known) for seeds in self.frame["seeds"]]

    @cached_property
    def _asked(self) -> np.ndarray:
        """Rows that features are needed of: all but test texts that nothing was made from."""
        asked = np.ones(len(self.frame), dtype=bool)
        test = self.real.get("test", np.array([], dtype=int))
        asked[test] = np.isin(self.key[test], [key for keys in self.seed_keys for key in keys])
        return np.flatnonzero(asked)

    @cached_property
    def _features(self) -> Features:
        return self.encoder.features(self.own(self._asked)["text"].tolist())

    def features(self, rows: np.ndarray) -> Features:
        """What the classifiers see of some texts, none of them a test text."""
        place = np.searchsorted(self._asked, rows)
        if isinstance(self._features, Counted):
            return replace(self._features, counts=self._features.counts[place])
        return Known(self._features.given(place)[place])

    @cached_property
    def characters(self) -> Any:
        """Four letters in a row within words, tf-idf, of norm one; sparse [n, d]."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        options = {"analyzer": "char_wb", "ngram_range": (_CHARACTERS, _CHARACTERS)}
        letters = TfidfVectorizer(lowercase=False, dtype=np.float32, **options)
        return letters.fit_transform([" ".join(each) for each in self.words])

    @property
    def scale(self) -> str:
        """What similarity to seeds is measured by."""
        if isinstance(self.encoder, TfIdf | Characters):
            return f"cosine of tf-idf of {_CHARACTERS} letters in a row"
        return f"cosine of {self.encoder.name} embeddings"

    @cached_property
    def _directions(self) -> Any:
        if isinstance(self.encoder, TfIdf | Characters):
            return self.characters[self._asked]
        x = np.asarray(self._features.given(self._asked))
        return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)

    def similarity(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Cosines of the texts in rows ``a`` and ``b``, pair by pair, on :attr:`scale` [n]."""
        x, y = (self._directions[np.searchsorted(self._asked, rows)] for rows in (a, b))
        product = x.multiply(y) if hasattr(x, "multiply") else x * y
        return np.asarray(product.sum(axis=1), dtype=float).ravel()

    def near(self, writer: str, role: str) -> Near:
        """The real text of a role nearest to each one of a writer, by letters in a row."""
        if (writer, role) not in self._near:
            self._near[writer, role] = self.nearest(self.made[writer], self.real[role])
        return self._near[writer, role]

    def nearest(self, ours: np.ndarray, theirs: np.ndarray) -> Near:
        """The nearest of the rows ``theirs`` to each of the rows ``ours``, but for itself."""
        across, row, cosine = self.characters[theirs].T.tocsr(), [], []
        for start in range(0, len(ours), _AT_ONCE):
            own = ours[start : start + _AT_ONCE]
            some = (self.characters[own] @ across).toarray()
            some[own[:, None] == theirs] = -1.0
            best = some.argmax(axis=1)
            row.append(theirs[best])
            cosine.append(some[np.arange(len(best)), best])
        return Near(np.concatenate(row), np.concatenate(cosine).astype(float))

    def rest(self, role: str) -> np.ndarray:
        """Rows of the other real tables."""
        others = [rows for name, rows in self.real.items() if name != role]
        return np.concatenate(others) if others else np.array([], dtype=int)

    def known(self) -> np.ndarray:
        """Rows of the real texts that one may train on: all but ``test``."""
        return np.concatenate([rows for name, rows in self.real.items() if name != "test"])


def by_class(
    data: AuditData, rows: np.ndarray, classes: Sequence[str]
) -> list[tuple[str, np.ndarray]]:
    """Which of ``rows`` each class has, and all of them, as masks."""
    label = data.frame["label"].to_numpy()[rows]
    parts = [(name, label == name) for name in classes]
    whole = [(ALL, np.ones(len(rows), dtype=bool))] if len(classes) > 1 else []
    return [*parts, *whole]


def folds_of(data: AuditData, rows: np.ndarray, kind: np.ndarray, seed: int) -> Folds:
    """Folds of n texts by lineage, those of a kind [n] dealt out evenly.

    Texts that differ in their spelling alone are equal.
    """
    keys, seeds = data.key[rows].tolist(), [data.seed_keys[row] for row in rows]
    return Folds.of(keys, seeds, kind, FOLDS, seed=seed)


def family(data: AuditData, rows: np.ndarray) -> np.ndarray:
    """What texts share that are no independent draws: their first seed, or else themselves [n]."""
    found = [data.seed_keys[row][0] if data.seed_keys[row] else data.key[row] for row in rows]
    return np.array(found, dtype=int)


def grams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All runs of n words.

    >>> grams(["a", "b", "c"], 2)
    [('a', 'b'), ('b', 'c')]
    """
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
