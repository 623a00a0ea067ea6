"""How close synthetic texts are to what they were made from, and how much of it was used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from opal.bridge.resampling import clustered_error
from opal.bridge.text.audit.tables import AuditData, by_class, family

LEVELS = (0.85, 0.87, 0.90)


def closest(data: AuditData, ours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row of each text's most similar own seed, −1 without one, and the similarity, NaN without."""
    place = {key: row for row, key in reversed([*enumerate(data.key)])}
    pairs = [(k, place[s]) for k, row in enumerate(ours) for s in set(data.seed_keys[row])]
    row, best = np.full(len(ours), -1), np.full(len(ours), np.nan)
    if not pairs:
        return row, best
    k, seed = np.array(pairs).T
    cosine = data.similarity(ours[k], seed)
    order = np.lexsort((seed, cosine))
    row[k[order]], best[k[order]] = seed[order], cosine[order]
    return row, best


def seeds(data: AuditData, writer: str, seed: int) -> list[dict[str, Any]]:
    """Similarity to the own seeds and coverage of the seeds, class by class.

    Similarity is that to the most similar own seed; beside it stands that to as many other base
    texts of the class, drawn at random (``to_others``): what the class alone makes similar.

    Of the base texts of the class (in the row of all classes, of those that the writer has texts
    of), ``used`` are seeds, against ``expected`` if as many seeds of each class and attribute had
    been drawn with replacement; ``per_seed`` is the mean number of texts of a used seed and
    ``most`` the largest one. ``effective`` is the number of seeds that,
    used equally often, would weigh as much: ``(Σc)²/Σc²``. ``seedless`` texts have no seed,
    ``unknown`` ones one that no table holds, ``foreign`` one of another class, ``leaked`` one that
    is a test text.
    """
    rng = np.random.default_rng(seed)
    ours = data.made[writer]
    _, similar = closest(data, ours)
    others = _to_others(data, ours, rng)
    rows = []
    for name, inside in by_class(data, ours, data.labels):
        if inside.any():
            row: dict[str, Any] = {"class": name, "n": int(inside.sum())}
            row |= _similarity(data, ours[inside], similar[inside], others[inside])
            row |= _coverage(data, ours[inside])
            rows.append(row)
    return rows


def _to_others(data: AuditData, ours: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The largest similarity to as many random base texts of the class as there are seeds."""
    found, base = np.full(len(ours), np.nan), data.real["base"]
    for label in np.unique(data.label[ours]):
        pool = base[data.label[base] == label]
        mine = np.flatnonzero(data.label[ours] == label)
        for k in range(max((len(data.seed_keys[ours[i]]) for i in mine), default=0)):
            some = mine[[len(data.seed_keys[ours[i]]) > k for i in mine]]
            other = pool[rng.integers(len(pool), size=len(some))] if len(pool) else pool
            if not len(other):
                continue
            apart = [
                data.key[b] not in data.seed_keys[a] for a, b in zip(ours[some], other, strict=True)
            ]
            some, other = some[apart], other[apart]
            found[some] = np.fmax(found[some], data.similarity(ours[some], other))
    return found


def _similarity(
    data: AuditData, ours: np.ndarray, similar: np.ndarray, others: np.ndarray
) -> dict[str, Any]:
    known, to_others = np.isfinite(similar), others[np.isfinite(others)]
    mine = similar[known]
    return {
        "with_seeds": len(mine),
        "similarity": float(mine.mean()) if len(mine) else None,
        "std_error": clustered_error(mine, family(data, ours[known])),
        "p95": float(np.quantile(mine, 0.95)) if len(mine) else None,
        **{f"over_{level:g}": int((mine >= level).sum()) for level in LEVELS},
        "to_others": float(to_others.mean()) if len(to_others) else None,
        "others": len(to_others),
        "others_over": int((to_others >= LEVELS[-1]).sum()),
    }


def _coverage(data: AuditData, ours: np.ndarray) -> dict[str, Any]:
    base, test = data.real["base"], data.real.get("test", np.array([], dtype=int))
    pool = base[np.isin(data.label[base], data.label[ours])]
    own, hidden = set(data.key[pool].tolist()), set(data.own(test)["id"])
    named = [len(seeds) for seeds in data.own(ours)["seeds"]]
    labels: dict[int, set[int]] = {}
    for key, of in zip(data.key[base].tolist(), data.label[base].tolist(), strict=True):
        labels.setdefault(key, set()).add(of)
    seeds = [data.seed_keys[row] for row in ours]
    uses = Counter(key for keys in seeds for key in keys if key in own)
    draws = sum(uses.values())
    expected, spread = _expected(data, pool, uses)
    strange = [
        any(key in labels and int(data.label[row]) not in labels[key] for key in keys)
        for row, keys in zip(ours, seeds, strict=True)
    ]
    return {
        "base": len(own),
        "used": len(uses),
        "expected": expected if draws else None,
        "expected_error": spread if draws else None,
        "per_seed": draws / len(uses) if uses else None,
        "most": max(uses.values(), default=0),
        "effective": draws**2 / sum(c * c for c in uses.values()) if uses else None,
        "seedless": sum(not each for each in named),
        "unknown": sum(len(keys) < each for keys, each in zip(seeds, named, strict=True)),
        "foreign": sum(strange),
        "leaked": sum(not hidden.isdisjoint(each) for each in data.own(ours)["seeds"]),
    }


def _expected(data: AuditData, pool: np.ndarray, uses: Mapping[int, int]) -> tuple[float, float]:
    """How many seeds would be met if those of each class and attribute were drawn at random."""
    parts = []
    for group in np.unique(data.group[pool]):
        keys = set(data.key[pool[data.group[pool] == group]].tolist())
        parts.append(occupied(sum(uses.get(key, 0) for key in keys), len(keys)))
    means, spreads = np.array(parts).reshape(-1, 2).T
    return float(means.sum()), float(np.sqrt(np.sum(spreads**2)))


def occupied(draws: int, n: int) -> tuple[float, float]:
    """Mean and standard deviation of how many of n things are met in draws with replacement.

    >>> occupied(2, 2)
    (1.5, 0.5)
    """
    if not n:
        return 0.0, 0.0
    none, neither = (1 - 1 / n) ** draws, max(1 - 2 / n, 0.0) ** draws
    variance = n * none + n * (n - 1) * neither - (n * none) ** 2
    return n * (1 - none), float(np.sqrt(max(variance, 0.0)))
