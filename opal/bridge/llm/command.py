"""The flags of every command that asks a language model for samples."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar

from opal import progress, validation
from opal.bridge import render
from opal.bridge.llm import batch
from opal.bridge.llm.budget import FREE, Budget, Limits, Prices
from opal.bridge.llm.client import OpenAIClient
from opal.bridge.llm.dialect import LimitName
from opal.bridge.llm.endpoint import is_loopback
from opal.bridge.llm.generate import ReplayError, generate
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.local import LocalClient
from opal.bridge.llm.report import Prompts, blocks, estimate, losses, prompts, usage
from opal.bridge.llm.request import Client, ModelSettings, NotingPrompter, WrittenSample
from opal.files import NamedPath, require_distinct, writable_folder

if TYPE_CHECKING:
    from rich.console import RenderableType

_MOST_SAMPLES = 1_000_000  # of a group: planning alone takes a minute
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
    key_header: str | None = None
    """Header that carries the key: authorization, or api-key with --api-version."""
    api_version: str | None = None
    """Version of Azure's interface, such as 2024-06-01, where the endpoint is Azure's."""
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
    """Of the draws of tokens: 0 always takes the likeliest, 1 draws as they are. By default the
    endpoint's own; 1 with --local."""
    top_p: float | None = None
    """Only the likeliest tokens of this total probability are drawn. By default the endpoint's own;
    1 (all) with --local."""
    max_tokens: int = 512
    """Tokens of an answer, at most; the budget holds their price until it is there."""
    patience: int = 20
    """Requests of a group in a row that may give no sample before the run stops."""
    seed: int = 0
    """Seed of the draws of the examples in the prompts."""
    fixed_seeds: bool = False
    """Show the same examples in all prompts of a group."""
    limit_name: LimitName = "max_tokens"
    """What the endpoint calls --max-tokens; the other name is tried by itself, but in a batch."""
    batch_out: Path | None = None
    """Ask nothing now: write the requests that are missing as a batch of OpenAI's format, in
    several files where they are more than 50,000 or 200 MB."""
    batch_in: tuple[Path, ...] = ()
    """Take over the answers of batches from these files; what they lack is not asked at once."""
    batch_release: bool = False
    """First give up batches that wait: their requests are asked again, and what they may have cost
    is booked as lost."""
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
        return ModelSettings(name, self.temperature, self.top_p, self.max_tokens)

    def check_files(
        self, read: Iterable[NamedPath], written: Iterable[NamedPath] = (), *, asks: bool = True
    ) -> None:
        """Check that nothing replaces what is read: the ledger, batches, and a command's own files.

        A command that asks no model writes no --out.

        Raises:
            ValueError: two files are one, or one that is written is a device.
            IsADirectoryError: one that is written is a folder.
        """
        kept = [Path(f"{self.ledger}{end}") for end in ("-wal", "-shm")]
        require_distinct(
            [
                *read,
                *(("--batch-in", path) for path in self.batch_in),
                ("--ledger", self.ledger),
                *(("a part of the ledger", path) for path in kept),
            ],
            [("--batch-out", self.batch_out), *([("--out", self.out)] if asks else []), *written],
        )

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
        here = is_loopback(self.base_url)  # where nothing is billed
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
        if self.batch_out is not None:
            batch.require_absent(self.batch_out)
        result: dict[str, Any] = {
            "groups": {g: {"originals": originals[g], "asked": n} for g, n in wanted.items()},
            "notes": list(prompter.notes),
        }
        with _opened(self) as ledger:
            result["notes"] += _taken_over(self, ledger)
            if self.dry_run:
                found = asdict(estimate(prompter, wanted, ledger, budget))
                prices = budget.prices and asdict(budget.prices)
                result["notes"] += losses(ledger)
                return Answered(result | {"estimate": found, "prices": prices}, [], {})
            if self.batch_out is not None:
                made = batch.export(
                    prompter, wanted, ledger, self.batch_out,
                    budget=budget, limit_name=self.limit_name,
                )  # fmt: skip
                out = ", ".join(map(str, made.paths))
                return Answered(result | {"exported": made.requests, "out": out}, [], {})
            # What a batch lacks is not bought at once, at other prices, without a word.
            replays = self.offline or (self.batch_in and not self.batch_release)
            client = None if replays else _client(self)
            writable_folder(self.out.parent)
            with (
                _noted(result["notes"], ledger),
                _told_of_batches(self),
                progress.bar("asking", quiet=self.json) as bar,
            ):
                samples = generate(
                    prompter, wanted, client, ledger, limits=limits, budget=budget,
                    patience=self.patience,
                    progress=lambda done, total, doing: bar.update(done, total, doing or "asking"),
                )  # fmt: skip
            result["notes"] += getattr(client, "notes", ())
            told = usage(samples, ledger, prompter) | {"out": str(self.out)}
            return Answered(result | told, samples, prompts(samples, ledger, prompter))

    def _check_flags(self) -> None:
        given = [n for n in ("local", "base_url", "model") if getattr(self, n) is not None]
        if self.local is not None and len(given) > 1:
            raise ValueError(
                f"--local is a model of its own; leave {validation.flag(given[1])} out."
            )
        quiet = [n for n in ("dry_run", "offline", "batch_out") if getattr(self, n)]
        if len(quiet) > 1:
            one, other = map(validation.flag, quiet[:2])
            raise ValueError(f"{one} and {other} exclude one another; name one.")
        changed = [n for n in ("batch_in", "batch_release") if getattr(self, n)]
        if self.dry_run and changed:
            raise ValueError(
                f"--dry-run leaves the ledger as it is, and {validation.flag(changed[0])} changes "
                "it; leave one out."
            )
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
        ValueError: not exactly one is given, or it is not positive, or more than a million.

    >>> samples_wanted({"a": 75, "b": 300}, fill_to=200, each=None, flag="--per-class")
    {'a': 125, 'b': 0}
    """
    if (fill_to is None) == (each is None):
        raise ValueError(f"say how many samples: either --fill-to or {flag}.")
    for name, number in (("--fill-to", fill_to), (flag, each)):
        if number is not None and number < 1:
            raise ValueError(f"{name} must be at least 1; got {number}.")
        if number is not None and number > _MOST_SAMPLES:
            raise ValueError(f"{name} must be at most {_MOST_SAMPLES:,}; got {number:,}.")
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
        key_header=asking.key_header,
        api_version=asking.api_version,
        timeout=asking.timeout,
        limit_name=asking.limit_name,
    )


@contextmanager
def _opened(asking: Asking) -> Iterator[Ledger]:
    """The ledger; a dry run makes none, and reading alone needs one, which may be read-only."""
    path = asking.ledger
    if asking.offline and not path.is_file():
        raise ValueError(f"--offline reads a ledger; there is none at {path}.")
    reads = asking.offline or asking.dry_run
    with TemporaryDirectory() as folder:
        if asking.dry_run and not path.exists():
            path = Path(folder) / "empty"
        elif reads and path.is_file() and not _is_writable(path):
            path = _copied(path, Path(folder))
        with Ledger(path, copy_of=asking.ledger) as ledger:
            yield ledger


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.resolve().parent, os.W_OK)


def _copied(path: Path, folder: Path) -> Path:
    """A ledger with what is not merged into its file yet, where it can be opened."""
    for end in ("", "-wal"):
        part = path.with_name(path.name + end)
        if part.exists():
            shutil.copyfile(part, folder / f"copy{end}")
    return folder / "copy"


@contextmanager
def _noted(notes: Iterable[str], ledger: Ledger) -> Iterator[None]:
    """Notes that an error would hide are told with it, and what may be lost."""
    try:
        yield
    except ValueError as error:
        for note in (*notes, *losses(ledger)):
            error.add_note(note)
        raise


@contextmanager
def _told_of_batches(asking: Asking) -> Iterator[None]:
    """What to do where the answers of batches are too few."""
    try:
        yield
    except ReplayError as error:
        if not asking.batch_in:
            raise
        raise ReplayError(
            f"{str(error).partition(';')[0]}. Export what is missing as another batch with "
            "--batch-out, or ask at once, at the prices of that, by the same command without "
            "--batch-in."
        ) from None


def _taken_over(asking: Asking, ledger: Ledger) -> list[str]:
    notes = []
    if asking.batch_in:
        found = batch.load(asking.batch_in, ledger, asking.prices())
        names = ", ".join(map(str, asking.batch_in))
        known = f" {found.known:,} results were known." if found.known else ""
        late = (
            f" {found.late:,} results are late ones of released batches: what was booked as lost "
            "for them is now what they cost."
            if found.late
            else ""
        )
        notes.append(
            f"{names}: {found.done:,} answers, {found.failed:,} without; "
            f"{found.waiting:,} requests still wait in a batch.{known}{late}"
        )
        notes += [f"without an answer: {each}" for each in found.failures]
    if asking.batch_release:
        released = ledger.release()
        notes.append(
            f"{released:,} requests of batches are free to be asked again; what they may have cost "
            "is booked as lost until their late answers are loaded."
            if released
            else "no request waits in a batch: there is nothing to release."
        )
    return notes
