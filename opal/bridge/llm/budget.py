"""Prices, and a budget that no request can exceed.

Money is counted in whole billionths of the currency, rounded up, so that sums are exact. Before a
request leaves, the most that it can cost is held: bytes of the prompt are an upper bound of its
tokens (a token of a byte-level vocabulary holds a byte at least), and ``max_tokens`` of the
answer's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from opal.bridge.llm.request import Request

UNITS = 10**9
# Tokens that an endpoint may add: around each message, and around them all.
PER_MESSAGE = 16
PER_REQUEST = 64


class BudgetError(ValueError):
    """The next request might cost more than is left."""


@dataclass(frozen=True)
class Prices:
    """Prices of a million tokens, in any currency.

    Attributes:
        input: of the prompt.
        output: of the answer.
    """

    input: float
    output: float

    def __post_init__(self) -> None:
        for name in ("input", "output"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"the {name} price must be finite and at least 0; got {value!r}.")

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

    Attributes:
        limit: in the currency of the prices; None for endpoints that cost nothing.
        prices: per million tokens.

    Raises:
        ValueError: the limit is not positive, or comes without prices.
    """

    limit: float | None = None
    prices: Prices | None = None

    def __post_init__(self) -> None:
        if self.limit is None:
            return
        if not 0 < self.limit < math.inf:
            raise ValueError(
                f"the budget must be positive; got {self.limit!r}, which buys nothing. "
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
    """What is spent, and what requests on their way may cost.

    Args:
        budget: the limit.
        spent: billionths that are spent already.
    """

    def __init__(self, budget: Budget, spent: int) -> None:
        self.budget = budget
        self.spent = spent
        self.held = 0

    def worst(self, request: Request) -> int:
        """Billionths that a request costs at most."""
        return self.budget.price.cost(*bound(request))

    def hold(self, amount: int) -> bool:
        """Hold that amount, if there is so much left."""
        limit = self.budget.units
        if limit is not None and self.spent + self.held + amount > limit:
            return False
        self.held += amount
        return True

    def settle(self, held: int, spent: int) -> None:
        """Let go of what was held for a request, and book what it cost."""
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
