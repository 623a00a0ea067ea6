"""What an endpoint complains of is mended by itself, or told with the flag that mends it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from opal.bridge.llm.budget import Limits
from opal.bridge.llm.completion import read_completion, read_usage, status_inside
from opal.bridge.llm.dialect import Complaint, Dialect
from opal.bridge.llm.endpoint import retry_after
from opal.bridge.llm.generate import generate
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.report import report
from opal.bridge.llm.request import FatalError, Message, RefusedError, Request
from tests.bridge.llm.behaviours import BEHAVIOURS, Behaviour, message, said
from tests.bridge.llm.conftest import KEY, Open, Serve
from tests.bridge.llm.plain import Plain
from tests.bridge.llm.server import Seen, Server

pytest.importorskip("openai", reason="needs the extra text")

from opal.bridge.llm.client import OpenAIClient

SCHEMA = '{"type": "object"}'
REQUEST = replace(
    Plain().request("a", 0),
    messages=(Message("system", "Be brief."), Message("user", "Write.")),
    temperature=None,
    top_p=None,
    schema=SCHEMA,
)
LIMIT = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
UNKNOWN = "Unrecognized request argument supplied: max_completion_tokens"
EXTRA = '[{"loc": ["body", "response_format"], "msg": "Extra inputs are not permitted"}]'


def complaint(text: str, status: int = 400) -> Complaint:
    return Complaint(status, text.lower())


def test_what_is_not_set_is_not_sent() -> None:
    body = Dialect().body(REQUEST)
    assert not {"temperature", "top_p"} & set(body)
    named = Dialect().body(replace(REQUEST, temperature=1.0, top_p=0.9))
    assert (named["temperature"], named["top_p"]) == (1.0, 0.9)


def test_what_is_left_to_the_endpoint_is_another_question_than_one() -> None:
    keys = {
        replace(REQUEST, temperature=t, top_p=p).key
        for t in (None, 1.0, 0.5)
        for p in (None, 1.0, 0.5)
    }
    assert len(keys) == 9
    for t in (None, 1.0, 0.5):
        request = replace(REQUEST, temperature=t, schema="")
        assert Request.read(request.text) == request


@pytest.mark.parametrize(
    ("start", "text", "changed"),
    [
        (Dialect(), LIMIT, {"limit_name": "max_completion_tokens", "is_switched": True}),
        (
            Dialect("max_completion_tokens"),
            UNKNOWN,
            {"limit_name": "max_tokens", "is_switched": True},
        ),
        (Dialect(), "System role not supported", {"has_system": False}),
        (Dialect(), "Only user and assistant roles are supported!", {"has_system": False}),
        (Dialect(), EXTRA, {"has_schemas": False}),
        (Dialect(), "This model does not support json_schema", {"has_schemas": False}),
        (Dialect(), "bad request", {"has_schemas": False}),
    ],
)
def test_a_complaint_has_a_dialect(start: Dialect, text: str, changed: dict[str, object]) -> None:
    assert start.adapted(complaint(text), REQUEST) == replace(start, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "told",
    [
        complaint("max_tokens is too large: 512. At most 64 completion tokens."),
        complaint("`temperature` and `top_p` cannot both be specified"),
        complaint("context_length_exceeded: maximum context length is 4096"),
        complaint("Your credit balance is too low"),
        complaint("no", 401),
        complaint("no", 429),
    ],
)
def test_no_dialect_mends_the_rest(told: Complaint) -> None:
    assert Dialect().adapted(told, REQUEST) is None


def test_adapting_ends() -> None:
    """Whatever an endpoint says, few dialects are tried."""
    for text in (LIMIT, UNKNOWN, EXTRA, "system role", "no", f"{LIMIT} {EXTRA} system role"):
        dialect: Dialect | None = Dialect()
        tried = 0
        while dialect is not None and tried < 10:
            dialect = dialect.adapted(complaint(text), REQUEST)
            tried += 1
        assert tried < 10


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("max_tokens is too large: 512", "--max-tokens"),
        ("max_tokens must be less than or equal to 64", "--max-tokens"),
        ("Unknown parameter: max_tokens", "--limit-name"),
        ("temperature and top_p cannot both be set", "only one of --temperature and --top-p"),
        ("'temperature' does not support 0.7", "--temperature"),
        ("top_p must be below 1", "--top-p"),
        ("The model `m` does not exist", "--model"),
        ("no", ""),
    ],
)
def test_a_remedy_names_its_flag(text: str, flag: str) -> None:
    remedy = complaint(text).remedy
    assert flag in remedy
    assert bool(flag) == bool(remedy)


def first(name: str) -> Behaviour:
    return next(each for each in BEHAVIOURS if each.name == name)


def test_the_limit_is_named_as_the_endpoint_does(
    serve: Serve, client: Open, ledger: Ledger
) -> None:
    def plan(seen: Seen) -> str | Behaviour:
        return first("400 limit") if "max_tokens" in seen.body else "ok"

    server = serve(plan)
    opened = client(server)
    generate(Plain(), {"a": 5}, opened, ledger)
    assert ["max_tokens" in each.body for each in server.seen] == [True] + [False] * 5
    assert opened.notes == ("the endpoint calls the limit of tokens max_completion_tokens.",)
    generate(Plain(), {"a": 5}, client(server), ledger)
    assert len(server.seen) == 6  # it is the same question, and has its answer


def test_a_model_without_a_system_role_is_told_all_by_the_user(
    serve: Serve, client: Open, ledger: Ledger
) -> None:
    class Systemic(Plain):
        def request(self, group: str, index: int) -> Request:
            made = super().request(group, index)
            return replace(made, messages=(Message("system", "Be brief."), *made.messages))

    server = serve(
        lambda seen: first("400 system") if seen.body["messages"][0]["role"] == "system" else "ok"
    )
    generate(Systemic(), {"a": 3}, client(server), ledger)
    assert [len(each.body["messages"]) for each in server.seen] == [2, 1]
    (told,) = server.seen[-1].body["messages"]
    assert (told["role"], told["content"]) == ("user", "Be brief.\n\na 0 on rain")


def test_a_schema_is_asked_for_where_the_endpoint_has_them(
    serve: Serve, client: Open, ledger: Ledger, tmp_path: Path
) -> None:
    class Schemed(Plain):
        def request(self, group: str, index: int) -> Request:
            return replace(super().request(group, index), schema=SCHEMA)

    knows = serve()
    generate(Schemed(), {"a": 3}, client(knows), ledger)
    assert all(each.body["response_format"]["type"] == "json_schema" for each in knows.seen)
    knows_not = serve(
        lambda seen: (
            Behaviour("422", 422, said("Extra inputs are not permitted"), bills=False)
            if "response_format" in seen.body
            else "ok"
        )
    )
    with Ledger(tmp_path / "other.db") as other:
        generate(Schemed(), {"a": 3}, client(knows_not), other)
        assert report(other).lost == 0
    assert ["response_format" in each.body for each in knows_not.seen] == [True, *[False] * 3]


@pytest.mark.parametrize(
    ("does", "flag", "paid"),
    [
        ("400 limit large", "--max-tokens", False),
        ("400 sampling", "--top-p", False),
        ("400 temperature", "--temperature", False),
        ("400 model", "--model", False),
        ("400 plain", "refuses requests of this form", False),
        ("402 json", "no credit", False),
        ("400 credit", "no credit", False),
        ("inside quota", "no credit", False),
        ("all of it thoughts", "--max-tokens", True),
        ("307 away", "--base-url", False),
        ("429 after a day", "run again then", False),
        ("no choices", "no completion", True),
        ("html", "--base-url", False),
    ],
)
def test_a_refusal_that_meets_all_stops_at_the_first(
    serve: Serve, client: Open, ledger: Ledger, does: str, flag: str, paid: bool
) -> None:
    server = serve(lambda seen: first(does))
    with pytest.raises(FatalError, match=flag):
        generate(Plain(), {"a": 5}, client(server), ledger)
    assert len(server.seen) == 1
    # What cost nothing is asked again once it is mended; what was paid for never is.
    server.plan = lambda seen: "ok"
    generate(Plain(), {"a": 5}, client(server), ledger)
    assert (server.seen[1].key == server.seen[0].key) != paid


def test_a_server_of_pages_is_asked_one_thing(serve: Serve, client: Open, ledger: Ledger) -> None:
    server = serve(lambda seen: first("501 page"))
    with pytest.raises(FatalError, match="page for a browser: --base-url"):
        generate(Plain(), {"a": 5}, client(server), ledger)
    assert len(set(server.keys())) == 1
    assert report(ledger).lost == 0


def test_one_request_that_is_refused_again_bars_no_other(
    serve: Serve, client: Open, ledger: Ledger
) -> None:
    bad = Plain().request("a", 0).key
    server = serve(lambda seen: first("400 plain") if seen.key == bad else "ok")
    with pytest.raises(FatalError):
        generate(Plain(), {"a": 3}, client(server), ledger)
    with pytest.raises(FatalError):
        generate(Plain(), {"a": 3}, client(server), ledger)
    assert len(generate(Plain(), {"a": 3}, client(server), ledger)) == 3


def test_azure_reads_the_key_from_its_header(
    serve: Serve, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server = serve()
    own = OpenAIClient(
        base_url=f"http://127.0.0.1:{server.port}/openai/deployments/d", api_version="2024-06-01"
    )
    generate(Plain(), {"a": 1}, own, ledger)
    (head,) = server.heads
    assert head.startswith("post /openai/deployments/d/chat/completions?api-version=2024-06-01 ")
    assert f"api-key: {KEY.lower()}\r\n" in head
    assert "authorization:" not in head


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://h/v1?api-version=1", "give that one with --api-version"),
        ("http://u:pa55@h:99999/v1", "host or port is none"),
        ("http://u:pa55@[::1/v1", "host or port is none"),
        ("http://u:pa55@h/v1#x", "without a query"),
        ("htp://u:pa55@h/v1", "must start with http"),
        ("http://u:pa55@h /v1", "blanks"),
        ("https//h/v1", "must start with http"),
        ("h:8000/v1", "must start with http"),
        ("http://h:0/v1", "port 0"),
        ("http://h/v1/chat/completions", "without the path of completions"),
        ("http://h\u00e9/v1", "characters that none has"),
    ],
)
@pytest.mark.parametrize("by", ["flag", "environment"])
def test_an_address_that_is_none_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str, told: str, by: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    if by == "environment":
        monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(ValueError, match=told) as error:
        OpenAIClient(base_url=url if by == "flag" else None)
    assert "pa55" not in f"{error.value} {error.value.__cause__} {error.value.__context__!r}"


def test_a_key_where_a_name_belongs_is_not_shown() -> None:
    with pytest.raises(ValueError, match="is not shown, for it may be a key") as error:
        OpenAIClient(key_variable=KEY)
    assert KEY not in str(error.value)


def test_a_proxy_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("HTTP_PROXY", "http://u:pa55@h:port")
    own = OpenAIClient(base_url="http://example.org/v1")
    with pytest.raises(FatalError, match="address of a proxy") as error:
        generate(Plain(), {"a": 1}, own, ledger)
    assert "pa55" not in f"{error.value} {error.value.__cause__}"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0.0), ("2.5", 2.5), ("-1", None), ("soon", None), ("nan", None), ("1e400", 1e10)],
)
def test_retry_after_is_read(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}) == seconds
    assert retry_after({}) is None
    assert (retry_after({"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}) or 0) > 1e9


def test_all_wait_as_long_as_the_endpoint_asks(serve: Serve, client: Open, ledger: Ledger) -> None:
    wait = Behaviour("429", 429, said("wait"), {"retry-after": "1"}, bills=False)
    server: Server = serve(lambda seen: wait if len(server.seen) == 2 else "ok")
    generate(Plain(), {"a": 8}, client(server), ledger, limits=Limits(concurrency=2))
    times = [each.at for each in server.seen]
    assert len(times) == 9
    # Those that were on their way with the third may have left before its answer.
    assert sum(t > times[2] + 0.95 for t in times) >= 5


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4}, (3, 4)),
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 20}, (3, 17)),
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 2}, (3, 4)),
        ({"prompt_tokens": 3.0, "completion_tokens": 4}, (3, 4)),
        ({"prompt_tokens": 3, "completion_tokens": 2**63}, None),
        ({"prompt_tokens": -3, "completion_tokens": 4}, None),
        ({"prompt_tokens": True, "completion_tokens": 4}, None),
        ({"prompt_tokens": 3}, None),
        ("3", None),
    ],
)
def test_usage_is_read(usage: object, tokens: tuple[int, int] | None) -> None:
    assert read_usage(usage) == tokens


def test_parts_of_text_are_the_text() -> None:
    parts = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "One "},
        {"type": "text", "text": "two."},
    ]
    assert read_completion(message(parts)({})).text == "One two."
    with pytest.raises(RefusedError, match="no text"):
        read_completion(message([{"type": "image"}])({}))


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b'{"error": {"code": 429}}', 429),
        (b'{"error": {"code": "503"}}', 503),
        (b'{"error": {"code": "rate_limit_exceeded"}}', 429),
        (b'{"error": {"type": "overloaded_error"}}', 503),
        (b'{"object": "error", "code": 400, "message": "no"}', 400),
        (b'{"choices": [{"finish_reason": "error", "error": {"code": 502}}]}', 502),
        (b'{"error": {"code": 7}}', None),
        (b'{"error": {"code": "' + b"4" * 5000 + b'"}}', None),
        (b'{"error": "no"}', None),
        (b'{"error": null, "choices": [{"message": {"content": "error"}}]}', None),
        (b"error", None),
    ],
)
def test_an_error_inside_an_answer_has_its_status(content: bytes, status: int | None) -> None:
    assert status_inside(content) == status
