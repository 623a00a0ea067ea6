"""Tables and texts as people give them: what cannot be read is refused with the file's name."""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd


def read_table(path: Path) -> pd.DataFrame:
    """A CSV file with a header and rows, or a Parquet file (``.parquet``) with rows.

    Raises:
        ValueError: it is not one; says which file, and why.
    """
    try:
        table = pd.read_parquet(path) if _is_parquet(path) else _read_csv(path)
    except pd.errors.ParserWarning as warning:
        raise _refusal(path, "its rows have more fields than its header") from warning
    except (OSError, ValueError) as error:
        raise _refusal(path, _because(error)) from error
    if table.empty:
        raise _refusal(path, "there are none")
    return table


def read_text(path: Path) -> str:
    """A text file.

    Raises:
        ValueError: it is not one; says which file, and why.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} must be a text file (UTF-8); {_because(error)}.") from error


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _read_csv(path: Path) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        # Without index_col, pandas would take a field beyond the header for row names.
        return pd.read_csv(path, index_col=False, low_memory=False)


def _refusal(path: Path, reason: str) -> ValueError:
    kind = "Parquet file with rows" if _is_parquet(path) else "CSV file with a header and rows"
    return ValueError(f"{path} must be a {kind}; {reason}.")


def _because(error: Exception) -> str:
    """The reason without the path, which the system's own message may or may not hold."""
    said = getattr(error, "strerror", None) or str(error)
    return said.strip().rstrip(".")
