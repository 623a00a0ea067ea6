"""What a command says: a table for people, JSON for programs, both on standard output."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

_FOLDED = 24  # characters to which a column of words may shrink


def print_json(content: Any) -> None:
    """Print strict JSON: numbers that JSON does not know (NaN, infinity) become null."""
    sys.stdout.write(json.dumps(strict(content), indent=2, default=str, allow_nan=False) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their columns; numbers to the right, four digits.

    What is wider than the console is printed in parts, with the rows numbered.
    """
    rows = [list(row) for row in rows]
    numeric = [
        bool(rows) and all(isinstance(row[k], int | float) for row in rows)
        for k in range(len(columns))
    ]
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(each[k]) for each in [columns, *cells]) for k in range(len(columns))]
    # Words fold; numbers that do are no longer read.
    widths = [w if own else min(w, _FOLDED) for w, own in zip(widths, numeric, strict=True)]
    out = console()
    out.print(title, style="bold underline", markup=False, highlight=False)
    parts = _parts(widths, out.width)
    for part in parts:
        table = Table(box=None, header_style="bold", pad_edge=False)
        if len(parts) > 1:
            table.add_column("#", justify="right")
        for k in part:
            side: Literal["right", "left"] = "right" if numeric[k] else "left"
            table.add_column(columns[k], justify=side, overflow="fold")
        for number, row in enumerate(cells, start=1):
            numbered = [str(number)] if len(parts) > 1 else []
            table.add_row(*numbered, *(row[k] for k in part))
        out.print(table)


def _parts(widths: Sequence[int], most: int) -> list[list[int]]:
    """Columns that fit beside each other, two spaces apart; room is left for a row's number."""
    if sum(widths) + 2 * len(widths) <= most:
        return [list(range(len(widths)))]
    parts: list[list[int]] = [[]]
    used = room = len("# 9999")
    for k, width in enumerate(widths):
        if parts[-1] and used + width + 2 > most:
            parts.append([])
            used = room
        parts[-1].append(k)
        used += width + 2
    return parts


def print_lines(*lines: str) -> None:
    """Print plain lines."""
    for line in lines:
        console().print(line, markup=False, highlight=False, soft_wrap=True)


def console() -> Console:
    """Standard output; wide enough for a table when it is a file or a pipe."""
    return Console(width=None if sys.stdout.isatty() else 140)


def _cell(value: object) -> str:
    from rich.markup import escape

    if isinstance(value, float):
        return f"{value:.4g}"
    return escape(str(value))


def strict(content: Any) -> Any:
    """The same content in strict JSON's terms: NaN and infinity become null, tuples lists.

    >>> strict({"threshold": float("inf"), "sizes": (1, 2)})
    {'threshold': None, 'sizes': [1, 2]}
    """
    if isinstance(content, Mapping):
        return {str(key): strict(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [strict(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
