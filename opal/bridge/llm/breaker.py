"""A circuit breaker: when an endpoint fails, its requests wait and give up together.

The first failure opens the circuit for all requests of a client. From then on one attempt leaves at
a time, after a wait that doubles, until one is answered, which closes the circuit. Attempts that
were on their way together count once. When too many in a row came to nothing, none leaves any more.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from opal.bridge.llm.request import NOTHING, Gate, OutageError

FIRST_WAIT = 2.0
"""Seconds after a first failure; they double with each in a row."""
MOST_ATTEMPTS = 8
"""Attempts in a row that may come to nothing, of all requests of a client together."""
MOST_LOST = 5
"""Those of them that may have been billed."""
LONGEST_PAUSE = 900.0
"""Seconds of Retry-After that are waited out; what is longer is told."""
_LONGEST_OUTAGE = 2 * LONGEST_PAUSE
_MOST_OF_REQUEST = 3  # attempts of one request, where its text may be what the endpoint fails at
_OF_LOAD = (429, 503, 529)  # statuses that no text is to blame for
_LOOK_SECONDS = 0.05


@dataclass
class Attempt:
    """The last attempt of a request.

    Attributes:
        gate: that each attempt passes.
        lost: whether it may have been billed for no answer.
        repeats: whether another should follow.
        failures: attempts of the request that failed.
        most: attempts that it may have.
        left: monotonic seconds at which it left.
        next: monotonic seconds before which none follows.
        yields: whether others go first while the endpoint fails: its own text may be to blame.
    """

    gate: Gate
    lost: bool = False
    repeats: bool = False
    failures: int = 0
    most: int = MOST_ATTEMPTS
    left: float = -math.inf
    next: float = -math.inf
    yields: bool = False


class CircuitBreaker:
    """What the requests of a client know together of the failures of its endpoint.

    Args:
        retries: of one request, at most.
    """

    def __init__(self, retries: int) -> None:
        self._retries = retries
        self._failed = self._lost = 0  # in a row
        self._began = self._counted = -math.inf  # monotonic seconds of the first and last of them
        self._asked_until = self._open_until = -math.inf
        self._wait = 0.0  # seconds of the last wait of all
        self._flying = 0
        self._what = ""
        self.outage: str | None = None
        """What is told of an endpoint that is given up."""

    def pause(self, attempt: Attempt) -> float:
        """Seconds until an attempt may leave; asked anew when they are over.

        Raises:
            OutageError: none leaves any more.
        """
        if self.outage is not None:
            raise OutageError(self.outage, kind="stopped", tokens=NOTHING)
        until = max(attempt.next, self._asked_until)
        if self._failed:
            until = max(until, self._open_until + (self._wait if attempt.yields else 0.0))
        wait = max(until - time.monotonic(), 0.0)
        return _LOOK_SECONDS if wait == 0 and self._failed and self._flying else wait

    def reason(self, attempt: Attempt) -> str:
        """Why an attempt waits, and which it is: ``503 Service Unavailable, attempt 3 of 8``."""
        if self._failed:
            return f"{self._what}, attempt {self._failed + 1} of {self._failed + self._left}"
        if attempt.failures:
            return f"{self._what}, attempt {attempt.failures + 1} of {attempt.most}"
        return self._what

    @contextmanager
    def flight(self, attempt: Attempt) -> Iterator[None]:
        """While an attempt is on its way."""
        attempt.left, attempt.repeats = time.monotonic(), False
        self._flying += 1
        try:
            yield
        finally:
            self._flying -= 1

    def answered(self) -> None:
        """An answer came, be it a refusal: the endpoint works."""
        self._failed = self._lost = 0

    def failed(
        self, attempt: Attempt, what: str, status: int | None = None, asked: float | None = None
    ) -> None:
        """An attempt came to nothing, with this status or none.

        ``what`` says how, in a few words, and ``asked`` is how many seconds the endpoint asks to
        wait, if it does.
        """
        now, self._what = time.monotonic(), what
        if not self._failed or attempt.left > self._counted:
            self._began = now if not self._failed else self._began
            self._failed, self._counted = self._failed + 1, now
            self._lost += attempt.lost
            # What an endpoint asks for is right at first, and too little when it fails again.
            if asked is None or self._failed > 1:
                self._wait = FIRST_WAIT * 2 ** (self._failed - 1)
                self._open_until = now + self._wait
        attempt.failures += 1
        of_load = status in _OF_LOAD or asked is not None
        attempt.most = 1 + self._retries
        attempt.yields = not of_load
        if attempt.yields:
            attempt.most = min(attempt.most, _MOST_OF_REQUEST)
        attempt.next = now
        if asked is None:
            attempt.next += FIRST_WAIT * 2 ** (attempt.failures - 1)
        elif asked <= LONGEST_PAUSE:
            self._asked_until = max(self._asked_until, now + asked)
        if not self._left or now - self._began > _LONGEST_OUTAGE:
            self.outage = f"{self._failed} attempts in a row came to nothing"
        attempt.repeats = (
            attempt.failures < attempt.most
            and self.outage is None
            and (asked is None or asked <= LONGEST_PAUSE)
        )

    @property
    def _left(self) -> int:
        """Attempts that are left before the endpoint is given up."""
        left = MOST_ATTEMPTS - self._failed
        return min(left, MOST_LOST - self._lost) if self._lost else left
