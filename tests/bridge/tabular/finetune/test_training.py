"""Rows as tokens, and a training that is interrupted: what it learns is the same bit for bit."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks._causal import saved
from opal.bridge.prompts import transcript
from opal.bridge.tabular.finetune import training
from opal.bridge.tabular.finetune.model import fingerprint, load
from opal.bridge.tabular.finetune.rows import RowTexts
from opal.bridge.tabular.finetune.sampling import continued
from opal.bridge.tabular.finetune.training import RowTuning, train

torch = pytest.importorskip("torch", reason="needs the extra text")

COLUMNS = ("x one", "whole", "y")
VALUES = np.stack([np.arange(24) / 10 - 1, np.arange(24) % 7 * 1000.0, np.arange(24) % 2.0], axis=1)


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def tuning(tmp_path_factory: pytest.TempPathFactory) -> RowTuning:
    lines = [transcript.clause(COLUMNS, row) for row in VALUES]
    shape: dict[str, Any] = {
        "n_embd": 16,
        "n_layer": 1,
        "n_head": 2,
        "n_positions": 96,
    }  # dropout is on
    path = saved(tmp_path_factory.mktemp("model"), lines, tokens=300, **shape)
    return RowTuning(model=str(path), epochs=3, batch=7, learning_rate=3e-3, threads=1)


def learnt(
    tuning: RowTuning, folder: Path, die_at: int | None = None
) -> tuple[str, list[float], list[int]]:
    """Digest of the weights, losses of the epochs, and the steps that were told."""
    model, tokenizer = load(tuning)
    steps = []

    def told(step: int, n_steps: int, loss: float) -> None:
        assert n_steps == 12
        assert loss > 0
        steps.append(step)
        if step == die_at:
            raise KilledError

    losses = train(model, RowTexts(COLUMNS, VALUES, tokenizer), tuning, folder / "c.pt", told)
    return fingerprint(model), losses, steps


def test_a_row_begins_with_the_tokens_of_its_prompt_and_reads_back(tuning: RowTuning) -> None:
    rows = RowTexts(COLUMNS, VALUES, load(tuning)[1])
    tokens = rows.tokens(10, [2, 1, 0])
    assert rows.text(tokens) == "y is 0, whole is 3000, x one is 0.0"
    assert rows.text(rows.tokens(3, [0, 1, 2])) == "x one is -0.7, whole is 3000, y is 1"
    assert tokens[-1] == rows.end
    prompt = rows.prompt([(2, 0.0), (1, 3000.0)])
    assert rows.text(prompt) == "y is 0, whole is 3000,"
    assert tokens[: len(prompt)] == prompt


def test_the_longest_row_is_that_of_the_longest_order(tuning: RowTuning) -> None:
    rows = RowTexts(COLUMNS, VALUES, load(tuning)[1])
    found = [[len(rows.tokens(i, o)) for i in range(24)] for o in permutations(range(3))]
    assert rows.longest == np.max(found) > np.max(found[0])


def test_a_line_end_inside_a_row_is_seen(tuning: RowTuning) -> None:
    rows = RowTexts(COLUMNS, VALUES, load(tuning)[1])
    assert rows.text([*rows.tokens(0, [0]), *rows._tokenizer("\n2")["input_ids"]]) == (
        r"x one is -1.0\n2"
    )


def test_a_tokenizer_that_loses_something_is_refused(tuning: RowTuning) -> None:
    tokenizer: Any = load(tuning)[1]
    decode = tokenizer.decode
    tokenizer.decode = lambda tokens, **options: decode(tokens, **options).replace("-", "")
    with pytest.raises(
        ValueError, match=r"data row 1 came back as 'x one is 1.0, whole is 0, y is 0'"
    ):
        RowTexts(COLUMNS, VALUES, tokenizer)


@pytest.mark.parametrize("die_at", [1, 6, 11])
def test_a_training_that_was_killed_ends_as_if_it_had_not(
    tuning: RowTuning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, die_at: int
) -> None:
    whole = learnt(tuning, tmp_path / "whole")
    monkeypatch.setattr(training, "LEAST_SECONDS", 0)
    monkeypatch.setattr(training, "_SHARE", 0)
    with pytest.raises(KilledError):
        learnt(tuning, tmp_path, die_at)
    left = [tmp_path / f".c.pt.{name}" for name in ("old", "new")]
    for path, age in zip(left, (4000, 3000), strict=True):
        path.touch()
        os.utime(path, (0, time.time() - age))
    resumed = learnt(tuning, tmp_path)
    assert [path.exists() for path in left] == [False, True]  # one may still be written
    assert resumed[2] == list(range(die_at, 13))  # only the step that was not on disk is repeated
    assert resumed[:2] == whole[:2]
    assert learnt(tuning, tmp_path) == (*whole[:2], [])  # and what is done is not done again


def test_a_spoiled_checkpoint_is_named(tuning: RowTuning, tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    torch.save({"model": {}, "moments": None, "step": 1, "losses": [1.0]}, path)
    foreign = path.read_bytes()
    for content in (b"", b"garbage", foreign[: len(foreign) // 2], foreign):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"the checkpoint .*c.pt cannot be read .*: delete it"):
            learnt(tuning, tmp_path)


def test_another_configuration_is_another_model(tuning: RowTuning) -> None:
    model = load(tuning)[0]
    before = fingerprint(model)
    model.config._name_or_path = "elsewhere"
    assert fingerprint(model) == before
    model.config.activation_function = "relu"
    assert fingerprint(model) != before


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_truncated_folder_has_a_remedy(tuning: RowTuning, tmp_path: Path, file: str) -> None:
    folder = shutil.copytree(tuning.model, tmp_path / "cut")
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(
        ValueError, match=r"/cut' must be a causal.*[^.]\. Write the folder anew"
    ) as said:
        load(replace(tuning, model=str(folder)))
    assert "hf download" not in str(said.value)


def test_a_model_that_does_not_fit_is_refused(tuning: RowTuning, tmp_path: Path) -> None:
    """One that sees what is to come, and one without the tokens of its tokenizer."""
    from transformers import BertConfig, BertForMaskedLM

    folder = shutil.copytree(tuning.model, tmp_path / "bert")
    shape = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    BertForMaskedLM(BertConfig(num_hidden_layers=1, **shape)).save_pretrained(folder)
    with pytest.raises(ValueError, match=r"must be causal; .*/bert' \(BertLMHeadModel\) sees"):
        load(replace(tuning, model=str(folder)))
    few: Any = SimpleNamespace(get_input_embeddings=lambda: SimpleNamespace(num_embeddings=100))
    with pytest.raises(ValueError, match=r"it has 100, and a row needs token \d{3}: name"):
        RowTexts(COLUMNS, VALUES, load(tuning)[1]).room(few, 512)


def test_another_seed_or_a_checkpoint_without_its_moments_ends_elsewhere(
    tuning: RowTuning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the test above compares can differ."""
    whole = learnt(tuning, tmp_path / "whole")[0]
    assert learnt(replace(tuning, seed=1), tmp_path / "other")[0] != whole
    monkeypatch.setattr(training, "LEAST_SECONDS", 0)
    monkeypatch.setattr(training, "_SHARE", 0)
    with pytest.raises(KilledError):
        learnt(tuning, tmp_path, 6)
    state = torch.load(tmp_path / "c.pt", weights_only=True)
    torch.save(state | {"moments": None}, tmp_path / "c.pt")
    assert learnt(tuning, tmp_path)[0] != whole


def test_a_training_that_diverges_says_so(
    tuning: RowTuning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    descend = training._descend
    losses = iter([1.0, 2.0, np.nan])
    monkeypatch.setattr(training, "_descend", lambda *given: descend(*given) * next(losses))
    with pytest.raises(ValueError, match="it is nan after 2 steps: lower --learning-rate"):
        learnt(tuning, tmp_path)


def test_the_likeliest_tokens_are_those_of_transformers(tuning: RowTuning) -> None:
    model: Any = load(tuning)[0].eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights *= 5  # or every token is followed by itself
    prompts = [[0, 40, 41], [0, 260, 50]]
    for prompt in prompts:
        given = {"input_ids": torch.tensor([prompt]), "attention_mask": torch.ones((1, 3))}
        theirs = model.generate(**given, do_sample=False, max_new_tokens=20, pad_token_id=0)[0, 3:]
        (ours,) = continued(model, prompt, np.zeros((1, 20)), 0.0, end=0)
        assert ours == theirs.tolist()
        assert len(set(ours)) > 1
