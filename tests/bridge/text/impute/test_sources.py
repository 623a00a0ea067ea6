"""SSMBA with a masked language model that is trained here, in seconds."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch", reason="needs the extra text")
pytest.importorskip("transformers", reason="needs the extra text")

from opal.bridge.text.corpus import text_table
from opal.bridge.text.impute import sources
from opal.bridge.text.impute.sources import Ssmba
from tests.bridge.text.masked import masked

WHO, WHAT, HOW = ("waiter", "cook", "guest"), ("soup", "bread", "wine"), ("warm", "cold", "fine")
LINES = [f"the {a} said the {b} was {c} today" for a in WHO for b in WHAT for c in HOW]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return masked(tmp_path_factory.mktemp("masked"), LINES * 4)


@pytest.fixture(scope="module")
def model(folder: Path) -> Ssmba:
    return Ssmba(str(folder), rate=0.25)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return text_table(LINES[:12], ["a", "b"] * 6)


@pytest.fixture(scope="module")
def near(model: Ssmba, frame: pd.DataFrame) -> pd.DataFrame:
    return model.augment(frame, 3, seed=1)


def test_label_and_lineage_are_kept(model: Ssmba, frame: pd.DataFrame, near: pd.DataFrame) -> None:
    labels = frame.set_index("id")["label"]
    assert len(near) > 2 * len(frame)
    assert set(near["source"]) == {model.name}
    for seeds, label in zip(near["seeds"], near["label"], strict=True):
        (seed,) = seeds
        assert labels[seed] == label


def test_neighbours_are_new_and_near(frame: pd.DataFrame, near: pd.DataFrame) -> None:
    said = frame.set_index("id")["text"]
    for seeds, text in zip(near["seeds"], near["text"], strict=True):
        words = said[seeds[0]].split()
        assert text != said[seeds[0]]
        shared = sum(word in text.split() for word in words)
        assert shared >= len(words) - 5


def test_draws_depend_on_seed_and_text_alone(
    model: Ssmba, frame: pd.DataFrame, near: pd.DataFrame
) -> None:
    alone = model.augment(frame.iloc[[7]], 3, seed=1)
    beside = near[near["seeds"] == (frame["id"].iloc[7],)]
    assert alone["text"].tolist() == beside["text"].tolist()
    other = replace(model, batch=5).augment(frame, 3, seed=1)
    assert other["text"].tolist() == near["text"].tolist()
    assert model.augment(frame, 3, seed=2)["text"].tolist() != near["text"].tolist()


def test_what_the_model_learned_shows(near: pd.DataFrame, folder: Path, tmp_path: Path) -> None:
    """Most neighbours are sentences of its language; those of an untrained model are not."""
    known = {word for line in LINES for word in line.split()}
    untrained = masked(tmp_path, LINES, steps=1)
    noise = Ssmba(str(untrained), rate=0.25).augment(text_table(LINES[:12], ["a"] * 12), 3)

    def share(frame: pd.DataFrame) -> float:
        words = [word for text in frame["text"] for word in text.split()]
        return float(np.mean([word in known for word in words]))

    assert share(near) > 0.93
    assert share(noise) < 0.9


def test_draws_follow_their_probabilities() -> None:
    p = np.array([0.1, 0.6, 0.0, 0.3])
    u = (np.arange(1000) + 0.5) / 1000
    drawn = np.bincount([sources._draw(p, each, 0) for each in u], minlength=4)
    assert drawn.tolist() == [100, 600, 0, 300]
    assert {sources._draw(p, each, 1) for each in u} == {1}


def test_a_text_without_neighbours_has_none(model: Ssmba) -> None:
    """A token is all there is, and the likeliest one is the only one that may be drawn."""
    only = replace(model, most_likely=1)
    assert len(only.augment(text_table(["the"], ["a"]), 4)) <= 1


def test_a_model_without_a_head_is_refused(folder: Path, tmp_path: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    AutoModel.from_pretrained(folder).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    frame = text_table(LINES[:2], ["a", "b"])
    with pytest.raises(ValueError, match=r"SSMBA needs a masked language model; .* has no trained"):
        Ssmba(str(tmp_path)).augment(frame, 1)


def test_a_tokenizer_without_a_mask_is_refused(folder: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM

    from tests.bridge.llm import tiny

    AutoModelForMaskedLM.from_pretrained(folder).save_pretrained(tmp_path)
    tiny.tokenizer(LINES).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"has no mask token\. Name one such as"):
        Ssmba(str(tmp_path)).augment(text_table(LINES[:2], ["a", "b"]), 1)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("rate", 0.0, "rate is the share of corrupted tokens, in (0, 1]; got 0.0."),
        ("most_likely", -1, "most_likely must be at least 0; got -1."),
        ("batch", 0, "batch must be at least 1; got 0."),
    ],
)
def test_bad_settings(field: str, value: float, message: str) -> None:
    given: dict[str, Any] = {field: value}
    with pytest.raises(ValueError, match=re.escape(message)):
        Ssmba("anywhere", **given)


def test_bad_texts(model: Ssmba, frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="each text there once; got 1 and 12 that repeat"):
        model.augment(pd.concat([frame, frame]), 1)
