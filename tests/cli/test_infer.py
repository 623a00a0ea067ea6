"""``opal infer``: a table of labels in, coefficients and what they are worth out."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from opal.bridge.downstream import Regression
from opal.cli import main


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Texts of which people labelled a fifth, and a classifier all, a fifth of them wrongly."""
    rng = np.random.default_rng(0)
    n = 1000
    age = rng.normal(size=n)
    label = np.where(rng.uniform(size=n) < 1 / (1 + np.exp(-age)), "yes", "no")
    other = np.where(label == "yes", "no", "yes")
    said = np.where(rng.uniform(size=n) < 0.2, other, label)
    human = pd.Series(label).where(np.arange(n) < 200)
    turnout = 0.5 * (label == "yes") + rng.normal(size=n)
    path = tmp_path / "corpus.csv"
    columns = {"label": human, "said": said, "age": age, "turnout": turnout, "party": "red"}
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


WORDS = ("--human", "label", "--predicted", "said", "--positive", "yes")


def test_json_holds_all_methods_and_how_far_the_classifier_agrees(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["infer", str(corpus), *WORDS, "--covariates", "age", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], found["human"]) == (1000, 200)
    slopes = {c["method"]: c for c in found["coefficients"] if c["term"] == "age"}
    assert slopes["naive"]["estimate"] < 0.8 * slopes["prediction-powered"]["estimate"]
    assert 0 < slopes["prediction-powered"]["power"] < 1
    widths = {m: c["upper"] - c["lower"] for m, c in slopes.items()}
    assert widths["prediction-powered"] < widths["human labels"]
    assert [row["rows"] for row in found["agreement"]] != [0, 0]


def test_people_read_what_labels_are_worth_and_where_naive_ones_mislead(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["infer", str(corpus), *WORDS, "--covariates", "age"]) == 0
    said = capsys.readouterr().out
    assert "the 200 human labels are as precise as this many human labels alone: age " in said
    assert "rows that both have labelled: 1 is 'yes'" in said
    assert "log-odds, 95% intervals: 1,000 rows, 200 labelled by people" in said
    assert "Report the prediction-powered rows" in said
    arguments = ["--outcome", "turnout", "--model", "linear", "--covariates", "age"]
    assert main(["infer", str(corpus), *WORDS, *arguments]) == 0
    assert "alone: the label " in capsys.readouterr().out


def test_what_is_missing_is_said(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infer", str(corpus), *WORDS, "--covariates", "agee"]) == 2
    err = capsys.readouterr().err
    assert "the table has no column 'agee'" in err
    assert "--seed" not in err
    assert main(["infer", str(corpus), *WORDS, "--covariates", "party"]) == 2
    err = capsys.readouterr().err
    assert "'party' must hold numbers; it holds 'red'" in err
    assert "a category as columns of 0 and 1" in err
    assert main(["infer", str(corpus), *WORDS[:4]]) == 2
    assert "--positive" in capsys.readouterr().err


def test_what_has_no_solution_is_said_and_the_rest_is_there(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A classifier that says yes only of old people: its own labels are parted by age."""
    frame = pd.read_csv(corpus)
    said = np.where(frame["age"] > frame["age"].median(), "yes", "no")
    frame.assign(said=said).to_csv(corpus, index=False)
    assert main(["infer", str(corpus), *WORDS, "--covariates", "age"]) == 0
    out = capsys.readouterr().out
    assert "There are no naive rows, as their equations have no solution" in out
    assert "prediction-powered" in out
    assert main(["infer", str(corpus), *WORDS, "--covariates", "age", "--json"]) == 0
    methods = {row["method"] for row in json.loads(capsys.readouterr().out)["coefficients"]}
    assert "naive" not in methods
    assert "prediction-powered" in methods


def test_the_confidence_is_printed_as_given(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["infer", str(corpus), *WORDS, "--covariates", "age", "--level", "0.999"]) == 0
    assert "99.9% intervals" in capsys.readouterr().out


def test_rows_that_were_trained_on_are_left_out_where_they_are_named(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = pd.read_csv(corpus)
    learnt = whole.assign(trained_on=(np.arange(len(whole)) < 50).astype(int))
    learnt.to_csv(corpus, index=False)
    words = ["infer", str(corpus), *WORDS, "--covariates", "age"]
    assert main([*words, "--trained-on", "trained_on", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [found[name] for name in ("rows", "human", "trained_on")] == [950, 150, 50]
    whole[50:].to_csv(corpus, index=False)
    assert main([*words, "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert (found["coefficients"], alone["trained_on"]) == (alone["coefficients"], 0)
    learnt.to_csv(corpus, index=False)
    assert main([*words, "--trained-on", "trained_on"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "50 that were trained on are left out" in said
    assert "rows have 1" not in said
    assert main(words) == 0
    assert "50 rows have 1 in the column 'trained_on'" in capsys.readouterr().out
    learnt.assign(trained_on=learnt["trained_on"] == 1).to_csv(corpus, index=False)
    assert main([*words, "--trained-on", "trained_on", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found
    for values, message in ((2, "0 or 1"), (1, "is 1 in all"), ("no", "numbers")):
        learnt.assign(trained_on=values).to_csv(corpus, index=False)
        assert main([*words, "--trained-on", "trained_on"]) == 2
        assert message in capsys.readouterr().err
    assert main([*words, "--trained-on", "trainedon"]) == 2
    assert "trained_on" in capsys.readouterr().err


def test_rows_that_are_left_out_need_not_be_whole(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_csv(corpus).assign(trained_on=0)
    words = ["infer", str(corpus), *WORDS, "--covariates", "age", "--trained-on", "trained_on"]
    frame.loc[:9, ["trained_on", "age"]] = [1, np.nan]
    frame.to_csv(corpus, index=False)
    assert main(words) == 0
    frame.loc[20, "age"] = np.nan
    frame.to_csv(corpus, index=False)
    assert main(words) == 2
    assert "the first is data row 21" in capsys.readouterr().err


def test_labels_of_none_but_trained_rows_are_of_no_use(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_csv(corpus)
    frame.assign(trained_on=frame["label"].notna().astype(int)).to_csv(corpus, index=False)
    words = ["infer", str(corpus), *WORDS, "--covariates", "age", "--trained-on", "trained_on"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "all 200 that have a 'label' are trained on ('trained_on' is 1)" in said


def test_probabilities_beside_labels_that_are_numbers_need_no_positive(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_csv(corpus)
    positive = WORDS[WORDS.index("--positive") + 1]
    label = (frame["label"] == positive).astype(float).where(frame["label"].notna())
    said = np.where(frame["said"] == positive, 0.75, 0.25)
    frame.assign(label=label, said=said).to_csv(corpus, index=False)
    words = ["infer", str(corpus), "--human", "label", "--predicted", "said", "--covariates", "age"]
    assert main(words) == 0
    assert main([*words, "--positive", "1"]) == 2
    assert "with 0 and 1 where no positive (--positive) is named" in capsys.readouterr().err


def test_the_guide_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands and Python of docs/infer.md, but for its studies, on a corpus with its columns."""
    guide = (Path(__file__).parents[2] / "docs" / "infer.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```", guide, flags=re.DOTALL | re.MULTILINE)
    rng = np.random.default_rng(0)
    n = 600
    female, age = rng.integers(0, 2, n), rng.normal(40, 10, n).round(1)
    yes = rng.uniform(size=n) < 1 / (1 + np.exp(-female - (age - 40) / 10))
    words = np.where(rng.uniform(size=n) < 0.8, yes, ~yes)
    text = [f"{'good' if word else 'poor'} {i}" for i, word in enumerate(words)]
    label = pd.Series(np.where(yes, "yes", "no"))
    corpus = pd.DataFrame({"text": text, "label": label.where(np.arange(n) >= 400), "age": age})
    corpus = corpus.assign(female=female, turnout=yes + rng.normal(size=n))
    corpus["said"] = np.where(words, "yes", "no")
    corpus[100:].to_csv(tmp_path / "corpus.csv", index=False)
    corpus[:100].assign(label=label).to_csv(tmp_path / "mine.csv", index=False)
    monkeypatch.chdir(tmp_path)
    commands = [
        line
        for kind, block in blocks
        if kind == "sh"
        for line in block.splitlines()
        if line.startswith(("opal infer ", "opal text label "))
    ]
    assert [command.split()[1] for command in commands] == ["infer", "infer", "text", "infer"]
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0
    assert capsys.readouterr().out.count("500 rows, 200 labelled by people") == 3
    (code,) = [block for kind, block in blocks if kind == "python"]
    names: dict[str, object] = {}
    exec(compile(code, "infer.md", "exec"), names)
    assert isinstance(task := names["task"], Regression)
    assert task.terms == ("intercept", "age", "female")


def test_a_model_that_people_never_contradict_is_suspect(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its labels may be copies of theirs, and then say nothing of its errors elsewhere."""
    assert main(["infer", str(corpus), *WORDS, "--covariates", "age"]) == 0
    assert "agrees with people on all" not in capsys.readouterr().out
    frame = pd.read_csv(corpus)
    frame.assign(said=frame["label"].fillna(frame["said"])).to_csv(corpus, index=False)
    assert main(["infer", str(corpus), *WORDS, "--covariates", "age"]) == 0
    assert "The classifier agrees with people on all 200 rows" in capsys.readouterr().out


def test_labels_that_count_as_none_or_as_the_other_are_told(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_csv(corpus)
    words = ["infer", str(corpus), *WORDS, "--covariates", "age"]
    assert main([*words, "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["notes"] == []
    frame.loc[:9, "label"] = "unsure"
    frame.loc[10:14, "label"] = "None"
    frame.to_csv(corpus, index=False)
    assert main(words) == 0
    said = " ".join(capsys.readouterr().out.split())
    n = int((frame["label"] == "no").sum())
    assert f"0 is every other human label: 'no' ({n}), 'unsure' (10)." in said
    assert "5 cells of 'label' are 'None', and count as empty" in said
    assert "195 labelled by people" in said
    learnt = frame.assign(trained_on=(np.arange(len(frame)) < 15).astype(int))
    packed = corpus.with_name("corpus.csv.gz")
    for path, lines in ((corpus, learnt), (packed, frame)):
        lines.to_csv(path, index=False)
    words[1] = str(packed)
    assert main([*words, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["notes"]) == 2
    words[1] = str(corpus)
    assert main([*words, "--trained-on", "trained_on", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == []  # these rows are left out


def test_a_probability_of_the_other_label_is_suspect(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_csv(corpus)
    right = np.where(frame["said"] == "yes", 0.9, 0.1)
    words = ["infer", str(corpus), *WORDS, "--covariates", "age"]
    for chances, suspect in ((right, False), (1 - right, True)):
        frame.assign(said=chances).to_csv(corpus, index=False)
        assert main(words) == 0
        found = " ".join(capsys.readouterr().out.split())
        assert ("says 1 less often where people say 1" in found) is suspect


def test_a_code_for_no_label_is_no_label(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_csv(corpus)
    frame.assign(label=frame["label"].fillna("not asked")).to_csv(corpus, index=False)
    assert main(["infer", str(corpus), *WORDS, "--covariates", "age"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "all 1000 have a 'label' ('no', 'not asked', 'yes'). Where one of these" in said
