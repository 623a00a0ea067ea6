"""Exactly the samples that are asked for, from the ledger and, where it is short, from a client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import ParamSpec, TypeVar

from opal.bridge.llm.budget import Budget, Limits
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.loop import HopelessError, Loop, Progress
from opal.bridge.llm.request import Client, Prompter, WrittenSample
from opal.bridge.llm.run_state import GroupState, RunState
from opal.spelling import folded

_Options = ParamSpec("_Options")
_Result = TypeVar("_Result")
_NO_LIMITS = Limits()
_MOST_PATIENCE = 1_000_000
_NO_BUDGET = Budget()


class ReplayError(ValueError):
    """The ledger does not hold enough."""


async def collect(
    prompter: Prompter,
    wanted: Mapping[str, int],
    client: Client | None,
    ledger: Ledger,
    *,
    limits: Limits = _NO_LIMITS,
    budget: Budget = _NO_BUDGET,
    patience: int = 20,
    distinct: bool = False,
    progress: Progress | None = None,
) -> list[WrittenSample]:
    """As many samples of each group as its group says.

    They are the first of their group in the order of its requests, whatever the order in which
    answers came, and however often the process died in between.

    Args:
        prompter: makes the requests and reads the answers.
        wanted: samples by group.
        client: that answers what the ledger does not; None to use the ledger alone.
        ledger: that holds what was asked and answered before, and what will be.
        limits: of the client.
        budget: for all that the ledger holds.
        patience: requests of a group in a row that may give no sample.
        distinct: leave out samples that repeat an earlier one of their group, in whatever spelling
            (:func:`opal.spelling.folded`), and make more.
        progress: told of samples held and wanted, and of what goes on if it is not the usual.

    Returns:
        Samples, group after group in the order of ``wanted``.

    Raises:
        ValueError: a group, the prompter or a request breaks its rules; nothing is sent.
        BudgetError: the next request might cost more than is left.
        HopelessError: too many requests in a row gave no sample.
        FatalError: key, model or endpoint are wrong.
        ReplayError: there is no client, and the ledger holds too little.
        LedgerError: the ledger is damaged, or another prompter's.
    """
    if not 1 <= patience <= _MOST_PATIENCE:
        raise ValueError(f"patience must be from 1 to {_MOST_PATIENCE:,}; got {patience}.")
    state, made = RunState(prompter, ledger), dict(wanted)
    served: dict[str, list[WrittenSample]] = {}
    try:
        while True:
            shares = state.groups(made, patience)
            if client is None:
                _replay(state, shares, ledger)
            else:
                await Loop(state, shares, client, ledger, limits, budget, progress).run()
            before, served = served, {g: _serve(state, g, made[g], distinct) for g in wanted}
            # Too few where samples repeat, or where an answer is read otherwise than before.
            short = {g: n - len(served[g]) for g, n in wanted.items() if len(served[g]) < n}
            if not short:
                return [each for g, n in wanted.items() for each in served[g][:n]]
            if distinct:
                _widen(made, short, wanted, before, served, patience)
    finally:
        if client is not None:
            await client.close()


def _serve(state: RunState, group: str, wanted: int, distinct: bool) -> list[WrittenSample]:
    """The first samples of a group; each content once, if they are to be distinct."""
    found = list(state.samples(group, wanted))
    if not distinct:
        return found
    first: dict[str, WrittenSample] = {}
    for sample in found:
        content = sample.content
        # Rows stay as they are: without its signs a number is another one.
        key = folded(content) if isinstance(content, str) else repr(sorted(content.items()))
        first.setdefault(key, sample)
    return list(first.values())


def _widen(
    made: dict[str, int],
    short: Mapping[str, int],
    wanted: Mapping[str, int],
    before: Mapping[str, list[WrittenSample]],
    served: Mapping[str, list[WrittenSample]],
    patience: int,
) -> None:
    """Make more where samples repeat; hopeless where the last that were made all repeat."""
    for group, missing in short.items():
        if group in before and len(before[group]) == len(served[group]):
            raise HopelessError(
                f"group {group!r}: the model repeats itself; {made[group]} samples are "
                f"{len(served[group])} distinct ones, of {wanted[group]} wanted, and the last ones "
                "were all repeats. The ledger keeps them; change the prompt or the temperature."
            )
        made[group] += max(missing, patience if group in before else 0)


def _replay(state: RunState, groups: list[GroupState], ledger: Ledger) -> None:
    """Settle what the ledger holds; refuse where it is not enough."""
    for group in groups:
        last = ledger.last(group.name)
        while group.short and group.next() <= last:
            request = state.request(group)
            samples = state.known(request)
            if samples is None:
                group.skip()
            else:
                group.adopt(request.index, samples)
        if group.short:
            raise ReplayError(
                f"the ledger {ledger.name} holds {group.held} of {group.wanted} samples of group "
                f"{group.name!r} by this prompter; give an endpoint or a local model to make the "
                "rest."
            )


def _blocking(
    work: Callable[_Options, Coroutine[object, object, _Result]],
) -> Callable[_Options, _Result]:
    """Work that is waited for, also where a loop runs already, as in a notebook."""

    @wraps(work)
    def run(*args: _Options.args, **options: _Options.kwargs) -> _Result:
        try:
            running: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is None:
            return asyncio.run(work(*args, **options))
        cancels: list[Callable[[], object]] = []

        async def cancellable() -> _Result:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            if task is not None:
                cancels.append(lambda: loop.call_soon_threadsafe(task.cancel))
            return await work(*args, **options)

        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(asyncio.run, cancellable())
            try:
                return future.result()
            except KeyboardInterrupt:
                for cancel in cancels:
                    cancel()
                raise

    return run


generate = _blocking(collect)  # `collect` itself is for those who have an event loop of their own
