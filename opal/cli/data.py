"""``opal data``: which real data there are, and whether they are here and whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from opal.cli import output
from opal.cli.parsing import choose

DESCRIPTION = """Real data: files of public repositories at fixed commits, checked by their sha256.

Where OPAL_DATA_MIRROR names a folder laid out as owner/repo/commit/path, it is read instead.

Example:
    opal data fetch opal"""


_Name = Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[CORPUS]")]


@dataclass(frozen=True)
class List:
    """The corpora, their sources and licences, and how many of their files are here.

    Example:
        opal data list --json
    """

    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Print one row for each corpus."""
        from opal.bridge import download

        rows = download.listing()
        if self.json:
            output.print_json(rows)
            return 0
        columns = ("corpus", "files", "here", "licence", "describes")
        keys = ("corpus", "n_files", "n_local", "licence", "describes")
        output.print_table("corpora", columns, [[row[key] for key in keys] for row in rows])
        output.print_lines(
            *(f"{row['corpus']}: {row['repository']} in {row['folder']}" for row in rows)
        )
        return 0


@dataclass(frozen=True)
class Fetch:
    """Get every file of a corpus and verify it; files that are here already stay as they are.

    Example:
        opal data fetch opal
    """

    name: _Name = None
    """Corpus; all of them if none is named."""
    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Fetch with a progress bar."""
        from opal import interrupts, progress
        from opal.bridge import download

        files = [(entry, path) for entry in download.chosen(self.name) for path in entry.names()]
        with interrupts.keeps("whole files are kept, and the same command gets the others"):
            for entry, path in progress.track(files, "fetching", quiet=self.json):
                entry.path(path)
        return _report(download.verify(self.name), as_json=self.json)


@dataclass(frozen=True)
class Verify:
    """Compare what is here with the registered sha256; status 1 if a file is missing or differs.

    Nothing is downloaded.

    Example:
        opal data verify opal
    """

    name: _Name = None
    """Corpus; all of them if none is named."""
    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Verify and list what is missing or corrupted."""
        from opal.bridge import download

        return _report(download.verify(self.name), as_json=self.json)


COMMANDS: Mapping[str, type[Any]] = {"list": List, "fetch": Fetch, "verify": Verify}


def main(args: Sequence[str]) -> int:
    """Run one of the data commands."""
    command = choose(COMMANDS, args, prog="opal data", description=DESCRIPTION)
    run: Callable[[], int] = command.run
    return run()


def _report(found: Mapping[str, Any], *, as_json: bool) -> int:
    if as_json:
        output.print_json(found)
    else:
        for fault in ("missing", "corrupted"):
            output.print_lines(*_lines(fault, found[fault], found["n_files"]))
        output.print_lines(f"{found['n_verified']} of {found['n_files']} files are here and whole")
    return 0 if found["ok"] else 1


def _lines(fault: str, paths: Sequence[str], n_files: int) -> list[str]:
    """A line for each path, or one for all where no file is whole."""
    if len(paths) == n_files:
        return [f"{fault}: all {n_files} files; get them with `opal data fetch`"]
    return [f"{fault}: {path}" for path in paths]
