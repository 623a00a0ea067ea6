"""Requests and answers as a ledger keeps them: what was changed since is found out."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

from opal.bridge.llm.budget import UNITS
from opal.bridge.llm.request import Reply, Request


class ChangedError(ValueError):
    """What is kept is not what was written."""


def request(key: str, text: str) -> Request:
    """The request that is kept under a key.

    Raises:
        ChangedError: it has another key.
    """
    if hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() != key:
        raise ChangedError(f"request {key[:12]} is not as it was written")
    return Request.read(text)


def pack(reply: Reply, cost: int, at: float) -> tuple[str, str]:
    """An answer as text, and the seal of all that is kept of it.

    Args:
        reply: the answer.
        cost: in billionths.
        at: seconds since 1970.
    """
    text = json.dumps([reply.text, reply.finish_reason, reply.model])
    return text, _seal(text, cost, reply.tokens_in, reply.tokens_out, at)


def unpack(
    text: str | None,
    seal: str | None,
    cost: int,
    tokens_in: int | None,
    tokens_out: int | None,
    at: float,
) -> Reply:
    """The answer that was packed.

    Raises:
        ChangedError: the seal is of another.
    """
    if text is None or _seal(text, cost, tokens_in, tokens_out, at) != seal:
        raise ChangedError("an answer is not as it was written")
    content, finish_reason, model = json.loads(text)
    date = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    return Reply(content, tokens_in, tokens_out, finish_reason, model, date, cost / UNITS)


def _seal(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()[:16]
