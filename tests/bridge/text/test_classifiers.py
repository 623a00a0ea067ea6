"""Batches of training: every text once an epoch, in whatever order."""

from __future__ import annotations

import numpy as np
import pytest

from opal.bridge.text.classifiers import batches

TEXTS = ["x" * int(n) for n in np.random.default_rng(0).integers(1, 60, 300)]
ROWS = np.arange(3, 300, 2)  # 149 of them


@pytest.mark.parametrize("by_length", [False, True])
def test_every_epoch_has_each_row_once(by_length: bool) -> None:
    rng = np.random.default_rng(1)
    found = batches(ROWS, TEXTS, size=8, epochs=3, rng=rng, by_length=by_length)
    each = -(-len(ROWS) // 8)
    assert len(found) == 3 * each
    epochs = [np.concatenate(found[i : i + each]) for i in range(0, len(found), each)]
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), ROWS)
    assert not np.array_equal(epochs[0], epochs[1])
    assert max(map(len, found)) == 8


def test_texts_of_equal_length_come_together_in_an_order_that_is_drawn() -> None:
    padded = {}
    for by_length in (False, True):
        rng = np.random.default_rng(2)
        found = batches(ROWS, TEXTS, size=8, epochs=4, rng=rng, by_length=by_length)
        longest = [max(len(TEXTS[i]) for i in part) for part in found]
        padded[by_length] = sum(n * len(part) for n, part in zip(longest, found, strict=True))
        ordered = np.diff(longest) >= 0
        assert 0.3 < ordered.mean() < 0.7
    own = 4 * sum(len(TEXTS[i]) for i in ROWS)
    assert padded[True] - own < 0.4 * (padded[False] - own)
