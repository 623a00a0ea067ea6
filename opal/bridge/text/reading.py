"""Labelled texts of one's own: a table in a file, or a data set of the Hugging Face hub.

Every file that :func:`opal.reading.read_strings` reads will do; ``hf:owner/name[:split]`` names a
data set of the hub. Which column is what, :mod:`opal.bridge.text.columns` tells.
"""

from __future__ import annotations

import csv
import importlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from opal.bridge.prompts.common import identity
from opal.bridge.text.columns import (
    Columns,
    joined_cells,
    resolved,
    split_name,
)
from opal.bridge.text.corpus import COLUMNS, HUMAN, text_table, validate_texts
from opal.files import write_atomically, write_text
from opal.reading import KINDS, cell, read_strings

LEAST = 5
"""Fewest texts of a class that a study can hold some out of."""
HUB = "hf:"
_AUTHORS = ("source", "author", "writer", "written by", "model", "generator")
_PEOPLE = re.compile(r"(humans?|people)([\W_].*)?", re.DOTALL)
_FEW = 20  # values of a column of another name that may say who wrote a text
_SHOWN = 5
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_IDS = re.compile("[0-9a-f]{16}( [0-9a-f]{16})*")


def read_texts(
    where: str | Path,
    columns: Columns | None = None,
    *,
    source: str = HUMAN,
    least: int | None = None,
    n_classes: int = 2,
    drop_contradictions: bool = False,
) -> pd.DataFrame:
    """The table of the texts in a file or in a data set of the hub.

    Args:
        where: a path that ends in one of :data:`opal.reading.KINDS`, or ``hf:owner/name[:split]``
            (split ``train`` by default).
        columns: what is where.
        source: who wrote the texts, where no column tells.
        least: fewest texts of a class; :data:`LEAST` where some are held out.
        n_classes: fewest classes; 1 for what was written for a single one.
        drop_contradictions: leave out texts that occur with several labels.

    Raises:
        ValueError: there is no such table or column, a text or label is missing, there are too few
            classes or texts of one, a text occurs with several labels, or a column that calls
            some texts human and others not has no role.
        ImportError: the hub is asked for, and the package ``datasets`` is not installed.
    """
    table = _hub(str(where)) if str(where).startswith(HUB) else read_strings(Path(where))
    return TextFile(where, table, columns or Columns()).texts(
        source=source, least=least, n_classes=n_classes, drop_contradictions=drop_contradictions
    )


@dataclass(frozen=True, eq=False)
class TextFile:
    """A file of texts, or a data set of the hub, that was read once.

    Attributes:
        where: its path or name.
        table: its cells, strings, tuples of them or None (:func:`opal.reading.read_strings`).
        columns: what is where.
        lines: columns of which texts of other files are lines, if they are none of this one's: its
            texts must be such lines already.
        known: ids of texts of other files by the names that seeds may have, before its own.
    """

    where: str | Path
    table: pd.DataFrame
    columns: Columns
    lines: tuple[str, ...] = ()
    known: Mapping[str, str] = field(default_factory=dict)

    def texts(
        self,
        *,
        source: str = HUMAN,
        least: int | None = None,
        n_classes: int = 2,
        drop_contradictions: bool = False,
    ) -> pd.DataFrame:
        """The table of its texts, as :func:`read_texts` gives it.

        Raises:
            ValueError: the rules of :func:`read_texts`.
        """
        chosen = self._read
        try:
            frame = _frame(self.table, chosen, source, self.known)
            self._require_lines(frame)
            if drop_contradictions:
                kept = frame[~_contradictory(frame)].reset_index(drop=True)
                if kept.empty and len(frame):
                    raise ValueError(
                        f"a text must have one label; all {len(frame)} have several. Correct them."
                    )
                frame = kept
            _check(frame, least, n_classes)
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{self.where}: a text holds half a character, "
                f"{error.object[error.start : error.end]!r} in {error.object[:40]!r}. "
                "Write the texts as UTF-8."
            ) from error
        except ValueError as error:
            raise ValueError(
                f"{self.where} (text in column {chosen.text!r}, label in {chosen.label!r}): {error}"
            ) from error
        return frame

    def says_who_wrote(self) -> bool:
        """Whether a column that is read does.

        Raises:
            ValueError: there is no such column, or none is read, and one calls some texts human
                and others not.
        """
        return self._read.source is not None

    @cached_property
    def _read(self) -> Columns:
        """The columns that are read."""
        for name, values in self._writers.items():
            people = [v for v in values if is_people(v)]
            others = [v for v in values if not is_people(v)]
            if people and others and _is_author(name):
                raise ValueError(
                    f"{self.where} has a column {name!r} that calls some texts {people[0]!r} and "
                    f"others {', '.join(map(repr, others[:3]))}. Name it, if it says who wrote "
                    f"them (--source-column {shlex.quote(name)}; those of people are {HUMAN!r}), "
                    "or leave the column out."
                )
        return self._chosen

    @cached_property
    def _chosen(self) -> Columns:
        """The columns that are named or guessed."""
        return resolved(self.columns, list(self.table.columns), str(self.where))

    @cached_property
    def _unread(self) -> list[str]:
        """Columns that have no role."""
        there = list(self.table.columns)
        named = {role: name for role, name in asdict(self._chosen).items() if name is not None}
        used = {part for role, name in named.items() for part in split_name(role, name, there)}
        return [name for name in there if name not in used]

    @cached_property
    def _writers(self) -> dict[str, list[object]]:
        """Columns without a role that may say who wrote a text, with their cells."""
        free = [] if self._chosen.source is not None else self._unread
        cells = {name: list(dict.fromkeys(self.table[name])) for name in free}
        return {n: v for n, v in cells.items() if _is_author(n) or len(v) <= _FEW}

    def writers(self) -> dict[str, list[object]]:
        """What columns that are called as those of authors, and are not read, say if not empty."""
        return {
            name: [said for said in cells if str(said or "").strip()]
            for name, cells in self._writers.items()
            if _is_author(name)
        }

    def ids(self) -> dict[str, str]:
        """The ids of its texts by the names that its own column gives them; none without one.

        Raises:
            ValueError: two texts have one name, or the rules of :meth:`says_who_wrote`.
        """
        if (own := self._read.id) is None:
            return {}
        parts = split_name("text", str(self._read.text), list(self.table.columns))
        try:
            return _named(self.table[own], joined_cells(self.table, parts))
        except ValueError as error:
            raise ValueError(f"{self.where}: {error}") from error

    def notes(self) -> tuple[str, ...]:
        """Which of its columns are read as what, and what is not read that may matter."""
        chosen = self._read
        said = [f"{role} in {name!r}" for role, name in asdict(chosen).items() if name is not None]
        is_own = set(COLUMNS) <= set(self.table)
        unread = [] if is_own else self._unread
        more = f" and {len(unread) - _SHOWN} more" if len(unread) > _SHOWN else ""
        rest = f"; not read: {', '.join(map(repr, unread[:_SHOWN]))}{more}" if unread else ""
        name = Path(self.where).name
        doubts = [
            f"{name}: {column!r} calls {int(self.table[column].map(is_people).sum())} texts human, "
            "and is not read: if it says who wrote them, name it (--source-column "
            f"{shlex.quote(column)})"
            for column, values in self._writers.items()
            if 0 < sum(map(is_people, values)) < len(values)
        ]
        return (f"{name}: {', '.join(said)}{rest}", *doubts)

    def _require_lines(self, frame: pd.DataFrame) -> None:
        for text in frame["text"] if self.lines else ():
            if not _is_of_lines(text, self.lines):
                raise ValueError(
                    f"texts must be of the columns {' and '.join(map(repr, self.lines))}, as those "
                    "of the other files are, or have a line for each that begins with its name; "
                    f"got {text[:40]!r}. Give the file these columns."
                )


def _is_author(column: str) -> bool:
    """Whether a column is called as those that say who wrote a text."""
    return column.strip().casefold().replace("_", " ") in _AUTHORS


def is_people(value: object) -> bool:
    """Whether a cell may say that people wrote a text."""
    return isinstance(value, str) and _PEOPLE.fullmatch(value.strip().casefold()) is not None


def _named(names: Sequence[object], texts: Sequence[object]) -> dict[str, str]:
    """The ids of texts by the names that a table gives them.

    Raises:
        ValueError: two texts have one name.
    """
    found: dict[str, str] = {}
    for name, text in zip(names, texts, strict=True):
        if isinstance(name, str) and name.strip() and isinstance(text, str):
            own = identity(text)
            if found.setdefault(_whole(name), own) != own:
                raise ValueError(
                    f"an id must be that of one text; {name!r} is that of several. Name another id "
                    "column, or none where seeds are texts."
                )
    return found


def _whole(name: str) -> str:
    """A whole number without the point that empty cells beside it bring."""
    return name[:-2] if name.endswith(".0") and name[:-2].isdigit() else name


def _is_of_lines(text: str, names: Sequence[str]) -> bool:
    """Whether a text is what :func:`opal.bridge.text.columns.joined_cells` makes of columns."""
    end = 0
    for number, name in enumerate(names):
        mark = ("\n" if number else "") + f"{name}: "
        at = text.find(mark, end)
        if at < 0 or (number == 0 and at > 0):
            return False
        end = at + len(mark)
    return True


def write_texts(frame: pd.DataFrame, path: Path) -> None:
    """Write a table of texts so that :func:`read_texts` gives it back; all of the file or nothing.

    Raises:
        ValueError: the table breaks the rules of tables of texts, or the name
            ends in none of :data:`opal.reading.KINDS`.
    """
    validate_texts(frame)
    suffix = path.suffix.lower()
    if suffix not in KINDS:
        raise ValueError(
            f"texts are written to files that end in {', '.join(KINDS)}; got {path.name!r}."
        )
    if suffix == ".parquet":
        listed = frame.assign(seeds=[list(each) for each in frame["seeds"]])
        write_atomically(path, listed.to_parquet)
    elif suffix in _SEPARATORS:
        joined = frame.assign(seeds=[" ".join(each) for each in frame["seeds"]])
        # All fields are quoted: pandas would take a lone carriage return for the end of a row.
        content = joined.to_csv(sep=_SEPARATORS[suffix], index=False, quoting=csv.QUOTE_ALL)
        write_text(path, content)
    else:
        rows = [json.dumps(row, ensure_ascii=False) for row in frame.to_dict("records")]
        lines = "".join(f"{row}\n" for row in rows)
        write_text(path, "[" + ",\n".join(rows) + "]\n" if suffix == ".json" else lines)


def _frame(
    table: pd.DataFrame, columns: Columns, source: str, known: Mapping[str, str]
) -> pd.DataFrame:
    cells = {
        role: joined_cells(table, split_name(role, name, list(table.columns)))
        for role, name in asdict(columns).items()
        if name is not None
    }
    text, seeds = cells["text"], None
    if "seed" in cells:
        own = _named(cells["id"], text) if "id" in cells else {}
        seeds = _seeds(cells["seed"], {**own, **known})
    attribute = cells.get("attribute")
    frame = text_table(text, cells["label"], source=source, seeds=seeds, attribute=attribute)
    return validate_texts(frame.assign(source=cells["source"])) if "source" in cells else frame


def _seeds(cells: Sequence[object], ids: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Ids of the seeds: given, looked up by their names, or those of the seeds' texts."""
    several = [each if isinstance(each, tuple) else (each,) for each in cells]
    given = [[s for s in some if isinstance(s, str) and s.strip()] for some in several]
    if ids:
        given = [[_whole(seed) for seed in seeds] for seeds in given]
        unknown = [(row, s) for row, seeds in enumerate(given, 1) for s in seeds if s not in ids]
        if unknown:
            raise ValueError(
                f"seeds must be ids of texts; {unknown[0][1]!r} in data row {unknown[0][0]} is "
                "none. Correct it, or name no id column where seeds are texts."
            )
        return [tuple(ids[seed] for seed in seeds) for seeds in given]
    if all(_IDS.fullmatch(seed) for seeds in given for seed in seeds):
        return [tuple(i for seed in seeds for i in seed.split(" ")) for seeds in given]
    return [tuple(identity(seed) for seed in seeds) for seeds in given]


def _contradictory(frame: pd.DataFrame) -> pd.Series:
    return frame.groupby("id")["label"].transform("nunique") > 1


def _check(frame: pd.DataFrame, least: int | None, n_classes: int) -> None:
    contradictory = frame[_contradictory(frame)]
    if len(contradictory):
        first = contradictory[contradictory["id"] == contradictory["id"].iloc[0]]
        raise ValueError(
            f"a text must have one label; {contradictory['id'].nunique()} have several, such as "
            f"{first['text'].iloc[0][:60]!r} with {', '.join(sorted(first['label'].unique()))} in "
            f"data rows {', '.join(str(row + 1) for row in first.index[:3])}. Correct them, or "
            "leave them out (--drop-contradictions; in Python drop_contradictions=True)."
        )
    counts = frame["label"].value_counts()
    if len(counts) < n_classes:
        labels = ", ".join(map(repr, counts.index)) or "none"
        raise ValueError(
            f"there must be at least {n_classes} classes; the {len(frame)} texts have {labels}. "
            "Add texts of other classes, or name another label column."
        )
    if least is not None and counts.min() < least:
        few = ", ".join(f"{label!r} has {n}" for label, n in counts[counts < least].items())
        raise ValueError(
            f"a class must have at least {least} texts; {few}. Add texts, or merge or drop classes."
        )


def _hub(where: str) -> pd.DataFrame:
    """A split of a data set of the hub, classes by their names."""
    name, _, split = where.removeprefix(HUB).partition(":")
    if find_spec("datasets") is None:
        raise ImportError(f"{where} needs the package datasets: pip install datasets.")
    if not name.strip():
        raise ValueError(f"a data set of the hub is hf:owner/name[:split]; got {where!r}.")
    library = importlib.import_module("datasets")
    try:
        loaded = library.load_dataset(name, split=split or "train")
    except Exception as error:  # the library raises its own, the hub's and the network's kinds
        reason = " ".join(str(error).split()).rstrip(".")
        raise ValueError(
            f"{where} must be a data set and split that can be had; {reason}. Check the name and "
            "the network, or save it as CSV and read that."
        ) from error
    table = pd.DataFrame({column: list(map(cell, loaded[column])) for column in loaded.features})
    for column, feature in loaded.features.items():
        if classes := getattr(feature, "names", None):
            table[column] = [dict(enumerate(classes)).get(each) for each in loaded[column]]
    return table
