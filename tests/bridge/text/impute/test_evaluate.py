"""Imputation: folds hold whole lineages; what is measured in one, and how it is paired."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from opal.bridge.prompts.common import identity
from opal.bridge.text.corpus import TextCorpus, leaks, text_table
from opal.bridge.text.encoders import TfIdf
from opal.bridge.text.impute import arms, claims, evaluate, report
from opal.bridge.text.impute.arms import ArmData
from opal.bridge.text.impute.evaluate import Trial
from opal.bridge.text.impute.measures import measures
from opal.bridge.text.impute.task import Task, draw
from opal.draws import as_key, named
from tests.bridge.text.impute import toy
from tests.bridge.text.impute.toy import TRIAL

KEY = as_key(0)


@pytest.fixture(scope="module")
def task() -> Task:
    return toy.task()


@pytest.fixture(scope="module")
def frame(task: Task) -> pd.DataFrame:
    return evaluate.evaluate(task, TRIAL, evaluate.linear(TfIdf(), 1.0))


@pytest.fixture(scope="module")
def table(task: Task, frame: pd.DataFrame) -> pd.DataFrame:
    return claims.summarise(frame, task, TRIAL, source="simulation")


def test_f1_and_gap_are_those_of_the_confusion() -> None:
    """4 of class 1 held out, 3 found; 2 false; of 10 synthetic texts, all found."""
    true = np.array([True] * 4 + [False] * 6)
    said = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0, *[1] * 10], dtype=bool)
    tests = {"m": np.arange(10, 20)}
    training = ArmData("raw", "none", np.arange(3), np.ones(3), tests, 2)
    rows = list(measures(training, said, true, tests))
    found = {row["metric"]: row["value"] for row in rows}
    assert found["f1"] == pytest.approx(2 * 3 / (2 * 3 + 2 + 1))
    assert found["f1_synthetic"] == pytest.approx(2 * 4 / (2 * 4 + 2))
    assert found["gap"] == pytest.approx(found["f1_synthetic"] - found["f1"])


def test_arms_are_paired_on_the_same_folds(frame: pd.DataFrame) -> None:
    f1 = frame[frame["metric"] == "f1"]
    counts = f1.groupby(["n_original", "arm"]).size()
    assert (counts == 10).all()
    for arm in ("all_real", "all_real_threshold"):
        real = f1[f1["arm"] == arm].pivot(
            index=["repeat", "fold"], columns="n_original", values="value"
        )
        assert (real[10] == real[20]).all()


def test_each_moved_threshold_stands_beside_its_rule(frame: pd.DataFrame) -> None:
    """The same rule with another threshold: it finds more of a class of few texts."""
    recall = frame[(frame["metric"] == "recall") & (frame["n_original"] == 10)]
    mean = recall.groupby("arm")["value"].mean()
    assert set(mean.index) == set(arms.ARMS) - {"ssmba"}
    assert mean["raw_threshold"] > mean["raw"] + 0.1
    cuts = frame[frame["metric"] == "threshold"]
    assert set(cuts["arm"]) == {f"{arm}_threshold" for arm in arms.MOVED}
    assert cuts["value"].between(0, 1, inclusive="neither").all()


def test_only_the_arms_that_are_asked_for_are_measured(task: Task) -> None:
    asked = ("raw_threshold", "weighting")
    trial = replace(TRIAL, arms=asked, n_originals=(20,), n_repeats=1)
    found = evaluate.evaluate(task, trial, evaluate.linear(TfIdf(), 1.0))
    assert set(found["arm"]) == set(asked)


def test_the_same_seed_gives_the_same_result(task: Task, frame: pd.DataFrame) -> None:
    few = replace(TRIAL, arms=("raw", "synthetic"), n_originals=(20,), n_repeats=1)
    again = evaluate.evaluate(task, few, evaluate.linear(TfIdf(), 1.0))
    on = ["repeat", "fold", "n_original", "arm", "synthesizer", "tested", "metric"]
    both = again.merge(frame, on=on, suffixes=("", "_before"))
    assert len(both) == len(again)
    assert (both["value"] == both["value_before"]).all()


def test_differences_are_paired(frame: pd.DataFrame, table: pd.DataFrame) -> None:
    f1 = frame[(frame["metric"] == "f1") & (frame["n_original"] == 20)]
    wide = f1.pivot(index=["repeat", "fold"], columns="arm", values="value")
    row = table[
        (table["metric"] == "f1_minus_all_real") & (table["arm"] == "raw") & (table["n_min"] == 20)
    ].iloc[0]
    each = wide["raw"] - wide["all_real"]
    assert row["value"] == pytest.approx(each.mean())
    assert row["std_error"] == pytest.approx(each.std() * np.sqrt(1 / 10 + 1 / 4))
    assert row["lower"] < row["value"] < row["upper"]


def test_one_class_and_few_texts_are_refused(task: Task) -> None:
    with pytest.raises(ValueError, match=re.escape("texts of other classes than 'bad'; there")):
        replace(task, others=task.others[:0]).check((10,), 40, 5)
    with pytest.raises(ValueError, match=re.escape("at least 5 different texts; 'bad' has 4.")):
        replace(task, originals=task.originals[:4]).check((4,), 40, 2)


def test_spare_texts_are_at_hand_where_more_are_asked_for_than_have_synthetic_ones(
    task: Task,
) -> None:
    trial = Trial((20, 35), fill_to=40, n_folds=5, n_repeats=1, arms=("raw", "synthetic"))
    found = evaluate.evaluate(task, trial, evaluate.linear(TfIdf(), 1.0))
    sizes = found[found["metric"] == "n_trained"].groupby(["arm", "n_original"])["value"].mean()
    # A fifth is held out of 20 and of 35 originals, and of the 40 that both are filled to.
    assert sizes["raw"].tolist() == pytest.approx([16, 28])
    assert sizes["synthetic"].tolist() == pytest.approx([32, 32])
    drawn, n = draw(task, 40, key=trial.key(task.name, 0))
    assert n == 40
    assert set(drawn["id"][:25]) == set(task.originals["id"])
    assert set(drawn["id"][25:40]) < set(task.spare["id"])
    (note,) = [said for said in report._notes(found.head(0), task, trial) if "at hand" in said]
    assert note == "35 originals at hand: synthetic texts were made from 25 of them"
    with pytest.raises(ValueError, match="n_original must be 5 to 60, the original texts of 'bad'"):
        task.check((61,), 80, 5)


def test_the_class_that_is_filled_is_a_small_one(task: Task) -> None:
    base = pd.concat([task.originals, task.others])
    none = base[:0]
    corpus = TextCorpus("toy", ("bad", "good", "rest"), base, none, none, dict(task.synthetic))
    assert report.task_of(corpus, None).category == "bad"  # of 25; none but the largest has 50
    more = text_table([f"good {i}" for i in range(60)], ["good"] * 60)
    larger = text_table([f"rest {i}" for i in range(90)], ["rest"] * 90)
    corpus = replace(corpus, base=pd.concat([task.originals, more, larger]))
    assert report.task_of(corpus, None).category == "good"


def test_keys_decide_the_data_set(task: Task) -> None:
    (first, n), (second, other) = (draw(task, 40, key=as_key(k)) for k in (0, 1))
    assert n == other == 40
    assert set(first["id"][:25]) == set(task.originals["id"])
    assert first["id"].tolist() != second["id"].tolist()


@pytest.fixture
def originals() -> pd.DataFrame:
    """Two classes, 40 and 23 texts, of which two are equal."""
    said = [f"text {i}" for i in range(62)] + ["text 5"]
    return text_table(said, ["a"] * 40 + ["b"] * 22 + ["a"])


def made(*rows: tuple[str, tuple[str, ...]]) -> pd.DataFrame:
    """Synthetic texts with the texts they were made from."""
    said, seeds = zip(*rows, strict=True)
    return text_table(
        said,
        ["a"] * len(said),
        source="model",
        seeds=[[identity(each) for each in some] for some in seeds],
    )


def test_each_class_is_spread_evenly(originals: pd.DataFrame) -> None:
    fold = evaluate.split(originals, 10, key=KEY)
    counts = pd.crosstab(originals["label"], fold)
    assert counts.shape == (2, 10)
    assert (counts.max(axis=1) - counts.min(axis=1) <= 1).all()
    assert counts.sum().max() - counts.sum().min() <= 2


def test_equal_texts_share_a_fold(originals: pd.DataFrame) -> None:
    for repeat in range(20):
        fold = evaluate.split(originals, 10, key=named(KEY, f"repeat {repeat}"))
        assert fold[5] == fold[-1]


def test_repeats_differ_and_keys_decide(originals: pd.DataFrame) -> None:
    first = evaluate.split(originals, 10, key=KEY)
    assert np.array_equal(first, evaluate.split(originals, 10, key=KEY))
    assert not np.array_equal(first, evaluate.split(originals, 10, key=named(KEY, "again")))


def test_what_one_text_was_made_from_can_be_kept_together(originals: pd.DataFrame) -> None:
    ids = originals["id"]
    fold = evaluate.split(originals, 10, key=KEY, together=[ids[[0, 9, 30]], ids[[30, 50]]])
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
    held_out = [identity("text 1")]
    assert (~leaks(synthetic, held_out)).tolist() == [False, True, *[False] * 4]


def test_tested_are_those_with_a_seed_held_out_that_were_not_trained_on() -> None:
    synthetic = made(
        ("one", ("text 1",)), ("two", ("text 2",)), ("both", ("text 1", "text 2")),
        ("seen", ("text 1",)),
    )  # fmt: skip
    held_out, trained = [identity("text 1")], [identity("seen")]
    assert arms.testable(synthetic, held_out, trained).tolist() == [True, False, True, False]


def test_trained_and_tested_never_meet(originals: pd.DataFrame) -> None:
    rng = np.random.default_rng(0)
    rows = [
        (f"made {i % 150}", tuple(rng.choice(originals["text"][:40], size=rng.integers(1, 4))))
        for i in range(200)
    ]
    synthetic = made(*rows)
    fold = evaluate.split(originals, 5, key=KEY)
    for k in range(5):
        held_out = set(originals["id"][fold == k])
        train = synthetic[~leaks(synthetic, held_out)]
        test = synthetic[arms.testable(synthetic, held_out, train["id"])]
        assert len(train)
        assert len(test)
        assert not set(train["id"]) & set(test["id"])
        assert not held_out & {seed for seeds in train["seeds"] for seed in seeds}
        assert all(held_out & set(seeds) for seeds in test["seeds"])


@pytest.mark.parametrize("n_folds", [1, 63])
def test_the_number_of_folds(originals: pd.DataFrame, n_folds: int) -> None:
    message = f"at most the number of different texts, 62; got {n_folds}."
    with pytest.raises(ValueError, match=re.escape(message)):
        evaluate.split(originals, n_folds, key=KEY)


def test_folds_are_of_originals(originals: pd.DataFrame) -> None:
    frame = pd.concat([originals, made(("new", ("text 1",)))], ignore_index=True)
    with pytest.raises(ValueError, match=r"1 of 64 were made from others\. Leave them out"):
        evaluate.split(frame, 5, key=KEY)
