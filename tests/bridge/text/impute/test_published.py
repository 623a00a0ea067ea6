"""The protocol of arXiv 2504.15160: folds that know no lineage."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from opal.bridge.text import classifiers, reading
from opal.bridge.text.classifiers import FineTuning
from opal.bridge.text.commands.impute import Impute
from opal.bridge.text.encoders import TfIdf
from opal.bridge.text.impute import arms, evaluate, picture, published, sources
from opal.bridge.text.impute.evaluate import Trial
from opal.bridge.text.impute.measures import f1_mixed
from opal.bridge.text.impute.published import ArmTexts
from opal.bridge.text.impute.task import draw
from opal.cli import main
from opal.names import UnknownNameError
from tests.bridge.text.impute import toy

TRIAL = Trial((10, 20), 40, 5, 2, arms=published.ARMS, protocol="published")
FILLED = ("synthetic",)


@pytest.fixture(scope="module")
def texts() -> tuple[list[ArmTexts], pd.DataFrame]:
    """The arms of a data set, and all its texts."""
    task, key = toy.task(), TRIAL.key("toy", 0)
    drawn, n_category = draw(task, TRIAL.fill_to, key=key)
    pools, frame = arms.pools(task, drawn, TRIAL.n_originals, TRIAL.n_folds, key)
    whole = published.arm_texts(
        pools, TRIAL.arms, n_texts=len(drawn), n_category=n_category, fill_to=TRIAL.fill_to
    )
    return list(whole), frame


def test_each_arm_is_filled_as_it_says(texts: tuple[list[ArmTexts], pd.DataFrame]) -> None:
    found, frame = texts
    counts = {(each.arm, each.cases): (len(each.real) - 70, len(each.made)) for each in found}
    assert counts == {
        ("raw", (10,)): (10, 0),
        ("raw", (20,)): (20, 0),
        ("synthetic", (10,)): (10, 30),
        ("synthetic", (20,)): (20, 20),
        ("all_real", (10, 20)): (40, 0),
    }
    for each in found:
        assert (frame["label"].to_numpy()[each.real[70:]] == "bad").all()
        assert all(frame["seeds"].iloc[row] for row in each.made)


def test_all_texts_are_shuffled_and_each_is_held_out_once(
    texts: tuple[list[ArmTexts], pd.DataFrame],
) -> None:
    found, frame = texts
    ids = frame["id"].to_numpy()
    for each in found:
        everything = np.sort(np.concatenate([each.real, each.made]))
        held_out, from_trained = [], []
        for training, originals in each.folds(5, TRIAL.key("toy", 0)):
            tested = training.tests.get(each.writer, np.array([], dtype=int))
            rows = np.concatenate([originals, tested])
            np.testing.assert_array_equal(np.sort([*rows, *training.rows]), everything)
            assert training.n_category == (frame["label"].iloc[training.rows] == "bad").sum()
            assert set(frame["label"].iloc[training.rows[-training.n_category :]]) == {"bad"}
            trained = set(ids[training.rows])
            from_trained += [trained.issuperset(frame["seeds"].iloc[row]) for row in tested]
            held_out.append(rows)
        assert max(map(len, held_out)) - min(map(len, held_out)) <= 1
        np.testing.assert_array_equal(np.sort(np.concatenate(held_out)), everything)
        if len(each.made):
            assert (
                np.mean(from_trained) > 0.5
            )  # rules have seen the seeds of what they are tried on


def _by_heart(said: Sequence[str], n_classes: int) -> evaluate.Fit:
    """A rule that knows a text by the mark of its seed, and nothing else."""
    marks = [frozenset(re.findall(r"\bb\d+\b", text)) for text in said]

    def fit(rows: np.ndarray, y: np.ndarray, weights: np.ndarray, seed: int) -> evaluate.Rule:
        known = frozenset().union(*(marks[row] for row in rows))
        return lambda tested: np.eye(n_classes)[[int(not marks[row] & known) for row in tested]]

    return fit


def test_folds_without_lineage_look_too_good() -> None:
    task, means = toy.task(), {}
    for trial in (replace(TRIAL, arms=FILLED), replace(toy.TRIAL, arms=FILLED)):
        found = evaluate.evaluate(task, trial, _by_heart)
        means[trial.protocol] = found.groupby("metric")["value"].mean()
    assert means["sound"]["f1"] == means["sound"]["f1_synthetic"] == 0
    assert means["published"]["f1_synthetic"] > 0.6
    assert means["published"]["f1_mixed"] > 0.6


def test_f1_of_both_kinds_together() -> None:
    said, true = np.random.default_rng(0).integers(2, size=(2, 40)).astype(bool)
    assert f1_mixed(said, true)["value"] == pytest.approx(f1_score(true, said))


def test_texts_are_asked_for_as_they_are_needed_and_arms_are_known() -> None:
    assert sources.quota(TRIAL, 10, fixed=False) == 30
    assert sources.quota(replace(toy.TRIAL), 20, fixed=False) > 20
    with pytest.raises(UnknownNameError, match="unknown arm 'weighting'"):
        replace(TRIAL, arms=("weighting",))
    with pytest.raises(UnknownNameError, match="unknown protocol 'pubished'"):
        replace(TRIAL, protocol="pubished")


def test_the_temperature_is_that_of_the_paper() -> None:
    for given in (None, 0.7):
        asking = Impute(protocol="published", model="gpt", temperature=given)
        assert asking.settings().temperature == 0.7
    assert Impute(model="gpt").settings().temperature is None
    preset = classifiers.PRESETS["published"]
    assert (preset.batch, preset.max_tokens, preset.learning_rate) == (32, 75, 3e-5)
    assert (preset.epochs, preset.stop_f1) == (4, 0.85)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--encoder", "tfidf"), "--protocol published fixes --encoder; got tfidf"),
        (("--classifier", "minilm"), "fixes --classifier; got minilm"),
        (("--temperature", "1"), "fixes --temperature; got 1.0"),
        (("--fixed-seeds",), "fixes --fixed-seeds; got True"),
    ],
)
def test_what_the_protocol_fixes_is_refused(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["text", "impute", "--protocol", "published", *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def _linear(settings: FineTuning) -> evaluate.Learner:
    """In place of fine-tuning."""
    assert settings is classifiers.PRESETS["published"]
    return evaluate.linear(TfIdf())


@pytest.mark.parametrize("tuned", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_page_says_the_protocol(
    tuned: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    preset = classifiers.PRESETS["published"]
    small = replace(preset, model=toy.narrow(tmp_path / "model"), learning_rate=1e-2)
    monkeypatch.setitem(classifiers.PRESETS, "published", small)
    if not tuned:
        monkeypatch.setattr(evaluate, "fine_tuned", _linear)
    task = toy.task()
    frame = pd.concat([task.originals[:20], task.others])
    frame[["text", "label"]].to_csv("mine.csv", index=False)
    reading.write_texts(task.synthetic["model"], Path("made.jsonl"))
    asked = ["text", "impute", "mine.csv", "--class", "bad", "--synthetic", "made.jsonl"]
    asked += ["--protocol", "published", "--folds", "3", "--repeats", "1", "--fill-to", "30"]
    assert main([*asked, "--n-original", "15", "--json"]) == 0
    printed = capsys.readouterr()
    # Two arms and real texts, in three folds each; 4 epochs of batches of 32.
    assert "9 trainings of" in printed.err
    assert "(h:mm:ss) on cpu" in printed.err
    found = json.loads(printed.out)
    assert found["protocol"] == "published"
    by_arm = {row["arm"]: row for row in found["arms"]}
    assert set(by_arm) == {"raw", "synthetic", "all_real"}
    assert {"f1", "f1_mixed", "gap", "f1_mixed_minus_all_real"} <= set(by_arm["synthetic"])
    assert by_arm["synthetic"]["n_trained"]["value"] == pytest.approx(20, abs=1)
    assert any(note == published.NOTE for note in found["notes"])
    page = Path("results/impute/imputation.md").read_text(encoding="utf-8")
    for said in ("F1 mixed", "folds know no lineage", "Ask --protocol sound"):
        assert said in page
    records = pd.read_parquet("results/impute/imputation.parquet")
    left, right = picture.draw(records).axes
    assert left.get_xlabel() == "F1 on all held-out texts"
    assert len(left.containers) == 1
    assert right.get_xlabel() == "minus all real"
    assert len(right.containers) == 1
