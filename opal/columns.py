"""Columns and rows of tables: their names, their numbers, and how messages count them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def require_unique(names: Iterable[object], where: str) -> None:
    """Refuse columns of one name: which of them is meant?

    Raises:
        ValueError: names both places, counted from 1.
    """
    places: dict[object, int] = {}
    for place, name in enumerate(names, 1):
        first = places.setdefault(name, place)
        if first != place:
            raise ValueError(
                f"{where} must have columns of different names; columns {first} and {place} are "
                f"both {name!r}. Rename one, or leave one out."
            )


def as_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with floats for whole numbers beyond 64 bits, decimals and fractions.

    Such numbers are objects to pandas; beyond 1.8e308 they are infinite. A column that holds
    anything else stays as it is.
    """
    found = frame.copy(deep=False)
    for name in [n for n, kind in frame.dtypes.items() if kind.kind == "O"]:
        column = frame[name]
        given = column[column.notna()]
        if len(given) and all(map(_is_number, given)):
            found[name] = column.map(_float, na_action="ignore").astype(float)
    return found


def as_whole(frame: pd.DataFrame, like: pd.DataFrame | None = None) -> pd.DataFrame:
    """The table with integers for the columns that hold nothing but whole numbers below 2⁵³.

    Args:
        frame: finite numbers.
        like: a table of the same columns that must have whole numbers there as well.
    """
    whole = (frame == frame.round()).all() & (frame.abs() < 2**53).all() & bool(len(frame))
    if like is not None:
        whole &= (like == like.round()).all()
    return frame.astype(dict.fromkeys(frame.columns[whole], np.int64))


def require_exact(column: pd.Series, where: str = "") -> None:
    """Refuse whole numbers beyond 2⁵³ that a float does not hold exactly.

    Args:
        column: finite numbers, or their digits.
        where: begins the message.

    Raises:
        ValueError: names column and data row.
    """
    values = column.to_numpy(dtype=float)
    for place in np.flatnonzero(np.abs(values) >= 2**53):
        cell = column.iloc[place]
        if str(cell).strip().lstrip("+-").isdecimal() and int(cell) != float(cell):
            raise ValueError(
                f"{where}whole numbers must be such as a float holds exactly; {column.name!r} has "
                f"{cell!s:.60}, beyond 2^53, in data row {data_row(column, int(place))}: round the "
                "column, or leave it out."
            )


def data_row(frame: pd.DataFrame | pd.Series, place: int) -> int:
    """How messages count a row: 1 is the first below the header, also where rows were left out.

    Rows keep their number in the index that pandas gives them; another index is not counted by.
    """
    index = frame.index
    counted = index.name is None and index.dtype.kind == "i" and index.is_monotonic_increasing
    if counted and index.is_unique and len(index) and index[0] >= 0:
        return int(index[place]) + 1
    return int(place) + 1


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _is_number(value: object) -> bool:
    return isinstance(value, Number) and not isinstance(value, bool | np.bool_ | complex)
