"""What an evaluation of texts found, as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opal.bridge.text import texts

if TYPE_CHECKING:
    from rich.console import RenderableType

_SHOWN = ("macro_f1", "balanced_error", "worst_error", "balanced_risk", "calibration_error")
_HEADS = ("macro-F1", "balanced error", "worst error", "log loss", "calibration error")
Row = Mapping[str, Any]


def tables(arms: Sequence[Row], sources: Sequence[Row]) -> Iterator[RenderableType]:
    """Arms; what each source is worth; what its plan said, and what came of it; notes.

    Args:
        arms: as :func:`opal.bridge.text.curves.result.write` gives them.
        sources: likewise.
    """
    yield _arm_table(arms)
    yield _worth_table(sources)
    bought = [row for row in sources if row["source"] != texts.HUMAN]
    if bought:
        yield _plan_table(bought)
    yield from _notes(sources)


def _arm_table(arms: Sequence[Row]) -> RenderableType:
    from rich.table import Table

    shown = Table("corpus", "encoder", "arm", "source", "N", *_HEADS, box=None, title="arms")
    shown.caption = "in brackets: difference to weighting, * where its 95 % interval excludes 0"
    for arm in arms:
        cells = [_cell(arm["metrics"], name) for name in _SHOWN]
        named = (arm[k] for k in ("setting", "encoder", "arm", "synthesizer"))
        shown.add_row(*named, f"{arm['added']:,}", *cells)
    return shown


def _cell(metrics: Mapping[str, Any], name: str) -> str:
    value, change = metrics[name]["estimate"], metrics[f"{name}_difference"]
    low, high = change["ci"]
    if low == high == 0:
        return f"{value:.3f}"
    sure = "*" if low > 0 or high < 0 else ""
    return f"{value:.3f} ({change['estimate']:+.3f}{sure})"


def _worth_table(sources: Sequence[Row]) -> RenderableType:
    from rich.table import Table

    heads = ("floor of the error", "worth in human texts")
    shown = Table("corpus", "encoder", "source", "N", *heads, box=None)
    shown.title = "what added texts are worth"
    for row in sources:
        floor = _between(row, "floor", "{:.3f}")
        worth = "" if row["source"] == texts.HUMAN else _between(row, "worth", "{:,.0f}")
        named = (row[k] for k in ("setting", "encoder", "source"))
        shown.add_row(*named, f"{row['added']:,}", floor, worth)
    return shown


def _plan_table(sources: Sequence[Row]) -> RenderableType:
    from rich.table import Table

    heads = ("plan", "N", "α", "gain promised", "gain measured", "less error", "best in hindsight")
    shown = Table("corpus", "encoder", "source", *heads, box=None)
    shown.title = "what a pilot on half of the texts advises, and what came of it"
    shown.caption = (
        "gains in log loss over weighting, of the trained purchase that is nearest to what the "
        "plan likes best; * where the 95 % interval excludes 0"
    )
    for row in sources:
        named = [row[k] for k in ("setting", "encoder", "source")]
        shown.add_row(*named, *_planned(row))
    return shown


def _planned(row: Row) -> list[str]:
    if row.get("advice") is None:
        return ["-"] * 7
    best = "none"
    if row["best_added"]:
        best = f"{row['best']:+.3f}, {row['best_added']:,.0f} at {row['best_alpha']:g}"
    return [
        row["advice"],
        f"{row['tried']:,.0f}",
        f"{row['tried_alpha']:g}",
        _between(row, "promised", "{:+.3f}"),
        _starred(row["measured"], row["measured_error"]),
        _starred(row["less_error"], row["less_error_error"]),
        best,
    ]


def _starred(value: float, error: float) -> str:
    return f"{value:+.3f} ± {error:.3f}" + ("*" if abs(value) > 1.96 * error else "")


def _notes(sources: Sequence[Row]) -> Iterator[str]:
    """Why a number is missing, and plans that came out wrong, a line each."""
    for row in sources:
        named = f"{row['setting']}, {row['encoder']}, {row['source']}"
        for missing, said in (("floor", "no floor"), ("worth", "no worth"), ("plan", "no plan")):
            why = row.get(f"{missing}_why")
            if why and not (missing == "plan" and row.get("advice")):
                yield f"{named}: {said}: {why}"
        if row.get("advice") == "buy" and row.get("came") == "loss":
            yield f"{named}: the plan says buy, and the purchase made the log loss worse."
        if row.get("advice") in ("none", "open") and row.get("came") == "gain":
            yield f"{named}: the plan does not say buy, and the purchase would have helped."


def _between(row: Row, name: str, form: str) -> str:
    """``0.2 [0.1, 0.3]``; a number that is beyond all human texts is called so."""
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    beyond = name == "worth" and bool(row.get("worth_beyond"))
    if row.get(name) is None and not beyond:
        return "-"
    best = "beyond all" if beyond else form.format(row[name])
    ends = [form.format(end) if end is not None else "beyond" for end in (low, high)]
    return f"{best} [{ends[0]}, {ends[1]}]"
