"""Whatever an endpoint does: nothing is bought twice, and no more is spent than is booked."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from opal.bridge.llm.budget import Budget, Limits, Prices
from opal.bridge.llm.generate import generate
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.report import report
from tests.bridge.llm.behaviours import BEHAVIOURS, Behaviour
from tests.bridge.llm.conftest import Open, Serve
from tests.bridge.llm.plain import Plain
from tests.bridge.llm.server import Server

pytest.importorskip("openai", reason="needs the extra text")

PRICES = Prices(1000.0, 2000.0)
PLAIN, QUOTAS = Plain(), {"a": 4, "b": 2}
WORST = PRICES.cost(91, 20)
TIMINGS = {
    "first attempts": lambda seen: seen.attempt == 0,
    "always": lambda seen: True,
    "every third request": lambda seen: int(seen.key[:4], 16) % 3 == 0,
}


def billed(server: Server) -> int:
    """Billionths that the endpoint bills for what it did."""
    total = 0
    for seen in server.seen:
        did = seen.behaviour
        if did is None or did.bills:
            total += WORST + PRICES.cost(0, 0 if did is None else did.beyond)
    return total


# The rest takes minutes.
QUICK = 12
CASES = [
    pytest.param(
        does, timing, id=f"{does.name}, {timing}", marks=[] if k % QUICK == 0 else pytest.mark.slow
    )
    for k, (does, timing) in enumerate(itertools.product(BEHAVIOURS, TIMINGS))
]


@pytest.mark.parametrize(("does", "timing"), CASES)
def test_the_books_hold(
    serve: Serve, client: Open, tmp_path: Path, does: Behaviour, timing: str
) -> None:
    chosen = TIMINGS[timing]
    server = serve(lambda seen: does if chosen(seen) else "ok")
    budget = Budget(9 * WORST * 1e-9, PRICES)
    assert budget.units == 9 * WORST
    samples, told = [], "finished"
    with Ledger(tmp_path / "ledger.db") as ledger:
        try:
            samples = generate(
                PLAIN, QUOTAS, client(server, timeout=0.3, retries=1), ledger,
                budget=budget, limits=Limits(concurrency=3), patience=4,
            )  # fmt: skip
        except ValueError as error:
            told = str(error)
        assert told
        whole = [group for group, n in QUOTAS.items() for _ in range(n)]
        assert [each.group for each in samples] == (whole if told == "finished" else [])
        assert server.seen, "nothing was asked"
        assert ledger.spent() >= billed(server)
        if does.beyond == 0:
            assert ledger.spent() <= 9 * WORST
        assert report(ledger).unknown == 0
        settled = {
            key
            for key, state, final in ledger.rows("SELECT key, state, final FROM requests")
            if state == "done" or final
        }
        # The endpoint gets well: what is missing is bought, and nothing that was settled.
        before = len(server.seen)
        server.plan = lambda seen: "ok"
        generate(PLAIN, QUOTAS, client(server, retries=1), ledger)
        again = set(server.keys()[before:])
        assert not again & settled
        assert not (samples and again)


def test_there_are_enough_behaviours() -> None:
    names = [each.name for each in BEHAVIOURS]
    assert len(set(names)) == len(names) >= 120
    assert {each.wire for each in BEHAVIOURS} == {
        "plain", "endless", "drip", "reset", "cut", "late"
    }  # fmt: skip


def test_the_harness_sees_what_is_not_booked(serve: Serve, client: Open, tmp_path: Path) -> None:
    """An endpoint that bills what it tells as an error is beyond what is promised, and is seen."""
    server = serve(lambda seen: Behaviour("billed error", 500, lambda good: {}, bills=True))
    with (
        Ledger(tmp_path / "ledger.db") as ledger,
        pytest.raises(ValueError, match=r"8 attempts in a row.*Error code: 500"),
    ):
        generate(PLAIN, QUOTAS, client(server), ledger, budget=Budget(9e5, PRICES), patience=2)
    with Ledger(tmp_path / "ledger.db") as ledger:
        assert ledger.spent() < billed(server)


def test_a_long_answer_is_cut_off(serve: Serve, client: Open, ledger: Ledger) -> None:
    does = next(each for each in BEHAVIOURS if each.name == "endless")
    server = serve(lambda seen: does)
    with pytest.raises(ValueError, match=r"longer than 32 MB"):
        generate(PLAIN, {"a": 1}, client(server, timeout=60.0, retries=0), ledger, patience=1)
    assert report(ledger).requests == 1
