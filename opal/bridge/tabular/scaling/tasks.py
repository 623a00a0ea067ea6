"""What a task of the scaling-law experiments trains and tests on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from opal.bridge.tabular.scaling.tables import PARTS, ScalingTable
from opal.bridge.tabular.splits import TableRows


@dataclass(frozen=True)
class TaskRows:
    """What a task trains and tests on."""

    originals: TableRows
    pool: TableRows  # real majority rows
    minority: TableRows  # synthetic
    majority: TableRows  # synthetic
    test: TableRows
    is_minority: np.ndarray  # of each test row

    @classmethod
    def of(cls, table: ScalingTable, task: str, maker: str | None) -> TaskRows:
        """Read them; without a maker there are no synthetic rows.

        Raises:
            ValueError: see :meth:`ScalingTable.frame`.
        """
        pool, minority, majority = PARTS[task]
        originals, test = table.rows("seed"), table.rows("test")
        none = originals.take(np.empty(0, dtype=int))
        few, many = (table.rows(maker + end) if maker else none for end in (minority, majority))
        real = table.rows(pool)
        read = {pool: (real, majority), f"{maker}{minority}": (few, minority)}
        for part, (rows, ending) in (read | {f"{maker}{majority}": (many, majority)}).items():
            _require_members(f"{table.name}: {part}.csv", rows, ending)
        for role, rows in (("seed.csv", originals), ("test.csv", test)):
            _require_groups(table, role, rows, task)
        is_minority = test.y == 1 if task == "imbalanced" else np.isin(test.group, (0, 3))
        return cls(originals, real, few, many, test, is_minority)


# Groups (2·attribute + label) that the files of an ending hold.
_MEMBERS = {"0": (0, 2), "1": (1, 3), "_pos": (0, 3), "_neg": (1, 2)}


def _require_members(where: str, rows: TableRows, ending: str) -> None:
    """Refuse a file with rows that belong into another."""
    strange = ~np.isin(rows.group, _MEMBERS[ending])
    if strange.any():
        what = f"label {ending}" if ending in "01" else "an attribute that equals the label"
        what = "an attribute unlike the label" if ending == "_neg" else what
        raise ValueError(
            f"{where} must hold rows of {what} alone; {int(strange.sum())} rows are others, the "
            f"first in data row {int(np.argmax(strange)) + 1}. Sort the rows into their files."
        )


def _require_groups(table: ScalingTable, role: str, rows: TableRows, task: str) -> None:
    """Refuse a table that lacks a group of the task; an error needs two test rows of each."""
    group = rows.y if task == "imbalanced" else rows.group
    counts = np.bincount(group, minlength=2 if task == "imbalanced" else 4)
    least = 2 if role == "test.csv" else 1
    absent = np.flatnonzero(counts < least).tolist()
    if absent:
        raise ValueError(
            f"{table.name}: {role} must hold every group of the {task} task, {least} or more rows; "
            f"it lacks {', '.join(group_name(task, g) for g in absent)}. Add rows of it, or name "
            "another --attribute."
        )


def group_name(task: str, group: int) -> str:
    """What a reader calls a group that is balanced."""
    if task == "imbalanced":
        return f"label {group}"
    return f"(attribute, label) = {divmod(group, 2)}"


def real_minority(task: str) -> str:
    """The file of real minority rows beyond the originals."""
    return "train1" if task == "imbalanced" else "train_pos"
