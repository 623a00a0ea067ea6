"""Rows as values: which rows are equal, and a table without given rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pandas as pd


def keys(table: pd.DataFrame) -> list[bytes]:
    """One hashable key for each row; equal keys are equal numbers in the same column order.

    Whole numbers written 1 and 1.0 are the same value, and so are 0.0 and −0.0.
    """
    values = np.ascontiguousarray(table.to_numpy(dtype=float) + 0.0)
    return [row.tobytes() for row in values]


def without(table: pd.DataFrame, taken: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """``table`` less the rows of other tables, counted: a row taken once goes once.

    A source table may hold identical rows of different people; only as many of them go as were
    taken.
    """
    left = Counter(key for other in taken for key in keys(other[table.columns]))
    keep = np.ones(len(table), dtype=bool)
    for index, key in enumerate(keys(table)):
        if left[key]:
            left[key] -= 1
            keep[index] = False
    return table[keep]
