"""How far a run is: which requests are settled, which come next, and the samples in the answers."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping

from opal.bridge.llm.database import LedgerError, damaged
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.request import Prompter, Rejection, Reply, Request, WrittenSample


class GroupState:
    """A group's share of a run.

    ``settled`` holds the samples that each request gave that is settled already, by index;
    ``patience`` is how many requests in a row may give nothing.
    """

    def __init__(
        self, name: str, wanted: int, per_request: int, settled: dict[int, int], patience: int
    ) -> None:
        self.name = name
        self.wanted = wanted
        self.held = sum(settled.values())
        self._settled = settled
        self._per_request = per_request
        self._flying = 0
        self._next = 0
        self._troubles: deque[str] = deque(maxlen=patience)

    @property
    def short(self) -> bool:
        """Whether a further request is needed, if all on their way give what they should."""
        return self.held + self._flying * self._per_request < self.wanted

    @property
    def hopeless(self) -> bool:
        """Whether too many requests in a row gave nothing."""
        return len(self._troubles) == self._troubles.maxlen

    def next(self) -> int:
        """Index of the next request: the lowest that is not settled, skipped or on its way."""
        while self._next in self._settled:
            self._next += 1
        return self._next

    def start(self) -> None:
        """The next request is on its way."""
        self._flying += 1
        self._next += 1

    def skip(self) -> None:
        """Leave the next request out."""
        self._next += 1

    def adopt(self, index: int, samples: int) -> None:
        """The ledger knows what a request gave."""
        self.held += samples
        self._settled[index] = samples

    def land(self, index: int, samples: int | None, trouble: str | None) -> None:
        """A request came back with so many samples, or, in a word, why it gave none.

        ``samples`` is None if a later run will ask it again.
        """
        self._flying -= 1
        if samples is not None:
            self.adopt(index, samples)
        if trouble is None:
            self._troubles.clear()
        else:
            self._troubles.append(trouble)

    def troubles(self) -> str:
        """Why the last requests gave nothing: ``12 refusal, 8 rejected``."""
        counts = Counter(self._troubles).most_common()
        return ", ".join(f"{count} {trouble}" for trouble, count in counts)


class RunState:
    """A prompter's run in a ledger."""

    def __init__(self, prompter: Prompter, ledger: Ledger) -> None:
        self._prompter, self._ledger = prompter, ledger

    def groups(self, wanted: Mapping[str, int], patience: int) -> list[GroupState]:
        """How far each group is.

        Raises:
            ValueError: a number of samples is negative, or answers should hold no sample.
            LedgerError: the prompter's requests are not those that it made before.
        """
        run, size = self._prompter.identity, self._prompter.per_request
        if size < 1:
            raise ValueError(f"a request must ask for at least one sample; got {size}.")
        for group, number in wanted.items():
            if number < 0:
                raise ValueError(f"a quota must be at least 0; got {number} for {group!r}.")
            self._verify(group)
        return [
            GroupState(group, number, size, self._ledger.slots(run, group), patience)
            for group, number in wanted.items()
        ]

    def request(self, group: GroupState) -> Request:
        """The group's next request.

        Raises:
            ValueError: the prompter made it for another place.
        """
        index = group.next()
        request = self._prompter.request(group.name, index)
        if (request.group, request.index) != (group.name, index):
            raise ValueError(
                f"a request must carry the group and index that it is for, {group.name!r} and "
                f"{index}; got {request.group!r} and {request.index}."
            )
        return request

    def missing(self, group: GroupState, *, write: bool = True) -> Request | None:
        """The group's next request that the ledger does not answer; None if it needs none."""
        while group.short:
            request = self.request(group)
            samples = self.known(request, write=write)
            if samples is None:
                return request
            group.adopt(request.index, samples)
        return None

    def known(self, request: Request, *, write: bool = True) -> int | None:
        """How many samples a request gave, if the ledger says so.

        Raises:
            LedgerError: it waits in a batch.
        """
        entry = self._ledger.entry(request)
        if entry is None:
            return None
        if entry.state == "exported":
            raise LedgerError(
                f"request {request.index} of group {request.group!r} waits in an exported batch, "
                f"and {self._ledger.waiting():,} do in all; load their results with "
                "--batch-in, or give them up with --batch-release, first."
            )
        if entry.reply is not None:
            return self.settle(request, entry.reply, write=write)[0]
        if entry.state == "failed" and entry.final:
            if write:
                self.give_up(request, entry.kind or "failed")
            return 0
        return None

    def settle(
        self, request: Request, reply: Reply, *, write: bool = True
    ) -> tuple[int, str | None]:
        """Samples that an answer gives, and why none."""
        samples, reason = self._parse(request, reply)
        if write:
            self._ledger.settle(self._prompter.identity, request, len(samples), reason)
        return len(samples), reason

    def give_up(self, request: Request, kind: str) -> None:
        """Settle a request whose answer is of no use."""
        self._ledger.settle(self._prompter.identity, request, 0, kind)

    def samples(self, group: str, wanted: int) -> Iterator[WrittenSample]:
        """The first samples of a group, in the order of their requests.

        Answers that the prompter now reads otherwise are settled anew; then fewer may come.

        Raises:
            LedgerError: answers that it counts are not there, or not as they were written.
        """
        left, changed = wanted, []
        run = self._prompter.identity
        counts = self._ledger.slots(run, group)
        giving = sum(number > 0 for number in counts.values())
        replies = self._ledger.replies(run, group)
        while left > 0:
            answered = next(replies, None)
            if answered is None:
                if giving:
                    raise damaged(self._ledger.name, "answers that it counts are not there")
                break
            giving -= 1
            request, reply = answered
            found, reason = self._parse(request, reply)
            if len(found) != counts[request.index]:
                changed.append((request, len(found), reason))
            yield from found[:left]
            left -= len(found)
        for request, number, reason in changed:
            self._ledger.settle(run, request, number, reason)

    def _parse(self, request: Request, reply: Reply) -> tuple[list[WrittenSample], str | None]:
        found = self._prompter.parse(request, reply)
        if isinstance(found, Rejection):
            return [], found.reason
        wrong = {sample.group for sample in found} - {request.group}
        if wrong:
            raise ValueError(
                f"samples must be of the group that was asked for, {request.group!r}; "
                f"the prompter read some of {sorted(wrong)}."
            )
        return found, None if found else "no sample in the answer"

    def _verify(self, group: str) -> None:
        for index, key in self._ledger.ends(self._prompter.identity, group):
            if self._prompter.request(group, index).key != key:
                raise LedgerError(
                    f"request {index} of group {group!r} is not what the ledger holds for the "
                    f"prompter {self._prompter.identity!r}: its identity must change with all that "
                    "its requests depend on."
                )
