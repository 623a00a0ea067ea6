"""The flags of every command that asks a language model for samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from opal.bridge.llm.account import Imitator
    from opal.bridge.llm.budget import Budget, Prices
    from opal.bridge.llm.work import Answered
    from opal.bridge.prompts.settings import Settings

DEFAULT_LEDGER = Path("results/ledger.sqlite")


@dataclass(frozen=True, kw_only=True)
class Asking:
    """Flags of all commands that ask a model."""

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
    temperature: float = 1.0
    """Of the draws of tokens: 0 always takes the likeliest."""
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
    limit_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
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

    def settings(self) -> Settings:
        """Model and parameters of every request.

        Raises:
            ValueError: no model is named, or flags exclude one another.
        """
        from opal.bridge.prompts.settings import Settings

        self._check_flags()
        name = self.local or self.model or ""
        return Settings(name, self.temperature, self.top_p, self.max_tokens)

    def prices(self) -> Prices | None:
        """Prices, where there are any.

        Raises:
            ValueError: one is missing, or negative.
        """
        from opal.bridge.llm.budget import Prices

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
        from opal.bridge.llm.budget import FREE, Budget

        prices = self.prices()
        asks = not (self.local or self.dry_run or self.offline or _is_here(self.base_url))
        if asks and prices is None:
            raise ValueError(
                "an endpoint has prices: name those of a million tokens with --price-input and "
                "--price-output (0 and 0 if it costs nothing), and a --budget."
            )
        if asks and prices != FREE and self.budget is None:
            raise ValueError("an endpoint that is paid for needs a --budget; got prices alone.")
        return Budget(self.budget, prices)

    def ask(
        self, writer: Imitator, quotas: Mapping[str, int], originals: Mapping[str, int]
    ) -> Answered:
        """Fill the quotas: :func:`opal.bridge.llm.work.ask`."""
        from opal.bridge.llm import work

        return work.ask(self, writer, quotas, originals)

    def _check_flags(self) -> None:
        """Refuse flags that exclude one another."""
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


def _is_here(base_url: str | None) -> bool:
    """Whether an endpoint is on this machine, where nothing is billed."""
    from urllib.parse import urlsplit

    return urlsplit(base_url or "").hostname in ("localhost", "127.0.0.1", "::1")
