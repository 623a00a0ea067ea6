"""The audit for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from opal.bridge.text.audit.blocks import Block, blocks
from opal.bridge.text.audit.sentences import headline, sentences
from opal.bridge.text.audit.visible import line

_WIDTH = 100


def table(result: Mapping[str, Any]) -> Group:
    """What was found, the tables behind it, and the worst text of each kind."""
    shown: list[RenderableType] = []
    for name, entry in result["audits"].items():
        for source, found in entry["sources"].items():
            title = f"{line(name, 80)}, {line(source, 80)}"
            shown += [Text(f"\n{title}", style="bold underline"), Text(headline(found))]
            shown += [_findings(found), *(_table(block) for block in blocks(found))]
            shown.append(_examples(found))
        shown += [Text(f"note: {line(note, 200)}") for note in entry["notes"]]
    return Group(*shown, Text(f"wrote {result['written']}"))


def _findings(found: Mapping[str, Any]) -> RenderableType:
    rows = list(sentences(found))
    if not rows:
        return Text(f"nothing found in {found['verdicts']['n_tests']} comparisons.", style="green")
    told = found["verdicts"]
    title = f"{len(told['findings'])} findings in {told['n_tests']} comparisons"
    grid = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in ("", "class", "finding"):
        grid.add_column(name, overflow="fold")
    for kind, label, said in rows:
        grid.add_row(Text(kind, style="red"), Text(line(label, 40)), Text(line(said, 400)))
    return grid


def _table(block: Block) -> Table:
    grid = Table(
        title=Text(f"\n{block.title}"), title_justify="left", box=None, pad_edge=False,
        header_style="bold", caption=block.note, caption_justify="left",
    )  # fmt: skip
    for index, name in enumerate(block.head):
        grid.add_column(Text(line(name, 30)), justify="left" if index == 0 else "right")
    for row in block.rows:
        grid.add_row(*(Text(line(cell, 200)) for cell in row))
    return grid


def _examples(found: Mapping[str, Any]) -> Table:
    """The first text of each kind."""
    grid = Table(title="\nworst of each kind", title_justify="left", box=None, pad_edge=False)
    for name in ("", "synthetic", "beside it"):
        grid.add_column(name, overflow="fold")
    first = {row["kind"]: row for row in reversed(found["examples"])}
    for row in reversed(first.values()):
        why = f"{row['kind']} ({row['class']}): {row['why']}"
        other = "–" if row["other"] is None else f"[{row['role']}] {line(row['other'], _WIDTH)}"
        cells = (line(why, 120), line(row["text"], _WIDTH), other)
        grid.add_row(*(Text(cell) for cell in cells))
    return grid
