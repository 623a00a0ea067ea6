"""Which model writes, and how it draws its words."""

from __future__ import annotations

import math
from dataclasses import dataclass

from opal.bridge.llm.request import Message, Request


@dataclass(frozen=True)
class Settings:
    """Parameters of every request of a writer.

    Attributes:
        model: as its endpoint calls it, or a local path.
        temperature: of the draws of tokens, from 0 (always the likeliest) to 2.
        top_p: only the likeliest tokens of this total probability are drawn, in (0, 1].
        max_tokens: that an answer may have.

    Raises:
        ValueError: one is outside its range.
    """

    model: str
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 512

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise ValueError("a request needs the name of a model; got none: name it with --model.")
        if not (math.isfinite(self.temperature) and 0 <= self.temperature <= 2):
            raise ValueError(f"temperature must be from 0 to 2; got {self.temperature:g}.")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1; got {self.top_p:g}.")
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1; got {self.max_tokens}.")

    def request(
        self, system: str, user: str, *, group: str, seeds: tuple[str, ...], index: int
    ) -> Request:
        """A request with these parameters and two messages."""
        return Request(
            messages=(Message("system", system), Message("user", user)),
            model=self.model,
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            group=group,
            seeds=seeds,
            index=index,
        )
