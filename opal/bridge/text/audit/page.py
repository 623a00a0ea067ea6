"""The audit as one HTML page that needs nothing else, and runs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from opal.bridge.text.audit.blocks import Block, blocks
from opal.bridge.text.audit.sentences import headline, sentences
from opal.bridge.text.audit.visible import LIMIT, shown
from opal.files import write_atomically

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bad: #c0392b; --good: #1e8449; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem }
h1, h2, h3 { line-height: 1.2 } h2 { border-bottom: 2px solid var(--line); margin-top: 3rem }
h3 { margin: 2rem 0 .2rem } p.note { margin: .2rem 0 .6rem; opacity: .75 }
div.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .87rem }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .6rem; text-align: end;
  vertical-align: top; font-variant-numeric: tabular-nums }
th:first-child, td:first-child, table.side th, table.side td { text-align: start }
div.text { overflow-wrap: anywhere; white-space: pre-wrap; unicode-bidi: isolate }
table.side { table-layout: fixed; width: 100% } table.side th:first-child { width: 18% }
td.why { overflow-wrap: anywhere } small { opacity: .7 }
ul.found li { margin: .25rem 0 } ul.found b { color: var(--bad) } p.none { color: var(--good) }
nav a { margin-inline-end: 1rem }
"""
_SAFE = "default-src 'none'; style-src 'unsafe-inline'"


def write(result: Mapping[str, Any], path: Path) -> None:
    """Write the page, all of it or nothing.

    Raises:
        OSError: it cannot be written.
    """
    content = html(result).encode("utf-8")
    write_atomically(path, lambda partial: _fill(partial, content))


def _fill(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def html(result: Mapping[str, Any]) -> str:
    """The page. Whatever comes from texts, names or classes is escaped."""
    units = [
        (f"{name}, {source}", found, entry["notes"])
        for name, entry in result["audits"].items()
        for source, found in entry["sources"].items()
    ]
    links = "".join(f'<a href="#s{k}">{_safe(u[0])}</a>' for k, u in enumerate(units))
    parts = [
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_SAFE}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Audit of synthetic texts</title><style>{_STYLE}</style></head><body>",
        "<h1>Audit of synthetic texts</h1>",
        f"<nav>{links}</nav>",
        *(part for k, unit in enumerate(units) for part in _unit(k, *unit)),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _unit(k: int, title: str, found: Mapping[str, Any], notes: list[str]) -> Iterator[str]:
    yield f'<section><h2 id="s{k}" dir="auto">{_safe(title)}</h2>'
    yield f"<p>{_safe(headline(found))}</p>"
    yield _findings(found)
    for block in blocks(found):
        yield _table(block)
    yield _examples(found)
    if notes:
        yield "<h3>Notes</h3><ul>"
        yield from (f'<li dir="auto">{_safe(note)}</li>' for note in notes)
        yield "</ul>"
    yield "</section>"


def _findings(found: Mapping[str, Any]) -> str:
    rows = list(sentences(found))
    n_tests = found["verdicts"]["n_tests"]
    rule = (
        f"Of {n_tests} comparisons with what is normal among real texts. A finding is large enough "
        "to matter, and the chance of any false one is below 1 %."
    )
    if not rows:
        return f'<p class="none">Nothing found.</p><p class="note">{rule}</p>'
    items = "".join(
        f'<li dir="auto"><b>{_safe(kind)}</b> ({_safe(label)}): {_safe(said)}.</li>'
        for kind, label, said in rows
    )
    return f'<ul class="found">{items}</ul><p class="note">{rule}</p>'


def _table(block: Block) -> str:
    head = "".join(f"<th>{_safe(name)}</th>" for name in block.head)
    rows = "".join(
        "<tr>" + "".join(f'<td dir="auto">{_safe(cell)}</td>' for cell in row) + "</tr>"
        for row in block.rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return (
        f'<h3>{_safe(block.title)}</h3><p class="note">{_safe(block.note)}</p>'
        f'<div class="wide">{table}</div>'
    )


def _examples(found: Mapping[str, Any]) -> str:
    """Side by side: the synthetic text, and the real one that shows what is wrong."""
    rows = []
    for row in found["examples"]:
        why = f"<b>{_safe(row['kind'])}</b><br>{_safe(row['class'])}<br>{_safe(row['why'])}"
        other = ""
        if row["other"] is not None:
            other = f"<small>{_safe(row['role'])}</small>{_text(row['other'])}"
        cells = f"<td>{_text(row['text'])}</td><td>{other}</td>"
        rows.append(f'<tr><td class="why">{why}</td>{cells}</tr>')
    if not rows:
        return ""
    head = "<th>why</th><th>synthetic</th><th>beside it</th>"
    return (
        f'<h3>Worst examples</h3><p class="note">Texts are shown up to {LIMIT} characters.</p>'
        f'<table class="side"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )


def _text(text: str) -> str:
    """A text in a box of its own, whose direction is its own."""
    return f'<div class="text" dir="auto">{_safe(text)}</div>'


def _safe(text: str) -> str:
    return escape(shown(text), quote=True)
