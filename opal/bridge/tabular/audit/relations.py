"""Relations between columns that hold in every real row, and in how many synthetic ones.

Looked for are ``c = w·x + k`` (sums, differences, equal columns), ``c = a·b`` (products and ratios)
and ``a ≤ b``. A column is known to half of its last decimal, and a relation holds in a row if it
does so to that; the factors' own rounding is granted only where a relation needs it.

A relation is kept if it cannot hold by chance: in rows whose columns are permuted on their own it
holds in a share p, and among all relations that were looked for less than one in a million with
that p would hold in n rows, ``M pⁿ < 10⁻⁶``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pandas as pd

LEAST = 50
"""Fewest real rows from which a relation is believed."""
MOST_COLUMNS = 30
_MOST_ROWS = 2000
_BY_CHANCE = 1e-6
_DECIMALS = 9
_SLACK = 1e-9


@dataclass(frozen=True)
class Relation:
    """``c = w·x + k``, ``c = a·b`` or ``a ≤ b``, to a tolerance."""

    kind: str  # sum, product or order
    column: int  # c, or b
    others: tuple[int, ...]  # x, (a, b) or (a,)
    weights: tuple[float, ...] = ()  # w, then k
    unit: float = 0.0  # tolerance of c
    units: tuple[float, ...] = ()  # and of each of the others

    def holds(self, x: np.ndarray) -> np.ndarray:
        """In which rows [n, d] it does [n]."""
        c, others = x[:, self.column], x[:, list(self.others)]
        if self.kind == "order":
            return np.asarray(others[:, 0] <= c)
        if self.kind == "sum":
            slopes = np.broadcast_to(np.array(self.weights[:-1]), others.shape)
            gap = c - others @ np.array(self.weights[:-1]) - self.weights[-1]
        else:
            slopes, gap = others[:, ::-1], c - others.prod(axis=1)
        allowed = self.unit + np.abs(slopes) @ np.array(self.units)
        return np.asarray(np.abs(gap) <= allowed * (1 + _SLACK) + _SLACK * (1 + np.abs(c)))

    def said(self, names: list[str]) -> str:
        """The relation as people write it."""
        own, others = names[self.column], [names[k] for k in self.others]
        if self.kind == "order":
            return f"{others[0]} ≤ {own}"
        if self.kind == "product":
            return f"{own} = {others[0]} · {others[1]}"
        signs = ["−" if w < 0 else "+" for w in self.weights]
        parts = [n if abs(w) == 1 else f"{abs(w):g} · {n}"
                 for w, n in zip(self.weights, others, strict=False)]  # fmt: skip
        parts += [f"{abs(self.weights[-1]):g}"] if self.weights[-1] else []
        text = " ".join(f"{sign} {part}" for sign, part in zip(signs, parts, strict=False))
        return f"{own} = {text.removeprefix('+ ')}"


def relations(real: pd.DataFrame, synthetic: pd.DataFrame) -> dict[str, Any]:
    """Relations that hold in all real rows, and how often synthetic ones break them.

    ``n_real`` rows were searched, ``searched`` columns of them, for ``n_orders`` orders among all
    else. ``found``: each with ``relation``, ``kind``, the ``broken`` of ``n`` synthetic rows. None
    are found in fewer than 50 rows; see the module.
    """
    names = [str(name) for name in real.columns[:MOST_COLUMNS]]
    x, made = (table[table.columns[: len(names)]].to_numpy(float) for table in (real, synthetic))
    result = {"n_real": len(x), "searched": len(names), "n_orders": len(names) * (len(names) - 1)}
    found: list[dict[str, Any]] = []
    if len(x) >= LEAST:
        coarse = np.maximum(_units(x), _units(made))
        for each in _believed(x):
            broken = int((~_coarser(each, coarse).holds(made)).sum())
            row = {"relation": each.said(names), "kind": each.kind}
            found.append(row | {"broken": broken, "n": len(made)})
    return result | {"found": found}


def _believed(x: np.ndarray) -> Iterator[Relation]:
    """Those that hold in all rows, and would not by chance."""
    rng = np.random.default_rng(0)
    some = x if len(x) <= _MOST_ROWS else x[rng.choice(len(x), _MOST_ROWS, replace=False)]
    shuffled = np.column_stack([rng.permutation(column) for column in some.T])
    d = x.shape[1]
    looked = d + d * d * (d - 1) + d * (d - 1)
    known: set[frozenset[int]] = set()
    for each in (*_sums(some), *_products(some), *_orders(some)):
        together = frozenset((each.column, *each.others))
        chance = float(each.holds(shuffled).mean())
        new = not any(together <= other for other in known)
        if new and looked * chance ** len(some) < _BY_CHANCE and each.holds(x).all():
            known.add(together)
            yield each


def _sums(x: np.ndarray) -> Iterator[Relation]:
    """Each column as a sum of multiples of others that vary, where it is one."""
    units, varies = _units(x), np.ptp(x, axis=0) > 0
    half = len(x) // 2
    for c in np.flatnonzero(varies):
        others = np.flatnonzero(varies & (np.arange(x.shape[1]) != c))
        if len(others) + 10 > half:
            return
        lifted = np.column_stack([x[:, others], np.ones(len(x))])
        weights = np.linalg.lstsq(lifted[:half], x[:half, c], rcond=1e-10)[0]
        used = np.abs(weights[:-1]) * x[:, others].std(axis=0) > 0.01 * x[:, c].std()
        if not used.any():
            continue
        chosen = others[used]
        lifted = np.column_stack([x[:, chosen], np.ones(len(x))])
        weights = np.linalg.lstsq(lifted, x[:, c], rcond=1e-10)[0]
        for values in (weights.round(2), weights.round(6)):
            yield from _tight("sum", int(c), chosen, x, units, tuple((values + 0.0).tolist()))


def _products(x: np.ndarray) -> Iterator[Relation]:
    units = _units(x)
    several = [c for c in range(x.shape[1]) if len(np.unique(x[:, c])) > 2]
    for a, b in combinations(several, 2):
        product = x[:, a] * x[:, b]
        near = np.abs(x[:20] - product[:20, None])
        slack = units + units[a] * np.abs(x[:20, [b]]) + units[b] * np.abs(x[:20, [a]])
        for c in np.flatnonzero((near <= slack * (1 + _SLACK) + _SLACK).all(axis=0)):
            if c not in (a, b):
                yield from _tight("product", int(c), np.array([a, b]), x, units)


def _orders(x: np.ndarray) -> Iterator[Relation]:
    several = [c for c in range(x.shape[1]) if len(np.unique(x[:, c])) > 2]
    for a, b in permutations(several, 2):
        if (x[:, a] <= x[:, b]).all():
            yield Relation("order", b, (a,))


def _tight(
    kind: str,
    column: int,
    others: np.ndarray,
    x: np.ndarray,
    units: np.ndarray,
    weights: tuple[float, ...] = (),
) -> Iterator[Relation]:
    """The relation with the least tolerance that it holds to in all rows; none if it does not."""
    own = float(units[column])
    for granted in (np.zeros(len(others)), units[others]):
        each = Relation(kind, column, tuple(others.tolist()), weights, own, tuple(granted.tolist()))
        if each.holds(x).all():
            yield each
            return


def _units(x: np.ndarray) -> np.ndarray:
    """Half of the last decimal of each column [d]."""
    found = np.full(x.shape[1], 0.5 * 10.0**-_DECIMALS)
    for c, column in enumerate(x.T):
        for decimals in range(_DECIMALS):
            if np.allclose(column, column.round(decimals), rtol=0, atol=10.0 ** -(_DECIMALS + 1)):
                found[c] = 0.5 * 10.0**-decimals
                break
    return found


def _coarser(each: Relation, units: np.ndarray) -> Relation:
    """The relation, for rows that may be rounded to fewer decimals."""
    allowed = zip(each.units, each.others, strict=False)
    granted = tuple(max(unit, float(units[k])) if unit else 0.0 for unit, k in allowed)
    return replace(each, unit=max(each.unit, float(units[each.column])), units=granted)
