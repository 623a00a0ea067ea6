"""What was asked and answered, as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table


def answered(result: Mapping[str, Any], kind: str) -> Group:
    """Samples by group, then what they cost or would cost, rejections and notes.

    Args:
        result: of :meth:`opal.bridge.llm.command.Asking.ask`.
        kind: of groups, a word.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(kind)
    for name in ("originals", "to make", "made"):
        table.add_column(name, justify="right")
    held = result.get("held", {})
    for group, counts in result["groups"].items():
        made = str(held.get(group, 0)) if "held" in result else "–"
        table.add_row(escape(group), str(counts["originals"]), str(counts["asked"]), made)
    notes = (escape(f"note: {note}") for note in result["notes"])
    return Group(table, *_lines(result), *notes)


def _lines(result: Mapping[str, Any]) -> list[str]:
    if "estimate" in result:
        return _estimate(result["estimate"], priced=result["prices"] is not None)
    if "exported" in result:
        return [f"wrote {result['exported']:,} requests to {escape(result['out'])}"]
    return _account(result)


def _estimate(found: Mapping[str, Any], *, priced: bool) -> list[str]:
    likely = (
        "" if found["likely"] is None else f", about {found['likely']:.4g} by the answers so far"
    )
    missing = (
        f"{found['requests']:,} requests are missing ({found['held']:,} of {found['wanted']:,} "
        "samples are in the ledger); nothing was asked."
    )
    tokens = (
        f"At most {found['tokens_in']:,} tokens of prompts and {found['tokens_out']:,} of answers"
    )
    cost = f": a cost of at most {found['most']:.4g}{likely}" if priced else ""
    return [missing, f"{tokens}{cost}."]


def _account(result: Mapping[str, Any]) -> list[str]:
    ledger = result["ledger"]
    lines = [
        f"ledger: {ledger['requests']:,} requests, {ledger['done']:,} answered, "
        f"{ledger['tokens_in']:,} + {ledger['tokens_out']:,} tokens, cost {ledger['cost']:.4g}"
        + (f", {ledger['lost']:.4g} may be lost" if ledger["lost"] else "")
    ]
    failed = ", ".join(f"{count} {kind}" for kind, count in ledger["failed"].items())
    rejected = ", ".join(f"{count} × {reason}" for reason, count in result["rejected"].items())
    lines += [f"failed: {escape(failed)}"] if failed else []
    lines += [f"rejected: {escape(rejected)}"] if rejected else []
    lines += [f"{result['repeated']} samples repeat another one"] if result["repeated"] else []
    return [*lines, f"wrote {escape(result['out'])}"]
