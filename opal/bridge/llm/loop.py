"""The loop that fills quotas: as many requests on their way as the limits and the budget allow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from opal.bridge.llm.book import Book
from opal.bridge.llm.budget import Budget, Meter, bound
from opal.bridge.llm.call import Call
from opal.bridge.llm.door import Door, FailedError, FatalError, RefusedError
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.limits import Limits, Pace
from opal.bridge.llm.quota import Quota
from opal.bridge.llm.request import Request

_FLUSH_SECONDS = 1.0


class HopelessError(ValueError):
    """Too many requests in a row gave no sample."""


class Loop:
    """Fills quotas through a door.

    Args:
        book: of the writer and the ledger.
        quotas: by group.
        door: that answers.
        ledger: where all is written.
        limits: of the door.
        budget: of the ledger.
        progress: told of samples held and wanted.
    """

    def __init__(
        self,
        book: Book,
        quotas: list[Quota],
        door: Door,
        ledger: Ledger,
        limits: Limits,
        budget: Budget,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._book, self._quotas, self._door, self._ledger = book, quotas, door, ledger
        self._limits, self._progress = limits, progress
        self._meter = Meter(budget, ledger.spent())
        self._pace = Pace(limits, ledger.recent(2 * limits.period))
        self._flying: set[asyncio.Task[None]] = set()
        # One request goes first: if the key, model or address is wrong, it alone finds out.
        self._proven = False
        self._stop: Exception | None = None

    async def run(self) -> None:
        """Ask until the quotas are full.

        When that cannot be, requests on their way are waited for, since they may be paid for.

        Raises:
            BudgetError: the next request might cost more than is left.
            HopelessError: too many requests in a row gave no sample.
            FatalError: no request can succeed.
            ValueError: a request cannot be sent within the limits.
        """
        flush = asyncio.create_task(self._flush())
        try:
            self._launch()
            while self._flying:
                done, self._flying = await asyncio.wait(
                    self._flying, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    task.result()
                self._launch()
        finally:
            for task in (*self._flying, flush):
                task.cancel()
            await asyncio.gather(*self._flying, flush, return_exceptions=True)
            self._ledger.flush()
        if self._stop is not None:
            raise self._stop

    def _launch(self) -> None:
        width = self._limits.concurrency if self._proven else 1
        while self._stop is None and len(self._flying) < width:
            try:
                found = self._next()
            except Exception as error:
                self._stop = error
                return
            if found is None:
                return
            quota, request = found
            worst = self._meter.worst(request)
            if not self._meter.hold(worst):
                # Those on their way may cost less than is held for them.
                self._stop = None if self._flying else self._meter.refusal(worst)
                return
            quota.start()
            self._flying.add(asyncio.create_task(self._ask(quota, request)))

    def _next(self) -> tuple[Quota, Request] | None:
        """The next request that the ledger does not answer."""
        for quota in self._quotas:
            while quota.short:
                request = self._book.request(quota)
                _, samples = self._book.known(request)
                if samples is None:
                    self._limits.check(sum(bound(request)))
                    return quota, request
                quota.adopt(request.index, samples)
        return None

    async def _ask(self, quota: Quota, request: Request) -> None:
        """Ask, and write down what comes of it; what goes wrong stops the loop, not the others."""
        call = Call(request, self._meter, self._pace, self._ledger)
        try:
            await self._exchange(quota, call)
        except Exception as error:
            self._stop = self._stop or error
        finally:
            call.end(None)
        if self._progress is not None:
            held = sum(min(each.held, each.wanted) for each in self._quotas)
            self._progress(held, sum(each.wanted for each in self._quotas))

    async def _exchange(self, quota: Quota, call: Call) -> None:
        request = call.request
        try:
            reply = await self._door.ask(request, idempotency_key=request.key, gate=call.gate)
        except RefusedError as error:
            call.fail(error.kind, str(error), error.tokens, final=True)
            self._book.give_up(request, error.kind)
            self._land(quota, request, 0, error.kind, str(error))
        except FailedError as error:
            call.fail(error.kind, str(error), error.tokens, final=False)
            if not self._proven and error.kind == "unreachable":
                raise FatalError(str(error)) from None
            self._land(quota, request, None, error.kind, str(error))
        except FatalError as error:
            call.fail("fatal", str(error), (0, 0), final=False)
            raise
        else:
            if call.attempts == 0:
                raise RuntimeError("a door must pass its gate before each attempt.")
            counted = reply.tokens_in is not None and reply.tokens_out is not None
            cost = call.cost((reply.tokens_in or 0, reply.tokens_out or 0) if counted else None)
            with self._ledger.together():
                dated = self._ledger.done(request, reply, cost)
            call.end(cost)
            samples, reason = self._book.settle(request, dated)
            self._land(quota, request, samples, None if samples else "rejected", reason or "")

    def _land(
        self, quota: Quota, request: Request, samples: int | None, trouble: str | None, why: str
    ) -> None:
        self._proven = True
        quota.land(request.index, samples, trouble)
        if quota.hopeless and quota.held < quota.wanted:
            self._stop = self._stop or HopelessError(
                f"group {quota.group!r}: the last requests gave no sample ({quota.troubles()}); "
                f"the last one because: {why} The ledger keeps the {quota.held} of "
                f"{quota.wanted} samples at hand; change the prompt or the model, or allow more "
                "with patience, and run again."
            )

    async def _flush(self) -> None:
        with suppress(OSError):
            while True:
                await asyncio.sleep(_FLUSH_SECONDS)
                await asyncio.to_thread(self._ledger.flush)
