"""What synthetic rows are: recited, shifted, recognisable, impossible, or of the wrong groups.

Works on any numeric tables with a label column. Everything that has a natural rate among real rows
is reported beside that rate: identical people exist (``by_chance``), real rows have near neighbours
(5 % by construction), real groups have shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from opal.bridge import composition, copies, twosample, violations
from opal.bridge.tabular import bounds
from opal.bridge.tabular.tables import checked


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


def audit(
    cases: Sequence[Case],
    *,
    source: pd.DataFrame | None = None,
    target: str,
    attributes: Sequence[str] = (),
    prompt_rows: int = 0,
    trees: int = 100,
    seed: int = 0,
) -> dict[str, Any]:
    """Audit one or more files of synthetic rows of the same table.

    Args:
        cases: files with their own training (and test) tables; at least one.
        source: the full table that training and test rows were drawn from.
        target: label column.
        attributes: columns that, with the label, make the groups; none: groups are labels.
        prompt_rows: the model was shown this many first rows of the training table, and their
            composition is what it was asked for; 0: equal groups were asked for.
        trees: trees of the forests of the two-sample test.
        seed: seed of the folds and forests of the two-sample test.

    Returns:
        JSON-able: ``n_rows``, ``files``, ``copies``, ``shift``, ``two_sample``, ``violations``,
        ``composition``; see the functions that make them.

    Raises:
        ValueError: a column is missing or misspelt, holds text, or has an empty cell; there are
            fewer training rows than ``prompt_rows``; or ``seed`` is out of range.
    """
    bounds.seed(seed)
    bounds.at_least("prompt_rows", prompt_rows, 0)
    for case in cases:
        what = f"the number of training rows of {case.name}"
        bounds.at_most("prompt_rows", prompt_rows, len(case.train), what)
    tables = _tables(cases, source, target, tuple(attributes))
    groups = composition.Grouping.of(tables.real, target, tables.attributes)
    return {
        "target": target,
        "attributes": list(tables.attributes),
        "n_rows": len(tables.synthetic),
        "n_real": len(tables.real),
        "files": [case.name for case in tables.cases],
        "copies": copies.report(tables.cases, tables.source),
        "shift": shift(tables, groups),
        "two_sample": twosample.report(
            tables.synthetic, tables.real, tables.features, groups, trees, seed
        ),
        "violations": violations.report(tables.synthetic, tables.real, target),
        "composition": composition.report(tables.cases, tables.source, groups, prompt_rows),
    }


def shift(tables: Tables, groups: composition.Grouping) -> list[dict[str, Any]]:
    """Feature means of synthetic minus real rows within each group, in real SD units of the group.

    ``z`` is the shift over its standard error. A feature that does not vary among the group's real
    rows has no unit; its shift is None unless it is 0. Largest shifts come first.
    """
    rows = []
    synthetic, real = tables.synthetic, tables.real
    of_synthetic, of_real = groups.label(synthetic), groups.label(real)
    for group in groups.names:
        ours, theirs = synthetic[of_synthetic == group], real[of_real == group]
        if ours.empty or theirs.empty:
            continue
        for feature in tables.features:
            a, b = ours[feature].to_numpy(dtype=float), theirs[feature].to_numpy(dtype=float)
            rows.append({"group": group, "feature": feature, **_shift(a, b)})
    return sorted(rows, key=lambda row: -abs(row["shift_sd"] or 0.0))


def _shift(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    difference, unit = float(ours.mean() - theirs.mean()), float(theirs.std())
    error = float(np.sqrt(ours.var() / len(ours) + theirs.var() / len(theirs)))
    scaled = difference / unit if unit > 0 else (0.0 if difference == 0 else None)
    return {
        "shift_sd": scaled,
        "sd_ratio": float(ours.std()) / unit if unit > 0 else None,
        "z": difference / error if error > 0 else None,
        "n_synthetic": len(ours),
        "n_real": len(theirs),
    }


def _tables(
    cases: Sequence[Case], source: pd.DataFrame | None, target: str, attributes: tuple[str, ...]
) -> Tables:
    """Every table with the columns of the first training table, checked."""
    if not cases:
        raise ValueError("an audit needs at least one file of synthetic rows; got none.")
    needed = [target, *attributes]
    columns = [name for name in cases[0].train.columns if name != target] + [target]

    def fit(table: pd.DataFrame | None, where: str) -> pd.DataFrame | None:
        return None if table is None else checked(table, columns, needed, where)

    done = []
    for case in cases:
        if case.synthetic.empty:
            raise ValueError(f"{case.name} must hold synthetic rows; it has none.")
        done.append(
            Case(
                case.name,
                checked(case.synthetic, columns, needed, case.name),
                checked(case.train, columns, needed, f"the training table of {case.name}"),
                fit(case.test, f"the test table of {case.name}"),
                fit(case.generated, case.name),
            )
        )
    return Tables(tuple(done), fit(source, "the source table"), target, attributes)
