"""How many samples to make, where each came from, and what was rejected on the way."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from opal.bridge.llm.request import Sample, Writer
from opal.files import write_atomically

if TYPE_CHECKING:
    from opal.bridge.llm.ledger import Ledger

Prompts = Mapping[str, Sequence[Mapping[str, str]]]


class Imitator(Writer, Protocol):
    """A writer whose groups are known.

    Attributes:
        groups: that it writes for.
        notes: what the user should know of the real samples.
    """

    groups: tuple[str, ...]
    notes: tuple[str, ...]


def quotas(
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

    >>> quotas({"a": 75, "b": 300}, fill_to=200, each=None, flag="--per-class")
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


def line(sample: Sample, prompts: Prompts, **first: object) -> dict[str, object]:
    """A sample as a line of a file: what comes first, then all that it came from."""
    lineage = asdict(sample)
    del lineage["content"], lineage["group"]
    return {**first, **lineage, "prompt": prompts[sample.key]}


def write_lines(path: Path, lines: Iterable[Mapping[str, object]]) -> None:
    """Write JSON lines, all of them or none."""
    content = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in lines)
    write_atomically(path, lambda partial: _fill(partial, content))


def _fill(path: Path, content: str) -> None:
    path.write_bytes(content.encode("utf-8"))


def prompts(samples: Sequence[Sample], ledger: Ledger, writer: Writer) -> Prompts:
    """The messages of the samples' requests, by key."""
    groups = dict.fromkeys(sample.group for sample in samples)
    return {
        request.key: [asdict(message) for message in request.messages]
        for group in groups
        for request, _ in ledger.replies(writer.identity, group)
    }


def told(samples: Sequence[Sample], ledger: Ledger, writer: Writer) -> dict[str, Any]:
    """Samples by group, repeated ones, rejections by reason, and the totals of the ledger."""
    from opal.bridge.llm.report import report

    contents = Counter(repr(sample.content) for sample in samples)
    return {
        "held": dict(Counter(sample.group for sample in samples)),
        "repeated": len(samples) - len(contents),
        "rejected": dict(_rejected(samples, ledger, writer).most_common()),
        "cost_of_samples": sum(sample.cost for sample in samples),
        "ledger": asdict(report(ledger)),
    }


def _rejected(samples: Sequence[Sample], ledger: Ledger, writer: Writer) -> Counter[str]:
    """Reasons of the writer's answers without samples, and of parts of answers with some."""
    reasons: Counter[str] = Counter()
    answered = (
        "SELECT run, reason FROM slots JOIN requests ON requests.id = slots.request "
        "WHERE samples = 0 AND state = 'done'"
    )
    for run, reason in ledger.rows(answered):
        if run == writer.identity:
            reasons[_kind(reason)] += 1
    # Texts come one an answer; of several rows in an answer, some may count and others not.
    read = getattr(writer, "read", None)
    if read is None:
        return reasons
    for group in dict.fromkeys(sample.group for sample in samples):
        for request, reply in ledger.replies(writer.identity, group):
            reasons.update(_kind(each.reason) for each in read(request, reply).rejections)
    return reasons


def _kind(reason: str | None) -> str:
    """A reason without what differs from answer to answer."""
    return (reason or "unknown").split(":")[0]
