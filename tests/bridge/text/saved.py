"""Tables of texts as other programs write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd


def save(path: Path, rows: list[dict[str, object]]) -> Path:
    """One row for each dictionary, in the format that the name ends in."""
    frame = pd.DataFrame(rows)
    writers: dict[str, Callable[[], object]] = {
        ".csv": lambda: frame.to_csv(path, index=False),
        ".tsv": lambda: frame.to_csv(path, index=False, sep="\t"),
        ".json": lambda: path.write_text(json.dumps(rows)),
        ".jsonl": lambda: path.write_text("".join(json.dumps(row) + "\n" for row in rows)),
        ".parquet": lambda: frame.to_parquet(path),
    }
    writers[path.suffix]()
    return path


def rows(*labels: object) -> list[dict[str, object]]:
    """One text for each label."""
    return [{"text": f"text {i}", "label": label} for i, label in enumerate(labels)]
