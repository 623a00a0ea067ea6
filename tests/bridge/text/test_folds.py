"""Folds hold whole lineages; nothing made from a held-out text is trained on."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from opal.bridge.text import texts
from opal.bridge.text.impute import folds
from opal.draws import as_key, named

KEY = as_key(0)


@pytest.fixture
def originals() -> pd.DataFrame:
    """Two classes, 40 and 23 texts, of which two are equal."""
    said = [f"text {i}" for i in range(62)] + ["text 5"]
    return texts.table(said, ["a"] * 40 + ["b"] * 22 + ["a"])


def made(*rows: tuple[str, tuple[str, ...]]) -> pd.DataFrame:
    """Synthetic texts with the texts they were made from."""
    said, seeds = zip(*rows, strict=True)
    return texts.table(
        said,
        ["a"] * len(said),
        source="model",
        seeds=[[texts.identity(each) for each in some] for some in seeds],
    )


def test_each_class_is_spread_evenly(originals: pd.DataFrame) -> None:
    fold = folds.split(originals, 10, key=KEY)
    counts = pd.crosstab(originals["label"], fold)
    assert counts.shape == (2, 10)
    assert (counts.max(axis=1) - counts.min(axis=1) <= 1).all()
    assert counts.sum().max() - counts.sum().min() <= 2


def test_equal_texts_share_a_fold(originals: pd.DataFrame) -> None:
    for repeat in range(20):
        fold = folds.split(originals, 10, key=named(KEY, f"repeat {repeat}"))
        assert fold[5] == fold[-1]


def test_repeats_differ_and_keys_decide(originals: pd.DataFrame) -> None:
    first = folds.split(originals, 10, key=KEY)
    assert np.array_equal(first, folds.split(originals, 10, key=KEY))
    assert not np.array_equal(first, folds.split(originals, 10, key=named(KEY, "again")))


def test_what_one_text_was_made_from_can_be_kept_together(originals: pd.DataFrame) -> None:
    ids = originals["id"]
    fold = folds.split(originals, 10, key=KEY, together=[ids[[0, 9, 30]], ids[[30, 50]]])
    assert len({fold[i] for i in (0, 9, 30, 50)}) == 1
    assert len(set(fold)) == 10


def test_nothing_made_from_a_held_out_text_is_trained_on() -> None:
    synthetic = made(
        ("one", ("text 1",)),
        ("two", ("text 2",)),
        ("both", ("text 1", "text 2")),
        ("text 1", ("text 2",)),  # a copy of what is held out
        ("twice", ("text 2",)),
        ("twice", ("text 1",)),  # the same text again, from a held-out one
    )
    held_out = [texts.identity("text 1")]
    assert folds.trainable(synthetic, held_out).tolist() == [False, True, *[False] * 4]


def test_tested_are_those_with_a_seed_held_out_that_were_not_trained_on() -> None:
    synthetic = made(
        ("one", ("text 1",)), ("two", ("text 2",)), ("both", ("text 1", "text 2")),
        ("seen", ("text 1",)),
    )  # fmt: skip
    held_out, trained = [texts.identity("text 1")], [texts.identity("seen")]
    assert folds.testable(synthetic, held_out, trained).tolist() == [True, False, True, False]


def test_trained_and_tested_never_meet(originals: pd.DataFrame) -> None:
    rng = np.random.default_rng(0)
    rows = [
        (f"made {i % 150}", tuple(rng.choice(originals["text"][:40], size=rng.integers(1, 4))))
        for i in range(200)
    ]
    synthetic = made(*rows)
    fold = folds.split(originals, 5, key=KEY)
    for k in range(5):
        held_out = set(originals["id"][fold == k])
        train = synthetic[folds.trainable(synthetic, held_out)]
        test = synthetic[folds.testable(synthetic, held_out, train["id"])]
        assert len(train)
        assert len(test)
        assert not set(train["id"]) & set(test["id"])
        assert not held_out & {seed for seeds in train["seeds"] for seed in seeds}
        assert all(held_out & set(seeds) for seeds in test["seeds"])


@pytest.mark.parametrize("n_folds", [1, 63])
def test_the_number_of_folds(originals: pd.DataFrame, n_folds: int) -> None:
    message = f"at most the number of different texts, 62; got {n_folds}."
    with pytest.raises(ValueError, match=re.escape(message)):
        folds.split(originals, n_folds, key=KEY)


def test_folds_are_of_originals(originals: pd.DataFrame) -> None:
    frame = pd.concat([originals, made(("new", ("text 1",)))], ignore_index=True)
    with pytest.raises(ValueError, match=r"1 of 64 were made from others\. Leave them out"):
        folds.split(frame, 5, key=KEY)
