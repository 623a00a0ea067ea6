"""Tables that laws are fitted to: any CSV or Parquet with named columns, checked before a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from opal.names import hint
from opal.scaling.laws import Columns, Law


@dataclass(frozen=True)
class Roles:
    """Which column of a table is what.

    Attributes:
        x: column of each variable of the law.
        y: column of the values.
        std_error: column of their standard errors.
        seed: column that says which rows share a seed.
    """

    x: Mapping[str, str]
    y: str
    std_error: str | None = None
    seed: str | None = None

    @property
    def columns(self) -> list[str]:
        """All columns that a fit reads, each once."""
        named = [*self.x.values(), self.y, self.std_error, self.seed]
        return list(dict.fromkeys(name for name in named if name is not None))


def where(frame: pd.DataFrame, conditions: Sequence[str]) -> pd.DataFrame:
    """Rows that meet every condition ``COLUMN=VALUE``.

    Raises:
        ValueError: a condition has no ``=``, names no column, or no row meets it.
    """
    for condition in conditions:
        column, equals, value = condition.partition("=")
        if not equals:
            raise ValueError(
                f"a condition reads COLUMN=VALUE; got {condition!r}. Write it as seed=3."
            )
        check_columns(frame, [column])
        text = frame[column].astype(str)
        keep = text == value
        if pd.api.types.is_numeric_dtype(frame[column]) and _is_number(value):
            keep = keep | (frame[column] == float(value))
        if not keep.any():
            known = ", ".join(sorted(text.unique())[:10])
            raise ValueError(f"no row has {column} = {value!r}; it holds {known}.")
        frame = frame[keep]
    return frame.reset_index(drop=True)


def check_columns(frame: pd.DataFrame, names: Sequence[str]) -> None:
    """Check that the columns are there.

    Raises:
        ValueError: one is not; says the nearest match, and what there is.
    """
    known = [str(name) for name in frame.columns]
    for name in names:
        if name not in known:
            raise ValueError(
                f"the table has no column {name!r}{hint(name, known)} It has: {', '.join(known)}."
                f"{_separator_hint(known)}"
            )


def _separator_hint(known: Sequence[str]) -> str:
    """What to do about a header that was not split, because its separator is no comma."""
    if len(known) == 1 and any(mark in known[0] for mark in ";\t|"):
        return " That is one column: separate the columns of the file by commas."
    return ""


def columns_of(frame: pd.DataFrame, law: Law, roles: Roles) -> Columns:
    """The law's variables as arrays."""
    return law.arrays({name: frame[roles.x[name]].to_numpy(float) for name in law.variables})


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
