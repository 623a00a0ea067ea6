"""The study of texts: what it refuses, that it resumes, and files of one's own."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal import runner
from opal.bridge.download import MIRROR_VARIABLE
from opal.bridge.text import reading
from opal.bridge.text.corpus import HUMAN, corpus_of, leaks
from opal.bridge.text.curves import evaluate
from opal.bridge.text.curves.evaluate import CurveSettings
from opal.bridge.text.encoders import WORDS
from opal.bridge.text.published import grammar_corpus
from opal.checks import Check
from opal.cli import main
from simulations import _text
from simulations import text as study

TINY = study.PRESETS["tiny"]
SETTINGS = CurveSettings(encoder="words", sizes=(30, 60), strength=10.0, most_test=200)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 0}, "--seeds must be at least 1; got 0"),
        ({"corpora": ()}, "--corpora must name at least one corpus"),
        ({"corpora": ("sentimnt",)}, "did you mean 'sentiment'"),
        ({"encoder": "tfdif"}, "did you mean 'tfidf'"),
        ({"folds": 1}, "--folds must be at least 2; got 1"),
        ({"share": 1.5}, "--share must be in"),
    ],
)
def test_a_bad_configuration_has_no_cells(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        study.cells(replace(TINY, **change))


def test_a_corpus_that_cannot_be_had_is_told_before_the_first_cell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path / "nothing here"))
    with pytest.raises(ValueError, match="corpus 'sentiment' cannot be had here"):
        study.cells(replace(TINY, corpora=("grammar", "sentiment")))


def test_every_corpus_and_seed_is_a_cell_that_travels() -> None:
    found = study.cells(TINY)
    assert len(found) == 2 * TINY.seeds  # tf-idf, and words
    assert len({cell.key() for cell in found}) == len(found)
    for cell in found:
        assert pickle.loads(pickle.dumps(cell)) == cell


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    chosen = evaluate.of_corpora(("grammar",), SETTINGS, 2)
    runner.run(chosen[:1], tmp_path, progress=False)
    (first,) = tmp_path.glob("*.parquet")
    before = first.stat().st_mtime_ns
    resumed = runner.run(chosen, tmp_path, progress=False)
    assert first.stat().st_mtime_ns == before
    assert set(resumed["replicate"]) == {0, 1}
    again = runner.run(chosen, tmp_path, progress=False)
    pd.testing.assert_frame_equal(resumed, again)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Human texts, and texts that a writer made of some of them."""
    corpus = grammar_corpus()
    humans = pd.concat([corpus.base, corpus.human[:400]], ignore_index=True)
    return pd.concat([humans, corpus.synthetic["faithful"][:300]], ignore_index=True)


def test_base_texts_are_those_that_were_seeds(frame: pd.DataFrame) -> None:
    found = corpus_of(frame)
    seeds = {seed for made in found.synthetic["faithful"]["seeds"] for seed in made}
    assert set(found.base["id"]) <= seeds
    assert not set(found.base["id"]) & set(found.human["id"])
    assert len(found.test) == pytest.approx(640 / 3, abs=2)
    apart = found.apart()
    assert not leaks(apart.synthetic["faithful"], set(found.test["id"])).any()
    given = corpus_of(frame, grammar_corpus().test[:50])
    assert len(given.test) == 50
    assert len(given.base) + len(given.human) == 640


def test_a_class_without_base_texts_is_refused(frame: pd.DataFrame) -> None:
    praise = frame[(frame["source"] != HUMAN) | (frame["label"] == "praise")]
    test = frame[(frame["source"] == HUMAN) & (frame["label"] == "complaint")]
    with pytest.raises(ValueError, match="labels that training lacks: 'complaint'"):
        corpus_of(praise, test)


def test_texts_of_unknown_origin_are_noted(frame: pd.DataFrame) -> None:
    rootless = frame.assign(seeds=[()] * len(frame))
    notes = corpus_of(rootless).notes
    assert any("faithful: of no text is it known what it was made from" in note for note in notes)
    assert not any("have a seed" in note for note in notes)


def test_a_table_that_is_none_of_texts_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"missing: .*Build it with opal.bridge.text.text_table"):
        corpus_of(frame[["text", "label"]])


def test_a_file_of_one_s_own_is_evaluated(
    frame: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reading.write_texts(frame, tmp_path / "mine.jsonl")
    args = ["text", "evaluate", "--file", str(tmp_path / "mine.jsonl"), "--seeds", "1"]
    args += ["--sizes", "30", "60", "--out", str(tmp_path / "out")]
    assert main(args) == 0
    said = capsys.readouterr().out
    assert "faithful" in said
    assert (tmp_path / "out/text.png").exists()
    with_corpus = [*args, "--corpus", "grammar"]
    assert main(with_corpus) != 0
    assert "--file excludes --corpus" in capsys.readouterr().err
    assert main(["text", "evaluate", "--text-column", "said"]) != 0
    assert "belong to --file" in capsys.readouterr().err
    assert main([*args, "--hold-out", "9"]) != 0
    assert "--hold-out is of published corpora; got 9 and a file" in capsys.readouterr().err
    assert main(["text", "evaluate", "--hold-out", "9", "--out", str(tmp_path / "none")]) != 0
    assert "the grammar has 500 test texts of each group" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_where_weighting_was_never_chosen_nothing_was_compared() -> None:
    metric = "balanced_error_difference"
    tried = pd.DataFrame({"rho": [0.0, 0.1], "metric": metric, "value": [1e-5, 0.2]})
    assert _text._weighting(tried).passed
    assert not _text._weighting(tried.assign(value=0.2)).passed
    none = _text._weighting(tried[tried["rho"] > 0])
    assert not none.passed
    assert none.detail.startswith("nothing was compared")


def against_laws(measured: list[float], wrong: list[float]) -> list[Check]:
    """Checks of balanced errors against an exact law and a wrong one, both in standard errors."""
    rows: list[dict[str, Any]] = []
    where = {"setting": "grammar", "synthesizer": "faithful", "arm": "synthetic", "encoder": WORDS}
    about = dict.fromkeys(("n_real", "alpha", "rho", "total"), 0.0)
    influence = 0.01 * np.sqrt(0.99) / 10 * np.tile([1.0, -1.0], 50)  # a standard error of 0.01
    for added, (own, other) in enumerate(zip(measured, wrong, strict=True)):
        for source, metric, z in (
            ("data", "balanced_error", own),
            ("theory", "balanced_error", 0.0),
            ("theory", "balanced_error_control", other),
        ):
            number = {"metric": metric, "value": 0.2 + 0.01 * z, "influence": influence}
            rows.append({**where, **about, "added": added, "source": source, **number})
    return _text._exact(pd.DataFrame(rows))


@pytest.mark.parametrize(
    ("measured", "wrong", "passed"),
    [
        ([0.3, -0.5, 1.0, 0.0], [12.0, 12.0, 12.0, 0.1], (True, True)),
        ([12.0, 11.0, 0.0, 0.0], [12.0, 12.0, 12.0, 0.1], (False, False)),
        ([9.0, 0.5, 1.0, 0.0], [0.0, 0.1, 0.1, 0.1], (False, False)),  # one lucky number
    ],
)
def test_a_wrong_law_is_caught_where_it_says_something_else(
    measured: list[float], wrong: list[float], passed: tuple[bool, bool]
) -> None:
    honest, control = against_laws(measured, wrong)
    assert (honest.passed, control.passed) == passed
