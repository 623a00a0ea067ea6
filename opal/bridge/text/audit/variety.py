"""Whether synthetic texts of a class are all alike."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import numpy as np

from opal.bridge.text.audit import splits
from opal.bridge.text.audit.stock import Stock
from opal.bridge.text.audit.words import grams

ORDERS = (1, 2, 3)
OPENINGS = (3, 4, 5)
_SHARES = ("repeated", *(f"opening_{k}" for k in OPENINGS))
_SHOWN = 3


def report(stock: Stock, source: str, seed: int) -> list[dict[str, Any]]:
    """Repetition within the synthetic texts of each group, beside that within real ones.

    - ``distinct_n``: different runs of n words per run of n words;
    - ``opening_k``: share of texts whose first k words are those of another text too;
    - ``repeated``: share of texts that another text equals up to case, marks and spacing.

    All are of equally many synthetic and real texts (:mod:`opal.bridge.text.audit.splits`). Of all
    the synthetic texts of the class, ``n_repeated`` repeat an earlier one, ``contradictory`` occur
    in another class too, ``most`` is how often the most frequent one occurs, and ``openings`` are
    the most frequent first three words with their shares.
    """
    rng = np.random.default_rng(seed)
    classes: dict[int, set[int]] = {}
    for i in stock.made[source]:
        classes.setdefault(int(stock.key[i]), set()).add(int(stock.label[i]))
    rows = []
    for name, ours, theirs in splits.pools(stock, source):
        counts = Counter(stock.key[ours].tolist())
        row: dict[str, Any] = {
            "class": name,
            "n": len(ours),
            "n_repeated": len(ours) - len(counts),
            "most": max(counts.values()),
            "contradictory": sum(len(classes[int(k)]) > 1 for k in stock.key[ours]),
            "openings": _frequent(stock, ours),
            "reason": splits.too_few(ours, theirs),
        }
        if row["reason"] is None:
            measure = partial(_measure, stock)
            row |= splits.against_real(measure, ours, theirs, rng, shares=_SHARES)
        rows.append(row)
    return rows


def _measure(stock: Stock, rows: np.ndarray, _: np.ndarray) -> dict[str, float]:
    words = [stock.words[row] for row in rows]
    found = {}
    for n in ORDERS:
        runs = [run for each in words for run in grams(each, n)]
        found[f"distinct_{n}"] = len(set(runs)) / max(len(runs), 1)
    for k in OPENINGS:
        found[f"opening_{k}"] = _shared([tuple(each[:k]) for each in words if len(each) >= k])
    found["repeated"] = _shared(stock.key[rows].tolist())
    return found


def _shared(things: list[Any]) -> float:
    """Share of things that occur more than once."""
    counts = Counter(things)
    return sum(n for n in counts.values() if n > 1) / max(len(things), 1)


def _frequent(stock: Stock, rows: np.ndarray) -> list[dict[str, Any]]:
    k = OPENINGS[0]
    counts = Counter(" ".join(stock.words[row][:k]) for row in rows if len(stock.words[row]) >= k)
    # Equally frequent ones in alphabetical order, so that the order of the rows does not matter.
    first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
    return [{"words": words, "share": n / len(rows)} for words, n in first]
