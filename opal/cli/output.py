"""What a command says: a table for people, JSON for programs, both on standard output."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from opal.bridge.render import Block
    from opal.checks import Check


def print_json(content: Any) -> None:
    """Print strict JSON: numbers that JSON does not know (NaN, infinity) become null."""
    sys.stdout.write(json.dumps(strict(content), indent=2, default=str, allow_nan=False) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under their columns; numbers to the right, four digits.

    What is wider than the console is printed in parts, with the rows numbered.
    """
    from opal.bridge import render

    console().print(render.terminal([render.Table(columns, list(rows), title)]))


def print_blocks(blocks: Iterable[Block]) -> None:
    """Print the blocks of a report; a paragraph is one line, however long."""
    from opal.bridge import render

    for block in blocks:
        if isinstance(block, render.Paragraph):
            print_lines(block.text)
        else:
            console().print(render.terminal([block]))


def print_lines(*lines: str) -> None:
    """Print plain lines."""
    for line in lines:
        console().print(line, markup=False, highlight=False, soft_wrap=True)


def print_error(message: str) -> None:
    """Say on standard error what is wrong.

    What others wrote (labels, names of files, answers) moves no cursor and shows no key.
    """
    from opal.bridge import render
    from opal.redaction import redacted

    lines = [render.shown(line, len(line)) for line in redacted(message).split("\n")]
    sys.stderr.write("error: " + "\n".join(lines) + "\n")


def number(value: float | None) -> str:
    """A number in four digits; nothing where there is none.

    >>> number(0.12345), number(float("nan"))
    ('0.1235', 'none')
    """
    return "none" if value is None or math.isnan(value) else f"{value:.4g}"


def comparison(check: Check) -> str:
    """What a check compares, in numbers, and its detail."""
    detail = f" ({check.detail})" if check.detail else ""
    return f"{number(check.statistic)} against {number(check.threshold)}{detail}"


def console() -> Console:
    """Standard output; wide enough for a table when it is a file or a pipe."""
    return Console(width=None if sys.stdout.isatty() else 140)


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
