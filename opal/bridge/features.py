"""Columns of a table of any types: as numbers for what makes rows of numbers, and back as they are.

A table is a DataFrame, an array or a list of rows. Its own rows never go through numbers: a date, a
word or an integer beyond 2⁵³ comes back as it was. What is made of numbers is put into each
column's type:

* whole numbers are rounded, and numbers beyond what the type holds are its least or its largest;
* of a column of truth values as many are true as among the rows of the class, those of the largest
  numbers: a Gaussian's 0.3 is neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from opal.columns import require_unique

_INSTEAD = ", use Duplication() or a pool, which take any column"


@dataclass(frozen=True, eq=False)
class TypedTable:
    """The features of the rows that are resampled.

    Attributes:
        table: the rows, a DataFrame, an array or a list.
        frame: the same as a DataFrame.
    """

    table: Any
    frame: pd.DataFrame

    @classmethod
    def of(cls, table: Any) -> TypedTable:
        """The features of a table of two axes."""
        if isinstance(table, pd.DataFrame):
            return cls(table, table)
        array = np.asarray(table)
        if isinstance(table, np.ndarray) or array.dtype.kind in "biufc":
            return cls(table, pd.DataFrame(array))
        return cls(table, pd.DataFrame([list(row) for row in table]))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the columns; ``x1``, ``x2``, … where the table has none."""
        if isinstance(self.table, pd.DataFrame):
            return tuple(map(str, self.table.columns))
        return tuple(f"x{k + 1}" for k in range(self.frame.shape[1]))

    def values(self) -> np.ndarray:
        """Numbers [n, d] where all columns hold them, otherwise whatever they hold."""
        try:
            return self.numbers("")
        except ValueError:
            return self.frame.to_numpy(dtype=object)

    def numbers(self, maker: str) -> np.ndarray:
        """The numbers [n, d] that ``maker`` makes rows of.

        Raises:
            ValueError: a column holds something else, or a value is missing or infinite.
        """
        rule = f"{maker} makes rows of numbers"
        columns = [
            _numbers(self.frame.iloc[:, k], f"column {name!r}", rule, _INSTEAD)
            for k, name in enumerate(self.names)
        ]
        return np.column_stack(columns)

    def made(self, rows: np.ndarray, own: np.ndarray, random: np.random.Generator) -> Any:
        """Rows of numbers [k, d] in the types of the table; ``own`` are those of the class [n]."""
        columns = [
            _typed(rows[:, k], self.frame.iloc[:, k], own, random) for k in range(rows.shape[1])
        ]
        return self._table(columns)

    def admitted(self, pool: pd.DataFrame) -> Any:
        """The rows of a pool with these columns, in the types of the table.

        Raises:
            ValueError: a value does not fit its column; says which.
        """
        columns = [
            _fitting(pool.iloc[:, k], self.frame.iloc[:, k], name)
            for k, name in enumerate(self.names)
        ]
        return self._table(columns)

    def _table(self, columns: Sequence[Any]) -> Any:
        frame = pd.DataFrame(dict(enumerate(columns)))
        if isinstance(self.table, pd.DataFrame):
            return frame.set_axis(self.table.columns, axis=1)
        if isinstance(self.table, np.ndarray):
            return frame.to_numpy(dtype=self.table.dtype)
        return type(self.table)(frame.to_numpy().tolist())


def are_texts(X: Any) -> bool:
    """Whether X is a sequence of strings; of its elements one at least is."""
    if isinstance(X, np.ndarray | pd.Series):
        return X.ndim == 1 and any(isinstance(each, str) for each in X)
    return isinstance(X, list | tuple) and any(isinstance(each, str) for each in X)


def check_texts(X: Any) -> None:
    """Check that every text is a string with something in it.

    Raises:
        ValueError: one is not; says which.
    """
    for row, each in enumerate(X):
        if not isinstance(each, str) or not each.strip():
            raise ValueError(
                f"every text must be a string that is not empty; got {each!r} in row {row}: drop "
                "it, or give the text."
            )


def check_shape(X: pd.DataFrame) -> None:
    """Check that a table has rows, and columns with names of their own.

    Raises:
        ValueError: it has none of either, or a name twice.
    """
    if 0 in X.shape:
        raise ValueError(
            f"X must have rows and columns; got a table of shape {X.shape}. Give some of both."
        )
    require_unique(X.columns, "X")


def indexable(given: Any, n_axes: int) -> Any:
    """Data as given, of which rows can be taken: an array, where they are of no known type."""
    if given is None or isinstance(given, pd.DataFrame | pd.Series | list | tuple):
        return given
    array = given if hasattr(given, "toarray") else np.asarray(given)
    return array.ravel() if array.shape[1:] == (1,) and n_axes == 1 else array


def rows_of(table: Any, rows: np.ndarray) -> Any:
    """Some rows of a table, or elements of a sequence."""
    if isinstance(table, pd.DataFrame | pd.Series):
        return table.iloc[rows]
    if isinstance(table, list | tuple):
        return type(table)(table[k] for k in rows)
    return np.asarray(table)[rows]


def joined(parts: Sequence[Any]) -> Any:
    """Tables or sequences of one type, one below the other; rows of pandas are numbered anew."""
    first, *_ = filled = [parts[0], *(part for part in parts[1:] if len(part))]
    if isinstance(first, pd.DataFrame | pd.Series):
        return pd.concat(filled, ignore_index=True)
    if isinstance(first, list | tuple):
        return type(first)(row for part in filled for row in part)
    return np.concatenate(filled)


def _numbers(column: pd.Series, what: str, rule: str, instead: str) -> np.ndarray:
    """A column as numbers [n].

    Raises:
        ValueError: it holds something else, or a value is missing or infinite.
    """
    missing = column.isna().to_numpy()
    if missing.any():
        raise ValueError(
            f"{rule}, and no value may be missing; {what} lacks {missing.sum()} of {len(column)}, "
            f"the first in row {_row(column, missing)}. Fill them in{instead}, or "
            "drop those rows."
        )
    kind = _kind(column)
    if kind not in "biuf":
        told = next((each for each in column if not isinstance(each, Real)), None)
        raise ValueError(
            f"{rule}, and every column must hold numbers; {what} is of type {column.dtype} and "
            f"holds {told!r}. Make numbers of it{instead}, or leave it out."
        )
    numbers = column.to_numpy(dtype=float)
    infinite = ~np.isfinite(numbers)
    if infinite.any():
        raise ValueError(
            f"{rule}, and all must be finite; {what} holds {numbers[infinite][0]} in row "
            f"{_row(column, infinite)}. Replace it, or drop that row."
        )
    return numbers


def _kind(column: pd.Series) -> str:
    """``b`` truth values, ``i`` or ``u`` whole numbers, ``f`` others; ``O`` for all else."""
    dtype = column.dtype
    if dtype.kind == "O" and isinstance(dtype, np.dtype):
        kind = pd.Series(list(column)).infer_objects().dtype.kind
        return kind if kind in "biuf" else "O"
    types = pd.api.types
    if isinstance(dtype, pd.CategoricalDtype):
        return "O"
    return (
        _plain(dtype).kind if types.is_numeric_dtype(dtype) or types.is_bool_dtype(dtype) else "O"
    )


def _plain(dtype: Any) -> np.dtype[Any]:
    """NumPy's own type of what a column of pandas holds."""
    return np.dtype(getattr(dtype, "subtype", None) or getattr(dtype, "numpy_dtype", dtype))


def _typed(
    numbers: np.ndarray, column: pd.Series, own: np.ndarray, random: np.random.Generator
) -> Any:
    """Numbers that were made, as a column of the type of ``column``."""
    kind = _kind(column)
    if kind == "b":
        share = column.to_numpy(dtype=float)[own].mean()
        return _of_type(_largest(numbers, share, random), column)
    return _of_type(np.rint(numbers) if kind in "iu" else numbers, column)


def _largest(numbers: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """Whether each number [k] is among so large a share of the largest; equal ones by chance."""
    n = int(np.floor(share * len(numbers) + random.random()))
    order = np.lexsort((random.random(len(numbers)), -numbers))
    chosen = np.zeros(len(numbers), dtype=bool)
    chosen[order[:n]] = True
    return chosen


def _of_type(values: np.ndarray, column: pd.Series) -> Any:
    """Values in the type of a column, cut off where it ends."""
    if column.dtype == object:
        whole = _kind(column) in "iu"
        objects = [int(each) for each in values] if whole else values.tolist()
        return pd.array(np.fromiter(objects, dtype=object, count=len(values)), dtype=object)
    plain = _plain(column.dtype)
    if plain.kind in "iu":
        values = _whole(values, plain)
    elif plain.kind == "f":
        values = np.clip(values, np.finfo(plain).min, np.finfo(plain).max).astype(plain)
    return pd.array(values, dtype=column.dtype)


def _whole(values: np.ndarray, plain: np.dtype[Any]) -> np.ndarray:
    """Whole numbers of a type; the ends of 64 bits are no double, and would run over."""
    least, largest = np.iinfo(plain).min, np.iinfo(plain).max
    inside = (values > least) & (values < largest)
    cast = np.where(inside, values, 0.0).astype(plain)
    return np.where(inside, cast, np.where(values > 0, largest, least).astype(plain))


def _fitting(given: pd.Series, column: pd.Series, name: str) -> Any:
    """A column of a pool in the type of that of the table.

    Raises:
        ValueError: a value does not fit.
    """
    if given.empty:
        return column.iloc[:0].array
    what, kind = f"column {name!r} of the pool", _kind(column)
    gaps = given.isna().to_numpy()
    if gaps.any() and not column.isna().any():
        raise ValueError(
            f"{what} lacks {gaps.sum()} of {len(given)} values, the first in row "
            f"{_row(given, gaps)}, and X lacks none there. Drop those samples, or fill them in."
        )
    if kind in "biuf" and not gaps.any():
        numbers = _numbers(given, what, "X has numbers there", "")
        _check_range(numbers, given, column, what)
        whole = np.rint(numbers) if kind in "iu" else numbers
        return _of_type(numbers != 0 if kind == "b" else whole, column)
    if isinstance(column.dtype, pd.CategoricalDtype):
        strange = ~given.isin(column.cat.categories).to_numpy() & ~gaps
        if strange.any():
            raise ValueError(
                f"{what} must hold categories that X has there, such as "
                f"{column.cat.categories[0]!r}; it holds {given[strange].iloc[0]!r} in row "
                f"{_row(given, strange)}. Add it to the categories of X, or drop the sample."
            )
    try:
        return given.astype(column.dtype).array
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{what} must fit X, where it is of type {column.dtype}; {error}. Convert it in one "
            "of the two."
        ) from error


def _row(column: pd.Series, marked: np.ndarray) -> Any:
    """What the first marked row is called in its table."""
    return column.index[marked.argmax()]


def _check_range(numbers: np.ndarray, given: pd.Series, column: pd.Series, what: str) -> None:
    """Check that a column of X could hold these numbers: bought ones are not cut off."""
    plain = np.dtype(float) if column.dtype == object else _plain(column.dtype)
    if plain.kind == "b":
        held, wrong = "only 0 and 1", (numbers != 0) & (numbers != 1)
    else:
        ends: Any = np.iinfo(plain.name) if plain.kind in "iu" else np.finfo(plain.name)
        held = f"only {float(ends.min):g} to {float(ends.max):g}"
        wrong = (numbers < float(ends.min)) | (numbers > float(ends.max))
    if wrong.any():
        raise ValueError(
            f"{what} holds {numbers[wrong][0]:g} in row {_row(given, wrong)}; X has the type "
            f"{column.dtype} there, which holds {held}. Give X a wider type, or drop the sample."
        )
