"""A dry run says what is missing and what it may cost; nothing is sent or written."""

from __future__ import annotations

from pathlib import Path

import pytest

from opal.bridge.llm.budget import Prices
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.report import CostEstimate, estimate, report
from opal.bridge.llm.request import Reply
from tests.bridge.llm.plain import Plain

PRICES = Prices(1.0, 2.0)


def test_a_dry_run_bounds_the_cost_and_writes_nothing(ledger: Ledger) -> None:
    each = len("a 0 on rain") + 80
    told = estimate(Plain(), {"a": 3, "b": 2}, ledger, PRICES)
    assert told == CostEstimate(0, 5, 5, 5 * each, 100, told.most, None)
    assert told.most == pytest.approx((5 * each + 200) * 1e-6)
    assert estimate(Plain(), {"a": 5}, ledger, None).most == 0
    assert estimate(Plain(per_request=2), {"a": 5}, ledger, PRICES).requests == 3
    assert report(ledger).requests == 0


def test_it_counts_what_the_ledger_holds(ledger: Ledger) -> None:
    for index in (0, 2):
        request = Plain().request("a", index)
        ledger.sent(request, 0, 1)
        text = "no" if index else "yes"
        ledger.done(request, Reply(text, 40, 10, "stop", "m"), 60_000)
    told = estimate(Plain(), {"a": 4}, ledger, PRICES)
    assert (told.held, told.wanted, told.requests) == (1, 4, 3)
    assert told.likely == pytest.approx(3 * 60e-6)
    assert told.most == pytest.approx(3 * (91 + 40) * 1e-6)
    assert ledger.rows("SELECT * FROM slots") == []


def test_an_empty_ledger_reports_zeros(tmp_path: Path) -> None:
    with Ledger(tmp_path / "new" / "ledger.db") as ledger:
        told = report(ledger)
    assert (told.requests, told.attempts, told.cost, told.failed) == (0, 0, 0.0, {})
