"""What a command that asks a language model does with its flags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from opal import checks, progress
from opal.bridge.llm import account, batch
from opal.bridge.llm.budget import Budget
from opal.bridge.llm.command import Asking
from opal.bridge.llm.door import Door
from opal.bridge.llm.generate import generate
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.limits import Limits
from opal.bridge.llm.report import estimate
from opal.bridge.llm.request import Sample
from opal.files import writable_folder


@dataclass(frozen=True)
class Answered:
    """Samples, their prompts by key of the request, and a JSON-able account."""

    result: dict[str, Any]
    samples: list[Sample]
    prompts: account.Prompts


def ask(
    asking: Asking,
    writer: account.Imitator,
    quotas: Mapping[str, int],
    originals: Mapping[str, int],
) -> Answered:
    """Fill the quotas; a dry run or a batch going out only say what is missing.

    Args:
        asking: the flags.
        writer: of the requests.
        quotas: samples by group.
        originals: real samples by group.

    Raises:
        ValueError: nothing is to be made, or a rule of :func:`opal.bridge.llm.generate.generate`
            or :mod:`opal.bridge.llm.batch` is broken.
    """
    budget, limits = asking.allowed(), Limits(asking.concurrency, asking.rpm, asking.tpm)
    if not any(quotas.values()):
        raise ValueError("every group has as many samples as asked for: nothing is to be made.")
    result: dict[str, Any] = {
        "groups": {g: {"originals": originals[g], "asked": n} for g, n in quotas.items()},
        "notes": list(writer.notes),
    }
    with _opened(asking) as ledger:
        result["notes"] += _taken_over(asking, ledger)
        if asking.dry_run:
            found = asdict(estimate(writer, quotas, ledger, budget.prices))
            prices = budget.prices and asdict(budget.prices)
            return Answered(result | {"estimate": found, "prices": prices}, [], {})
        if asking.batch_out is not None:
            count = batch.export(
                writer, quotas, ledger, asking.batch_out,
                budget=budget, limit_name=asking.limit_name,
            )  # fmt: skip
            return Answered(result | {"exported": count, "out": str(asking.batch_out)}, [], {})
        door = None if asking.offline else _door(asking)
        result["notes"] += getattr(door, "notes", ())
        samples = _generated(asking, writer, quotas, door, ledger, budget, limits)
        told = account.told(samples, ledger, writer)
        prompts = account.prompts(samples, ledger, writer)
    return Answered(result | told | {"out": str(asking.out)}, samples, prompts)


def _generated(
    asking: Asking,
    writer: account.Imitator,
    quotas: Mapping[str, int],
    door: Door | None,
    ledger: Ledger,
    budget: Budget,
    limits: Limits,
) -> list[Sample]:
    writable_folder(asking.out.parent)
    with progress.bar("asking", quiet=asking.json) as bar:
        return generate(
            writer, quotas, door, ledger,
            limits=limits, budget=budget, patience=asking.patience, progress=bar.update,
        )  # fmt: skip


def _door(asking: Asking) -> Door:
    if asking.local is not None:
        checks.require_installed("text", "torch", "transformers")
        from transformers.utils.logging import disable_progress_bar

        from opal.bridge.llm.local import LocalDoor

        disable_progress_bar()
        return LocalDoor.load(asking.local, device=asking.device, batch_size=asking.concurrency)
    from opal.bridge.llm.client import OpenAIDoor

    return OpenAIDoor(
        base_url=asking.base_url,
        key_variable=asking.key_variable,
        timeout=asking.timeout,
        limit_name=asking.limit_name,
    )


@contextmanager
def _opened(asking: Asking) -> Iterator[Ledger]:
    """The ledger; a dry run makes none.

    Raises:
        ValueError: there is none, and nothing may be asked.
    """
    path = asking.ledger
    if asking.offline and not path.is_file():
        raise ValueError(f"--offline reads a ledger; there is none at {path}.")
    with TemporaryDirectory() as folder:
        empty = asking.dry_run and not path.exists()
        with Ledger(Path(folder) / "empty" if empty else path) as ledger:
            yield ledger


def _taken_over(asking: Asking, ledger: Ledger) -> list[str]:
    """What came of batches, in lines."""
    notes = []
    if asking.batch_in is not None:
        found = batch.load(asking.batch_in, ledger, asking.prices())
        notes.append(
            f"{asking.batch_in}: {found.done} answers, {found.failed} without; "
            f"{found.waiting} requests still wait in a batch."
        )
    if asking.batch_release:
        notes.append(f"{batch.release(ledger)} requests of batches are free to be asked again.")
    return notes
