"""The rows of a fine-tuned model as a table, as files, and as a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from opal.bridge import render
from opal.bridge.llm.report import counts, write_lines
from opal.bridge.tabular.finetune.sampling import GroupDraws, Written, rejections
from opal.columns import as_whole
from opal.files import require_distinct, write_atomically, write_json


@dataclass(frozen=True, eq=False)
class FineTunedRows:
    """What a fine-tuned model wrote."""

    _result: dict[str, Any]
    _table: pd.DataFrame

    def result(self) -> dict[str, Any]:
        """JSON-able: groups, rejections, and what the model was fine-tuned on."""
        return self._result

    def table(self) -> pd.DataFrame:
        """The rows, in the columns of the table, group after group in the order of the draws."""
        return self._table

    def to_html(self) -> str:
        """What was learnt and written as one page that needs nothing else."""
        return render.html("Rows from a fine-tuned language model", blocks(self._result))


def write(
    table: pd.DataFrame,
    draws: Mapping[str, GroupDraws],
    wanted: Mapping[str, int],
    about: Mapping[str, Any],
    out: Path,
    table_out: Path | None,
) -> FineTunedRows:
    """Write rows, rejected texts with their reasons, and the record beside the rows.

    Args:
        table: that the model was fine-tuned on.
        draws: of each group.
        wanted: rows of each group.
        about: groups and generator, which go into the record.
        out: file for the rows, one a line.
        table_out: CSV file for the rows alone.
    """
    kept = [(g, i, each) for g, held in draws.items() for i, each in held.rows(wanted[g])]
    rows, real = [each.row for _, _, each in kept], set(_rows(table))
    rejected_out, record = _beside(out, table_out)
    result = {
        **about,
        "held": dict(Counter(group for group, _, _ in kept)),
        "drawn": sum(len(held.texts) for held in draws.values()),
        "spare": sum(held.n_rows for held in draws.values()) - len(rows),
        "rejected": dict(rejections(draws).most_common()),
        "repeated": len(rows) - len(set(rows)),
        "copies": sum(row in real for row in rows),
        "out": str(out),
        "rejected_out": str(rejected_out),
        "table_out": str(table_out) if table_out else None,
    }
    made = as_whole(pd.DataFrame(rows, columns=list(table.columns), dtype=float), table)
    write_lines(out, (_line(result["generator"], made.columns, *each) for each in kept))
    write_lines(rejected_out, _rejected(draws))
    if table_out is not None:
        write_atomically(table_out, lambda path: made.to_csv(path, index=False))
    write_json(record, result)
    return FineTunedRows(result, made)


def check_paths(out: Path, table_out: Path | None, source: Path | None) -> None:
    """Refuse outputs that would replace a folder, what is read, or one another.

    Args:
        out: file for the rows, one a line; the rejected texts go beside it.
        table_out: CSV file for the rows alone; the record goes beside it, or beside ``out``.
        source: file that the table was read from, if any.

    Raises:
        ValueError: a path stands for two files, or is a device.
        IsADirectoryError: a path is a folder.
    """
    rejected_out, record = _beside(out, table_out)
    require_distinct(
        [("the table that is read", source)],
        [
            ("--out", out),
            ("the rejected texts", rejected_out),
            ("--table-out", table_out),
            ("the record", record),
        ],
    )


def _beside(out: Path, table_out: Path | None) -> tuple[Path, Path]:
    """The files of the rejected texts and of the record."""
    named = table_out or out
    return out.parent / f"{out.stem}.rejected.jsonl", named.parent / f"{named.name}.json"


def _rows(table: pd.DataFrame) -> list[tuple[float, ...]]:
    return list(map(tuple, table.to_numpy(dtype=float).tolist()))


def _line(
    generator: Mapping[str, Any], columns: pd.Index, group: str, index: int, each: Written
) -> dict[str, Any]:
    lineage = {name: generator[name] for name in ("model", "identity", "n_generator")}
    row = dict(zip(columns, each.row or (), strict=True))
    return {"group": group, "row": row, "index": index, "text": each.text, **lineage}


def _rejected(draws: Mapping[str, GroupDraws]) -> Iterator[dict[str, Any]]:
    for group, held in draws.items():
        for index, each in enumerate(held.texts):
            if each.row is None:
                yield {"group": group, "index": index, "text": each.text, "reason": each.reason}


def blocks(result: Mapping[str, Any]) -> Iterator[render.Block]:
    """What was learnt and written, for people."""
    yield counts(result, "group")
    yield from map(render.Paragraph, result["notes"])
    generator = result["generator"]
    losses, n = generator["loss"], generator["n_generator"]
    yield render.Paragraph(
        f"{generator['model']} was fine-tuned on all {n:,} rows of {generator['rows']} "
        f"(n_generator = {n}): loss {losses[0]:.3f} in the first epoch, {losses[-1]:.3f} in the "
        f"last of {len(losses)}."
    )
    rejected = ", ".join(f"{count} × {reason}" for reason, count in result["rejected"].items())
    yield render.Paragraph(
        f"{result['drawn']:,} texts drawn, of them {result['spare']} more rows than asked for; "
        f"rejected: {rejected or 'none'}"
    )
    yield render.Paragraph(
        f"{result['repeated']} rows repeat another one; {result['copies']} equal a row that the "
        "model was fine-tuned on: `opal tabular audit` tells whether chance does that too."
    )
    yield render.Paragraph(f"wrote {result['table_out'] or result['out']}")
