"""Copies in turn are weights; random copies are multinomial."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy import stats

from opal.settings import GaussianMixture
from opal.synthesis import Duplication

SETTING = GaussianMixture([[0.0], [3.0]])
SEEDS = SETTING.sample((5, 4), key=0)
X = np.asarray(SEEDS.x[:, 0])


def copies(synthesizer: Duplication, counts: tuple[int, int], seed: int = 0) -> np.ndarray:
    """How often each seed is copied."""
    law = synthesizer.fit(SEEDS, SETTING.groups, key=jax.random.key(0))
    made = np.asarray(law.sample(counts, key=jax.random.key(seed)).x[:, 0])
    return np.array([np.sum(made == x) for x in X])


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((0, 4), [0, 0, 0, 0, 0, 1, 1, 1, 1]),
        ((7, 9), [2, 2, 1, 1, 1, 3, 2, 2, 2]),
        ((0, 0), [0] * 9),
    ],
)
def test_copies_in_turn_differ_by_at_most_one(counts: tuple[int, int], expected: list[int]) -> None:
    np.testing.assert_array_equal(copies(Duplication(), counts), expected)


def test_random_copies_are_multinomial() -> None:
    counts = copies(Duplication(in_turn=False), (5000, 4000))
    assert counts[:5].sum() == 5000
    assert stats.chisquare(counts[:5]).pvalue > 1e-3
    assert stats.chisquare(counts[5:]).pvalue > 1e-3
    # Not in turn: the counts vary as those of a multinomial do.
    spread = [copies(Duplication(in_turn=False), (50, 0), seed)[:5] for seed in range(40)]
    variance = np.var(np.stack(spread), axis=0).mean()
    expected = 50 * 0.2 * 0.8
    assert abs(variance / expected - 1) < 5 * np.sqrt(2 / (5 * 40))


def test_the_two_have_different_names_and_the_same_population() -> None:
    in_turn, at_random = Duplication(), Duplication(in_turn=False)
    assert in_turn.name != at_random.name
    uses = {s.population(SETTING.law).seed_use for s in (in_turn, at_random)}
    assert uses == {"copy in turn", "copy at random"}
    assert in_turn.population(SETTING.law).law is SETTING.law
