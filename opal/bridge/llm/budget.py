"""Prices, a budget that no request can exceed, and an endpoint's limits of requests and tokens.

Money is counted in whole billionths of the currency, rounded up, so that sums are exact. Before a
request leaves, the most that it can cost is held: bytes of the prompt are an upper bound of its
tokens (a token of a byte-level vocabulary holds a byte at least), and ``max_tokens`` of the
answer's.

A limit of requests or tokens a minute holds in every minute, wherever it starts. A leaky bucket
(aiolimiter) lets a burst of the whole limit through and the limit again while it drains: twice the
limit within its first minute.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction

from opal.bridge.llm.request import Request

UNITS = 10**9
# Tokens that an endpoint may add: around each message, and around them all.
PER_MESSAGE = 16
PER_REQUEST = 64
# Requests travel at different speeds: those of a window may arrive closer together than they left.
_MARGIN = 1.01
# Beyond it, sums no longer fit into the ledger.
_MOST_MONEY = 1_000_000


class BudgetError(ValueError):
    """The next request might cost more than is left."""


@dataclass(frozen=True)
class Prices:
    """Prices of a million tokens, in any currency."""

    input: float  # of the prompt
    output: float  # of the answer

    def __post_init__(self) -> None:
        for name in ("input", "output"):
            value = getattr(self, name)
            if not 0 <= value <= _MOST_MONEY:
                raise ValueError(
                    f"the {name} price, of a million tokens, must be from 0 to {_MOST_MONEY:,}; "
                    f"got {value!r}."
                )

    def cost(self, tokens_in: int, tokens_out: int) -> int:
        """Billionths that so many tokens cost, rounded up.

        >>> Prices(0.15, 0.6).cost(1000, 200)
        270000
        """
        each = [Fraction(str(price)) * 1000 for price in (self.input, self.output)]
        return math.ceil(each[0] * tokens_in + each[1] * tokens_out)


FREE = Prices(0.0, 0.0)


@dataclass(frozen=True)
class Budget:
    """What may be spent in all, with what the ledger says is spent already.

    Raises:
        ValueError: the limit is not positive, or comes without prices.
    """

    limit: float | None = None  # in the currency of the prices; None where nothing costs anything
    prices: Prices | None = None  # per million tokens

    def __post_init__(self) -> None:
        if self.limit is None:
            return
        if not 0 < self.limit <= _MOST_MONEY:
            raise ValueError(
                f"the budget must be positive, and at most {_MOST_MONEY:,}; got {self.limit!r}. "
                "Leave it out for an endpoint that costs nothing."
            )
        if self.prices is None:
            raise ValueError(
                "a budget needs the prices of a million tokens, of prompts and of answers; "
                f"got a budget of {self.limit:g} and no prices."
            )

    @property
    def price(self) -> Prices:
        """The prices; nothing costs anything where there are none."""
        return self.prices or FREE

    @property
    def units(self) -> int | None:
        """The limit in billionths."""
        return None if self.limit is None else math.floor(Fraction(str(self.limit)) * UNITS)


class Meter:
    """Billionths that are spent of a budget, and that requests on their way may cost."""

    def __init__(self, budget: Budget, spent: int) -> None:
        self.budget, self.spent, self.held = budget, spent, 0
        self.beyond = (0, 0)  # tokens of a prompt and of an answer that were counted beyond bounds

    def worst(self, request: Request) -> int:
        """Billionths that a request costs at most, by its bounds and by what came beyond them."""
        (read, written), beyond = bound(request), self.beyond
        return self.budget.price.cost(read + beyond[0], written + beyond[1])

    def note(self, request: Request, tokens: tuple[int, int]) -> None:
        """Learn from what an endpoint counted for a request."""
        more = [max(n - most, 0) for n, most in zip(tokens, bound(request), strict=True)]
        self.beyond = (max(self.beyond[0], more[0]), max(self.beyond[1], more[1]))

    def hold(self, amount: int) -> bool:
        """Hold that amount, if there is so much left."""
        limit = self.budget.units
        if limit is not None and self.spent + self.held + amount > limit:
            return False
        self.held += amount
        return True

    def settle(self, held: int, spent: int) -> None:
        """Let go of what was held for a request, and count what it cost."""
        self.held -= held
        self.spent += spent

    def refusal(self, amount: int) -> BudgetError:
        """The error that says why a request that may cost ``amount`` is not sent."""
        return BudgetError(
            f"the budget of {self.budget.limit:g} does not allow the next request: "
            f"{money(self.spent)} is spent and the request may cost {money(amount)}. What was "
            "bought is in the ledger; raise the budget and run again to go on."
        )


def bound(request: Request) -> tuple[int, int]:
    """Tokens of a prompt and of its answer, at most."""
    size = sum(len(m.content.encode("utf-8", "surrogatepass")) for m in request.messages)
    return size + PER_MESSAGE * len(request.messages) + PER_REQUEST, request.max_tokens


def money(units: int) -> str:
    """Billionths in the currency.

    >>> money(1_234_567_890), money(270_000)
    ('1.235', '0.00027')
    """
    return f"{units / UNITS:.4g}"


@dataclass(frozen=True)
class Limits:
    """What an endpoint allows."""

    concurrency: int = 8  # requests at a time
    requests_per_minute: int | None = None  # attempts in any minute; None for no limit
    tokens_per_minute: int | None = None  # of prompts and answers at most, in any minute
    period: float = 60.0  # seconds of the "minute"

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


class RateLimiter:
    """Lets requests pass as fast as the limits allow, in the order in which they came.

    ``recent`` are (seconds ago, tokens) of requests that left before, the oldest first.
    """

    def __init__(
        self,
        limits: Limits,
        recent: Iterable[tuple[float, int]] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._limits, self._clock, self._sleep = limits, clock, sleep
        self._turn = asyncio.Lock()
        now = clock()
        self._left = deque((now - age, tokens) for age, tokens in recent)
        self._tokens = sum(tokens for _, tokens in self._left)

    async def admit(self, tokens: int, pause: float = 0.0) -> None:
        """Wait until a request of so many tokens may leave, and ``pause`` seconds at least."""
        ends = self._clock() + pause
        async with self._turn:
            while (wait := max(self._wait(tokens), ends - self._clock())) > 0:
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
