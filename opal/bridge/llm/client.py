"""The door to any endpoint that speaks OpenAI's protocol, over ``openai.AsyncOpenAI``.

The client retries by itself, and waits as long as Retry-After says. Each of its attempts passes the
gate, so that limits and budget hold for attempts and not only for requests.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opal import checks
from opal.bridge.llm import completion
from opal.bridge.llm.attempts import Attempts, gated
from opal.bridge.llm.completion import LimitName
from opal.bridge.llm.door import NOTHING, FailedError, FatalError, Gate, RefusedError
from opal.bridge.llm.request import Reply, Request

if TYPE_CHECKING:
    import openai

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HIDDEN = "[key]"
# What looks like a key or part of one, as servers print it back.
_LOOKS = re.compile(r"(?i)\bsk-[\w*.\-]+|(?<=bearer )\S+")


class OpenAIDoor:
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
        checks.require_installed("text", "openai")
        if not timeout > 0 or retries < 0:
            raise ValueError(
                "timeout must be positive and retries at least 0; "
                f"got timeout {timeout}, retries {retries}."
            )
        self._url = base_url or os.environ.get("OPENAI_BASE_URL")
        self._key = _key(key_variable, _host(self._url))
        self._timeout, self._retries, self._limit_name = timeout, retries, limit_name
        self._attempts = Attempts()
        self._client: openai.AsyncOpenAI | None = None

    async def ask(self, request: Request, *, idempotency_key: str, gate: Gate) -> Reply:
        """The answer of the endpoint.

        Raises:
            RefusedError: the answer is of no use.
            FailedError: no answer came, after all retries.
            FatalError: the key, the model or the endpoint is wrong.
        """
        if any(self._holds_key(each.content) for each in request.messages):
            raise FatalError("a prompt holds the API key; nothing is sent.")
        with self._attempts.of(idempotency_key, gate) as attempt:
            answer = await self._post(request, idempotency_key)
            if isinstance(answer, Exception):
                # Raised here, where it has no history: that of the client's errors holds the key.
                raise self._told(answer, request, lost=attempt.lost)
        return completion.read(answer)

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _post(self, request: Request, idempotency_key: str) -> Any:
        """JSON of the answer, or the error."""
        import openai

        try:
            create: Any = self._opened().chat.completions.with_raw_response.create
            raw = await create(
                **completion.body(request, self._limit_name),
                extra_headers={"Idempotency-Key": idempotency_key},
            )
            return json.loads(self._masked(raw.http_response.text))
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
                max_retries=self._retries,
                http_client=gated(self._attempts, self._timeout),
            )
        return self._client

    def _told(self, error: Exception, request: Request, *, lost: bool) -> Exception:
        """The client's error as one of a door."""
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
        """An error that the endpoint told."""
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

    def _holds_key(self, text: str) -> bool:
        return _is_secret(self._key) and self._key in text

    def _masked(self, text: str) -> str:
        """An answer without the key, should a server print it back."""
        return text.replace(self._key, _HIDDEN) if _is_secret(self._key) else text

    def _hidden(self, text: str) -> str:
        """A message in one line, without the key or what looks like one."""
        line = " ".join(text.replace(self._key, _HIDDEN).split())
        return _LOOKS.sub(_HIDDEN, line)


def _key(variable: str, host: str | None) -> str:
    value = os.environ.get(variable, "").strip()
    if not value and host in _LOOPBACK:
        return "none"
    if not value:
        raise ValueError(f"no API key: set the environment variable {variable}.")
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise ValueError(f"the API key in {variable} holds characters that no key can have.")
    return value


def _is_secret(key: str) -> bool:
    """Whether it is more than a word that servers without keys are given, as ``none``."""
    return len(key) >= 8 or key.startswith("sk-")


def _host(url: str | None) -> str | None:
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"base_url must start with http:// or https://; got {url!r}.")
    return parts.hostname
