"""What is normal: real texts of a class, split at random, against each other.

Counts such as distinct words depend on how many texts there are. Each split draws equally many of
three kinds: real texts A, other real texts B, and synthetic texts S. ``f(S, A)`` is read against
``f(B, A)``, whose mean and spread over the splits say what real texts do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from opal.bridge.text.audit.stock import Stock

LEAST = 10
"""Fewest texts of each kind that anything is said about."""
MOST = 1000
N_SPLITS = 20

Measure = Callable[[np.ndarray, np.ndarray], dict[str, float]]


def pools(stock: Stock, source: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, synthetic rows and real rows (test texts aside) of each group with synthetic texts.

    Groups are classes, or where there is an attribute pairs (class, attribute): a mix of attributes
    that was asked for is no fault.
    """
    n_values = max(len(stock.attributes), 1)
    group = stock.label * n_values + stock.attribute
    values = [f", {value}" for value in stock.attributes] or [""]
    names = [f"{label}{value}" for label in stock.labels for value in values]
    ours, real = stock.made[source], stock.known()
    for number, name in enumerate(names):
        mine, theirs = (rows[group[rows] == number] for rows in (ours, real))
        if len(mine):
            yield name, mine, theirs


def too_few(ours: np.ndarray, theirs: np.ndarray) -> str | None:
    """Why nothing can be said about a class; None if something can."""
    if len(theirs) < 2 * LEAST:
        return f"needs {2 * LEAST} real texts; there are {len(theirs)}"
    if len(ours) < LEAST:
        return f"needs {LEAST} synthetic texts; there are {len(ours)}"
    return None


def against_real(
    measure: Measure,
    ours: np.ndarray,
    theirs: np.ndarray,
    rng: np.random.Generator,
    *,
    shares: Collection[str] = (),
) -> dict[str, dict[str, float | None]]:
    """Each number of a measure for synthetic and for real texts.

    Args:
        measure: numbers by name of some rows, given equally many real rows.
        ours: synthetic rows.
        theirs: real rows, of which there are enough (:func:`too_few`).
        rng: draws the splits.
        shares: names of those that are shares of texts.

    Returns:
        By name: ``synthetic``, ``real``, and ``z`` of their difference. Both kinds are draws, so
        its error is √2 times the spread between real samples of that size; for a share of texts at
        least that of independent texts, since splits of few texts without a case have no spread.
    """
    m = min(len(ours), len(theirs) // 2, MOST)
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(N_SPLITS):
        real = rng.permutation(theirs)
        made = rng.choice(ours, m, replace=False)
        mine, null = measure(made, real[:m]), measure(real[m : 2 * m], real[:m])
        for name, value in mine.items():
            found.setdefault(name, []).append((value, null[name]))
    return {
        name: _compared(np.array(pairs), m if name in shares else None)
        for name, pairs in found.items()
    }


def _compared(pairs: np.ndarray, m: int | None) -> dict[str, Any]:
    mean = pairs.mean(axis=0)
    synthetic, real = mean.tolist()
    error = float(np.sqrt(2) * pairs[:, 1].std(ddof=1))
    if m is not None:
        error = max(error, float(np.sqrt(np.sum(mean * (1 - mean)) / m)))
    if error == 0:
        error = float(pairs[:, 0].std(ddof=1))
    z = (synthetic - real) / error if error > 0 else None
    return {"synthetic": synthetic, "real": real, "std_error": error, "z": z}
