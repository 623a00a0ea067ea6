"""Tokens follow the model's law; what was drawn is on disk, and is not drawn again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from opal.bridge.llm.loop import HopelessError
from opal.bridge.tabular.finetune import sampling
from opal.bridge.tabular.finetune.sampling import RowWriter, continued
from opal.bridge.tabular.finetune.training import RowTuning

torch = pytest.importorskip("torch", reason="needs the extra text")

END = 3
LAW = np.log([0.5, 0.3, 0.0625, 0.1375])


class Law:
    """A model whose next token has the same law after every token."""

    device = torch.device("cpu")
    asked = 0

    def __call__(self, input_ids: Any, attention_mask: Any, **_: Any) -> SimpleNamespace:
        self.asked += 1
        scores = torch.tensor(LAW).expand(*input_ids.shape, -1)
        return SimpleNamespace(logits=scores, past_key_values=None)

    def eval(self) -> Law:
        return self


class Said:
    """Rows ``a is TOKEN, b is 1``; token 0 says what is no number."""

    columns, end = ("a", "b"), END

    def prompt(self, values: Any) -> list[int]:
        return [1]

    def text(self, tokens: list[int]) -> str:
        assert tokens[0] == 1
        return f"b is 1, a is {'no' if tokens[1:2] == [0] else sum(tokens)}"


def written(
    folder: Path, n: int = 30, *, model: Law | None = None, **changes: Any
) -> sampling.GroupDraws:
    folder.mkdir(exist_ok=True)
    tuning = replace(RowTuning(model="m", temperature=1.0), **changes)
    writer = RowWriter(model or Law(), Said(), tuning, folder / "draws.jsonl", most=7)  # type: ignore[arg-type]
    return writer.fill("g", [(1, 1.0)], n, lambda _: None)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 0.0])
def test_tokens_are_drawn_from_the_tempered_law(temperature: float) -> None:
    places = (np.arange(1000)[:, None] + 0.5) / 1000
    drawn = np.array(continued(Law(), [1], places, temperature, END))[:, 0]
    found = np.bincount(drawn, minlength=4) / 1000
    law = np.exp(LAW / temperature) if temperature else np.array([1.0, 0, 0, 0])
    np.testing.assert_allclose(found, law / law.sum(), atol=1e-3)


def test_a_token_without_probability_is_never_drawn() -> None:
    class Never(Law):
        def __call__(self, *args: Any, **named: Any) -> SimpleNamespace:
            found = super().__call__(*args, **named)
            found.logits = found.logits.clone()
            found.logits[..., 0] = -torch.inf
            return found

    assert continued(Never(), [1], np.zeros((1, 1)), 1.0, END) == [[1]]


def test_a_row_needs_its_end(tmp_path: Path) -> None:
    found = written(tmp_path, 30)
    assert found.n_rows >= 30
    reasons = sampling.rejections({"g": found})
    assert set(reasons) == {
        "the row does not end where rows end",
        "the value of … must be a number",
    }
    assert sum(reasons.values()) == len(found.texts) - found.n_rows
    assert [place for place, _ in found.rows(30)] == [
        place for place, each in enumerate(found.texts) if each.row is not None
    ][:30]


def test_draws_depend_on_seed_group_and_place_and_not_on_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = written(tmp_path / "a").texts
    monkeypatch.setattr(sampling, "_ON_A_CPU", 3)
    again = written(tmp_path / "b").texts
    n = min(len(found), len(again))
    assert n >= 30
    assert found[:n] == again[:n]
    assert written(tmp_path / "c", seed=1).texts[:n] != found[:n]


def test_a_run_that_was_killed_draws_only_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "_ON_A_CPU", 8)
    whole = written(tmp_path).texts
    file = tmp_path / "draws.jsonl"
    content = file.read_bytes()
    lines = content.splitlines(keepends=True)
    assert len(lines) > 4
    file.write_bytes(b"".join(lines[:2]) + lines[2][:17])  # killed while it wrote
    assert written(tmp_path).texts == whole
    assert file.read_bytes() == content
    model = Law()
    assert written(tmp_path, model=model).texts == whole
    assert model.asked == 0
    file.write_bytes(content + lines[-1])  # two runs at once wrote the same
    assert written(tmp_path).texts == whole
    assert json.loads(lines[1])[:2] == ["g", 8]


@pytest.mark.parametrize("line", [b"", b"\xff", b"[1]", b'["g", 0, [1]]', b'{"g": 0}', b"\0\0"])
def test_a_spoiled_line_of_draws_is_named(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "draws.jsonl").write_bytes(b'["g", 0, [["a is 1", true]]]\n' + line + b"\n")
    with pytest.raises(ValueError, match=r"line 2 of .*draws.jsonl must be a batch .*: restore"):
        written(tmp_path)


def test_a_model_that_writes_no_rows_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(HopelessError, match=r"group 'g': 2 batches in a row had no row; \d+ of"):
        written(tmp_path, temperature=0.0, patience=2)


def test_reasons_are_counted_without_what_differs() -> None:
    reasons = ("there is no column 'a: b'; did you mean 'a'", 'there is no column "it\'s".')
    texts = [sampling.Written("", None, reason) for reason in reasons]
    found = sampling.rejections({"g": sampling.GroupDraws(texts)})
    assert found == {"there is no column …": 2}
