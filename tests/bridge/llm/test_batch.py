"""Batches: what is missing goes out in a file, and its results come in once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opal.bridge.llm import batch
from opal.bridge.llm.budget import Budget, BudgetError, Prices
from opal.bridge.llm.database import LedgerError
from opal.bridge.llm.generate import ReplayError, generate
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.report import report
from tests.bridge.llm.plain import Plain, indices
from tests.bridge.llm.server import Seen, completion

WRITER, QUOTAS = Plain(), {"a": 4, "b": 2}
PRICES = Prices(1.0, 2.0)
Line = dict[str, Any]


def lines(path: Path) -> list[Line]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def result(line: Line, action: str = "ok", status: int = 200) -> Line:
    """What the provider makes of a line."""
    payload = completion(Seen(0.0, line["custom_id"], 0, action, line["body"]), action)
    response = {"status_code": status, "request_id": "r", "body": payload}
    return {"id": "x", "custom_id": line["custom_id"], "response": response, "error": None}


@pytest.fixture
def exported(ledger: Ledger, tmp_path: Path) -> list[Line]:
    assert batch.export(WRITER, QUOTAS, ledger, tmp_path / "batch.jsonl") == 6
    return lines(tmp_path / "batch.jsonl")


@pytest.fixture
def write(tmp_path: Path) -> Callable[[list[Line]], Path]:
    def to_file(results: list[Line]) -> Path:
        path = tmp_path / "results.jsonl"
        path.write_text("\n".join(map(json.dumps, results)) + "\n\n")
        return path

    return to_file


Write = Callable[[list[Line]], Path]


def test_a_batch_in_any_order_gives_the_samples(
    ledger: Ledger, exported: list[Line], write: Write
) -> None:
    first = exported[0]
    assert (first["method"], first["url"]) == ("POST", "/v1/chat/completions")
    assert first["custom_id"] == WRITER.request("a", 0).key
    assert first["body"]["messages"] == [{"role": "user", "content": "a 0 on rain"}]
    loaded = batch.load(write([result(line) for line in exported[::-1]]), ledger, PRICES)
    assert loaded == batch.Loaded(done=6, failed=0, waiting=0)
    samples = generate(WRITER, QUOTAS, None, ledger)
    assert (indices(samples), samples[0].content) == ([0, 1, 2, 3, 0, 1], "answer to a 0 on rain")
    assert report(ledger).cost == pytest.approx(6 * ((11 + 80) + 2 * 20) * 1e-6)


def test_what_waits_in_a_batch_is_asked_in_no_other_way(
    ledger: Ledger, exported: list[Line], tmp_path: Path
) -> None:
    for again in (
        lambda: generate(WRITER, QUOTAS, None, ledger),
        lambda: batch.export(WRITER, QUOTAS, ledger, tmp_path / "second.jsonl"),
    ):
        with pytest.raises(LedgerError, match="waits in an exported batch; load its results"):
            again()
    assert not (tmp_path / "second.jsonl").exists()
    assert ledger.release() == 6
    assert batch.export(WRITER, QUOTAS, ledger, tmp_path / "second.jsonl") == 6


def test_failures_of_a_batch_are_recorded_and_made_up_for(
    ledger: Ledger, exported: list[Line], write: Write, tmp_path: Path
) -> None:
    error = {"custom_id": exported[1]["custom_id"], "response": None}
    expired = error | {"error": {"code": "batch_expired", "message": "too late"}}
    results = [
        result(exported[0], "refusal"),
        expired,
        result(exported[2], status=500),
        result(exported[3], "shape"),
    ]
    loaded = batch.load(write(results), ledger, PRICES)
    assert loaded == batch.Loaded(done=0, failed=4, waiting=2)
    kinds = {"refusal": 1, "batch error": 1, "batch 500": 1, "shape": 1}
    assert report(ledger).failed == kinds
    batch.load(write([result(line) for line in exported[4:]]), ledger, PRICES)
    with pytest.raises(ReplayError, match="holds 0 of 4"):
        generate(WRITER, QUOTAS, None, ledger)
    assert batch.export(WRITER, QUOTAS, ledger, tmp_path / "rest.jsonl") == 4
    asked = [line["body"]["messages"][0]["content"] for line in lines(tmp_path / "rest.jsonl")]
    assert asked == [f"a {i} on rain" for i in (1, 2, 4, 5)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda all_: [*all_, all_[0]], r"line 7: request '\w{12}' has two results"),
        (lambda all_: [all_[0] | {"custom_id": "f" * 64}], "'ffffffffffff' is not in this ledger"),
        (lambda all_: [all_[0], {"id": 1}], "line 2 is no result of a batch"),
        (lambda all_: ["hello"], "line 1 is no result of a batch"),
    ],
)
def test_wrong_files_are_refused_whole(
    ledger: Ledger,
    exported: list[Line],
    write: Write,
    change: Callable[[list[Line]], list[Line]],
    message: str,
) -> None:
    with pytest.raises(ValueError, match=rf"{message}.*\. Nothing was loaded"):
        batch.load(write(change([result(line) for line in exported])), ledger)
    assert report(ledger).waiting == 6


def test_results_are_loaded_once(ledger: Ledger, exported: list[Line], write: Write) -> None:
    path = write([result(exported[0])])
    batch.load(path, ledger)
    with pytest.raises(ValueError, match="has an answer already: the file was loaded before"):
        batch.load(path, ledger)
    ledger.release()
    with pytest.raises(ValueError, match="does not wait in a batch"):
        batch.load(write([result(exported[1])]), ledger)


def test_a_batch_is_within_the_budget(ledger: Ledger, tmp_path: Path) -> None:
    each, path = ((11 + 80) + 2 * 20) * 1e-6, tmp_path / "batch.jsonl"
    with pytest.raises(BudgetError, match="budget of"):
        batch.export(WRITER, QUOTAS, ledger, path, budget=Budget(5.9 * each, PRICES))
    assert not path.exists()
    assert report(ledger).requests == 0
    assert batch.export(WRITER, QUOTAS, ledger, path, budget=Budget(6.1 * each, PRICES)) == 6
    assert ledger.spent() == pytest.approx(6e9 * each)


def test_files_are_not_overwritten_and_nothing_missing_writes_none(
    ledger: Ledger, exported: list[Line], write: Write, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="exists; name another file"):
        batch.export(WRITER, QUOTAS, ledger, tmp_path / "batch.jsonl")
    batch.load(write([result(line) for line in exported]), ledger)
    assert batch.export(WRITER, QUOTAS, ledger, tmp_path / "none.jsonl") == 0
    assert not (tmp_path / "none.jsonl").exists()
