"""Generation against a sequential loop, and what a large ledger costs.

An endpoint on loopback answers after 100 ms. The peer asks it one request after the other with
``openai.OpenAI``, as a script does; opal asks 32 at a time and writes each to its ledger before it
leaves and when it is answered. A ledger of 100,000 answers is then opened and resumed: until the
first further request leaves, and until all samples, read again and parsed, are returned.

Run ``python benchmarks/llm.py``, or with ``--json``.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import openai
import tyro

from benchmarks._endpoint import endpoint
from opal.bridge.llm.budget import Budget, Limits, Prices
from opal.bridge.llm.client import OpenAIClient
from opal.bridge.llm.generate import generate
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.request import Gate, Message, Rejection, Reply, Request, WrittenSample, digest

_PROMPT = "Write a text like these five, with other names, places and sentences. " * 10
_BUDGET = Budget(1e6, Prices(1.0, 2.0))


@dataclass(frozen=True)
class Options:
    """Compare generation with a sequential loop, and time a large ledger.

    Example:
        python benchmarks/llm.py --json
    """

    json: bool = False
    """Print JSON."""
    latency: float = 0.1
    """Seconds that the endpoint takes to answer."""
    concurrency: int = 32
    """Requests at a time."""
    requests: int = 1600
    """Requests of opal."""
    peer_requests: int = 30
    """Requests of the sequential loop."""
    entries: int = 100_000
    """Answers in the large ledger."""
    repeats: int = 3
    """Timings of each; the median counts."""


class Fixed:
    """One sample a request, in prompts of 700 bytes."""

    per_request = 1
    identity = digest("benchmark")

    def request(self, group: str, index: int) -> Request:
        """A request whose first words are its number."""
        message = Message("user", f"{index}. {_PROMPT}")
        return Request((message,), "model", 1.0, 1.0, 100, group, (f"{index:016x}",), index)

    def parse(self, request: Request, reply: Reply) -> list[WrittenSample] | Rejection:
        """The whole text."""
        return [WrittenSample.of(request, reply, reply.text)]


class Stopwatch:
    """A client that answers at once, and knows when it was first asked."""

    asked: float | None = None

    async def ask(self, request: Request, *, idempotency_key: str, gate: Gate) -> Reply:
        """The same answer for all."""
        await gate()
        self.asked = self.asked or time.perf_counter()
        return Reply("A fine day.", 200, 40, "stop", "model")

    async def close(self) -> None:
        """Nothing is open."""


def main(options: Options) -> None:
    """Time all, and print it."""
    rounds = [_round(options) for _ in range(options.repeats)]
    chosen = {
        name: sorted(each[name] for each in rounds)[options.repeats // 2] for name in rounds[0]
    }
    results = {
        "latency": options.latency,
        "concurrency": options.concurrency,
        "entries": options.entries,
        **chosen,
    }
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print(
        f"{results['requests_per_s']:.0f} requests/s at {options.concurrency} at a time, "
        f"{results['peer_requests_per_s']:.1f} one after the other: "
        f"{results['ratio']:.1f} times as many"
    )
    print(
        f"a ledger of {options.entries:,} answers ({results['megabytes']:.0f} MB): opened in "
        f"{results['open_s']:.3f} s, next request after {results['resume_s']:.2f} s, all samples "
        f"after {results['samples_s']:.2f} s"
    )


def _round(options: Options) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        return _throughput(options, path / "small.db") | _large(options, path / "large.db")


def _throughput(options: Options, path: Path) -> dict[str, float]:
    with endpoint(options.latency) as url, Ledger(path) as ledger:
        peer = openai.OpenAI(base_url=url, api_key="none")
        _ask(peer, 0)  # imports and connects
        begin = time.perf_counter()
        for index in range(options.peer_requests):
            _ask(peer, index)
        peer_rate = options.peer_requests / (time.perf_counter() - begin)
        limits = Limits(options.concurrency)
        begin = time.perf_counter()
        samples = generate(
            Fixed(), {"a": options.requests}, OpenAIClient(base_url=url), ledger,
            limits=limits, budget=_BUDGET,
        )  # fmt: skip
        rate = len(samples) / (time.perf_counter() - begin)
    return {"requests_per_s": rate, "peer_requests_per_s": peer_rate, "ratio": rate / peer_rate}


def _ask(peer: openai.OpenAI, index: int) -> None:
    request = Fixed().request("a", index)
    content = request.messages[0].content
    peer.chat.completions.create(
        model="model", messages=[{"role": "user", "content": content}], max_tokens=100
    )


def _large(options: Options, path: Path) -> dict[str, float]:
    prompter = Fixed()
    with Ledger(path) as ledger, ledger.together():
        for index in range(options.entries):
            request = prompter.request("a", index)
            ledger.exported(request, 0)
            ledger.done(request, Reply("A fine day. " * 30, 200, 40, "stop", "model"), 280_000)
            ledger.settle(prompter.identity, request, 1, None)
    megabytes, client = path.stat().st_size / 1e6, Stopwatch()
    begin = time.perf_counter()
    with Ledger(path) as ledger:
        opened = time.perf_counter()
        samples = generate(prompter, {"a": options.entries + 1}, client, ledger, budget=_BUDGET)
        ended = time.perf_counter()
    assert len(samples) == options.entries + 1
    assert client.asked is not None
    return {
        "megabytes": megabytes,
        "open_s": opened - begin,
        "resume_s": client.asked - opened,
        "samples_s": ended - opened,
    }


if __name__ == "__main__":
    os.environ.setdefault("OPENAI_API_KEY", "none")
    main(tyro.cli(Options, description=Options.__doc__))
