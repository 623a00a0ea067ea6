from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from opal.bridge.tabular.scaling import learners
from opal.bridge.tabular.scaling.learners import HeldOutScores, Learner, TrainingTable
from opal.bridge.tabular.splits import TableRows

TRUE = np.array([1.5, -1.0, 0.0])


def table(n: int, seed: int) -> TrainingTable:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    y = (rng.random(n) < expit(x @ TRUE)).astype(int)
    return TrainingTable(TableRows(x, y, y), np.ones(n), y)


def test_calibration_mends_scores_that_say_too_much() -> None:
    rows = table(4000, 0)
    held_out = HeldOutScores(3 * (rows.rows.x @ TRUE) + 1, rows.rows.y, rows.judged)
    slope, intercept = held_out.calibration()
    assert slope == pytest.approx(1 / 3, abs=0.03)
    assert intercept == pytest.approx(-1 / 3, abs=0.1)
    mended = HeldOutScores(slope * held_out.scores + intercept, held_out.y, held_out.weight)
    assert mended.loss() < held_out.loss() - 0.1


@pytest.mark.parametrize("kind", learners.LEARNERS)
def test_a_tuned_learner_ranks_new_rows(kind: str) -> None:
    if kind == "boosting":
        pytest.importorskip("xgboost")
    training, new = table(300, 1), table(400, 2).rows
    learner = learners.tuned(kind, training, folds=2, seed=0)
    scores = learners.calibrated(learner, training, 2)(new.x)
    loss = np.logaddexp(0, np.where(new.y == 1, -scores, scores)).mean()
    best = np.logaddexp(0, -np.where(new.y == 1, 1, -1) * (new.x @ TRUE)).mean()
    assert best < loss < best + 0.12


def test_held_out_rows_are_not_trained_on() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 2, 120)
    x = np.eye(120)  # every row has a column of its own: a fit to it would know its label
    training = TrainingTable(TableRows(x, noise, noise), np.ones(120), noise)
    held_out = learners.hold_out(Learner("logistic", 1e3, 0), training, 4)
    fitted = Learner("logistic", 1e3, 0).fit(training)(x)
    assert ((fitted > 0) == noise).mean() == 1
    assert abs(((held_out.scores > 0) == noise).mean() - 0.5) < 0.2


def test_raw_rows_are_judged_as_they_are() -> None:
    group = np.repeat([0, 1], [90, 10])
    rows = TableRows(np.zeros((100, 1)), group, group)
    balanced = TrainingTable(rows, np.ones(100), group)
    assert balanced.judged[group == 0].sum() == pytest.approx(balanced.judged[group == 1].sum())
    plain = TrainingTable(rows, np.ones(100), group, balanced=False)
    assert set(plain.judged) == {1.0}
