"""The loop that asks until no group is short, as fast as the limits and the budget allow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from opal.bridge.llm.budget import Budget, Limits, Meter, RateLimiter, bound
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.request import (
    NOTHING,
    Client,
    FailedError,
    FatalError,
    OutageError,
    RefusedError,
    Request,
)
from opal.bridge.llm.run_state import GroupState, RunState

_FLUSH_SECONDS = 1.0
_TOLD_SECONDS = 1.0
_LATER = "run the same command again later, or ask more slowly with --rpm"
Progress = Callable[[int, int, str | None], None]
"""Told of samples held and wanted, and of what goes on if it is not the usual."""


class HopelessError(ValueError):
    """Too many requests in a row gave no sample."""


class Call:
    """A request for which the meter holds its worst case.

    ``is_open`` says whether attempts may leave still; ``tell`` is told of pauses, and None when
    they are over.
    """

    def __init__(
        self,
        request: Request,
        meter: Meter,
        limiter: RateLimiter,
        ledger: Ledger,
        is_open: Callable[[], bool],
        tell: Callable[[str | None], None],
    ) -> None:
        self.request, self.attempts = request, 0
        self.waits = True  # at the gate, and not for an answer
        self._meter, self._limiter, self._ledger = meter, limiter, ledger
        self._is_open, self._tell = is_open, tell
        self._tokens = sum(bound(request))
        self._held = self._worst = meter.worst(request)
        self._lost = self._unbooked = 0

    async def gate(
        self,
        *,
        lost: bool = False,
        pause: Callable[[], float] | None = None,
        reason: Callable[[], str] | None = None,
    ) -> None:
        """Let the next attempt leave.

        Raises:
            FailedError: the attempt before may have been billed, and the budget does not allow
                another; or none may leave any more.
        """
        self.waits = True
        if self.attempts and lost:
            self._lose()
        if pause is not None:
            await self._wait_out(pause, reason)
        await self._limiter.admit(self._tokens, pause)
        if not self._is_open():
            raise FailedError("it was not sent any more.", kind="stopped", tokens=NOTHING)
        self.waits = False
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
        if tokens is not None and tokens != NOTHING:
            self._meter.note(self.request, tokens)
        cost = self.cost(tokens)
        billed, missing = (cost, 0) if tokens is not None else (0, cost)
        if self.attempts:
            with self._ledger.together():
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

    async def _wait_out(self, pause: Callable[[], float], reason: Callable[[], str] | None) -> None:
        """Wait until no pause is left, and tell second by second how long it is."""
        told = False
        while (wait := pause()) > 0:
            if wait > _TOLD_SECONDS or (told and wait > _TOLD_SECONDS / 2):
                told = True
                why = "" if reason is None else f": {reason()}"
                self._tell(f"waiting {wait:.0f} s{why}")
            await asyncio.sleep(min(wait, _TOLD_SECONDS))
        if told:
            self._tell(None)

    def _lose(self) -> None:
        """Count the attempt before as lost, and hold the worst case of the next."""
        self._lost += self._worst
        self._unbooked += self._worst
        if not self._meter.hold(self._worst):
            raise FailedError(
                "its answer was lost, and the budget does not allow another attempt.",
                kind="budget",
                tokens=NOTHING,
            )
        self._held += self._worst


class Loop:
    """Asks a client until no group is short; ``progress`` is told of samples held and wanted."""

    def __init__(
        self,
        state: RunState,
        groups: list[GroupState],
        client: Client,
        ledger: Ledger,
        limits: Limits,
        budget: Budget,
        progress: Progress | None,
    ) -> None:
        self._state, self._groups, self._client, self._ledger = state, groups, client, ledger
        self._limits, self._progress = limits, progress
        self._meter = Meter(budget, ledger.spent())
        self._limiter = RateLimiter(limits, ledger.recent(2 * limits.period))
        self._flying: dict[asyncio.Task[None], Call] = {}
        # One request goes first: if the key, model or address is wrong, it alone finds out.
        self._proven = False
        self._stop: BaseException | None = None

    async def run(self) -> None:
        """Ask until no group is short.

        When that cannot be, or the task is cancelled, requests on their way are waited for, since
        they may be paid for; cancelled a second time, it leaves them.

        Raises:
            BudgetError: the next request might cost more than is left.
            HopelessError: too many requests in a row gave no sample.
            FatalError: no request can succeed.
            ValueError: a request cannot be sent within the limits.
        """
        flush = asyncio.create_task(self._flush())
        try:
            self._launch()
            try:
                await self._until_landed()
            except asyncio.CancelledError as cancelled:
                self._halt(cancelled)
                await self._until_landed()
        finally:
            for task in (*self._flying, flush):
                task.cancel()
            await asyncio.gather(*self._flying, flush, return_exceptions=True)
            self._ledger.flush()
        if self._stop is not None:
            raise self._stop

    async def _until_landed(self) -> None:
        while self._flying:
            done, _ = await asyncio.wait(self._flying, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                del self._flying[task]
                # One that was halted before it left has no result.
                if not task.cancelled():
                    task.result()
            self._launch()

    def _halt(self, why: BaseException) -> None:
        """Let nothing leave any more; what is on its way comes home."""
        self._stop = why
        for task, call in self._flying.items():
            if call.waits:
                task.cancel()
        n = sum(not call.waits for call in self._flying.values())
        if n:
            self._tell(f"waiting for {n} answers on their way; again leaves them")

    def _tell(self, doing: str | None = None) -> None:
        if self._progress is not None:
            held = sum(min(each.held, each.wanted) for each in self._groups)
            self._progress(held, sum(each.wanted for each in self._groups), doing)

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
            group, request = found
            worst = self._meter.worst(request)
            if not self._meter.hold(worst):
                # Those on their way may cost less than is held for them.
                self._stop = None if self._flying else self._meter.refusal(worst)
                return
            group.start()
            call = Call(
                request, self._meter, self._limiter, self._ledger,
                is_open=lambda: not isinstance(self._stop, asyncio.CancelledError),
                tell=self._tell,
            )  # fmt: skip
            self._flying[asyncio.create_task(self._ask(group, call))] = call

    def _next(self) -> tuple[GroupState, Request] | None:
        for group in self._groups:
            request = self._state.missing(group)
            if request is not None:
                self._limits.check(sum(bound(request)))
                return group, request
        return None

    async def _ask(self, group: GroupState, call: Call) -> None:
        """Ask, and write down what comes of it; what goes wrong stops the loop, not the others."""
        try:
            await self._exchange(group, call)
        except asyncio.CancelledError:
            if call.waits:
                call.fail("stopped", "it was not sent any more.", NOTHING, final=False)
            raise
        except Exception as error:
            self._stop = self._stop or error
        finally:
            call.end(None)
        self._tell()

    async def _exchange(self, group: GroupState, call: Call) -> None:
        request = call.request
        try:
            reply = await self._client.ask(request, idempotency_key=request.key, gate=call.gate)
        except RefusedError as error:
            first = error.alike and not self._proven
            # What cost nothing may pass once the flags are mended; the second time it is given up,
            # so that no single request bars the way for ever.
            before = self._ledger.entry(request)
            final = not (first and error.tokens == NOTHING) or (
                before is not None and before.kind == error.kind
            )
            call.fail(error.kind, str(error), error.tokens, final=final)
            if final:
                self._state.give_up(request, error.kind)
            if first:
                raise FatalError(str(error)) from None
            self._land(group, request, 0, error.kind, str(error))
        except FailedError as error:
            call.fail(error.kind, str(error), error.tokens, final=False)
            if isinstance(error, OutageError):
                raise HopelessError(
                    f"{error} The ledger keeps the {group.held} of {group.wanted} samples of group "
                    f"{group.name!r} at hand; {_LATER}."
                ) from None
            if error.alike and not self._proven:
                raise FatalError(str(error)) from None
            self._land(group, request, None, error.kind, str(error))
        except FatalError as error:
            call.fail("fatal", str(error), NOTHING, final=False)
            raise
        else:
            if call.attempts == 0:
                raise RuntimeError("a client must pass its gate before each attempt.")
            if reply.tokens is not None:
                self._meter.note(request, reply.tokens)
            cost = call.cost(reply.tokens)
            with self._ledger.together():
                dated = self._ledger.done(request, reply, cost)
            call.end(cost)
            samples, reason = self._state.settle(request, dated)
            self._land(group, request, samples, None if samples else "rejected", reason or "")

    def _land(
        self,
        group: GroupState,
        request: Request,
        samples: int | None,
        trouble: str | None,
        why: str,
    ) -> None:
        self._proven = True
        group.land(request.index, samples, trouble)
        if group.hopeless and group.held < group.wanted:
            remedy = (
                _LATER
                if samples is None
                else "change the prompt or the model, or allow more with --patience, and run again"
            )
            self._stop = self._stop or HopelessError(
                f"group {group.name!r}: the last requests gave no sample ({group.troubles()}); "
                f"the last one because: {why.rstrip('.')}. The ledger keeps the {group.held} of "
                f"{group.wanted} samples at hand; {remedy}."
            )

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            with suppress(OSError):  # the last one, at the end, is told
                await asyncio.to_thread(self._ledger.flush)
