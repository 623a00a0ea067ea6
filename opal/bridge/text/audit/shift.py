"""Whether synthetic texts of a class have another length, and other words, than real ones."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import numpy as np

from opal.bridge.text.audit import splits
from opal.bridge.text.audit.errors import clustered, ratio
from opal.bridge.text.audit.seeds import family
from opal.bridge.text.audit.stock import Stock

_SHOWN = 8
_LEAST_Z = 3.0


def report(stock: Stock, source: str, seed: int) -> list[dict[str, Any]]:
    """Length and vocabulary of each group against real texts of the group.

    - ``words``, ``real_words``: mean length; ``shift_sd`` the difference in standard deviations of
      real lengths, ``sd_ratio`` that of the spreads, ``length_z`` the difference over its error,
      in which texts of the same seed count as one;
    - ``divergence``: Jensen-Shannon distance of the frequencies of words, in bits, from 0 to 1;
    - ``unseen``: share of words that the real texts of the split have not.

    The last two are of equally many texts (:mod:`opal.bridge.text.audit.splits`). ``more`` and
    ``less`` are the words that synthetic texts use more and less often than real ones, with their
    shares of texts and a z.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for name, ours, theirs in splits.pools(stock, source):
        row: dict[str, Any] = {"class": name, "n": len(ours), "n_real": len(theirs)}
        row["reason"] = splits.too_few(ours, theirs)
        if row["reason"] is None:
            row |= _length(stock, ours, theirs)
            row |= splits.against_real(partial(_measure, stock), ours, theirs, rng)
            row["more"], row["less"] = _words(stock, ours, theirs)
        rows.append(row)
    return rows


def _length(stock: Stock, ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    a, b = (np.array([len(stock.words[i]) for i in rows], float) for rows in (ours, theirs))
    difference, unit = float(a.mean() - b.mean()), float(b.std())
    return {
        "words": float(a.mean()),
        "real_words": float(b.mean()),
        "shift_sd": difference / unit if unit > 0 else (0.0 if difference == 0 else None),
        "sd_ratio": float(a.std()) / unit if unit > 0 else None,
        "length_z": ratio(
            difference, clustered(a, family(stock, ours)), clustered(b, stock.key[theirs])
        ),
    }


def _measure(stock: Stock, rows: np.ndarray, given: np.ndarray) -> dict[str, float]:
    ours, theirs = (Counter(w for i in part for w in stock.words[i]) for part in (rows, given))
    n, m = sum(ours.values()), sum(theirs.values())
    vocabulary = sorted(ours.keys() | theirs.keys())
    p = np.array([ours[word] for word in vocabulary]) / max(n, 1)
    q = np.array([theirs[word] for word in vocabulary]) / max(m, 1)
    middle = (p + q) / 2
    bits = sum(float(x[x > 0] @ np.log2(x[x > 0] / middle[x > 0])) / 2 for x in (p, q))
    unseen = sum(count for word, count in ours.items() if word not in theirs)
    return {"divergence": float(np.sqrt(max(bits, 0.0))), "unseen": unseen / max(n, 1)}


def _words(
    stock: Stock, ours: np.ndarray, theirs: np.ndarray
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Words with the largest z of the difference of their shares of texts, and the smallest."""
    made, real = (Counter(w for i in part for w in {*stock.words[i]}) for part in (ours, theirs))
    n, m = len(ours), len(theirs)
    found = []
    for word in sorted(made.keys() | real.keys()):
        p, q = made[word] / n, real[word] / m
        pooled = (made[word] + real[word]) / (n + m)
        z = (p - q) / np.sqrt(max(pooled * (1 - pooled), 1e-12) * (1 / n + 1 / m))
        found.append({"word": word, "share": p, "real_share": q, "z": float(z)})
    ordered = sorted(found, key=lambda row: -row["z"])
    more = [row for row in ordered if row["z"] > _LEAST_Z][:_SHOWN]
    less = [row for row in ordered[::-1] if row["z"] < -_LEAST_Z][:_SHOWN]
    return more, less
