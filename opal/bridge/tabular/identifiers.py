"""Columns that only tell rows apart: nothing is learnt from them, and they hide copies."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

_LEAST_UNIQUE = 50
_RANGE = 10  # of numbers, for each row that they number


def identifiers(
    real: Sequence[pd.DataFrame], needed: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns that number rows, and others in which all rows differ as well.

    A column that numbers rows holds whole numbers, all different in every table, of a range that is
    at most ten times as large as the table. Amounts may differ in all rows too: these are the
    others. One table at least must have 50 rows, and a feature is always left.

    Args:
        real: tables of real rows with the same columns, all of them numbers.
        needed: columns that are none: label and attributes.
    """
    large = any(len(table) >= _LEAST_UNIQUE for table in real)
    names = [name for name in real[0].columns if name not in needed] if large else []
    different = [
        name
        for name in names
        if all(t[name].is_unique for t in real) and all((t[name] % 1 == 0).all() for t in real)
    ][: len(real[0].columns) - 2]
    found = tuple(name for name in different if all(_is_dense(table[name]) for table in real))
    return found, tuple(name for name in different if name not in found)


def without_identifiers(
    table: pd.DataFrame, target: str | None, attributes: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """A table that is to be imitated without the columns that number its rows, and a note of them.

    Args:
        table: real rows, all of them numbers.
        target: label column; the last one if None.
        attributes: columns that, with the label, make the groups.
    """
    found, _ = identifiers([table], [target or table.columns[-1], *attributes])
    told = f"left out, since they number the real rows: {', '.join(found)}."
    return table.drop(columns=list(found)), [told] if found else []


def _is_dense(column: pd.Series) -> bool:
    return bool(column.max() - column.min() < _RANGE * len(column))
