"""Synthetic rows that are, or nearly are, real ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from opal.bridge.tabular.audit.cases import Case
from opal.bridge.tabular.splits import keys, recurs, without

NEAR_SHARE = 0.05


def copies(cases: Sequence[Case], source: pd.DataFrame | None) -> dict[str, Any]:
    """Copies of training, test and source rows, and repetitions within a file, over all cases.

    For each of ``train``, ``test``, ``source`` (where there is one):

    - ``exact``: rows equal to a real row, label included, and ``exact_share``;
    - ``distinct``: how many different real rows were copied;
    - ``relabelled``: rows equal to a real row in all but the label, and to none label included;
    - ``near``: the other rows that lie closer to a real row (features in SD units) than 95 % of
      the real rows lie to one another; fresh real rows would do so at the rate of 5 %;
    - ``all_but``: the other rows that equal a real row in all but ``column``, the feature behind
      which most hide, be it a number of the row, a date or one that was changed; of the real rows
      ``twins`` so equal another one;
    - ``by_chance``: share of ``others``, real rows outside that table, that equal a row of it,
      label included: what would be recited without reciting. Where there are none, share of its
      own rows that have a twin;
    - ``n_real``: rows of that table;
    - ``by_file``: ``exact`` of each file.

    ``within`` counts rows that repeat an earlier row of their file, and ``real_repeated`` those
    among the first ``real`` rows of the training tables, at most as many as in the file.
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
    real = [case.train.head(len(case.synthetic)) for case in cases]
    within = {"n_rows": n_rows, "repeated": repeated, "repeated_share": repeated / n_rows}
    within |= {"real": sum(map(len, real))}
    within["real_repeated"] = within["real"] - sum(len(set(keys(table))) for table in real)
    return found | {"within": within}


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
        "hidden": _all_but_one(ours[~exact & ~same_features], table),
        **_by_chance(case, table, role, source),
        "n_real": len(table),
    }


def _all_but_one(ours: pd.DataFrame, table: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Rows that equal one of a table but for each feature, and rows of the table that do so.

    A row is told by the sum of random numbers, one for each value of each column.
    """
    n, rng = len(ours), np.random.default_rng(0)
    both = np.concatenate([part.to_numpy(dtype=float) for part in (ours, table)])
    codes = [np.unique(column, return_inverse=True)[1] for column in both.T]
    of_column = [rng.integers(2**63, size=c.max() + 1, dtype=np.uint64)[c] for c in codes]
    whole = np.sum(of_column, axis=0, dtype=np.uint64)
    found = {}
    for name, own in zip(table.columns[:-1], of_column, strict=False):
        rest = whole - own
        twins = pd.Series(rest[n:]).duplicated(keep=False)
        found[str(name)] = int(np.isin(rest[:n], rest[n:]).sum()), int(twins.sum())
    return found


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
) -> dict[str, Any]:
    """Other real rows that equal a row of a table; twins within it where there are no others."""
    others = case.test if role == "train" else case.train
    if source is not None and role != "source":
        others = without(source, [table])
    if role == "source" or others is None or others.empty:
        return {"coincide": int(table.duplicated(keep=False).sum()), "others": len(table)}
    return {"coincide": int(recurs(others, table).sum()), "others": len(others)}


def _total(counts: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    n_rows = sum(count["n_rows"] for count in counts)
    total: dict[str, Any] = {"n_rows": n_rows}
    for kind in ("exact", "relabelled", "near"):
        total[kind] = sum(count[kind] for count in counts)
        total[f"{kind}_share"] = total[kind] / n_rows
    for count in ("distinct", "coincide", "others", "n_real"):
        total[count] = sum(each[count] for each in counts)
    hidden = {
        name: np.sum([each["hidden"][name] for each in counts], axis=0)
        for name in counts[0]["hidden"]
    }
    column = max(hidden, key=lambda name: int(hidden[name][0]))
    total |= {"column": column, "all_but": int(hidden[column][0]), "twins": int(hidden[column][1])}
    total["by_chance"] = total["coincide"] / total["others"]
    total["by_file"] = dict(zip(names, (count["exact"] for count in counts), strict=True))
    return total
