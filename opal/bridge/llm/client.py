"""A client of any endpoint that speaks OpenAI's protocol, over ``openai.AsyncOpenAI``.

The client tries again by itself as its breaker allows, and waits as long as Retry-After says. Each
of its attempts passes the gate, so that limits and budget hold for attempts and not only for
requests. A complaint that another dialect mends is answered in that dialect.
"""

from __future__ import annotations

import json
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from opal import validation
from opal.bridge.llm.breaker import LONGEST_PAUSE, MOST_ATTEMPTS, Attempt, CircuitBreaker
from opal.bridge.llm.completion import read_completion
from opal.bridge.llm.dialect import Complaint, Dialect, LimitName
from opal.bridge.llm.endpoint import Endpoint, Traffic, is_passing, retry_after
from opal.bridge.llm.request import (
    NOTHING,
    AskError,
    FailedError,
    FatalError,
    Gate,
    OutageError,
    RefusedError,
    Reply,
    Request,
)
from opal.bridge.render import shown

if TYPE_CHECKING:
    import httpx2
    import openai

_SHOWN = 300  # characters of what an endpoint says that are shown
_READ = 100_000  # and that are searched for what mends it
# That of the task that asks: openai sends from the same task.
_ATTEMPT: ContextVar[Attempt] = ContextVar("attempt")


class _BodyError(Exception):
    """What came is no JSON.

    Args:
        is_page: whether it is a page for a browser.
    """

    def __init__(self, *, is_page: bool) -> None:
        super().__init__()
        self.is_page = is_page


class OpenAIClient:
    """An endpoint.

    Args:
        base_url: of the endpoint, up to ``/v1``; OpenAI's (or ``OPENAI_BASE_URL``'s) by default.
        key_variable: of the environment, that holds the API key.
        key_header: header of the key: ``authorization``, or ``api-key`` with an ``api_version``.
        api_version: that Azure wants to be asked for.
        timeout: seconds that an attempt may take.
        retries: of one request after a first attempt, at most; fewer where its text may be what
            the endpoint fails at.
        limit_name: how the endpoint calls the limit of tokens; the other name is tried by itself.

    Raises:
        ImportError: openai is not installed.
        ValueError: there is no key, it cannot be sent, or the URL is none.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        key_variable: str = "OPENAI_API_KEY",
        key_header: str | None = None,
        api_version: str | None = None,
        timeout: float = 60.0,
        retries: int = MOST_ATTEMPTS - 1,
        limit_name: LimitName = "max_tokens",
    ) -> None:
        validation.require_installed("text", "openai")
        if not timeout > 0 or retries < 0:
            raise ValueError(
                "timeout must be positive and retries at least 0; "
                f"got timeout {timeout}, retries {retries}."
            )
        self._endpoint = Endpoint.of(
            base_url, key_variable, key_header=key_header, api_version=api_version
        )
        self._timeout, self._retries = timeout, retries
        self._breaker = CircuitBreaker(retries)
        self._usual = self._dialect = Dialect(limit_name)
        self._client: openai.AsyncOpenAI | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user: how the endpoint wanted to be asked."""
        return tuple(self._dialect.notes(self._usual))

    async def ask(self, request: Request, *, idempotency_key: str, gate: Gate) -> Reply:
        """The answer of the endpoint."""
        key = self._endpoint.key
        if any(key in each.content for each in request.messages) and self._endpoint.is_secret:
            raise FatalError("a prompt holds the API key; nothing is sent.")
        attempt = Attempt(gate)
        token = _ATTEMPT.set(attempt)
        try:
            answer = await self._post(request, idempotency_key, attempt)
        finally:
            _ATTEMPT.reset(token)
        if isinstance(answer, Exception):
            # Raised here, where it has no history: that of the client's errors holds the key.
            raise self._ended(self._told(answer, request, lost=attempt.lost))
        return read_completion(answer)

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _post(self, request: Request, idempotency_key: str, attempt: Attempt) -> Any:
        """The JSON that comes, or the error, in the dialect that the endpoint takes."""
        import openai

        dialect = self._dialect
        while True:
            create: Any = self._opened().chat.completions.with_raw_response.create
            try:
                body = dialect.body(request)
                headers = self._endpoint.headers() | {"Idempotency-Key": idempotency_key}
                raw = await create(**body, extra_headers=headers)
                # A server may print the key back.
                answer = _json(self._endpoint.redacted(raw.http_response.text))
            except openai.APIStatusError as error:
                complaint = _complaint(error)
                adapted = dialect.adapted(complaint, request)
                if adapted is None and (complaint.is_of_billing or not attempt.repeats):
                    return error
                dialect = adapted or dialect
            except openai.APIConnectionError as error:
                if not attempt.repeats:
                    return error
            except (openai.OpenAIError, AskError, _BodyError) as error:
                return error
            except UnicodeError:
                # Before anything left: openai adds headers from variables of its own.
                return FatalError(
                    "the request cannot be sent; OPENAI_ORG_ID, OPENAI_PROJECT_ID or "
                    "OPENAI_CUSTOM_HEADERS of the environment may hold what no header can."
                )
            else:
                self._dialect = dialect
                return answer

    def _opened(self) -> openai.AsyncOpenAI:
        """The client, made within the loop that uses it."""
        import httpx2
        import openai

        if self._client is None:
            self._breaker = CircuitBreaker(self._retries)
            try:
                self._client = openai.AsyncOpenAI(
                    **self._endpoint.options(),
                    timeout=self._timeout,
                    max_retries=0,
                    http_client=_gated(self._timeout, self._breaker),
                )
            except OSError as error:
                raise FatalError(
                    "the certificates of authorities cannot be read; SSL_CERT_FILE or SSL_CERT_DIR "
                    f"of the environment must name some ({error.strerror})."
                ) from None
            except (ValueError, httpx2.InvalidURL):
                # Without a history, which repeats a proxy's password.
                raise FatalError(
                    "the address of a proxy (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY of the "
                    "environment) must be such as http://host:port; one of them is none. Mend it, "
                    "or unset it."
                ) from None
        return self._client

    def _ended(self, error: Exception) -> Exception:
        """The error, as the end of them all where the endpoint is given up."""
        outage, where = self._breaker.outage, self._endpoint.host
        if outage is None or not isinstance(error, FailedError):
            return error
        last = "" if isinstance(error, OutageError) else f"; the last because: {error}"
        return OutageError(
            f"{where} is given up: {outage}{last.rstrip('.')}.",
            kind=error.kind, tokens=error.tokens,
        )  # fmt: skip

    def _told(self, error: Exception, request: Request, *, lost: bool) -> Exception:
        """An error of the openai package as one of ours."""
        import openai

        billed, where = None if lost else NOTHING, self._endpoint.host
        if isinstance(error, AskError | FatalError):
            return error
        if isinstance(error, openai.APIStatusError):
            return self._status(error, request, billed)
        if isinstance(error, openai.APITimeoutError):
            kind = "timeout" if lost else "unreachable"
            message = f"no answer from {where} within {self._timeout:g} s."
            return FailedError(message, kind=kind, tokens=billed, alike=not lost)
        if isinstance(error, openai.APIConnectionError):
            cause = self._endpoint.told(str(error.__cause__ or error))
            kind, what = ("connection", "broke") if lost else ("unreachable", "cannot be made")
            cause = cause or type(error.__cause__).__name__
            message = f"the connection to {where} {what}: {cause}."
            return FailedError(message, kind=kind, tokens=billed, alike=not lost)
        if isinstance(error, _BodyError) and error.is_page:
            message = (
                f"{where} answers with a page for a browser; --base-url must be the address of its "
                "API, which mostly ends in /v1."
            )
            return FailedError(message, kind="body", tokens=None, alike=True)
        if isinstance(error, _BodyError):
            return FailedError("the answer is no whole JSON.", kind="body", tokens=None)
        message = f"the client failed: {shown(self._endpoint.told(str(error)), _SHOWN)}"
        return FailedError(message, kind="client", tokens=billed)

    def _status(
        self, error: openai.APIStatusError, request: Request, billed: tuple[int, int] | None
    ) -> Exception:
        status, said = error.status_code, shown(self._endpoint.told(_message(error)), _SHOWN)
        where, kind, complaint = self._endpoint.host, f"http {error.status_code}", _complaint(error)
        if 300 <= status < 400:
            return FatalError(
                f"{where} sends requests on to another address; prompts go to no other than the "
                "one that is named: name that one with --base-url."
            )
        if complaint.is_of_billing:
            return FatalError(f"the account at {where} has no credit left: {said}")
        if status == 403 and complaint.is_of_content:
            return RefusedError(said, kind=kind, tokens=NOTHING)
        if status in (401, 403):
            return FatalError(f"{where} does not accept the API key: {said}")
        if status in (404, 405):
            return FatalError(
                f"{where} does not know the model {request.model!r}, or this path: {said}"
            )
        wait = retry_after(error.response.headers)
        if wait is not None and wait > LONGEST_PAUSE:
            then = datetime.now().astimezone() + timedelta(seconds=wait)
            return FatalError(
                f"{where} wants no request for {wait:,.0f} seconds, until {then:%Y-%m-%d %H:%M}; "
                f"run again then. It says: {said}"
            )
        if is_passing(status):
            return FailedError(said, kind=kind, tokens=billed)
        if complaint.is_of_content:
            return RefusedError(said, kind=kind, tokens=NOTHING)
        mend = complaint.remedy
        if error.response.text.lstrip().startswith("<"):
            mend = "It answers with a page for a browser: --base-url must be the address of an API."
        message = f"{where} refuses requests of this form: {said} {mend}".strip()
        return RefusedError(message, kind=kind, tokens=NOTHING, alike=True)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # a ValueError also for a number of 5,000 digits
        raise _BodyError(is_page=text.lstrip().startswith("<")) from None


def _message(error: openai.APIStatusError) -> str:
    """What the endpoint says: where it has no message as OpenAI's have one, all of it."""
    said = error.message
    return said if " - " in said else f"{said} {error.response.text}"


def _complaint(error: openai.APIStatusError) -> Complaint:
    words = f"{error.code} {error.param} {error.response.text[:_READ]}"
    return Complaint(error.status_code, words.lower())


def _gated(timeout: float, breaker: CircuitBreaker) -> httpx2.AsyncClient:
    """OpenAI's HTTP client, with a gate before each attempt; it follows no redirection."""
    import openai

    traffic = Traffic(timeout, breaker)

    class GatedHttpClient(openai.DefaultAsyncHttpxClient):
        async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
            async def streamed(request: httpx2.Request) -> httpx2.Response:
                kept = options | {"stream": True, "follow_redirects": False}
                return await super(GatedHttpClient, self).send(request, **kept)

            return await traffic.pass_on(_ATTEMPT.get(), streamed, request)

    # Of what is packed, traffic unpacks this: httpx2 asks for all that is installed, as brotli.
    return GatedHttpClient(timeout=timeout, headers={"Accept-Encoding": "gzip"})
