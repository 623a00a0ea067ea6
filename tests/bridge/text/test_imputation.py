"""Imputation: what each arm trains on, what tests it, and the command."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal.bridge.text import filling, imputation, imputing, learners, reading, texts, verdicts
from opal.bridge.text.encoders import TfIdf
from opal.bridge.text.filling import Fold, Pool, Training
from opal.bridge.text.imputation import Task
from opal.bridge.text.imputing import Trial
from opal.cli import main
from opal.draws import as_key

GOOD, BAD, REST = ("fine", "lovely", "kind"), ("awful", "rude", "cold"), ("menu", "room", "street")


def said(rng: np.random.Generator, words: tuple[str, ...], n: int, tag: str) -> list[str]:
    """Different texts, of words of a class and words of all, some of them crossed over."""
    pools = {"own": words, "all": (*GOOD, *BAD, *REST)}
    drawn = [[*rng.choice(pools["own"], 2), *rng.choice(pools["all"], 3)] for _ in range(n)]
    return [f"{' '.join(each)} {tag}{i}" for i, each in enumerate(drawn)]


def written(
    rng: np.random.Generator, originals: pd.DataFrame, n: int, n_seeds: int
) -> pd.DataFrame:
    """Texts made from originals: a seed's words in another order, with a mark of the seed."""
    rows = [rng.choice(len(originals), n_seeds) for _ in range(n)]
    lines = [
        f"{' '.join(rng.permutation(originals['text'].iloc[row[0]].split()))} w{i}"
        for i, row in enumerate(rows)
    ]
    ids = originals["id"].to_numpy()
    seeds = [tuple(dict.fromkeys(ids[row])) for row in rows]
    return texts.table(lines, ["bad"] * n, source="model", seeds=seeds)


@pytest.fixture(scope="module")
def task() -> Task:
    rng = np.random.default_rng(0)
    bad = texts.table(said(rng, BAD, 60, "b"), ["bad"] * 60)
    others = texts.table(
        said(rng, GOOD, 40, "g") + said(rng, REST, 30, "r"), ["good"] * 40 + ["rest"] * 30
    )
    originals = bad[:25]
    return Task(
        "toy/bad",
        "bad",
        originals,
        bad[25:],
        others,
        {"model": written(rng, originals, 300, 1)},
        fixed={},
    )


TRIAL = Trial((10, 20), fill_to=40, n_folds=5, n_repeats=2)


@pytest.fixture(scope="module")
def frame(task: Task) -> pd.DataFrame:
    return imputing.evaluate(task, TRIAL, learners.linear(TfIdf()))


@pytest.fixture(scope="module")
def table(task: Task, frame: pd.DataFrame) -> pd.DataFrame:
    return verdicts.summarise(frame, task, TRIAL, source="simulation")


Trained = tuple[Training, np.ndarray, pd.DataFrame, int]


@pytest.fixture(scope="module")
def trained(task: Task) -> list[Trained]:
    """Every training of an evaluation, the held-out rows, all texts and n, as a learner is told."""
    seen: list[Trained] = []
    ssmba = written(np.random.default_rng(5), task.originals, 250, 1).assign(source="ssmba")
    five = task.originals["id"][:5]
    fixed = written(np.random.default_rng(6), task.originals[:5], 50, 1)
    fixed = fixed.assign(seeds=[tuple(five)] * 50, source="fixed")
    whole = replace(task, ssmba=ssmba, fixed={"fixed": fixed})
    original = filling.trainings

    def note(fold: Fold, pools: Any, arms: Any, rng: Any) -> Iterator[Training]:
        for training in original(fold, pools, arms, rng):
            seen.append((training, fold.held_out, stock[1], len(fold.own)))
            yield training

    stock: tuple[Any, pd.DataFrame] = ({}, pd.DataFrame())
    kept = imputing._stock

    def keep(*args: Any) -> tuple[Any, pd.DataFrame]:
        nonlocal stock
        stock = kept(*args)
        return stock

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filling, "trainings", note)
        patch.setattr(imputing, "_stock", keep)
        imputing.evaluate(whole, TRIAL, lambda *_: lambda rows, y, weights, tested, seed: tested)
    return seen


def seeds_of(frame: pd.DataFrame, rows: np.ndarray) -> set[str]:
    return {seed for seeds in frame["seeds"].iloc[rows] for seed in seeds}


def test_all_arms_are_there(trained: list[Trained]) -> None:
    assert {each.arm for each, *_ in trained} == set(filling.ARMS)


def test_nothing_trained_on_was_made_from_what_is_held_out(trained: list[Trained]) -> None:
    for training, held_out, frame, _ in trained:
        hidden = set(frame["id"].iloc[held_out])
        assert not hidden & set(frame["id"].iloc[training.rows])
        if training.arm != "naive_folds":
            assert not hidden & seeds_of(frame, training.rows)


def test_folds_without_lineage_would_leak(trained: list[Trained]) -> None:
    leaks = [
        set(frame["id"].iloc[held_out]) & seeds_of(frame, training.rows)
        for training, held_out, frame, _ in trained
        if training.arm == "naive_folds"
    ]
    assert sum(map(bool, leaks)) > 0.8 * len(leaks)


def test_tested_synthetic_texts_are_of_the_held_out_side(trained: list[Trained]) -> None:
    counts = 0
    for training, held_out, frame, _ in trained:
        hidden = set(frame["id"].iloc[held_out])
        for rows in training.tests.values():
            assert not set(frame["id"].iloc[rows]) & set(frame["id"].iloc[training.rows])
            if training.arm != "naive_folds":
                assert all(hidden & set(seeds) for seeds in frame["seeds"].iloc[rows])
                counts += len(rows)
    assert counts > 100


def test_filled_arms_have_as_many_texts_as_all_real(trained: list[Trained]) -> None:
    m = {t.n_category for t, *_ in trained if t.arm == "all_real"}
    assert m == {32}
    for training, held_out, frame, n in trained:
        mine = frame["label"].iloc[training.rows].to_numpy() == "bad"
        assert mine.sum() == training.n_category
        # Once in five folds the fixed seeds are held out, and nothing is left to fill with.
        if training.arm in ("duplication", "synthetic", "ssmba"):
            assert training.n_category == 32
        if training.arm in ("raw", "weighting"):
            assert training.n_category == n
        if training.arm == "weighting":
            assert training.weights[mine].sum() == pytest.approx(32)
            assert (training.weights[~mine] == 1).all()
        assert len(held_out) + (~mine).sum() >= 70


def test_the_originals_at_hand_alone_are_used(trained: list[Trained]) -> None:
    for training, _, frame, n in trained:
        if training.arm in ("raw", "weighting", "duplication"):
            mine = training.rows[frame["label"].iloc[training.rows] == "bad"]
            assert len(set(mine)) == n
            assert mine.max() < 20


def test_fixed_seeds_are_few(task: Task) -> None:
    pool = imputation.in_turn(
        task.synthetic["model"], frozenset(task.originals["id"]), np.random.default_rng(0)
    )
    ids = np.array([*task.originals["id"], *pool["id"]], dtype=object)
    own, rows = np.arange(5, 25), np.arange(25, 25 + len(pool))
    fold = Fold(0, ids, np.arange(5), own[:0], own, own, 100, 20)
    stock = {"synthetic": {"model": Pool(pool, rows, np.zeros(len(pool)))}}
    (found,) = filling.trainings(fold, stock, ("fixed_seeds",), np.random.default_rng(0))
    added = found.rows[len(own) :]
    lineage = pool["seeds"].iloc[added - 25].str[0]
    assert found.n_category == 100
    assert set(lineage) == set(ids[5:10])
    assert len(set(added)) < len(added)  # repeated: five seeds have too few texts


def test_synthetic_texts_take_turns_and_count_once(task: Task) -> None:
    whole = pd.concat([task.synthetic["model"], task.synthetic["model"][:50]])
    first = frozenset(task.originals["id"][:12])
    pool = imputation.in_turn(whole, first, np.random.default_rng(0))
    assert not pool["id"].duplicated().any()
    assert first.issuperset(seed for seeds in pool["seeds"] for seed in seeds)
    assert pool["seeds"][:12].nunique() == 12


def test_a_text_written_twice_has_all_seeds() -> None:
    synthetic = texts.table(["same", "same"], ["bad"] * 2, source="m", seeds=[("a",), ("b",)])
    pool = imputation.in_turn(synthetic, frozenset("ab"), np.random.default_rng(0))
    assert sorted(pool["seeds"].iloc[0]) == ["a", "b"]
    assert imputation.in_turn(synthetic, frozenset("a"), np.random.default_rng(0)).empty


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


def claim(loss: tuple[float, float], gap: tuple[float, float], task: Task) -> Mapping[str, Any]:
    """The verdicts on intervals that are given."""
    rows = [
        {"metric": metric, "value": sum(ends) / 2, "lower": ends[0], "upper": ends[1]}
        for metric, ends in (("f1", (0.5, 0.6)), ("f1_minus_all_real", loss), ("gap", gap))
    ]
    table = pd.DataFrame(rows).assign(
        setting=task.name, arm="synthetic", synthesizer="m", tested="human", n_min=75
    )
    return verdicts.claims(table).iloc[0].to_dict()


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


def test_pooling_takes_corpora_as_independent() -> None:
    rows = [("a/x", 0.1, 0.03), ("a/y", 0.3, 0.05), ("b/z", 0.4, 0.03)]
    table = pd.DataFrame(rows, columns=["setting", "value", "std_error"]).assign(
        n_min=50, arm="raw", synthesizer="none", tested="human", metric="f1"
    )
    (row,) = verdicts.pooled(table).to_dict("records")
    assert row["value"] == pytest.approx(0.3)
    assert row["std_error"] == pytest.approx(np.hypot(0.04, 0.03) / 2)
    assert verdicts.pooled(table[table["setting"] != "b/z"]).empty


# The command.


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
    reading.write(made, tmp_path / "made.jsonl")
    words = ["text", "impute", str(mine), "--class", "bad", *FEW, "--json"]
    assert main([*words, "--synthetic", str(tmp_path / "made.jsonl")]) == 0
    found = json.loads(capsys.readouterr().out)
    arms = {row["arm"] for row in found["arms"]}
    assert {"raw", "weighting", "duplication", "synthetic"} <= arms
    assert "all_real" not in arms
    assert any("no full sample" in note for note in found["notes"])
    assert found["claims"][0]["full_sample"] == "unknown"


def test_the_table_for_people(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["text", "impute", str(mine), "--class", "bad", *FEW, "--n-original", "15"]) == 0
    printed = capsys.readouterr().out
    assert "all_real" in printed  # the other five texts of the class
    assert "no synthetic texts: name a model" in printed


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
    assert planned["groups"]["bad"] == {"originals": 20, "asked": 34}
    assert not ledger.exists()
    assert main(words) == 0
    first = json.loads(capsys.readouterr().out)
    synthetic = [row for row in first["arms"] if row["arm"] == "synthetic"]
    assert [row["synthesizer"] for row in synthetic] == [str(model)]
    made = reading.read(out, n_classes=1)
    assert len(made) == 34
    assert {len(seeds) <= 5 for seeds in made["seeds"]} == {True}
    assert main([*words, "--offline"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["arms"] == first["arms"]


Rows = Callable[[pd.DataFrame], pd.DataFrame]
CASES: list[tuple[Rows, tuple[str, ...], str]] = [
    (lambda f: f, ("--class", "bda"), "unknown class 'bda'; did you mean 'bad'?"),
    (lambda f: f.replace({"label": {"bad": None}}), (), "label"),
    (lambda f: f[f["label"] == "bad"], (), "there must be at least 2 classes"),
    (lambda f: f[16:], (), "a class must have at least 5 texts; 'bad' has 4"),
    (lambda f: pd.concat([f, f[:3]]), (), "3 of 93 repeat another"),
    (lambda f: f, ("--n-original", "21"), "n_original must be 5 to 20"),
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
        (("x.csv", "--fixed-seeds"), "--fixed-seeds asks a model; name one"),
        (("--encoder", "tfidf", "--classifier", "minilm"), "--encoder and --classifier exclude"),
        (("--classifier", "minilmm"), "unknown classifier 'minilmm'; did you mean 'minilm'?"),
        (("--class", "prais"), "unknown class 'prais'; did you mean 'praise'?"),
        (("x.csv", "--model", "gpt"), "an endpoint has prices"),
    ],
)
def test_flags_that_do_not_fit(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["text", "impute", *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_duplicates_can_be_dropped(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_csv(mine)
    pd.concat([frame, frame[:3]]).to_csv(mine, index=False)
    words = ["text", "impute", str(mine), "--class", "bad", *FEW, "--drop-duplicates", "--json"]
    assert main([*words, "--arms", "raw"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["originals"] == 20


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
