"""What a run would cost, and what a ledger cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from opal.bridge.llm.book import Book
from opal.bridge.llm.budget import FREE, UNITS, Prices, bound
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.request import Request, Writer


@dataclass(frozen=True)
class Estimate:
    """A dry run.

    Attributes:
        held: samples that the ledger has, of those wanted.
        wanted: samples.
        requests: that are missing, if each gives what it should.
        tokens_in: of their prompts, at most.
        tokens_out: of their answers, at most.
        most: that they cost, in the currency of the prices.
        likely: that they cost, by what the ledger's answers cost; None if it has none.
    """

    held: int
    wanted: int
    requests: int
    tokens_in: int
    tokens_out: int
    most: float
    likely: float | None


@dataclass(frozen=True)
class Report:
    """What a ledger holds.

    Attributes:
        requests: all.
        done: with an answer.
        waiting: in a batch.
        unknown: sent, without news: the process died.
        rejected: answers that gave no sample.
        failed: by kind.
        attempts: that left.
        tokens_in: of prompts, as counted by the endpoint.
        tokens_out: of answers.
        cost: of what came, in the currency of the prices.
        lost: that may have been billed for answers that never came.
    """

    requests: int
    done: int
    waiting: int
    unknown: int
    rejected: int
    failed: dict[str, int]
    attempts: int
    tokens_in: int
    tokens_out: int
    cost: float
    lost: float


def pending(writer: Writer, quotas: Mapping[str, int], ledger: Ledger) -> Iterator[Request]:
    """Requests that would fill the quotas, if each gave what it should.

    Raises:
        LedgerError: one waits in a batch already.
    """
    book = Book(writer, ledger)
    for quota in book.quotas(quotas, patience=1):
        while quota.short:
            request = book.request(quota)
            _, samples = book.known(request, write=False)
            if samples is None:
                quota.start()
                yield request
            else:
                quota.adopt(request.index, samples)


def estimate(
    writer: Writer, quotas: Mapping[str, int], ledger: Ledger, prices: Prices | None
) -> Estimate:
    """What it takes to fill the quotas; nothing is sent or written.

    Args:
        writer: makes the requests.
        quotas: samples by group.
        ledger: that may hold some already.
        prices: of a million tokens; None where nothing is paid.
    """
    price, requests, tokens_in, tokens_out, most = prices or FREE, 0, 0, 0, 0
    for request in pending(writer, quotas, ledger):
        most_in, most_out = bound(request)
        requests, most = requests + 1, most + price.cost(most_in, most_out)
        tokens_in, tokens_out = tokens_in + most_in, tokens_out + most_out
    wanted = sum(quotas.values())
    missing = requests * writer.per_request
    (found,) = ledger.rows("SELECT avg(tokens_in), avg(tokens_out) FROM requests "
                           "WHERE state = 'done'")  # fmt: skip
    likely = None
    if None not in found:
        likely = requests * (found[0] * price.input + found[1] * price.output) / 1e6
    held = max(wanted - missing, 0)
    return Estimate(held, wanted, requests, tokens_in, tokens_out, most / UNITS, likely)


def report(ledger: Ledger) -> Report:
    """What was asked, answered and paid."""
    states = dict(ledger.rows("SELECT state, count(*) FROM requests GROUP BY state"))
    rejected = (
        "SELECT count(DISTINCT request) FROM slots JOIN requests ON requests.id = slots.request "
        "WHERE samples = 0 AND state = 'done'"
    )
    kinds = "SELECT kind, count(*) FROM requests WHERE state = 'failed' GROUP BY kind ORDER BY kind"
    return Report(
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
        lost=ledger.total("lost + CASE state WHEN 'sent' THEN reserved ELSE 0 END") / UNITS,
    )
