"""Labels of a corpus, by the rule of an arm that all human texts train."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from opal.bridge.text.corpus import training_corpus
from opal.bridge.text.curves import design, train
from opal.bridge.text.encoders import Words
from opal.bridge.text.labelling import ARMS, column_names, label_texts, steps
from opal.bridge.text.published import load_corpus
from opal.bridge.text.reading import write_texts
from opal.cli import main
from opal.names import UnknownNameError

CORPUS = load_corpus("grammar")
COMPLAINT, PRAISE = CORPUS.labels
N_TEXTS = 600


def few(rare: int = 25, common: int = 100) -> pd.DataFrame:
    """Human texts of a rare class, complaints, and of a common one, which a model was shown."""
    base = CORPUS.base.drop_duplicates("id")
    parts = [base[base["label"] == label][:n] for label, n in ((COMPLAINT, rare), (PRAISE, common))]
    return pd.concat(parts, ignore_index=True).drop(columns="attribute")


def written(mine: pd.DataFrame, n: int = 200, writer: str = "faithful") -> pd.DataFrame:
    """Texts of the rare class that a writer made from those at hand."""
    made = CORPUS.synthetic[writer]
    at_hand = {*mine["id"]}
    own = made[[at_hand.issuperset(each) for each in made["seeds"]]]
    own = own[own["label"] == COMPLAINT]
    assert len(own) >= 20
    return own[:n].drop(columns="attribute")


MINE = few()
MADE = written(MINE)
BOTH = pd.concat([MINE, MADE], ignore_index=True)
FRESH = CORPUS.test[~CORPUS.test["id"].isin(BOTH["id"])][:N_TEXTS]
TEXTS = FRESH["text"].tolist()


def test_weighting_is_what_scikit_learn_fits() -> None:
    found = label_texts(TEXTS, MINE, features="words")
    assert (found.arm, found.source, found.lost) == ("weighting", "", False)
    assert np.isnan(found.ratio)
    y = (MINE["label"] == PRAISE).to_numpy(int)
    n = np.bincount(y)
    weights = 0.5 / n[y]
    effective = 1 / np.sum(weights**2)
    penalty = 2 * found.strength * effective
    x, others = (Words().features(texts).x for texts in (MINE["text"].tolist(), TEXTS))
    rule = LogisticRegression(C=penalty, tol=1e-10, max_iter=10_000).fit(x, y, weights)
    np.testing.assert_allclose(found.probabilities, rule.predict_proba(others), atol=1e-4)
    np.testing.assert_array_equal(found.n_real, n)
    np.testing.assert_array_equal(found.n_added, [0, 0])
    unweighted = LogisticRegression(C=penalty, tol=1e-10, max_iter=10_000).fit(x, y)
    assert np.abs(found.probabilities - unweighted.predict_proba(others)).max() > 0.05


def test_groups_are_of_class_and_attribute_where_all_texts_have_one() -> None:
    base = CORPUS.base.drop_duplicates("id")
    found = label_texts(TEXTS, base, features="words")
    y = (base["label"] == PRAISE).to_numpy(int)
    group = 2 * y + (base["attribute"] == base["attribute"].iloc[0]).to_numpy()
    n = np.bincount(group)
    assert n.min() < n.max()
    weights = 0.25 / n[group]
    penalty = 2 * found.strength / np.sum(weights**2)
    x, others = (Words().features(texts).x for texts in (base["text"].tolist(), TEXTS))
    rule = LogisticRegression(C=penalty, tol=1e-10, max_iter=10_000).fit(x, y, weights)
    np.testing.assert_allclose(found.probabilities, rule.predict_proba(others), atol=1e-4)


def test_an_attribute_that_some_texts_lack_is_none() -> None:
    mixed = pd.concat([MINE, CORPUS.synthetic["faithful"][:400]], ignore_index=True)
    plain = mixed.drop(columns="attribute")
    found, expected = (label_texts(TEXTS[:50], each, features="words") for each in (mixed, plain))
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def test_every_arm_labels_all_texts_and_its_own_way() -> None:
    both = pd.concat([MINE, CORPUS.synthetic["faithful"][:400]], ignore_index=True)
    found = {arm: label_texts(TEXTS, both, arm=arm, features="words") for arm in ARMS}
    for arm, one in found.items():
        assert one.probabilities.shape == (N_TEXTS, 2)
        np.testing.assert_allclose(one.probabilities.sum(axis=1), 1)
        assert bool(one.n_added.sum()) == (arm.startswith("synthetic") and one.ratio != 0)
        assert ((one.recall > 0) & (one.recall <= 1)).all()
    chances = {arm: one.probabilities[:, 0] for arm, one in found.items()}
    same = [
        (one, other)
        for one in ARMS
        for other in ARMS
        if one < other and np.allclose(chances[one], chances[other])
    ]
    assert same in ([], [("synthetic_alpha", "synthetic_corrected")])
    odds = {arm: np.log(chances[arm] / (1 - chances[arm])) for arm in ("raw", "threshold")}
    np.testing.assert_allclose(odds["threshold"] - odds["raw"], np.log(4), rtol=1e-6)


def test_texts_of_a_rare_class_find_more_of_it() -> None:
    raw = label_texts(TEXTS, MINE, arm="raw", features="words")
    filled = label_texts(TEXTS, BOTH, features="words")
    rare = (FRESH["label"] == COMPLAINT).to_numpy()
    assert (filled.arm, filled.source) == ("synthetic_alpha", "faithful")
    found = [np.mean(one.predicted[rare] == COMPLAINT) for one in (raw, filled)]
    assert found[0] + 0.05 < found[1]
    assert filled.n_added.tolist() == [len(MADE), 0]


def test_weights_are_those_that_evaluate_chooses() -> None:
    found = label_texts(TEXTS, BOTH, features="words", seed=3)
    data = design.training_data(training_corpus(BOTH), 3, chosen=("faithful",))
    known = Words().features(data.frame["text"].tolist())
    strength = train.tune_strength(data, known, 3, n_folds=3)
    tuned = train.tune_weights(data, known, 3, n_folds=3, strength=strength)["faithful"]
    assert (found.strength, found.ratio) == (strength, tuned.ratio)


def test_what_the_rule_has_seen_is_known_again() -> None:
    mine, made = MINE["text"].iloc[0], MADE["text"].iloc[3]
    texts = [mine, mine.upper() + " !", made, *TEXTS[:5]]
    seen = label_texts(texts, BOTH, arm="synthetic", features="tfidf").trained_on
    assert seen.tolist() == [True, True, True, *[False] * 5]
    alone = label_texts(texts, BOTH, arm="raw", features="tfidf").trained_on
    assert alone.tolist() == [True, True, False, *[False] * 5]


def test_recall_is_that_of_texts_that_are_held_out() -> None:
    found = label_texts(TEXTS, MINE, features="tfidf")
    own = label_texts(MINE["text"].tolist(), MINE, features="tfidf")
    rare = (MINE["label"] == COMPLAINT).to_numpy()
    rare_fresh = (FRESH["label"] == COMPLAINT).to_numpy()
    trained = np.mean(own.predicted[rare] == COMPLAINT)
    fresh = np.mean(found.predicted[rare_fresh] == COMPLAINT)
    error = np.sqrt(fresh * (1 - fresh) / rare.sum())
    assert abs(found.recall[0] - fresh) < 4 * error
    assert trained > found.recall[0]


def test_texts_whose_seeds_are_not_there_or_not_known_are_told() -> None:
    fewer = pd.concat([MINE[MINE["label"] == PRAISE], few(12)[:12]], ignore_index=True)
    fewer = fewer.drop_duplicates("id")
    found = label_texts(TEXTS[:9], pd.concat([fewer, MADE]), arm="synthetic", features="words")
    known = {*fewer["id"]}
    n = sum(known.issuperset(each) for each in MADE["seeds"])
    assert 0 < n < len(MADE)
    assert (found.n_unused, found.n_added.sum(), found.seeds_known) == (len(MADE) - n, n, True)
    blind = pd.concat([fewer, MADE.assign(seeds=[()] * len(MADE))])
    found = label_texts(TEXTS[:9], blind, arm="synthetic", features="words")
    assert (found.n_unused, found.seeds_known) == (0, False)
    alone = label_texts(TEXTS[:9], blind, arm="raw", features="words")
    assert (alone.n_unused, alone.seeds_known) == (0, True)


def test_mean_probabilities_are_the_weights_of_classes() -> None:
    """An intercept without a penalty makes them so on the texts that a rule is trained on."""
    both = pd.concat([MINE, MADE], ignore_index=True)
    for arm, frame, equal in (
        ("raw", MINE, False),
        ("weighting", MINE, True),
        ("synthetic", both, False),
        ("synthetic_weighting", both, True),
    ):
        found = label_texts(frame["text"].tolist(), both, arm=arm, features="words")
        rare = (frame["label"] == COMPLAINT).to_numpy()
        chance = found.probabilities[:, 0]
        by_class, plain = np.mean([chance[rare].mean(), chance[~rare].mean()]), chance.mean()
        mean, weight = (by_class, 0.5) if equal else (plain, rare.mean())
        np.testing.assert_allclose(mean, weight, atol=1e-4)


def test_labels_in_any_order_teach_nothing() -> None:
    rng = np.random.default_rng(0)
    rare = (FRESH["label"] == COMPLAINT).to_numpy()

    def ranking(frame: pd.DataFrame) -> float:
        found = label_texts(TEXTS, frame, arm="weighting", features="words")
        return float(roc_auc_score(rare, found.probabilities[:, 0]))

    shuffled = [ranking(MINE.assign(label=rng.permutation(MINE["label"]))) for _ in range(19)]
    error = np.std(shuffled, ddof=1) / np.sqrt(len(shuffled))
    assert abs(np.mean(shuffled) - 0.5) < 3 * error
    assert ranking(MINE) > max(shuffled)  # a permutation test at level 1/20


@pytest.mark.parametrize(("strength", "lost"), [(1e-2, False), (1e6, True)])
def test_a_correction_whose_fit_has_no_minimum_is_given_up(
    monkeypatch: pytest.MonkeyPatch, strength: float, lost: bool
) -> None:
    """Cross-validation would hardly choose it: here it is chosen, and what follows is real."""
    tuned = {"faithful": train.TunedWeights(3.0, 3.0, 1.0)}
    monkeypatch.setattr(train, "tune_strength", lambda *_, **__: strength)
    monkeypatch.setattr(train, "tune_weights", lambda *_, **__: tuned)
    made = CORPUS.synthetic["faithful"]
    own = made[[{*MINE["id"]}.issuperset(each) for each in made["seeds"]]]
    both = pd.concat([MINE, own.groupby("label").head(20).drop(columns="attribute")])
    corrected, plain = (
        label_texts(TEXTS, both, arm=f"synthetic_{rule}", features="words")
        for rule in ("corrected", "alpha")
    )
    assert (corrected.lost, plain.lost) == (lost, False)
    assert (corrected.arm, corrected.correction) == ("synthetic_corrected", 0.0 if lost else 1.0)
    same = np.array_equal(corrected.probabilities, plain.probabilities)
    assert same == lost
    assert np.array_equal(corrected.recall, plain.recall) or not lost


def test_progress_is_told_as_often_as_said() -> None:
    told: list[str] = []
    label_texts(TEXTS, MINE, progress=told.append)
    assert len(told) == steps(MINE, len(TEXTS))


BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no text": (([], MINE), {}, "it has none"),
    "no source": ((TEXTS, MINE), {"arm": "synthetic"}, "there are none.*--synthetic"),
    "source and none added": (
        (TEXTS, BOTH),
        {"arm": "weighting", "source": "faithful"},
        "'weighting' adds no texts",
    ),
    "two sources": (
        (TEXTS, pd.concat([BOTH, written(MINE, writer="biased")])),
        {},
        "there are biased, faithful.*--source",
    ),
    "one text of a class": ((TEXTS, few(rare=1)), {}, "'complaint' has 1"),
    "seeds that are not there": (
        (TEXTS, pd.concat([MINE[MINE["label"] == PRAISE], few(50)[30:50], MADE])),
        {},
        "no text of 'faithful' was made from",
    ),
    "no yardstick": (
        (TEXTS, BOTH),
        {"arm": "synthetic_corrected"},
        "texts of the largest class.*'faithful' has none",
    ),
    "too many folds": ((TEXTS, MINE), {"folds": 1000}, "--folds"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_is_refused(name: str) -> None:
    given, options, message = BAD[name]
    with pytest.raises(ValueError, match=f"(?s){message}"):
        label_texts(*given, **options)


def test_unknown_names_have_neighbours() -> None:
    for options in ({"arm": "wieghting"}, {"source": "faithfull"}, {"features": "tfdif"}):
        with pytest.raises(UnknownNameError):
            label_texts(TEXTS, BOTH, **options)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus of which people labelled a half, labelled texts, and those of a model."""
    monkeypatch.chdir(tmp_path)
    MINE[["text", "label"]].to_csv("mine.csv", index=False)
    write_texts(MADE.reset_index(drop=True), Path("samples.jsonl"))
    rng = np.random.default_rng(0)
    corpus = pd.concat([FRESH, MINE[:8]], ignore_index=True)
    human = corpus["label"].where(rng.uniform(size=len(corpus)) < 0.5)
    age = rng.normal(size=len(corpus)) + (corpus["label"] == COMPLAINT)
    frame = pd.DataFrame({"said": corpus["text"], "label": human, "age": age.round(3), "id": "007"})
    frame.to_csv("corpus.csv", index=False)
    return tmp_path


ASKED = "text label corpus.csv --file mine.csv --corpus-column said"


def run(line: str) -> int:
    return main(shlex.split(line))


def test_a_file_is_labelled_and_regressed_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"{ASKED} --synthetic samples.jsonl --out labelled.csv --json") == 0
    said = json.loads(capsys.readouterr().out)
    before, after = (
        pd.read_csv(name, dtype=str, keep_default_na=False)
        for name in ("corpus.csv", "labelled.csv")
    )
    pd.testing.assert_frame_equal(after[list(before)], before)
    assert list(after)[len(before.columns) :] == column_names(CORPUS.labels)
    assert after["trained_on"].tolist() == ["0"] * N_TEXTS + ["1"] * 8
    assert said["predicted"] == after["predicted"].value_counts().to_dict()
    assert (said["rows"], said["trained_on"], said["source"]) == (N_TEXTS + 8, 8, "faithful")
    chance = after["probability of complaint"].astype(float)
    assert ((chance > 0.5) == (after["predicted"] == COMPLAINT)).all()
    infer = "infer labelled.csv --human label --covariates age --positive complaint --json"
    for predicted in ("predicted", "probability of complaint"):
        words = f"{infer} --predicted '{predicted}' --trained-on trained_on"
        assert run(words) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["rows"], found["trained_on"]) == (N_TEXTS, 8)
        (slope,) = (
            row
            for row in found["coefficients"]
            if (row["term"], row["method"]) == ("age", "prediction-powered")
        )
        assert slope["lower"] < 1 < slope["upper"]  # two normals that are one apart


def test_people_read_what_was_trained_and_what_to_do_next(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(ASKED) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "weighting: what it was trained on, and what it calls 608 texts" in said
    assert "8 texts of the corpus were trained on" in said
    assert "--trained-on trained_on" in said
    assert "labels: results/text/labelled.csv" in said
    assert Path("results/text/labelled.csv").is_file()


def test_a_corpus_has_the_column_of_the_texts_to_train_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    MINE[["text", "label"]].rename(columns={"text": "said"}).to_csv("mine.csv", index=False)
    assert run("text label corpus.csv --file mine.csv --text-column said --json") == 0
    assert json.loads(capsys.readouterr().out)["rows"] == N_TEXTS + 8


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--out corpus.csv", "corpus.csv"),
        ("--out labelled.parquet", "end in .csv"),
        ("--corpus-column sade", "did you mean 'said'"),
        ("--arm wieghting", "weighting"),
        ("--folds 1", "folds"),
        ("--file corpus.csv", "text"),
        ("--file samples.jsonl", "at least 2 classes"),
        ("--synthetic mine.csv", "mine.csv is named 2 times"),
    ],
)
def test_what_a_command_cannot_do_is_refused_before_it_writes(
    folder: Path, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert run(f"{ASKED} {line}") == 2
    assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_a_column_of_the_corpus_is_never_lost(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_csv("corpus.csv")
    frame.assign(predicted="mine").to_csv("corpus.csv", index=False)
    assert run(ASKED) == 2
    assert "gets the column 'predicted', and corpus.csv has one" in capsys.readouterr().err


def test_names_that_spaces_tell_apart_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for names, message in (
        (("predicted ", "a"), "gets the column 'predicted'"),
        (("a ", "a"), "columns 2 and 3 are both 'a'"),
    ):
        rows = [{"said": text} | dict.fromkeys(names, "1") for text in TEXTS[:5]]
        Path("corpus.json").write_text(json.dumps(rows))
        assert run(ASKED.replace("corpus.csv", "corpus.json")) == 2
        assert message in capsys.readouterr().err


def test_half_a_character_is_refused_before_work(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"said": text, "emoji": "\ud83d" if k == 2 else "ok"} for k, text in enumerate(TEXTS[:5])
    ]
    Path("corpus.json").write_text(json.dumps(rows))
    assert run(ASKED.replace("corpus.csv", "corpus.json")) == 2
    said = capsys.readouterr().err
    assert "corpus.json: the cell of 'emoji' in data row 3 holds half a character" in said
    listed = [row | {"emoji": [row["emoji"]]} for row in rows]
    Path("corpus.json").write_text(json.dumps(listed))
    assert run(ASKED.replace("corpus.csv", "corpus.json")) == 2
    assert "in data row 3 holds half a character" in capsys.readouterr().err


def test_a_column_may_have_any_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pd.DataFrame({"said": TEXTS[:5], "self": range(5)}).to_csv("corpus.csv", index=False)
    assert run(f"{ASKED} --json") == 0
    written = pd.read_csv(json.loads(capsys.readouterr().out)["out"])
    assert written["self"].tolist() == [0, 1, 2, 3, 4]


def test_decimal_commas_stay_readable(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_csv("corpus.csv")
    frame.to_csv("comma.csv", index=False, sep=";", decimal=",")
    infer = "--human label --covariates age --positive complaint --trained-on trained_on --json"
    found = []
    for corpus in ("corpus.csv", "comma.csv"):
        assert run(f"{ASKED.replace('corpus.csv', corpus)} --out of_{corpus}") == 0
        capsys.readouterr()
        assert run(f"infer of_{corpus} --predicted 'probability of complaint' {infer}") == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    after = pd.read_csv("of_comma.csv", sep=";", decimal=",")
    assert after["age"].tolist() == frame["age"].tolist()


def test_texts_of_several_columns_are_of_those_that_are_trained_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = MINE.assign(premise=MINE["text"], hypothesis="so it is")
    pairs[["premise", "hypothesis", "label"]].to_csv("pairs.csv", index=False)
    line = "text label pairs.csv --file pairs.csv --text-column premise,hypothesis"
    assert run(f"{line} --json") == 0
    assert json.loads(capsys.readouterr().out)["trained_on"] == len(MINE)
    assert run(f"{line} --corpus-column hypothesis,premise") == 2
    assert "'premise' and 'hypothesis', those of pairs.csv of 'hypothesis'" in (
        capsys.readouterr().err
    )
    pairs_train = f"{line.replace('pairs', 'corpus', 1)} --corpus-column said,age"
    for other in (pairs_train, ASKED.replace("said", "said,age")):
        assert run(other) == 2
        assert "of the same columns" in capsys.readouterr().err


def test_the_flag_of_the_corpus_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("text label corpus.csv --file mine.csv") == 2
    assert "Name it with --corpus-column" in capsys.readouterr().err


def test_unknown_seeds_are_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_texts(MADE.assign(seeds=[()] * len(MADE)), Path("blind.csv"))
    assert run(f"{ASKED} --synthetic blind.csv") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Of no text of faithful is it known what it was made from" in said
    assert "times the weight of a human one" in said
    assert "the folds that chose the penalty and the weight of added texts;" in said
    assert run(f"{ASKED} --synthetic samples.jsonl --arm weighting") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Of no text" not in said
    assert "the folds that chose the penalty;" in said


def test_a_row_without_a_text_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_csv("corpus.csv")
    frame.loc[4, "said"] = None
    frame.to_csv("corpus.csv", index=False)
    assert run(ASKED) == 2
    assert "data row 5" in capsys.readouterr().err


def test_lists_are_written_as_json_has_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": text, "tags": ["a", "é"]} for text in TEXTS[:5]]
    Path("corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("text label corpus.jsonl --file mine.csv --out labelled.csv") == 0
    assert pd.read_csv("labelled.csv")["tags"].map(json.loads).tolist() == [["a", "é"]] * 5
