"""What models put around rows: lists, emphasis, quotes, fences, tables. Rows stay as they are."""

from __future__ import annotations

import re
from collections.abc import Sequence

COMMA = "\u201a"
"""What stands for a comma that separates no values."""
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
"""A value of a row."""
_DECIMAL = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
# The number of a part `name is value`, also where a comma in it is none between parts.
_SAID = re.compile(r"(?<=\sis\s)[+-]?[\d.,]*\d([eE][+-]?\d+)?(?!\w|\s+is\s)")
_UNNAMED = ("#", "\u2116", "")  # columns that count rows
_FENCE = re.compile(r"(```|~~~)[\w+-]*")
# Between two runs of dashes something must stand, or a long one could be read in many ways.
_RULE = re.compile(r"\|?\s*:?-{2,}(?:(?=[:\s|]):?\s*(?:\|\s*)?:?-{2,})*:?\s*\|?|[-*_=]{3,}")
_ITEM = re.compile(
    r"(?:[-*+>\u2022\u2023\u25e6\u25aa\u25cf\u25cb\u25a0\u2013\u2014\u00b7\u2043\u2219\u27a4\u2192\u2713\u2714]"
    r"(?:\s*\[[ xX]?\])?\s+"  # -, *, a bullet, a task, a quotation
    r"|\(?\d{1,5}(?:\s?[.):\-]\)?\s+|[.)](?=[^\W\d]))"  # 1. 1) (1) 1: 1.age
    r"|#\d{1,5}[.):]?\s+"  # #1
    r"|\(?(?:[A-Za-z]|[ivxlcIVXLC]{1,7})[.)]\s+"  # a) iv.
    r"|[A-Za-z]+\s?#?\d{1,5}\s?[.):]\s*"  # Row 1:
    r")"
)
# Within a part only such marks stand as join words: a line is not read again from each of them.
_EMPHASIS = re.compile(
    r"(?<![\w*])(?:"
    r"(\*{1,3})(?=\S)((?:[^*]|(?<=\w)\*(?=\w))+?)(?<=\S)\1"
    r"|(_{1,3})(?=\S)((?:[^_]|(?<=\w)_(?=\w))+?)(?<=\S)\3"
    r"|`(?=\S)([^`]+)(?<=\S)`"
    r")(?![\w*])"
)
_DEEPEST = 4  # marks within marks
_TAG = re.compile(r"</?(?:li|ul|ol|p|br|b|i|em|strong|code|tr|td)\s*/?>", re.IGNORECASE)
_AND = re.compile(r"(?<=\d)[.*_`]*[,;]?\s+(?:and|&)\s+")
_QUOTES = (('"', '"'), ("'", "'"), ("\u201c", "\u201d"), ("`", "`"))


def bare_line(line: str) -> str:
    """A row without what is around it; empty for a line that only marks something.

    >>> bare_line("2) **age** is 41; dose is 3.5, and class is 1.")
    'age is 41, dose is 3.5, class is 1.'
    """
    said = line.strip("\ufeff\u200b ").replace("\u00a0", " ").replace("\u202f", " ")
    if _is_mark(said):
        return ""
    said = _plain(_unquoted(_TAG.sub("", said).strip()))
    for _ in range(_DEEPEST):
        if not (item := _ITEM.match(said)) or " is " not in said[item.end() :]:
            break
        said = _plain(_unquoted(said[item.end() :]))
    return _commas(_AND.sub(", ", said))


def with_points(lines: Sequence[str]) -> list[str]:
    """The lines with points for decimal commas, if their numbers can be read in no other way.

    >>> with_points(["age is 41,5, class is 1.", "age is 40, class is 0."])
    ['age is 41.5, class is 1.', 'age is 40, class is 0.']
    """
    from opal.delimited import decimal_mark

    given = [found[0] for line in lines for found in _SAID.finditer(line)]
    if decimal_mark([given], sure=False) == ".":
        return list(lines)
    return [_SAID.sub(lambda found: _pointed(found[0]), line) for line in lines]


def table_rows(lines: Sequence[str]) -> list[str]:
    """The lines of a table as ``name is value, name is value``; none where there is no table.

    The header and the rules of the table become empty, other lines stay as they are. Decimal commas
    become points.
    """
    from opal.delimited import decimal_mark

    for mark in ("|", "\t", ";", ","):
        cells = [_cells(line, mark) for line in lines]
        for place, header in enumerate(cells):
            rows = [each for each in cells[place + 1 :] if _fits(each, header)]
            if rows and _is_header(header):
                given = [[cell for cell in column if cell] for column in zip(*rows, strict=True)]
                if decimal_mark(given, sure=mark == ";") == ",":
                    cells[place + 1 :] = [list(map(_pointed, row)) for row in cells[place + 1 :]]
                return [
                    _of_table(line, each, header, at - place)
                    for at, (line, each) in enumerate(zip(lines, cells, strict=True))
                ]
    return []


def _of_table(line: str, cells: Sequence[str], header: Sequence[str], below: int) -> str:
    """A line that is so far below the header."""
    if below > 0 and _fits(cells, header):
        return _sentence(header, cells)
    return "" if below == 0 or _is_mark(line) else line


def _plain(line: str) -> str:
    """A line without emphasis."""
    for _ in range(_DEEPEST):
        line = _EMPHASIS.sub(r"\2\4\5", line)
    return line


def _unquoted(line: str) -> str:
    """A line without quotes around the whole of it, as in a list of JSON."""
    inner = line.removesuffix(",").strip()
    for first, last in _QUOTES:
        if len(inner) > 1 and inner.startswith(first) and inner.endswith(last):
            return inner[1:-1].strip()
    return line


def _commas(line: str) -> str:
    """Semicolons as commas, where they separate values; a comma within one of them stays none."""
    wide = line.replace("\uff0c", ",").replace("\uff1b", ";")
    parts = [part.strip() for part in wide.removesuffix(".").rstrip(";, ").split(";")]
    if len(parts) == 1:
        return wide.rstrip(";, ")
    split = [part for each in parts for part in _within(each)]
    return ", ".join(split) + "."


def _within(part: str) -> list[str]:
    """The parts between commas, if each is ``name is value``; otherwise the whole."""
    parts = [each.strip() for each in part.split(",")]
    return parts if all(" is " in each for each in parts) else [part.replace(",", COMMA)]


def _cells(line: str, mark: str) -> list[str]:
    inner = line.strip("\ufeff ")
    if mark == "|":
        inner = inner.removeprefix("|").removesuffix("|")
    cells = [_unquoted(cell.strip()).strip("*` ") for cell in inner.split(mark)]
    return cells if len(cells) > 1 else []


def _pointed(cell: str) -> str:
    """A number with a decimal point for its comma; anything else as it is."""
    return cell.replace(",", ".") if _DECIMAL.fullmatch(cell) else cell


def _is_number(cell: str) -> bool:
    return bool(NUMBER.fullmatch(cell) or _DECIMAL.fullmatch(cell))


def _is_header(cells: Sequence[str]) -> bool:
    named = [cell for cell in cells if cell not in _UNNAMED]
    plain = len(named) > 1 and not any(map(_is_number, named))
    return plain and not all(set(cell) <= set(":-") for cell in named)


def _fits(cells: Sequence[str], header: Sequence[str]) -> bool:
    return len(cells) == len(header) > 1 and any(map(_is_number, cells))


def _is_mark(line: str) -> bool:
    return not line or bool(_FENCE.fullmatch(line) or _RULE.fullmatch(line))


def _sentence(header: Sequence[str], cells: Sequence[str]) -> str:
    pairs = [each for each in zip(header, cells, strict=True) if each[0] not in _UNNAMED]
    return ", ".join(f"{name} is {cell.replace(',', COMMA)}" for name, cell in pairs) + "."
