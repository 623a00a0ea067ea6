"""An endpoint: its address, its key, and what may come back over the wire."""

from __future__ import annotations

import asyncio
import email.utils
import json
import os
import re
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opal.bridge.llm.breaker import Attempt, CircuitBreaker
from opal.bridge.llm.completion import status_inside
from opal.bridge.llm.request import RefusedError
from opal.redaction import HIDDEN, redacted

if TYPE_CHECKING:
    import httpx2

    Send = Callable[[httpx2.Request], Awaitable[httpx2.Response]]

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_MOST_BYTES = 32 * 2**20  # of an answer
# Statuses of gateways that have lost the endpoint's answer, which may be billed.
_LOST = (502, 504, 520, 521, 522, 523, 524, 525, 526, 527)
_LIFETIME = 1e10  # seconds
_AS_SENT = ("content-encoding", "content-length", "content-type", "transfer-encoding")
_INFLATED = {"gzip": 31, "x-gzip": 31, "deflate": 47}  # window bits of zlib
# A long word of letters and digits is no name that a person would give a variable.
_NO_NAME = re.compile(r"(?=[A-Za-z]*\d)[A-Za-z0-9]{20,}")


@dataclass(frozen=True)
class Endpoint:
    """Where requests go, and with what key.

    Args:
        url: up to ``/v1``; None for OpenAI's.
        key: that is sent.
        key_header: header that carries the key; ``authorization`` carries it as a bearer's.
        api_version: query that Azure wants with every request, if any.
    """

    url: str | None
    key: str
    key_header: str = "authorization"
    api_version: str | None = None

    @classmethod
    def of(
        cls,
        url: str | None,
        key_variable: str,
        *,
        key_header: str | None = None,
        api_version: str | None = None,
    ) -> Endpoint:
        """The endpoint at an address, with the key that a variable of the environment holds.

        Without an address it is that of ``OPENAI_BASE_URL``, or OpenAI's own. Azure's, which have
        an ``api_version``, read the key from the header ``api-key``.

        Raises:
            ValueError: there is no key, it cannot be sent, or the address is none.
        """
        flag = "OPENAI_BASE_URL" if url is None else "base_url"
        if url == "":
            raise ValueError(
                "base_url must be an address such as https://host/v1; got '': name one, or leave "
                "it out for OpenAI's own."
            )
        url = url or os.environ.get("OPENAI_BASE_URL") or None
        host = None if url is None else _host(url, flag)
        header = key_header or ("authorization" if api_version is None else "api-key")
        if not re.fullmatch(r"[A-Za-z0-9-]+", header):
            raise ValueError(f"key_header must be the name of a header; got {header!r}.")
        return cls(url, _key(key_variable, host), header.lower(), api_version)

    @property
    def is_secret(self) -> bool:
        """Whether the key is more than a word that servers without keys are given, as ``none``."""
        return len(self.key) >= 8 or self.key.startswith("sk-")

    @property
    def host(self) -> str:
        """Its host and port, for messages."""
        return urlsplit(self.url).netloc.rpartition("@")[2] if self.url else "the endpoint"

    def redacted(self, text: str) -> str:
        """A text without the key."""
        return text.replace(self.key, HIDDEN) if self.is_secret else text

    def told(self, text: str) -> str:
        """A message in one line, without the key or what looks like one."""
        return redacted(" ".join(self.redacted(text).split()))

    def options(self) -> dict[str, Any]:
        """What the client of the openai package is told of it."""
        options: dict[str, Any] = {"api_key": self.key, "base_url": self.url}
        if self.api_version is not None:
            options["default_query"] = {"api-version": self.api_version}
        return options

    def headers(self) -> dict[str, Any]:
        """What each request carries besides what the openai package writes by itself."""
        import openai

        if self.key_header == "authorization":
            return {}
        return {self.key_header: self.key, "Authorization": openai.omit}


def is_loopback(url: str | None) -> bool:
    """Whether an address is of this machine, where nothing is billed."""
    try:
        return urlsplit(url or "").hostname in _LOOPBACK
    except ValueError:
        return False


def _key(variable: str, host: str | None) -> str:
    named = re.fullmatch(r"[A-Za-z_]\w{0,63}", variable) and not _NO_NAME.fullmatch(variable)
    if not named or redacted(variable) != variable:
        raise ValueError(
            "key_variable must be the name of a variable of the environment; what was given is no "
            "such name and is not shown, for it may be a key. Put the key into a variable."
        )
    value = os.environ.get(variable, "").strip()
    if not value and host in _LOOPBACK:
        return "none"
    if not value:
        raise ValueError(f"no API key: set the environment variable {variable}.")
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise ValueError(f"the API key in {variable} holds characters that no key can have.")
    return value


def _host(url: str, flag: str) -> str:
    """The host of an address that is one.

    Raises:
        ValueError: it is none; says why, without what may be secret in it.
    """
    rule = f"{flag} must be an address such as https://host/v1"
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise ValueError(f"{rule}; got one with blanks or characters that none has.")
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        # Without its words, which repeat the address.
        raise ValueError(f"{rule}; got one whose host or port is none.") from None
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if parts.scheme not in ("http", "https") or not host:
        told = repr(url) if "@" not in url else "one that does not"
        raise ValueError(f"{flag} must start with http:// or https:// and a host; got {told}.")
    if port == 0:
        raise ValueError(f"{rule}; got the port 0 in {shown!r}.")
    if parts.query or parts.fragment:
        more = " (give that one with --api-version)" if "api-version" in parts.query else ""
        raise ValueError(f"{rule}, without a query{more}; got {shown!r} and a query.")
    if parts.path.rstrip("/").endswith("/completions"):
        raise ValueError(f"{rule}, without the path of completions; got {shown!r}.")
    return host


class Traffic:
    """What comes back: bounded in size and time, with errors told by their own status.

    One instance serves all requests of a client, so that a pause that the endpoint asks for holds
    for all of them, and so does the breaker.
    """

    def __init__(self, timeout: float, breaker: CircuitBreaker) -> None:
        self._timeout, self._breaker = timeout, breaker

    async def pass_on(
        self, attempt: Attempt, send: Send, request: httpx2.Request
    ) -> httpx2.Response:
        """Send one attempt through its gate, and give what comes of it.

        Raises:
            RefusedError: the answer is longer than any can be.
            httpx2.TransportError: nothing came, or not in time.
        """
        import httpx2

        breaker = self._breaker
        await attempt.gate(
            lost=attempt.lost,
            pause=lambda: breaker.pause(attempt),
            reason=lambda: breaker.reason(attempt),
        )
        attempt.lost = True
        try:
            with breaker.flight(attempt):
                # The client's own timeout starts anew with each byte that comes.
                async with asyncio.timeout(self._timeout):
                    response = await send(request)
                    try:
                        content = await _content(response)
                    finally:
                        await response.aclose()
        except (
            httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout,
            httpx2.LocalProtocolError,  # headers that cannot be sent
        ):  # fmt: skip
            attempt.lost = False
            breaker.failed(attempt, "no connection")
            raise
        except (TimeoutError, httpx2.TimeoutException):
            breaker.failed(attempt, f"no answer within {self._timeout:g} s")
            raise httpx2.ReadTimeout("too slow", request=request) from None
        except httpx2.RequestError:
            breaker.failed(attempt, "a broken connection")
            raise
        status = response.status_code
        inside = status_inside(content) if status == 200 else None
        status = inside or status
        # An endpoint that tells an error bills nothing; else the answer says what it cost.
        attempt.lost = status < 300 or status in _LOST
        headers = {k: v for k, v in response.headers.items() if k.lower() not in _AS_SENT}
        if is_passing(status):
            breaker.failed(attempt, phrase(status), status, retry_after(headers))
        else:
            breaker.answered()
        return httpx2.Response(status, headers=headers, content=content, request=request)


async def _content(response: httpx2.Response) -> bytes:
    """The content of an answer that is not longer than any can be."""
    content = bytearray()
    # As it is sent: httpx2 unpacks without bound, and what is packed twice grows a million times.
    async for part in response.aiter_raw(65536):
        content += part
        if len(content) > _MOST_BYTES:
            raise _too_long()
    unpacked = bytes(content)
    codings = response.headers.get("content-encoding", "").lower().split(",")
    for coding in reversed([each.strip() for each in codings]):
        if coding in _INFLATED and unpacked:
            unpacked = _inflated(unpacked, coding, response.request)
    # JSON says by itself what its encoding is, whatever a header may call it.
    text = unpacked.decode(json.detect_encoding(unpacked), "replace")
    return text.encode("utf-8")


def _inflated(content: bytes, coding: str, request: httpx2.Request) -> bytes:
    import httpx2

    inflating = zlib.decompressobj(_INFLATED[coding])
    try:
        found = inflating.decompress(content, _MOST_BYTES + 1)
    except zlib.error as error:
        raise httpx2.DecodingError(str(error), request=request) from None
    if len(found) > _MOST_BYTES:
        raise _too_long()
    return found


def _too_long() -> RefusedError:
    return RefusedError(
        f"the answer is longer than {_MOST_BYTES >> 20} MB and was cut off.",
        kind="size", tokens=None,
    )  # fmt: skip


def phrase(status: int) -> str:
    """A status with its name, where it has one.

    >>> phrase(429), phrase(524)
    ('429 Too Many Requests', '524')
    """
    names = {each.value: each.phrase for each in HTTPStatus}
    return f"{status} {names.get(status, '')}".strip()


def is_passing(status: int) -> bool:
    """Whether an error of that status may be gone when the endpoint is asked again."""
    return status in (408, 409, 429) or (status >= 500 and status not in (501, 505))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that an endpoint asks to wait, a lifetime at most; None if it does not."""
    value, unit = headers.get("retry-after-ms"), 1e-3
    if value is None:
        value, unit = headers.get("retry-after"), 1.0
    if value is None:
        return None
    try:
        seconds = float(value) * unit
    except ValueError:
        try:
            then = email.utils.parsedate_to_datetime(value)
            seconds = then.timestamp() - time.time()
        except (TypeError, ValueError, OverflowError, OSError):
            return None
    return min(seconds, _LIFETIME) if seconds >= 0 else None
