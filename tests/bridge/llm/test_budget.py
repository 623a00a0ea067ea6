"""Money is exact, and what may be spent is held before it is."""

from __future__ import annotations

import pytest

from opal.bridge.llm.budget import Budget, Meter, Prices, bound, money
from opal.bridge.llm.request import Message, Request


def test_costs_are_exact_and_rounded_up() -> None:
    assert Prices(0.1, 0.3).cost(1, 0) == 100
    assert Prices(0.0375, 0).cost(1, 0) == 38
    assert sum(Prices(0.1, 0.2).cost(1, 1) for _ in range(10**4)) == 3 * 10**6
    assert money(Prices(2.5, 10).cost(10**6, 10**6)) == "12.5"


def test_tokens_are_bounded_by_bytes() -> None:
    messages = (Message("system", "héé"), Message("user", "漢字\ud800"))
    request = Request(messages, "m", 1.0, 1.0, 9, "g", (), 0)
    assert bound(request) == (5 + 9 + 2 * 16 + 64, 9)


def test_a_meter_holds_the_worst_case_until_the_cost_is_known() -> None:
    meter = Meter(Budget(1e-6, Prices(1, 1)), spent=200)
    assert meter.hold(500)
    assert not meter.hold(301)
    assert meter.hold(300)
    meter.settle(held=500, spent=100)
    assert (meter.spent, meter.held) == (300, 300)
    assert not meter.hold(401)
    assert meter.hold(400)


def test_without_a_budget_all_is_allowed() -> None:
    assert Meter(Budget(prices=Prices(1, 1)), spent=0).hold(10**15)


@pytest.mark.parametrize("limit", [0.0, -1.0, float("inf"), float("nan")])
def test_a_budget_buys_something(limit: float) -> None:
    with pytest.raises(ValueError, match=r"budget must be positive, and at most 1,000,000; got "):
        Budget(limit, Prices(1, 1))


def test_a_budget_needs_prices() -> None:
    with pytest.raises(ValueError, match="a budget of 5 and no prices"):
        Budget(5.0)


@pytest.mark.parametrize("price", [-1.0, float("nan"), float("inf")])
def test_prices_are_numbers(price: float) -> None:
    with pytest.raises(ValueError, match=r"the output price, .*, must be from 0 to"):
        Prices(1.0, price)
