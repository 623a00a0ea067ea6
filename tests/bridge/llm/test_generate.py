"""Exactly the samples asked for: in order, resumed, replayed, within budget and limits."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from opal.bridge.llm.budget import Budget, BudgetError, Limits, Prices
from opal.bridge.llm.database import LedgerError
from opal.bridge.llm.generate import ReplayError, generate
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.loop import HopelessError
from opal.bridge.llm.report import report
from opal.bridge.llm.request import (
    FailedError,
    FatalError,
    Gate,
    RefusedError,
    Rejection,
    Reply,
    Request,
    WrittenSample,
)
from tests.bridge.llm.conftest import Open, Serve
from tests.bridge.llm.plain import Plain, indices
from tests.bridge.llm.server import Seen, answer

WIDE = Limits(concurrency=8)


class Scripted:
    """A client that answers with given texts, by group and index, after random waits."""

    def __init__(self, texts: dict[tuple[str, int], str] | None = None, wait: float = 0.002):
        self.texts = texts or {}
        self.asked: list[tuple[str, int]] = []
        self._wait = wait
        self._random = random.Random(1)

    async def ask(self, request: Request, *, idempotency_key: str, gate: Gate) -> Reply:
        assert idempotency_key == request.key
        await gate()
        place = (request.group, request.index)
        self.asked.append(place)
        await asyncio.sleep(self._random.random() * self._wait)
        text = self.texts.get(place, answer(request.messages[0].content))
        if text == "refuse":
            raise RefusedError("I cannot.", kind="refusal", tokens=(5, 5))
        if text == "fail":
            raise FailedError("broken.", kind="http 500", tokens=(0, 0))
        return Reply(text, 10, 5, "stop", "model")

    async def close(self) -> None: ...


def test_counts_are_exact_and_in_order_whatever_order_answers_come_in(ledger: Ledger) -> None:
    client = Scripted()
    samples = generate(Plain(), {"b": 13, "a": 7, "none": 0}, client, ledger, limits=WIDE)
    assert [each.group for each in samples] == ["b"] * 13 + ["a"] * 7
    assert indices(samples) == [*range(13), *range(7)]
    assert len(client.asked) == 20
    first = samples[0]
    assert first.content == answer("b 0 on rain")
    assert first.key == Plain().request("b", 0).key
    assert first.date.startswith("20")
    assert (first.model, first.temperature, first.max_tokens) == ("model", 1.0, 20)


def test_what_gives_no_sample_is_made_up_for_and_never_served(ledger: Ledger) -> None:
    texts = {("a", 0): "no", ("a", 3): "refuse", ("a", 4): "fail"}
    samples = generate(Plain(), {"a": 6}, Scripted(texts), ledger, limits=WIDE)
    assert indices(samples) == [1, 2, 5, 6, 7, 8]
    told = report(ledger)
    assert (told.done, told.rejected, told.failed) == (7, 1, {"refusal": 1, "http 500": 1})


def test_a_later_run_asks_for_what_is_missing_only(ledger: Ledger) -> None:
    texts = {("a", 0): "no", ("a", 1): "refuse", ("a", 2): "fail"}
    generate(Plain(), {"a": 4}, Scripted(texts), ledger)
    again = Scripted()
    same = generate(Plain(), {"a": 4}, again, ledger)
    assert (indices(same), again.asked) == ([3, 4, 5, 6], [])
    more = generate(Plain(), {"a": 6}, again, ledger)
    # What failed is asked again; what was refused or gave no sample is not.
    assert (indices(more), again.asked) == ([2, 3, 4, 5, 6, 7], [("a", 2), ("a", 7)])
    other = Scripted()
    generate(Plain(topic="snow"), {"a": 2}, other, ledger)
    assert len(other.asked) == 2


def test_answers_with_several_samples_or_fewer_fill_the_quota_exactly(ledger: Ledger) -> None:
    texts = {("a", i): "\n".join("xyzuv"[: 1 + i % 5]) for i in range(20)}
    client = Scripted(texts)
    samples = generate(Plain(per_request=3), {"a": 11}, client, ledger, limits=WIDE)
    read = [(i, c) for i in range(20) for c in texts["a", i].splitlines()]
    assert [(i, s.content) for i, s in zip(indices(samples), samples, strict=True)] == read[:11]
    assert len(client.asked) <= 6


@pytest.mark.parametrize("client", [None, Scripted()])
def test_replay_needs_no_door(ledger: Ledger, client: Scripted | None) -> None:
    made = generate(Plain(), {"a": 5, "b": 2}, Scripted({("a", 2): "refuse"}), ledger)
    assert generate(Plain(), {"a": 5, "b": 2}, client, ledger) == made
    assert client is None or client.asked == []


def test_replay_says_what_is_missing(ledger: Ledger) -> None:
    generate(Plain(), {"a": 5}, Scripted({("a", 2): "fail"}), ledger)
    with pytest.raises(ReplayError, match=r"holds 5 of 6 samples of group 'a'.*give an endpoint"):
        generate(Plain(), {"a": 6}, None, ledger)


def test_an_answer_is_adopted_by_another_run_that_asks_the_same(ledger: Ledger) -> None:
    @dataclass(frozen=True)
    class Renamed(Plain):
        @property
        def identity(self) -> str:
            return "another name"

    generate(Plain(), {"a": 4}, Scripted(), ledger)
    client = Scripted()
    generate(Renamed(), {"a": 5}, client, ledger)
    assert client.asked == [("a", 4)]


def test_an_identity_that_forgets_something_is_told(ledger: Ledger) -> None:
    @dataclass(frozen=True)
    class Forgetful(Plain):
        @property
        def identity(self) -> str:
            return "always the same"

    generate(Forgetful(), {"a": 2}, Scripted(), ledger)
    with pytest.raises(LedgerError, match="identity must change"):
        generate(Forgetful(topic="snow"), {"a": 2}, Scripted(), ledger)


def test_a_writer_that_reads_answers_otherwise_still_gets_the_exact_count(ledger: Ledger) -> None:
    class Stricter(Plain):
        def parse(self, request: Request, reply: Reply) -> list[WrittenSample] | Rejection:
            return [] if request.index == 1 else super().parse(request, reply)

    generate(Plain(), {"a": 4}, Scripted(), ledger)
    assert indices(generate(Stricter(), {"a": 4}, Scripted(), ledger)) == [0, 2, 3, 4]


def test_hopeless_generation_stops_and_loses_nothing(ledger: Ledger) -> None:
    texts = {("a", i): "refuse" for i in range(3, 100)}
    client = Scripted(texts)
    with pytest.raises(HopelessError, match=r"'a'.*5 refusal.*I cannot.*keeps the 3 of 10"):
        generate(Plain(), {"a": 10}, client, ledger, patience=5, limits=Limits(concurrency=2))
    assert len(client.asked) <= 3 + 5 + 1
    assert indices(generate(Plain(), {"a": 3}, None, ledger)) == [0, 1, 2]


def test_repeats_are_left_out_on_request_and_made_up_for(ledger: Ledger) -> None:
    same = {("b", 1): " Answer\u00a0to b 0 on “rain” "}
    texts = {("a", i): f"text {i // 3}" for i in range(100)} | same
    plain = generate(Plain(), {"a": 6, "b": 2}, Scripted(texts), ledger)
    assert indices(plain) == [*range(6), 0, 1]
    samples = generate(Plain(), {"a": 6, "b": 2}, Scripted(texts), ledger, distinct=True)
    assert indices(samples) == [0, 3, 6, 9, 12, 15, 0, 2]
    assert generate(Plain(), {"a": 6, "b": 2}, Scripted(), ledger, distinct=True) == samples


def test_a_model_that_repeats_itself_for_ever_is_told(ledger: Ledger) -> None:
    client = Scripted({("a", i): "always" for i in range(100)})
    with pytest.raises(HopelessError, match="'a': the model repeats itself; 5 samples are 1"):
        generate(Plain(), {"a": 3}, client, ledger, distinct=True, patience=4)
    assert len(client.asked) == 5


def test_an_error_of_the_writer_loses_no_answer(ledger: Ledger) -> None:
    class Broken(Plain):
        def parse(self, request: Request, reply: Reply) -> list[WrittenSample] | Rejection:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        generate(Broken(), {"a": 10}, Scripted(), ledger, limits=WIDE)
    done = report(ledger).done
    assert done >= 1
    client = Scripted()
    generate(Plain(), {"a": 10}, client, ledger)
    assert len(client.asked) == 10 - done


def test_it_works_where_a_loop_runs_already(ledger: Ledger) -> None:
    async def notebook() -> int:
        return len(generate(Plain(), {"a": 3}, Scripted(), ledger))

    assert asyncio.run(notebook()) == 3


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C raises, as at a terminal: jobs in the background are started without it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("notebook", [False, True])
def test_an_interrupted_run_keeps_what_it_has(ledger: Ledger, notebook: bool) -> None:
    class Interrupted(Scripted):
        async def ask(self, request: Request, *, idempotency_key: str, gate: Gate) -> Reply:
            if request.index == 9:
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.sleep(5)
            return await super().ask(request, idempotency_key=idempotency_key, gate=gate)

    def run() -> None:
        generate(Plain(), {"a": 30}, Interrupted(wait=0.0), ledger, limits=Limits(concurrency=3))

    async def cell() -> None:
        run()

    with pytest.raises(KeyboardInterrupt), closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(cell()) if notebook else run()
    told = report(ledger)
    assert 6 <= told.done < 30  # others may go on until the main thread hears of it
    client = Scripted()
    assert indices(generate(Plain(), {"a": 30}, client, ledger)) == [*range(30)]
    assert len(client.asked) == 30 - told.done


@pytest.mark.parametrize(
    ("quotas", "prompter", "message"),
    [
        ({"a": -1}, Plain(), "quota must be at least 0; got -1 for 'a'"),
        ({"a": 1}, Plain(per_request=0), "at least one sample; got 0"),
    ],
)
def test_bad_quotas_are_refused(
    ledger: Ledger, quotas: dict[str, int], prompter: Plain, message: str
) -> None:
    client = Scripted()
    with pytest.raises(ValueError, match=message):
        generate(prompter, quotas, client, ledger)
    assert client.asked == []


def test_progress_is_told(ledger: Ledger) -> None:
    told: list[tuple[int, int, str | None]] = []
    generate(Plain(), {"a": 3}, Scripted(), ledger, progress=lambda *each: told.append(each))
    assert told == [(1, 3, None), (2, 3, None), (3, 3, None)]


PRICES = Prices(1.0, 2.0)


def billed(seen: Seen) -> float:
    """What the endpoint bills for a request that reached it: the worst case."""
    return (seen.size + 80) * 1e-6 + seen.body["max_tokens"] * 2e-6


def test_the_budget_is_never_exceeded(serve: Serve, client: Open, ledger: Ledger) -> None:
    server = serve(latency=0.01)
    each = (len("a 10 on rain") + 80 + 40) * 1e-6
    limit = 20.5 * each
    budget = Budget(limit, PRICES)
    with pytest.raises(BudgetError, match="does not allow the next request"):
        generate(Plain(), {"a": 90}, client(server), ledger, limits=WIDE, budget=budget)
    total = sum(billed(seen) for seen in server.seen)
    assert len(server.seen) == 20
    assert total <= limit < total + each
    assert report(ledger).cost == pytest.approx(total)
    raised = Budget(24.5 * each, PRICES)
    with pytest.raises(BudgetError):
        generate(Plain(), {"a": 90}, client(server), ledger, limits=WIDE, budget=raised)
    assert len(server.seen) == 24


def test_fifty_requests_at_a_time_do_not_pass_the_budget_together(
    serve: Serve, client: Open, ledger: Ledger
) -> None:
    faults = ["cut", "ok", "reset", "429", "ok", "504", "ok", "ok"]
    server = serve(
        lambda seen: "ok" if seen.attempt else faults[int(seen.key[:4], 16) % 8], latency=0.02
    )
    each = (len("a 100 on rain") + 80 + 40) * 1e-6
    budget = Budget(120.5 * each, PRICES)
    with pytest.raises(BudgetError):
        generate(
            Plain(), {"a": 900}, client(server), ledger, limits=Limits(concurrency=50),
            budget=budget,
        )  # fmt: skip
    total = sum(billed(seen) for seen in server.seen if seen.action != "429")
    assert total <= 120.5 * each < total + 2 * each
    assert ledger.spent() == pytest.approx(total * 1e9)


def test_answers_that_are_lost_count_towards_the_budget(
    serve: Serve, client: Open, ledger: Ledger
) -> None:
    def plan(seen: Seen) -> str:
        fault = ["cut", "reset", "half", "500", "ok"][int(seen.key[:4], 16) % 5]
        return fault if seen.attempt == 0 else "ok"

    server = serve(plan, latency=0.005)
    each = (len("a 10 on rain") + 80 + 40) * 1e-6
    limit = 20.5 * each
    budget = Budget(limit, PRICES)
    with pytest.raises(BudgetError):
        generate(Plain(), {"a": 90}, client(server), ledger, limits=WIDE, budget=budget)
    total = sum(billed(seen) for seen in server.seen if seen.action != "500")
    assert {"cut", "reset", "half", "500"} <= {seen.action for seen in server.seen}
    assert total <= limit
    told = report(ledger)
    assert told.lost > 0
    assert told.cost + told.lost == pytest.approx(total)


def test_a_request_over_the_budget_or_the_limits_is_not_sent(ledger: Ledger) -> None:
    client = Scripted()
    with pytest.raises(BudgetError, match=r"budget of 1e-06.*may cost 0\.00013"):
        generate(Plain(), {"a": 1}, client, ledger, budget=Budget(1e-6, PRICES))
    with pytest.raises(ValueError, match="a request may take 111 tokens"):
        generate(Plain(), {"a": 1}, client, ledger, limits=Limits(tokens_per_minute=110))
    assert client.asked == []


def test_limits_hold_at_the_endpoint_for_attempts_and_across_runs(
    serve: Serve, client: Open, ledger: Ledger
) -> None:
    server = serve(lambda seen: "429" if seen.key[0] < "5" and seen.attempt == 0 else "ok")
    limits = Limits(concurrency=16, requests_per_minute=8, period=0.4)
    opened = client(server)
    for number in (12, 24):
        generate(Plain(), {"a": number}, opened, ledger, limits=limits)
    times = [seen.at for seen in server.seen]
    left = [at for (at,) in ledger.rows("SELECT at FROM sendings ORDER BY id")]
    assert len(times) == len(left) > 24
    assert all(later - first >= 0.4 for first, later in zip(left, left[8:], strict=False))
    # At the endpoint the same, but for how much longer one was on its way than another.
    offset = time.time() - time.monotonic()
    lags = [arrived + offset - sent for arrived, sent in zip(times, left, strict=True)]
    spread = max(lags) - min(lags)
    assert all(b - a >= 0.4 - spread for a, b in zip(times, times[8:], strict=False))
    assert all(a <= b for a, b in pairwise(times))


def test_as_many_requests_as_allowed_are_on_their_way(
    serve: Serve, client: Open, ledger: Ledger
) -> None:
    server = serve(latency=0.5)
    generate(Plain(), {"a": 97}, client(server), ledger, limits=Limits(concurrency=32))
    assert (server.most_flying, len(server.seen)) == (32, 97)


def test_nothing_but_the_first_request_meets_a_wrong_key(
    serve: Serve, client: Open, ledger: Ledger
) -> None:
    server = serve(lambda seen: "401")
    with pytest.raises(FatalError, match="does not accept the API key"):
        generate(Plain(), {"a": 50}, client(server), ledger, limits=Limits(concurrency=32))
    assert len(server.seen) == 1
    told = report(ledger)
    assert (told.cost, told.lost, told.failed) == (0, 0, {"fatal": 1})
    server.plan = lambda seen: "ok"
    assert indices(generate(Plain(), {"a": 5}, client(server), ledger)) == [*range(5)]


def test_faults_of_all_kinds_leave_exact_counts(
    serve: Serve, client: Open, ledger: Ledger, tmp_path: Path
) -> None:
    kinds = ["429", "500", "reset", "cut", "half", "html", "empty", "refusal", "length", "shape"]

    def plan(seen: Seen) -> str:
        choice = int(seen.key[:6], 16)
        transient = choice % 3 == 0 and seen.attempt == 0
        return kinds[choice // 3 % 10] if transient or choice % 7 == 1 else "ok"

    server = serve(plan)
    samples = generate(Plain(), {"a": 60, "b": 30}, client(server), ledger, limits=WIDE)
    assert [each.group for each in samples] == ["a"] * 60 + ["b"] * 30
    assert all(s.content == answer(f"{s.group} {int(s.seeds[0], 16)} on rain") for s in samples)
    assert set(kinds) <= {seen.action for seen in server.seen}
    told = report(ledger)
    assert {"refusal", "empty", "length", "shape", "body"} <= set(told.failed)
    bodies: dict[str, object] = {}
    assert all(bodies.setdefault(seen.key, seen.body) == seen.body for seen in server.seen)
    asked = len(server.seen)
    assert generate(Plain(), {"a": 60, "b": 30}, client(server), ledger) == samples
    assert len(server.seen) == asked
