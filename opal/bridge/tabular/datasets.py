"""Datasets: the tables that GPT-4 oversampled, and any folder or files of the same kind.

The listed datasets come from :data:`opal.bridge.corpora.OPAL`; any other folder with files of the
same names is read by :func:`from_folder`, single files by :func:`from_files`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Protocol

from opal import names
from opal.reading import read_table

TASKS = ("imbalanced", "spurious")
METHODS = ("focus", "smote", "duplicate")
SEEDS = (1, 2, 6, 8, 42)
PROMPT_ROWS = 20  # GPT-4 saw the first 20 rows of the training table (gpt-api/new_prompt.py)


class Files(Protocol):
    """Where files come from: a corpus, or a folder."""

    def names(self) -> Iterable[str]:
        """Paths of the files, relative to the root."""

    def path(self, name: str) -> Path:
        """A readable local path of one file."""


@dataclass(frozen=True)
class Folder:
    """A local folder as a source of files; nothing vouches for their content."""

    root: Path

    def names(self) -> list[str]:
        """Every file below the folder, relative to it."""
        return _names_below(self.root)

    def path(self, name: str) -> Path:
        """The file itself."""
        return self.root / name


@dataclass(frozen=True)
class Loose:
    """Single files, wherever they are, under the names that a split's files have."""

    files: Mapping[str, Path]

    def names(self) -> Iterable[str]:
        """The names that splits are read by."""
        return self.files.keys()

    def path(self, name: str) -> Path:
        """The file behind a name."""
        return self.files[name]


@dataclass(frozen=True)
class Dataset:
    """What must be known of a table to read and judge it.

    Attributes:
        name: as in the repository's file names.
        files: where its files come from.
        target: label column.
        attribute: column whose being non-zero makes the second half of a spurious-task group.
        folders: (task, method) → folder of its splits.
        forest: published random-forest settings of the imbalanced task.
        synthesizer: what made the ``focus`` rows.
        coding: what the values of the label stand for, in words; empty where that is not known.
    """

    name: str
    files: Files
    target: str
    attribute: str | None
    folders: Mapping[tuple[str, str], str]
    forest: Mapping[str, int | str]
    synthesizer: str = "gpt4"
    coding: str = ""

    def seeds(self, task: str, method: str) -> tuple[int, ...]:
        """The seeds for which there is a training table, ascending."""
        folder = self.folders[task, method]
        found = {
            int(match[1])
            for name in self.files.names()
            if (match := re.fullmatch(rf"{re.escape(folder)}/?train_(?!gen).*rand(\d+)\.csv", name))
        }
        if not found:
            raise ValueError(
                f"{self.name}: {folder or 'the folder'} needs files train_*rand<seed>.csv; "
                "it has none."
            )
        return tuple(sorted(found))


_FORESTS: Mapping[str, tuple[int, int]] = {
    "openmlDiabetes": (21, 352),
    "heart_failure": (74, 244),
    "gender": (47, 335),
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
    from opal.bridge.corpora import OPAL

    target, attribute, size, coding = _COLUMNS[name]
    root = f"data/{name}/{name}_see_small_raw{size}"
    folders = {(task, method): f"{root}_{task}_{method}" for task in TASKS for method in METHODS}
    return Dataset(name, OPAL, target, attribute, folders, _forest(name), coding=coding)


def check_files(chosen: Sequence[str]) -> None:
    """Verify those files of listed datasets, published results included, that are here.

    Raises:
        CorpusError: one is corrupted, or the mirror does not have it.
    """
    from opal.bridge.corpora import OPAL

    ends = tuple(f"_{name}.txt" for name in chosen)
    folders = tuple(f"data/{name}/" for name in chosen)
    OPAL.check(path for path in OPAL.names() if path.startswith(folders) or path.endswith(ends))


def _forest(name: str) -> Mapping[str, int | str]:
    """The published forest of the imbalanced task."""
    if name not in _FORESTS:
        return DEFAULT_FOREST
    depth, trees = _FORESTS[name]
    return {"n_estimators": trees, "max_features": "log2", "max_depth": depth}


def from_folder(folder: Path, target: str | None = None, attribute: str | None = None) -> Dataset:
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
    made_by = "gpt4" if inside or itself else "synthetic"
    dataset = Dataset(name, Folder(folder), "", attribute, folders, _forest(name), made_by)
    return replace(dataset, target=target or _last_column(dataset))


def from_files(
    train: Path,
    test: Path,
    synthetic: Path | None = None,
    source: Path | None = None,
    target: str | None = None,
    attribute: str | None = None,
) -> Dataset:
    """A dataset of one split from your own CSV files.

    Raises:
        ValueError: one of the files is not there.
    """
    roles = {"train": train, "train_generate": synthetic, "test": test}
    files = {f"{role}_rand0.csv": path for role, path in roles.items() if path is not None}
    if source is not None:
        files["source.csv"] = source
    absent = [str(path) for path in files.values() if not path.is_file()]
    if absent:
        raise ValueError(f"every table must be a file; there is none at {absent}.")
    folders = {("spurious" if attribute else "imbalanced", "focus"): ""}
    name = train.stem
    dataset = Dataset(name, Loose(files), "", attribute, folders, DEFAULT_FOREST, "synthetic")
    return replace(dataset, target=target or _last_column(dataset))


def find(dataset: Dataset, folder: str, pattern: str) -> Path | None:
    """The one file of ``folder`` whose name matches, or None."""
    prefix = f"{folder}/" if folder else ""
    found = [
        name
        for name in sorted(dataset.files.names())
        if name.startswith(prefix) and re.fullmatch(pattern, name[len(prefix) :])
    ]
    if len(found) > 1:
        raise ValueError(f"{dataset.name}: only one file may match {pattern!r}; got {found}.")
    return dataset.files.path(found[0]) if found else None


def train_header(dataset: Dataset, folder: str, seed: int) -> list[str]:
    """The columns of the training table of a seed, in their order."""
    path = find(dataset, folder, rf"train_(?!gen).*rand{seed}\.csv")
    if path is None:
        known = [s for t, m in dataset.folders for s in dataset.seeds(t, m)]
        raise ValueError(f"{dataset.name} has the seeds {sorted(set(known))}; got {seed}.")
    return list(read_table(path).columns)


def _last_column(dataset: Dataset) -> str:
    """Label column by the repository's convention."""
    (task, method), folder = next(iter(dataset.folders.items()))
    return train_header(dataset, folder, dataset.seeds(task, method)[0])[-1]


@cache
def _names_below(root: Path) -> list[str]:
    return [p.relative_to(root).as_posix() for p in sorted(root.rglob("*")) if p.is_file()]
