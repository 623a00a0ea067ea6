"""``opal report DIR``: a folder of results as one page for people who will not run anything."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import tyro

from opal.bridge import render
from opal.bridge.render import (
    Block,
    Cell,
    Figure,
    Folded,
    Heading,
    Hyperlink,
    Items,
    Paragraph,
    Table,
    Toned,
)
from opal.cli import output, result_folder
from opal.cli.configuration import NOT_JUDGED
from opal.cli.parsing import parse
from opal.cli.result_folder import FolderContent, JudgedItem, Picture, ResultItem
from opal.files import require_distinct, writable_folder, write_text
from opal.redaction import redacted

if TYPE_CHECKING:
    import pandas as pd

_MOST_ROWS = 30  # of a table, and entries of a list
_MOST_NAMES = 100  # of files that are not read, and of fields of a configuration
_VALUE = 300  # characters of a field of a configuration
_PAGE = "report.html"


@dataclass(frozen=True)
class Report:
    """Make one HTML page, and a Markdown file, of a folder of results, to be sent to others.

    DIR holds what opal's commands write, in any mixture, and in folders of one level: figures of
    `opal figures --out`, records of `opal run --out`, results that commands print with --json (put
    into files whose names end in .json), pictures and pages. Verdicts and failed checks come first.
    The page holds its pictures, runs nothing and asks nobody for anything. What is not read is
    named with the reason.

    The status is 1 if a check of a figure or study fails; the preset tiny is not judged.

    Examples:
        opal figures alpha imbalance --out results
        opal fit runs.csv --x n --y error --seed seed --json > results/fit.json
        opal report results --title "What synthetic rows are worth"
    """

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder of results."""
    out: Path | None = None
    """The page, whose name ends in .html; the Markdown file is put beside it. DIR/report.html by
    default."""
    title: str | None = None
    """Title of the page."""
    json: bool = False
    """Print what was found as JSON."""


def main(args: Sequence[str]) -> int:
    """Write page and Markdown file; 1 if a check fails that they show."""
    options = parse(Report, args, prog="opal report")
    page = _page(options)
    markdown = page.with_suffix(".md")
    found = result_folder.read(options.folder, quiet=options.json)
    if found.is_empty:
        raise ValueError(_nothing(options.folder, found))
    title = options.title or f"Results in {redacted(options.folder.resolve().name)}"
    writable_folder(page.parent)
    blocks = list(_blocks(found, _Links(options.folder, page.parent)))
    write_text(page, render.html(title, blocks, generator=result_folder.GENERATOR))
    write_text(markdown, f"{result_folder.MARK}\n{render.markdown(title, blocks)}")
    written = {"page": str(page), "markdown": str(markdown)}
    if options.json:
        output.print_json({**written, "title": title, **_told(found)})
    else:
        output.print_blocks(_summary(found))
        output.print_lines(*(f"wrote {path}" for path in written.values()))
    return 0 if all(item.passed for item in found.judged) else 1


def _page(options: Report) -> Path:
    """Where the page goes: nowhere where another file is.

    Raises:
        ValueError: the name does not end in .html, or what is there is no report.
        IsADirectoryError: it is a folder.
    """
    page = options.out or options.folder / _PAGE
    if page.suffix.lower() != ".html":
        raise ValueError(f"--out names the page, a file that ends in .html; got {page}.")
    both = {"the page": page, "its Markdown file": page.with_suffix(".md")}
    require_distinct([], both.items())
    for what, path in both.items():
        if path.exists() and result_folder.made(path) != result_folder.GENERATOR:
            raise ValueError(
                f"a report replaces no other file; {what} would replace {path}, which `opal "
                "report` has not written: name another page with --out."
            )
    return page


def _nothing(folder: Path, found: FolderContent) -> str:
    """Why there is no report of a folder, and what to do."""
    unread = [f"{name}: {reason}" for name, reason in found.not_read]
    shown = "; ".join(unread[:5]) + ("; …" if len(unread) > 5 else "")
    there = f"what is there is not read ({shown})" if unread else "it is empty"
    return (
        f"a report needs results that opal has written; in {folder} there are none: {there}. Write "
        f"some with `opal figures --out {folder}` or `opal run STUDY --out {folder}`, or put what "
        "a command prints with --json into a file there whose name ends in .json."
    )


@dataclass(frozen=True)
class _Links:
    """Addresses of the files of a folder, from where the page is."""

    folder: Path
    page_folder: Path

    def address(self, name: str) -> str:
        """Relative, and never of a scheme: a colon is written as %3A."""
        path = os.path.relpath(self.folder.resolve() / name, self.page_folder.resolve())
        return quote(os.fsencode(path))

    def to(self, name: str) -> Cell:
        """A cell that leads to a file, unless its name holds what looks like a key."""
        shown = redacted(name)
        return Hyperlink(name, self.address(name)) if shown == name else shown


def _blocks(found: FolderContent, links: _Links) -> Iterator[Block]:
    """What a stranger wants first comes first."""
    yield from _summary(found)
    yield from _contents(found)
    for kind, title, items in _kinds(found):
        if items:
            yield Heading(title)
        for k, item in enumerate(items):
            yield from _item(item, f"{kind}{k}", links)
    for each in found.results:
        yield from _result(each, links)
    if found.pictures:
        yield Heading("More pictures")
        for picture in found.pictures:
            yield Heading(picture.name, 3)
            yield _figure(picture, "", links)
    beside = [(name, f"of {item.name}") for item in found.judged for name in item.beside]
    beside += [(name, f"of {each.name}") for each in found.results for name in each.beside]
    beside += [(name, "page") for name in found.pages]
    if beside:
        yield Heading("Files beside this page")
        rows = [[links.to(name), what] for name, what in sorted(beside)]
        yield Table(["file", "what"], rows, note="They are read on their own: send them too.")
    if found.judged:
        yield Heading("Configuration and versions")
        yield from _made(found.judged)
    if found.not_read:
        yield Heading("Not read")
        yield _cut(Table(["file", "why"], found.not_read), _MOST_NAMES)


def _kinds(found: FolderContent) -> Sequence[tuple[str, str, Sequence[JudgedItem]]]:
    """What is judged, each kind with its name and the title of its part."""
    return ("figure", "Figures", found.figures), ("study", "Studies", found.studies)


def _summary(found: FolderContent) -> Iterator[Block]:
    """Whether all holds, what does not, what was found, and what to beware of."""
    yield Paragraph(_counted(found))
    judged = [item for item in found.judged if item.is_judged]
    failed = [
        (f"FAILED {item.name}, {check.name}:", output.comparison(check))
        for item in judged
        for check in item.checks or ()
        if not check.passed
    ]
    failed += [(f"FAILED {i.name}:", "no check was stated") for i in judged if not i.checks]
    n_checks = sum(max(1, len(item.checks or ())) for item in judged)
    if failed:
        yield Paragraph(f"FAILED: {len(failed)} of {n_checks} checks.", "bad")
        yield Items(failed, "bad")
    elif judged:
        yield Paragraph(f"All {n_checks} checks that are judged hold.", "good")
    others = [i.name for i in found.judged if i.checks is not None and not i.is_judged]
    if others:
        yield Paragraph(f"Not judged: {', '.join(others)}. The {NOT_JUDGED}.", "note")
    verdicts = [(f"{r.name}:", said) for r in found.results for said in r.result.verdicts]
    warnings = [(f"{r.name}:", said) for r in found.results for said in r.result.warnings]
    yield from _listed("What was found", verdicts, "")
    yield from _listed("Warnings", warnings, "bad")


def _listed(title: str, entries: Sequence[tuple[str, str]], tone: str) -> Iterator[Block]:
    if entries:
        yield Heading(title)
        yield Items(entries[:_MOST_ROWS], tone)
    if len(entries) > _MOST_ROWS:
        yield Paragraph(f"… and {len(entries) - _MOST_ROWS} more, with the results below.", "note")


def _counted(found: FolderContent) -> str:
    """How much there is of each kind."""
    counts = (
        (len(found.figures), "figure", "figures"),
        (len(found.studies), "table of records", "tables of records"),
        (len(found.results), "result of a command", "results of commands"),
        (len(found.pictures), "more picture", "more pictures"),
        (len(found.pages), "page", "pages"),
        (len(found.not_read), "file that is not read", "files that are not read"),
    )
    return "; ".join(f"{n} {one if n == 1 else more}" for n, one, more in counts if n) + "."


def _contents(found: FolderContent) -> Iterator[Block]:
    """A line for each figure and study, with what its checks come to."""
    rows: list[list[Cell]] = []
    for kind, _, items in _kinds(found):
        for k, item in enumerate(items):
            link = Hyperlink(item.name, f"#{kind}{k}")
            rows.append([link, _verdict(item), _held(item), item.preset or None, kind])
    if rows:
        yield Heading("At a glance")
        yield Table(["name", "verdict", "checks that hold", "preset", "kind"], rows)


def _held(item: JudgedItem) -> Cell:
    checks = item.checks
    return None if checks is None else f"{sum(c.passed for c in checks)} of {len(checks)}"


def _verdict(item: JudgedItem) -> Cell:
    if item.checks is None:
        return "states none"
    if not item.is_judged:
        return "not judged"
    return Toned("holds", "good") if item.passed else Toned("FAILS", "bad")


def _item(item: JudgedItem, anchor: str, links: _Links) -> Iterator[Block]:
    """A figure or a study: verdict, picture and caption, comparison, checks."""
    yield Heading(item.name, 3, anchor)
    yield from _standing(item)
    if item.picture is not None:
        yield _figure(item.picture, item.caption, links)
    elif item.caption:
        yield Paragraph("Its picture is not here, or cannot be shown.", "note")
        yield Paragraph(item.caption)
    if item.table is not None:
        yield _compared(item, item.table)
    if item.about:
        yield Paragraph(item.about, "note")
    yield from _stated(item)


def _standing(item: JudgedItem) -> Iterator[Block]:
    if item.checks is None:
        return
    if not item.is_judged:
        yield Paragraph(f"Not judged: {NOT_JUDGED}.", "note")
        return
    failed = sum(not check.passed for check in item.checks)
    if item.passed:
        yield Paragraph(f"All {len(item.checks)} checks hold.", "good")
    elif item.checks:
        yield Paragraph(f"FAILED: {failed} of {len(item.checks)} checks.", "bad")
    else:
        yield Paragraph("FAILED: no check was stated, so that nothing was compared.", "bad")


def _stated(item: JudgedItem) -> Iterator[Block]:
    """The checks, those that fail first."""
    fails, holds = ("FAILS", "holds") if item.is_judged else ("would fail", "would hold")
    for passed, said, tone in ((False, fails, "bad"), (True, holds, "good")):
        checks = [check for check in item.checks or () if check.passed == passed]
        if checks:
            entries = [(f"{said}:", f"{c.name}: {output.comparison(c)}") for c in checks]
            yield Items(entries, tone if item.is_judged else "")


def _figure(picture: Picture, caption: str, links: _Links) -> Figure:
    return Figure(picture.content, links.address(picture.name), caption, picture.media)


def _compared(item: JudgedItem, frame: pd.DataFrame) -> Table:
    """The study's own comparison: the columns that differ, and its first rows."""
    from opal.cli.run import differing

    names = differing(frame) or [*frame.columns]
    rows = [[_cell(value) for value in row] for row in frame[names].itertuples(index=False)]
    head = [redacted(str(name)) for name in names]
    return _cut(Table(head, rows, "What the study compares"), _MOST_ROWS, f"{item.name}.parquet")


def _cell(value: Any) -> Cell:
    import pandas as pd

    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, bool):
        return "yes" if plain else "no"
    return plain if isinstance(plain, int | float) else redacted(str(plain))


def _cut(table: Table, most: int, where: str = "") -> Table:
    """The first rows of a long table, which says how many there are, and where."""
    if len(table.rows) <= most:
        return table
    place = f" All are in {where}." if where else ""
    note = f"{table.note} The first {most} of {len(table.rows):,} rows.{place}".strip()
    return replace(table, rows=table.rows[:most], note=note)


def _result(item: ResultItem, links: _Links) -> Iterator[Block]:
    yield Heading(f"{item.name}: {item.result.command}")
    if item.picture is not None:
        yield _figure(item.picture, f"The picture beside {item.name}.json.", links)
    yield from _within(item.result.blocks, f"{item.name}.json")


def _within(blocks: Iterable[Block], where: str) -> Iterator[Block]:
    """Blocks as a part of a larger page: titles are smaller, and long tables are cut."""
    for block in blocks:
        if isinstance(block, Heading):
            yield replace(block, level=max(block.level, 3))
        elif isinstance(block, Table):
            yield _cut(block, _MOST_ROWS, where)
        else:
            yield block


def _made(items: Sequence[JudgedItem]) -> Iterator[Block]:
    """Which versions made what, and the configuration of each."""
    by_versions: dict[str, list[str]] = {}
    for item in items:
        versions = "; ".join(f"{name} {value}" for name, value in item.versions.items())
        by_versions.setdefault(versions, []).append(item.name)
    made = [(", ".join(names), versions) for versions, names in by_versions.items()]
    yield Folded("Versions", [Table(["of", "versions"], made)])
    for item in items:
        rows = [*_fields(item.config)]
        if rows:
            preset = f" (preset {item.preset})" if item.preset else ""
            yield Folded(
                f"{item.name}{preset}", [_cut(Table(["field", "value"], rows), _MOST_NAMES)]
            )


def _fields(config: Mapping[str, Any], before: str = "") -> Iterator[list[Cell]]:
    """The fields of a configuration, those of a study in it after its name."""
    for name, value in config.items():
        if isinstance(value, dict) and not before:
            yield from _fields(value, f"{name}: ")
        else:
            said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            cut = f"{said[:_VALUE]} …" if len(said) > _VALUE else said
            yield [f"{before}{name}", cut]


def _told(found: FolderContent) -> dict[str, Any]:
    """What was found, as JSON-able fields."""
    return {
        "passed": all(item.passed for item in found.judged),
        "figures": [_told_of(item) for item in found.figures],
        "studies": [_told_of(item) for item in found.studies],
        "results": [
            {
                "name": each.name,
                "command": each.result.command,
                "verdicts": each.result.verdicts,
                "warnings": each.result.warnings,
            }
            for each in found.results
        ],
        "pictures": [picture.name for picture in found.pictures],
        "pages": [redacted(name) for name in found.pages],
        "not_read": [{"name": name, "reason": reason} for name, reason in found.not_read],
    }


def _told_of(item: JudgedItem) -> dict[str, Any]:
    return {
        "name": item.name,
        "title": item.title,
        "preset": item.preset,
        "judged": item.is_judged,
        "passed": item.passed,
        "picture": None if item.picture is None else item.picture.name,
        "checks": None if item.checks is None else [check.as_dict() for check in item.checks],
    }
