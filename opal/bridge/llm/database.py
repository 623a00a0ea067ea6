"""A ledger's file while it is open: queries, transactions, and the way to the disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from opal.bridge.llm import store


class Database:
    """The file, open in this process alone; use it in ``with``.

    Args:
        path: of the file; made if there is none.

    Raises:
        LedgerError: the file is no ledger, damaged, of another version, or in use.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).resolve()
        self._connection = store.connect(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; it is whole without this too."""
        store.disconnect(self.path, self._connection)

    def flush(self) -> None:
        """Bring all to the disk; see :func:`store.flush`."""
        store.flush(self.path)

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
        with store.told(self.path):
            return self._connection.execute(sql, values)

    def rows(self, select: str, *values: object) -> list[tuple[Any, ...]]:
        """All that a query gives."""
        with store.told(self.path):
            return self._connection.execute(select, values).fetchall()
