"""What a run would cost, what a ledger cost, and where each of its samples came from."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from opal.bridge.llm.budget import UNITS, Budget, bound, money
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.request import Prompter, Request, WrittenSample
from opal.bridge.llm.run_state import RunState
from opal.bridge.render import Block, Paragraph, Table
from opal.files import write_text

Prompts = Mapping[str, Sequence[Mapping[str, str]]]


@dataclass(frozen=True)
class CostEstimate:
    """A dry run."""

    held: int  # samples that the ledger has, of those wanted
    wanted: int
    requests: int  # that are missing, if each gives what it should
    tokens_in: int  # of their prompts, at most
    tokens_out: int  # of their answers, at most
    most: float  # that they cost, in the currency of the prices
    likely: float | None  # that they cost, by what the ledger's answers cost; None if it has none
    left: float | None = None  # of the budget, in the same currency; None where there is none
    # Samples that what is left buys, of those missing: about, by the ledger's answers, or at least
    # if it has none.
    affordable: int | None = None


@dataclass(frozen=True)
class LedgerReport:
    """What a ledger holds."""

    requests: int
    done: int  # with an answer
    waiting: int  # in a batch
    unknown: int  # sent, without news: the process died
    rejected: int  # answers that gave no sample
    failed: dict[str, int]  # by kind
    attempts: int  # that left
    tokens_in: int  # of prompts, as counted by the endpoint
    tokens_out: int  # of answers
    cost: float  # of what came, in the currency of the prices
    lost: float  # that may have been billed for answers that never came


def pending(prompter: Prompter, wanted: Mapping[str, int], ledger: Ledger) -> Iterator[Request]:
    """Requests that would give the samples wanted, if each gave what it should.

    Raises:
        LedgerError: one waits in a batch already.
    """
    state = RunState(prompter, ledger)
    for group in state.groups(wanted, patience=1):
        while (request := state.missing(group, write=False)) is not None:
            group.start()
            yield request


def estimate(
    prompter: Prompter, wanted: Mapping[str, int], ledger: Ledger, budget: Budget
) -> CostEstimate:
    """What it takes to have the samples wanted, by group; nothing is sent or written."""
    price, tokens_in, tokens_out = budget.price, 0, 0
    worst: list[int] = []
    for request in pending(prompter, wanted, ledger):
        most_in, most_out = bound(request)
        worst.append(price.cost(most_in, most_out))
        tokens_in, tokens_out = tokens_in + most_in, tokens_out + most_out
    total, size = sum(wanted.values()), prompter.per_request
    missing = min(len(worst) * size, total)
    (found,) = ledger.rows("SELECT avg(tokens_in), avg(tokens_out) FROM requests "
                           "WHERE state = 'done'")  # fmt: skip
    each = None
    if found[0] is not None:
        each = found[0] * price.input + found[1] * price.output
    likely = None if each is None else len(worst) * each / 1e6
    left = None if budget.units is None else max(budget.units - ledger.spent(), 0)
    bought = None
    if left is not None:
        bought = min(_affordable(worst, left, each and each * UNITS / 1e6) * size, missing)
    return CostEstimate(
        held=total - missing, wanted=total, requests=len(worst), tokens_in=tokens_in,
        tokens_out=tokens_out, most=sum(worst) / UNITS, likely=likely,
        left=None if left is None else left / UNITS, affordable=bought,
    )  # fmt: skip


def _affordable(worst: Sequence[int], left: int, each: float | None) -> int:
    """How many of the requests are sent before one may cost more than is left.

    They cost ``worst`` at most, and ``each`` as a rule; None if nobody knows.
    """
    for k, most in enumerate(worst):
        if left < most:
            return k
        left -= math.ceil(most if each is None else min(each, most))
    return len(worst)


def report(ledger: Ledger) -> LedgerReport:
    """What was asked, answered and paid."""
    states = dict(ledger.rows("SELECT state, count(*) FROM requests GROUP BY state"))
    rejected = (
        "SELECT count(DISTINCT request) FROM slots JOIN requests ON requests.id = slots.request "
        "WHERE samples = 0 AND state = 'done'"
    )
    kinds = "SELECT kind, count(*) FROM requests WHERE state = 'failed' GROUP BY kind ORDER BY kind"
    return LedgerReport(
        requests=sum(states.values()),
        done=states.get("done", 0),
        waiting=states.get("exported", 0),
        unknown=states.get("sent", 0),
        rejected=ledger.rows(rejected)[0][0],
        failed=dict(ledger.rows(kinds)),
        attempts=ledger.total("attempts"),
        tokens_in=ledger.total("tokens_in"),
        tokens_out=ledger.total("tokens_out"),
        cost=ledger.total("cost") / UNITS,
        lost=ledger.lost() / UNITS,
    )


def losses(ledger: Ledger) -> list[str]:
    """A sentence on what may have been billed for nothing, where there is such."""
    lost = ledger.lost()
    if not lost:
        return []
    told = (
        f"{money(lost)} may be lost: billed for answers that never came, as after a gateway's 502 "
        "or 504, a broken connection or a batch that was given up; the ledger counts it as spent"
    )
    return [told]


def prompts(samples: Sequence[WrittenSample], ledger: Ledger, prompter: Prompter) -> Prompts:
    """The messages of the samples' requests, by key."""
    groups = dict.fromkeys(sample.group for sample in samples)
    return {
        request.key: [asdict(message) for message in request.messages]
        for group in groups
        for request, _ in ledger.replies(prompter.identity, group)
    }


def usage(samples: Sequence[WrittenSample], ledger: Ledger, prompter: Prompter) -> dict[str, Any]:
    """Samples by group, repeated ones, rejections by reason, and the totals of the ledger."""
    contents = Counter(repr(sample.content) for sample in samples)
    return {
        "held": dict(Counter(sample.group for sample in samples)),
        "repeated": len(samples) - len(contents),
        "rejected": dict(_rejected(samples, ledger, prompter).most_common()),
        "cost_of_samples": sum(sample.cost for sample in samples),
        "ledger": asdict(report(ledger)),
    }


def _rejected(samples: Sequence[WrittenSample], ledger: Ledger, prompter: Prompter) -> Counter[str]:
    """Reasons of the prompter's answers without samples, and of parts of answers with some."""
    answered = (
        "SELECT reason FROM slots JOIN requests ON requests.id = slots.request "
        "WHERE run = ? AND samples = 0 AND state = 'done'"
    )
    reasons = Counter(_kind(reason) for (reason,) in ledger.rows(answered, prompter.identity))
    # Texts come one an answer; of several rows in an answer, some may count and others not.
    read = getattr(prompter, "read", None)
    if read is None:
        return reasons
    for group in dict.fromkeys(sample.group for sample in samples):
        for request, reply in ledger.replies(prompter.identity, group):
            reasons.update(_kind(each.reason) for each in read(request, reply).rejections)
    return reasons


def _kind(reason: str | None) -> str:
    """A reason without what differs from answer to answer."""
    return (reason or "unknown").split(":")[0]


def line(sample: WrittenSample, prompts: Prompts, **first: object) -> dict[str, object]:
    """A sample as a line of a file: what comes first, then all that it came from."""
    lineage = asdict(sample)
    del lineage["content"], lineage["group"]
    return {**first, **lineage, "prompt": prompts[sample.key]}


def write_lines(path: Path, lines: Iterable[Mapping[str, object]]) -> None:
    """Write JSON lines, all of them or none, for the owner's eyes: they hold texts and prompts."""
    text = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in lines)
    write_text(path, text, private=True)


def blocks(result: Mapping[str, Any], kind: str) -> Iterator[Block]:
    """What was asked and answered: samples by group, what they cost or would cost, and notes.

    ``result`` is of :meth:`opal.bridge.llm.command.Asking.ask`, and ``kind`` a word for groups.
    """
    yield counts(result, kind)
    if "estimate" in result:
        lines = _estimated(result["estimate"], priced=result["prices"] is not None)
    elif "exported" in result:
        written = f"wrote {result['exported']:,} requests to {result['out']}"
        lines = [written if result["out"] else "no request is missing: no batch was written"]
    else:
        lines = _usage(result)
    yield from map(Paragraph, [*lines, *(f"note: {note}" for note in result["notes"])])


def counts(result: Mapping[str, Any], kind: str) -> Table:
    """Real samples of each group, those asked for, and those made, of such a result."""
    held = result.get("held", {})
    none = 0 if "held" in result else None
    rows = [
        [group, each["originals"], each["asked"], held.get(group, none)]
        for group, each in result["groups"].items()
    ]
    return Table((kind, "originals", "to make", "made"), rows)


def _estimated(found: Mapping[str, Any], *, priced: bool) -> list[str]:
    likely = (
        "" if found["likely"] is None else f", about {found['likely']:.4g} by the answers so far"
    )
    missing = (
        f"{found['requests']:,} requests are missing ({found['held']:,} of {found['wanted']:,} "
        "samples are in the ledger); nothing was asked."
    )
    tokens = (
        f"At most {found['tokens_in']:,} tokens of prompts and {found['tokens_out']:,} of answers"
    )
    cost = f": a cost of at most {found['most']:.4g}{likely}" if priced else ""
    return [missing, f"{tokens}{cost}.", *filter(None, [_within(found)])]


def _within(found: Mapping[str, Any]) -> str:
    """Whether what is left of the budget suffices, where that is in doubt."""
    left, wanted = found["left"], found["wanted"] - found["held"]
    if left is None or found["most"] <= left:
        return ""
    if found["affordable"] == wanted:
        return (
            f"What is left of the budget, {left:.4g}, is likely to suffice, but not if all cost "
            "the most."
        )
    known = found["likely"] is not None
    how = "about" if known else "at least"
    why = "by the answers so far" if known else "if all cost the most"
    return (
        f"The budget does not suffice: {left:.4g} of it is left, which buys {how} "
        f"{found['affordable']:,} of the {wanted:,} samples that are missing, {why}."
    )


def _usage(result: Mapping[str, Any]) -> list[str]:
    ledger = result["ledger"]
    lines = [
        f"ledger: {ledger['requests']:,} requests, {ledger['done']:,} answered, "
        f"{ledger['tokens_in']:,} + {ledger['tokens_out']:,} tokens, cost {ledger['cost']:.4g}"
        + (f", {ledger['lost']:.4g} may be lost" if ledger["lost"] else "")
    ]
    failed = ", ".join(f"{count} {kind}" for kind, count in ledger["failed"].items())
    rejected = ", ".join(f"{count} × {reason}" for reason, count in result["rejected"].items())
    lines += [f"failed: {failed}"] if failed else []
    lines += [f"rejected: {rejected}"] if rejected else []
    lines += [f"{result['repeated']} samples repeat another one"] if result["repeated"] else []
    return [*lines, f"wrote {result['out']}"]
