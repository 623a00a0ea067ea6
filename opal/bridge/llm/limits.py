"""Limits of an endpoint: requests at a time, requests and tokens a minute.

The minute is every minute, wherever it starts. A leaky bucket (aiolimiter) lets a burst of the
whole limit through and the limit again while it drains: twice the limit within its first minute.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

# Requests travel at different speeds: those of a window may arrive closer together than they left.
_MARGIN = 1.01


@dataclass(frozen=True)
class Limits:
    """What an endpoint allows.

    Attributes:
        concurrency: requests at a time.
        requests_per_minute: attempts in any minute; None for no limit.
        tokens_per_minute: of prompts and answers, by their upper bounds, in any minute.
        period: seconds of the "minute".
    """

    concurrency: int = 8
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    period: float = 60.0

    def __post_init__(self) -> None:
        for name in ("concurrency", "requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1; got {value}.")
        if not self.period > 0:
            raise ValueError(f"period must be positive; got {self.period}.")

    def check(self, tokens: int) -> None:
        """Check that a request of so many tokens can ever be sent.

        Raises:
            ValueError: it cannot.
        """
        if self.tokens_per_minute is not None and tokens > self.tokens_per_minute:
            raise ValueError(
                f"a request may take {tokens:,} tokens (bytes of its prompt and max_tokens), more "
                f"than the {self.tokens_per_minute:,} allowed in a minute. Raise the limit, lower "
                "max_tokens, or shorten the prompt."
            )


class Pace:
    """Lets requests pass as fast as the limits allow, in the order in which they came.

    Args:
        limits: to keep.
        recent: (seconds ago, tokens) of requests that left before, the oldest first.
        clock: seconds.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        limits: Limits,
        recent: Iterable[tuple[float, int]] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        self._turn = asyncio.Lock()
        now = clock()
        self._left = deque((now - age, tokens) for age, tokens in recent)
        self._tokens = sum(tokens for _, tokens in self._left)

    async def admit(self, tokens: int) -> None:
        """Wait until a request of so many tokens may leave."""
        async with self._turn:
            while (wait := self._wait(tokens)) > 0:
                await self._sleep(wait)
            self._left.append((self._clock(), tokens))
            self._tokens += tokens

    def _wait(self, tokens: int) -> float:
        """Seconds until enough of those that left are out of the window."""
        now, window = self._clock(), self._limits.period * _MARGIN
        while self._left and self._left[0][0] + window <= now:
            self._tokens -= self._left.popleft()[1]
        most, many = self._limits.requests_per_minute, self._limits.tokens_per_minute
        count, total = len(self._left) + 1, self._tokens + tokens
        wait = 0.0
        for left, used in self._left:
            if (most is None or count <= most) and (many is None or total <= many):
                break
            count, total, wait = count - 1, total - used, left + window - now
        return wait
