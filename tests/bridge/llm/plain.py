"""A prompter of the plainest prompts, for tests and for processes that tests kill."""

from __future__ import annotations

from dataclasses import dataclass

from opal.bridge.llm.request import Message, Rejection, Reply, Request, WrittenSample, digest


@dataclass(frozen=True)
class Plain:
    """Asks to write; samples are the lines of the answer that are not ``no``."""

    per_request: int = 1
    model: str = "model"
    max_tokens: int = 20
    topic: str = "rain"

    @property
    def identity(self) -> str:
        return digest(self.per_request, self.model, self.max_tokens, self.topic)

    def request(self, group: str, index: int) -> Request:
        prompt = Message("user", f"{group} {index} on {self.topic}")
        seeds = (f"{index:016x}",)
        return Request((prompt,), self.model, 1.0, 1.0, self.max_tokens, group, seeds, index)

    def parse(self, request: Request, reply: Reply) -> list[WrittenSample] | Rejection:
        lines = [line for line in reply.text.splitlines() if line != "no"]
        if not lines:
            return Rejection("no line")
        return [
            WrittenSample.of(request, reply, each, i, len(lines)) for i, each in enumerate(lines)
        ]


def indices(samples: list[WrittenSample]) -> list[int]:
    """Which request each sample is of."""
    return [int(sample.seeds[0], 16) for sample in samples]
