"""Labelled texts of one's own: a table in a file, or a data set of the Hugging Face hub.

Every file that :func:`opal.reading.read_strings` reads will do; ``hf:owner/name[:split]`` names a
data set of the hub. Which column is what, :mod:`opal.bridge.text.columns` tells.
"""

from __future__ import annotations

import csv
import importlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from opal.bridge.prompts.common import identity
from opal.bridge.text.columns import (
    Columns,
    is_usual,
    joined_cells,
    require_column,
    resolved,
    split_name,
)
from opal.bridge.text.corpus import ATTRIBUTE, HUMAN, text_table, validate_texts
from opal.files import write_atomically, write_text
from opal.reading import KINDS, cell, read_strings

LEAST = 5
"""Fewest texts of a class that a study can hold some out of."""
HUB = "hf:"
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
            classes or texts of one, or a text occurs with several labels.
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
        table: its cells, strings (:func:`opal.reading.read_strings`).
        columns: what is where.
        lines: columns of which texts of other files are lines, if they are none of this one's: its
            texts must be such lines already.
    """

    where: str | Path
    table: pd.DataFrame
    columns: Columns
    lines: tuple[str, ...] = ()

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
        chosen = resolved(self.columns, list(self.table.columns), str(self.where))
        try:
            frame = _frame(self.table, chosen, source)
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
            ValueError: none does, and one that is called ``source`` calls some texts human and
                others not.
        """
        there = list(self.table.columns)
        chosen = resolved(self.columns, there, str(self.where))
        named = {role: name for role, name in asdict(chosen).items() if name is not None}
        used = {part for role, name in named.items() for part in split_name(role, name, there)}
        free = "source" in there and "source" not in used and chosen.source is None
        if free and {HUMAN} < set(self.table["source"]):
            raise ValueError(
                f"{self.where} has a column 'source' that calls some texts {HUMAN!r} and others "
                "not. Name it, if it says who wrote them (--source-column source), or rename it."
            )
        return chosen.source is not None

    def _require_lines(self, frame: pd.DataFrame) -> None:
        for text in frame["text"] if self.lines else ():
            if not _is_of_lines(text, self.lines):
                raise ValueError(
                    f"texts must be of the columns {' and '.join(map(repr, self.lines))}, as those "
                    "of the other files are, or have a line for each that begins with its name; "
                    f"got {text[:40]!r}. Give the file these columns."
                )


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


def read_each(paths: Sequence[Path], columns: Columns) -> dict[Path, TextFile]:
    """The files, each read once, with those of the named columns that it has.

    Raises:
        ValueError: a file cannot be read, no file has a column of that name, or a file has some
            but not all columns of a text.
    """
    tables = {path: read_strings(path) for path in dict.fromkeys(paths)}
    every = list(dict.fromkeys(name for table in tables.values() for name in table))
    wanted = {role: name for role, name in asdict(columns).items() if name is not None}
    having = f"{' and '.join(map(str, tables))} {'has' if len(tables) == 1 else 'have'}"
    for role, name in wanted.items():
        for part in split_name(role, name, every):
            require_column(part, role, every, having)
    return {path: _own_columns(path, table, wanted) for path, table in tables.items()}


def _own_columns(path: Path, table: pd.DataFrame, wanted: Mapping[str, str]) -> TextFile:
    """A file with those of the wanted columns that it has."""
    there, has = list(table.columns), {}
    lines: tuple[str, ...] = ()
    for role, name in wanted.items():
        parts = split_name(role, name, there)
        lacking = [part for part in parts if part not in there]
        if not lacking:
            has[role] = name
        elif len(parts) > 1:
            lines = parts
            usual = [part for part in parts if part in there and is_usual("text", part)]
            if len(lacking) < len(parts) and not usual:
                raise ValueError(
                    f"{path} has no column {lacking[0]!r}, of {name!r}; texts must be of the same "
                    "columns in all files. Add it, or name others."
                )
    return TextFile(path, table, Columns(**has), lines)


def read_files(
    file: Path,
    test: Path | None,
    synthetic: Sequence[Path],
    columns: Columns,
    *,
    drop_contradictions: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The texts of files: those to train on, with the synthetic ones, and those to test on.

    Texts of ``synthetic`` files are a model's: the one that the file says, or one of the file's
    name. The ``columns`` are those of the files that have them. Texts that a file has with several
    labels are left out on request (``drop_contradictions``).

    Raises:
        ValueError: a file is unfit, no file has a column, or a synthetic text is called human.
    """
    real = [file, *([test] if test is not None else [])]
    there = read_each([*real, *synthetic], columns)
    require_models(synthetic, there, real)
    frames = {
        path: own.texts(
            source=path.stem if path in synthetic else HUMAN,
            n_classes=2 if path == file else 1,
            drop_contradictions=drop_contradictions,
        )
        for path, own in there.items()
    }
    sources = frames[file]["source"].unique()
    if HUMAN not in sources:
        called = ", ".join(map(repr, sources[:5]))
        raise ValueError(
            f"some texts to train on must be of people, whose source is {HUMAN!r}; {file} has "
            f"those of {called} alone. Name another column of the source, or none."
        )
    if test is not None:
        require_people(frames[test], test)
    for path in synthetic:
        require_model(frames[path], path)
    _same_attributes(frames, columns.attribute)
    held_out = None if test is None else frames[test]
    return pd.concat([frames[path] for path in (file, *synthetic)], ignore_index=True), held_out


def require_models(
    synthetic: Sequence[Path], there: Mapping[Path, TextFile], real: Sequence[Path]
) -> None:
    """Refuse files of which it is not clear who wrote their texts.

    Files that do not say it are models by their names, which differ; each is named once, and no
    file of real texts.

    Raises:
        ValueError: it is not clear; names the file.
    """
    places = [path.resolve() for path in (*real, *synthetic)]
    for path in synthetic:
        if (n := places.count(path.resolve())) > 1:
            raise ValueError(
                "texts of a model are a file of their own, which is read once; "
                f"{path} is named {n} times. Name it once."
            )
    silent = [path for path, own in there.items() if not own.says_who_wrote() and path not in real]
    for path in silent:
        if same := [other for other in silent if other.stem == path.stem and other != path]:
            raise ValueError(
                f"files are models by their names, and {path} and {same[0]} have the same. Rename "
                "one, or say in a column of both who wrote the texts (--source-column)."
            )


def require_people(frame: pd.DataFrame, path: Path) -> None:
    """Refuse a file of real texts that a model wrote in part.

    Raises:
        ValueError: it did.
    """
    others = frame["source"][frame["source"] != HUMAN]
    if len(others):
        raise ValueError(
            f"real texts are of people, whose source is {HUMAN!r}; {len(others)} of {len(frame)} "
            f"in {path} are of {', '.join(map(repr, others.unique()[:5]))}. Leave them out."
        )


def require_model(frame: pd.DataFrame, path: Path) -> None:
    """Refuse a file of synthetic texts that people wrote in part.

    Raises:
        ValueError: they did.
    """
    if (frame["source"] == HUMAN).any():
        raise ValueError(
            f"synthetic texts are a model's; {path} calls some of them {HUMAN!r}. Rename the file, "
            "or leave human texts out of it."
        )


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


def _frame(table: pd.DataFrame, columns: Columns, source: str) -> pd.DataFrame:
    cells = {
        role: joined_cells(table, split_name(role, name, list(table.columns)))
        for role, name in asdict(columns).items()
        if name is not None
    }
    text, seeds = cells["text"], None
    if "seed" in cells:
        seeds = _seeds(cells["seed"], text, cells.get("id"))
    attribute = cells.get("attribute")
    frame = text_table(text, cells["label"], source=source, seeds=seeds, attribute=attribute)
    return validate_texts(frame.assign(source=cells["source"])) if "source" in cells else frame


def _seeds(
    cells: Sequence[object], text: Sequence[object], own: Sequence[object] | None
) -> list[tuple[str, ...]]:
    """Ids of the seeds: given, looked up among the table's own, or those of the seeds' texts."""
    several = [each if isinstance(each, tuple) else (each,) for each in cells]
    given = [[s for s in some if isinstance(s, str) and s.strip()] for some in several]
    if own is not None:
        ids = {str(i): identity(t) for i, t in zip(own, text, strict=True) if isinstance(t, str)}
        unknown = [(row, s) for row, seeds in enumerate(given, 1) for s in seeds if s not in ids]
        if unknown:
            raise ValueError(
                f"seeds must be ids of the table; {unknown[0][1]!r} in data row {unknown[0][0]} is "
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


def _same_attributes(frames: dict[Path, pd.DataFrame], wanted: str | None) -> None:
    """Groups have an attribute where all files do; one that is asked for must be in all."""
    lacking = [path for path, frame in frames.items() if ATTRIBUTE not in frame]
    if lacking and wanted is not None:
        raise ValueError(
            f"all files need the attribute; {lacking[0]} has no column {wanted!r}. Add it, or "
            "leave --attribute-column out."
        )
    if lacking:
        for path, frame in frames.items():
            frames[path] = frame.drop(columns=ATTRIBUTE, errors="ignore")
