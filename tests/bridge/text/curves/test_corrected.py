"""Texts whose writer's bias is subtracted: of a class that has texts enough to see it in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from opal.bridge.prompts.common import identity
from opal.bridge.text.corpus import text_table
from opal.bridge.text.curves import design, train
from opal.bridge.text.curves.design import CORRECTED, SplitData
from opal.bridge.text.curves.evaluate import CurveSettings, evaluate
from opal.bridge.text.curves.report import blocks, corrections
from opal.bridge.text.curves.train import Trainer, TunedWeights
from opal.bridge.text.embeddings import Known
from opal.bridge.text.published import grammar_corpus
from opal.bridge.text.reading import write_texts
from opal.cli import main
from opal.objective import Design
from opal.synthesis.resample import Duplication

COUNTS, ADDED, TESTED = (400, 40), 400, 4000
AXIS = np.full(4, 0.5)
BOTH, RARE_ALONE = (0.4, 0.4), (0.0, 0.4)


def rows(counts: tuple[int, int], angles: tuple[float, float], seed: int) -> np.ndarray:
    """Two Gaussian classes, each turned by an angle in a plane of unequal variances [n, 4]."""
    rng, found = np.random.default_rng(seed), []
    for sign, n, angle in zip((-1, 1), counts, angles, strict=True):
        x = rng.normal(size=(n, 4)) * np.sqrt([2, 0.5, 1, 1]) + sign * AXIS
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        x[:, :2] = x[:, :2] @ turn
        found.append(x)
    return np.vstack(found)


def toy(angles: tuple[float, float], seed: int) -> tuple[SplitData, Known]:
    """Features of base, added and test texts; who wrote the added ones turns what is written."""
    sizes = (COUNTS, (ADDED, ADDED), (TESTED, TESTED))
    parts = [
        rows(size, turned, 10 * seed + i)
        for i, (size, turned) in enumerate(zip(sizes, ((0, 0), angles, (0, 0)), strict=True))
    ]
    y = np.concatenate([np.repeat([0, 1], size) for size in sizes])
    ends = np.cumsum([len(part) for part in parts])
    base, added, test = np.split(np.arange(len(y)), ends[:2])
    frame = pd.DataFrame({"id": [str(i) for i in range(len(y))], "seeds": [()] * len(y)})
    turns = added[np.arange(2 * ADDED).reshape(2, ADDED).T.ravel()]
    names = ("common", "rare")
    data = SplitData(names, names, frame, y, y, base, {"writer": turns}, test, test - test[0])
    return data, Known(np.vstack(parts))


def risks(angles: tuple[float, float], n: int = 10) -> np.ndarray:
    """Balanced log loss at α = ½ without and with a correction [n, 2]."""
    found = []
    for seed in range(n):
        data, known = toy(angles, seed)
        trainer, added = Trainer(data, known, seed, 10.0), data.added["writer"]
        trained = [
            trainer.rule(CORRECTED, design.mixture(data, data.base, added, 0.5, correction))
            for correction in (0.0, 0.5)
        ]
        assert not any(each.rule.lost for each in trained)
        found.append([each.measured["balanced_risk"].value for each in trained])
    return np.array(found)


def z(differences: np.ndarray) -> float:
    return float(differences.mean() / (differences.std(ddof=1) / np.sqrt(len(differences))))


def test_a_bias_that_classes_share_is_removed_and_one_of_the_rare_class_is_not() -> None:
    shared, alone = (risks(angles) @ [-1, 1] for angles in (BOTH, RARE_ALONE))
    assert z(shared) < -4
    assert z(alone) > 0  # nothing to subtract: the noise of the yardstick is all that is added


def test_cross_validation_takes_a_correction_where_there_is_something_to_correct() -> None:
    chosen = []
    for angles in (BOTH, RARE_ALONE):
        data, known = toy(angles, 1)
        found = train.tune_weights(data, known, 1, n_folds=3, strength=10.0)["writer"]
        chosen.append(found.correction)
        assert found.corrected_ratio > 0
    assert chosen[0] > chosen[1]


def test_weights_are_those_of_a_corrected_design() -> None:
    data, _ = toy(BOTH, 0)
    added = data.added["writer"][:60]
    training = design.adding(CORRECTED, data, data.base, added, ratio=0.3, correction=0.4)
    alpha = 0.3 * 60 / (440 + 0.3 * 60)
    options = {"oversample": "none", "weighting": "group", "correction": 0.4}
    expected = Design(COUNTS, Duplication(), 30, alpha, **options).row_weights()  # type: ignore[arg-type]
    y, n = data.group[training.rows], len(data.base)
    np.testing.assert_allclose(training.weights[:n], expected.real[y[:n]], rtol=1e-12)
    np.testing.assert_allclose(training.weights[n:], expected.augmented[y[n:]], rtol=1e-12)
    assert (training.weights[n:] < 0).any() == (0.4 > 1 / 2)
    below = design.adding(CORRECTED, data, data.base, added, ratio=0.3, correction=0.6)
    np.testing.assert_array_equal(below.weights < 0, (y == 0) & (np.arange(len(y)) >= n))


def test_without_a_share_the_arm_is_the_uncorrected_one() -> None:
    data, known = toy(BOTH, 0)
    pair = [
        design.adding(arm, data, data.base, data.added["writer"], ratio=0.3)
        for arm in ("synthetic_alpha", CORRECTED)
    ]
    np.testing.assert_array_equal(pair[0].weights, pair[1].weights)
    trainer = Trainer(data, known, 0, 10.0)
    tuned = {"writer": TunedWeights(0.3, 0.3, 0.0)}
    found = {(each.arm, each.added): each for each in train.grown(trainer, tuned, (60, 400))}
    for size in (60, 400):
        plain, declined = (found[arm, size] for arm in ("synthetic_alpha", CORRECTED))
        np.testing.assert_array_equal(plain.rule.w, declined.rule.w)
        values = [{k: m.value for k, m in each.measured.items()} for each in (plain, declined)]
        assert values[0] == values[1]


def test_a_fit_without_a_minimum_is_given_up_and_told() -> None:
    """Two texts of the common class, far out, whose weight is below 0 by much."""
    data, known = toy(BOTH, 0)
    few = np.concatenate([data.base[:6], data.base[-2:]])
    x = known.x.copy()
    added = data.added["writer"][:4]
    x[added[data.y[added] == 0]] = 50.0
    given = SplitData(**{**vars(data), "base": few, "added": {"writer": added}})
    trainer = Trainer(given, Known(x), 0, 1e6)
    tuned = {"writer": TunedWeights(3.0, 3.0, 1.0)}
    found = {each.arm: each for each in train.grown(trainer, tuned, (4,))}
    assert found[CORRECTED].lost
    np.testing.assert_array_equal(found[CORRECTED].rule.w, found["synthetic_alpha"].rule.w)
    said = found[CORRECTED].described(given)
    assert (said["lost"], said["correction"]) == (True, 0.0)
    assert not found["synthetic_alpha"].described(given)["lost"]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    settings = CurveSettings("words", ("biased", "human"), sizes=(30, 60), strength=1.0)
    return pd.concat([evaluate(grammar_corpus(), seed, settings) for seed in range(2)])


def test_the_arm_is_of_models_alone_and_says_what_it_changes(frame: pd.DataFrame) -> None:
    mine = frame[frame["arm"] == CORRECTED]
    assert set(mine["synthesizer"]) == {"biased"}
    assert set(mine["added"]) == {30, 60}
    assert set(mine["correction"]) <= set(design.CORRECTIONS)
    (said,) = corrections(frame)
    last = frame[(frame["added"] == 60) & (frame["metric"] == "balanced_error")]
    last = last[(last["synthesizer"] == "biased") & (last["source"] == "data")]
    errors = last.groupby("arm")["value"].mean()
    change = errors[CORRECTED] - errors["synthetic_alpha"]
    assert (said["source"], said["added"], said["lost"]) == ("biased", 60, 0)
    assert said["change"]["estimate"] == pytest.approx(change)
    chosen = last.loc[last["arm"] == CORRECTED, "correction"]
    assert said["corrections"] == chosen.tolist()


def test_a_writer_of_the_rare_class_alone_has_no_such_arm_and_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = {
        label: [f"{label} text number {i} of {n}" for i in range(n)]
        for label, n in (("rare", 9), ("common", 30))
    }
    labels = ["rare"] * 9 + ["common"] * 30
    write_texts(text_table([*texts["rare"], *texts["common"]], labels), tmp_path / "mine.csv")
    held_out = text_table(["rare held out", "common kept apart"], ["rare", "common"])
    write_texts(held_out, tmp_path / "held_out.csv")
    for name, written in (("one", ["rare"]), ("two", ["rare", "common"])):
        seeds = [text for label in written for text in texts[label]]
        made = text_table(
            [f"{text} again" for text in seeds],
            [text.split()[0] for text in seeds],
            source=name,
            seeds=[(identity(text),) for text in seeds],
        )
        write_texts(made, tmp_path / f"{name}.jsonl")
    words = ["text", "evaluate", "--file", tmp_path / "mine.csv", "--sizes", 8, "--seeds", 2]
    words += ["--test", tmp_path / "held_out.csv", "--out", tmp_path / "out", "--train-on-all"]
    words += ["--synthetic", tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    assert main([*map(str, words), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    told = {row["source"]: row["corrections"] for row in found["corrections"]}
    assert told["one"] == []
    assert len(told["two"]) == 2
    own = {(arm["synthesizer"], arm["arm"]) for arm in found["arms"]}
    assert ("two", CORRECTED) in own
    assert ("one", CORRECTED) not in own
    said = str(blocks(found))
    assert f"one: no {CORRECTED}: none of its texts is of the largest class" in said
    assert f"two: {CORRECTED} " in said
