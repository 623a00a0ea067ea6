"""Features of texts by their names, and counts of words and characters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from opal.bridge.text import encoders
from opal.bridge.text.classifiers import STRENGTH, ridge
from opal.bridge.text.encoders import LENGTHS, Characters, Encoder, TfIdf, encoder
from opal.estimators.wide import fit_wide
from opal.names import UnknownNameError
from tests.bridge.text.short_texts import EVEN, TEXTS, Y


def test_words_are_learned_from_training_texts_alone() -> None:
    x = TfIdf().features([*TEXTS[:6], "awful soup", "lovely tea"]).given(np.arange(6))
    assert [x[[row]].count_nonzero() for row in (6, 7)] == [0, 2]


def test_characters_know_a_word_in_another_form() -> None:
    said = ["sikke en idiot", "sikke en dejlig dag", "Idioterne", "solskinsdag"]
    y, rows = np.array([1, 0, 1, 0]), np.arange(2)
    known = {}
    counting: tuple[Encoder, ...] = (Characters(), TfIdf())
    for counted in counting:
        x = counted.features(said).given(rows)
        rule = fit_wide(x[rows], y[rows], np.full(2, 0.5), n_classes=2, ridge=1e-3)
        known[counted.name] = rule.probabilities(x)[2:].argmax(axis=1).tolist()
        assert (x[[2]].nnz > 0) == (counted.name == "characters")
    assert known["characters"] == [1, 0]


def test_characters_are_those_of_words_in_one_spelling() -> None:
    """Against scikit-learn's own, with inverse frequencies of the training texts alone."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    said = ["rødgrød med fløde", "en å, og en ø", "EN A\u030a, OG EN \u00d8", "ukendt"]
    rows = np.arange(2)
    x = Characters().features(said).given(rows).toarray()
    np.testing.assert_array_equal(x[1], x[2])
    fitted = TfidfVectorizer(analyzer="char_wb", ngram_range=LENGTHS, sublinear_tf=True)
    theirs = fitted.fit([said[i] for i in rows]).transform([*said[:2], said[1], said[3]]).toarray()
    np.testing.assert_allclose(x @ x.T, theirs @ theirs.T, atol=1e-12)


def test_the_most_frequent_runs_are_kept() -> None:
    known = Characters().features(["aa bb", "aa cc", "aa bb"])
    few = replace(known, most=4).given(np.arange(3))
    assert 0 < np.count_nonzero(few.sum(axis=0)) <= 4
    assert few[[1]].nnz < known.given(np.arange(3))[[1]].nnz


def test_weights_decide_between_classes() -> None:
    features = TfIdf().features([*TEXTS, "a table of numbers"])

    def probabilities(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
        x, penalty = features.given(np.flatnonzero(weights)), ridge(weights, STRENGTH)
        rule = fit_wide(x[rows], Y[rows], weights[rows], n_classes=2, ridge=penalty)
        return rule.probabilities(x)

    every = np.arange(12)
    plain, heavy = (
        probabilities(weights, every) for weights in (EVEN, np.where(Y == 1, 9 * EVEN, EVEN))
    )
    assert heavy[-1, 1] > plain[-1, 1] + 0.1
    # A text without weight is not there.
    few = np.where(every < 10, EVEN, 0)
    np.testing.assert_allclose(probabilities(few, every), probabilities(few, every[:10]))


def test_names_of_encoders() -> None:
    assert encoder("tfidf").name == "tfidf"
    assert encoder("characters").name == "characters"
    with pytest.raises(UnknownNameError, match="unknown encoder 'minlm'; did you mean 'minilm'"):
        encoder("minlm")
    with pytest.raises(UnknownNameError, match="did you mean 'multilingual-minilm'"):
        encoder("multilingual-minlm")


def test_what_is_usual_depends_on_the_languages() -> None:
    assert encoders.usual([]) == encoders.usual(["en", "en"]) == "tfidf"
    assert encoders.usual(["da"]) == encoders.usual(["en", "da"]) == "characters"
