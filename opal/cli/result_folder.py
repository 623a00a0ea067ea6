"""What commands have written into a folder: figures, records, results and pages.

Files of a folder may come from others. Each is read whole or named with the reason why not: links
that lead out of the folder, files that are too large, and what is damaged or of no known kind.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from opal import progress
from opal.bridge import render
from opal.checks import Check
from opal.cli import registry, result_kinds
from opal.cli.configuration import UNJUDGED
from opal.cli.result_kinds import ReadResult, has_fields
from opal.redaction import redacted

if TYPE_CHECKING:
    import pandas as pd

LARGEST = 8 * 2**20
"""Bytes of a file that is read."""
MOST_PICTURES = 64 * 2**20
"""Bytes of all pictures that go into one page."""
GENERATOR = "opal report"
"""What a page of results says that it was made by; one of an earlier time is not read."""
MARK = f"<!-- {GENERATOR} -->\n"
"""How its Markdown file begins."""
_MOST_ROWS = 2_000_000  # of records
_MEDIA = {".png": "image/png", ".svg": "image/svg+xml"}
_ENDS = {".png": b"IEND\xaeB`\x82", ".svg": b"</svg>"}
_BESIDE = (".png", ".svg", ".pdf", ".md")  # written beside what has the same name
_FIGURE = {"name": str, "caption": str, "checks": list, "config": dict}
_UNKNOWN = "neither a figure, records, a result nor a page of opal"
_PAGE_HEAD = 2_000  # bytes
_CELL = re.compile(r"[0-9a-f]{20}\.(json|parquet)")
_DAMAGE = (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError)


@dataclass(frozen=True)
class Picture:
    """A picture that goes into a page."""

    name: str
    content: bytes
    media: str


@dataclass(frozen=True)
class JudgedItem:
    """A figure or the records of a study, with what it says of itself.

    Attributes:
        name: of its files, without their ends.
        title: of the figure or study.
        caption: of a figure.
        preset: of its study.
        checks: that it states; None for a study that states none.
        config: of each of its studies.
        versions: of libraries, and the git commit.
        picture: of it, where there is one.
        beside: names of more files of it.
        table: what a study compares, or None.
        about: a sentence on the records.
        is_printed: whether it is what a command printed, and not what it wrote.
    """

    name: str
    title: str
    caption: str
    preset: str
    checks: Sequence[Check] | None
    config: Mapping[str, Any]
    versions: Mapping[str, Any]
    picture: Picture | None = None
    beside: Sequence[str] = ()
    table: pd.DataFrame | None = None
    about: str = ""
    is_printed: bool = False

    @property
    def is_judged(self) -> bool:
        """Whether its checks say something: they do not at the preset tiny."""
        return self.checks is not None and self.preset != UNJUDGED

    @property
    def passed(self) -> bool:
        """Whether it is not judged, or something was checked and everything holds."""
        if not self.is_judged or self.checks is None:
            return True
        return bool(self.checks) and all(check.passed for check in self.checks)


@dataclass(frozen=True)
class ResultItem:
    """What a command printed as JSON, and a picture of the same name."""

    name: str
    result: ReadResult
    picture: Picture | None
    beside: Sequence[str]


@dataclass
class FolderContent:
    """What was found in a folder, each kind in the order of the names."""

    figures: list[JudgedItem] = field(default_factory=list)
    studies: list[JudgedItem] = field(default_factory=list)
    results: list[ResultItem] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)
    not_read: list[tuple[str, str]] = field(default_factory=list)  # name and reason

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.figures or self.studies or self.results or self.pictures or self.pages)

    @property
    def judged(self) -> list[JudgedItem]:
        """Figures and studies."""
        return [*self.figures, *self.studies]


def read(folder: Path, *, quiet: bool = True) -> FolderContent:
    """Read what commands have written into a folder and the folders in it.

    Args:
        folder: that is read; nothing outside it is.
        quiet: show no progress.

    Raises:
        FileNotFoundError: there is no such folder.
        NotADirectoryError: it is a file.
        OSError: it cannot be listed.
    """
    if not folder.exists():
        raise FileNotFoundError(
            f"a report is of a folder of results; there is none at {folder}. Write some with "
            "`opal figures --out` or `opal run --out`, or name the folder that has them."
        )
    if not folder.is_dir():
        raise NotADirectoryError(
            f"a report is of a folder of results; {folder} is a file: name its folder."
        )
    return _FolderReader(folder).content(quiet=quiet)


class _FolderReader:
    """Reads the files of a folder, name by name."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder.resolve()
        self.found = FolderContent()
        self.room = MOST_PICTURES
        self.cells: list[str] = []  # folders of a run's finished cells

    def content(self, *, quiet: bool) -> FolderContent:
        groups: dict[str, dict[str, str]] = {}
        for name in self._names(self.folder, ""):
            stem, suffix = str(PurePosixPath(name).with_suffix("")), Path(name).suffix.lower()
            same = groups.setdefault(stem, {})
            if suffix in same:  # in other letters, as .PNG
                same = groups.setdefault(name, {})
            same[suffix] = name
        for stem in progress.track(sorted(groups), "reading", quiet=quiet):
            self._group(stem, groups[stem])
        self.found.figures = _once(self.found.figures)
        self.found.studies = _once(self.found.studies)
        if self.found.is_empty:
            for name in self.cells:
                self._leave(name, "cells of a run that has not ended: start it again")
        self.found.not_read.sort()
        return self.found

    def _names(self, folder: Path, before: str) -> Iterator[str]:
        """Files that may be read, by their path in the folder; others are named with reasons."""
        deeper: list[Path] = []
        for path in sorted(folder.iterdir()):
            name = f"{before}{path.name}"
            if reason := self._refusal(path):
                self._leave(name, reason)
            elif not path.is_dir():
                yield name
            elif before:
                deeper.append(path)
            else:
                try:
                    yield from self._names(path, f"{name}/")
                except OSError as error:
                    self._leave(f"{name}/", error.strerror or str(error))
        cells = [path for path in deeper if _is_cells(path)]
        self.cells += [f"{before}{path.name}/" for path in cells]
        if left := len(deeper) - len(cells):
            inner = "1 more folder" if left == 1 else f"{left} more folders"
            self._leave(before, f"only one level of folders is read, and it holds {inner}")

    def _refusal(self, path: Path) -> str | None:
        """Why a path is not followed; None if it is."""
        try:
            if path.is_symlink():
                if not path.exists():
                    return "a link that leads nowhere"
                if not path.resolve().is_relative_to(self.root):
                    return "a link that leads out of the folder: it is not followed"
                if path.is_dir():
                    return "a link to a folder: it is not followed"
            if path.is_dir():
                return None
            if not path.is_file():
                return "a device or a pipe"
            size = path.stat().st_size
        except (OSError, RuntimeError) as error:
            return f"it cannot be reached ({getattr(error, 'strerror', None) or error})"
        if size > LARGEST:
            return f"{size / 2**20:,.1f} MB: files of at most {LARGEST / 2**20:.0f} MB are read"
        return None

    def _leave(self, name: str, reason: str) -> None:
        said = reason.replace(f"{self.folder}{os.sep}", "").replace(f"{self.root}{os.sep}", "")
        self.found.not_read.append((redacted(name), redacted(said)))

    def _group(self, stem: str, files: dict[str, str]) -> None:
        """Files of one name with several ends: what one of them says is of all."""
        known = False
        if ".json" in files:
            try:
                known = self._described(stem, files)
            except (*_DAMAGE, RecursionError) as error:
                self._leave(files[".json"], _why(error))
        elif ".parquet" in files:
            self._leave(files[".parquet"], "no JSON sidecar beside it, as records have")
        for suffix, name in files.items():
            if suffix in (".json", ".parquet") or (known and suffix in _BESIDE):
                continue
            self._alone(name, suffix)

    def _described(self, stem: str, files: Mapping[str, str]) -> bool:
        """Read what the JSON file of a group says; whether it is of a known kind."""
        content = _json(self.folder / files[".json"])
        parquet = files.get(".parquet")
        if isinstance(content, dict) and "schema_version" in content:
            self.found.studies.append(self._study(stem, content, parquet, files))
            return True
        if parquet is not None:
            self._leave(parquet, "no sidecar of records beside it: its JSON says something else")
        if has_fields(content, **_FIGURE, pictures=list):
            self.found.figures.append(self._figure(stem, content, files))
        elif has_fields(content, study=str, preset=str, config=dict, n_rows=int):
            study = self._study(stem, content, None, files)
            self.found.studies.append(replace(study, is_printed=True))
        elif has_fields(content, figures=list, left_out=list):
            self._drawn(stem, content)
        elif (result := result_kinds.read(content)) is not None:
            picture, beside = self._pictures(files)
            self.found.results.append(ResultItem(redacted(stem), result, picture, beside))
        else:
            self._leave(files[".json"], _UNKNOWN)
            return False
        return True

    def _figure(
        self, stem: str, content: Mapping[str, Any], files: Mapping[str, str]
    ) -> JudgedItem:
        checks, (picture, beside) = _checks(content["checks"]), self._pictures(files)
        preset, config = str(content.get("preset", "")), content["config"]
        return JudgedItem(
            redacted(stem), content["name"], content["caption"], preset, checks, config,
            _made_by(content), picture, beside,
        )  # fmt: skip

    def _drawn(self, stem: str, content: Mapping[str, Any]) -> None:
        """What `opal figures --json` prints: figures, without their pictures."""
        figures, left_out = content["figures"], content["left_out"]
        whole = all(has_fields(each, **_FIGURE) for each in figures)
        if not whole or not all(has_fields(each, name=str, reason=str) for each in left_out):
            raise ValueError("it looks like what `opal figures` prints, and is not all of it")
        drawn = [self._figure(f"{stem}: {each['name']}", each, {}) for each in figures]
        self.found.figures += [replace(figure, is_printed=True) for figure in drawn]
        for each in left_out:
            self._leave(f"{stem}: {each['name']}", f"it was left out: {each['reason']}")

    def _study(
        self, stem: str, content: Mapping[str, Any], parquet: str | None, files: Mapping[str, str]
    ) -> JudgedItem:
        """Records; a table that is damaged is named, and what is told of it is shown."""
        table, about, title = (
            None,
            "The table of its records is not here.",
            str(content.get("study", "")),
        )
        if parquet is not None:
            try:
                frame = _records(self.folder / parquet)
                table, about = _compared(title, frame)
                title = title or redacted(", ".join(map(str, frame["study"].unique())))
            except _DAMAGE as error:
                about = "The table of its records cannot be read."
                self._leave(parquet, _why(error))
        checks = _checks(content["checks"]) if isinstance(content.get("checks"), list) else None
        picture, beside = self._pictures(files)
        config = content.get("config") or content.get("settings") or content.get("trials") or {}
        return JudgedItem(
            redacted(stem), title or stem, "", str(content.get("preset", "")), checks,
            config if isinstance(config, dict) else {"trials": config},
            _made_by(content), picture, beside, table, about,
        )  # fmt: skip

    def _pictures(self, files: Mapping[str, str]) -> tuple[Picture | None, list[str]]:
        """The picture to show of those of a group, and the other files of it."""
        shown, others = None, []
        for suffix in filter(files.__contains__, _BESIDE):
            if suffix in _MEDIA and shown is None:
                shown = self._picture(files[suffix], suffix)
            else:
                others.append(files[suffix])
        return shown, others

    def _picture(self, name: str, suffix: str) -> Picture | None:
        """A picture, if it is whole and there is room for it."""
        try:
            content = (self.folder / name).read_bytes()
        except OSError as error:
            self._leave(name, _why(error))
            return None
        begins = content[:8] == b"\x89PNG\r\n\x1a\n" if suffix == ".png" else b"<svg" in content
        if not begins or _ENDS[suffix] not in content[-64:]:
            self._leave(name, f"damaged: no whole {suffix[1:].upper()} picture")
            return None
        if len(content) > self.room:
            most = f"{MOST_PICTURES / 2**20:.0f} MB of pictures"
            self._leave(name, f"the page holds {most} already")
            return None
        self.room -= len(content)
        return Picture(redacted(name), content, _MEDIA[suffix])

    def _alone(self, name: str, suffix: str) -> None:
        """A file that nothing beside it describes."""
        if suffix in _MEDIA:
            picture = self._picture(name, suffix)
            self.found.pictures += [] if picture is None else [picture]
            return
        try:
            made_by = made(self.folder / name) if suffix in (".html", ".md") else None
        except OSError as error:
            self._leave(name, _why(error))
            return
        if made_by is None:
            self._leave(name, _UNKNOWN)
        elif made_by != GENERATOR:
            self.found.pages.append(name)


def _is_cells(folder: Path) -> bool:
    """Whether a folder holds finished cells of runs alone, which their records hold together."""
    try:
        inside = sorted(folder.iterdir())
        return bool(inside) and all(
            _CELL.fullmatch(path.name)
            or (path.is_dir() and not path.is_symlink() and _is_cells(path))
            for path in inside
        )
    except OSError:
        return False


def _once(items: Sequence[JudgedItem]) -> list[JudgedItem]:
    """What was written, and of what was printed all that was not written too."""
    written = [_identity(item) for item in items if not item.is_printed]
    return [i for i in items if not i.is_printed or _identity(i) not in written]


def _identity(item: JudgedItem) -> tuple[str, str, Mapping[str, Any]]:
    return item.title, item.preset, item.config


def made(path: Path) -> str | None:
    """What made a page or a Markdown file; None if it is none of opal's.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_PAGE_HEAD).decode("utf-8", errors="replace")
    return GENERATOR if head.startswith(MARK) else render.generator_of(head)


def _json(path: Path) -> Any:
    """The content of a JSON file without keys of APIs, in any encoding that shells write."""
    return _hidden(json.loads(path.read_bytes()))


def _hidden(content: Any) -> Any:
    if isinstance(content, dict):
        return {redacted(name): _hidden(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_hidden(value) for value in content]
    return redacted(content) if isinstance(content, str) else content


def _checks(stated: Sequence[Any]) -> list[Check]:
    """The checks of a figure or a study; a number that JSON does not know is not one.

    Raises:
        ValueError: one is no check.
    """
    found = []
    for each in stated:
        if not has_fields(each, name=str, passed=bool, detail=str):
            raise ValueError("a check has the fields name, passed, detail, statistic and threshold")
        statistic, threshold = _number(each.get("statistic")), _number(each.get("threshold"))
        found.append(Check(each["name"], statistic, threshold, each["passed"], each["detail"]))
    return found


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _made_by(content: Mapping[str, Any]) -> dict[str, Any]:
    versions = content.get("versions")
    versions = versions if isinstance(versions, dict) else {}
    return {"git commit": content.get("git_commit") or "not known", **versions}


def _records(path: Path) -> pd.DataFrame:
    """A records table that fits into memory.

    Raises:
        ValueError: it is damaged, of another version, or too long.
    """
    import pyarrow
    from pyarrow import parquet

    from opal import records

    try:
        n_rows = parquet.read_metadata(path).num_rows
        if n_rows > _MOST_ROWS:
            raise ValueError(f"{n_rows:,} rows: tables of at most {_MOST_ROWS:,} are read")
        return records.read(path)
    except pyarrow.ArrowException as error:
        raise ValueError(f"not a readable Parquet file ({error})") from error


def _compared(study: str, frame: pd.DataFrame) -> tuple[pd.DataFrame | None, str]:
    """What a study itself compares of its records, and a sentence on them.

    Records that name no study are of a command whose verdict is in the JSON that it prints.
    """
    metrics = [redacted(str(name)) for name in frame["metric"].unique()]
    listed = ", ".join(metrics[:8]) + (", …" if len(metrics) > 8 else "")
    about = f"{len(frame):,} rows of records; metrics: {listed}."
    if not study:
        command = "the command that wrote them prints its verdict with --json"
        return None, f"{about} What they come to is not told here: {command}."
    module = registry.load("study", study) if study in registry.claims("study") else None
    if module is None or not hasattr(module, "comparison"):
        return None, about
    try:
        return module.comparison(frame), about
    except _DAMAGE as error:
        return None, f"{about} They cannot be compared ({_why(error)})."


def _why(error: BaseException) -> str:
    """An error in a line."""
    if isinstance(error, RecursionError):
        return "damaged: it is nested too deeply"
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return f"damaged: no JSON ({error})"
    name = "" if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: "
    return " ".join(f"{name}{getattr(error, 'strerror', None) or error}".split())
