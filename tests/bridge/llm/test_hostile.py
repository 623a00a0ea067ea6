"""What endpoints and command lines do that no one should: packed, mislabelled, endless, looped."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import time
from pathlib import Path

import pytest

pytest.importorskip("openai", reason="needs the extra text")

from opal import cli
from opal.bridge.llm import batch
from opal.bridge.llm.budget import Limits, RateLimiter
from opal.bridge.llm.command import samples_wanted
from opal.bridge.llm.database import LedgerError
from opal.bridge.llm.endpoint import Endpoint, retry_after
from opal.bridge.llm.generate import generate
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.request import FatalError, ModelSettings
from opal.bridge.render import shown
from tests.bridge.llm.behaviours import Behaviour
from tests.bridge.llm.conftest import Open, Serve
from tests.bridge.llm.plain import Plain


@pytest.mark.parametrize("charset", ["hex", "bz2", "rot13", "undefined", "utf-16", "none"])
@pytest.mark.parametrize("status", [200, 400])
def test_what_a_header_calls_an_encoding_does_not_count(
    serve: Serve, client: Open, ledger: Ledger, charset: str, status: int
) -> None:
    headers = {"content-type": f"application/json; charset={charset}"}
    server = serve(lambda seen: Behaviour("charset", status=status, headers=headers))
    if status == 200:
        assert len(generate(Plain(), {"a": 2}, client(server), ledger)) == 2
    else:
        with pytest.raises(FatalError, match="refuses requests of this form"):
            generate(Plain(), {"a": 2}, client(server), ledger)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_says_its_encoding_by_itself(
    serve: Serve, client: Open, ledger: Ledger, encoding: str
) -> None:
    encoded = Behaviour("encoded", body=lambda good: json.dumps(good).encode(encoding))
    assert len(generate(Plain(), {"a": 1}, client(serve(lambda seen: encoded)), ledger)) == 1


def test_answers_are_asked_for_as_they_can_be_unpacked(
    serve: Serve, client: Open, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("httpx2._client.ACCEPT_ENCODING", "gzip, deflate, br, zstd")
    packed = Behaviour(
        "packed",
        body=lambda good: gzip.compress(json.dumps(good).encode()),
        headers={"content-encoding": "gzip"},
    )
    server = serve(lambda seen: packed)
    assert len(generate(Plain(), {"a": 1}, client(server), ledger)) == 1
    assert "accept-encoding: gzip\r\n" in server.heads[0]


def test_what_is_packed_twice_is_unpacked_only_so_far(
    serve: Serve, client: Open, ledger: Ledger
) -> None:
    packed = gzip.compress(gzip.compress(b" " * (64 << 20), 1))
    bomb = Behaviour("bomb", body=lambda good: packed, headers={"content-encoding": "gzip, gzip"})
    with pytest.raises(ValueError, match="longer than 32 MB"):
        generate(Plain(), {"a": 1}, client(serve(lambda seen: bomb)), ledger, patience=1)


def test_half_characters_in_the_name_of_a_model_can_be_written(
    serve: Serve, client: Open, ledger: Ledger
) -> None:
    named = Behaviour("named", body=lambda good: good | {"model": "m\ud800" + "x" * 1000})
    (sample,) = generate(Plain(), {"a": 1}, client(serve(lambda seen: named)), ledger)
    (_, reply), *_ = ledger.replies(Plain().identity, "a")
    assert reply.model == "m?" + "x" * 498
    assert str(sample.content).encode()


def test_a_model_that_no_encoding_carries_is_refused() -> None:
    with pytest.raises(ValueError, match="name of a model must be of characters"):
        ModelSettings("m\udcff")


def test_waits_in_milliseconds_count_as_those_in_seconds() -> None:
    assert retry_after({"retry-after-ms": "2000000", "retry-after": "1"}) == 2000
    assert retry_after({"retry-after": "inf"}) == 1e10


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_a_long_wait_is_told_for_every_passing_error(
    serve: Serve, client: Open, ledger: Ledger, status: int
) -> None:
    wait = {"retry-after-ms": "2000000"}
    server = serve(lambda seen: Behaviour("wait", status=status, headers=wait))
    with pytest.raises(FatalError, match="no request for 2,000 seconds"):
        generate(Plain(), {"a": 2}, client(server, retries=0), ledger)
    assert len(server.seen) == 1


def test_a_pause_holds_for_those_that_queue_already() -> None:
    async def work() -> list[float]:
        limiter, ends = RateLimiter(Limits(requests_per_minute=1, period=0.1)), time.monotonic()
        started, left = ends, list[float]()

        async def leave() -> None:
            await limiter.admit(1, lambda: ends - time.monotonic())
            left.append(time.monotonic() - started)

        tasks = [asyncio.create_task(leave()) for _ in range(3)]
        await asyncio.sleep(0.02)
        ends = started + 0.5
        await asyncio.gather(*tasks)
        return left

    first, *others = asyncio.run(work())
    assert first < 0.1
    assert min(others) >= 0.5


@pytest.mark.parametrize("variable", ["OPENAI_ORG_ID", "OPENAI_PROJECT_ID"])
@pytest.mark.parametrize("value", ["a\nb", "é\u0161"])
def test_headers_that_cannot_be_sent_cost_nothing(
    serve: Serve,
    client: Open,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
) -> None:
    monkeypatch.setenv(variable, value)
    server = serve()
    with pytest.raises(FatalError):
        generate(Plain(), {"a": 2}, client(server, retries=0), ledger)
    assert not server.seen
    assert ledger.spent() == 0


def test_a_ledger_that_cannot_be_written_is_told_as_that(
    serve: Serve, client: Open, ledger: Ledger
) -> None:
    ledger.run("PRAGMA max_page_count = 1")  # as of a full disk
    server = serve()
    with pytest.raises(LedgerError, match="cannot be read or written: database or disk is full"):
        generate(Plain(topic="rain " * 10_000), {"a": 2}, client(server), ledger)
    assert not server.seen


def test_certificates_that_are_not_there_are_named(
    serve: Serve, client: Open, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(FatalError, match="SSL_CERT_FILE"):
        generate(Plain(), {"a": 1}, client(serve()), ledger)


@pytest.mark.parametrize(
    "key", ["a1b2c3d4e5f60718293a4b5c6d7e8f90", "AbCdEfGhIjKlMnOpQrStUvWx2345"]
)
def test_a_key_without_a_prefix_is_not_shown_either(key: str) -> None:
    with pytest.raises(ValueError, match="is not shown") as refused:
        Endpoint.of("https://host/v1", key)
    assert key not in str(refused.value)


def test_what_stands_for_no_key_may_be_said() -> None:
    assert Endpoint("http://localhost/v1", "none").told("there is\nnone") == "there is none"


def test_marks_that_turn_a_line_around_are_not_printed() -> None:
    assert shown("a\u202eb\u2066c \U0001f642") == "a�b�c \U0001f642"


def test_answers_of_the_older_protocol_are_refused_whole(ledger: Ledger, tmp_path: Path) -> None:
    exported = batch.export(Plain(), {"a": 1}, ledger, tmp_path / "out.jsonl")
    key = json.loads(exported.paths[0].read_text())["custom_id"]
    body = {"object": "text_completion", "choices": [{"text": "x"}]}
    result = {"custom_id": key, "response": {"status_code": 200, "body": body}}
    (tmp_path / "in.jsonl").write_text(json.dumps(result))
    with pytest.raises(ValueError, match="an answer of another kind"):
        batch.load([tmp_path / "in.jsonl"], ledger)
    assert ledger.states() == {key: "exported"}


def test_no_one_waits_for_a_billion_samples() -> None:
    with pytest.raises(ValueError, match="at most 1,000,000"):
        samples_wanted({"a": 5}, fill_to=None, each=10**9, flag="--per-class")


@pytest.mark.parametrize("flag", ["--out", "--ledger", "--batch-out", "--batch-in"])
@pytest.mark.parametrize("path", ["loop", "loop/x"])
def test_links_that_lead_to_themselves_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flag: str,
    path: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    os.symlink("loop", "loop")
    Path("mine.csv").write_text("text,label\n" + "".join(f"text {i},a\n" for i in range(9)))
    words = ["text", "generate", "mine.csv", "--per-class", "1", "--model", "m", "--dry-run"]
    if flag in ("--batch-out", "--batch-in"):
        words.remove("--dry-run")
        words += ["--price-input", "0", "--price-output", "0"]
    assert cli.main([*words, flag, path]) == 2
    assert "leads to itself" in capsys.readouterr().err
