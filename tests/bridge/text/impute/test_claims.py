"""Imputation: whether published claims hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal.bridge.text.encoders import TfIdf
from opal.bridge.text.impute import claims, evaluate, report
from opal.bridge.text.impute.task import Task
from tests.bridge.text.impute import toy
from tests.bridge.text.impute.toy import TRIAL


@pytest.fixture(scope="module")
def task() -> Task:
    return toy.task()


def claim(
    loss: tuple[float, float], gap: tuple[float, float], task: Task, n_full: int = 200
) -> Mapping[str, Any]:
    """The verdicts on intervals that are given."""
    rows = [
        {"metric": metric, "value": sum(ends) / 2, "lower": ends[0], "upper": ends[1]}
        for metric, ends in (("f1", (0.5, 0.6)), ("f1_minus_all_real", loss), ("gap", gap))
    ]
    table = pd.DataFrame(rows).assign(
        setting=task.name, arm="synthetic", synthesizer="m", tested="human", n_min=75
    )
    table = table.assign(n_full=n_full, n_oversampled=125)
    return claims.claims(table).iloc[0].to_dict()


@pytest.mark.parametrize(
    ("loss", "gap", "words"),
    [
        ((-0.01, 0.03), (0.01, 0.03), ("holds", "agrees")),
        ((-0.10, -0.01), (0.05, 0.09), ("fails", "larger")),
        ((-0.10, 0.01), (-0.02, 0.01), ("open", "smaller")),
        ((-0.015, -0.005), (0.035, 0.30), ("holds", "agrees")),
        ((-0.015, 0.05), (-0.30, 0.09), ("holds", "open")),
        ((np.nan, np.nan), (np.nan, np.nan), ("unknown", "unknown")),
    ],
)
def test_verdicts(
    loss: tuple[float, float], gap: tuple[float, float], words: tuple[str, str], task: Task
) -> None:
    found = claim(loss, gap, task)
    assert (found["full_sample"], found["gap_published"]) == words


def test_without_a_full_sample_nothing_is_judged(task: Task) -> None:
    """Losing to a sample that is no full one says nothing; nor does matching it."""
    for loss in ((-0.01, 0.03), (-0.10, -0.05), (-0.10, 0.01)):
        assert claim(loss, (0.0, 0.1), task, 199)["full_sample"] == claims.NOT_JUDGED
    assert claim((np.nan, np.nan), (0.0, 0.1), task, 199)["full_sample"] == "unknown"


def test_a_class_of_few_texts_is_told_to_be_one(task: Task) -> None:
    """60 original texts, to be filled to 80: all_real has the 60."""
    trial = replace(TRIAL, n_originals=(20,), fill_to=80, n_repeats=1)
    frame = evaluate.evaluate(task, trial, evaluate.linear(TfIdf()))
    table = claims.summarise(frame, task, trial, source="simulation")
    found = report.Imputation(table, task, trial).result()
    (row,) = found["claims"]
    assert (row["full_sample"], row["n_full"], row["n_asked"]) == ("not judged", 60, 80)
    assert any("'bad' has 60 original texts, all_real has no more" in n for n in found["notes"])
    assert "not judged, for all_real has 60 of 80 texts" in report.claim(row)
    enough = replace(trial, fill_to=60)
    table = claims.summarise(frame, task, enough, source="simulation")
    assert report.Imputation(table, task, enough).result()["claims"][0]["full_sample"] in {
        "open",
        "fails",
    }


def test_fixed_seeds_and_ssmba_are_compared_fold_by_fold(task: Task) -> None:
    near = toy.written(np.random.default_rng(5), task.originals, 250, 1).assign(source="ssmba")
    trial = replace(TRIAL, n_originals=(20,), n_repeats=1)
    frame = evaluate.evaluate(replace(task, ssmba=near), trial, evaluate.linear(TfIdf()))
    (row,) = claims.claims(claims.summarise(frame, task, trial, source="simulation")).to_dict(
        "records"
    )
    for metric in ("f1", "gap"):
        wide = frame[frame["metric"] == metric].pivot_table(
            index="fold", columns="arm", values="value", dropna=False
        )
        for arm, reference in (("synthetic", "ssmba"), ("fixed_seeds", "drawn_seeds")):
            name = f"{arm}_{metric}_minus_{reference}"
            assert row[name] == pytest.approx((wide[arm] - wide[reference]).mean())
            assert row[f"{name}_lower"] < row[name] < row[f"{name}_upper"]
