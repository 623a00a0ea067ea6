"""Rows whose generator's bias is subtracted, as far as it is seen in the largest group."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from opal.bridge.tabular import arms, classifiers, datasets, sound, splits
from opal.bridge.tabular.arms import CORRECTED, TrainingRows
from opal.bridge.tabular.classifiers import SoundSettings
from opal.bridge.tabular.splits import SplitArrays, TableRows, load_features
from opal.cli import main
from opal.objective import Design
from opal.synthesis.resample import Duplication

COUNTS, MADE, TESTED = (500, 50), 500, 10_000
BOTH, RARE_ALONE = (0.4, 0.4), (0.0, 0.4)
LIGHT = SoundSettings(folds=3, draws=1)


def table(counts: tuple[int, int], angles: tuple[float, float], seed: int) -> pd.DataFrame:
    """Two Gaussian classes, each turned by an angle in a plane of unequal variances."""
    rng, parts = np.random.default_rng(seed), []
    for y, n, angle in zip((0, 1), counts, angles, strict=True):
        x = rng.normal(size=(n, 4)) * np.sqrt([2, 0.5, 1, 1]) + (2 * y - 1) * 0.5
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        x[:, :2] = x[:, :2] @ turn
        parts.append(pd.DataFrame(x, columns=list("abcd")).assign(y=y))
    return pd.concat(parts, ignore_index=True)


def toy(angles: tuple[float, float], seed: int) -> SplitArrays:
    """Few rows of class 1, and synthetic rows of both that a generator turns."""
    sizes, turned = (COUNTS, (TESTED, TESTED), (MADE, MADE)), ((0, 0), (0, 0), angles)
    tables = (
        table(size, each, 10 * seed + i)
        for i, (size, each) in enumerate(zip(sizes, turned, strict=True))
    )
    return SplitArrays.of(splits.load(datasets.from_tables(*tables), "imbalanced", "focus", 0))


def built(data: SplitArrays, correction: float, arm: str = CORRECTED) -> TrainingRows:
    everything = np.arange(len(data.train))
    return arms.build(arm, data, everything, np.random.default_rng(0), correction)


def risk(data: SplitArrays, correction: float) -> float:
    """Balanced log loss on test rows at one penalty."""
    training, y = built(data, correction), data.test.y
    (scores,) = classifiers.logistic_scores(training, len(data.train), [1.0])(data.test.x)
    loss = np.logaddexp(0, np.where(y == 1, -scores, scores))
    return float(np.mean([loss[y == label].mean() for label in (0, 1)]))


def z_of_the_change(angles: tuple[float, float], n: int = 8) -> float:
    """Change of the loss by a correction of 0.3, in standard errors over tables."""
    several = [toy(angles, seed) for seed in range(n)]
    changes = np.array([risk(data, 0.3) - risk(data, 0.0) for data in several])
    return float(changes.mean() / (changes.std(ddof=1) / np.sqrt(n)))


def test_a_bias_that_groups_share_is_removed_and_one_of_the_small_group_is_not() -> None:
    assert z_of_the_change(BOTH) < -4
    assert z_of_the_change(RARE_ALONE) > 1  # the yardstick's noise is all that is added


def test_cross_validation_takes_a_correction_where_there_is_something_to_correct() -> None:
    chosen = [
        classifiers.choose_weights(CORRECTED, toy(angles, 2), (2, 0, 0), LIGHT)[1]
        for angles in (BOTH, RARE_ALONE)
    ]
    assert chosen[0] > chosen[1] == 0.0


def test_weights_are_those_of_a_corrected_design() -> None:
    data = toy(BOTH, 0)
    training = built(data, 0.3)
    expected = Design(COUNTS, Duplication(), n_augmented=500, correction=0.3).row_weights()
    counts = [550, 450, 500]  # real rows, rows that fill up, and the yardstick
    kind, group = np.repeat([0, 1, 2], counts), training.rows.group
    weight = np.stack(expected)[kind, group]
    np.testing.assert_allclose(training.weight, weight / weight.mean(), rtol=1e-12)
    np.testing.assert_array_equal(training.weight < 0, kind == 2)
    assert training.weight.mean() == pytest.approx(1)
    assert training.n_added.tolist() == [500, 450]


def test_without_a_share_the_arm_is_the_uncorrected_one(monkeypatch: pytest.MonkeyPatch) -> None:
    data, key = toy(RARE_ALONE, 0), (0, 0, 0)
    monkeypatch.setattr(arms, "CORRECTIONS", (0.0,))
    found = [
        classifiers.probabilities("logistic", arm, data, key, LIGHT)
        for arm in ("synthetic_balanced", CORRECTED)
    ]
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1].weight, found[1][1].weight)


def test_negative_weights_are_no_rows_of_the_other_label() -> None:
    """The penalised objective is at a minimum: its gradient vanishes, and no step lowers it."""
    data = toy(BOTH, 0)
    training = built(data, 0.3)
    x, y, w = training.rows.x, training.rows.y, training.weight
    (theta,) = classifiers.ridge_path(x, y, w, [0.5])

    def objective(at: np.ndarray) -> float:
        s = np.where(y == 1, 1, -1) * (x @ at[1:] + at[0])
        return float(0.5 * w @ np.logaddexp(0, -s) + at[1:] @ at[1:] / 2)

    for step in 1e-3 * np.vstack([np.eye(5), -np.eye(5)]):
        assert objective(theta + step) > objective(theta)


def far_out(data: SplitArrays) -> SplitArrays:
    """A few rows, of which the synthetic ones of the largest group lie where none is."""
    few = data.train.take(np.r_[0:12, 500:503])
    made = data.synthetic.take(np.r_[0:12, 500:512])
    made = TableRows(np.where(made.y[:, None] == 0, 40 + made.x, made.x), made.y, made.group)
    return replace(data, train=few, synthetic=made, novel=np.ones(24, dtype=bool))


def test_a_fit_without_a_minimum_is_given_up_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    data, key = far_out(toy(BOTH, 0)), (0, 0, 0)
    scores = classifiers.logistic_scores(built(data, 1.0), 15, [1e4])
    assert np.isnan(scores(data.test.x)).all()
    plain, _ = classifiers.probabilities("logistic", "synthetic_balanced", data, key, LIGHT)
    monkeypatch.setattr(classifiers, "choose_weights", lambda *_: (1e4, 1.0))
    p, training = classifiers.probabilities("logistic", CORRECTED, data, key, LIGHT)
    assert (training.lost, training.correction) == (True, 0.0)
    np.testing.assert_array_equal(p, plain)


def test_a_fold_that_loses_its_minimum_does_not_choose_the_share() -> None:
    found = classifiers.choose_weights(CORRECTED, far_out(toy(BOTH, 0)), (0, 0, 0), LIGHT)
    assert np.isfinite(found).all()


def test_arms_and_reasons_as_a_user_sees_them(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tabular", "evaluate", "--folder", folder, "--tasks", "imbalanced", "--folds", 2]
    words += ["--draws", 1, "--trees", 5, "--out", tmp_path / "out"]
    given = [str(word) for word in (*words, "--classifiers", "logistic", "forest")]
    assert main([*given, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    logistic, forest = found["evaluations"]
    own = {arm["arm"]: arm for arm in logistic["arms"]}
    assert CORRECTED in own
    assert CORRECTED not in {arm["arm"] for arm in forest["arms"]}
    assert forest["correction"] is None
    assert len(logistic["correction"]["chosen"]) == 2
    assert set(logistic["correction"]["chosen"]) <= set(arms.CORRECTIONS)
    change = own[CORRECTED]["balanced_error"]["value"]
    change -= own["synthetic_balanced"]["balanced_error"]["value"]
    assert logistic["correction"]["value"] == pytest.approx(change)
    said = "for forest, some of its weights are negative, which trees do not take"
    assert found["left_out"]["toy/imbalanced"] == {CORRECTED: said}
    page = (tmp_path / "out/tabular.md").read_text()
    assert "cross-validation subtracts, by seed" in page
    assert said in page


def test_a_generator_of_the_small_group_alone_is_told(folder: Path) -> None:
    for path in (folder / "toy_see_small_raw40_imbalanced_focus").glob("train_generate*"):
        rows = pd.read_csv(path)
        rows[rows["y"] == 0].to_csv(path, index=False)
    reasons = sound.left_out(load_features(datasets.from_folder(folder), "imbalanced"))
    assert list(reasons) == [CORRECTED]
    assert reasons[CORRECTED].startswith("there are no synthetic rows of the largest group, y=1")
