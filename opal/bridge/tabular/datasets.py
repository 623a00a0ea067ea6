"""Datasets: the tables that GPT-4 oversampled, and any folder or files of the same kind.

The listed datasets come from :data:`opal.bridge.download.OPAL`; any other folder with files of the
same names is read by :func:`from_folder`, single files or tables by :func:`from_tables`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from opal import names
from opal.bridge.download import OPAL
from opal.reading import read_table

if TYPE_CHECKING:
    import pandas as pd

TASKS = ("imbalanced", "spurious")
METHODS = ("focus", "smote", "duplicate")
SEEDS = (1, 2, 6, 8, 42)
PROMPT_ROWS = 20  # GPT-4 saw the first 20 rows of the training table (gpt-api/new_prompt.py)


class Files(Protocol):
    """Where files come from: a corpus, or a folder."""

    def names(self) -> Iterable[str]:
        """Paths of the files, relative to the root."""

    def path(self, name: str) -> Path | pd.DataFrame:
        """A readable local path of one file, or what is in it."""


@dataclass(frozen=True, eq=False)
class LocalFiles:
    """Files on this machine, or tables in memory; nothing vouches for their content."""

    found: Mapping[str, Path | pd.DataFrame]  # file or table under the name that splits are read by
    root: Path | None = None  # the folder that the files are in, where they share one

    @classmethod
    def below(cls, root: Path) -> LocalFiles:
        """Every file below a folder, by its path relative to it."""
        files = (path for path in sorted(root.rglob("*")) if path.is_file())
        return cls({path.relative_to(root).as_posix(): path for path in files}, root)

    def names(self) -> Iterable[str]:
        """The names of the files and tables."""
        return self.found.keys()

    def path(self, name: str) -> Path | pd.DataFrame:
        """The file or the table behind a name."""
        return self.found[name]


@dataclass(frozen=True)
class Dataset:
    """What must be known of a table to read and judge it."""

    name: str  # as in the repository's file names
    files: Files  # where its files come from
    target: str  # label column
    attribute: str | None  # whose being non-zero makes the second half of a spurious-task group
    folders: Mapping[tuple[str, str], str]  # (task, method) → folder of its splits
    forest: Mapping[str, int | str]  # published random-forest settings of the imbalanced task
    synthesizer: str = "gpt4"  # what made the ``focus`` rows
    n_generator: float = nan  # real rows of a split that its maker was given; unknown if NaN
    coding: str = ""  # what the label's values stand for, in words; empty if unknown
    keys: tuple[str, ...] = ()  # columns that only tell rows apart: they are left out

    def seeds(self, task: str, method: str) -> tuple[int, ...]:
        """The seeds for which there is a training table, ascending."""
        folder = self.folders[task, method]
        pattern = re.compile(r"train_(?!gen).*rand(\d+)\.csv")
        found = {int(m[1]) for name in self.inside(folder) if (m := pattern.fullmatch(name))}
        if not found:
            raise ValueError(
                f"{self.name}: {folder or 'the folder'} needs files train_*rand<seed>.csv; "
                "it has none."
            )
        return tuple(sorted(found))

    def inside(self, folder: str) -> dict[str, str]:
        """Path of each file of a folder, sorted, by its path relative to the folder."""
        prefix = f"{folder}/" if folder else ""
        return {
            name.removeprefix(prefix): name
            for name in sorted(self.files.names())
            if name.startswith(prefix)
        }

    def tasks(self, wanted: Sequence[str] = ()) -> list[str]:
        """The tasks that are wanted, or all that the tables allow.

        Raises:
            ValueError: one is not there, or there is none without an attribute.
        """
        has = [task for task in TASKS if (task, "focus") in self.folders]
        for task in wanted:
            if task not in has:
                raise ValueError(f"{self.name} has the tasks {has}; got {task!r}.")
        usable = [task for task in has if task == "imbalanced" or self.attribute]
        if not usable and not wanted:
            raise ValueError(f"{self.name} has only a spurious task: name the --attribute.")
        return list(dict.fromkeys(wanted)) or usable


# The published forests of the imbalanced task.
_FORESTS: Mapping[str, Mapping[str, int | str]] = {
    "openmlDiabetes": {"n_estimators": 352, "max_features": "log2", "max_depth": 21},
    "heart_failure": {"n_estimators": 244, "max_features": "log2", "max_depth": 74},
    "gender": {"n_estimators": 335, "max_features": "log2", "max_depth": 47},
}
#: The published forest of the spurious task, and of tables that have no tuned one.
DEFAULT_FOREST: Mapping[str, int | str] = {
    "n_estimators": 200,
    "max_features": "sqrt",
    "min_samples_leaf": 2,
}
# Target, attribute, training rows, and what the label means (gpt-api/new_prompt.py told GPT-4 so).
_COLUMNS = {
    "openmlDiabetes": ("class", "skin", 100, "class 1: tested positive for diabetes"),
    "heart_failure": ("DEATH_EVENT", "sex", 50, "DEATH_EVENT 1: died of heart failure"),
    "gender": ("gender", "long_hair", 50, "gender 0: male, 1: female"),
}
NAMES = tuple(_COLUMNS)


def listed(name: str) -> Dataset:
    """A dataset of the OPAL repository that the package knows.

    Raises:
        UnknownNameError: it is not listed; the message suggests the nearest name and ``--folder``.
    """
    if name not in _COLUMNS:
        raise names.UnknownNameError(
            f"{names.unknown('dataset', name, NAMES)} Another table of the same layout is read "
            "with --folder, --target and --attribute."
        )
    target, attribute, size, coding = _COLUMNS[name]
    root = f"data/{name}/{name}_see_small_raw{size}"
    folders = {(task, method): f"{root}_{task}_{method}" for task in TASKS for method in METHODS}
    return Dataset(
        name, OPAL, target, attribute, folders, _FORESTS[name], n_generator=PROMPT_ROWS,
        coding=coding,
    )  # fmt: skip


def check_files(chosen: Sequence[str]) -> None:
    """Verify those files of listed datasets, published results included, that are here.

    Raises:
        DownloadError: one is corrupted, or the mirror does not have it.
    """
    ends = tuple(f"_{name}.txt" for name in chosen)
    folders = tuple(f"data/{name}/" for name in chosen)
    OPAL.check(path for path in OPAL.names() if path.startswith(folders) or path.endswith(ends))


def from_folder(
    folder: Path,
    target: str | None = None,
    attribute: str | None = None,
    *,
    keys: Sequence[str] = (),
) -> Dataset:
    """A dataset by its folder: one of the OPAL repository that is not listed, or your own.

    ``folder`` holds either the repository's ``<name>_see_small_raw<R>_<task>_<method>`` folders or
    the split files themselves: ``train_*rand<seed>.csv``, ``train_generate*rand<seed>.csv``
    (synthetic rows) and ``test_*rand<seed>.csv``; a CSV without ``rand`` in its name is the source
    table. Split files in a folder whose name says no task belong to the spurious task where an
    attribute is given, to the imbalanced one otherwise.

    Args:
        folder: an existing folder.
        target: label column; the last column of the training table if None.
        attribute: attribute column of the spurious task.
        keys: columns that only tell rows apart, as an id: they are left out.

    Raises:
        ValueError: there is no such folder, or nothing in it has these names.
    """
    if not folder.is_dir():
        raise ValueError(f"--folder must be a folder; there is none at {folder}.")
    folder = folder.resolve()
    pattern = re.compile(r"(.+)_see_small_raw\d+_(imbalanced|spurious)_(\w+)$")
    inside = {(m[2], m[3]): m for p in sorted(folder.iterdir()) if (m := pattern.match(p.name))}
    itself = pattern.match(folder.name)
    if inside:
        folders = {key: match[0] for key, match in inside.items()}
        name = next(iter(inside.values()))[1]
    elif any(re.match(r"train_.*rand\d+\.csv$", p.name) for p in folder.iterdir()):
        default = ("spurious" if attribute else "imbalanced", "focus")
        folders = {(itself[2], itself[3]) if itself else default: ""}
        name = itself[1] if itself else folder.name
    else:
        raise ValueError(
            f"{folder} needs folders <name>_see_small_raw<R>_<task>_<method>, or files "
            "train_*rand<seed>.csv, train_generate*rand<seed>.csv and test_*rand<seed>.csv; "
            "it has neither."
        )
    maker = ("gpt4", PROMPT_ROWS) if inside or itself else ("synthetic", nan)
    forest, files = _FORESTS.get(name, DEFAULT_FOREST), LocalFiles.below(folder)
    dataset = Dataset(name, files, "", attribute, folders, forest, *maker)
    dataset = replace(dataset, keys=tuple(keys))
    return replace(dataset, target=target or _last_column(dataset))


def from_tables(
    train: Path | pd.DataFrame,
    test: Path | pd.DataFrame,
    synthetic: Path | pd.DataFrame | None = None,
    source: Path | pd.DataFrame | None = None,
    target: str | None = None,
    attribute: str | None = None,
    *,
    name: str | None = None,
    keys: Sequence[str] = (),
) -> Dataset:
    """A dataset of one split from your own tables: CSV files, or in memory.

    Args:
        train: training rows.
        test: rows that errors are measured on.
        synthetic: made rows, in the order they are to be used.
        source: the full table that training and test rows were drawn from, where there is one.
        target: label column; the last column of the training table if None.
        attribute: column whose being non-zero, with the label, makes the groups.
        name: of the dataset; that of the training file, or ``table``, if None.
        keys: columns that only tell rows apart, as an id: they are left out, and only the training
            table must have them.

    Raises:
        ValueError: one of the files is not there.
    """
    roles = {"train": train, "train_generate": synthetic, "test": test}
    files = {f"{role}_rand0.csv": table for role, table in roles.items() if table is not None}
    if source is not None:
        files["source.csv"] = source
    absent = [str(f) for f in files.values() if isinstance(f, Path) and not f.is_file()]
    if absent:
        raise ValueError(f"every table must be a file; there is none at {absent}.")
    folders = {("spurious" if attribute else "imbalanced", "focus"): ""}
    name = name or (train.stem if isinstance(train, Path) else "table")
    dataset = Dataset(
        name, LocalFiles(files), "", attribute, folders, DEFAULT_FOREST, "synthetic",
        _n_generator(synthetic), keys=tuple(keys),
    )  # fmt: skip
    return replace(dataset, target=target or _last_column(dataset))


def _n_generator(made: Path | pd.DataFrame | None) -> float:
    """Real rows that a model was fine-tuned on, by the record beside the rows that it wrote."""
    record = made.with_name(f"{made.name}.json") if isinstance(made, Path) else None
    if record is None or not record.is_file():
        return nan
    generator = json.loads(record.read_text(encoding="utf-8")).get("generator", {})
    return float(generator.get("n_generator", nan))


def read(dataset: Dataset, folder: str, pattern: str) -> tuple[pd.DataFrame, str] | None:
    """The one table of ``folder`` whose file name matches, and where it is; None without one.

    Raises:
        ValueError: several match, or the file is no table.
    """
    inside = dataset.inside(folder)
    found = [path for name, path in inside.items() if re.fullmatch(pattern, name)]
    if len(found) > 1:
        raise ValueError(f"{dataset.name}: only one file may match {pattern!r}; got {found}.")
    return _read(dataset, found[0]) if found else None


def read_source(dataset: Dataset) -> tuple[pd.DataFrame, str] | None:
    """The full table, and where it is: the CSV of any of the folders that belongs to no seed."""
    pattern = re.compile(r"(?!perform)(?!.*rand\d+\.csv)[^/]*\.csv")
    every = [dataset.inside(folder) for folder in set(dataset.folders.values())]
    found = {name: path for each in every for name, path in each.items() if pattern.fullmatch(name)}
    return _read(dataset, found[min(found)]) if found else None


def _read(dataset: Dataset, name: str) -> tuple[pd.DataFrame, str]:
    found = dataset.files.path(name)
    if isinstance(found, Path):
        return read_table(found), str(found)
    return found, name.partition("_rand")[0].removesuffix(".csv")


def train_header(dataset: Dataset, folder: str, seed: int) -> list[str]:
    """The columns of the training table of a seed that are no keys, in their order.

    Raises:
        ValueError: there is no such table, or it has not all keys.
    """
    found = read(dataset, folder, rf"train_(?!gen).*rand{seed}\.csv")
    if found is None:
        known = [s for t, m in dataset.folders for s in dataset.seeds(t, m)]
        raise ValueError(f"{dataset.name} has the seeds {sorted(set(known))}; got {seed}.")
    header, where = list(found[0].columns), found[1]
    names.check(f"column of {where}", dataset.keys, header)
    return [name for name in header if name not in dataset.keys]


def _last_column(dataset: Dataset) -> str:
    """Label column by the repository's convention."""
    (task, method), folder = next(iter(dataset.folders.items()))
    return train_header(dataset, folder, dataset.seeds(task, method)[0])[-1]
