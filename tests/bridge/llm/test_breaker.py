"""When an endpoint fails, all requests wait together, and few attempts are made in all."""

from __future__ import annotations

import itertools
import time

import pytest

pytest.importorskip("openai", reason="needs the extra text")

from opal.bridge.llm import breaker
from opal.bridge.llm.breaker import MOST_ATTEMPTS, MOST_LOST
from opal.bridge.llm.budget import Budget, Limits, Prices
from opal.bridge.llm.generate import generate
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.loop import HopelessError
from opal.bridge.llm.report import report
from tests.bridge.llm.behaviours import Behaviour, said
from tests.bridge.llm.conftest import Open, Serve
from tests.bridge.llm.plain import Plain, indices
from tests.bridge.llm.server import Seen

PRICES = Prices(1000.0, 2000.0)
WORST = PRICES.cost(91, 20)
WIDE = Limits(concurrency=8)
AS_THE_COMMAND = MOST_ATTEMPTS - 1


def failing(status: int) -> Behaviour:
    return Behaviour(f"{status}", status=status, body=said("busy"))


@pytest.mark.parametrize(
    ("status", "most"),
    [(429, MOST_ATTEMPTS), (503, MOST_ATTEMPTS), (500, MOST_ATTEMPTS), (502, MOST_LOST),
     (504, MOST_LOST), (524, MOST_LOST)],
)  # fmt: skip
def test_an_endpoint_that_fails_for_ever_is_given_up_after_a_few_attempts_in_all(
    serve: Serve, client: Open, ledger: Ledger, status: int, most: int
) -> None:
    server = serve(lambda seen: failing(status))
    given = client(server, retries=AS_THE_COMMAND)
    told = rf"given up: {most} attempts in a row came to nothing.*{status}.*keeps the 0 of 40 "
    with pytest.raises(HopelessError, match=told):
        generate(Plain(), {"a": 40}, given, ledger, limits=WIDE, budget=Budget(9e5, PRICES))
    assert len(server.seen) == most
    assert ledger.lost() == (most * WORST if most == MOST_LOST else 0)
    assert ledger.spent() == ledger.lost()
    # The next run is not held back by what the last one met.
    server.plan = lambda seen: "ok"
    assert len(generate(Plain(), {"a": 40}, given, ledger)) == 40


@pytest.mark.parametrize("wire", ["reset", "cut", "late"])
def test_connections_that_drop_for_ever_lose_a_few_attempts_in_all(
    serve: Serve, client: Open, ledger: Ledger, wire: str
) -> None:
    server = serve(lambda seen: Behaviour(wire, wire=wire))
    given = client(server, retries=AS_THE_COMMAND, timeout=1.0)
    with pytest.raises(HopelessError, match="5 attempts in a row"):
        generate(Plain(), {"a": 40}, given, ledger, limits=WIDE, budget=Budget(9e5, PRICES))
    assert len(server.seen) == MOST_LOST
    assert ledger.lost() == MOST_LOST * WORST


def test_what_is_on_its_way_when_an_endpoint_fails_counts_once(
    serve: Serve, client: Open, ledger: Ledger
) -> None:
    count = itertools.count()
    server = serve(lambda seen: "ok" if next(count) < 20 else failing(504), latency=0.02)
    with pytest.raises(HopelessError, match=r"5 attempts in a row.*keeps the \d+ of 90"):
        generate(
            Plain(), {"a": 90}, client(server, retries=AS_THE_COMMAND), ledger, limits=WIDE,
            budget=Budget(9e5, PRICES),
        )  # fmt: skip
    failed = sum(seen.behaviour is not None for seen in server.seen)
    assert MOST_LOST <= failed <= MOST_LOST + WIDE.concurrency - 1
    assert (report(ledger).done, ledger.lost()) == (20, failed * PRICES.cost(92, 20))


def test_a_limit_that_recovers_is_waited_out_by_one_attempt_at_a_time(
    serve: Serve, client: Open, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "FIRST_WAIT", 0.02)
    began = time.monotonic()

    def plan(seen: Seen) -> str | Behaviour:
        since = time.monotonic() - began
        return failing(429) if 0.1 < since < 1.1 else "ok"

    server = serve(plan, latency=0.02)
    samples = generate(
        Plain(), {"a": 150}, client(server, retries=AS_THE_COMMAND), ledger, limits=WIDE
    )
    assert indices(samples) == [*range(150)]
    refused = [seen for seen in server.seen if seen.behaviour is not None]
    assert 5 <= len(refused) <= WIDE.concurrency + MOST_ATTEMPTS
    assert report(ledger).failed == {}


def test_a_request_that_an_endpoint_fails_at_does_not_stop_the_others(
    serve: Serve, client: Open, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than a busy machine takes to wake a thread: others must be able to go first.
    monkeypatch.setattr(breaker, "FIRST_WAIT", 0.2)
    order: dict[str, int] = {}  # requests as they first come

    def at_three(seen: Seen) -> Behaviour | str:
        return failing(504) if order.setdefault(seen.key, len(order)) in (5, 20, 35) else "ok"

    server = serve(at_three)
    samples = generate(
        Plain(), {"a": 60}, client(server, retries=AS_THE_COMMAND), ledger, limits=WIDE,
        budget=Budget(9e5, PRICES),
    )  # fmt: skip
    assert len(samples) == 60
    poison = {seen.key for seen in server.seen if seen.behaviour is not None}
    assert len(poison) == 3
    assert [server.keys().count(key) for key in poison] == [3, 3, 3]


@pytest.mark.parametrize(
    ("status", "wait", "told"),
    [
        (429, "", "waiting 2 s: 429 Too Many Requests, attempt 2 of 8"),
        (504, "", "waiting 4 s: 504 Gateway Timeout, attempt 2 of 5"),
        (503, "3", "waiting 3 s: 503 Service Unavailable, attempt 2 of 8"),
    ],
)
def test_waits_are_told_second_by_second(
    serve: Serve,
    client: Open,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    wait: str,
    told: str,
) -> None:
    given = client(server := serve(), retries=AS_THE_COMMAND)
    monkeypatch.setattr(breaker, "FIRST_WAIT", 2.0)
    does = Behaviour("wait", status, said("busy"), {"retry-after": wait} if wait else {})
    server.plan = lambda seen: "ok" if seen.attempt else does
    shown: list[str | None] = []
    generate(Plain(), {"a": 1}, given, ledger, progress=lambda *each: shown.append(each[2]))
    assert shown[0] == told
    assert [each for each in shown if each and "waiting 1 s" in each]
    assert shown[-1] is None
