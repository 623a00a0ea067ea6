"""What fine-tuning asks for is counted before it starts, and each of its folds is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal.bridge.text import classifiers, reading
from opal.bridge.text.classifiers import FineTuning
from opal.bridge.text.encoders import TfIdf
from opal.bridge.text.impute import evaluate
from opal.bridge.text.impute.workload import workload
from opal.cli import main
from tests.bridge.text.impute import toy

TRIAL = replace(
    toy.TRIAL, n_originals=(20,), n_folds=3, n_repeats=2, arms=("raw", "synthetic_threshold")
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return toy.narrow(tmp_path_factory.mktemp("model"))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Steps of each training that is asked for."""
    found: list[int] = []
    whole = classifiers.fine_tune

    def counted(*given: Any, **options: Any) -> classifiers.FineTuned:
        rule = whole(*given, **options)
        found.append(len(rule.losses))
        return rule

    monkeypatch.setattr(evaluate, "fine_tune", counted)
    return found


@pytest.mark.parametrize("most_steps", [0, 3])
def test_trainings_and_steps_are_counted(model: str, trained: list[int], most_steps: int) -> None:
    settings = FineTuning(model, epochs=2, batch=30, most_steps=most_steps, max_tokens=9)
    task = toy.task()
    found = workload(task, TRIAL, settings, n_folds=1)
    list(evaluate.repeated(task, TRIAL, evaluate.fine_tuned(settings), 0, fold=0))
    assert found.trainings == len(trained) >= 3
    assert found.steps == sum(trained) > 0
    six = workload(task, TRIAL, settings, n_folds=6)
    assert (six.trainings, six.steps) == (6 * found.trainings, 6 * found.steps)
    assert 0 < found.cut <= found.texts
    assert workload(task, TRIAL, replace(settings, max_tokens=500), n_folds=1).cut == 0
    assert found.seconds(task.others["text"].tolist()) > 0
    assert any("more than 9 tokens" in line for line in found.told(1.0))


def test_a_fold_does_not_know_of_the_others() -> None:
    task, learner = toy.task(), evaluate.linear(TfIdf())
    whole = list(evaluate.repeated(task, TRIAL, learner, 1))
    parts = [
        row for fold in (2, 0, 1) for row in evaluate.repeated(task, TRIAL, learner, 1, fold=fold)
    ]
    assert sorted(map(str, parts)) == sorted(map(str, whole))


def test_a_stopped_run_goes_on_at_the_next_fold(
    model: str,
    trained: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """``--classifier`` takes a folder; a fold whose records are gone is computed again, alone."""
    monkeypatch.chdir(tmp_path)
    task = toy.task()
    frame = pd.concat([task.originals[:20], task.others])
    frame[["text", "label"]].to_csv("mine.csv", index=False)
    reading.write_texts(task.synthetic["model"], Path("made.jsonl"))
    asked = ["text", "impute", "mine.csv", "--class", "bad", "--synthetic", "made.jsonl"]
    asked += ["--classifier", model, "--folds", "3", "--repeats", "1", "--fill-to", "30"]
    asked += ["--arms", "raw", "synthetic", "--json"]
    assert main(asked) == 0
    printed = capsys.readouterr()
    assert "6 trainings of" in printed.err
    assert len(trained) == 6
    cells = sorted((tmp_path / "results" / "impute" / "cells").glob("*.parquet"))
    assert len(cells) == 3
    cells[0].unlink()
    trained.clear()
    assert main(asked) == 0
    again = capsys.readouterr()
    assert "2 trainings of" in again.err
    assert len(trained) == 2
    first, second = json.loads(printed.out), json.loads(again.out)
    assert np.allclose(
        [row["f1"]["value"] for row in first["arms"]],
        [row["f1"]["value"] for row in second["arms"]],
    )
    trained.clear()
    assert main(asked) == 0
    assert not trained
    assert "trainings" not in capsys.readouterr().err
