"""A door is anything that answers requests: an endpoint, or a model on this machine."""

from __future__ import annotations

from typing import Protocol

from opal.bridge.llm.request import Reply, Request

NOTHING = (0, 0)


class Gate(Protocol):
    """Awaited by a door before each attempt leaves.

    It waits for the limits, holds the budget and writes to the ledger that the request is out.
    """

    async def __call__(self, *, lost: bool = False) -> None:
        """Pass.

        Args:
            lost: the attempt before may have been billed though its answer never came.
        """
        ...


class Door(Protocol):
    """Where requests are sent."""

    async def ask(self, request: Request, *, idempotency_key: str, gate: Gate) -> Reply:
        """The answer.

        Raises:
            RefusedError: the answer is of no use.
            FailedError: no answer came.
            FatalError: no request can succeed.
        """
        ...

    async def close(self) -> None:
        """Let go of connections; the door can be used again."""
        ...


class AskError(Exception):
    """A request that gave no usable answer.

    Args:
        message: in a line.
        kind: in one word.
        tokens: of prompt and answer that were billed, or may have been; None if unknown, then the
            worst case is charged.
    """

    def __init__(self, message: str, *, kind: str, tokens: tuple[int, int] | None) -> None:
        super().__init__(message)
        self.kind = kind
        self.tokens = tokens


class RefusedError(AskError):
    """An answer came that is of no use; the request is never asked again."""


class FailedError(AskError):
    """No answer came; a later run asks again, under the same key."""


class FatalError(ValueError):
    """No request to this door can succeed as it is set up."""
