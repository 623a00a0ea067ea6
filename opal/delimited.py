"""Tables as text: encodings, separators and decimal marks, as programs and countries have them.

UTF-8 and commas are read as they are. Otherwise what is told by the file itself is believed: a
byte order mark, or every second byte zero (UTF-16); a line ``sep=;``, or another separator that
gives every row as many cells as the header has; commas within numbers that are decimal marks.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pandas as pd

from opal import columns, spelling

_SEPARATORS = (",", ";", "\t", "|")
SEPARATOR_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_BYTES = 4000  # that tell an encoding
_RECORDS = 200  # that tell a separator
_START = 10**6  # characters that they are looked for in
_MOSTLY = 0.3  # of the bytes at every second place
_LEAST_PAIRS = 4  # of bytes that say anything
_TOLD = re.compile(r'"?sep=([,;|:\t ])"?\r?\n')
_DIGITS = re.compile(r"[+-]?[.,]*\d[\d.,]*([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
_FRACTION = re.compile(r"[+-]?(\d*|\d{1,3}(\.\d{3})+),\d+([eE][+-]?\d+)?")
_POINT = re.compile(r"[+-]?(\d+\.(\d{1,2}|\d{4,})|0\.\d+|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class _Form:
    """How a text is to be read."""

    text: str
    separator: str
    header: tuple[str, ...]
    n_above: int  # lines of the file that are no part of it


def decoded(content: bytes) -> str:
    """The text of a file.

    Raises:
        UnicodeDecodeError: it is neither UTF-8 nor recognisably UTF-16 or UTF-32.
    """
    return content.decode(_encoding(content)).lstrip("\ufeff")


def is_json(content: bytes) -> bool:
    """Whether a text begins as JSON does, an object or a list, which no header of a table does."""
    start = content[:_BYTES].decode(_encoding(content), errors="ignore").lstrip("\ufeff")
    return "".join(start.split())[:2] in ('{"', "[{", "[[", "{}", "[]")


def _encoding(content: bytes) -> str:
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), None)
    return encoding or _unmarked(content[:_BYTES]) or "utf-8"


def read_cells(content: bytes, separator: str = ",") -> pd.DataFrame:
    """The cells of a text as they are, under the names of its columns.

    Raises:
        UnicodeDecodeError, ValueError: it is no such text; says why.
    """
    return _read(_form(decoded(content), separator), dtype=object, na_filter=False)


def read_numbers(content: bytes, separator: str = ",") -> pd.DataFrame:
    """The same, but numbers are numbers, and what is absent is NaN.

    Raises:
        UnicodeDecodeError, ValueError: it is no such text; says why.
    """
    form = _form(decoded(content), separator)
    if form.separator == "," and '"' not in form.text:
        return _read(form, low_memory=False)
    return _read(form, low_memory=False, decimal=_decimal(form))


def decimal_of(content: bytes) -> str:
    """The decimal mark by which :func:`read_numbers` reads the numbers of a text.

    Raises:
        UnicodeDecodeError, ValueError: it is no such text; says why.
    """
    return _decimal(_form(decoded(content), ","))


def _unmarked(start: bytes) -> str | None:
    """UTF-16 without a mark: in European texts every second byte is zero."""
    n = len(start) // 2
    if n >= _LEAST_PAIRS:
        even, odd = start[0 : 2 * n : 2].count(0) / n, start[1 : 2 * n : 2].count(0) / n
        if max(even, odd) > _MOSTLY and min(even, odd) < _MOSTLY / 10:
            return "utf-16-be" if even > odd else "utf-16-le"
    return None


def _form(text: str, separator: str) -> _Form:
    told = _TOLD.match(text)
    if told:
        text, separator = text[told.end() :], told[1]
    else:
        separator = _separator(text, separator)
    header = tuple(spelling.name(cell) for cell in next(iter(_records(text, separator, 1)), []))
    columns.require_unique((name or place for place, name in enumerate(header)), "the header")
    return _Form(text, separator, header, int(told is not None))


def _separator(text: str, usual: str) -> str:
    """The usual separator, if it splits every row alike; another one that does; or the usual.

    Raises:
        ValueError: the usual one does not split the header, and another one splits it and most
            rows alike, but not all: names the first that it does not.
    """
    found = {
        separator: [len(each) for each in _records(text, separator, _RECORDS)]
        for separator in dict.fromkeys((usual, *_SEPARATORS))
    }
    for separator, counts in found.items():
        if len(set(counts)) == 1 and counts[0] > 1:
            return separator
    if found[usual][:1] == [1]:
        for separator, counts in found.items():
            if counts[:1] > [1] and 2 * counts[1:].count(counts[0]) > len(counts) - 1:
                raise _ragged(text, separator, counts[0])
    return usual


def _ragged(text: str, separator: str, wanted: int) -> ValueError:
    """What is wrong with the first line that is not split as the header is."""
    first, last, cells = next(
        (first, last, len(each))
        for first, last, each in _numbered(text, separator)
        if len(each) != wanted
    )
    line = f"line {first}" if first == last else f"what begins in line {first} and ends in {last}"
    quotes = "" if first == last else " close a quote that is open,"
    return ValueError(
        f"{line} has {cells} cells and the header {wanted}, where {SEPARATOR_NAMES[separator]} "
        f"separate them: complete the line,{quotes} or quote the cells that hold one"
    )


def _numbered(text: str, separator: str) -> Iterator[tuple[int, int, list[str]]]:
    """The records that are not blank with their first and last lines, as far as they are read."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    last = 0
    with suppress(csv.Error):
        for each in reader:
            first, last = last + 1, reader.line_num
            if each:
                yield first, last, each


def _records(text: str, separator: str, n: int) -> list[list[str]]:
    """The first records that are not blank, as far as they can be read."""
    found: list[list[str]] = []
    reader = csv.reader(io.StringIO(text[:_START], newline=""), delimiter=separator)
    with suppress(csv.Error):  # of a cell beyond the limit of csv, which pandas reads
        found.extend(islice((each for each in reader if each), n))
    return found[:-1] if len(text) > _START and 1 < len(found) < n else found  # that was cut


def _read(form: _Form, **options: Any) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        # Without index_col, pandas would take a field beyond the header for row names.
        try:
            table = pd.read_csv(
                io.BytesIO(form.text.encode()), sep=form.separator, index_col=False, **options
            )
        except pd.errors.ParserError as error:
            if "EOF inside string" not in str(error):
                raise
            raise _open_quote(form) from error
    if len(form.header) != table.shape[1]:
        return table
    table.columns = [
        name or str(there) for name, there in zip(form.header, table.columns, strict=True)
    ]
    blank = [not name and _is_blank(table.iloc[:, k]) for k, name in enumerate(form.header)]
    return table.loc[:, [not each for each in blank]] if any(blank) else table


def _open_quote(form: _Form) -> ValueError:
    """The text ends within a quote, that of its last record."""
    first = last = 0
    reader = csv.reader(io.StringIO(form.text, newline=""), delimiter=form.separator)
    try:
        for _ in reader:
            first, last = last + 1, reader.line_num
    except csv.Error:  # of a cell beyond the limit of csv, which is this one
        first = last + 1
    return ValueError(
        f"a quote in the row that begins in line {form.n_above + first} is never closed: close it, "
        "or double it where it is part of a cell"
    )


def _is_blank(column: pd.Series) -> bool:
    return bool((column.isna() | (column.astype(str).str.strip() == "")).all())


def _decimal(form: _Form) -> str:
    """The decimal mark of the numbers."""
    table = _read(form, dtype=object, na_filter=False)
    given = [[cell for cell in map(str.strip, table[name]) if cell] for name in table]
    return decimal_mark(given, sure=form.separator == ";")


def decimal_mark(given: Iterable[Sequence[str]], *, sure: bool) -> str:
    """The decimal mark of the numbers: a comma if some can be read in no other way.

    If a number has a point, no comma is a mark: ``64,64`` is a list then. ``1,250`` may be a
    thousand, and is a decimal only where semicolons are separators: they are because commas are
    not.

    Args:
        given: cells of each column that are not blank.
        sure: semicolons separate them.
    """
    numbers = [cells for cells in given if cells and all(map(_DIGITS.fullmatch, cells))]
    if any(_POINT.fullmatch(cell) for cells in numbers for cell in cells):
        return "."
    with_comma = [[cell for cell in cells if "," in cell] for cells in numbers]
    of_fractions = [cells for cells in with_comma if cells and all(map(_FRACTION.fullmatch, cells))]
    return "," if any(sure or not all(map(_THOUSANDS.fullmatch, c)) for c in of_fractions) else "."


def says_otherwise(content: bytes, separator: str) -> Sequence[str]:
    """Separators by their names that the first line has, if it has not the one it was read by."""
    try:
        first = decoded(content).lstrip().partition("\n")[0]
    except UnicodeDecodeError:
        return ()
    if separator in first:
        return ()
    return [SEPARATOR_NAMES[mark] for mark in _SEPARATORS if mark in first]
