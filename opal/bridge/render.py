"""A report is a list of blocks, shown as a page, as a Markdown file, or in a terminal.

Build the blocks (:class:`Heading`, :class:`Paragraph`, :class:`Items`, :class:`Table`,
:class:`Figure`, :class:`Folded`) of plain strings and numbers, then call :func:`terminal`,
:func:`markdown` or :func:`html`. Strings are text, never markup: whatever a data set or a language
model wrote is escaped for the medium, and its control characters are made visible. In a table a
number is a number (floats show four digits, None a dash), a text of somebody is a :class:`Quote`,
what leads somewhere a :class:`Hyperlink`, what is good or bad is :class:`Toned`, and a column is
set to the right where most of its cells are numbers or begin like one.

The progress bar of a report that takes long is :func:`opal.progress.bar`.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from numbers import Number
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from jinja2 import Template
    from rich.console import Console, ConsoleOptions, Group, RenderableType
    from rich.table import Table as Grid
    from rich.text import Text

LIMIT = 600
"""Characters of a text of somebody that a page shows."""
GENERATOR = "opal"
"""What the source of a page says that it was made by."""
_TOLD = 10 * LIMIT  # of what a report says itself: a sentence is not cut
_CELL, _HEAD, _QUOTE = 400, 40, 100  # likewise in a terminal, on one line
_FOLDED = 24  # characters to which a column of words may shrink in a terminal
_NUMBER = re.compile(r"[-+−±<≥≤]?\s?\d|[–-]?$")
# What Markdown would act on: anywhere, and at the beginning of a line, where a bracket may define
# what brackets elsewhere, and pictures, then lead to.
_ACTIVE = re.compile(
    r"[\\`*|<]|(?<!\w)_|_(?!\w)|\](?=\()|&(?=#?\w+;)|^\[|^#(?=#*(?:\s|$))|^>|^[-+](?=\s)|^(?==+$|--+$|~~~)"
)
_KEPT = "\n\t"
_GENERATOR = re.compile(r'<meta name="generator" content="(opal[\w ]*)">')
_BEGINNING = 600  # characters of a page within which its generator is named
# Marks that turn the direction of all that follows.
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True)
class Heading:
    """A title of a part (level 2, linked from the top of a page) or of less (3).

    One of less is found by its anchor, where it has one.
    """

    text: str
    level: int = 2
    anchor: str = ""


@dataclass(frozen=True)
class Paragraph:
    """A few sentences; tone is empty, ``note``, ``good`` or ``bad``."""

    text: str
    tone: str = ""


@dataclass(frozen=True)
class Items:
    """A list. An entry is a strong word, which may be empty, and what is said; tone as before."""

    entries: Sequence[tuple[str, str]]
    tone: str = ""


@dataclass(frozen=True)
class Quote:
    """A cell that shows a text of somebody, and in small before it whose it is."""

    text: str
    by: str = ""


@dataclass(frozen=True)
class Hyperlink:
    """A cell that leads to an anchor of the page (``#…``), or to a file beside it.

    A target is an address, in which special characters stand as ``%…``.
    """

    text: str
    target: str


@dataclass(frozen=True)
class Toned:
    """A cell that is ``good`` or ``bad``, as a page shows in colour."""

    text: str
    tone: str


Cell = str | int | float | Quote | Hyperlink | Toned | None


@dataclass(frozen=True)
class Table:
    """A table."""

    head: Sequence[str]  # names of the columns
    rows: Sequence[Sequence[Cell]]  # cells, as many in each row
    title: str = ""  # what it shows
    note: str = ""  # how to read it

    @property
    def words(self) -> list[bool]:
        """Whether a column is read from the left: most of its cells are no numbers."""
        columns = [[row[k] for row in self.rows] for k in range(len(self.head))]
        return [2 * sum(map(_is_number, column)) <= len(column) for column in columns]

    @property
    def has_quotes(self) -> bool:
        """Whether texts stand side by side in it."""
        return any(isinstance(cell, Quote) for row in self.rows for cell in row)


@dataclass(frozen=True)
class Figure:
    """A picture, as PNG by default; a Markdown file names it, and a terminal says where it is."""

    picture: bytes
    name: str
    caption: str = ""
    media: str = "image/png"

    @property
    def base64(self) -> str:
        """The picture as a page embeds it."""
        return b64encode(self.picture).decode()


@dataclass(frozen=True)
class Folded:
    """Blocks that a page shows when their title is clicked, and when it is printed."""

    title: str
    blocks: Sequence[Block]


Block = Heading | Paragraph | Items | Table | Figure | Folded


def _is_number(cell: Cell) -> bool:
    if isinstance(cell, str):
        return _NUMBER.match(cell) is not None
    return cell is None or isinstance(cell, Number)


def _plain(cell: Cell) -> str:
    if isinstance(cell, Quote):
        return f"[{cell.by}] {cell.text}" if cell.by else cell.text
    if isinstance(cell, Hyperlink | Toned):
        return cell.text
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return "–" if cell is None else str(cell)


def shown(text: str, limit: int = LIMIT) -> str:
    r"""The beginning of a text, control and half characters made visible.

    (``rich.control.strip_control_codes`` drops five control characters and lets Escape through.)

    >>> shown("a\x1b[31mb"), shown("abcdef", 3)
    ('a␛[31mb', 'abc … (6 characters)')
    """
    cut = text[:limit] + f" … ({len(text):,} characters)" if len(text) > limit else text
    return "".join(map(_mark, cut))


def signed(number: float) -> str:
    """A difference with three decimals, and more digits of one that would look like none.

    What rounding leaves of none is none.

    >>> signed(-0.0123), signed(-0.0003), signed(-5e-18)
    ('-0.012', '-0.0003', '+0.000')
    """
    if abs(number) < 1e-12:
        number = 0.0
    return f"{number:+.3f}" if abs(number) >= 5e-4 or number == 0 else f"{number:+.1g}"


def between(low: float, high: float) -> str:
    """The ends of an interval of a difference.

    >>> between(-0.0123, 0.5)
    '[-0.012, +0.500]'
    """
    return f"[{signed(low)}, {signed(high)}]"


def line(text: str, limit: int = _CELL) -> str:
    r"""The beginning of a text on one line, for a terminal.

    >>> line("a\n b", 9)
    'a b'
    """
    return shown(" ".join(text.split()), limit)


def _mark(character: str) -> str:
    code = ord(character)
    if character in _KEPT:
        return character
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    wrong = 0x80 <= code < 0xA0 or 0xD800 <= code < 0xE000 or code in (0xFFFE, 0xFFFF)
    return "�" if wrong or character in _TURNS else character


def terminal(blocks: Iterable[Block]) -> Group:
    """The blocks as rich shows them; a table wider than the console is printed in parts."""
    from rich.console import Group

    return Group(*(part for block in blocks for part in _in_terminal(block)))


def _in_terminal(block: Block) -> Iterator[RenderableType]:
    from rich.text import Text

    match block:
        case Heading():
            yield Text(f"\n{line(block.text)}", style="bold underline")
        case Paragraph():
            style = {"note": "dim", "good": "green", "bad": "red"}.get(block.tone, "")
            yield Text(shown(block.text, _TOLD), style=style)
        case Items():
            for strong, rest in block.entries:
                style = "red" if block.tone == "bad" else "bold"
                yield Text.assemble(
                    "- ", (line(strong), style), " " if strong else "", line(rest, _TOLD)
                )
        case Figure():
            yield Text(line(f"{block.caption}: {block.name}" if block.caption else block.name))
        case Table():
            yield from ([Text(line(block.title), style="bold underline")] if block.title else [])
            yield _Parts(block)
            yield from ([Text(line(block.note, _TOLD), style="dim")] if block.note else [])
        case Folded():
            yield from _in_terminal(Heading(block.title, 3))
            yield from (part for each in block.blocks for part in _in_terminal(each))


class _Parts:
    """A table that knows how wide the console is; rows are numbered where it has parts."""

    def __init__(self, table: Table) -> None:
        self.head = [line(name, _HEAD) for name in table.head]
        self.cells = [
            [line(_plain(c), _QUOTE if isinstance(c, Quote) else _CELL) for c in row]
            for row in table.rows
        ]
        self.words = table.words
        self.widths = [self._width(k, table) for k in range(len(self.head))]

    def _width(self, k: int, table: Table) -> int:
        """Words fold; numbers that do are no longer read."""
        kept = len(self.head[k])
        for cell, row in zip(self.cells, table.rows, strict=True):
            folds = isinstance(row[k], str | Quote | Hyperlink | Toned)
            kept = max(kept, min(len(cell[k]), _FOLDED) if folds else len(cell[k]))
        return min(kept, _FOLDED) if self.words[k] else kept

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Grid]:
        parts = self._parts(options.max_width)
        for part in parts:
            yield self._grid(part, numbered=len(parts) > 1)

    def _parts(self, most: int) -> list[list[int]]:
        """Columns that fit beside each other, two spaces apart; a row's number has its room."""
        if sum(self.widths) + 2 * len(self.widths) <= most:
            return [list(range(len(self.widths)))]
        parts: list[list[int]] = [[]]
        used = room = len("# 9999")
        for k, width in enumerate(self.widths):
            if parts[-1] and used + width + 2 > most:
                parts.append([])
                used = room
            parts[-1].append(k)
            used += width + 2
        return parts

    def _grid(self, part: Sequence[int], *, numbered: bool) -> Grid:
        from rich.table import Table as Grid
        from rich.text import Text

        grid = Grid(box=None, header_style="bold", pad_edge=False)
        if numbered:
            grid.add_column("#", justify="right")
        for k in part:
            side: Literal["left", "right"] = "left" if self.words[k] else "right"
            grid.add_column(Text(self.head[k]), justify=side, overflow="fold")
        for number, row in enumerate(self.cells, start=1):
            first: list[Text] = [Text(str(number))] if numbered else []
            grid.add_row(*first, *(Text(row[k]) for k in part))
        return grid


def markdown(title: str, blocks: Iterable[Block]) -> str:
    """The blocks as a Markdown file under a first heading."""
    parts = [f"# {_escaped(title)}", *(_in_markdown(block) for block in blocks)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _in_markdown(block: Block) -> str:
    match block:
        case Heading():
            return f"{'#' * block.level} {_escaped(block.text)}"
        case Paragraph():
            return _escaped(block.text)
        case Items():
            entries = ((f"*{_escaped(a)}* " if a else "", _escaped(b)) for a, b in block.entries)
            return "\n".join(f"- {strong}{rest}" for strong, rest in entries)
        case Figure():
            return f"![{_escaped(block.caption or block.name)}]({block.name})"
        case Table():
            rule = ["---" if words else "---:" for words in block.words]
            body = [[_cell_in_markdown(cell) for cell in row] for row in block.rows]
            rows = [[_escaped(name) for name in block.head], rule, *body]
            table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
            about = [f"### {_escaped(block.title)}"] if block.title else []
            about += [_escaped(block.note)] if block.note else []
            return "\n\n".join([*about, table])
        case Folded():
            parts = (_in_markdown(each) for each in (Heading(block.title, 3), *block.blocks))
            return "\n\n".join(part for part in parts if part)


def _cell_in_markdown(cell: Cell) -> str:
    """Anchors are of pages: a Markdown file has other ones."""
    if isinstance(cell, Hyperlink) and not cell.target.startswith("#"):
        text = re.sub(r"(?<!\\)[\[\]]", r"\\\g<0>", _escaped(cell.text))
        return f"[{text}]({cell.target})"
    return _escaped(_plain(cell))


def _escaped(text: str) -> str:
    """A text as one line of Markdown that shows it and does nothing."""
    return _ACTIVE.sub(r"\\\g<0>", " ".join(shown(text, _TOLD).split()))


def html(title: str, blocks: Iterable[Block], *, generator: str = GENERATOR) -> str:
    """The blocks as one HTML page that needs nothing else, and runs nothing.

    Its source names the ``generator``, by which :func:`generator_of` tells it from other pages.
    """
    several = list(blocks)
    parts = [b.text for b in several if isinstance(b, Heading) and b.level == 2]
    return _template().render(title=title, parts=parts, blocks=several, generator=generator) + "\n"


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader

    page = Environment(loader=PackageLoader("opal", "bridge"), autoescape=True)
    page.filters |= {"shown": shown, "told": partial(shown, limit=_TOLD), "cell": _plain}
    page.tests["quote"] = lambda cell: isinstance(cell, Quote)
    page.tests["link"] = lambda cell: isinstance(cell, Hyperlink)
    page.tests["toned"] = lambda cell: isinstance(cell, Toned)
    page.filters["kind"] = lambda block: type(block).__name__
    return page.get_template("report.html.j2")


def generator_of(page: str) -> str | None:
    """What made a page, if it is one of :func:`html`; its beginning is enough.

    >>> generator_of(html("title", []))
    'opal'
    """
    found = _GENERATOR.search(page[:_BEGINNING])
    return found[1] if found and page.startswith("<!DOCTYPE html>") else None
