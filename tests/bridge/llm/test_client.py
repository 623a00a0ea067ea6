"""The client of an endpoint: faults told apart, retries under one key, and the API key kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from opal.bridge.llm.generate import generate
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.report import report
from opal.bridge.llm.request import AskError, FailedError, FatalError, RefusedError, Reply
from tests.bridge.llm.conftest import KEY, Open, Serve
from tests.bridge.llm.plain import Plain
from tests.bridge.llm.server import RETRY_AFTER, Server, answer

pytest.importorskip("openai", reason="needs the extra text")

from opal.bridge.llm.client import OpenAIClient

REQUEST = Plain().request("a", 0)


def ask(client: OpenAIClient) -> tuple[Reply, list[bool]]:
    """The reply, and whether the attempt before each may have been billed."""
    passed: list[bool] = []

    async def gate(
        *,
        lost: bool = False,
        pause: Callable[[], float] | None = None,
        reason: Callable[[], str] | None = None,
    ) -> None:
        while pause is not None and (wait := pause()) > 0:
            await asyncio.sleep(wait)
        passed.append(lost)

    async def work() -> Reply:
        try:
            return await client.ask(REQUEST, idempotency_key=REQUEST.key, gate=gate)
        finally:
            await client.close()

    return asyncio.run(work()), passed


def test_an_answer_comes_with_its_tokens(serve: Serve, client: Open) -> None:
    server = serve()
    reply, passed = ask(client(server))
    assert reply == Reply(answer("a 0 on rain"), 91, 20, "stop", "model")
    assert passed == [False]
    (seen,) = server.seen
    assert seen.key == REQUEST.key
    assert seen.body == {
        "model": "model",
        "messages": [{"role": "user", "content": "a 0 on rain"}],
        "temperature": 1.0,
        "top_p": 1.0,
        "max_tokens": 20,
    }


def test_usage_may_be_missing(serve: Serve, client: Open) -> None:
    reply, _ = ask(client(serve(lambda seen: "uncounted")))
    assert (reply.tokens_in, reply.tokens_out) == (None, None)


@pytest.mark.parametrize(
    ("action", "lost"), [("429", False), ("500", False), ("reset", True), ("cut", True)]
)
def test_the_client_tries_again_under_the_same_key(
    serve: Serve, client: Open, action: str, lost: bool
) -> None:
    server = serve(lambda seen: "ok" if seen.attempt else action)
    reply, passed = ask(client(server))
    assert reply.text == answer("a 0 on rain")
    assert passed == [False, lost]
    assert server.keys() == [REQUEST.key] * 2
    if action == "429":
        assert server.seen[1].at - server.seen[0].at >= RETRY_AFTER


@pytest.mark.parametrize(
    ("action", "error", "kind", "tokens", "attempts"),
    [
        ("429", FailedError, "http 429", (0, 0), 3),
        ("503", FailedError, "http 503", (0, 0), 3),
        ("reset", FailedError, "connection", None, 3),
        ("cut", FailedError, "connection", None, 3),
        ("timeout", FailedError, "timeout", None, 3),
        ("drip", FailedError, "timeout", None, 3),
        ("half", FailedError, "body", None, 1),
        ("html", FailedError, "body", None, 1),
        ("empty", RefusedError, "empty", (91, 20), 1),
        ("refusal", RefusedError, "refusal", (91, 20), 1),
        ("length", RefusedError, "length", (91, 20), 1),
        ("shape", RefusedError, "shape", None, 1),
        ("400", RefusedError, "http 400", (0, 0), 1),
        ("422", RefusedError, "http 422", (0, 0), 1),
    ],
)
def test_every_fault_has_its_kind(
    serve: Serve,
    client: Open,
    action: str,
    error: type[AskError],
    kind: str,
    tokens: tuple[int, int] | None,
    attempts: int,
) -> None:
    server = serve(lambda seen: action)
    with pytest.raises(error) as told:
        ask(client(server, timeout=1.0 if action in ("timeout", "drip") else 5.0))
    assert (told.value.kind, told.value.tokens) == (kind, tokens)
    assert server.keys() == [REQUEST.key] * attempts


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ("401", r"127\.0\.0\.1:\d+ does not accept the API key: .*try later"),
        ("403", "does not accept the API key"),
        ("404", "does not know the model 'model', or this path"),
        ("quota", "has no credit left"),
    ],
)
def test_what_cannot_succeed_is_told_at_once(
    serve: Serve, client: Open, action: str, message: str
) -> None:
    server = serve(lambda seen: action)
    with pytest.raises(FatalError, match=message):
        ask(client(server, retries=0))
    assert len(server.seen) == 1


def closed_port() -> str:
    server = Server()
    server.close()
    return server.url


@pytest.mark.parametrize("where", ["closed", "http://no-such-host.invalid/v1"])
def test_an_unreachable_endpoint_costs_nothing(client: Open, ledger: Ledger, where: str) -> None:
    url = closed_port() if where == "closed" else where
    with pytest.raises(FatalError, match=r"the connection to .+ cannot be made: "):
        generate(Plain(), {"a": 9}, client(url, retries=1), ledger)
    told = report(ledger)
    assert (told.cost, told.lost, told.requests) == (0, 0, 1)


def test_a_missing_key_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ValueError, match="set the environment variable MY_KEY"):
        OpenAIClient(base_url="https://example.org/v1", key_variable="MY_KEY")
    OpenAIClient(
        base_url="http://127.0.0.1:8000/v1", key_variable="MY_KEY"
    )  # a server without keys
    monkeypatch.setenv("MY_KEY", "two words\u00e9")
    with pytest.raises(ValueError, match="characters that no key can have") as told:
        OpenAIClient(key_variable="MY_KEY")
    assert "two words" not in str(told.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "127.0.0.1:8000"}, "must start with http"),
        ({"base_url": ""}, "got '': name one, or leave it out"),
        ({"timeout": 0.0}, "timeout must be positive"),
        ({"retries": -1}, "retries at least 0"),
    ],
)
def test_bad_options_are_refused(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, object], message: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(ValueError, match=message):
        OpenAIClient(**options)  # type: ignore[arg-type]


def test_openai_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opal.validation.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'opal-scaling\[text\]'"):
        OpenAIClient()


@pytest.mark.parametrize("action", ["401", "400", "404", "500", "ok", "refusal"])
def test_the_key_is_nowhere(
    serve: Serve,
    client: Open,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    action: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    server, path = serve(lambda seen: action), tmp_path / "ledger.db"
    # The endpoint prints the key back, whole and in part, in errors, answers and its model's name.
    server.said = f"wrong key {KEY}, or sk-proj-Zx81*****t_90; Bearer {KEY}"
    prompter = Plain(model="model", topic="rain")
    told = ""
    opened = client(server, retries=0)
    with Ledger(path) as ledger:
        try:
            samples = generate(prompter, {"a": 2}, opened, ledger, patience=2)
            told += repr(samples)
        except ValueError as error:
            told += repr(error) + str(error.__cause__) + str(error.__context__)
        told += repr(report(ledger)) + repr(ledger.rows("SELECT error FROM requests"))
    kept = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    for part in (KEY, "Zx81", "secret_90", "t_90"):
        assert part not in told + caplog.text
        assert part.encode() not in kept
    assert len(server.seen) >= 1


def test_a_key_of_any_form_is_masked(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server, key = serve(lambda seen: "400"), "a1b2+c3/d4=="
    server.said = f"who is {key}?\n{key}"
    monkeypatch.setenv("MY_KEY", key)
    own = OpenAIClient(base_url=server.url, key_variable="MY_KEY")
    with (
        Ledger(tmp_path / "ledger.db") as ledger,
        pytest.raises(FatalError, match=r"who is \[key\]\? \[key\]"),
    ):
        generate(Plain(), {"a": 1}, own, ledger, patience=1)
    assert key.encode() not in (tmp_path / "ledger.db").read_bytes()


def test_an_answer_that_holds_the_key_is_masked_and_a_prompt_is_refused(
    serve: Serve, client: Open, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    with pytest.raises(FatalError, match="a prompt holds the API key"):
        generate(Plain(topic=KEY), {"a": 1}, client(server), ledger)
    assert server.seen == []
    monkeypatch.setattr("tests.bridge.llm.server.answer", lambda prompt: f"your key is {KEY}.")
    (sample,) = generate(Plain(), {"a": 1}, client(server), ledger)
    assert sample.content == "your key is [key]."
