"""The command ``opal text impute``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal.bridge.text import reading
from opal.bridge.text.commands.impute import Impute
from opal.bridge.text.impute import evaluate, repeats
from opal.bridge.text.impute.evaluate import Learner, Trial
from opal.bridge.text.impute.task import Task, of_frame
from opal.cli import main
from tests.bridge.text.impute import toy
from tests.bridge.text.impute.toy import BAD, said, written


@pytest.fixture(scope="module")
def task() -> Task:
    return toy.task()


@pytest.fixture(autouse=True)
def _folder_of_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def mine(tmp_path: Path, task: Task) -> Path:
    """A file of one's own: 20 texts of the class bad, 40 and 30 of others."""
    frame = pd.concat([task.originals[:20], task.others])
    path = tmp_path / "mine.csv"
    frame[["text", "label"]].to_csv(path, index=False)
    return path


FEW = ("--fill-to", "40", "--folds", "4", "--repeats", "1", "--encoder", "tfidf")


def test_a_file_with_synthetic_texts(
    mine: Path, task: Task, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = written(np.random.default_rng(1), task.originals[:20], 150, 5)
    reading.write_texts(made, tmp_path / "made.jsonl")
    asked = {"raw", "weighting", "duplication", "synthetic"}
    words = ["text", "impute", str(mine), "--class", "bad", *FEW, "--json"]
    words += ["--arms", *sorted(asked), "all_real"]
    assert main([*words, "--synthetic", str(tmp_path / "made.jsonl")]) == 0
    found = json.loads(capsys.readouterr().out)
    arms = {row["arm"] for row in found["arms"]}
    assert arms == asked
    assert any("no full sample" in note for note in found["notes"])
    assert found["claims"][0]["full_sample"] == "not judged"


def test_synthetic_texts_without_seeds_are_refused_whatever_columns_are_called(
    tmp_path: Path, task: Task, capsys: pytest.CaptureFixture[str]
) -> None:
    rename = {"text": "said", "label": "mood"}
    made = written(np.random.default_rng(1), task.originals[:20], 40, 5)
    for name, each in (("own", pd.concat([task.originals, task.others])), ("made", made)):
        each[["text", "label"]].rename(columns=rename).to_csv(tmp_path / f"{name}.csv", index=False)
    words = ["text", "impute", str(tmp_path / "own.csv"), "--class", "bad", *FEW]
    words += ["--text-column", "said", "--label-column", "mood"]
    assert main([*words, "--synthetic", str(tmp_path / "made.csv")]) == 2
    said = capsys.readouterr().err
    assert "none of 40 in" in said
    assert "with --seed-column" in said


def test_who_wrote_a_text_is_not_guessed(
    mine: Path, task: Task, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A text of a model is no original, be it in the file or be the file named twice."""
    made = written(np.random.default_rng(1), task.originals[:20], 30, 5)
    reading.write_texts(made, tmp_path / "made.jsonl")
    own = pd.read_csv(mine)
    words = ["text", "impute", str(mine), "--class", "bad", *FEW]
    several = [*words, "--synthetic", str(tmp_path / "made.jsonl")]
    own.assign(source=["gpt-4", *["human"] * (len(own) - 1)]).to_csv(mine, index=False)
    for refused in (words, several):
        assert main(refused) == 2
        assert "column 'source' that calls some texts 'human'" in capsys.readouterr().err
    own.assign(source="sms").to_csv(mine, index=False)
    assert main([*several, "--source-column", "source"]) == 2
    assert "has those of 'sms' alone" in " ".join(capsys.readouterr().err.split())
    assert main([*words, "--synthetic", str(mine)]) == 2
    assert "is named 2 times" in capsys.readouterr().err
    own.assign(source="human").to_csv(mine, index=False)
    pd.DataFrame({"text": made["text"], "label": "bad", "source": "human"}).to_csv("by.csv")
    assert main([*words, "--synthetic", "by.csv", "--source-column", "source"]) == 2
    assert "by.csv calls some of them 'human'" in " ".join(capsys.readouterr().err.split())


def test_seeds_are_texts_of_the_file(
    mine: Path, task: Task, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = written(np.random.default_rng(1), task.originals[:20], 150, 1)
    texts = dict(zip(task.originals["id"], task.originals["text"], strict=True))
    rows = pd.DataFrame({"text": made["text"], "label": "bad"})
    words = ["text", "impute", str(mine), "--class", "bad", *FEW, "--arms", "raw", "synthetic"]
    words += ["--synthetic", str(tmp_path / "made.csv"), "--seed-column", "from", "--json"]
    rows.assign(**{"from": "gpt-4"}).to_csv(tmp_path / "made.csv", index=False)
    assert main(words) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "must have seeds among the originals of 'bad'; of 150 none has" in said
    known = [texts[seeds[0]] if i < 110 else "gpt-4" for i, seeds in enumerate(made["seeds"])]
    rows.assign(**{"from": known}).to_csv(tmp_path / "made.csv", index=False)
    assert main(words) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert any("40 of 150 synthetic texts were made from texts that are not" in n for n in notes)


def test_one_file_may_hold_originals_and_written_texts(
    task: Task, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Then it says who wrote them and from what; texts of another class's are not used."""
    made = written(np.random.default_rng(1), task.originals[:20], 150, 1)
    texts = dict(zip(task.originals["id"], task.originals["text"], strict=True))
    frame = pd.concat([task.originals[:20], task.others])[["text", "label"]].assign(by="human")
    rows = pd.DataFrame({"text": made["text"], "label": "bad", "by": "gpt"})
    seeds = [texts[each[0]] for each in made["seeds"]]
    path, foreign = tmp_path / "mixed.csv", task.others["text"].iloc[0]
    words = ["text", "impute", str(path), "--class", "bad", *FEW, "--arms", "raw", "synthetic"]
    words += ["--source-column", "by", "--seed-column", "from", "--json"]
    pd.concat([frame, rows.assign(**{"from": seeds})]).to_csv(path, index=False)
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["arm"] for row in found["arms"]} == {"raw", "synthetic"}
    assert found["notes"][0] == (
        "mixed.csv: text in 'text', label in 'label', seed in 'from', source in 'by'"
    )
    assert not any("left out" in note for note in found["notes"])
    pd.concat([frame, rows.assign(**{"from": foreign})]).to_csv(path, index=False)
    assert main(words) == 2
    assert "seeds among the originals of 'bad'" in " ".join(capsys.readouterr().err.split())


def test_written_texts_without_seeds_are_left_out_and_told(
    mine: Path, task: Task, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = written(np.random.default_rng(1), task.originals[:20], 150, 1)
    texts = dict(zip(task.originals["id"], task.originals["text"], strict=True))
    known = [texts[seeds[0]] if i < 110 else "" for i, seeds in enumerate(made["seeds"])]
    rows = pd.DataFrame({"text": made["text"], "label": "bad", "made_from": known})
    rows.to_csv(tmp_path / "made.csv", index=False)
    words = ["text", "impute", str(mine), "--class", "bad", *FEW, "--arms", "raw", "synthetic"]
    words += ["--synthetic", str(tmp_path / "made.csv"), "--seed-column", "made_from", "--json"]
    assert main(words) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert "40 synthetic texts without known seeds are left out" in notes
    frame = pd.concat([task.originals[:20], task.others, made.assign(seeds=[()] * 150)])
    found = of_frame(frame, "bad", name="own")
    assert (len(found.originals), len(found.synthetic)) == (20, 0)


def test_the_table_for_people(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["text", "impute", str(mine), "--class", "bad", *FEW, "--n-original", "15"]
    assert main([*words, "--arms", "raw", "synthetic", "all_real"]) == 0
    printed = capsys.readouterr().out
    assert "all_real" in printed  # the other five texts of the class
    assert "no synthetic texts: name a model" in printed


@pytest.mark.slow
def test_a_model_of_this_machine_is_asked(
    mine: Path, task: Task, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From prompts to verdicts; run again, the ledger answers."""
    pytest.importorskip("torch", reason="needs the extra text")
    from tests.bridge.llm import tiny

    taught = [("bad", line) for line in said(np.random.default_rng(9), BAD, 40, "t")]
    model = tiny.causal(tmp_path / "model", taught, steps=120)
    ledger, out = tmp_path / "ledger.sqlite", tmp_path / "samples.jsonl"
    words = ["text", "impute", str(mine), "--class", "bad", "--fill-to", "26", "--folds", "3"]
    words += ["--repeats", "1", "--encoder", "tfidf", "--json", "--ledger", str(ledger)]
    words += ["--local", str(model), "--max-tokens", "60", "--out", str(out)]
    assert main([*words, "--dry-run"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["groups"]["bad"] == {"originals": 20, "asked": 54}
    assert not ledger.exists()
    assert main(words) == 0
    first = json.loads(capsys.readouterr().out)
    synthetic = [row for row in first["arms"] if row["arm"] == "synthetic"]
    assert [row["synthesizer"] for row in synthetic] == [str(model)]
    made = reading.read_texts(out, n_classes=1)
    assert len(made) == 54
    assert {len(seeds) <= 5 for seeds in made["seeds"]} == {True}
    assert main([*words, "--offline"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["arms"] == first["arms"]


ARMS = ("raw", "weighting", "raw_threshold", "weighting_threshold", "synthetic_threshold")


@pytest.fixture
def filled(mine: Path, task: Task, tmp_path: Path) -> list[str]:
    """A command that fills a class with texts that are there, to two sizes."""
    made = written(np.random.default_rng(1), task.originals[:20], 150, 1)
    reading.write_texts(made, tmp_path / "made.jsonl")
    words = ["text", "impute", str(mine), "--class", "bad", "--synthetic", "made.jsonl"]
    words += ["--fill-to", "30", "26", "--folds", "3", "--repeats", "2", "--encoder", "tfidf"]
    return [*words, "--results", "found", "--json", "--arms", *ARMS]


def test_each_fill_is_a_case_with_a_verdict(
    filled: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(filled) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["fill_to"] == [26, 30]
    assert {(row["fill_to"], row["arm"]) for row in found["arms"]} == {
        (fill, arm) for fill in (26, 30) for arm in ARMS
    }
    trained = {
        row["fill_to"]: row["n_trained"]["value"]
        for row in found["arms"]
        if row["arm"] == "synthetic_threshold"
    }
    assert trained[26] == pytest.approx(26 * 2 / 3, abs=1)
    assert trained[30] == pytest.approx(20, abs=1)
    assert [row["fill_to"] for row in found["claims"]] == [26, 30]
    page = (tmp_path / "found" / "imputation.md").read_text(encoding="utf-8")
    for row in found["claims"]:
        assert row["verdict"] in {"helps", "harms", "open"}
        assert row["sentence"].split(".")[0] in page
    assert "![Imputation of mine/bad](imputation.png)" in page
    assert (tmp_path / "found" / "imputation.png").stat().st_size > 1000
    records = pd.read_parquet(tmp_path / "found" / "imputation.parquet")
    assert set(records["n_min"] + records["n_oversampled"]) == {26, 30}


@pytest.mark.slow
def test_a_stopped_run_goes_on_where_it_was(
    filled: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[int, int]] = []
    original = evaluate.repeated

    def noted(task: Task, trial: Trial, learner: Learner, repeat: int, **fold: Any) -> Any:
        seen.append((trial.fill_to, repeat))
        return original(task, trial, learner, repeat, **fold)

    monkeypatch.setattr(evaluate, "repeated", noted)
    assert main(filled) == 0
    first = json.loads(capsys.readouterr().out)
    assert sorted(seen) == [(26, 0), (26, 1), (30, 0), (30, 1)]
    sorted((tmp_path / "found" / "cells").glob("*.parquet"))[0].unlink()
    seen.clear()
    assert main(filled) == 0
    assert len(seen) == 1
    assert json.loads(capsys.readouterr().out) == first
    seen.clear()
    longer = [*filled, "--repeats", "3"]
    assert main(longer) == 0  # what is there is a part of it
    assert sorted(seen) == [(26, 2), (30, 2)]


def test_cells_give_what_one_evaluation_gives(task: Task, tmp_path: Path) -> None:
    trial = replace(toy.TRIAL, n_originals=(20,), n_folds=3, arms=("raw_threshold", "synthetic"))
    made = written(np.random.default_rng(6), task.originals[:5], 50, 1)
    whole = replace(task, ssmba=made.assign(source="ssmba"), fixed={"fixed": made})
    chosen = repeats.Classifier("tfidf")
    cells = repeats.cells(whole, [trial], chosen, source="data", folder=tmp_path)
    parts = pd.concat([cell.function(cell.config) for cell in cells], ignore_index=True)
    found = repeats.folds(parts, trial)
    expected = evaluate.evaluate(whole, trial, chosen.learner())
    pd.testing.assert_frame_equal(found, expected[found.columns], check_dtype=False)


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same(
    filled: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    results = []
    for workers in ("1", "2"):
        assert main([*filled, "--workers", workers, "--results", f"by {workers}"]) == 0
        results.append(json.loads(capsys.readouterr().out))
    assert results[0]["arms"] == results[1]["arms"]
    assert results[0]["claims"] == results[1]["claims"]


def test_nothing_is_bought_before_the_classifier_is_there(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty folder is no encoder; a file is no folder for results."""
    pytest.importorskip("torch", reason="needs the extra text")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    words = ["text", "impute", str(mine), "--class", "bad", "--ledger", "ledger.sqlite"]
    words += ["--local", "no model", "--fill-to", "26", "--folds", "3"]
    for more, message in (
        (("--encoder", "./empty"), "./empty cannot be loaded"),
        (("--encoder", "tfidf", "--results", "file"), "Name another folder with --results"),
    ):
        assert main([*words, *more]) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert message in said
        assert "no model" not in said
        assert not (tmp_path / "ledger.sqlite").exists()


Rows = Callable[[pd.DataFrame], pd.DataFrame]
CASES: list[tuple[Rows, tuple[str, ...], str]] = [
    (lambda f: f, ("--class", "bda"), "unknown class 'bda'; did you mean 'bad'?"),
    (lambda f: f.replace({"label": {"bad": None}}), (), "label"),
    (lambda f: f[f["label"] == "bad"], (), "there must be at least 2 classes"),
    (lambda f: f[16:], (), "a class must have at least 5 texts; 'bad' has 4"),
    (lambda f: pd.concat([f, f[:3]]), (), "3 of 93 repeat another"),
    (lambda f: f, ("--n-original", "21"), "n_original must be 5 to 20"),
    (
        lambda f: f,
        ("--n-original", "6", "--folds", "3"),
        "a fold of 3 trains on 4 of 6: none could",
    ),
    (lambda f: f, ("--n-original", "20", "--fill-to", "20"), "fill_to must exceed the number of"),
    (lambda f: f, ("--folds", "21"), "folds must be at least 2, and at most the number of"),
    (lambda f: f, ("--arms", "rwa"), "unknown arm 'rwa'; did you mean 'raw'?"),
    (lambda f: f, ("--n-original", "10", "12"), "name one --n-original, got 10 12."),
]


@pytest.mark.parametrize(("change", "words", "message"), CASES)
def test_refused_before_anything_is_asked(
    mine: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Rows,
    words: tuple[str, ...],
    message: str,
) -> None:
    change(pd.read_csv(mine)).to_csv(mine, index=False)
    ledger = tmp_path / "ledger.sqlite"
    asking = ("--local", str(tmp_path / "no model"), "--ledger", str(ledger))
    chosen = () if "--class" in words else ("--class", "bad")
    status = main(["text", "impute", str(mine), *chosen, "--encoder", "tfidf", *asking, *words])
    assert status == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not ledger.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--model", "gpt"), "--model needs a file of texts; a corpus has synthetic texts"),
        (("--corpus", "gramar"), "unknown corpus of texts 'gramar'; did you mean 'grammar'?"),
        (("x.csv", "--corpus", "grammar"), "a file and --corpus exclude one another"),
        (("x.csv", "--fixed-seeds"), "--fixed-seeds is for a model that is asked; name one"),
        (("x.csv", "--synthetic", "y.csv", "--dry-run"), "--dry-run is for a model that is asked"),
        (("x.csv", "--masked-model", "grown"), "--masked-model grown grows on texts of a corpus"),
        (("--workers", "0"), "--workers must be at least 1; got 0."),
        (("--encoder", "tfidf", "--classifier", "minilm"), "--encoder and --classifier exclude"),
        (("--classifier", "minilmm"), "unknown classifier 'minilmm'; did you mean 'minilm'?"),
        (("--class", "prais"), "unknown class 'prais'; did you mean 'praise'?"),
        (("x.csv", "--model", "gpt"), "an endpoint has prices"),
        (("x.csv", "--language", "dk"), "unknown language 'dk'; did you mean"),
        (("--corpus", "sentiment", "--language", "da"), "--language needs a file of texts"),
    ],
)
def test_flags_that_do_not_fit(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["text", "impute", *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (Impute(), "tfidf"),
        (Impute(corpus="sentiment"), "minilm"),
        (Impute(corpus="hate-speech"), "characters"),
        (Impute(file=Path("mine.csv")), "minilm"),
        (Impute(file=Path("mine.csv"), language="da"), "characters"),
    ],
)
def test_what_texts_are_described_by_depends_on_their_language(flags: Impute, name: str) -> None:
    assert flags._usual() == name


def test_no_output_replaces_a_file_that_is_read(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "imputation.md"
    there.write_bytes(mine.read_bytes())
    words = ["text", "impute", str(mine), "--synthetic", str(there), "--results", str(tmp_path)]
    assert main(words) != 0
    assert "every output must have a file of its own" in " ".join(capsys.readouterr().err.split())
    assert there.read_bytes() == mine.read_bytes()


def test_a_class_without_synthetic_texts_is_refused(task: Task) -> None:
    made = next(iter(task.synthetic.values()))
    frame = pd.concat([task.originals, task.others, made], ignore_index=True)
    other = task.others["label"].iloc[0]
    with pytest.raises(ValueError, match=rf"'{other}' has none.*'{task.category}'"):
        of_frame(frame, other, name="mine")


def test_duplicates_can_be_dropped(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_csv(mine)
    spelt = frame[:2].assign(text=frame["text"][:2].str.upper() + " \u2026")
    pd.concat([frame, frame[:3], spelt]).to_csv(mine, index=False)
    words = ["text", "impute", str(mine), "--class", "bad", *FEW, "--json", "--arms", "raw"]
    assert main(words) == 2
    assert "5 of 95 repeat another" in capsys.readouterr().err
    words.append("--drop-duplicates")
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["originals"] == 20


def test_an_output_that_is_not_written_is_in_nobodys_way(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is asked for where texts are given, though they have the name of --out's default."""
    monkeypatch.chdir(tmp_path)
    Path("samples.jsonl").write_bytes(mine.read_bytes())
    words = ["text", "impute", str(mine), "--synthetic", "samples.jsonl", "--folds", "0"]
    assert main(words) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "every output" not in said
    assert said.startswith("error: ")
