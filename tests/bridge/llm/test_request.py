"""Requests have one canonical form; samples know all that they come from."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace

import pytest

from opal.bridge.llm.request import Message, Reply, Request, WrittenSample, digest

REQUEST = Request((Message("user", "ü\u2028\ud800"),), "m", 0.7, 0.9, 50, "g", ("s1", "s2"), 3)


def test_a_request_reads_back_from_its_text() -> None:
    assert Request.read(REQUEST.text) == REQUEST
    assert REQUEST.key == hashlib.sha256(REQUEST.text.encode("ascii")).hexdigest()
    with pytest.raises(ValueError, match="not a request"):
        Request.read('{"messages": [], "seeds": []}')


@pytest.mark.parametrize(
    "change",
    [
        {"messages": (Message("system", "ü\u2028\ud800"),)},
        {"model": "n"},
        {"temperature": 0.8},
        {"top_p": 1.0},
        {"max_tokens": 51},
        {"group": "h"},
        {"seeds": ("s2", "s1")},
        {"index": 4},
    ],
)
def test_every_field_is_in_the_key(change: dict[str, object]) -> None:
    assert replace(REQUEST, **change).key != REQUEST.key  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"messages": ()}, "messages must not be empty"),
        ({"model": " "}, "model must be named"),
        ({"temperature": -0.1}, "temperature must be finite and at least 0; got -0.1"),
        ({"temperature": float("nan")}, "temperature must be finite"),
        ({"top_p": 0.0}, r"top_p must be in \(0, 1\]; got 0.0"),
        ({"max_tokens": 0}, "max_tokens must be at least 1; got 0"),
        ({"index": -1}, "index must be at least 0; got -1"),
    ],
)
def test_bad_fields_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(REQUEST, **change)  # type: ignore[arg-type]


def test_a_role_must_exist() -> None:
    with pytest.raises(ValueError, match="got 'robot'"):
        Message("robot", "hello")


def test_samples_carry_their_lineage_and_share_the_cost() -> None:
    reply = Reply("x", 5, 6, "stop", "m-2026", "2026-11-21T00:00:00+00:00", 0.3)
    sample = WrittenSample.of(REQUEST, reply, {"x1": 2.0}, place=1, of=3)
    assert asdict(sample) == {
        "content": {"x1": 2.0},
        "group": "g",
        "seeds": ("s1", "s2"),
        "key": REQUEST.key,
        "place": 1,
        "model": "m-2026",
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 50,
        "date": "2026-11-21T00:00:00+00:00",
        "cost": pytest.approx(0.1),
    }


def test_digests_tell_parts_apart() -> None:
    assert len({digest("ab", "c"), digest("a", "bc"), digest("abc"), digest(["ab", "c"])}) == 4
    assert len(digest("a")) == 16
