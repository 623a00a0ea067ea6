"""One split of a dataset as checked tables.

A split is a raw training table, the synthetic rows in the order they are consumed, a test table
and, where there is one, the full source table; the label is one column, and every other column is
a feature.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from opal import names
from opal.bridge.tabular.datasets import Dataset, find, train_header
from opal.reading import read_table


@dataclass(frozen=True)
class Split:
    """One seed of one task: tables with the same columns, the label last, labels 0 and 1.

    ``source`` is None where the full table is not at hand.
    """

    dataset: Dataset
    task: str
    method: str
    seed: int
    train: pd.DataFrame
    synthetic: pd.DataFrame
    test: pd.DataFrame
    source: pd.DataFrame | None

    @property
    def features(self) -> list[str]:
        """Names of the feature columns, in order."""
        return [name for name in self.train.columns if name != self.dataset.target]

    def labels(self, table: pd.DataFrame) -> np.ndarray:
        """Labels, ``(n,)`` integers 0 and 1."""
        return table[self.dataset.target].to_numpy().astype(int)

    def groups(self, table: pd.DataFrame) -> np.ndarray:
        """Group of each row, ``(n,)``: ``label`` or ``2·(attribute ≠ 0) + label``."""
        label = self.labels(table)
        if self.task == "imbalanced":
            return label
        return 2 * (table[self.dataset.attribute].to_numpy() != 0).astype(int) + label

    @property
    def group_names(self) -> tuple[str, ...]:
        """Readable names of groups 0, 1, … ."""
        target, attribute = self.dataset.target, self.dataset.attribute
        if self.task == "imbalanced":
            return f"{target}=0", f"{target}=1"
        sides = (f"{attribute}=0", f"{attribute}≠0")
        return tuple(f"{side},{target}={label}" for side in sides for label in (0, 1))


def load(dataset: Dataset, task: str, method: str = "focus", seed: int = 1) -> Split:
    """Read one split and check it; without a file of synthetic rows there are none.

    Raises:
        ValueError: the task or method is not there, a column is missing (the nearest name is
            suggested), a cell is empty, a feature is not a number, or a label is not 0 or 1.
    """
    if (task, method) not in dataset.folders:
        known = sorted(f"{t}/{m}" for t, m in dataset.folders)
        raise ValueError(f"{dataset.name} has the splits {known}; got {task}/{method}.")
    if task == "spurious" and dataset.attribute is None:
        raise ValueError(
            f"the spurious task of {dataset.name} needs an attribute; name it with --attribute."
        )
    folder = dataset.folders[task, method]
    wanted = train_header(dataset, folder, seed)
    needed = [dataset.target] + ([dataset.attribute] if dataset.attribute else [])
    columns = [name for name in wanted if name != dataset.target] + [dataset.target]
    tables: dict[str, pd.DataFrame] = {}
    for role, prefix in (("train", "train_(?!gen)"), ("synthetic", "train_gen"), ("test", "test_")):
        path = find(dataset, folder, rf"{prefix}.*rand{seed}\.csv")
        if path is None and role == "synthetic":
            tables[role] = tables["train"].head(0)
            continue
        if path is None:
            raise ValueError(f"{dataset.name}: no {role} table of seed {seed} in {folder or '.'}.")
        tables[role] = checked(read_table(path), columns, needed, str(path))
    for role, table in tables.items():
        _binary(table[dataset.target], f"{role} table of {dataset.name}, seed {seed}")
    source = _source(dataset, columns)
    return Split(dataset, task, method, seed, **tables, source=source)


def checked(
    table: pd.DataFrame, columns: list[str], needed: Iterable[str], where: str
) -> pd.DataFrame:
    """The named columns of a table as finite numbers.

    Raises:
        ValueError: there are no rows; a column is missing or misspelt, holds text, or has an empty
            or infinite cell.
    """
    if table.empty:
        raise ValueError(f"{where} must hold rows; it has none.")
    known = [str(name) for name in table.columns]
    for name in [*needed, *columns]:
        if name not in table.columns:
            raise ValueError(
                f"{where} needs a column {name!r}{names.hint(name, known)} It has: "
                f"{', '.join(known)}. Every table needs the columns of the training table, and "
                "those that flags name: add or rename the column, or correct the flag."
            )
    table = table[columns]
    for name in columns:
        _numeric(table[name], where)
        bad = np.flatnonzero(~np.isfinite(table[name].to_numpy(dtype=float)))
        if bad.size:
            raise ValueError(
                f"{where}: column {name!r} must be complete and finite; {bad.size} cells are not, "
                f"the first in data row {bad[0] + 1}. Drop or impute these rows first."
            )
    return table


def _numeric(column: pd.Series, where: str) -> None:
    """Refuse a column of text: with the first cell that is not a number, or else the first."""
    if pd.api.types.is_numeric_dtype(column):
        return
    text = pd.to_numeric(column, errors="coerce").isna() & column.notna()
    first = int(np.argmax(text.to_numpy(dtype=bool)))
    raise ValueError(
        f"{where}: column {column.name!r} must hold numbers; data row {first + 1} holds "
        f"{column.iloc[first]!r}. Correct it, or encode the column as numbers."
    )


def _binary(labels: pd.Series, where: str) -> None:
    """Refuse labels other than 0 and 1."""
    found = sorted({float(label) for label in labels.unique()} - {0.0, 1.0})
    if found:
        raise ValueError(
            f"{where}: labels must be 0 or 1; column {labels.name!r} also holds "
            f"{', '.join(f'{label:g}' for label in found[:5])}. "
            "Recode it."
        )


def _source(dataset: Dataset, columns: list[str]) -> pd.DataFrame | None:
    """The full table: the CSV of any of the dataset's folders that belongs to no seed."""
    found = {}
    for folder in set(dataset.folders.values()):
        prefix = f"{folder}/" if folder else ""
        for name in dataset.files.names():
            tail = name[len(prefix) :]
            plain = re.fullmatch(r"(?!perform)[^/]*\.csv", tail)
            if name.startswith(prefix) and plain and not re.search(r"rand\d+\.csv$", tail):
                found[tail] = name
    if not found:
        return None
    path = dataset.files.path(found[min(found)])
    return checked(read_table(path), columns, columns, str(path))
