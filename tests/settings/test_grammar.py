"""Sentences with known truth: the law is the formula, and what is said is understood."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Any

import jax
import numpy as np
import pytest

from opal import checks
from opal.settings import FiniteLaw
from opal.settings.grammar import MOST_MEANINGS, Grammar, picked
from opal.settings.law import TrueLaw
from opal.settings.wording import Slot, Wording

REVIEWS = Grammar.reviews()
SLOTS = REVIEWS.wording.slots
EVEN = np.full((2, 2), 0.5)


def toy(**changes: Any) -> Grammar:
    """Two words for the class, two for the attribute."""
    parts = {
        "labels": ("no", "yes"),
        "attributes": ("near", "far"),
        "wording": Wording(
            (
                Slot("mood", ("sad", "glad"), np.array([(0.9, 0.1), (0.2, 0.8)])),
                Slot("place", ("here", "there"), np.array([(1.0, 0.0), (0.25, 0.75)])),
            ),
            ("{who} is {mood} {place}.",),
            {"who": ("Ann", "Bob")},
        ),
    }
    return Grammar(**{**parts, **changes})


def shares(law: FiniteLaw) -> np.ndarray:
    return np.asarray(law.table).sum(axis=2)


def z_scores(found: np.ndarray, share: np.ndarray) -> list[float]:
    """Of frequencies [m] against probabilities, the words that never occur left out."""
    n, p = found.sum(), share[share > 0]
    assert found[share == 0].sum() == 0
    return ((found[share > 0] - n * p) / np.sqrt(n * p * (1 - p))).tolist()


def word_scores(grammar: Grammar, meanings: np.ndarray, law: FiniteLaw, group: int) -> list[float]:
    """Of the words of each slot among texts of one group, against a law."""
    scores = []
    for s, m in enumerate(grammar.shape):
        found = np.bincount(grammar.meanings[meanings, s], minlength=m)
        share = np.bincount(grammar.meanings[:, s], weights=shares(law)[group], minlength=m)
        scores += z_scores(found, share)
    return scores


def test_pairs_have_the_product_of_their_slots() -> None:
    law = toy().law
    assert [group.name for group in law.groups] == ["no, near", "no, far", "yes, near", "yes, far"]
    assert [(group.label, group.attribute) for group in law.groups] == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    ]
    # (sad, here), (sad, there), (glad, here), (glad, there)
    expected = [
        [0.9, 0, 0.1, 0],
        [0.225, 0.675, 0.025, 0.075],
        [0.2, 0, 0.8, 0],
        [0.05, 0.15, 0.2, 0.6],
    ]
    np.testing.assert_allclose(shares(law), expected, atol=1e-15)
    np.testing.assert_array_equal(law.features, [[0, 0], [0, 1], [1, 0], [1, 1]])
    assert law.table[:2, :, 1].max() == law.table[2:, :, 0].max() == 0
    assert isinstance(REVIEWS.law, TrueLaw)
    assert (REVIEWS.n_meanings, REVIEWS.law.dim) == (500, 15)


def test_classes_mix_their_attributes_by_rho() -> None:
    pairs, classes = toy(), toy(rho=0.7, pairs=False)
    near, far = shares(pairs.law)[[0, 2]], shares(pairs.law)[[1, 3]]
    expected = [0.7 * near[0] + 0.3 * far[0], 0.3 * near[1] + 0.7 * far[1]]
    np.testing.assert_allclose(shares(classes.law), expected, atol=1e-15)
    assert [group.name for group in classes.groups] == ["no", "yes"]
    assert (pairs.name, classes.name) == ("grammar(d=4, K=2, pairs)", "grammar(d=4, K=2, rho=0.7)")


def test_the_best_rule_is_the_log_odds_and_ignores_the_attribute() -> None:
    best = np.asarray(jax.jit(FiniteLaw.optimum)(REVIEWS.law))
    odds = [np.log(slot.chances[1] / slot.chances[0]) for slot in SLOTS[:-1]]
    expected = [*np.concatenate([each[1:] - each[0] for each in odds]), 0, 0, 0]
    np.testing.assert_allclose(best, [*expected, sum(each[0] for each in odds)], atol=1e-8)
    error = jax.jit(FiniteLaw.group_error)(REVIEWS.law, best)
    pooled = np.asarray(REVIEWS.law.table).mean(axis=0)
    np.testing.assert_allclose(error.mean(), pooled.min(axis=1).sum(), rtol=1e-12)
    assert 0.18 < error.min() < error.max() < 0.21


def test_every_meaning_is_understood_whatever_is_said_around_it() -> None:
    numbers = np.arange(REVIEWS.n_meanings)
    said = [REVIEWS.sentences(numbers, key=key) for key in range(3)]
    for sentences in said:
        assert [REVIEWS.parse(text) for text in sentences] == numbers.tolist()
        np.testing.assert_array_equal(REVIEWS.rows(sentences), REVIEWS.features)
    assert len({*said[0], *said[1]}) > 990
    assert said[0] == REVIEWS.sentences(numbers, key=0)
    assert said[0][:7] == REVIEWS.sentences(numbers[:7], key=0)
    assert REVIEWS.render(7, key=1) == REVIEWS.sentences(np.array([7]), key=1)[0]
    assert REVIEWS.parse(said[0][9].upper()) == 9


def test_features_are_the_words_of_the_sentence() -> None:
    text = toy().render(2, key=0)
    assert text in ("Ann is glad here.", "Bob is glad here.")
    assert toy().rows([text]).tolist() == [[1.0, 0.0]]


def test_texts_have_the_law() -> None:
    n = 8000
    drawn = REVIEWS.draw([n, 0, 0, n], key=5)
    heard = np.array([REVIEWS.parse(text) for text in REVIEWS.sentences(drawn, key=6)])
    np.testing.assert_array_equal(heard, drawn)
    scores = [
        *word_scores(REVIEWS, heard[:n], REVIEWS.law, 0),
        *word_scores(REVIEWS, heard[n:], REVIEWS.law, 3),
    ]
    pairs = np.bincount(heard[:n] // 20, minlength=25)  # food and staff together
    first, second = SLOTS[0].chances[0], SLOTS[1].chances[0]
    scores += z_scores(pairs, np.outer(first, second).ravel())
    check = checks.within_standard_errors("words", scores)
    assert check.passed, check
    # 5 % of the words from the other class are found out.
    mixed = [0.95 * slot.chances[0] + 0.05 * slot.chances[1] for slot in SLOTS[:-1]]
    wrong = REVIEWS.law_of([[*mixed, SLOTS[-1].chances[0]]] * 4)
    control = word_scores(REVIEWS, heard[:n], wrong, 0)
    assert not checks.within_standard_errors("mixed", control).passed


def test_wording_says_nothing_of_the_meaning() -> None:
    n = 4000
    said = REVIEWS.sentences(REVIEWS.draw([n, 0, 0, n], key=1), key=2)
    scores = []
    for word in ("Monday", "Peru", "Zoe", "all in all", "outing"):
        holds = np.array([word in text for text in said])
        p = holds.mean()
        scores.append((holds[:n].mean() - holds[n:].mean()) / np.sqrt(2 * p * (1 - p) / n))
    check = checks.within_standard_errors("fillers", scores)
    assert check.passed, check


def test_more_texts_extend_fewer() -> None:
    few, more = REVIEWS.draw([4, 0, 7, 2], key=3), REVIEWS.draw([9, 5, 7, 2], key=3)
    np.testing.assert_array_equal(few, more[[0, 1, 2, 3, *range(14, 23)]])
    assert (
        REVIEWS.draw([40, 0, 0, 0], key=4).tolist() != REVIEWS.draw([40, 0, 0, 0], key=3).tolist()
    )


def test_what_has_no_chance_is_never_picked() -> None:
    ends = np.array([0.0, 0.5, np.nextafter(1, 0)])
    assert picked(np.array([0.0, 0.5, 0.5, 0.0]), ends).tolist() == [1, 2, 2]
    assert picked(np.full(3, 1 / 3), ends).tolist() == [0, 1, 2]


def test_counts_follow_shares_and_rho() -> None:
    assert REVIEWS.counts(1000) == (425, 75, 75, 425)
    assert REVIEWS.counts(240, (0.25, 0.75)) == (51, 9, 27, 153)
    assert toy(pairs=False).counts(10, (0.3, 0.7)) == (3, 7)
    with pytest.raises(ValueError, match=r"10 texts leave group 'no, near' empty; raise n"):
        toy(rho=0.0).counts(10)
    with pytest.raises(ValueError, match=r"shares must be 2 numbers of sum one; got \[0.5, 0.6\]"):
        REVIEWS.counts(100, (0.5, 0.6))


def test_rows_are_those_of_the_law() -> None:
    rows = jax.jit(lambda: REVIEWS.sample((3, 0, 2, 1), key=0))()
    assert rows.x.shape == (6, 15)
    assert rows.y.tolist() == [0, 0, 0, 1, 1, 1]


WIDE = Slot("w", tuple("abcdefghijklmnopq"), np.full((2, 17), 1 / 17))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"labels": ("no",)}, r"labels must be two or more names; got \('no',\)"),
        ({"attributes": ("a", "a")}, r"attributes must be two or more names"),
        ({"rho": 1.5}, r"rho is a probability, in \[0, 1\]; got 1.5"),
        ({"labels": ("a", "b", "c")}, r"slot 'mood' needs chances for each of a, b, c; got 2 rows"),
        (
            {"wording": Wording((Slot("place", ("x", "y"), EVEN),), ("{place}",))},
            "needs a slot for words of the classes; got none",
        ),
        (
            {
                "wording": Wording(
                    (Slot("m", ("u", "v"), np.eye(2)), Slot("p", ("x", "y"), EVEN)), ("{m} {p}",)
                )
            },
            r"every word of slot 'm' must be possible in every class.* got a chance of 0",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        toy(**changes)


def test_too_many_meanings_are_refused() -> None:
    letters = [tuple(f"{c}{x}" for x in "abcdefghijklmnopq") for c in "xyz"]
    slots = tuple(replace(WIDE, name=words[0], words=words) for words in letters)
    wording = Wording(slots, (" ".join(f"{{{slot.name}}}" for slot in slots),))
    with pytest.raises(
        ValueError, match=rf"may have {MOST_MEANINGS} meanings; these slots make 4913"
    ):
        toy(wording=wording)


@pytest.mark.parametrize(
    ("words", "chances", "match"),
    [
        (("a",), [[1.0], [1.0]], r"needs two or more words; got \('a',\)"),
        (("a", "a"), EVEN, "needs two or more words"),
        (("a", "two words"), EVEN, "small letters a to z only; 's' has 'two words'"),
        (("a", "b"), np.full((2, 3), 1 / 3), r"must be \[classes, 2\]; got shape \(2, 3\)"),
        (("a", "b"), [[0.5, np.nan], [0.5, 0.5]], r"must be finite; got nan at index \[0, 1\]"),
        (("a", "b"), [[0.5, 0.6], [0.5, 0.5]], "of sum one"),
        (("a", "b"), [[1.5, -0.5], [0.5, 0.5]], "least -0.5"),
        (("a", "b"), [[1.0, 0.0], [1.0, 0.0]], "leave every word possible"),
    ],
)
def test_slots_are_checked(words: tuple[str, ...], chances: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Slot("s", words, np.array(chances))


@pytest.mark.parametrize(
    ("names", "templates", "fillers", "match"),
    [
        (("m", "m"), ("{m}",), {}, "one name for each slot and filler"),
        (("m", "p"), (), {}, "sentences need a template"),
        (("m", "p"), ("{m} only",), {}, r"each of m, p once.*got '\{m\} only'"),
        (("m", "p"), ("{m} {p} {q}",), {}, "each of m, p once"),
        (("m", "p"), ("{m} {p} {m}",), {}, "each of m, p once"),
        (("m", "p"), ("{m} is u {p}",), {}, "must not stand elsewhere in a sentence; 'u' does"),
        (("m", "p"), ("{m} {p} {q}",), {"q": ("Mr X",)}, "'x' does"),
    ],
)
def test_sentences_with_two_meanings_are_refused(
    names: tuple[str, ...], templates: tuple[str, ...], fillers: Any, match: str
) -> None:
    slots = (Slot(names[0], ("u", "v"), EVEN), Slot(names[1], ("x", "y"), EVEN))
    with pytest.raises(ValueError, match=match):
        Wording(slots, templates, fillers)


def test_a_word_in_two_slots_is_refused() -> None:
    with pytest.raises(ValueError, match="a word may stand in one slot only"):
        Wording((Slot("m", ("u", "v"), EVEN), Slot("p", ("u", "y"), EVEN)), ("{m} {p}",))


@pytest.mark.parametrize(
    ("text", "said"), [("Ann is here.", "none"), ("sad and glad here", "sad, glad"), ("", "none")]
)
def test_what_is_no_sentence_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"one of sad, glad as its mood; got {said} in"):
        toy().parse(text)


def test_meanings_beyond_the_last_are_refused() -> None:
    with pytest.raises(ValueError, match="meanings are 0 to 3; got 4"):
        toy().render(4, key=0)


def test_the_toy_is_what_it_says() -> None:
    """Kron's order is that of the numbers: the attribute's word changes fastest."""
    law = toy().law
    expected = reduce(np.kron, [np.array([0.9, 0.1]), np.array([0.25, 0.75])])
    np.testing.assert_allclose(shares(law)[1], expected)
    assert toy().meanings.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
