"""The flags of every command that asks a language model for samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from opal import progress, validation
from opal.bridge import render
from opal.bridge.llm import batch
from opal.bridge.llm.budget import FREE, Budget, Limits, Prices
from opal.bridge.llm.client import LOOPBACK, LimitName, OpenAIClient
from opal.bridge.llm.generate import generate
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.local import LocalClient
from opal.bridge.llm.report import Prompts, blocks, estimate, prompts, usage
from opal.bridge.llm.request import Client, ModelSettings, NotingPrompter, WrittenSample
from opal.files import writable_folder

if TYPE_CHECKING:
    from rich.console import RenderableType

DEFAULT_LEDGER = Path("results/ledger.sqlite")


@dataclass(frozen=True)
class Answered:
    """Samples, their prompts by key of the request, and a JSON-able result."""

    result: dict[str, Any]
    samples: list[WrittenSample]
    prompts: Prompts


@dataclass(frozen=True, kw_only=True)
class Asking:
    """Flags of all commands that ask a model."""

    KIND: ClassVar[str] = "group"  # what samples are asked for by
    model: str | None = None
    """The model, as its endpoint calls it."""
    base_url: str | None = None
    """Endpoint that speaks OpenAI's protocol, up to /v1; OpenAI's own by default."""
    local: str | None = None
    """A transformers model on this machine instead: a folder, or owner/name of the Hub."""
    device: str = "cpu"
    """Where a local model works: cpu, cuda, mps."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable with the API key; the key itself is never stored or shown."""
    ledger: Path = DEFAULT_LEDGER
    """File that keeps every request and answer: a run that was stopped goes on, and nothing is
    bought twice."""
    budget: float | None = None
    """The most that all of the ledger may cost; checked before each request."""
    price_input: float | None = None
    """Price of a million tokens of prompts; 0 for an endpoint that costs nothing."""
    price_output: float | None = None
    """Price of a million tokens of answers."""
    concurrency: int = 8
    """Requests at a time."""
    rpm: int | None = None
    """Requests in any minute, at most."""
    tpm: int | None = None
    """Tokens in any minute, at most."""
    timeout: float = 60.0
    """Seconds that an answer may take."""
    temperature: float | None = None
    """Of the draws of tokens: 0 always takes the likeliest, 1 (the default) draws as they are."""
    top_p: float = 1.0
    """Only the likeliest tokens of this total probability are drawn."""
    max_tokens: int = 512
    """Tokens of an answer, at most; the budget holds their price until it is there."""
    patience: int = 20
    """Requests of a group in a row that may give no sample before the run stops."""
    seed: int = 0
    """Seed of the draws of the examples in the prompts."""
    fixed_seeds: bool = False
    """Show the same examples in all prompts of a group."""
    limit_name: LimitName = "max_tokens"
    """What the endpoint calls --max-tokens."""
    batch_out: Path | None = None
    """Ask nothing now: write the requests that are missing as a batch of OpenAI's format."""
    batch_in: Path | None = None
    """First take over the answers of a batch from this file."""
    batch_release: bool = False
    """First forget batches that wait: their requests are asked again."""
    dry_run: bool = False
    """Ask nothing: say how many requests it takes and what they cost at most."""
    offline: bool = False
    """Ask nothing: read the samples from the ledger."""
    out: Path = Path("samples.jsonl")
    """File for the samples, one a line, each with all that it comes from."""
    json: bool = False
    """Print JSON."""

    def table(self, result: Mapping[str, Any]) -> RenderableType:
        """What was made, for people."""
        return render.terminal(blocks(result, self.KIND))

    def settings(self) -> ModelSettings:
        """Model and parameters of every request.

        Raises:
            ValueError: no model is named, or flags exclude one another.
        """
        self._check_flags()
        name = self.local or self.model or ""
        temperature = 1.0 if self.temperature is None else self.temperature
        return ModelSettings(name, temperature, self.top_p, self.max_tokens)

    def prices(self) -> Prices | None:
        """Prices, where there are any.

        Raises:
            ValueError: one is missing, or negative.
        """
        given = (self.price_input, self.price_output)
        if given == (None, None):
            return None
        if None in given:
            raise ValueError("--price-input and --price-output come together; name both.")
        return Prices(self.price_input or 0.0, self.price_output or 0.0)

    def allowed(self) -> Budget:
        """What may be spent.

        Raises:
            ValueError: the endpoint is paid for, and prices or budget are missing or not positive.
        """
        prices = self.prices()
        here = urlsplit(self.base_url or "").hostname in LOOPBACK  # where nothing is billed
        asks = not (self.local or self.dry_run or self.offline or here)
        if asks and prices is None:
            raise ValueError(
                "an endpoint has prices: name those of a million tokens with --price-input and "
                "--price-output (0 and 0 if it costs nothing), and a --budget."
            )
        if asks and prices != FREE and self.budget is None:
            raise ValueError("an endpoint that is paid for needs a --budget; got prices alone.")
        return Budget(self.budget, prices)

    def ask(
        self, prompter: NotingPrompter, wanted: Mapping[str, int], originals: Mapping[str, int]
    ) -> Answered:
        """Make the samples wanted; a dry run or a batch going out only say what is missing.

        ``wanted`` and ``originals`` are samples, to make and real ones, by group.

        Raises:
            ValueError: nothing is to be made, or a rule of
                :func:`opal.bridge.llm.generate.generate` or :mod:`opal.bridge.llm.batch` is broken.
        """
        budget, limits = self.allowed(), Limits(self.concurrency, self.rpm, self.tpm)
        if not any(wanted.values()):
            raise ValueError("every group has as many samples as asked for: nothing is to be made.")
        result: dict[str, Any] = {
            "groups": {g: {"originals": originals[g], "asked": n} for g, n in wanted.items()},
            "notes": list(prompter.notes),
        }
        with _opened(self) as ledger:
            result["notes"] += _taken_over(self, ledger)
            if self.dry_run:
                found = asdict(estimate(prompter, wanted, ledger, budget.prices))
                prices = budget.prices and asdict(budget.prices)
                return Answered(result | {"estimate": found, "prices": prices}, [], {})
            if self.batch_out is not None:
                count = batch.export(
                    prompter, wanted, ledger, self.batch_out,
                    budget=budget, limit_name=self.limit_name,
                )  # fmt: skip
                return Answered(result | {"exported": count, "out": str(self.batch_out)}, [], {})
            client = None if self.offline else _client(self)
            result["notes"] += getattr(client, "notes", ())
            writable_folder(self.out.parent)
            with progress.bar("asking", quiet=self.json) as bar:
                samples = generate(
                    prompter, wanted, client, ledger, limits=limits, budget=budget,
                    patience=self.patience, progress=bar.update,
                )  # fmt: skip
            told = usage(samples, ledger, prompter) | {"out": str(self.out)}
            return Answered(result | told, samples, prompts(samples, ledger, prompter))

    def _check_flags(self) -> None:
        pairs = {"local": self.local, "base_url": self.base_url, "model": self.model}
        given = [name for name, value in pairs.items() if value is not None]
        if self.local is not None and len(given) > 1:
            other = given[1].replace("_", "-")
            raise ValueError(f"--local is a model of its own; leave --{other} out.")
        quiet = {"dry_run": self.dry_run, "offline": self.offline, "batch_out": self.batch_out}
        chosen = [f"--{name.replace('_', '-')}" for name, value in quiet.items() if value]
        if len(chosen) > 1:
            raise ValueError(f"{chosen[0]} and {chosen[1]} exclude one another; name one.")
        if self.local is not None and (self.batch_out or self.batch_in):
            raise ValueError("a batch is an endpoint's; --local answers at once: name one.")
        if self.local is None and self.model is None:
            raise ValueError(
                "name the model with --model, or a model of this machine with --local."
            )


def samples_wanted(
    originals: Mapping[str, int], *, fill_to: int | None, each: int | None, flag: str
) -> dict[str, int]:
    """Samples to make for each group.

    Args:
        originals: real samples by group.
        fill_to: real and synthetic samples of a group together.
        each: synthetic samples of every group.
        flag: that says ``each``.

    Raises:
        ValueError: not exactly one is given, or it is not positive.

    >>> samples_wanted({"a": 75, "b": 300}, fill_to=200, each=None, flag="--per-class")
    {'a': 125, 'b': 0}
    """
    if (fill_to is None) == (each is None):
        raise ValueError(f"say how many samples: either --fill-to or {flag}.")
    for name, number in (("--fill-to", fill_to), (flag, each)):
        if number is not None and number < 1:
            raise ValueError(f"{name} must be at least 1; got {number}.")
    if fill_to is None:
        return dict.fromkeys(originals, each or 0)
    return {group: max(fill_to - count, 0) for group, count in originals.items()}


def _client(asking: Asking) -> Client:
    if asking.local is not None:
        validation.require_installed("text", "torch", "transformers")
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        return LocalClient.load(asking.local, device=asking.device, batch_size=asking.concurrency)
    return OpenAIClient(
        base_url=asking.base_url,
        key_variable=asking.key_variable,
        timeout=asking.timeout,
        limit_name=asking.limit_name,
    )


@contextmanager
def _opened(asking: Asking) -> Iterator[Ledger]:
    """The ledger; a dry run makes none, and reading alone needs one."""
    path = asking.ledger
    if asking.offline and not path.is_file():
        raise ValueError(f"--offline reads a ledger; there is none at {path}.")
    with TemporaryDirectory() as folder:
        empty = asking.dry_run and not path.exists()
        with Ledger(Path(folder) / "empty" if empty else path) as ledger:
            yield ledger


def _taken_over(asking: Asking, ledger: Ledger) -> list[str]:
    notes = []
    if asking.batch_in is not None:
        found = batch.load(asking.batch_in, ledger, asking.prices())
        notes.append(
            f"{asking.batch_in}: {found.done} answers, {found.failed} without; "
            f"{found.waiting} requests still wait in a batch."
        )
    if asking.batch_release:
        notes.append(f"{ledger.release()} requests of batches are free to be asked again.")
    return notes
