"""Imputation: a moved threshold, and that nothing tells it of what it is tested on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal.bridge.text.corpus import text_table
from opal.bridge.text.impute import arms, evaluate, f1_threshold
from opal.bridge.text.impute.evaluate import Fit, Rule
from opal.bridge.text.impute.f1_threshold import Parts
from opal.draws import as_key
from tests.bridge.text.impute import toy
from tests.bridge.text.impute.toy import TRIAL


def f1(p: np.ndarray, true: np.ndarray, weight: float, cut: float) -> float:
    said, counts = p > cut, np.where(true, weight, 1.0)
    return float(2 * counts[said & true].sum() / (counts[said].sum() + counts[true].sum()))


@pytest.mark.parametrize("weight", [1.0, 4.0])
def test_no_other_threshold_has_a_greater_f1(weight: float) -> None:
    """Probabilities of two digits, so that many are equal, against all cuts between them."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        true = rng.random(40) < 0.3
        p = np.round(np.clip(0.3 * true + rng.random(40) * 0.7, 0.01, 0.99), 2)
        cut = f1_threshold.best(p, true, weight)
        cuts = np.unique(p) - 0.005
        most = max(f1(p, true, weight, each) for each in cuts)
        assert f1(p, true, weight, cut) == pytest.approx(most)
        assert np.abs(p - cut).min() >= 0.005 - 1e-9  # in the middle, and on no text


def test_it_parts_two_texts_in_the_middle() -> None:
    p, true = np.array([0.9, 0.6, 0.2, 0.1]), np.array([True, True, False, False])
    assert f1_threshold.best(p, true) == pytest.approx(0.4)
    assert f1_threshold.best(p, ~true) == pytest.approx(0.05)  # all are said to be of the class


def test_a_text_of_the_class_may_count_for_others_too() -> None:
    """The second text of the class is worth four errors only if it counts for four."""
    p = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    true = np.array([True, False, False, False, True, False])
    assert f1_threshold.best(p, true) == pytest.approx(0.85)
    assert f1_threshold.best(p, true, 4.0) == pytest.approx(0.45)


def test_without_a_text_of_the_class_it_is_one_half() -> None:
    assert f1_threshold.best(np.array([0.1, 0.2]), np.array([False, False])) == 0.5
    assert f1_threshold.best(np.array([0.3, 0.3]), np.array([True, True])) == pytest.approx(0.15)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """12 texts of the class, 18 of others, and 60 synthetic ones of two seeds each."""
    original = text_table([f"text {i}" for i in range(30)], ["a"] * 12 + ["b"] * 18)
    rng, ids = np.random.default_rng(0), original["id"].to_numpy()
    seeds = [tuple(ids[rng.choice(12, 2, replace=False)]) for _ in range(60)]
    made = text_table([f"made {i}" for i in range(60)], ["a"] * 60, source="m", seeds=seeds)
    return pd.concat([original, made], ignore_index=True)


def test_parts_leave_out_what_was_made_of_held_out_texts(frame: pd.DataFrame) -> None:
    parts = Parts.of(frame, np.arange(2, 30), key=as_key(0))
    # Text 2 is trained on by another arm alone; two duplicates of text 5.
    rows = np.concatenate([np.arange(3, 30), [5, 5], np.arange(30, 90)])
    own = (frame["label"] == "a").to_numpy()[rows]
    weights = np.where(own, 2.0, 1.0)
    seen = []
    for kept, scaled, held_out in parts.splits(rows, weights, own):
        hidden = set(frame["id"].iloc[held_out])
        assert not hidden & set(frame["id"].iloc[kept])
        assert not hidden & {seed for seeds in frame["seeds"].iloc[kept] for seed in seeds}
        assert len(scaled) == len(kept) < len(rows)
        seen += held_out.tolist()
        # Synthetic texts keep their share of the class, although few of two seeds are left.
        real = own & (rows < 30)
        made, left = kept >= 30, np.isin(rows[real], kept).sum() / real.sum()
        assert made.sum() < 0.6 * 60
        assert scaled[made].sum() == pytest.approx(left * 2 * 60)
        assert set(scaled[~made]) == {1.0, 2.0}
    assert sorted(seen) == list(range(3, 30))


def test_no_fit_of_an_evaluation_sees_what_it_is_tested_on() -> None:
    """Neither the outer folds nor the inner parts, in which synthetic texts are not tested on."""
    checked: list[bool] = []

    def learner(said: object, n_classes: int) -> Fit:
        frame = everything[0]

        def fit(rows: np.ndarray, y: np.ndarray, weights: np.ndarray, seed: int) -> Rule:
            def rule(tested: np.ndarray) -> np.ndarray:
                original = tested[~made[tested]]
                hidden = set(frame["id"].iloc[original])
                assert not hidden & set(frame["id"].iloc[rows])
                assert not hidden & {s for seeds in frame["seeds"].iloc[rows] for s in seeds}
                checked.append(bool(made[rows].any()) and len(original) == len(tested))
                return np.tile(np.linspace(0.1, 0.9, n_classes), (len(tested), 1))

            return rule

        made = frame["seeds"].map(bool).to_numpy()
        return fit

    everything: list[pd.DataFrame] = []
    pools = arms.pools

    def keep(*args: Any) -> object:
        found = pools(*args)
        everything[:] = [found[1]]
        return found

    trial = replace(TRIAL, n_repeats=1, arms=("raw_threshold", "synthetic_threshold"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arms, "pools", keep)
        evaluate.evaluate(toy.task(), trial, learner)
    # Five folds, two numbers of originals, three parts of the filled arm.
    assert sum(checked) >= 5 * 2 * 3
    assert len(checked) == 5 * 2 * (1 + 3 + 1 + 3)
