"""Which texts a step of training takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_ALIKE = 8  # batches that are cut out of one run of texts sorted by length


def batches(
    rows: np.ndarray,
    texts: Sequence[str],
    *,
    size: int,
    epochs: int,
    rng: np.random.Generator,
    by_length: bool = False,
) -> list[np.ndarray]:
    """Rows of each step: every epoch is an order of all of them.

    Args:
        rows: that are trained on [n].
        texts: of which they are rows.
        size: of a batch; the last one of an epoch may be smaller.
        epochs: passes over the rows.
        rng: draws the orders.
        by_length: batches are of texts of about equal length, in an order that is drawn. Each
            epoch still has each row once, and the mean over its batches is the same objective.
    """
    found: list[np.ndarray] = []
    for _ in range(epochs):
        order = rng.permutation(rows)
        if by_length:
            order = _sorted_in_runs(order, texts, _ALIKE * size)
        parts = np.split(order, range(size, len(order), size))
        turns = rng.permutation(len(parts)) if by_length else range(len(parts))
        found += [parts[turn] for turn in turns]
    return found


def _sorted_in_runs(order: np.ndarray, texts: Sequence[str], run: int) -> np.ndarray:
    """The rows, sorted by the length of their text within each run of so many."""
    length = np.array([len(texts[i]) for i in order])
    return order[np.lexsort((length, np.arange(len(order)) // run))]
