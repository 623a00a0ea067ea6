"""Rows as a language model writes and reads them: ``name is value, name is value.``, one a line.

Nothing in a row is repaired: a line that is not a row is rejected with its number and the reason,
so that what was dropped can be counted and read. What stands around rows is told apart by
:mod:`opal.bridge.prompts.markup`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opal import names
from opal.bridge.prompts import markup
from opal.bridge.prompts.common import RejectedError

if TYPE_CHECKING:
    import pandas as pd

_VALUE = re.compile(r" is [+-]?\.?\d")
_NAME = re.compile(r"[\w(\[<\"'$%#@&€£°]")


@dataclass(frozen=True)
class RejectedLine:
    """A line that is not a row: its number (from 1), its text and the reason."""

    line: int
    text: str
    reason: str


@dataclass(frozen=True)
class Transcript:
    """The rows of a text in order, and what was rejected.

    Every line is a row, rejected, blank or a mark. Columns of whole numbers are integers.
    """

    rows: pd.DataFrame
    rejected: tuple[RejectedLine, ...]
    n_lines: int
    n_blank: int
    n_marks: int  # lines that only mark something: fences, the header and the rules of a table


def parse(text: str, columns: Sequence[str] | None = None) -> Transcript:
    r"""Read a text into rows.

    What models put around rows is no part of them: marks of lists, emphasis, quotes, fences, an
    "and" before the last value. Where no line is such a row, a table is read: Markdown's, or one of
    commas, semicolons or tabs, each with a header. Decimal commas are read where numbers make sense
    in no other way: ``3,5`` is one if no number has a point.

    Args:
        text: one row a line; a final full stop, and any order of the columns, are accepted.
        columns: names of the columns in the order wanted; by default the names that most lines
            have, in the order of the first such line.

    Raises:
        ValueError: no columns were given and no line has any, or a given one is in no line.

    >>> found = parse("1. age is 41, class is 1.\nage is forty, class is 0.\n")
    >>> found.rows.to_dict("records")
    [{'age': 41, 'class': 1}]
    >>> found.rejected[0].line, found.rejected[0].reason
    (2, "the value of 'age' must be a number; got 'forty'")
    """
    import pandas as pd

    from opal.columns import as_whole

    given = [line.strip() for line in text.splitlines()]
    lines = markup.with_points(given)
    said = list(map(markup.bare_line, lines))
    if not any(map(_VALUE.search, said)) and (table := markup.table_rows(lines)):
        said = table  # what is no row of the table stays as it is, and is none of these either
    wanted = _usual_columns(said) if columns is None else _present(columns, [*lines, *said])
    rows: list[dict[str, float]] = []
    rejected: list[RejectedLine] = []
    for number, (line, bare) in enumerate(zip(lines, said, strict=True)):
        if not bare:
            continue
        try:
            rows.append(_row(line, bare, wanted))
        except RejectedError as reason:
            rejected.append(RejectedLine(number + 1, given[number], str(reason)))
    found = as_whole(pd.DataFrame(rows, columns=list(wanted), dtype=float))
    n_blank = given.count("")
    return Transcript(found, tuple(rejected), len(lines), n_blank, said.count("") - n_blank)


def _row(line: str, bare: str, columns: Sequence[str]) -> dict[str, float]:
    """A row as it stands, for a name may begin as a list does; or else without marks around it."""
    try:
        return read_row(line, columns)
    except RejectedError:
        pass
    try:
        return read_row(bare, columns)
    except RejectedError as reason:
        raise RejectedError(str(reason).replace(markup.COMMA, ",")) from None


def _usual_columns(lines: Sequence[str]) -> tuple[str, ...]:
    """The names that most lines have, in the order of the first line that has them."""
    found = [tuple(name for name, _ in _pairs(line)) for line in lines if " is " in line]
    if not found:
        raise ValueError(
            "a text of rows has lines `name is value, name is value.`; none is. "
            "Give the file that the model wrote; a table begins with the names of its columns."
        )
    usual, often = Counter(frozenset(order) for order in found).most_common(1)[0]
    first = next(order for order in found if frozenset(order) == usual)
    if strange := [name for name in first if name and not _NAME.match(name)]:
        raise ValueError(
            f"names of columns begin with a letter; got {strange[0]!r}, whose first sign may be a "
            "mark of the model's. Name the columns, or correct the text."
        )
    several = [order for order in found if len(order) > 1]
    if often == 1 and len(several) > 1:
        raise ValueError(
            "columns are told by the names that lines share; no two lines have the same, the first "
            f"has {', '.join(map(repr, several[0]))}. Name the columns, or correct the text."
        )
    return first


def _present(columns: Sequence[str], lines: Sequence[str]) -> tuple[str, ...]:
    """The given columns, once each of them is known to be in some line."""
    found = {name for line in lines for name, _ in _pairs(line)}
    for name in columns:
        if name not in found:
            raise names.unknown("column", name, _usual_columns(lines))
    return tuple(columns)


def _pairs(line: str) -> list[tuple[str, str]]:
    """``(name, value)`` of each part; a part without `` is `` has an empty name."""
    parts = [part.strip() for part in line.removesuffix(".").split(",")]
    split = [part.rpartition(" is ") for part in parts if part]
    return [(name.strip(), value.strip()) for name, _, value in split]


def read_row(line: str, columns: Sequence[str]) -> dict[str, float]:
    """The values of one line, in the order of the columns.

    Raises:
        RejectedError: the line is no row; says why.
    """
    values: dict[str, float] = {}
    for name, value in _pairs(line):
        if not name:
            raise RejectedError(f"each part must be `name is value`; got {value!r}")
        if name not in columns:
            hint = names.hint(name, columns).removesuffix(".")
            raise RejectedError(f"there is no column {name!r}{hint}")
        if name in values:
            raise RejectedError(f"column {name!r} is there twice")
        if not markup.NUMBER.fullmatch(value) or not math.isfinite(float(value)):
            raise RejectedError(f"the value of {name!r} must be a number; got {value!r}")
        values[name] = float(value)
    missing = [name for name in columns if name not in values]
    if missing:
        raise RejectedError(f"the row ends before it is complete; missing: {', '.join(missing)}")
    return {name: values[name] for name in columns}


def number(value: float) -> str:
    """The shortest text that reads back as the same number.

    >>> number(41.0), number(0.1), number(-0.0)
    ('41', '0.1', '0')
    """
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))


def sentence(columns: Sequence[str], row: Sequence[float]) -> str:
    """A row as :func:`parse` reads it back.

    >>> sentence(["age", "class"], (41.0, 1.0))
    'age is 41, class is 1.'
    """
    return clause(columns, row) + "."


def clause(columns: Sequence[str], row: Sequence[float]) -> str:
    """``age is 41, class is 1`` without the full stop."""
    return ", ".join(f"{name} is {number(v)}" for name, v in zip(columns, row, strict=True))


def name_of(columns: Sequence[str], values: Sequence[float]) -> str:
    """The name of the group that has these values.

    >>> name_of(["sex", "class"], (0.0, 1.0))
    'sex=0, class=1'
    """
    return ", ".join(f"{name}={number(v)}" for name, v in zip(columns, values, strict=True))
