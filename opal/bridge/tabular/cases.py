"""Synthetic rows beside the real tables they come from: their groups, and which rows are copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from opal.bridge.tabular.splits import checked, keys, recurs, without

MOST_LEVELS = 10
NEAR_SHARE = 0.05


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

    @classmethod
    def of(
        cls,
        cases: Sequence[Case],
        source: pd.DataFrame | None,
        target: str,
        attributes: Sequence[str],
    ) -> Tables:
        """Every table with the columns of the first training table.

        Raises:
            ValueError: there is no case, or a table is unfit; see
                :func:`opal.bridge.tabular.splits.checked`.
        """
        if not cases:
            raise ValueError("an audit needs at least one file of synthetic rows; got none.")
        columns = [name for name in cases[0].train.columns if name != target] + [target]
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
        return cls(tuple(done), source, target, tuple(attributes))

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


def composition(
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


def copies(cases: Sequence[Case], source: pd.DataFrame | None) -> dict[str, Any]:
    """Copies of training, test and source rows, and repetitions within a file, over all cases.

    For each of ``train``, ``test``, ``source`` (where there is one):

    - ``exact``: rows equal to a real row, label included, and ``exact_share``;
    - ``distinct``: how many different real rows were copied;
    - ``relabelled``: rows equal to a real row in all but the label, and to none label included;
    - ``near``: the other rows that lie closer to a real row (features in SD units) than 95 % of
      the real rows lie to one another; fresh real rows would do so at the rate of 5 %;
    - ``by_chance``: share of other real rows that equal a row of that table, label included: what
      would be recited without reciting. None where no other real rows are at hand;
    - ``by_file``: ``exact`` of each file.

    ``within`` counts rows that repeat an earlier row of their file.
    """
    found: dict[str, Any] = {}
    for role in ("train", "test", "source"):
        tables = [source if role == "source" else getattr(case, role) for case in cases]
        pairs = [each for each in zip(cases, tables, strict=True) if each[1] is not None]
        if pairs:
            # All files share one source table, whose neighbours are looked up once.
            near = {id(table): _Neighbours(table) for _, table in pairs}
            counts = [_compare(c, table, near[id(table)], role, source) for c, table in pairs]
            found[role] = _total(counts, [case.name for case, _ in pairs])
    n_rows = sum(len(case.synthetic) for case in cases)
    repeated = n_rows - sum(len(set(keys(case.synthetic))) for case in cases)
    share = repeated / n_rows
    return found | {"within": {"n_rows": n_rows, "repeated": repeated, "repeated_share": share}}


def _compare(
    case: Case, table: pd.DataFrame, neighbours: _Neighbours, role: str, source: pd.DataFrame | None
) -> dict[str, Any]:
    features = table.columns[:-1]
    ours = case.synthetic
    exact, same_features = recurs(ours, table), recurs(ours[features], table[features])
    close = neighbours.distance(ours) <= neighbours.radius
    return {
        "n_rows": len(ours),
        "exact": int(exact.sum()),
        "distinct": len(set(keys(ours)) & set(keys(table))),
        "relabelled": int((same_features & ~exact).sum()),
        "near": int((close & ~same_features).sum()),
        "by_chance": _by_chance(case, table, role, source),
    }


class _Neighbours:
    """Nearest real rows of a table, in units of its feature SDs."""

    def __init__(self, table: pd.DataFrame) -> None:
        from sklearn.neighbors import NearestNeighbors

        real = table[table.columns[:-1]].to_numpy(dtype=float)
        self._scale = np.where(real.std(axis=0) > 0, real.std(axis=0), 1.0)
        self._index = NearestNeighbors(n_neighbors=min(2, len(real))).fit(real / self._scale)
        between = self._index.kneighbors(real / self._scale)[0][:, -1]
        self.radius = float(np.quantile(between, NEAR_SHARE))

    def distance(self, rows: pd.DataFrame) -> np.ndarray:
        """Distance of each row to its nearest real row, ``(n,)``."""
        ours = rows[rows.columns[:-1]].to_numpy(dtype=float) / self._scale
        return self._index.kneighbors(ours, n_neighbors=1)[0][:, 0]


def _by_chance(
    case: Case, table: pd.DataFrame, role: str, source: pd.DataFrame | None
) -> float | None:
    """Share of real rows outside a table that equal a row in it; twins within the source table."""
    if role == "source":
        return float(table.duplicated(keep=False).mean())
    others = case.test if role == "train" else case.train
    if source is not None:
        others = without(source, [table])
    if others is None or others.empty:
        return None
    return float(recurs(others, table).mean())


def _total(counts: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    n_rows = sum(count["n_rows"] for count in counts)
    total: dict[str, Any] = {"n_rows": n_rows}
    for kind in ("exact", "relabelled", "near"):
        total[kind] = sum(count[kind] for count in counts)
        total[f"{kind}_share"] = total[kind] / n_rows
    total["distinct"] = sum(count["distinct"] for count in counts)
    chances = [count["by_chance"] for count in counts if count["by_chance"] is not None]
    total["by_chance"] = float(np.mean(chances)) if chances else None
    total["by_file"] = dict(zip(names, (count["exact"] for count in counts), strict=True))
    return total
