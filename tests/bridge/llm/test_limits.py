"""No window of a minute holds more than allowed, wherever it starts."""

from __future__ import annotations

import asyncio
import random

import pytest

from opal.bridge.llm.budget import Limits, RateLimiter


class Clock:
    """Time that passes only while somebody sleeps; each sleep ends a little early or late."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._random = random.Random(3)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds * self._random.choice([0.9, 1.0, 1.3])


def passed(
    limits: Limits, sizes: list[int], recent: list[tuple[float, int]]
) -> list[tuple[float, int]]:
    """When each request passes, and its size."""
    clock, times = Clock(), list[tuple[float, int]]()
    pace = RateLimiter(limits, recent, clock=clock, sleep=clock.sleep)

    async def one(size: int) -> None:
        await pace.admit(size)
        times.append((clock.now, size))

    async def work() -> None:
        await asyncio.gather(*(one(size) for size in sizes))

    asyncio.run(work())
    return [(1000.0 - age, size) for age, size in recent] + times


@pytest.mark.parametrize(
    "limits",
    [
        Limits(requests_per_minute=7),
        Limits(tokens_per_minute=100),
        Limits(requests_per_minute=9, tokens_per_minute=150),
    ],
)
@pytest.mark.parametrize("recent", [[], [(50.0, 30), (20.0, 30), (1.0, 30)]])
def test_every_window_is_within_the_limits(limits: Limits, recent: list[tuple[float, int]]) -> None:
    sizes = [random.Random(5).randint(1, 40) for _ in range(60)]
    times = passed(limits, sizes, recent)
    assert [size for _, size in times[len(recent) :]] == sizes  # in the order in which they came
    for first, _ in times:
        window = [size for at, size in times if first <= at < first + 60.0]
        assert len(window) <= (limits.requests_per_minute or len(times))
        assert sum(window) <= (limits.tokens_per_minute or sum(window))
    # They are not slower than the limits ask for, but for the sleeps that end late.
    took = times[-1][0] - 1000.0
    windows = max(
        60 / (limits.requests_per_minute or 1e9), sum(sizes) / (limits.tokens_per_minute or 1e9)
    )
    assert took <= 1.45 * 60.0 * (windows + 1)


def test_without_limits_nothing_waits() -> None:
    assert {at for at, _ in passed(Limits(), [10**6] * 50, [])} == {1000.0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "concurrency must be at least 1; got 0"),
        ({"requests_per_minute": 0}, "requests_per_minute must be at least 1"),
        ({"tokens_per_minute": -5}, "tokens_per_minute must be at least 1; got -5"),
        ({"period": 0.0}, "period must be positive"),
    ],
)
def test_bad_limits_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Limits(**options)
