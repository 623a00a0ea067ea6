"""A writer's texts follow its exact law, and its dials do what they say."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from opal import checks
from opal.settings import FiniteLaw
from opal.settings.grammar import Grammar
from opal.synthesis.writer import Writer

REVIEWS = Grammar.reviews()
FOOD = REVIEWS.wording.slots[0].chances
PLACE = REVIEWS.wording.slots[-1].chances
ODD = (("plain", "busy", "quiet"), ("fresh", "polite", "pleasant"))
BIASED = Writer(confusion=0.1, favour=0.3, favourites=ODD, rebuild=0.7, link=0.1, echo=0.2)
N = 20_000


def shares(law: FiniteLaw) -> np.ndarray:
    return np.asarray(law.table).sum(axis=2)


def of_slot(share: np.ndarray, slot: int) -> np.ndarray:
    """Chance of each word of a slot, from those of meanings [d]."""
    return np.bincount(REVIEWS.meanings[:, slot], weights=share)


def test_a_writer_without_faults_writes_the_truth() -> None:
    for echo in (0.0, 0.4):
        np.testing.assert_allclose(shares(Writer(echo=echo).law(REVIEWS)), shares(REVIEWS.law))
    theta = np.linspace(-1, 1, 16)
    assert np.max(np.abs(jax.jit(lambda t: Writer().bias(REVIEWS, t))(theta))) < 1e-15


def test_dials_are_those_of_the_formula() -> None:
    food = BIASED.chances(REVIEWS, 2)[0]  # praise, hotel
    expected = 0.6 * FOOD[1] + 0.1 * FOOD[0] + 0.3 * np.array([0, 0, 0, 1, 0])
    np.testing.assert_allclose(food, expected, rtol=1e-14)
    law = of_slot(shares(BIASED.law(REVIEWS))[2], 0)
    np.testing.assert_allclose(law, 0.2 * FOOD[1] + 0.8 * expected, rtol=1e-12)
    usual = Writer(favour=1.0).chances(REVIEWS, 0)
    assert [q.argmax() for q in usual[:-1]] == [0, 0, 0]
    assert usual[0].max() == 1


def test_the_attribute_is_rebuilt_as_in_the_gender_table() -> None:
    """Asked for as many of each, GPT-4 made 22 % of its men long-haired."""
    rebuilt = Writer(rebuild=0.7, link=0.1)
    law = shares(rebuilt.law(REVIEWS))
    asked_for_both = of_slot(law[2:].mean(axis=0), 3)  # praise: tavern is its own
    np.testing.assert_allclose(asked_for_both, 0.22 * PLACE[1] + 0.78 * PLACE[0], rtol=1e-12)
    classes = Grammar.reviews(rho=0.87, pairs=False)
    own = 0.3 * 0.87 + 0.7 * 0.1
    word = np.bincount(classes.meanings[:, 3], weights=shares(rebuilt.law(classes))[1])
    np.testing.assert_allclose(word, own * PLACE[1] + (1 - own) * PLACE[0], rtol=1e-12)


def test_the_bias_is_the_difference_of_exact_risks() -> None:
    theta = np.linspace(-1, 1, 16)
    said = jax.jit(lambda t: BIASED.bias(REVIEWS, t))(theta)
    scores = REVIEWS.features @ theta[:-1] + theta[-1]
    loss = np.log1p(np.exp(scores))[None, :] - np.array([0, 0, 1, 1])[:, None] * scores[None, :]
    apart = shares(BIASED.law(REVIEWS)) - shares(REVIEWS.law)
    np.testing.assert_allclose(said, (apart * loss).sum(axis=1), rtol=1e-10)
    assert np.min(np.abs(said)) > 1e-3


def test_seeds_at_hand_average_to_the_law() -> None:
    """``Q = Σ_x P(x) Q(· | seed x)``, for every group."""
    mean = np.zeros_like(shares(REVIEWS.law))
    for x, share in enumerate(shares(REVIEWS.law).T):
        mean += share[:, None] * shares(BIASED.given(REVIEWS, [np.array([x])] * 4))
    np.testing.assert_allclose(mean, shares(BIASED.law(REVIEWS)), atol=1e-15)


def test_texts_follow_the_law_given_their_seeds() -> None:
    pool = [REVIEWS.draw([6 if g == h else 0 for h in range(4)], key=g) for g in range(4)]
    groups = np.repeat([0, 3], N)
    seeds = np.concatenate([np.tile(pool[0], N // 6 + 1)[:N], np.tile(pool[3], N // 6 + 1)[:N]])
    made = BIASED.rewrite(REVIEWS, seeds, groups, key=11)
    np.testing.assert_array_equal(made[:5], BIASED.rewrite(REVIEWS, seeds[:5], groups[:5], key=11))

    def scores(law: FiniteLaw) -> list[float]:
        found = []
        for group in (0, 3):
            share = shares(law)[group]
            likely = N * share > 25
            p = share[likely]
            counts = np.bincount(made[groups == group], minlength=500)[likely]
            found += ((counts - N * p) / np.sqrt(N * p * (1 - p))).tolist()
        return found

    check = checks.within_standard_errors("meanings", scores(BIASED.given(REVIEWS, pool)))
    assert check.passed, check
    control = checks.within_standard_errors("any seed", scores(BIASED.law(REVIEWS)))
    assert not control.passed


def test_an_echo_is_its_seed() -> None:
    seeds = np.arange(500)
    groups = np.zeros(500, int)
    np.testing.assert_array_equal(Writer(echo=1.0).rewrite(REVIEWS, seeds, groups, key=0), seeds)
    given = Writer(echo=1.0).given(REVIEWS, [np.array([3, 3, 8])] * 4)
    assert shares(given)[1, 3] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("dials", "match"),
    [
        ({"confusion": -0.1}, r"confusion is a probability, in \[0, 1\]; got -0.1"),
        ({"echo": 2}, "echo is a probability"),
        ({"rebuild": float("nan")}, "rebuild is a probability"),
        ({"confusion": 0.6, "favour": 0.6}, r"confusion \+ favour is a probability; got 1.2"),
    ],
)
def test_dials_are_checked(dials: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Writer(**dials)


@pytest.mark.parametrize(
    ("favourites", "match"),
    [
        ((("plain", "busy", "quiet"),), "a word of each of 3 slots for each of 2 classes"),
        ((("plain",), ("plain",)), "a word of each of 3 slots"),
        ((("odd", "busy", "quiet"), ODD[1]), "a favourite of 'food' is one of stale, .*got 'odd'"),
    ],
)
def test_favourites_must_be_words_of_the_grammar(favourites: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Writer(favour=0.1, favourites=favourites).law(REVIEWS)


def test_a_group_without_seeds_is_refused() -> None:
    some = np.array([1])
    with pytest.raises(ValueError, match=r"at least one seed; got \[1, 1, 0, 1\]"):
        Writer().given(REVIEWS, [some, some, some[:0], some])
