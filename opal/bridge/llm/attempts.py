"""Attempts of the client: each passes the gate of its request before it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opal.bridge.llm.door import Gate

if TYPE_CHECKING:
    import httpx2

_HEADER = "idempotency-key"


@dataclass
class Attempt:
    """The last attempt of a request.

    Attributes:
        gate: of the request.
        lost: it may have been billed though no answer came.
    """

    gate: Gate
    lost: bool = False


class Attempts:
    """Requests on their way, by idempotency key."""

    def __init__(self) -> None:
        self._flying: dict[str, Attempt] = {}

    @contextmanager
    def of(self, key: str, gate: Gate) -> Iterator[Attempt]:
        """The attempts of one request, while it is on its way."""
        self._flying[key] = attempt = Attempt(gate)
        try:
            yield attempt
        finally:
            del self._flying[key]

    def find(self, request: httpx2.Request) -> Attempt:
        """Those of the request that a client is about to send."""
        return self._flying[request.headers[_HEADER]]


def gated(attempts: Attempts, timeout: float) -> httpx2.AsyncClient:
    """OpenAI's HTTP client, with a gate before each attempt."""
    import httpx2
    import openai

    unsent = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)

    class Client(openai.DefaultAsyncHttpxClient):
        async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
            attempt = attempts.find(request)
            await attempt.gate(lost=attempt.lost)
            attempt.lost = True
            try:
                # The client's own timeout starts anew with each byte that comes.
                async with asyncio.timeout(timeout):
                    response = await super().send(request, **options)
            except unsent:
                attempt.lost = False
                raise
            except TimeoutError:
                raise httpx2.ReadTimeout("too slow", request=request) from None
            # An endpoint that tells an error bills nothing; else the answer says what it cost.
            attempt.lost = response.status_code < 400
            return response

    return Client(timeout=timeout)
