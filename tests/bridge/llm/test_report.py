"""A dry run says what is missing and what it may cost; nothing is sent or written."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from opal.bridge.llm.budget import Budget, Prices
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.report import CostEstimate, blocks, estimate, report
from opal.bridge.llm.request import Reply
from opal.bridge.render import Paragraph
from tests.bridge.llm.plain import Plain

PRICES = Prices(1.0, 2.0)


def test_a_dry_run_bounds_the_cost_and_writes_nothing(ledger: Ledger) -> None:
    each = len("a 0 on rain") + 80
    told = estimate(Plain(), {"a": 3, "b": 2}, ledger, Budget(prices=PRICES))
    assert told == CostEstimate(0, 5, 5, 5 * each, 100, told.most, None)
    assert told.most == pytest.approx((5 * each + 200) * 1e-6)
    assert estimate(Plain(), {"a": 5}, ledger, Budget()).most == 0
    assert estimate(Plain(per_request=2), {"a": 5}, ledger, Budget(prices=PRICES)).requests == 3
    assert report(ledger).requests == 0


def test_it_counts_what_the_ledger_holds(ledger: Ledger) -> None:
    for index in (0, 2):
        request = Plain().request("a", index)
        ledger.sent(request, 0, 1)
        text = "no" if index else "yes"
        ledger.done(request, Reply(text, 40, 10, "stop", "m"), 60_000)
    told = estimate(Plain(), {"a": 4}, ledger, Budget(prices=PRICES))
    assert (told.held, told.wanted, told.requests) == (1, 4, 3)
    assert told.likely == pytest.approx(3 * 60e-6)
    assert told.most == pytest.approx(3 * (91 + 40) * 1e-6)
    assert ledger.rows("SELECT * FROM slots") == []


def test_an_empty_ledger_reports_zeros(tmp_path: Path) -> None:
    with Ledger(tmp_path / "new" / "ledger.db") as ledger:
        told = report(ledger)
    assert (told.requests, told.attempts, told.cost, told.failed) == (0, 0, 0.0, {})


@pytest.mark.parametrize(("answers", "bought", "told"), [(0, 2, "at least 2"), (1, 5, "about 5")])
def test_a_budget_that_does_not_suffice_is_told(
    ledger: Ledger, answers: int, bought: int, told: str
) -> None:
    worst, usual = PRICES.cost(91, 20), PRICES.cost(30, 5)
    for index in range(answers):
        request = Plain().request("a", index)
        ledger.sent(request, worst, 1)
        ledger.done(request, Reply("yes", 30, 5, "stop", "m"), usual)
    budget = Budget((answers * usual + 2.5 * worst) * 1e-9, PRICES)
    found = estimate(Plain(), {"b": 40}, ledger, budget)
    assert found.affordable == bought  # the last one that leaves must fit at its worst
    result: dict[str, Any] = {"groups": {}, "estimate": asdict(found), "prices": {}, "notes": []}
    told_of = " ".join(each.text for each in blocks(result, "class") if isinstance(each, Paragraph))
    assert f"The budget does not suffice: {found.left:.4g} of it is left" in told_of
    assert f"which buys {told} of the 40 samples that are missing" in told_of
    enough = estimate(Plain(), {"b": 40}, ledger, Budget(41 * worst * 1e-9, PRICES))
    assert enough.affordable == 40
