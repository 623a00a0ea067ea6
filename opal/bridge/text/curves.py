"""What an evaluation of texts found: records on disk, a picture, and a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from opal import records
from opal.bridge.text import exchange, picture
from opal.bridge.text.evaluate import summary
from opal.files import write_atomically

if TYPE_CHECKING:
    from rich.console import RenderableType

_SHOWN = ("macro_f1", "balanced_error", "worst_error", "balanced_risk", "calibration_error")
_HEADS = ("macro-F1", "balanced error", "worst error", "log loss", "calibration error")


def write(frame: pd.DataFrame, out: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write records and picture to a folder; the result as JSON-able fields.

    Args:
        frame: records of :func:`opal.bridge.text.evaluate.evaluate`.
        out: folder.
        settings: what was asked for.
    """
    import matplotlib as mpl

    compared = exchange.comparison(frame)
    path = records.write(
        frame, out / "text.parquet", metadata={"settings": dict(settings), **records.provenance()}
    )
    with mpl.rc_context(picture.STYLE):
        figure = picture.draw(frame, compared)
        save = partial(figure.savefig, format="png", dpi=160)
        write_atomically(out / "text.png", save)
    return {
        "settings": dict(settings),
        "arms": _arms(frame),
        "sources": [_plain(row) for row in compared.to_dict("records")],
        "records": str(path),
        "figure": str(out / "text.png"),
    }


def _arms(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Every metric of the arms without added texts, and of the others with the most of them."""
    table = summary(frame[(frame["source"] == "data") & frame["arm"].ne("pilot")])
    rule = ["setting", "encoder", "synthesizer", "arm"]
    last = table[table["added"] == table.groupby(rule)["added"].transform("max")]
    found = []
    for key, rows in last.groupby([*rule, "added"], sort=False):
        values = rows[rows["group"] == "all"].set_index("metric")
        metrics = {
            name: {
                "estimate": float(values.at[name, "value"]),
                "ci": [float(values.at[name, end]) for end in ("lower", "upper")],
            }
            for name in values.index
        }
        found.append(dict(zip([*rule, "added"], key, strict=True)) | {"metrics": metrics})
    return found


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """JSON has no infinity and no missing number: both are null, ``worth_beyond`` tells which."""
    beyond = row.get("worth") == np.inf
    plain = {
        str(name): None if isinstance(value, float) and not np.isfinite(value) else value
        for name, value in row.items()
    }
    return plain | {"worth_beyond": bool(beyond)}


def table(result: Mapping[str, Any]) -> RenderableType:
    """Arms with their paired differences to weighting, then what each source is worth."""
    from rich.console import Group

    notes = [f"figure: {result['figure']}", f"records: {result['records']}"]
    return Group(_arm_table(result["arms"]), _source_table(result["sources"]), *notes)


def _arm_table(arms: list[dict[str, Any]]) -> RenderableType:
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


def _source_table(sources: list[dict[str, Any]]) -> RenderableType:
    from rich.table import Table

    shown = Table("corpus", "encoder", "source", "N", "floor of the error", box=None)
    shown.title = "what added texts are worth"
    for head in ("worth in human texts", "plan: buy", "gain promised", "measured"):
        shown.add_column(head)
    for row in sources:
        floor = _between(row, "floor", "{:.3f}")
        worth = _between(row, "worth", "{:,.0f}", beyond=row["worth_beyond"])
        gain = [_number(row.get(name), "{:.3f}") for name in ("promised", "measured")]
        error = row.get("measured_error")
        gain[1] += f" ± {error:.3f}" if error is not None else ""
        bought = _number(row.get("buy"), "{:,.0f}")
        named = (row[k] for k in ("setting", "encoder", "source"))
        shown.add_row(*named, f"{row['added']:,}", floor, worth, bought, *gain)
    return shown


def _between(row: Mapping[str, Any], name: str, form: str, *, beyond: bool = False) -> str:
    """``0.2 [0.1, 0.3]``; a number that is beyond all human texts is called so."""
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    if row.get(name) is None and not beyond:
        return "-"
    best = "beyond all" if beyond else form.format(row[name])
    ends = [form.format(end) if end is not None else "beyond" for end in (low, high)]
    return f"{best} [{ends[0]}, {ends[1]}]"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
