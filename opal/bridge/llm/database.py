"""The file of a ledger: made whole, opened by one process at a time, refused if it is none."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from opal import files

# "opal" in ASCII, where SQLite keeps the kind of a file; and the form of the tables.
APPLICATION = 0x6F70616C
SCHEMA = 1

_MAGIC = b"SQLite format 3\x00"
_HEADER = 100
_OPEN: set[Path] = set()

# Rows of `requests` and `slots` are small, so that what is done and spent is known without reading
# a prompt or an answer.
_TABLES = """
CREATE TABLE requests(
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, grp TEXT NOT NULL, idx INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('exported', 'sent', 'done', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0, reserved INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0, cost INTEGER NOT NULL DEFAULT 0,
    tokens_in INTEGER, tokens_out INTEGER, kind TEXT, error TEXT,
    final INTEGER NOT NULL DEFAULT 0, sent_at REAL, ended_at REAL) STRICT;
CREATE TABLE bodies(
    id INTEGER PRIMARY KEY REFERENCES requests, request TEXT NOT NULL, reply TEXT,
    seal TEXT) STRICT;
CREATE TABLE slots(
    run TEXT NOT NULL, grp TEXT NOT NULL, idx INTEGER NOT NULL,
    request INTEGER NOT NULL REFERENCES requests, samples INTEGER NOT NULL, reason TEXT,
    PRIMARY KEY (run, grp, idx)) STRICT, WITHOUT ROWID;
CREATE TABLE sendings(
    id INTEGER PRIMARY KEY, request INTEGER NOT NULL REFERENCES requests, at REAL NOT NULL,
    tokens INTEGER NOT NULL) STRICT;
"""
# What batches answered, and what those that were given up may have cost, until that is known. A
# ledger that was made without it is given it when it is first needed.
BATCHED = """
CREATE TABLE IF NOT EXISTS batched(
    request INTEGER NOT NULL REFERENCES requests, lost INTEGER NOT NULL, result TEXT) STRICT
"""


class LedgerError(ValueError):
    """The file is no ledger, or damaged, or in use, or of another version."""


class Database:
    """The file, open in this process alone; use it in ``with``.

    Args:
        path: of the file; made if there is none.
        copy_of: the file that it is a copy of, for messages.

    Raises:
        LedgerError: the file is no ledger, damaged, of another version, or in use.
    """

    def __init__(self, path: str | Path, *, copy_of: Path | None = None) -> None:
        self.path = files.resolved(Path(path))
        self.name = copy_of or self.path
        self._connection = _connect(self.path, self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, which another may open from here on; it is whole without this too."""
        self._connection.close()
        _OPEN.discard(self.path)

    def flush(self) -> None:
        """Bring what was written to the disk, so that it outlives a power failure.

        A killed process loses nothing without it.
        """
        log = self.path.with_name(self.path.name + "-wal")
        if log.exists():
            with log.open("rb") as file:
                os.fsync(file.fileno())

    @contextmanager
    def together(self) -> Iterator[None]:
        """All that is written in the block, or nothing of it."""
        self.run("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            # A full disk has ended it already.
            if self._connection.in_transaction:
                self.run("ROLLBACK")
            raise
        self.run("COMMIT")

    def run(self, sql: str, *values: object) -> sqlite3.Cursor:
        """Run a statement.

        Raises:
            LedgerError: the file cannot be read or written.
        """
        with _told(self.path, self.name):
            return self._connection.execute(sql, values)

    def rows(self, select: str, *values: object) -> list[tuple[Any, ...]]:
        """All that a query gives."""
        with _told(self.path, self.name):
            return self._connection.execute(select, values).fetchall()


def _connect(path: Path, name: Path) -> sqlite3.Connection:
    """The database of the ledger at ``path``, made if there is none, for this process alone."""
    if path in _OPEN:
        raise _busy(name)
    if not path.exists():
        _create(path)
    _check_header(path, name)
    with _told(path, name):
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode=rw", uri=True, timeout=0.0, isolation_level=None,
            check_same_thread=False,
        )  # fmt: skip
        try:
            _take(connection)
        except BaseException:
            connection.close()
            raise
    _OPEN.add(path)
    return connection


@contextmanager
def _told(path: Path, name: Path) -> Iterator[None]:
    """Errors of SQLite in words of the ledger."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise _busy(name) from error
        hint = ""
        if not os.access(path.parent, os.W_OK):
            hint = " Nothing can be written there: read it with --offline or --dry-run, or copy it."
        raise LedgerError(f"the ledger {name} cannot be read or written: {error}.{hint}") from error
    except (sqlite3.DatabaseError, MemoryError) as error:
        # A length that is wrong asks for memory that no one has.
        raise damaged(name, str(error) or "a record is longer than memory") from error


def damaged(path: Path, what: str) -> LedgerError:
    """The error for a ledger whose content is wrong."""
    return LedgerError(
        f"the ledger {path} is damaged ({what}); it was left as it is. Use a copy of it, or "
        "another file."
    )


def _create(path: Path) -> None:
    """An empty ledger; one that another process made in the meantime stays."""
    rest = path.with_name(path.name + "-wal")
    if rest.exists() and rest.stat().st_size > 0:
        raise LedgerError(
            f"there is no ledger {path}, but {rest.name} beside it, the last answers of one that "
            "was moved or removed. Bring both together again, or remove it."
        )
    files.writable_folder(path.parent, "--ledger")
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}")
    try:
        # It will hold texts; SQLite gives the files beside it the same mode.
        temporary.touch(mode=0o600)
        with _told(path, path), closing(sqlite3.connect(temporary)) as connection:
            # First the marks: in the mode that follows they could be in a second file.
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {SCHEMA}")
            connection.executescript(_TABLES)
            connection.execute("PRAGMA journal_mode = WAL")
        _put(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _put(temporary: Path, path: Path) -> None:
    """Name a file, unless there is one of that name."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    except OSError:
        # Some file systems have no hard links; then two that start at once may collide.
        if not path.exists():
            temporary.rename(path)


def _check_header(path: Path, name: Path) -> None:
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "a device or a pipe"
        raise LedgerError(f"the ledger must be a file; {name} is {kind}. Name another file.")
    with path.open("rb") as file:
        header = file.read(_HEADER)
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        raise LedgerError(f"{name} is no ledger; it was left as it is. Name another file.")
    if int.from_bytes(header[68:72], "big") != APPLICATION:
        raise LedgerError(
            f"{name} is a database of another program; it was left as it is. Name another file."
        )
    schema = int.from_bytes(header[60:64], "big")
    if schema != SCHEMA:
        raise LedgerError(
            f"the ledger {name} has schema {schema}; this version of opal reads {SCHEMA}. It was "
            "left as it is. Use the version that wrote it, or another file."
        )


def _take(connection: sqlite3.Connection) -> None:
    """Lock the file until it is closed, or the process ends however it may, and check it.

    SQLite checks the tables of small rows whole, and their indices: a request that no index finds
    would be bought again. Prompts and answers it would have to read, which takes seconds; each has
    a checksum that is held against it when it is read.
    """
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("BEGIN IMMEDIATE")
    for table in ("requests", "slots", "sendings"):
        (found,) = connection.execute(f"PRAGMA integrity_check({table})").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found.splitlines()[-1])
    connection.execute("SELECT * FROM bodies LIMIT 1").fetchone()
    connection.execute("COMMIT")


def _busy(path: Path) -> LedgerError:
    return LedgerError(
        f"the ledger {path} is in use by another run; wait for its end, or use another file."
    )
