"""A client of any endpoint that speaks OpenAI's protocol, over ``openai.AsyncOpenAI``.

The client retries by itself, and waits as long as Retry-After says. Each of its attempts passes the
gate, so that limits and budget hold for attempts and not only for requests.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from opal import validation
from opal.bridge.llm.request import (
    NOTHING,
    FailedError,
    FatalError,
    Gate,
    RefusedError,
    Reply,
    Request,
)

if TYPE_CHECKING:
    import httpx2
    import openai

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HIDDEN = "[key]"
# What looks like a key or part of one, as servers print it back.
_LOOKS = re.compile(r"(?i)\bsk-[\w*.\-]+|(?<=bearer )\S+")
# OpenAI's reasoning models know only the second; many other servers only the first.
LimitName = Literal["max_tokens", "max_completion_tokens"]


class OpenAIClient:
    """An endpoint.

    Args:
        base_url: of the endpoint, up to ``/v1``; OpenAI's (or ``OPENAI_BASE_URL``'s) by default.
        key_variable: of the environment, that holds the API key.
        timeout: seconds that an attempt may take.
        retries: after a first attempt.
        limit_name: how the endpoint calls the limit of tokens.

    Raises:
        ImportError: openai is not installed.
        ValueError: there is no key, it cannot be sent, or the URL is none.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        key_variable: str = "OPENAI_API_KEY",
        timeout: float = 60.0,
        retries: int = 4,
        limit_name: LimitName = "max_tokens",
    ) -> None:
        validation.require_installed("text", "openai")
        if not timeout > 0 or retries < 0:
            raise ValueError(
                "timeout must be positive and retries at least 0; "
                f"got timeout {timeout}, retries {retries}."
            )
        self._url = base_url or os.environ.get("OPENAI_BASE_URL")
        self._key = _key(key_variable, _host(self._url))
        # More than a word that servers without keys are given, as ``none``.
        self._is_secret = len(self._key) >= 8 or self._key.startswith("sk-")
        self._timeout, self._max_retries, self._limit_name = timeout, retries, limit_name
        self._client: openai.AsyncOpenAI | None = None

    async def ask(self, request: Request, *, idempotency_key: str, gate: Gate) -> Reply:
        """The answer of the endpoint."""
        if any(self._key in each.content for each in request.messages) and self._is_secret:
            raise FatalError("a prompt holds the API key; nothing is sent.")
        attempt = _Attempt(gate)
        token = _ATTEMPT.set(attempt)
        answer = await self._post(request, idempotency_key)
        _ATTEMPT.reset(token)
        if isinstance(answer, Exception):
            # Raised here, where it has no history: that of the client's errors holds the key.
            raise self._told(answer, request, lost=attempt.lost)
        return read_completion(answer)

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _post(self, request: Request, idempotency_key: str) -> Any:
        import openai

        try:
            create: Any = self._opened().chat.completions.with_raw_response.create
            raw = await create(
                **completion_body(request, self._limit_name),
                extra_headers={"Idempotency-Key": idempotency_key},
            )
            text = raw.http_response.text
            # A server may print the key back.
            return json.loads(text.replace(self._key, _HIDDEN) if self._is_secret else text)
        except (openai.OpenAIError, FailedError, json.JSONDecodeError, RecursionError) as error:
            return error

    def _opened(self) -> openai.AsyncOpenAI:
        """The client, made within the loop that uses it."""
        import openai

        if self._client is None:
            self._client = openai.AsyncOpenAI(
                api_key=self._key,
                base_url=self._url,
                timeout=self._timeout,
                max_retries=self._max_retries,
                http_client=_gated(self._timeout),
            )
        return self._client

    def _told(self, error: Exception, request: Request, *, lost: bool) -> Exception:
        """An error of the openai package as one of ours."""
        import openai

        billed = None if lost else NOTHING
        if isinstance(error, FailedError):
            return error
        if isinstance(error, openai.APIStatusError):
            return self._status(error, request)
        if isinstance(error, openai.APITimeoutError):
            kind = "timeout" if lost else "unreachable"
            message = f"no answer from {self._where()} within {self._timeout:g} s."
            return FailedError(message, kind=kind, tokens=billed)
        if isinstance(error, openai.APIConnectionError):
            cause = self._hidden(str(error.__cause__ or error)) or type(error.__cause__).__name__
            kind, what = ("connection", "broke") if lost else ("unreachable", "cannot be made")
            message = f"the connection to {self._where()} {what}: {cause}."
            return FailedError(message, kind=kind, tokens=billed)
        if isinstance(error, json.JSONDecodeError | RecursionError):
            return FailedError("the answer is no whole JSON.", kind="body", tokens=None)
        message = f"the client failed: {self._hidden(str(error))[:300]}"
        return FailedError(message, kind="client", tokens=billed)

    def _status(self, error: openai.APIStatusError, request: Request) -> Exception:
        status, said = error.status_code, self._hidden(error.message)[:300]
        where = self._where()
        if status in (401, 403):
            return FatalError(f"{where} does not accept the API key: {said}")
        if status == 404:
            return FatalError(
                f"{where} does not know the model {request.model!r}, or this path: {said}"
            )
        if error.code == "insufficient_quota":
            return FatalError(f"the account at {where} has no credit left: {said}")
        if status in (408, 409, 429) or status >= 500:
            return FailedError(said, kind=f"http {status}", tokens=NOTHING)
        return RefusedError(said, kind=f"http {status}", tokens=NOTHING)

    def _where(self) -> str:
        return urlsplit(self._url).netloc.rpartition("@")[2] if self._url else "the endpoint"

    def _hidden(self, text: str) -> str:
        """A message in one line, without the key or what looks like one."""
        line = " ".join(text.replace(self._key, _HIDDEN).split())
        return _LOOKS.sub(_HIDDEN, line)


def _key(variable: str, host: str | None) -> str:
    value = os.environ.get(variable, "").strip()
    if not value and host in LOOPBACK:
        return "none"
    if not value:
        raise ValueError(f"no API key: set the environment variable {variable}.")
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise ValueError(f"the API key in {variable} holds characters that no key can have.")
    return value


def _host(url: str | None) -> str | None:
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"base_url must start with http:// or https://; got {url!r}.")
    return parts.hostname


@dataclass
class _Attempt:
    """The last attempt of a request; if it is lost, it may have been billed for no answer."""

    gate: Gate
    lost: bool = False


# That of the task that asks: openai sends from the same task.
_ATTEMPT: ContextVar[_Attempt] = ContextVar("attempt")


def _gated(timeout: float) -> httpx2.AsyncClient:
    """OpenAI's HTTP client, with a gate before each attempt."""
    import httpx2
    import openai

    unsent = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)

    class GatedHttpClient(openai.DefaultAsyncHttpxClient):
        async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
            attempt = _ATTEMPT.get()
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

    return GatedHttpClient(timeout=timeout)


def completion_body(request: Request, limit_name: LimitName = "max_tokens") -> dict[str, object]:
    """What is posted, without halves of characters, which no encoding can carry.

    Never ``n``: servers ignore it, so a request asks for one answer.
    """
    return {
        "model": request.model,
        "messages": [
            {"role": each.role, "content": each.content.encode("utf-8", "replace").decode()}
            for each in request.messages
        ],
        "temperature": request.temperature,
        "top_p": request.top_p,
        limit_name: request.max_tokens,
    }


def read_completion(payload: object) -> Reply:
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
