"""Subjects that draw tokens: the formulas, the priors, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable

import jax
import numpy as np
import pytest

from opal import checks
from opal.settings import Alphabet, Prior, TokenSetting

ALPHABET = Alphabet(np.array([[0.0, 1.0], [1.0, 0.0], [-1.0, -0.5]]), eta=0.5)
SUBJECTS = [[0.4, -0.2], [1.0, 0.3]]
LATENTS = [[[0.5, 0.0], [0.0, 0.5]], [[-1.0, 0.2], [0.3, 0.1]]]


def softmax(scores: list[float]) -> np.ndarray:
    raised = np.exp(scores)
    return np.asarray(raised / raised.sum())


def test_tokens_follow_the_tilted_softmax() -> None:
    t = SUBJECTS[0]
    scores = [(u[0] * t[0] + u[1] * t[1]) / 0.5 for u in ALPHABET.embeddings.tolist()]
    np.testing.assert_allclose(np.exp(ALPHABET.log_law(np.array(t))), softmax(scores), rtol=1e-12)


def test_classes_label_their_own_tokens() -> None:
    setting = TokenSetting(ALPHABET, SUBJECTS)
    law = setting.law
    assert law.table.shape == (2, 3, 2)
    assert law.table.dtype == "float64"
    assert [g.label for g in setting.groups] == [0, 1]
    assert not any(g.mixed for g in setting.groups)
    assert law.table[0, :, 1].max() == law.table[1, :, 0].max() == 0
    expected = np.exp(ALPHABET.log_law(np.array(SUBJECTS)))
    np.testing.assert_allclose(law.table.sum(axis=2), expected, rtol=1e-12)


def test_labelled_pairs_have_a_softmax_of_their_own() -> None:
    setting = TokenSetting(ALPHABET, SUBJECTS, LATENTS)
    table = setting.law.table
    tokens = table.sum(axis=2)
    np.testing.assert_allclose(tokens, np.exp(ALPHABET.log_law(np.array(SUBJECTS))), rtol=1e-12)
    for g in range(2):
        for x, u in enumerate(ALPHABET.embeddings):
            expected = softmax([float(u @ np.array(s)) / 0.5 for s in LATENTS[g]])
            np.testing.assert_allclose(table[g, x] / tokens[g, x], expected, rtol=1e-12)
    most = table.sum(axis=1).argmax(axis=1)
    assert [(g.name, g.label, g.attribute, g.mixed) for g in setting.groups] == [
        ("subject 0", most[0], 0, True),
        ("subject 1", most[1], 1, True),
    ]


def test_a_setting_asks_its_law() -> None:
    setting = TokenSetting(ALPHABET, SUBJECTS, LATENTS)
    theta = jax.jit(setting.optimum)()
    np.testing.assert_allclose(setting.law.group_gradient(theta).mean(axis=0), 0, atol=1e-11)
    np.testing.assert_array_equal(setting.group_risk(theta), setting.law.group_risk(theta))
    np.testing.assert_array_equal(setting.group_error(theta), setting.law.group_error(theta))
    one, other = setting.sample((3, 4), key=1), setting.sample([3, 4], key=jax.random.key(1))
    np.testing.assert_array_equal(one.x, other.x)
    assert setting.name == "tokens(d=3, r=2, G=2)"


def test_drawn_settings_follow_their_key_and_prior() -> None:
    prior = Prior(scale=0.5, mean=2.0)
    setting = TokenSetting.drawn(ALPHABET, 500, n_labels=3, prior=prior, key=4)
    again = TokenSetting.drawn(ALPHABET, 500, prior=prior, key=4)
    np.testing.assert_array_equal(setting.subjects, again.subjects)
    assert setting.label_latents is not None
    assert setting.label_latents.shape == (500, 3, 2)
    z = []
    for values in (setting.subjects, setting.label_latents):
        standard = (values.ravel() - 2.0) / 0.5
        n = standard.size
        z += [standard.mean() * np.sqrt(n), (standard.var() - 1) * np.sqrt(n / 2)]
    check = checks.within_standard_errors("moments of the prior", z)
    assert check.passed, check


def test_embeddings_follow_their_key_and_keep_the_scale_of_subjects() -> None:
    large, again, other = (Alphabet.random(4000, 5, key=key).embeddings for key in (1, 1, 2))
    np.testing.assert_array_equal(large, again)
    assert np.abs(large - other).min(axis=1).max() > 0.1
    squares = (large**2).sum(axis=1)
    assert abs(squares.mean() - 1) < 4 * squares.std() / np.sqrt(4000)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Alphabet(np.array([[1.0]])), "embeddings must be [d, r] with at least two tokens"),
        (lambda: Alphabet(np.array([1.0, 2.0])), "got shape (2,)"),
        (
            lambda: Alphabet(np.array([[1.0], [np.nan]])),
            "embeddings must be finite; got nan at index [1, 0]",
        ),
        (lambda: Alphabet(np.array([[1.0], [1.0]])), "tokens must have different embeddings"),
        (
            lambda: Alphabet(np.array([[1.0], [2.0]]), eta=0.0),
            "eta must be a finite number of at least 1e-3",
        ),
        (lambda: Alphabet.random(1, 2, key=0), "n_tokens must be a whole number of at least 2"),
        (lambda: Alphabet.random(3, 0, key=0), "rank must be a whole number of at least 1"),
        (lambda: Prior(scale=0.0), "scale must be a finite number of at least 1e-6; got 0.0"),
        (lambda: Prior(mean=np.inf), "mean must be a finite number; got inf"),
        (lambda: TokenSetting(ALPHABET, [[1.0], [2.0]]), "subjects must be [G, 2], one row for"),
        (lambda: TokenSetting(ALPHABET, [[1.0, 2.0]]), "at least two groups; got 1"),
        (lambda: TokenSetting(ALPHABET, [[1.0, 2.0], [np.inf, 0]]), "subjects must be finite"),
        (lambda: TokenSetting(ALPHABET, SUBJECTS, LATENTS[:1]), "label_latents must be [2, K, 2]"),
        (
            lambda: TokenSetting(ALPHABET, SUBJECTS, np.zeros((2, 1, 2))),
            "at least two labels; got 1",
        ),
        (lambda: TokenSetting.drawn(ALPHABET, 1, key=0), "n_groups must be a whole number of at"),
        (lambda: TokenSetting.drawn(ALPHABET, n_labels=1, key=0), "n_labels must be a whole"),
        (lambda: TokenSetting(ALPHABET, SUBJECTS).sample((3,), key=0), "each of the 2 groups"),
        (lambda: TokenSetting(ALPHABET, SUBJECTS).sample((3, -1), key=0), "group 1 has -1"),
    ],
)
def test_bad_input_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
