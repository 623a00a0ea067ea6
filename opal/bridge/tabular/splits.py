"""One split of a dataset as checked tables, and as the arrays that arms are made from.

A split is a raw training table, the synthetic rows in the order they are consumed, a test table
and, where there is one, the full source table; the label is one column, and every other column is
a feature.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from opal import names
from opal.bridge.tabular.datasets import Dataset, read, read_source, train_header
from opal.bridge.tabular.identifiers import identifiers
from opal.columns import as_numbers, data_row, require_exact, require_unique

# How the names of files begin, by what is in them.
_PREFIXES = {"train": "train_(?!gen)", "synthetic": "train_gen", "test": "test_"}
_LARGEST = float(np.finfo(np.float32).max)


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
    tables = _tables(dataset, dataset.folders[task, method], seed, _PREFIXES)
    for role, table in tables.items():
        require_binary(table[dataset.target], f"{role} table of {dataset.name}, seed {seed}")
    tables.setdefault("synthetic", tables["train"].head(0))
    source = _source(dataset, list(tables["train"].columns))
    return Split(dataset, task, method, seed, **tables, source=source)


def load_features(dataset: Dataset, task: str, method: str = "focus") -> dict[int, Split]:
    """Every split by its seed, without the columns that number the real rows of all of them.

    These join :attr:`Dataset.keys` of the splits' dataset; synthetic rows need not have them.

    Raises:
        ValueError: a table is unfit; see :func:`load`.
    """
    seeds = dataset.seeds(task, method)
    folder = dataset.folders[task, method]
    parts = [_tables(dataset, folder, seed, ("train", "test")) for seed in seeds]
    real = [table for part in parts for table in part.values()]
    source = _source(dataset, list(real[0].columns))
    found, _ = identifiers([*real, *([] if source is None else [source])], _needed(dataset))
    bare = replace(dataset, keys=(*dataset.keys, *found))
    return {seed: load(bare, task, method, seed) for seed in seeds}


def _needed(dataset: Dataset) -> list[str]:
    return [dataset.target] + ([dataset.attribute] if dataset.attribute else [])


def _tables(
    dataset: Dataset, folder: str, seed: int, roles: Iterable[str]
) -> dict[str, pd.DataFrame]:
    """The tables of a seed with the columns of the training table, the label last.

    Raises:
        ValueError: one is unfit, or is not there; synthetic rows need not be.
    """
    wanted = train_header(dataset, folder, seed)
    columns = [name for name in wanted if name != dataset.target] + [dataset.target]
    tables: dict[str, pd.DataFrame] = {}
    for role in roles:
        found = read(dataset, folder, rf"{_PREFIXES[role]}.*rand{seed}\.csv")
        if found is not None:
            tables[role] = checked(found[0], columns, _needed(dataset), found[1])
        elif role != "synthetic":
            raise ValueError(f"{dataset.name}: no {role} table of seed {seed} in {folder or '.'}.")
    return tables


def _source(dataset: Dataset, columns: list[str]) -> pd.DataFrame | None:
    whole = read_source(dataset)
    return whole and checked(whole[0], columns, columns, whole[1])


def checked(
    table: pd.DataFrame, columns: list[str], needed: Iterable[str], where: str
) -> pd.DataFrame:
    """The named columns of a table as finite numbers.

    Raises:
        ValueError: there are no rows; a column is missing or misspelt, holds text, or has an empty
            or infinite cell, a whole number that a float does not hold exactly, or a number beyond
            what a forest holds.
    """
    if table.empty:
        raise ValueError(f"{where} must hold rows; it has none.")
    known = [str(name) for name in table.columns]
    require_unique(known, where)
    for name in [*needed, *columns]:
        if name not in table.columns:
            raise ValueError(
                f"{where} needs a column {name!r}{names.hint(name, known)} It has: "
                f"{', '.join(known)}. Every table needs the columns of the training table, and "
                "those that flags name: add or rename the column, or correct the flag."
            )
    given, table = table, as_numbers(table[columns])
    for name in columns:
        _numeric(table[name], where)
        bad = np.flatnonzero(~np.isfinite(table[name].to_numpy(dtype=float)))
        if bad.size:
            first = data_row(table, int(bad[0]))
            raise ValueError(
                f"{where}: column {name!r} must be complete and finite; {bad.size} cells are not, "
                f"the first in data row {first}. Drop or impute these rows first."
            )
        require_exact(given[name], f"{where}: ")
        large = np.flatnonzero(np.abs(table[name].to_numpy(dtype=float)) > _LARGEST)
        if large.size:
            raise ValueError(
                f"{where}: numbers must be at most {_LARGEST:.1e}, which is what a forest holds; "
                f"column {name!r} has {table[name].iloc[large[0]]:g} in data row "
                f"{data_row(table, int(large[0]))}: divide the column, or leave it out."
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
        f"{column.iloc[first]!r}. Correct it, encode the column as numbers, or leave it out (--key "
        "where it only tells rows apart)."
    )


def require_binary(labels: pd.Series, where: str) -> None:
    """Check that labels are 0 or 1; ``where`` says of which table they are.

    Raises:
        ValueError: one is not.
    """
    found = sorted({float(label) for label in labels.unique()} - {0.0, 1.0})
    if found:
        raise ValueError(
            f"{where}: labels must be 0 or 1; column {labels.name!r} also holds "
            f"{', '.join(f'{label:g}' for label in found[:5])}. "
            "Recode it."
        )


@dataclass(frozen=True)
class TableRows:
    """Features ``x (n, d)``, labels ``y (n,)`` in {0, 1} and groups ``group (n,)``."""

    x: np.ndarray
    y: np.ndarray
    group: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: np.ndarray) -> TableRows:
        """The rows of an index or a mask."""
        return TableRows(self.x[index], self.y[index], self.group[index])

    @classmethod
    def joined(cls, parts: Sequence[TableRows]) -> TableRows:
        """The rows of all parts, one after the other."""
        columns = ([getattr(each, name) for each in parts] for name in ("x", "y", "group"))
        return cls(*map(np.concatenate, columns))

    def counts(self, n_groups: int) -> np.ndarray:
        """TableRows in each group, ``(K,)``."""
        return np.bincount(self.group, minlength=n_groups)


@dataclass(frozen=True)
class SplitArrays:
    """A split as arrays; ``groups`` are 0, …, K−1 and features ``(n, d)`` floats."""

    features: list[str]
    group_names: tuple[str, ...]
    by_attribute: bool
    train: TableRows
    synthetic: TableRows
    test: TableRows
    novel: np.ndarray  # (n_synthetic,) whether a synthetic row equals no real row
    fresh: TableRows | None  # of the source table, where there is one: in neither train nor test

    @property
    def n_source(self) -> int:
        """Rows of the source table that training and test rows were drawn from; 0 without one."""
        if self.fresh is None:
            return 0
        return len(self.train) + len(self.test) + len(self.fresh)

    @property
    def twins(self) -> float:
        """The share of other real rows, fresh ones where there are any, that equal a test row."""
        others = self.fresh if self.fresh is not None and len(self.fresh) else self.train
        return float(self.tested(others).mean())

    def tested(self, rows: TableRows) -> np.ndarray:
        """Whether each row equals a test row, label included, ``(n,)``."""
        return recurs(*(np.column_stack([each.x, each.y]) for each in (rows, self.test)))

    @classmethod
    def of(cls, split: Split) -> SplitArrays:
        """The arrays of a split.

        Raises:
            ValueError: a group has no training or no test row.
        """
        roles = (split.train, split.synthetic, split.test)
        train, synthetic, test = (_rows(split, table) for table in roles)
        require_groups(split, "training", train.group)
        require_groups(split, "test", test.group)
        known = [t for t in (split.source, split.train, split.test) if t is not None]
        novel = ~recurs(split.synthetic, *known)
        fresh = None
        if split.source is not None:
            fresh = _rows(split, without(split.source, [split.train, split.test]))
        by_attribute = split.task == "spurious"
        named = (split.features, split.group_names, by_attribute)
        return cls(*named, train, synthetic, test, novel, fresh)


def require_groups(split: Split, role: str, group: np.ndarray) -> None:
    """Check that every group has rows: the error of one without would not exist.

    Raises:
        ValueError: one has none; ``role`` says of which table.
    """
    absent = [name for g, name in enumerate(split.group_names) if not (group == g).any()]
    if absent:
        raise ValueError(
            f"{split.dataset.name}, seed {split.seed}: every group needs {role} rows; {absent} "
            f"has none. Use a {role} table that holds all groups, or another attribute."
        )


def _rows(split: Split, table: pd.DataFrame) -> TableRows:
    x = table[split.features].to_numpy(dtype=float)
    return TableRows(x, split.labels(table), split.groups(table))


def recurs(table: pd.DataFrame | np.ndarray, *others: pd.DataFrame | np.ndarray) -> np.ndarray:
    """Whether each row equals a row of one of the other tables, ``(n,)``."""
    known = set().union(*map(keys, others))
    return np.array([key in known for key in keys(table)], dtype=bool)


def keys(table: pd.DataFrame | np.ndarray) -> list[bytes]:
    """One hashable key for each row; equal keys are equal numbers in the same column order.

    Whole numbers written 1 and 1.0 are the same value, and so are 0.0 and −0.0.
    """
    values = np.ascontiguousarray(np.asarray(table, dtype=float) + 0.0)
    return [row.tobytes() for row in values]


def without(table: pd.DataFrame, taken: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """``table`` less the rows of other tables, counted: a row taken once goes once.

    A source table may hold identical rows of different people; only as many of them go as were
    taken.
    """
    left = Counter(key for other in taken for key in keys(other[table.columns]))
    own = pd.Series(keys(table), dtype=object)
    nth = own.groupby(own).cumcount()
    return table[np.array([at >= left[key] for at, key in zip(nth, own, strict=True)], dtype=bool)]
