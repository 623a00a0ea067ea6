"""Synthetic rows beside the real tables they come from, and their groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from opal.bridge.tabular.splits import checked
from opal.reading import require_frame

ALL = "all rows"
MOST_LEVELS = 10
_LEAST_UNIQUE = 50
_RANGE = 10  # of numbers, for each row that they number


@dataclass(frozen=True)
class Case:
    """One file of synthetic rows with the tables it must be held against."""

    name: str  # file, for people
    synthetic: pd.DataFrame  # the rows that are used
    train: pd.DataFrame  # the training table that the model saw (part of)
    test: pd.DataFrame | None = None  # the test table of the same split
    generated: pd.DataFrame | None = None  # all rows that the model wrote, where only some are used


@dataclass(frozen=True)
class Tables:
    """Checked cases with equal columns, and the pooled tables that shifts are measured on."""

    cases: tuple[Case, ...]
    source: pd.DataFrame | None
    target: str
    attributes: tuple[str, ...]
    keys: tuple[str, ...] = ()  # columns that are left out, for they number rows and no more
    apart: tuple[str, ...] = ()  # others in which all real rows differ

    @classmethod
    def of(
        cls,
        cases: Sequence[Case],
        source: pd.DataFrame | None,
        target: str,
        attributes: Sequence[str],
    ) -> Tables:
        """Every table with the columns of the first training table, less those that are keys.

        A key holds whole numbers, all different in every real table, of a range that is at most
        ten times as large as the table: it numbers rows. Amounts may differ in all rows too: these
        are kept, but :attr:`bare`.

        Raises:
            ValueError: there is no case, or a table is unfit; see
                :func:`opal.bridge.tabular.splits.checked`.
        """
        if not cases:
            raise ValueError("an audit needs at least one file of synthetic rows; got none.")
        for case in cases:
            require_frame(case.train, f"the training table of {case.name}")
            require_frame(case.synthetic, case.name)
        columns = [name for name in cases[0].train.columns if name != target] + [target]
        if len(columns) == 1:
            raise ValueError(
                "an audit compares features; the training table of "
                f"{cases[0].name} has none beside {target!r}: give the whole table."
            )
        needed = [target, *attributes]
        done = []
        for case in cases:
            if case.synthetic.empty:
                raise ValueError(f"{case.name} must hold synthetic rows; it has none.")
            where = {
                "synthetic": case.name,
                "train": f"the training table of {case.name}",
                "test": f"the test table of {case.name}",
                "generated": case.name,
            }
            fit = {
                role: checked(getattr(case, role), columns, needed, told)
                for role, told in where.items()
                if getattr(case, role) is not None
            }
            done.append(replace(case, **fit))
        if source is not None:
            source = checked(source, columns, needed, "the source table")
        real = [table for case in done for table in (case.train, case.test) if table is not None]
        whole = [*real, *([] if source is None else [source])]
        different = _different(whole, needed)
        found = [name for name in different if all(_numbers(table[name]) for table in whole)]
        bare = [_without(case, found) for case in done]
        source = None if source is None else source.drop(columns=found)
        apart = tuple(name for name in different if name not in found)
        return cls(tuple(bare), source, target, tuple(attributes), tuple(found), apart)

    @property
    def bare(self) -> tuple[tuple[Case, ...], pd.DataFrame | None]:
        """Cases and source without the columns in which all rows differ: no copy hides there."""
        source = None if self.source is None else self.source.drop(columns=list(self.apart))
        return tuple(_without(case, self.apart) for case in self.cases), source

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


def _different(real: Sequence[pd.DataFrame], needed: Sequence[str]) -> list[str]:
    """Columns of whole numbers in which all rows of a table differ."""
    large = [table for table in real if len(table) >= _LEAST_UNIQUE]
    names = [name for name in real[0].columns if name not in needed] if large else []
    return [
        name
        for name in names
        if all(t[name].is_unique for t in real) and all((t[name] % 1 == 0).all() for t in real)
    ][: len(real[0].columns) - 2]  # a feature is left


def _numbers(column: pd.Series) -> bool:
    return bool(column.max() - column.min() < _RANGE * len(column))


def _without(case: Case, names: Sequence[str]) -> Case:
    roles = ("synthetic", "train", "test", "generated")
    tables = {role: getattr(case, role) for role in roles}
    given = {role: table for role, table in tables.items() if table is not None}
    return replace(case, **{role: t.drop(columns=list(names)) for role, t in given.items()})


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


def composition(
    cases: Sequence[Case], source: pd.DataFrame | None, groups: Grouping, prompt_rows: int
) -> dict[str, Any]:
    """Counts and shares of groups, and of attribute levels given the label, table by table.

    ``groups``: for each group its count in ``synthetic`` (and in ``generated``, all rows that the
    model wrote, where only some are used), ``prompt``, ``train``, ``test`` and ``source``, and the
    synthetic share. What was asked for is known from the prompt alone: only there is an
    ``asked_share``, and ``z`` of the difference under independent draws at it. A file of one group
    is what oversampling asks for, and no fault.

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
        share = asked[name] / n_asked if asked else None
        got = counts["synthetic"][name] / n
        spread = 0.0 if share is None else float(np.sqrt(share * (1 - share) / n))
        row: dict[str, Any] = {"group": name} | {role: counts[role][name] for role in counts}
        row |= {"share": got, "asked_share": share}
        z = None if share is None or spread == 0 else (got - share) / spread
        found.append(row | {"z": z})
    return {
        "asked": f"the first {prompt_rows} training rows" if asked else None,
        "n_rows": {role: len(table) for role, table in tables.items()},
        "groups": found,
        "conditional": _conditional(tables, groups),
    }


def _tables(
    cases: Sequence[Case], source: pd.DataFrame | None, prompt_rows: int
) -> dict[str, pd.DataFrame]:
    tables = {"synthetic": pd.concat([case.synthetic for case in cases])}
    generated = [case.generated for case in cases]
    if any(table is not None for table in generated):
        tables["generated"] = pd.concat(
            case.synthetic if table is None else table
            for case, table in zip(cases, generated, strict=True)
        )
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
