"""One request on its way: what each of its attempts must pass, and what they cost."""

from __future__ import annotations

from opal.bridge.llm.budget import Meter, bound
from opal.bridge.llm.door import NOTHING, FailedError
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.limits import Pace
from opal.bridge.llm.request import Request


class Call:
    """A request for which the meter holds its worst case.

    Args:
        request: that is asked.
        meter: of the budget.
        pace: of the limits.
        ledger: that knows of it before it leaves.
    """

    def __init__(self, request: Request, meter: Meter, pace: Pace, ledger: Ledger) -> None:
        self.request = request
        self.attempts = 0
        self._meter, self._pace, self._ledger = meter, pace, ledger
        self._tokens = sum(bound(request))
        self._worst = meter.worst(request)
        self._lost = 0
        self._unbooked = 0
        self._held = self._worst

    async def gate(self, *, lost: bool = False) -> None:
        """Let the next attempt leave.

        Raises:
            FailedError: the attempt before may have been billed, and the budget does not allow
                another.
        """
        if self.attempts and lost:
            self._lose()
        await self._pace.admit(self._tokens)
        if self.attempts == 0:
            self._ledger.sent(self.request, self._worst, self._tokens)
        else:
            self._ledger.again(self.request, self._tokens, lost=self._unbooked)
            self._unbooked = 0
        self.attempts += 1

    def cost(self, tokens: tuple[int, int] | None) -> int:
        """Billionths of the last attempt; its worst case if the tokens are unknown."""
        return self._worst if tokens is None else self._meter.budget.price.cost(*tokens)

    def fail(self, kind: str, message: str, tokens: tuple[int, int] | None, *, final: bool) -> None:
        """Write that no usable answer came, and what that cost.

        What an answer cost is known; what may have been billed for none is lost.
        """
        cost = self.cost(tokens)
        billed, missing = (cost, 0) if tokens is not None else (0, cost)
        if self.attempts:
            self._ledger.failed(
                self.request, kind, message, billed,
                final=final, lost=self._unbooked + missing, tokens=tokens,
            )  # fmt: skip
        self.end(cost)

    def end(self, cost: int | None) -> None:
        """Let go of what is held; all of it is spent if the cost is unknown."""
        spent = self._held if cost is None else self._lost + cost
        self._meter.settle(self._held, spent)
        self._held = self._lost = 0

    def _lose(self) -> None:
        """Book the attempt before as lost, and hold the worst case of the next."""
        self._lost += self._worst
        self._unbooked += self._worst
        if not self._meter.hold(self._worst):
            raise FailedError(
                "its answer was lost, and the budget does not allow another attempt.",
                kind="budget",
                tokens=NOTHING,
            )
        self._held += self._worst
