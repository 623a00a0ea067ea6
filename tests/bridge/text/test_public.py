"""The public surface: functions in, results that show themselves out."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from opal.bridge import text
from opal.bridge.text import TextCorpus


@pytest.fixture(scope="module")
def corpus() -> TextCorpus:
    """The grammar's, with few texts of its faithful writer."""
    whole = text.load_corpus("grammar")
    few = {"faithful": whole.synthetic["faithful"][:400]}
    return replace(whole, human=whole.human[:400], test=whole.test[:400], synthetic=few)


def test_importing_it_is_cheap_and_all_names_are_there() -> None:
    code = (
        "import sys; from opal.bridge import text; "
        "print({'jax', 'pandas', 'sklearn', 'torch'} & set(sys.modules)); "
        "assert all(hasattr(text, name) for name in text.__all__)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout.strip()) == (0, "set()"), result.stderr
    with pytest.raises(AttributeError, match="has no attribute 'read'; it has"):
        text.read  # noqa: B018


def test_from_a_file_to_a_corpus(corpus: TextCorpus, tmp_path: Path) -> None:
    text.write_texts(corpus.base, tmp_path / "mine.csv")
    text.write_texts(corpus.synthetic["faithful"], tmp_path / "made.jsonl")
    frames = [text.read_texts(tmp_path / name) for name in ("mine.csv", "made.jsonl")]
    own = text.corpus_of(pd.concat(frames, ignore_index=True), corpus.test)
    assert own.labels == corpus.labels
    assert set(own.synthetic) == {"faithful"}
    assert len(own.base) + len(own.human) == len(corpus.base)


@pytest.mark.slow
def test_an_evaluation_shows_itself(corpus: TextCorpus) -> None:
    done: list[tuple[int, int]] = []
    found = text.evaluate_texts(
        corpus,
        seeds=2,
        encoder="words",
        sizes=(30, 60),
        strength=10.0,
        progress=lambda *each: done.append(each),
    )
    assert done == [(1, 2), (2, 2)]
    assert {"macro_f1", "balanced_error"} <= set(found.table()["metric"])
    assert set(found.worth()["source"]) == {"faithful", "human"}
    assert isinstance(found.plot(), Figure)
    page = found.to_html()
    assert "What added texts are worth" in page
    assert "data:image/png" in page
    with pytest.raises(ValueError, match="--seeds must be at least 1"):
        text.evaluate_texts(corpus, seeds=0)


def test_an_audit_shows_itself(corpus: TextCorpus) -> None:
    report = text.audit_texts(corpus)
    assert list(report.table().columns) == ["corpus", "source", "class", "kind", "finding"]
    assert "grammar, faithful" in report.to_html()
    with pytest.raises(ValueError, match="unknown source 'gpt'"):
        text.audit_texts(corpus, sources=("gpt",))


def test_an_imputation_shows_itself(corpus: TextCorpus) -> None:
    asked: dict[str, Any] = {
        "n_original": (20,),
        "fill_to": 40,
        "n_others": 60,
        "n_folds": 3,
        "n_repeats": 1,
    }
    found = text.impute_texts(corpus, "praise", **asked)
    assert {"raw", "weighting", "synthetic"} <= set(found.table()["arm"])
    assert list(found.claims()["synthesizer"]) == ["faithful"]
    assert isinstance(found.plot(), Figure)
    assert "Imputation of grammar/praise" in found.to_html()
    frame = pd.concat([corpus.base.drop_duplicates("id"), corpus.synthetic["faithful"]])
    of_table = text.impute_texts(frame, **asked)
    assert of_table.task.name == "own/complaint"
