"""What endpoints do, as Python data: statuses, bodies, counts and troubles of the wire."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from tests.bridge.llm.server import Seen, completion

Body = Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class Behaviour:
    """One thing that an endpoint does.

    Attributes:
        name: of the test.
        status: HTTP.
        body: what it makes of a good completion, as JSON or bytes; None for the completion.
        headers: besides those that must be.
        wire: what happens to the connection: plain, reset, cut, endless, drip, slow, late.
        bills: whether it bills the request, as much as it can cost.
        beyond: tokens that it bills beyond what was allowed.
    """

    name: str
    status: int = 200
    body: Body | None = None
    headers: dict[str, str] = field(default_factory=dict)
    wire: str = "plain"
    bills: bool = True
    beyond: int = 0

    def content(self, seen: Seen) -> bytes:
        """What is sent for a request."""
        good = completion(seen)
        made = good if self.body is None else self.body(good)
        return made if isinstance(made, bytes) else json.dumps(made).encode()


def usage(**counts: object) -> Body:
    return lambda good: good | {"usage": good["usage"] | counts}


def message(content: object, reason: str = "stop", **more: object) -> Body:
    def made(good: dict[str, Any]) -> object:
        told = {"role": "assistant", "content": content} | more
        return good | {"choices": [{"finish_reason": reason, "message": told}]}

    return made


def inside(**error: object) -> Body:
    return lambda good: {"error": {"message": "no", **error}}


def said(text: str, code: str | None = None, param: str | None = None) -> Body:
    error = {"message": text, "type": "invalid_request_error", "code": code, "param": param}
    return lambda good: {"error": error}


def constant(content: bytes) -> Body:
    return lambda good: content


def text_of(good: dict[str, Any]) -> str:
    return str(good["choices"][0]["message"]["content"])


def parts(good: dict[str, Any]) -> object:
    content = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": text_of(good)}]
    return message(content)(good)


ANSWERS = [
    Behaviour("ok"),
    Behaviour("no usage", body=lambda good: {k: v for k, v in good.items() if k != "usage"}),
    Behaviour("usage null", body=lambda good: good | {"usage": None}),
    Behaviour("usage a list", body=lambda good: good | {"usage": [1]}),
    Behaviour("usage negative", body=usage(completion_tokens=-5)),
    Behaviour("usage strings", body=usage(prompt_tokens="50")),
    Behaviour("usage true", body=usage(completion_tokens=True)),
    Behaviour("usage of floats", body=usage(prompt_tokens=91.0)),
    Behaviour("usage half a token", body=usage(prompt_tokens=50.5)),
    Behaviour("usage 2^63", body=usage(completion_tokens=2**63)),
    Behaviour("usage 1e30", body=usage(completion_tokens=1e30)),
    Behaviour("usage infinite", body=usage(completion_tokens=float("inf"))),
    Behaviour("usage not a number", body=usage(completion_tokens=float("nan"))),
    Behaviour("usage beyond the limit", body=usage(completion_tokens=120), beyond=100),
    Behaviour("thoughts in the total", body=usage(total_tokens=10_000), beyond=9_889),
    Behaviour("total below the parts", body=usage(total_tokens=1)),
    Behaviour("parts", body=parts),
    Behaviour("parts without text", body=message([{"type": "image_url"}])),
    Behaviour("content a number", body=message(5)),
    Behaviour("content null", body=message(None)),
    Behaviour("content blank", body=message(" \n")),
    Behaviour("content of controls", body=message("\x1b[2J\u202e\x00 hello")),
    Behaviour("refusal", body=message(None, refusal="\x1b[31mno\u202e")),
    Behaviour("filtered", body=message("", "content_filter")),
    Behaviour("cut by length", body=message("half of", "length")),
    Behaviour("all of it thoughts", body=message("", "length")),
    Behaviour("tool call", body=message(None, "tool_calls", tool_calls=[{"id": "x"}])),
    Behaviour("no choices", body=lambda good: good | {"choices": []}),
    Behaviour("choices null", body=lambda good: good | {"choices": None}),
    Behaviour("choice null", body=lambda good: good | {"choices": [None]}),
    Behaviour("message null", body=lambda good: good | {"choices": [{"message": None}]}),
    Behaviour("a list", body=lambda good: [good]),
    Behaviour("a string", body=lambda good: text_of(good)),
    Behaviour("null", body=lambda good: None),
    Behaviour("number", body=constant(b"5")),
    Behaviour("nothing", body=constant(b"")),
    Behaviour("html", body=constant(b"<html><body>hello</body></html>")),
    Behaviour("501 page", 501, body=constant(b"<html>Unsupported method</html>"), bills=False),
    Behaviour("half", body=lambda good: json.dumps(good).encode()[:60]),
    Behaviour("deep", body=constant(b"[" * 200_000)),
    Behaviour("long number", body=constant(b'{"choices": ' + b"9" * 5000 + b"}")),
    Behaviour("bytes", body=constant(bytes(range(256)))),
    Behaviour(
        "latin", body=lambda good: json.dumps(good).encode().replace(b"answer", b"\xe9t\xe9")
    ),
    Behaviour("byte order mark", body=lambda good: b"\xef\xbb\xbf" + json.dumps(good).encode()),
    Behaviour(
        "gzip",
        body=lambda good: gzip.compress(json.dumps(good).encode()),
        headers={"content-encoding": "gzip"},
    ),
    Behaviour(
        "a bomb",
        body=constant(gzip.compress(b" " * (40 << 20))),
        headers={"content-encoding": "gzip"},
    ),
    Behaviour("broken gzip", body=constant(b"no"), headers={"content-encoding": "gzip"}),
    Behaviour("event stream", body=constant(b"data: {}\n\ndata: [DONE]\n\n")),
    Behaviour("endless", wire="endless"),
    Behaviour("drip", wire="drip"),
    Behaviour("reset", wire="reset"),
    Behaviour("cut", wire="cut"),
    Behaviour("late", wire="late"),
]

INSIDE = [
    Behaviour("inside 429", body=inside(code=429), bills=False),
    Behaviour("inside '429'", body=inside(code="429"), bills=False),
    Behaviour("inside rate_limit", body=inside(code="rate_limit_exceeded"), bills=False),
    Behaviour("inside 400", body=inside(code=400), bills=False),
    Behaviour("inside 402", body=inside(code=402), bills=False),
    Behaviour("inside quota", body=inside(code="insufficient_quota"), bills=False),
    Behaviour("inside 500", body=inside(code=500), bills=False),
    Behaviour("inside 502", body=inside(code=502)),
    Behaviour("inside overloaded", body=inside(type="overloaded_error"), bills=False),
    Behaviour("inside key", body=inside(type="authentication_error"), bills=False),
    Behaviour("inside unknown", body=inside(code="strange")),
    Behaviour("inside a string", body=lambda good: {"error": "model is loading"}),
    Behaviour(
        "inside vLLM", body=lambda g: {"object": "error", "code": 400, "message": "no"}, bills=False
    ),
    Behaviour(
        "inside a choice",
        body=lambda g: (
            g | {"choices": [{"finish_reason": "error", "error": {"code": 503}, "message": {}}]}
        ),
        bills=False,
    ),
]

REFUSALS = [
    Behaviour(f"400 {name}", 400, said(*words), bills=False)
    for name, *words in (
        ("plain", "no"),
        ("limit", "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        ("limit large", "max_tokens is too large: 20. At most 10 completion tokens."),
        ("sampling", "`temperature` and `top_p` cannot both be specified for this model."),
        ("temperature", "'temperature' does not support 1.0 with this model.", "unsupported_value"),
        ("system", "System role not supported"),
        ("schema", "response_format json_schema is not supported", None, "response_format"),
        ("content", "The response was filtered", "content_filter"),
        ("context", "This model's maximum context length is 50 tokens.", "context_length_exceeded"),
        ("credit", "Your credit balance is too low to access the API."),
        ("model", "The model `model` does not exist"),
        ("controls", "\x1b[31mred\u202e"),
    )
]


def _statuses() -> Iterator[Behaviour]:
    gateway = {502, 504, 520, 522, 524}
    bodies: dict[str, Body] = {
        "json": said("no"),
        "html": constant(b"<html>no</html>"),
        "empty": constant(b""),
        "detail": lambda good: {"detail": [{"msg": "no"}]},
    }
    few = {"json": bodies["json"], "empty": bodies["empty"]}
    wide = (401, 403, 404, 422, 429, 500, 503, 504)
    narrow = (402, 405, 408, 409, 413, 415, 418, 451, 501, 502, 520, 522, 524, 529)
    for statuses, kinds in ((wide, bodies), (narrow, few)):
        for status in statuses:
            for kind, body in kinds.items():
                yield Behaviour(f"{status} {kind}", status, body, bills=status in gateway)
    for wait in ("0", "0.05", "-5", "soon", "1e400", "nan", formatdate(time.time())):
        headers = {"retry-after": wait}
        yield Behaviour(f"429 after {wait[:5]}", 429, said("wait"), headers, bills=False)
    yield Behaviour("429 after a day", 429, said("wait"), {"retry-after": "86400"}, bills=False)
    for status in (301, 302, 307, 308):
        headers = {"location": "http://127.0.0.1:9/elsewhere"}
        yield Behaviour(f"{status} away", status, constant(b""), headers, bills=False)
    yield Behaviour("304", 304, constant(b""), bills=False)
    yield Behaviour("204", 204, constant(b""))


BEHAVIOURS = [*ANSWERS, *INSIDE, *REFUSALS, *_statuses()]
