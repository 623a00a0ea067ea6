"""Several files of labelled texts together: which are of people, and which a model wrote.

What is in one file, :mod:`opal.bridge.text.reading` reads.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from opal.bridge.text.columns import Columns, is_usual, require_case, require_column, split_name
from opal.bridge.text.corpus import ATTRIBUTE, HUMAN
from opal.bridge.text.reading import TextFile, is_people
from opal.reading import read_strings


class ReadTexts(NamedTuple):
    """The texts of several files.

    Attributes:
        frame: those to train on, with the synthetic ones.
        test: those to test on, if a file has them.
        notes: which columns of each file are read as what, and what is not read that may matter.
    """

    frame: pd.DataFrame
    test: pd.DataFrame | None
    notes: tuple[str, ...]


def read_each(
    real: Sequence[Path], synthetic: Sequence[Path], columns: Columns
) -> dict[Path, TextFile]:
    """The files, each read once, with those of the named columns that it has.

    Seeds that are ids are those of the real files, the first of them first, or else of their own.

    Raises:
        ValueError: a file cannot be read, no file has a column of that name, a file has it in other
            capitals, some but not all columns of a text, or neither the named text or label nor one
            of a usual name; or, where ids are named, the rules of :meth:`TextFile.ids`.
    """
    tables = {path: read_strings(path) for path in dict.fromkeys([*real, *synthetic])}
    every = list(dict.fromkeys(name for table in tables.values() for name in table))
    wanted = {role: name for role, name in asdict(columns).items() if name is not None}
    having = f"{' and '.join(map(str, tables))} {'has' if len(tables) == 1 else 'have'}"
    for role, name in wanted.items():
        for part in split_name(role, name, every):
            require_column(part, role, every, having)
    found = {
        path: _own_columns(path, table, wanted, is_real=path in real)
        for path, table in tables.items()
    }
    known: dict[str, str] = {}
    for path in real if columns.id is not None else ():
        known = found[path].ids() | known
    return {
        path: own if path in real or own.columns.seed is None else replace(own, known=known)
        for path, own in found.items()
    }


def _own_columns(
    path: Path, table: pd.DataFrame, wanted: Mapping[str, str], *, is_real: bool
) -> TextFile:
    """A file with those of the wanted columns that it has."""
    there, has = list(table.columns), {}
    lines: tuple[str, ...] = ()
    for role, name in wanted.items():
        parts = split_name(role, name, there)
        lacking = [part for part in parts if part not in there]
        for part in lacking:
            require_case(part, role, there, path)
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
        elif role in ("text", "label") and not any(is_usual(role, each) for each in there):
            require_column(name, role, there, f"{path} has")
    if (
        is_real
        and {"text"} & (wanted.keys() - has.keys())
        and is_usual("text", has.get("seed", ""))
    ):
        del has["seed"]  # what synthetic texts were made from is the text itself here
    return TextFile(path, table, Columns(**has), lines)


def read_files(
    file: Path,
    test: Path | None,
    synthetic: Sequence[Path],
    columns: Columns,
    *,
    drop_contradictions: bool = False,
) -> ReadTexts:
    """The texts of files: those to train on, with the synthetic ones, and those to test on.

    Texts of ``synthetic`` files are a model's: the one that the file says, or one of the file's
    name. The ``columns`` are those of the files that have them. Texts that a file has with several
    labels are left out on request (``drop_contradictions``).

    Raises:
        ValueError: a file is unfit, no file has a column, or a synthetic text is called human.
    """
    real = [file, *([test] if test is not None else [])]
    there = read_each(real, synthetic, columns)
    require_models(synthetic, there, real)
    frames = {
        path: own.texts(
            source=path.stem if path in synthetic else HUMAN,
            n_classes=2 if path == file else 1,
            drop_contradictions=drop_contradictions,
        )
        for path, own in there.items()
    }
    require_some_people(frames[file], file)
    if test is not None:
        require_people(frames[test], test)
    for path in synthetic:
        require_model(frames[path], path)
    _same_attributes(frames, columns.attribute)
    held_out = None if test is None else frames[test]
    whole = pd.concat([frames[path] for path in (file, *synthetic)], ignore_index=True)
    return ReadTexts(whole, held_out, tuple(n for own in there.values() for n in own.notes()))


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
    said = [own.writers() for path, own in there.items() if path not in synthetic]
    for path in synthetic:
        for column, cells in there[path].writers().items():
            if any(map(is_people, cells)):
                raise ValueError(
                    f"synthetic texts are a model's; {path} has a column {column!r} that says "
                    f"{cells[0]!r}. Leave human texts out, or that column."
                )
            shared = any(not set(cells).isdisjoint(other.get(column, ())) for other in said)
            if len(cells) > 1 and not shared:  # real texts have no models in common with it
                raise ValueError(
                    f"{path} is one model's, by its name, and has a column {column!r} that says "
                    f"{', '.join(map(repr, cells[:3]))}. Name it (--source-column "
                    f"{shlex.quote(column)}), or leave the column out."
                )
    for path in real:
        there[path].says_who_wrote()  # or it is refused
    silent = [path for path in synthetic if not there[path].says_who_wrote()]
    for path in silent:
        if same := [other for other in silent if other.stem == path.stem and other != path]:
            raise ValueError(
                f"files are models by their names, and {path} and {same[0]} have the same. Rename "
                "one, or say in a column of both who wrote the texts (--source-column)."
            )


def require_some_people(frame: pd.DataFrame, path: Path) -> None:
    """Refuse a file to train on of whose texts people wrote none.

    Raises:
        ValueError: they did not.
    """
    sources = frame["source"].unique()
    if HUMAN not in sources:
        called = ", ".join(map(repr, sources[:5]))
        raise ValueError(
            f"some texts to train on must be of people, whose source is {HUMAN!r}; {path} has "
            f"those of {called} alone. Write {HUMAN!r} for people, or name another column."
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
    people = frame["source"][frame["source"].map(is_people)]
    if len(people):
        raise ValueError(
            f"synthetic texts are a model's; {path} calls some of them {people.iloc[0]!r}. Rename "
            "the file, or leave human texts out of it."
        )


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
