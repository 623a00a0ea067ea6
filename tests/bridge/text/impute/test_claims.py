"""Imputation: whether published claims hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from opal.bridge.text.encoders import TfIdf
from opal.bridge.text.impute import claims, evaluate, report, verdict
from opal.bridge.text.impute.task import Task
from tests.bridge.text.impute import toy
from tests.bridge.text.impute.toy import TRIAL


@pytest.fixture(scope="module")
def task() -> Task:
    return toy.task()


FREE = verdict.FREE


def claim(
    loss: tuple[float, float],
    gap: tuple[float, float],
    gains: Mapping[str, tuple[float, float]] | None = None,
    n_full: int = 200,
) -> dict[str, Any]:
    """The verdicts on intervals that are given; ``gains`` are over the free rules."""
    given = {"f1": (0.5, 0.6), "f1_minus_all_real_threshold": loss}
    given |= {f"f1_minus_{arm}": ends for arm, ends in (gains or {}).items()}
    own = [("synthetic_threshold", metric, ends) for metric, ends in given.items()]
    free = [(arm, "f1", (0.4, 0.5)) for arm in FREE] if gains else []
    rows = [
        (arm, metric, sum(ends) / 2, *ends, (ends[1] - ends[0]) / 4)
        for arm, metric, ends in [*own, *free, ("synthetic", "gap", gap)]
    ]
    columns = ["arm", "metric", "value", "lower", "upper", "std_error"]
    table = pd.DataFrame(rows, columns=columns).assign(
        synthesizer="m", setting="toy", tested="human", n_min=75
    )
    table = table.assign(n_full=n_full, n_oversampled=125, n_folds=10, n_replicates=30)
    found: dict[str, Any] = claims.claims(table).iloc[0].to_dict()
    return found


@pytest.mark.parametrize(
    ("loss", "gap", "words"),
    [
        ((-0.01, 0.03), (0.021, 0.039), ("holds", "agrees")),
        ((-0.10, -0.01), (0.05, 0.09), ("fails", "larger")),
        ((-0.10, 0.01), (-0.02, 0.01), ("open", "smaller")),
        ((-0.015, -0.005), (0.035, 0.30), ("holds", "open")),
        ((-0.015, 0.05), (0.01, 0.03), ("holds", "open")),
        ((-0.015, 0.05), (-0.30, 0.09), ("holds", "open")),
        ((np.nan, np.nan), (np.nan, np.nan), ("not judged", "not judged")),
    ],
)
def test_published_claims(
    loss: tuple[float, float], gap: tuple[float, float], words: tuple[str, str]
) -> None:
    found = claim(loss, gap)
    assert (found["full_sample"], found["gap_published"]) == words


def test_without_a_full_sample_nothing_is_judged() -> None:
    """Losing to a sample that is no full one says nothing; nor does matching it."""
    for loss in ((-0.01, 0.03), (-0.10, -0.05), (-0.10, 0.01)):
        assert claim(loss, (0.0, 0.1), n_full=199)["full_sample"] == "not judged"


GOOD, OPEN, BAD = (0.01, 0.05), (-0.02, 0.06), (-0.05, -0.01)


@pytest.mark.parametrize(
    ("gains", "says", "against"),
    [
        ((GOOD, GOOD, (0.02, 0.03), GOOD), "helps", "raw_threshold"),
        ((GOOD, GOOD, GOOD, OPEN), "open", "weighting_threshold"),
        ((OPEN, GOOD, GOOD, BAD), "harms", "weighting_threshold"),
        # Beyond the most probable class of both, but no better than what costs nothing.
        (((0.3, 0.4), (0.2, 0.3), (-0.03, 0.01), (-0.01, 0.02)), "open", "raw_threshold"),
    ],
)
def test_filling_helps_only_beyond_every_free_rule(
    gains: tuple[tuple[float, float], ...], says: str, against: str
) -> None:
    found = claim((-0.1, 0.1), (0.0, 0.1), dict(zip(FREE, gains, strict=True)))
    assert (found["verdict"], found["against"]) == (says, against)
    assert verdict.rule(against) in verdict.sentence(found)


def test_without_a_free_rule_nothing_is_judged() -> None:
    gains = dict.fromkeys(FREE[:-1], GOOD)
    found = claim((-0.1, 0.1), (0.0, 0.1), gains)
    assert found["verdict"] == "not judged"
    assert "it takes the arms synthetic_threshold, raw" in verdict.sentence(found)


def gain(value: float, std_error: float, repeats: int = 3, n_folds: int = 10) -> verdict.Gain:
    half = float(stats.t.ppf(0.975, repeats * n_folds - 1)) * std_error
    ends = value - half, value + half
    return verdict.Gain("raw", 0.5, value, *ends, std_error, repeats * n_folds, n_folds)


def test_as_much_as_would_decide_it_decides_it() -> None:
    """With that many repeats, or texts, the interval of the same estimate ends at 0 or beyond."""
    few = gain(0.03, 0.016)
    repeats, factor = few.decided_by()
    assert few.says == "open"
    assert repeats > 3
    assert np.isnan(factor)
    of_split = 0.016**2 / (1 / 30 + 1 / 9)
    ends = [
        stats.t.ppf(0.975, 10 * n - 1) * np.sqrt(of_split * (1 / (10 * n) + 1 / 9))
        for n in (repeats, repeats - 1)
    ]
    assert ends[0] < 0.03 <= ends[1]
    noisy = gain(0.01, 0.016)
    repeats, factor = noisy.decided_by()
    assert np.isnan(repeats)
    assert stats.t.ppf(0.975, 29) * 0.016 / np.sqrt(factor) == pytest.approx(0.01)
    assert np.isnan(gain(0.001, 0.016).decided_by()).all()  # 1,000 times as many
    assert np.isnan(gain(0.05, 0.016).decided_by()).all()  # it is decided


def test_intervals_end_where_their_metric_does() -> None:
    rows = [
        ("f1", 0.02, -0.02, 0.06), ("f1", 0.5, 0.48, 0.52), ("f1", 0.0, 0.0, 0.0),
        ("recall", 0.98, 0.9, 1.06), ("gap", -0.9, -1.2, -0.6), ("n_trained", 180.0, 179.0, 181.0),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["metric", "value", "lower", "upper"])
    found = claims.bounded(table)
    assert found.loc[[0, 3], ["lower", "upper"]].stack().between(0, 1, inclusive="neither").all()
    assert (found["lower"] <= found["value"]).all()
    assert found.loc[1, ["lower", "upper"]].tolist() == pytest.approx([0.48, 0.52], abs=1e-3)
    assert found.loc[4, ["lower", "upper"]].tolist() == [-1.0, -0.6]
    pd.testing.assert_frame_equal(found.loc[[2, 5]], table.loc[[2, 5]])


def test_a_class_of_few_texts_is_told_to_be_one(task: Task) -> None:
    """60 original texts, to be filled to 80: all_real has the 60."""
    arms = (*FREE, "synthetic", "synthetic_threshold", "all_real", "all_real_threshold")
    trial = replace(TRIAL, n_originals=(20,), fill_to=80, n_repeats=1, arms=arms)
    frame = evaluate.evaluate(task, trial, evaluate.linear(TfIdf(), 1.0))
    found = report.joined(task, [trial], [frame], source="simulation").result()
    (row,) = found["claims"]
    assert (row["full_sample"], row["n_full"], row["n_asked"]) == ("not judged", 60, 80)
    assert any("'bad' has 60 original texts, all_real has no more" in n for n in found["notes"])
    assert "not judged, for all_real has 60 of 80 texts" in report.claim(row)
    enough = replace(trial, fill_to=60)
    again = report.joined(task, [enough], [frame], source="simulation").result()
    assert again["claims"][0]["full_sample"] in {"open", "fails"}


def test_an_f1_that_needs_no_rule_is_told(task: Task) -> None:
    """40 texts of the class and 70 others: to say the class of all has F1 80/150."""
    trial = replace(TRIAL, fill_to=40)
    rows = [("raw", "human", "f1", 0.5), ("synthetic", "model", "f1_synthetic", 0.9)]
    table = pd.DataFrame(rows, columns=["arm", "tested", "metric", "value"])

    def told(best: float) -> list[str]:
        more = pd.DataFrame([("raw_threshold", "human", "f1", best)], columns=table.columns)
        notes = report._notes(pd.concat([table, more]), task, trial)
        return [note for note in notes if "of every text" in note]

    (note,) = told(0.55)
    assert "to say 'bad' of every text has F1 0.533 in this mix of classes" in note
    assert "no arm much more (0.550)" in note
    assert told(0.56) == []


def test_a_gap_and_an_f1_of_which_the_paper_warns_are_told() -> None:
    row = {"gap_threshold": 0.06, "f1_threshold": 0.55}
    gap, f1 = verdict.warnings(row)
    assert "the gap is +0.060, above 0.05" in gap
    assert "F1 is 0.550, below 0.6" in f1
    assert verdict.warnings({"gap_threshold": 0.04, "f1_threshold": 0.65}) == []
    assert verdict.warnings({"gap_threshold": np.nan, "f1_threshold": np.nan}) == []


def test_the_same_texts_are_not_a_difference_of_zero(task: Task) -> None:
    """Texts were made from five originals alone: drawn seeds are the fixed ones."""
    made = toy.written(np.random.default_rng(5), task.originals[:5], 30, 1)
    few = replace(task, synthetic={"model": made})
    trial = replace(
        TRIAL, n_originals=(20,), n_repeats=1, arms=("synthetic", "fixed_seeds", "drawn_seeds")
    )
    for each, same in ((few, True), (task, False)):
        frame = evaluate.evaluate(each, trial, evaluate.linear(TfIdf(), 1.0))
        (row,) = report.joined(each, [trial], [frame], source="data").claims().to_dict("records")
        assert row["same_texts"] is same
        said = report.claim(row)
        assert ("fixed_seeds and drawn_seeds have the same texts" in said) is same
        assert ("fixed_seeds minus drawn_seeds: f1" in said) is not same


def test_fixed_seeds_and_ssmba_are_compared_fold_by_fold(task: Task) -> None:
    near = toy.written(np.random.default_rng(5), task.originals, 250, 1).assign(source="ssmba")
    arms = ("synthetic", "fixed_seeds", "drawn_seeds", "ssmba")
    trial = replace(TRIAL, n_originals=(20,), n_repeats=1, arms=arms)
    frame = evaluate.evaluate(replace(task, ssmba=near), trial, evaluate.linear(TfIdf(), 1.0))
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
