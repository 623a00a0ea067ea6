"""What an evaluation of texts found: records on disk, a picture, and a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from opal import records
from opal.bridge.text.curves import picture
from opal.bridge.text.curves.comparison import comparison
from opal.bridge.text.curves.evaluate import AGAINST, TRIED, summary
from opal.files import write_atomically

if TYPE_CHECKING:
    from rich.console import RenderableType


def write(frame: pd.DataFrame, out: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write records and picture to a folder; the result as JSON-able fields.

    Args:
        frame: records of :func:`opal.bridge.text.curves.evaluate.evaluate`.
        out: folder.
        settings: what was asked for.
    """
    import matplotlib as mpl

    compared = comparison(frame)
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
    of_arms = (frame["source"] == "data") & ~frame["arm"].isin(TRIED)
    table = summary(frame[of_arms & (frame["metric"] != AGAINST)])
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

    from opal.bridge.text.curves import terminal

    notes = [f"figure: {result['figure']}", f"records: {result['records']}"]
    return Group(*terminal.tables(result["arms"], result["sources"]), *notes)
