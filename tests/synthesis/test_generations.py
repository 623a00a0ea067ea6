"""Generators trained on generators as synthesizers, and counts of tokens."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opal.settings import FiniteLaw, GaussianMixture, Sample
from opal.settings.groups import Group, joined
from opal.synthesis import GaussianFit
from opal.synthesis.generations import Generations
from opal.synthesis.token_counts import TokenCounts

LAW = GaussianMixture([[-0.6, 0.0], [0.6, 0.3]]).law
SEEDS = LAW.sample((30, 12), key=jax.random.key(0))
KEY = jax.random.key(5)
FEATURES = np.array([[0.0, 1.0], [1.0, 0.5], [-1.0, 0.0], [0.3, -0.7]])


def fitted(maker: Any, seeds: Sample = SEEDS, groups: tuple[Group, ...] = LAW.groups) -> Any:
    return maker.fit(seeds, groups, key=KEY)


def means(made: Generations, seeds: Sample = SEEDS) -> np.ndarray:
    """Means of all generations [K, G, d]."""
    laws: tuple[Any, ...] = made.laws(seeds, LAW.groups, key=KEY)
    return np.stack([law.means[:, 0] for law in laws])


def test_the_first_generation_sees_seeds_alone() -> None:
    first = fitted(Generations(GaussianFit(), 1, 5))
    np.testing.assert_array_equal(first.means, fitted(GaussianFit()).means)


def test_the_last_seeds_are_kept_back_as_fresh_rows() -> None:
    made = Generations(GaussianFit(), 3, 20, n_fresh=4)
    first, found = fitted(GaussianFit(), SEEDS.within((0, 0), (22, 4))), means(made)
    np.testing.assert_array_equal(found[0], first.means[:, 0])
    last = Sample(SEEDS.x.at[29].add(10.0), SEEDS.y, SEEDS.counts)
    moved = means(made, last) - found
    np.testing.assert_array_equal(moved[:2], 0.0)  # it joins the third generation
    assert moved[2, 0] == pytest.approx(10 / 24)
    np.testing.assert_array_equal(moved[2, 1], 0.0)


@pytest.mark.parametrize("accumulated", [False, True])
def test_earlier_generations_do_not_depend_on_later_ones(accumulated: bool) -> None:
    few, many = (Generations(GaussianFit(), k, 9, 0, accumulated) for k in (2, 3))
    np.testing.assert_array_equal(means(many)[:2], means(few))
    np.testing.assert_array_equal(means(few)[-1], fitted(few).means[:, 0])


def test_accumulated_rows_keep_those_before() -> None:
    """Of ever fewer new rows a generation is moved ever less; replaced, it is theirs alone."""
    kept = np.abs(np.diff(means(Generations(GaussianFit(), 4, 3, 0, True)), axis=0))
    assert kept[:, 0].max() < 3 * 4 / 33
    replaced = fitted(Generations(GaussianFit(), 2, 3))
    drawn = fitted(GaussianFit()).sample((3, 3), key=jax.random.fold_in(KEY, 1))
    np.testing.assert_allclose(replaced.means[0, 0], drawn.x[:3].mean(axis=0))


def test_counts_are_those_of_the_tokens() -> None:
    tokens = np.array([0, 0, 2, 1, 3, 3, 3])
    seeds = Sample(jnp.asarray(FEATURES[tokens]), jnp.array([0] * 4 + [1] * 3), (4, 3))
    plain = fitted(TokenCounts(FEATURES, 0.0), seeds)
    np.testing.assert_allclose(plain.table[0], np.outer([0.5, 0.25, 0.25, 0.0], [1.0, 0.0]))
    np.testing.assert_allclose(plain.table[1], np.outer([0.0, 0.0, 0.0, 1.0], [0.0, 1.0]))
    half = fitted(TokenCounts(FEATURES), seeds)
    np.testing.assert_allclose(half.table[1, :, 1], np.array([0.5, 0.5, 0.5, 3.5]) / 5)


def test_plain_counts_are_random_copies_to_theory() -> None:
    truth = FiniteLaw(np.full((2, 4, 2), 1 / 8), FEATURES, LAW.groups)
    known = TokenCounts(FEATURES, 0.0).population(truth)
    assert known is not None
    assert (known.law, known.seed_use) == (truth, "copy at random")
    assert TokenCounts(FEATURES, 0.0).population(LAW) is None
    assert TokenCounts(FEATURES).population(truth) is None


def test_rows_are_joined_group_by_group() -> None:
    one, other = SEEDS.within((2, 1), (2, 1)), SEEDS.within((0, 3), (1, 2))
    both = joined(one, other)
    assert both.counts == (3, 3)
    rows = [2, 3, 0, 31, 33, 34]
    np.testing.assert_array_equal(both.x, SEEDS.x[np.array(rows)])
    np.testing.assert_array_equal(both.y, SEEDS.y[np.array(rows)])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Generations(GaussianFit(), 0, 5), "n_generations must be a whole number of at"),
        (lambda: Generations(GaussianFit(), 2, -1), "n_synthetic must be a whole number of at"),
        (lambda: Generations(GaussianFit(), 2, 0), "got n_synthetic = 0 and n_fresh = 0."),
        (
            lambda: fitted(Generations(GaussianFit(), 3, 1, 1)),
            "n_synthetic + n_fresh = 2 rows of each group, and gaussian fit needs at least 3. Rai",
        ),
        (
            lambda: fitted(Generations(GaussianFit(), 5, 9, 3)),
            "gaussian fit, generation 5 needs at least 15 seeds in every group; group 'class 1'",
        ),
        (lambda: TokenCounts(FEATURES, -0.5), "pseudo_count is a finite number of at least 0"),
        (
            lambda: fitted(TokenCounts(FEATURES, 0.0), SEEDS.within((0, 0), (1, 0))),
            "counts needs at least 1 seed in every group; group 'class 1' has 0. Collect more, set",
        ),
        (
            lambda: fitted(TokenCounts(FEATURES), SEEDS, (LAW.groups[0], Group("b", 1, 0, True))),
            "rows of group 'b' have several labels.",
        ),
    ],
)
def test_bad_input_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
