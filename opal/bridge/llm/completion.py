"""Chat completions, the form of requests and answers that most endpoints speak."""

from __future__ import annotations

from typing import Literal

from opal.bridge.llm.door import RefusedError
from opal.bridge.llm.request import Reply, Request

# OpenAI's reasoning models know only the second; many other servers only the first.
LimitName = Literal["max_tokens", "max_completion_tokens"]


def body(request: Request, limit_name: LimitName = "max_tokens") -> dict[str, object]:
    """What is posted. Never ``n``: servers ignore it, so a request asks for one answer."""
    return {
        "model": request.model,
        "messages": [
            {"role": each.role, "content": _characters(each.content)} for each in request.messages
        ],
        "temperature": request.temperature,
        "top_p": request.top_p,
        limit_name: request.max_tokens,
    }


def read(payload: object) -> Reply:
    """The reply in an answer's JSON.

    Raises:
        RefusedError: it holds none: another shape, a refusal, nothing, or half of one.
    """
    fields = payload if isinstance(payload, dict) else {}
    tokens = _tokens(fields.get("usage"))
    choices = fields.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        # What came is no completion, whatever a server says that it counted.
        told = _error(fields) or f"its fields: {', '.join(sorted(map(str, fields))) or 'none'}"
        raise RefusedError(f"the answer is no completion; {told[:200]}.", kind="shape", tokens=None)
    reason, content = choice.get("finish_reason"), message.get("content")
    if message.get("refusal") or reason == "content_filter":
        why = message.get("refusal") or "its content was filtered"
        raise RefusedError(f"the model refused: {str(why)[:200]}", kind="refusal", tokens=tokens)
    if reason == "length":
        raise RefusedError("the answer is cut at max_tokens.", kind="length", tokens=tokens)
    if content is not None and not isinstance(content, str):
        raise RefusedError("the answer's content is no text.", kind="shape", tokens=tokens)
    if content is None or not content.strip():
        raise RefusedError("the answer is empty.", kind="empty", tokens=tokens)
    tokens_in, tokens_out = tokens or (None, None)
    model = fields.get("model")
    return Reply(
        content,
        tokens_in,
        tokens_out,
        reason if isinstance(reason, str) else None,
        model if isinstance(model, str) else "",
    )


def _tokens(usage: object) -> tuple[int, int] | None:
    """Tokens of prompt and answer; None if the endpoint does not count them as it should."""
    if not isinstance(usage, dict):
        return None
    counts = [usage.get("prompt_tokens"), usage.get("completion_tokens")]
    found = [n for n in counts if isinstance(n, int) and not isinstance(n, bool) and n >= 0]
    return (found[0], found[1]) if len(found) == 2 else None


def _error(fields: dict[str, object]) -> str | None:
    """What a server says in an error that it sent as if it were an answer."""
    error = fields.get("error")
    message = error.get("message") if isinstance(error, dict) else error
    return f"it says: {message}" if isinstance(message, str) else None


def _characters(text: str) -> str:
    """The text without halves of characters, which no encoding can carry."""
    return text.encode("utf-8", "replace").decode("utf-8")
