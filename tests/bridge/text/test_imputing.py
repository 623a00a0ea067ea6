"""Imputation: what is measured in a fold, and how it is paired."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from opal.bridge.text.encoders import TfIdf
from opal.bridge.text.impute import imputation, imputing, learners, means
from opal.bridge.text.impute.filling import Training
from opal.bridge.text.impute.imputation import Task
from opal.draws import as_key
from tests.bridge.text import toy
from tests.bridge.text.toy import TRIAL


@pytest.fixture(scope="module")
def task() -> Task:
    return toy.task()


@pytest.fixture(scope="module")
def frame(task: Task) -> pd.DataFrame:
    return imputing.evaluate(task, TRIAL, learners.linear(TfIdf()))


@pytest.fixture(scope="module")
def table(task: Task, frame: pd.DataFrame) -> pd.DataFrame:
    return means.summarise(frame, task, TRIAL, source="simulation")


def test_f1_and_gap_are_those_of_the_confusion() -> None:
    """4 of class 1 held out, 3 found; 2 false; of 10 synthetic texts, all found."""
    y = np.array([1] * 4 + [0] * 6 + [1] * 10)
    guess = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0, *[1] * 10])
    training = Training("raw", "none", np.arange(3), np.ones(3), {"m": np.arange(10, 20)}, 2)

    def fit(
        rows: np.ndarray, y: np.ndarray, weights: np.ndarray, tested: np.ndarray, seed: int
    ) -> np.ndarray:
        return guess[tested]

    rows = list(imputing._result(training, np.arange(10), y, 1, fit, 0))
    found = {row["metric"]: row["value"] for row in rows}
    assert found["f1"] == pytest.approx(2 * 3 / (2 * 3 + 2 + 1))
    assert found["f1_synthetic"] == pytest.approx(2 * 4 / (2 * 4 + 2))
    assert found["gap"] == pytest.approx(found["f1_synthetic"] - found["f1"])


def test_arms_are_paired_on_the_same_folds(frame: pd.DataFrame) -> None:
    f1 = frame[frame["metric"] == "f1"]
    counts = f1.groupby(["n_original", "arm"]).size()
    assert (counts == 10).all()
    real = f1[f1["arm"] == "all_real"].pivot(
        index=["repeat", "fold"], columns="n_original", values="value"
    )
    assert (real[10] == real[20]).all()


def test_the_same_seed_gives_the_same_result(task: Task, frame: pd.DataFrame) -> None:
    few = replace(TRIAL, arms=("raw", "synthetic"), n_originals=(20,), n_repeats=1)
    again = imputing.evaluate(task, few, learners.linear(TfIdf()))
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


def test_keys_decide_the_data_set(task: Task) -> None:
    first, second = (imputation.draw(task, 40, key=as_key(k)) for k in (0, 1))
    assert first.n_category == second.n_category == 40
    assert set(first.frame["id"][:25]) == set(task.originals["id"])
    assert first.frame["id"].tolist() != second.frame["id"].tolist()
