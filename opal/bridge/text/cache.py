"""Vectors of texts that were computed before, kept by the content of text and model."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

VARIABLE = "OPAL_EMBEDDINGS"
_AT_ONCE = 500  # keys in one question; SQLite allows 999 in its oldest builds
_TABLE = """CREATE TABLE IF NOT EXISTS vectors (
    model TEXT NOT NULL, text TEXT NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (model, text)
) WITHOUT ROWID"""


class VectorCache:
    """float32 vectors in one SQLite file; those that were read once stay in memory.

    Args:
        path: of the file; by default ``embeddings.sqlite`` in pooch's cache folder of opal, or in
            the folder that the environment variable ``OPAL_EMBEDDINGS`` names.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or _folder() / "embeddings.sqlite"
        self._read: dict[tuple[str, str], np.ndarray] = {}

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
        keys = [(model, _key(text)) for text in texts]
        asked = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._read}
        if asked:
            self._read |= self._kept(
                model, {key: text for (_, key), text in asked.items()}, compute
            )
        found = [self._read[key] for key in keys]
        return np.stack(found) if found else np.zeros((0, 0), np.float32)

    def _kept(
        self,
        model: str,
        asked: dict[str, str],
        compute: Callable[[Sequence[str]], Iterable[np.ndarray]],
    ) -> dict[tuple[str, str], np.ndarray]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=60)) as base:
                base.execute("PRAGMA journal_mode=WAL")
                base.execute(_TABLE)
                found = _read(base, model, set(asked))
                missing = {key: text for key, text in asked.items() if key not in found}
                found |= _fill(base, model, missing, compute)
        except sqlite3.Error as error:
            raise OSError(
                f"embeddings are kept in {self.path}, which cannot be used ({error}). Move the "
                f"file away, or name another folder by {VARIABLE}."
            ) from error
        return {(model, key): vector for key, vector in found.items()}


def _fill(
    base: sqlite3.Connection,
    model: str,
    missing: dict[str, str],
    compute: Callable[[Sequence[str]], Iterable[np.ndarray]],
) -> dict[str, np.ndarray]:
    made: dict[str, np.ndarray] = {}
    if not missing:
        return made
    keys = iter(missing)
    for batch in compute(list(missing.values())):
        rows = [(next(keys), np.asarray(vector, "<f4")) for vector in batch]
        with base:
            base.executemany(
                "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)",
                [(model, key, vector.tobytes()) for key, vector in rows],
            )
        made.update(rows)
    return made


def _read(base: sqlite3.Connection, model: str, keys: set[str]) -> dict[str, np.ndarray]:
    asked, found = sorted(keys), {}
    for start in range(0, len(asked), _AT_ONCE):
        some = asked[start : start + _AT_ONCE]
        places = ", ".join("?" * len(some))
        question = f"SELECT text, vector FROM vectors WHERE model = ? AND text IN ({places})"
        for key, vector in base.execute(question, [model, *some]):
            found[key] = np.frombuffer(vector, "<f4")
    return found


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _folder() -> Path:
    import pooch

    home = os.environ.get(VARIABLE)
    return Path(home) if home else Path(pooch.os_cache("opal"))
