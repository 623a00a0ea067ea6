"""An endpoint's answer: its text, what it counts, and errors that come as answers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from opal.bridge.llm.request import MOST_TOKENS, RefusedError, Reply, encodable
from opal.bridge.render import shown

_NAME = 500  # characters of the name of a model, and of a reason
_SHOWN = 200  # characters of what a server says
# Words in the codes of errors that come without a status, and the status that each stands for.
_STATUSES = {
    "rate_limit": 429,
    "too_many_requests": 429,
    "quota": 402,
    "balance": 402,
    "credit": 402,
    "billing": 402,
    "api_key": 401,
    "authentication": 401,
    "permission": 403,
    "context_length": 400,
    "content_filter": 400,
    "invalid": 400,
    "badrequest": 400,
    "timeout": 504,
    "overloaded": 503,
    "unavailable": 503,
    "server_error": 500,
    "internal": 500,
}


def read_completion(payload: object) -> Reply:
    """The reply in an answer's JSON.

    Raises:
        RefusedError: it holds none: another shape, a refusal, nothing, or half of one.
    """
    fields = payload if isinstance(payload, dict) else {}
    tokens = read_usage(fields.get("usage"))
    choices = fields.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        # What came is no completion, whatever a server says that it counted.
        told = _error(fields) or f"its fields: {', '.join(sorted(map(str, fields))) or 'none'}"
        message = f"the answer is no completion; {shown(told, _SHOWN)}."
        raise RefusedError(message, kind="shape", tokens=None, alike=True)
    reason, content = choice.get("finish_reason"), _text(message.get("content"))
    if message.get("refusal") or reason == "content_filter":
        why = message.get("refusal") or "its content was filtered"
        raise RefusedError(
            f"the model refused: {shown(str(why), _SHOWN)}", kind="refusal", tokens=tokens
        )
    empty = content is None or not content.strip()
    if reason == "length" and empty:
        raise RefusedError(
            "all tokens that an answer may have went into thoughts before it: allow more with "
            "--max-tokens.",
            kind="thoughts", tokens=tokens, alike=True,
        )  # fmt: skip
    if reason == "length":
        raise RefusedError(
            "the answer is cut at max_tokens: allow more with --max-tokens.",
            kind="length", tokens=tokens,
        )  # fmt: skip
    if content is None and message.get("content") is not None:
        raise RefusedError("the answer's content is no text.", kind="shape", tokens=tokens)
    if content is None or empty:
        raise RefusedError("the answer is empty.", kind="empty", tokens=tokens)
    tokens_in, tokens_out = tokens or (None, None)
    model = fields.get("model")
    return Reply(
        content,
        tokens_in,
        tokens_out,
        encodable(reason[:_NAME]) if isinstance(reason, str) else None,
        encodable(model[:_NAME]) if isinstance(model, str) else "",
    )


def read_usage(usage: object) -> tuple[int, int] | None:
    """Tokens of prompt and answer; None if the endpoint does not count them as it should.

    Thoughts that are in the total alone are of the answer: they are billed as such.
    """
    if not isinstance(usage, dict):
        return None
    read, written, total = (
        _count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    )
    if read is None or written is None:
        return None
    return read, max(written, (total or 0) - read)


def read_object(content: str | bytes) -> dict[str, Any] | None:
    """The JSON object in a content; None if there is none."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):  # a ValueError also for a number of 5,000 digits
        return None
    return found if isinstance(found, dict) else None


def status_inside(content: bytes) -> int | None:
    """The status of an error that came as if it were an answer; None if the content is none."""
    fields = read_object(content) if b"error" in content else None
    if fields is None:
        return None
    choices = fields.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    error = fields.get("error")
    if isinstance(first, dict):
        if first.get("message") and first.get("finish_reason") != "error":
            return None
        error = error or first.get("error")
    if fields.get("object") == "error":
        error = fields
    return _status(error) if isinstance(error, dict) else None


def _status(error: Mapping[str, object]) -> int | None:
    for name in ("code", "status", "status_code"):
        if found := re.fullmatch(r"([45]\d\d)(?:\.0)?", str(error.get(name))):
            return int(found[1])
    words = f"{error.get('code')} {error.get('type')}".lower()
    return next((status for word, status in _STATUSES.items() if word in words), None)


def _text(content: object) -> str | None:
    """A message's text: as it is, or of its parts of the type text; None if there is none."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    parts = [
        part.get("text")
        for part in content
        if isinstance(part, dict) and part.get("type") in ("text", "output_text")
    ]
    texts = [text for text in parts if isinstance(text, str)]
    return "".join(texts) if texts else None


def _count(value: object) -> int | None:
    """A count of tokens, where it is one that can be."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if value == int(value) and 0 <= value <= MOST_TOKENS else None


def _error(fields: Mapping[str, object]) -> str | None:
    """What a server says in an error that it sent as if it were an answer."""
    error = fields.get("error")
    message = error.get("message") if isinstance(error, dict) else error
    return f"it says: {message}" if isinstance(message, str) else None
