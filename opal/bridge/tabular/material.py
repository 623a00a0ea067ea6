"""A split as arrays: what the arms are made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from opal.bridge.tabular.rows import keys, without
from opal.bridge.tabular.tables import Split


@dataclass(frozen=True)
class Material:
    """A split as arrays; ``groups`` are 0, …, K−1 and features ``(n, d)`` floats.

    Attributes:
        novel: ``(n_synthetic,)`` True where a synthetic row equals no real row.
        fresh: real rows of the source table that are neither in train nor in test; None without
            a source table.
    """

    features: list[str]
    group_names: tuple[str, ...]
    by_attribute: bool
    train: Rows
    synthetic: Rows
    test: Rows
    novel: np.ndarray
    fresh: Rows | None


@dataclass(frozen=True)
class Rows:
    """Features ``x (n, d)``, labels ``y (n,)`` in {0, 1} and groups ``group (n,)``."""

    x: np.ndarray
    y: np.ndarray
    group: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: np.ndarray) -> Rows:
        """The rows of an index or a mask."""
        return Rows(self.x[index], self.y[index], self.group[index])

    def counts(self, n_groups: int) -> np.ndarray:
        """Rows in each group, ``(K,)``."""
        return np.bincount(self.group, minlength=n_groups)


def material(split: Split) -> Material:
    """Arrays of a split.

    Raises:
        ValueError: a group has no training or no test row.
    """
    train, synthetic, test = (_rows(split, t) for t in (split.train, split.synthetic, split.test))
    for role, rows in (("training", train), ("test", test)):
        absent = np.flatnonzero(rows.counts(len(split.group_names)) == 0)
        if absent.size:
            raise ValueError(
                f"{split.dataset.name}, seed {split.seed}: every group needs {role} rows; "
                f"{[split.group_names[g] for g in absent]} has none. Use a {role} table that holds "
                "all groups, or another attribute."
            )
    known = [t for t in (split.source, split.train, split.test) if t is not None]
    real = set().union(*(keys(table) for table in known))
    novel = np.array([key not in real for key in keys(split.synthetic)], dtype=bool)
    fresh = None
    if split.source is not None:
        fresh = _rows(split, without(split.source, [split.train, split.test]))
    return Material(
        features=split.features,
        group_names=split.group_names,
        by_attribute=split.task == "spurious",
        train=train,
        synthetic=synthetic,
        test=test,
        novel=novel,
        fresh=fresh,
    )


def _rows(split: Split, table: pd.DataFrame) -> Rows:
    x = table[split.features].to_numpy(dtype=float)
    return Rows(x, split.labels(table), split.groups(table))
