"""Rows of numbers, and groups of them, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Row = tuple[float, ...]


def number(value: float) -> str:
    """The shortest text that reads back as the same number.

    >>> number(41.0), number(0.1), number(-0.0)
    ('41', '0.1', '0')
    """
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))


def sentence(columns: Sequence[str], row: Row) -> str:
    """A row as :mod:`opal.bridge.prompts.transcript` reads it back.

    >>> sentence(["age", "class"], (41.0, 1.0))
    'age is 41, class is 1.'
    """
    return clause(columns, row) + "."


def clause(columns: Sequence[str], row: Row) -> str:
    """``age is 41, class is 1`` without the full stop."""
    return ", ".join(f"{name} is {number(v)}" for name, v in zip(columns, row, strict=True))


def name_of(columns: Sequence[str], values: Row) -> str:
    """The name of the group that has these values.

    >>> name_of(["sex", "class"], (0.0, 1.0))
    'sex=0, class=1'
    """
    return ", ".join(f"{name}={number(v)}" for name, v in zip(columns, values, strict=True))


def numeric(table: pd.DataFrame) -> pd.DataFrame:
    """The table as finite numbers whose column names can stand in a sentence.

    Raises:
        ValueError: a name has a comma, a line end or `` is ``, a cell is no finite number, or
            there is no row.
    """
    for name in map(str, table.columns):
        if not name.strip() or any(part in name for part in (",", "\n", "\r", " is ")):
            raise ValueError(
                f"a column's name must fit into `name is value, name is value.`; got {name!r}: "
                "rename it, without commas, line ends and ` is `."
            )
    if table.empty:
        raise ValueError("a table to be imitated needs rows; got none.")
    for name in table.columns:
        _require_numbers(table[name])
    found = table.astype(float)
    return found.set_axis([str(name).strip() for name in table.columns], axis=1)


def _require_numbers(column: pd.Series[float]) -> None:
    import pandas as pd

    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    if not (finite := np.isfinite(values)).all():
        row = int(np.flatnonzero(~finite)[0])
        raise ValueError(
            f"every cell must be a finite number; {column.name!r} has {column.tolist()[row]!r} in "
            f"row {row}: fill it, code categories as numbers, or leave the column or the row out."
        )


def ranges(table: pd.DataFrame) -> Mapping[str, Mapping[str, object]]:
    """What the values of each column are: whole or decimal, smallest and largest."""
    return {name: _range(table[name].to_numpy(dtype=float)) for name in table.columns}


def _range(values: np.ndarray) -> Mapping[str, object]:
    kind = "whole numbers" if np.all(values == np.round(values)) else "decimal numbers"
    return {"values": kind, "smallest": number(values.min()), "largest": number(values.max())}
