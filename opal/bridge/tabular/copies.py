"""Synthetic rows that are, or nearly are, real rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from opal.bridge.tabular.composition import Case
from opal.bridge.tabular.splits import keys, without

NEAR_SHARE = 0.05


def report(cases: Sequence[Case], source: pd.DataFrame | None) -> dict[str, Any]:
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
        pairs = [
            (case, table) for case in cases if (table := _table(case, source, role)) is not None
        ]
        if pairs:
            # All files share one source table, whose neighbours are looked up once.
            near = {id(table): _Neighbours(table) for _, table in pairs}
            counts = [_compare(c, table, near[id(table)], role, source) for c, table in pairs]
            found[role] = _total(counts, [case.name for case, _ in pairs])
    found["within"] = _repeated(cases)
    return found


def _table(case: Case, source: pd.DataFrame | None, role: str) -> pd.DataFrame | None:
    return {"train": case.train, "test": case.test, "source": source}[role]


def _compare(
    case: Case,
    table: pd.DataFrame,
    neighbours: _Neighbours,
    role: str,
    source: pd.DataFrame | None,
) -> dict[str, Any]:
    """Counts of one file against one table."""
    features = table.columns[:-1]
    ours, theirs = keys(case.synthetic), set(keys(table))
    exact = np.array([key in theirs for key in ours])
    known = set(keys(table[features]))
    same_features = np.array([key in known for key in keys(case.synthetic[features])])
    close = neighbours.distance(case.synthetic) <= neighbours.radius
    return {
        "n_rows": len(ours),
        "exact": int(exact.sum()),
        "distinct": len(set(ours) & theirs),
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
        count = Counter(keys(table))
        return sum(n for n in count.values() if n > 1) / len(table)
    others = case.test if role == "train" else case.train
    if source is not None:
        others = without(source, [table])
    if others is None or others.empty:
        return None
    inside = set(keys(table))
    return sum(key in inside for key in keys(others)) / len(others)


def _total(counts: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Sums over files, with shares."""
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


def _repeated(cases: Sequence[Case]) -> dict[str, Any]:
    n_rows = sum(len(case.synthetic) for case in cases)
    repeated = sum(len(case.synthetic) - len(set(keys(case.synthetic))) for case in cases)
    return {"n_rows": n_rows, "repeated": repeated, "repeated_share": repeated / n_rows}
