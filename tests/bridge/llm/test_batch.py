"""Batches: what is missing goes out in a file, and its results come in once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
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
from opal.bridge.llm.request import Reply
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
    assert batch.export(WRITER, QUOTAS, ledger, tmp_path / "batch.jsonl").requests == 6
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
    loaded = batch.load([write([result(line) for line in exported[::-1]])], ledger, PRICES)
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
        with pytest.raises(
            LedgerError, match="waits in an exported batch, and 6 do in all; load their"
        ):
            again()
    assert not (tmp_path / "second.jsonl").exists()
    assert ledger.release() == 6
    assert batch.export(WRITER, QUOTAS, ledger, tmp_path / "second.jsonl").requests == 6


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
    loaded = batch.load([write(results)], ledger, PRICES)
    assert (loaded.done, loaded.failed, loaded.waiting) == (0, 4, 2)
    assert loaded.failures[:2] == ("1 × refusal", "1 × batch error: too late")
    kinds = {"refusal": 1, "batch error": 1, "batch 500": 1, "shape": 1}
    assert report(ledger).failed == kinds
    batch.load([write([result(line) for line in exported[4:]])], ledger, PRICES)
    with pytest.raises(ReplayError, match="holds 0 of 4"):
        generate(WRITER, QUOTAS, None, ledger)
    assert batch.export(WRITER, QUOTAS, ledger, tmp_path / "rest.jsonl").requests == 4
    asked = [line["body"]["messages"][0]["content"] for line in lines(tmp_path / "rest.jsonl")]
    assert asked == [f"a {i} on rain" for i in (1, 2, 4, 5)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda all_: [*all_, all_[0]], r"line 7: request '\w{12}' has two results"),
        (lambda all_: [all_[0] | {"custom_id": "f" * 64}], "'ffffffffffff' is not in this ledger"),
        (lambda all_: [all_[0], {"id": 1}], "line 2: it is no result of a batch"),
        (lambda all_: ["hello"], "line 1: it is no result of a batch"),
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
        batch.load([write(change([result(line) for line in exported]))], ledger)
    assert report(ledger).waiting == 6


def test_files_may_overlap(ledger: Ledger, exported: list[Line], write: Write) -> None:
    part = [result(line) for line in exported[:3]]
    assert batch.load([write(part)], ledger, PRICES) == batch.Loaded(3, 0, 3)
    paid = ledger.spent()
    assert batch.load([write(part)], ledger, PRICES) == batch.Loaded(0, 0, 3, known=3)
    assert ledger.spent() == paid
    whole = [result(line) for line in exported]
    assert batch.load([write(whole)], ledger, PRICES) == batch.Loaded(3, 0, 0, known=3)
    assert indices(generate(WRITER, QUOTAS, None, ledger)) == [0, 1, 2, 3, 0, 1]


def test_several_files_are_taken_whole_or_not_at_all(
    ledger: Ledger, exported: list[Line], tmp_path: Path
) -> None:
    paths = [tmp_path / name for name in ("one", "two")]
    paths[0].write_text("\n".join(json.dumps(result(each)) for each in exported[:4]))
    paths[1].write_text("\n".join(json.dumps(each) for each in exported[3:]))
    with pytest.raises(ValueError, match=r"two, line 1: it is a request: .*Nothing was loaded"):
        batch.load(paths, ledger)
    assert report(ledger).waiting == 6
    paths[1].write_text("\n".join(json.dumps(result(each)) for each in exported[3:]))
    assert batch.load(paths, ledger) == batch.Loaded(6, 0, 0, known=1)


def old(line: Line) -> Line:
    made = result(line)
    return made | {"response": made["response"]["body"]}


def stringly(line: Line) -> Line:
    made = result(line)
    return made | {"response": {"status_code": "200", "body": json.dumps(made["response"]["body"])}}


def without_status(line: Line) -> Line:
    made = result(line)
    return made | {"response": {"body": made["response"]["body"]}}


@pytest.mark.parametrize("form", [old, stringly, without_status])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_other_forms_of_answers_are_read(
    ledger: Ledger,
    exported: list[Line],
    tmp_path: Path,
    form: Callable[[Line], Line],
    encoding: str,
) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(
        "\r\n".join(json.dumps(form(line), ensure_ascii=False) for line in exported),
        encoding=encoding,
        newline="",
    )
    assert batch.load([path], ledger, PRICES) == batch.Loaded(6, 0, 0)
    assert len(generate(WRITER, QUOTAS, None, ledger)) == 6


def of_responses(line: Line) -> Line:
    body = {"object": "response", "output": [{"type": "message", "content": []}]}
    return result(line) | {"response": {"status_code": 200, "body": body}}


def embedding(line: Line) -> Line:
    return result(line) | {"response": {"status_code": 200, "body": {"object": "list", "data": []}}}


def anthropic(line: Line) -> Line:
    message = {"type": "message", "content": [{"type": "text", "text": "hello"}]}
    return {"custom_id": line["custom_id"], "result": {"type": "succeeded", "message": message}}


def bare(line: Line) -> Line:
    return {"custom_id": line["custom_id"]}


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (lambda line: line, "it is a request: this is the file that was sent"),
        (of_responses, r"of another kind \(of /v1/responses or /v1/completions\)"),
        (embedding, "neither a chat completion nor an error; its fields are data, object"),
        (anthropic, "neither a chat completion nor an error"),
        (bare, "neither a chat completion nor an error"),
    ],
)
@pytest.mark.parametrize("where", [0, 5])
def test_answers_of_another_kind_are_refused_whole_and_the_true_ones_load(
    ledger: Ledger,
    exported: list[Line],
    write: Write,
    form: Callable[[Line], Line],
    message: str,
    where: int,
) -> None:
    true = [result(line) for line in exported]
    wrong = [*true[:where], form(exported[where]), *true[where + 1 :]]
    with pytest.raises(ValueError, match=rf"line {where + 1}: .*{message}.*Nothing was loaded"):
        batch.load([write(wrong)], ledger)
    assert report(ledger).waiting == 6
    assert batch.load([write(true)], ledger).done == 6


def test_a_released_batch_is_booked_as_lost_until_its_late_answers_come(
    ledger: Ledger, exported: list[Line], write: Write
) -> None:
    reserved = ledger.spent()
    ledger.release()
    batch_cost = 6 * PRICES.cost(91, 20)
    # These were exported without prices: what is free may be lost without loss.
    assert (reserved, ledger.spent(), ledger.lost()) == (0, 0, 0)
    assert batch.load([write([result(line) for line in exported])], ledger, PRICES).done == 6
    assert ledger.spent() == batch_cost


def test_the_late_answer_of_a_request_that_was_given_up_is_served(
    ledger: Ledger, exported: list[Line], write: Write
) -> None:
    filtered = {"error": {"message": "flagged", "code": "content_filter"}}
    first, *others = [result(line) for line in exported]
    refused = first | {"response": {"status_code": 400, "body": filtered}}
    assert batch.load([write([refused, *others])], ledger).failed == 1
    with pytest.raises(ReplayError, match="holds 3 of 4"):
        generate(WRITER, QUOTAS, None, ledger)
    assert batch.load([write([first])], ledger).done == 1
    assert indices(generate(WRITER, QUOTAS, None, ledger)) == [0, 1, 2, 3, 0, 1]


def test_a_released_batch_of_a_price_stays_in_the_budget(
    ledger: Ledger, write: Write, tmp_path: Path
) -> None:
    each = PRICES.cost(91, 20)
    budget = Budget(9 * each * 1e-9, PRICES)
    batch.export(WRITER, QUOTAS, ledger, tmp_path / "one.jsonl", budget=budget)
    ledger.release()
    assert (ledger.spent(), ledger.lost()) == (6 * each, 6 * each)
    with pytest.raises(BudgetError, match="does not allow"):
        batch.export(WRITER, QUOTAS, ledger, tmp_path / "two.jsonl", budget=budget)
    found = [result(line) for line in lines(tmp_path / "one.jsonl")]
    assert batch.load([write(found[:4])], ledger, PRICES).done == 4
    assert (ledger.spent(), ledger.lost()) == (6 * each, 2 * each)
    # Asked again elsewhere, the two late answers are still lost money, and known.
    more = Budget(1.0, PRICES)
    batch.export(WRITER, QUOTAS, ledger, tmp_path / "two.jsonl", budget=more)
    again = [result(line) for line in lines(tmp_path / "two.jsonl")]
    assert batch.load([write(again)], ledger, PRICES).done == 2
    assert batch.load([write(found)], ledger, PRICES).known == 6
    assert (ledger.spent(), ledger.lost()) == (8 * each, 2 * each)


EACH = PRICES.cost(91, 20)


def cheap(line: Line, number: int = 1) -> Line:
    """The true answer of a batch, which costs less than the worst case."""
    made = result(line)
    made["id"] = f"batch_req_{number}"
    made["response"]["body"]["usage"] = {"prompt_tokens": 10, "completion_tokens": 5}
    return made


BILLED = PRICES.cost(10, 5)


@pytest.mark.parametrize("between", ["nothing", "answered", "failed", "exported", "sent"])
def test_late_answers_of_a_released_batch_are_billed_and_no_longer_lost(
    ledger: Ledger, write: Write, tmp_path: Path, between: str
) -> None:
    budget = Budget(1.0, PRICES)
    batch.export(WRITER, QUOTAS, ledger, tmp_path / "one.jsonl", budget=budget)
    first = lines(tmp_path / "one.jsonl")
    assert ledger.release() == 6
    assert ledger.release() == 0
    requests = [WRITER.request(group, i) for group, n in QUOTAS.items() for i in range(n)]
    spent = lost = 0
    for request in requests:
        if between in ("answered", "failed", "sent"):
            ledger.sent(request, EACH, 111)
        if between == "answered":
            ledger.done(request, Reply("another", 30, 2, "stop", "m"), 7)
            spent += 7
        if between == "failed":
            ledger.failed(request, "http 504", "no", 0, final=False, lost=EACH)
        if between in ("failed", "sent"):
            lost += EACH
    if between == "exported":
        batch.export(WRITER, QUOTAS, ledger, tmp_path / "two.jsonl", budget=budget)
        found = [cheap(line, 2) for line in lines(tmp_path / "two.jsonl")]
        assert batch.load([write(found)], ledger, PRICES).done == 6
        spent += 6 * BILLED
    assert (ledger.lost(), ledger.spent()) == (6 * EACH + lost, 6 * EACH + lost + spent)
    loaded = batch.load([write([cheap(line) for line in first])], ledger, PRICES)
    taken = 0 if between in ("answered", "exported") else 6
    assert (loaded.done, loaded.known, loaded.late) == (taken, 6 - taken, 6)
    # Again, and nothing is counted twice.
    for _ in range(2):
        assert (ledger.lost(), ledger.spent()) == (lost, lost + spent + 6 * BILLED)
        assert indices(generate(WRITER, QUOTAS, None, ledger)) == [0, 1, 2, 3, 0, 1]
        again = batch.load([write([cheap(line) for line in first])], ledger, PRICES)
        assert again == batch.Loaded(0, 0, 0, known=6)


def test_a_late_error_of_a_released_batch_costs_nothing(
    ledger: Ledger, write: Write, tmp_path: Path
) -> None:
    batch.export(WRITER, QUOTAS, ledger, tmp_path / "one.jsonl", budget=Budget(1.0, PRICES))
    ledger.release()
    error = {"response": None, "error": {"code": "batch_expired", "message": "too late"}}
    late = [{"custom_id": line["custom_id"], **error} for line in lines(tmp_path / "one.jsonl")]
    assert batch.load([write(late)], ledger, PRICES).late == 6
    assert (ledger.lost(), ledger.spent()) == (0, 0)


def test_an_error_of_all_is_told_and_bars_none_from_being_asked_again(
    ledger: Ledger, exported: list[Line], write: Write, tmp_path: Path
) -> None:
    told = {"error": {"message": "Unsupported parameter: 'max_tokens'.", "param": "max_tokens"}}
    refused = [result(line) | {"response": {"status_code": 400, "body": told}} for line in exported]
    found = batch.load([write(refused)], ledger)
    assert (found.failed, found.waiting) == (6, 0)
    (why,) = found.failures
    assert why.startswith("6 × batch 400: Unsupported parameter: 'max_tokens'. Name the limit as")
    assert why.endswith("with --limit-name.")
    again = batch.export(
        WRITER, QUOTAS, ledger, tmp_path / "two.jsonl", limit_name="max_completion_tokens"
    )
    assert again.requests == 6
    assert "max_completion_tokens" in lines(tmp_path / "two.jsonl")[0]["body"]


@pytest.mark.parametrize(("most", "size"), [(4, 10**9), (10**9, 1000)])
def test_more_than_a_file_may_hold_goes_into_several(
    ledger: Ledger, tmp_path: Path, most: int, size: int
) -> None:
    path = tmp_path / "batch.jsonl"
    made = batch.export(WRITER, QUOTAS, ledger, path, most_requests=most, most_bytes=size)
    names = [f"batch-{k}.jsonl" for k in range(1, len(made.paths) + 1)]
    assert [each.name for each in made.paths] == names
    assert len(names) > 1
    assert not path.exists()
    parts = [lines(each) for each in made.paths]
    assert all(len(part) <= most for part in parts)
    assert all(each.stat().st_size <= size for each in made.paths)
    assert [line["custom_id"] for part in parts for line in part] == [
        WRITER.request(g, i).key for g, n in QUOTAS.items() for i in range(n)
    ]


def test_a_batch_that_could_not_be_written_is_taken_back(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def fail(path: Path, text: str, *, private: bool) -> None:
        if written:
            raise OSError("disk full")
        written.append(path)
        path.write_text(text)

    monkeypatch.setattr("opal.bridge.llm.batch.files.write_text", fail)
    with pytest.raises(OSError, match="disk full"):
        batch.export(
            WRITER, QUOTAS, ledger, tmp_path / "b.jsonl", budget=Budget(1.0, PRICES),
            most_requests=4,
        )  # fmt: skip
    assert not written[0].exists()
    assert (ledger.spent(), report(ledger).waiting) == (0, 0)


def test_a_batch_is_within_the_budget(ledger: Ledger, tmp_path: Path) -> None:
    each, path = ((11 + 80) + 2 * 20) * 1e-6, tmp_path / "batch.jsonl"
    with pytest.raises(BudgetError, match="budget of"):
        batch.export(WRITER, QUOTAS, ledger, path, budget=Budget(5.9 * each, PRICES))
    assert not path.exists()
    assert report(ledger).requests == 0
    assert (
        batch.export(WRITER, QUOTAS, ledger, path, budget=Budget(6.1 * each, PRICES)).requests == 6
    )
    assert ledger.spent() == pytest.approx(6e9 * each)


def test_files_are_not_overwritten_and_nothing_missing_writes_none(
    ledger: Ledger, exported: list[Line], write: Write, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="exists; name another file"):
        batch.export(WRITER, QUOTAS, ledger, tmp_path / "batch.jsonl")
    batch.load([write([result(line) for line in exported])], ledger)
    assert batch.export(WRITER, QUOTAS, ledger, tmp_path / "none.jsonl").requests == 0
    assert not (tmp_path / "none.jsonl").exists()


def test_a_load_that_is_killed_takes_all_or_nothing(tmp_path: Path) -> None:
    path, answers, many = tmp_path / "l.db", tmp_path / "answers.jsonl", 5000
    with Ledger(path) as ledger:
        batch.export(WRITER, {"a": many}, ledger, tmp_path / "b.jsonl", budget=Budget(9.0, PRICES))
    answers.write_text("\n".join(json.dumps(cheap(e)) for e in lines(tmp_path / "b.jsonl")))
    command = [sys.executable, "-m", "tests.bridge.llm.load_batch", str(path), str(answers)]
    for delay in (0.05, 0.3, 0.6):
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.kill()
            process.wait(10)
        with Ledger(path) as ledger:
            told = report(ledger)
            assert (told.done, told.waiting) in ((0, many), (many, 0))
    with Ledger(path) as ledger:
        done = report(ledger).done
        loaded = batch.load([answers], ledger, PRICES)
        assert (loaded.done, loaded.known) == (many - done, done)
        assert (ledger.spent(), ledger.lost()) == (many * BILLED, 0)
        assert indices(generate(WRITER, {"a": many}, None, ledger)) == [*range(many)]
