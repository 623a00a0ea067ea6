"""Tables of an audit, their groups, and how many rows of each there are against what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

MOST_LEVELS = 10


@dataclass(frozen=True)
class Case:
    """One file of synthetic rows with the tables it must be held against.

    Attributes:
        name: file, for people.
        synthetic: the rows that are used.
        train: the training table that the model saw (part of).
        test: the test table of the same split.
        generated: all rows that the model wrote, where only some are used.
    """

    name: str
    synthetic: pd.DataFrame
    train: pd.DataFrame
    test: pd.DataFrame | None = None
    generated: pd.DataFrame | None = None


@dataclass(frozen=True)
class Tables:
    """Checked cases with equal columns, and the pooled tables that shifts are measured on."""

    cases: tuple[Case, ...]
    source: pd.DataFrame | None
    target: str
    attributes: tuple[str, ...]

    @property
    def synthetic(self) -> pd.DataFrame:
        """Synthetic rows of all cases."""
        return pd.concat([case.synthetic for case in self.cases], ignore_index=True)

    @property
    def real(self) -> pd.DataFrame:
        """The real rows to compare with: the source table, or the distinct training rows."""
        if self.source is not None:
            return self.source
        trains = pd.concat([case.train for case in self.cases], ignore_index=True)
        return trains.drop_duplicates() if len(self.cases) > 1 else trains

    @property
    def features(self) -> list[str]:
        """Feature columns, in order."""
        return [name for name in self.real.columns if name != self.target]


@dataclass(frozen=True)
class Grouping:
    """Groups by label and attributes.

    An attribute with at most :data:`MOST_LEVELS` values in the real table groups by its value, any
    other by whether it is zero.
    """

    target: str
    attributes: tuple[str, ...]
    by_value: tuple[bool, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, real: pd.DataFrame, target: str, attributes: tuple[str, ...]) -> Grouping:
        """The groups that occur in the real table."""
        by_value = tuple(real[name].nunique() <= MOST_LEVELS for name in attributes)
        empty = cls(target, attributes, by_value, ())
        return cls(target, attributes, by_value, tuple(sorted(set(empty.label(real)))))

    def label(self, table: pd.DataFrame) -> np.ndarray:
        """Name of each row's group, ``(n,)``, such as ``sex=1,died=0``."""
        parts = [self.attribute(table, k) for k in range(len(self.attributes))]
        parts.append(np.array([f"{self.target}={value:g}" for value in table[self.target]]))
        return np.array([",".join(words) for words in zip(*parts, strict=True)], dtype=object)

    def attribute(self, table: pd.DataFrame, k: int) -> np.ndarray:
        """Level of the k-th attribute for each row, as words."""
        name, column = self.attributes[k], table[self.attributes[k]]
        if self.by_value[k]:
            return np.array([f"{name}={value:g}" for value in column], dtype=object)
        return np.where(column != 0, f"{name}≠0", f"{name}=0").astype(object)


def report(
    cases: Sequence[Case], source: pd.DataFrame | None, groups: Grouping, prompt_rows: int
) -> dict[str, Any]:
    """Counts and shares of groups, and of attribute levels given the label, table by table.

    ``groups``: for each group its count in ``synthetic`` (and in ``generated``, all rows that the
    model wrote, where only some are used), ``prompt``, ``train``, ``test`` and ``source``, the
    synthetic and the asked-for share, and ``z`` of their difference under independent draws at the
    asked-for share.

    ``conditional``: P(attribute level | label) with numerators and denominators in each table: a
    spurious correlation that the model rebuilt shows here.
    """
    tables = _tables(cases, source, prompt_rows)
    labels = {role: groups.label(table) for role, table in tables.items()}
    names = sorted(set(groups.names) | set(labels["synthetic"]))
    counts = {role: {g: int((found == g).sum()) for g in names} for role, found in labels.items()}
    asked = counts.get("prompt")
    n, n_asked = len(labels["synthetic"]), sum(asked.values()) if asked else 0
    found = []
    for name in names:
        known = name in groups.names
        share = (asked[name] / n_asked) if asked else known / len(groups.names)
        got, spread = counts["synthetic"][name] / n, np.sqrt(share * (1 - share) / n)
        row: dict[str, Any] = {"group": name} | {role: counts[role][name] for role in counts}
        row |= {"share": got, "asked_share": share}
        found.append(row | {"z": float((got - share) / spread) if spread > 0 else None})
    return {
        "asked": f"the first {prompt_rows} training rows" if asked else "equal groups",
        "n_rows": {role: len(table) for role, table in tables.items()},
        "groups": found,
        "conditional": _conditional(tables, groups),
    }


def _tables(
    cases: Sequence[Case], source: pd.DataFrame | None, prompt_rows: int
) -> dict[str, pd.DataFrame]:
    """The tables whose composition is compared, pooled over cases."""
    tables = {"synthetic": pd.concat([case.synthetic for case in cases])}
    if any(case.generated is not None for case in cases):
        whole = [case.synthetic if case.generated is None else case.generated for case in cases]
        tables["generated"] = pd.concat(whole)
    if prompt_rows:
        tables["prompt"] = pd.concat([case.train.head(prompt_rows) for case in cases])
    tables["train"] = pd.concat([case.train for case in cases])
    tests = [case.test for case in cases if case.test is not None]
    if tests:
        tables["test"] = pd.concat(tests)
    if source is not None:
        tables["source"] = source
    return tables


def _conditional(tables: dict[str, pd.DataFrame], groups: Grouping) -> list[dict[str, Any]]:
    """P(attribute level | label), with counts, for every attribute, level and label."""
    rows = []
    real = tables.get("source", tables["train"])
    for k in range(len(groups.attributes)):
        for label in sorted(real[groups.target].unique()):
            for level in sorted(set(groups.attribute(real, k))):
                row: dict[str, Any] = {"level": level, "given": f"{groups.target}={label:g}"}
                for role, table in tables.items():
                    inside = groups.attribute(table[table[groups.target] == label], k)
                    hits = int((inside == level).sum())
                    share = hits / len(inside) if len(inside) else None
                    row[role] = {"count": hits, "of": len(inside), "share": share}
                rows.append(row)
    return rows
