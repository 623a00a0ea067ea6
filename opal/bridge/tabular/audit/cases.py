"""Synthetic rows beside the real tables they come from, and their groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from opal.bridge.prompts.common import LEAST_ROWS, require_enough
from opal.bridge.tabular.identifiers import identifiers
from opal.bridge.tabular.splits import checked
from opal.reading import require_frame

ALL = "all rows"
MOST_LEVELS = 10
_REAL = {"train": "training", "test": "test"}  # tables of a case, and how messages call them
_MADE = ("synthetic", "generated")


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

        Keys are the columns that number the real rows, see
        :func:`opal.bridge.tabular.identifiers.identifiers`; synthetic rows need not have them.
        Other columns in which all rows differ are kept, but not in :attr:`bare`.

        Raises:
            ValueError: there is no case, a label has one real row alone, or a table is unfit; see
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
        done = [_fit(case, tuple(_REAL), columns, needed) for case in cases]
        if source is not None:
            source = checked(source, columns, needed, "the source table")
        real = [table for case in done for table in (case.train, case.test, source)]
        found, apart = identifiers([table for table in real if table is not None], needed)
        columns = [name for name in columns if name not in found]
        bare = (_fit(case, (*_REAL, *_MADE), columns, needed) for case in done)
        source = None if source is None else source[columns]
        tables = cls(tuple(bare), source, target, tuple(attributes), found, apart)
        _require_classes(tables.real, target)
        return tables

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


def _require_classes(real: pd.DataFrame, target: str) -> None:
    """Refuse a label that is an amount: a class has two different rows, as for a fine-tuning."""
    counts = real.drop_duplicates()[target].value_counts()
    named = {f"{target}={value:g}": int(n) for value, n in counts.items()}
    remedy = "name a --target of classes, join small ones, or collect more"
    require_enough(named, LEAST_ROWS, "real rows", "audited", remedy)


def _fit(case: Case, roles: Sequence[str], columns: list[str], needed: Sequence[str]) -> Case:
    """A case whose tables of these roles are checked, and have these columns."""
    if case.synthetic.empty:
        raise ValueError(f"{case.name} must hold synthetic rows; it has none.")
    told = {role: f"the {name} table of {case.name}" for role, name in _REAL.items()}
    fit = {
        role: checked(getattr(case, role), columns, needed, told.get(role, case.name))
        for role in roles
        if getattr(case, role) is not None
    }
    return replace(case, **fit)


def _without(case: Case, names: Sequence[str]) -> Case:
    tables = {role: getattr(case, role) for role in (*_REAL, *_MADE)}
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
