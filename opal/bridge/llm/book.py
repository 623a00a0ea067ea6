"""What a writer makes of a ledger: which requests are settled, and the samples in their answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from opal.bridge.llm.ledger import Entry, Ledger, LedgerError
from opal.bridge.llm.quota import Quota
from opal.bridge.llm.request import Rejection, Reply, Request, Sample, Writer


class Book:
    """A writer's run in a ledger.

    Args:
        writer: of the requests.
        ledger: that holds them.
    """

    def __init__(self, writer: Writer, ledger: Ledger) -> None:
        self._writer = writer
        self._ledger = ledger

    def quotas(self, wanted: Mapping[str, int], patience: int) -> list[Quota]:
        """How far each group is.

        Raises:
            ValueError: a quota is negative, or answers should hold no sample.
            LedgerError: the writer's requests are not those that it made before.
        """
        run, size = self._writer.identity, self._writer.per_request
        if size < 1:
            raise ValueError(f"a request must ask for at least one sample; got {size}.")
        for group, number in wanted.items():
            if number < 0:
                raise ValueError(f"a quota must be at least 0; got {number} for {group!r}.")
            self._verify(group)
        return [
            Quota(group, number, size, self._ledger.slots(run, group), patience)
            for group, number in wanted.items()
        ]

    def request(self, quota: Quota) -> Request:
        """The group's next request.

        Raises:
            ValueError: the writer made it for another place.
        """
        index = quota.next()
        request = self._writer.request(quota.group, index)
        if (request.group, request.index) != (quota.group, index):
            raise ValueError(
                f"a request must carry the group and index that it is for, {quota.group!r} and "
                f"{index}; got {request.group!r} and {request.index}."
            )
        return request

    def known(self, request: Request, *, write: bool = True) -> tuple[Entry | None, int | None]:
        """What the ledger holds of a request, and how many samples it gave if that is settled.

        Raises:
            LedgerError: it waits in a batch.
        """
        entry = self._ledger.entry(request)
        if entry is None:
            return None, None
        if entry.state == "exported":
            raise LedgerError(
                f"request {request.index} of group {request.group!r} waits in an exported batch; "
                "load its results, or release it, first."
            )
        if entry.reply is not None:
            return entry, self.settle(request, entry.reply, write=write)[0]
        if entry.state == "failed" and entry.final:
            if write:
                self.give_up(request, entry.kind or "failed")
            return entry, 0
        return entry, None

    def settle(
        self, request: Request, reply: Reply, *, write: bool = True
    ) -> tuple[int, str | None]:
        """Samples that an answer gives, and why none."""
        samples, reason = self._parse(request, reply)
        if write:
            self._ledger.settle(self._writer.identity, request, len(samples), reason)
        return len(samples), reason

    def give_up(self, request: Request, kind: str) -> None:
        """Settle a request whose answer is of no use."""
        self._ledger.settle(self._writer.identity, request, 0, kind)

    def samples(self, group: str, wanted: int) -> Iterator[Sample]:
        """The first samples of a group, in the order of their requests.

        Answers that the writer now reads otherwise are settled anew; then fewer may come.
        """
        left, changed = wanted, []
        run = self._writer.identity
        counts = self._ledger.slots(run, group)
        replies = self._ledger.replies(run, group)
        while left > 0 and (answered := next(replies, None)) is not None:
            request, reply = answered
            found, reason = self._parse(request, reply)
            if len(found) != counts[request.index]:
                changed.append((request, len(found), reason))
            yield from found[:left]
            left -= len(found)
        for request, number, reason in changed:
            self._ledger.settle(run, request, number, reason)

    def _parse(self, request: Request, reply: Reply) -> tuple[list[Sample], str | None]:
        found = self._writer.parse(request, reply)
        if isinstance(found, Rejection):
            return [], found.reason
        wrong = {sample.group for sample in found} - {request.group}
        if wrong:
            raise ValueError(
                f"samples must be of the group that was asked for, {request.group!r}; "
                f"the writer read some of {sorted(wrong)}."
            )
        return found, None if found else "no sample in the answer"

    def _verify(self, group: str) -> None:
        for index, key in self._ledger.ends(self._writer.identity, group):
            if self._writer.request(group, index).key != key:
                raise LedgerError(
                    f"request {index} of group {group!r} is not what the ledger holds for the "
                    f"writer {self._writer.identity!r}: its identity must change with all that "
                    "its requests depend on."
                )
