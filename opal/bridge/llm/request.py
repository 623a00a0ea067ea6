"""What is asked of a language model, what it answers, and the samples read from that.

A prompter makes requests and reads the answers; a client answers them: an endpoint, or a model on
this machine.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

MOST_TOKENS = 10_000_000
"""Tokens that no model reads or writes at once."""
_SAMPLING = ("temperature", "top_p")
ROLES = ("system", "developer", "user", "assistant")


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: str  # one of ``ROLES``
    content: str  # its text, as it is

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"role must be one of {', '.join(ROLES)}; got {self.role!r}.")


@dataclass(frozen=True)
class Request:
    """One question to a model; two that are equal have the same key, and are one purchase."""

    messages: tuple[Message, ...]  # the prompt
    model: str  # its name at the endpoint
    temperature: float | None  # at least 0; None leaves it to the endpoint
    top_p: float | None  # in (0, 1]; None likewise
    max_tokens: int  # of the answer
    group: str  # that the samples are for
    seeds: tuple[str, ...]  # ids of the real samples that the prompt shows
    index: int  # which of the group's requests it is, from 0
    schema: str = field(default="", compare=False)  # JSON schema of the answer, if it is JSON

    def __post_init__(self) -> None:
        rules = {
            "messages must not be empty": len(self.messages) > 0,
            "model must be named": bool(self.model.strip()),
            "temperature must be finite and at least 0": (
                self.temperature is None or 0 <= self.temperature < math.inf
            ),
            "top_p must be in (0, 1]": self.top_p is None or 0 < self.top_p <= 1,
            "max_tokens must be at least 1": self.max_tokens >= 1,
            "index must be at least 0": self.index >= 0,
        }
        for rule, kept in rules.items():
            if not kept:
                raise ValueError(f"{rule}; got {getattr(self, rule.split()[0])!r}.")

    @cached_property
    def text(self) -> str:
        """Canonical JSON: the same for equal requests, in ASCII.

        Temperature and ``top_p`` that are left to the endpoint stand as the protocol's default, 1;
        where 1 is asked for, they are named. The schema is how an answer is asked for, not what is
        asked.
        """
        fields = {each: getattr(self, each) for each in self.__dataclass_fields__}
        del fields["schema"]
        for name in _SAMPLING:
            if fields[name] is None:
                fields[name] = 1.0
            elif fields[name] == 1:
                fields.setdefault("named", []).append(name)
        return _canonical(fields | {"messages": list(map(vars, self.messages))})

    @cached_property
    def key(self) -> str:
        """Its name in the ledger, at the endpoint (idempotency) and in batches: 64 hex digits."""
        return hashlib.sha256(self.text.encode("ascii")).hexdigest()

    @classmethod
    def read(cls, text: str) -> Request:
        """The request with that canonical JSON.

        Raises:
            ValueError: it is none.
        """
        fields = json.loads(text)
        try:
            fields["messages"] = tuple(Message(**each) for each in fields["messages"])
            fields["seeds"] = tuple(fields["seeds"])
            named = fields.pop("named", ())
            for name in _SAMPLING:
                if fields[name] == 1 and name not in named:
                    fields[name] = None
            request = cls(**fields)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a request: {error}.") from error
        vars(request)["text"] = text
        return request


@dataclass(frozen=True)
class ModelSettings:
    """Parameters of every request of a prompter.

    Raises:
        ValueError: one is outside its range.
    """

    model: str  # as its endpoint calls it, or a local path
    # Of the draws of tokens, from 0 (always the likeliest) to 2; None is the endpoint's own.
    temperature: float | None = None
    # Only the likeliest tokens of this total probability are drawn, in (0, 1]; None likewise.
    top_p: float | None = None
    max_tokens: int = 512  # that an answer may have

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise ValueError("a request needs the name of a model; got none: name it with --model.")
        if self.model != encodable(self.model):
            raise ValueError(
                f"the name of a model must be of characters; {self.model!r} holds bytes that are "
                "none in UTF-8."
            )
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise ValueError(f"temperature must be from 0 to 2; got {self.temperature:g}.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1; got {self.top_p:g}.")
        if not 1 <= self.max_tokens <= MOST_TOKENS:
            raise ValueError(
                f"max_tokens must be from 1 to {MOST_TOKENS:,}; got {self.max_tokens}."
            )

    def request(
        self,
        system: str,
        user: str,
        *,
        group: str,
        seeds: tuple[str, ...],
        index: int,
        schema: str = "",
    ) -> Request:
        """A request with these parameters and two messages."""
        return Request(
            messages=(Message("system", system), Message("user", user)),
            **vars(self),
            group=group,
            seeds=seeds,
            index=index,
            schema=schema,
        )


@dataclass(frozen=True)
class Reply:
    """A usable answer."""

    text: str  # of the answer
    tokens_in: int | None  # of the prompt, as the endpoint counted; None if it did not say
    tokens_out: int | None  # of the answer, likewise
    finish_reason: str | None  # as the endpoint gave it
    model: str  # that answered, by the endpoint's word
    date: str = ""  # when, in UTC; filled by the ledger
    cost: float = 0.0  # what it cost; filled by the ledger

    @property
    def tokens(self) -> tuple[int, int] | None:
        """Tokens of prompt and answer; None if the endpoint did not count both."""
        if self.tokens_in is None or self.tokens_out is None:
            return None
        return self.tokens_in, self.tokens_out


@dataclass(frozen=True)
class WrittenSample:
    """A synthetic sample and all that it comes from."""

    content: str | Mapping[str, object]  # a text, or the fields of a row
    group: str  # that it was asked for
    seeds: tuple[str, ...]  # ids of the real samples in its prompt
    key: str  # of its request; the ledger holds the prompt under it
    place: int  # which of the samples in its reply it is, from 0
    model: str  # that answered
    temperature: float | None  # that it was asked with; None is the endpoint's own
    top_p: float | None  # likewise
    max_tokens: int  # likewise
    date: str  # of the answer, in UTC
    cost: float  # its share of what the answer cost

    @classmethod
    def of(
        cls,
        request: Request,
        reply: Reply,
        content: str | Mapping[str, object],
        place: int = 0,
        of: int = 1,
    ) -> WrittenSample:
        """Sample number ``place`` of ``of`` in a reply."""
        return cls(
            content=content,
            group=request.group,
            seeds=request.seeds,
            key=request.key,
            place=place,
            model=reply.model or request.model,
            temperature=request.temperature,
            top_p=request.top_p,
            max_tokens=request.max_tokens,
            date=reply.date,
            cost=reply.cost / of,
        )


@dataclass(frozen=True)
class Rejection:
    """An answer that holds no sample."""

    reason: str  # in one short line


class Prompter(Protocol):
    """Writes the prompts of a group and reads the answers."""

    @property
    def identity(self) -> str:
        """Digest of all that its requests depend on; the same in every process."""

    @property
    def per_request(self) -> int:
        """Samples that one answer should hold."""

    def request(self, group: str, index: int) -> Request:
        """Request 0, 1, 2, ... of a group, without end, and always the same."""

    def parse(self, request: Request, reply: Reply) -> list[WrittenSample] | Rejection:
        """Samples of a reply; always the same for the same reply."""


class NotingPrompter(Prompter, Protocol):
    """A prompter that has something to say of the real samples."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user."""


NOTHING = (0, 0)
"""Tokens of what is not billed."""


def encodable(text: str) -> str:
    r"""A text without halves of characters, which no encoding can carry.

    >>> encodable("a\ud800b")
    'a?b'
    """
    return text.encode("utf-8", "replace").decode()


class Gate(Protocol):
    """Awaited by a client before each attempt leaves.

    It waits for the limits, holds the budget and writes to the ledger that the request is out.
    """

    async def __call__(
        self,
        *,
        lost: bool = False,
        pause: Callable[[], float] | None = None,
        reason: Callable[[], str] | None = None,
    ) -> None:
        """Pass, once no seconds of ``pause`` are left, in which the endpoint wants no request.

        The attempt before may have been billed though its answer was ``lost``. What the ``reason``
        of the pause says is shown.
        """


class Client(Protocol):
    """Where requests are sent."""

    async def ask(self, request: Request, *, idempotency_key: str, gate: Gate) -> Reply:
        """The answer.

        Raises:
            RefusedError: the answer is of no use.
            FailedError: no answer came.
            FatalError: no request can succeed.
        """

    async def close(self) -> None:
        """Let go of connections; the client can be used again."""


class AskError(Exception):
    """A request that gave no usable answer.

    Args:
        message: in a line.
        kind: in one word.
        tokens: of prompt and answer that were billed, or may have been; None if unknown, then the
            worst case is charged.
        alike: whether other requests would fare alike, so that asking them is in vain.
    """

    def __init__(
        self, message: str, *, kind: str, tokens: tuple[int, int] | None, alike: bool = False
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.tokens = tokens
        self.alike = alike


class RefusedError(AskError):
    """An answer came that is of no use; the request is never asked again."""


class FailedError(AskError):
    """No answer came; a later run asks again, under the same key."""


class OutageError(FailedError):
    """No answer came to this request, nor to many before it: none is sent any more."""


class FatalError(ValueError):
    """No request to this client can succeed as it is set up."""


def digest(*parts: object) -> str:
    """16 hexadecimal digits of what is JSON.

    >>> digest("template", [1, 2]) == digest("template", (1, 2))
    True
    """
    return hashlib.sha256(_canonical(parts).encode("ascii")).hexdigest()[:16]


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
