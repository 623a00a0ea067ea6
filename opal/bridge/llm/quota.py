"""How many samples a group still needs, and which of its requests comes next."""

from __future__ import annotations

from collections import Counter, deque


class Quota:
    """A group's share of a run.

    Args:
        group: its name.
        wanted: samples.
        per_request: samples that a request should give.
        settled: samples that each request gave that is settled already, by index.
        patience: requests in a row that may give nothing.
    """

    def __init__(
        self, group: str, wanted: int, per_request: int, settled: dict[int, int], patience: int
    ) -> None:
        self.group = group
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
        """A request came back.

        Args:
            index: of the request.
            samples: that it gave; None if it will be asked again by a later run.
            trouble: in a word, why it gave none.
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
