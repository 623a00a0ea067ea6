"""Labelled texts of one's own: a table in a file, or a data set of the Hugging Face hub.

Every file that :func:`opal.reading.read_strings` reads will do; ``hf:owner/name[:split]`` names a
data set of the hub. Which column is what is told by :class:`Columns`, or guessed where there is no
doubt. A text of several columns, as sentence pairs are, is named by all of them:
``premise,hypothesis`` is ``premise: …`` on one line and ``hypothesis: …`` on the next.
"""

from __future__ import annotations

import csv
import importlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from opal import names, spelling
from opal.bridge.prompts.common import identity
from opal.bridge.text.corpus import (
    ATTRIBUTE,
    COLUMNS,
    HUMAN,
    require_strings,
    text_table,
    validate_texts,
)
from opal.files import write_atomically, write_text
from opal.reading import KINDS, cell, read_strings

LEAST = 5
"""Fewest texts of a class that a study can hold some out of."""
HUB = "hf:"
_GUESSES: Mapping[str, Collection[str]] = {
    "text": (
        *("text", "sentence", "content", "review", "tweet", "document"),
        *("h_text", "augmented_text", "augmented_h_text"),
    ),
    "label": ("label", "target", "class", "category"),
}
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_IDS = re.compile("[0-9a-f]{16}( [0-9a-f]{16})*")


@dataclass(frozen=True)
class Columns:
    """Which column of a table holds what; None is a guess for text and label, and none otherwise.

    A table that :func:`write_texts` made needs none of them named.

    Attributes:
        text: the text; several columns, with commas between, are lines of one text.
        label: its class.
        attribute: what the label may spuriously go with.
        seed: what the text was made from: the seed's text, its id, or a list of either.
        source: ``human``, or the model that wrote the text.
        id: the table's own names of its texts, where the seed column refers to them.
    """

    text: str | None = None
    label: str | None = None
    attribute: str | None = None
    seed: str | None = None
    source: str | None = None
    id: str | None = None

    @classmethod
    def of(cls, flags: object) -> Columns:
        """Those that the flags ``--ROLE-column`` of a command name."""
        given = {f.name: getattr(flags, f"{f.name}_column", None) for f in fields(cls)}
        return cls(**{role: name and spelling.name(name) for role, name in given.items()})


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
    """

    where: str | Path
    table: pd.DataFrame
    columns: Columns

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
        chosen = _resolved(self.columns, list(self.table.columns), str(self.where))
        try:
            frame = _frame(self.table, chosen, source)
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


def read_each(paths: Sequence[Path], columns: Columns) -> dict[Path, TextFile]:
    """The files, each read once, with those of the named columns that it has.

    Raises:
        ValueError: a file cannot be read.
        UnknownNameError: no file has a column of that name.
    """
    tables = {path: read_strings(path) for path in dict.fromkeys(paths)}
    every = list(dict.fromkeys(name for table in tables.values() for name in table))
    wanted = {role: name for role, name in asdict(columns).items() if name is not None}
    for role, name in wanted.items():
        names.check("column", _parts(role, name, every), every)

    def own(found: Sequence[str]) -> Columns:
        has = {r: n for r, n in wanted.items() if set(_parts(r, n, found)) <= set(found)}
        return Columns(**has)

    return {path: TextFile(path, table, own(list(table))) for path, table in tables.items()}


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
    there = read_each([file, *([test] if test is not None else []), *synthetic], columns)
    frames = {
        path: own.texts(
            source=path.stem if path in synthetic else HUMAN,
            n_classes=2 if path == file else 1,
            drop_contradictions=drop_contradictions,
        )
        for path, own in there.items()
    }
    for path in synthetic:
        if (frames[path]["source"] == HUMAN).any():
            raise ValueError(
                f"texts of --synthetic are a model's; {path} calls some of them {HUMAN!r}. "
                "Rename the file, or put human texts into --file."
            )
    _same_attributes(frames, columns.attribute)
    held_out = None if test is None else frames[test]
    return pd.concat([frames[path] for path in (file, *synthetic)], ignore_index=True), held_out


def texts_of(
    table: pd.DataFrame,
    where: str | Path,
    column: str | None = None,
    *,
    like: Sequence[str] = (),
    flag: str = "--text-column",
) -> list[str]:
    """The texts of a table of strings that need no labels, one for each row.

    Args:
        table: as :func:`opal.reading.read_strings` gives it.
        where: its path or name, for errors.
        column: of the texts, or several with commas between, as in :class:`Columns`; a guess if
            None.
        like: columns of other texts, where these have several: texts of other names would differ
            in words.
        flag: that names the column, for errors.

    Raises:
        ValueError: there is no such column, or a row without a text; or the columns are several and
            not those of the other texts.
    """
    there = list(table.columns)
    if column is None and like and set(like) <= set(there):
        column = ",".join(like)
    chosen = _guess("text", there, str(where), flag) if column is None else spelling.name(column)
    parts = _parts("text", chosen, there)
    names.check("column", parts, there)
    if (like or len(parts) > 1) and parts != tuple(like):
        raise ValueError(
            "texts must be of the same columns, in the same order, as those that are trained on; "
            f"these are of {' and '.join(map(repr, like)) or 'a single one'}, those of {where} of "
            f"{' and '.join(map(repr, parts))}. Rename the columns, and name the same ones."
        )
    texts = pd.DataFrame({"text": _joined(table, parts)}, dtype=object)
    try:
        require_strings(texts, "text", "give a text for every row, or drop the rows without")
    except ValueError as error:
        raise ValueError(f"{where} (text in column {chosen!r}): {error}") from error
    return texts["text"].tolist()


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


def _resolved(columns: Columns, there: Sequence[str], where: str) -> Columns:
    """Every column that is to be read, under its name in the table."""
    asked = {role: name for role, name in asdict(columns).items() if name is not None}
    for role, wanted in asked.items():
        for name in _parts(role, wanted, there):
            if name not in there:
                raise ValueError(
                    f"{where} has no column {name!r} for the {role}{names.hint(name, there)} "
                    f"There are: {', '.join(there)}."
                )
    if set(COLUMNS) <= set(there):
        return Columns(**{role: _own(role, there) for role in asdict(columns)} | asked)
    guessed = {role: _guess(role, there, where) for role in _GUESSES if role not in asked}
    return Columns(**guessed | asked)


def _parts(role: str, name: str, there: Collection[str]) -> tuple[str, ...]:
    """The columns of a name: those of a text may be several, with commas between."""
    if role != "text" or name in there:
        return (name,)
    return tuple(part.strip() for part in name.split(","))


def _joined(table: pd.DataFrame, parts: Sequence[str]) -> list[object]:
    """The texts of a column; of several columns, a line for each with its name."""
    if len(parts) == 1:
        return table[parts[0]].tolist()
    return [
        "\n".join(f"{name}: {said}" for name, said in zip(parts, row, strict=True))
        if all(isinstance(said, str) and said.strip() for said in row)
        else None
        for row in zip(*(table[name] for name in parts), strict=True)
    ]


def _own(role: str, there: Collection[str]) -> str | None:
    """Column of a table that :func:`write_texts` made; the ids follow from the texts."""
    name = "seeds" if role == "seed" else role
    return name if name in there and role != "id" else None


def _guess(role: str, there: Sequence[str], where: str, flag: str | None = None) -> str:
    likely = [name for name in there if name.strip().lower() in _GUESSES[role]]
    if len(likely) == 1:
        return likely[0]
    doubt = f"could be {' or '.join(map(repr, likely))}" if likely else "has no usual name"
    several = ", several with commas between" if role == "text" else ""
    raise ValueError(
        f"{where} must name the column of the {role}: it {doubt}. Name it with "
        f"{flag or f'--{role}-column'}{several}, or add it; there are: {', '.join(there)}."
    )


def _frame(table: pd.DataFrame, columns: Columns, source: str) -> pd.DataFrame:
    cells = {
        role: _joined(table, _parts(role, name, list(table.columns)))
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
