"""Tables and texts as people give them: what cannot be read is refused with the file's name."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

_JSON, _LINES, _PARQUET = "JSON file with objects", "file of JSON lines", "Parquet file"
KINDS: Mapping[str, str] = {
    ".csv": "CSV file with a header",
    ".tsv": "table with tabs and a header",
    ".json": _JSON,
    ".jsonl": _LINES,
    ".ndjson": _LINES,
    ".parquet": _PARQUET,
}


def require_frame(value: object, what: str) -> None:
    """Check that a table is one of pandas.

    Raises:
        TypeError: it is something else, such as the path of a file.
    """
    if not isinstance(value, pd.DataFrame):
        raise TypeError(
            f"{what} must be a DataFrame of pandas; got {type(value).__name__}. Read a file with "
            "opal.reading.read_table, or call pandas.DataFrame."
        )


def read_table(path: Path) -> pd.DataFrame:
    """A CSV file with a header and rows, or a Parquet file (``.parquet``) with rows.

    Raises:
        ValueError: it is not one; says which file, and why.
    """
    path = Path(path)
    kind = _PARQUET if path.suffix.lower() == ".parquet" else KINDS[".csv"]
    try:
        table = pd.read_parquet(path) if kind == _PARQUET else _read_csv(path)
    except pd.errors.ParserWarning as warning:
        raise _refusal(path, "its rows have more fields than its header", kind) from warning
    except (OSError, ValueError) as error:
        raise _refusal(path, _because(error), kind) from error
    if table.empty:
        raise _refusal(path, "there are none", kind)
    return table


def read_strings(path: Path) -> pd.DataFrame:
    """A table whose cells stay as they are in the file: for texts, of which none is a number.

    ``NA``, ``001``, line breaks and NUL survive. Numbers of JSON and Parquet become the shortest
    string that stands for them, lists tuples, and what is absent None.

    Args:
        path: a file that ends in one of :data:`KINDS`.

    Raises:
        ValueError: it is not one, not whole or not UTF-8; says which file, and why.
    """
    suffix = path.suffix.lower()
    if suffix not in KINDS:
        raise ValueError(
            f"{path} must end in one of {', '.join(KINDS)}; got {suffix!r}. Rename it."
        )
    kind = KINDS[suffix]
    try:
        table = _READERS[kind](path)
    except UnicodeDecodeError as error:
        raise _refusal(path, f"it is not UTF-8 ({error}): save it as UTF-8", kind) from error
    except json.JSONDecodeError as error:
        reason = f"it is cut off or malformed ({error}): write or fetch it again"
        raise _refusal(path, reason, kind) from error
    except pd.errors.ParserWarning as warning:
        raise _refusal(path, "its rows have more fields than its header", kind) from warning
    except (OSError, ValueError, RecursionError) as error:
        raise _refusal(path, _because(error), kind) from error
    if table.empty:
        raise _refusal(path, "there are none", kind)
    cells = {str(name): list(map(cell, table[name])) for name in table}
    return pd.DataFrame(cells, dtype=object)


def read_text(path: Path) -> str:
    """A text file.

    Raises:
        ValueError: it is not one; says which file, and why.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} must be a text file (UTF-8); {_because(error)}.") from error


def _read_csv(path: Path, **options: Any) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        # Without index_col, pandas would take a field beyond the header for row names.
        return pd.read_csv(path, index_col=False, low_memory=False, **options)


def _read_fields(path: Path, separator: str) -> pd.DataFrame:
    return _read_csv(path, sep=separator, dtype=object, na_filter=False)


def _read_json(path: Path) -> pd.DataFrame:
    """A list of objects, or an object of columns, as pandas writes both."""
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    columns = isinstance(content, dict) and all(
        isinstance(v, list | dict) for v in content.values()
    )
    if columns:
        return pd.DataFrame(content, dtype=object)
    if not isinstance(content, list):
        raise ValueError(f"it holds a single {type(content).__name__}")
    return _rows(content)


def _read_lines(path: Path) -> pd.DataFrame:
    """One object a line, which a line feed ends: JSON may hold other separators as they are."""
    rows = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            if text:
                rows.append(json.loads(text))
        except json.JSONDecodeError as error:
            raise json.JSONDecodeError(
                f"line {number}: {error.msg}", error.doc, error.pos
            ) from error
    return _rows(rows)


def _rows(rows: Iterable[object]) -> pd.DataFrame:
    objects = []
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ValueError(f"row {number} is no object but a {type(row).__name__}")
        objects.append(row)
    return pd.DataFrame(objects, dtype=object)


def _read_parquet(path: Path) -> pd.DataFrame:
    table = pd.read_parquet(path)
    named = any(name is not None for name in table.index.names)
    return (table.reset_index() if named else table).astype(object)


_READERS = {
    KINDS[".csv"]: lambda path: _read_fields(path, ","),
    KINDS[".tsv"]: lambda path: _read_fields(path, "\t"),
    _JSON: _read_json,
    _LINES: _read_lines,
    _PARQUET: _read_parquet,
}


def cell(value: object) -> object:
    """A value as :func:`read_strings` gives it: a string, None, or a tuple of such.

    >>> cell(2.0), cell(0.5), cell("2.0"), cell([1, "a"])
    ('2', '0.5', '2.0', ('1', 'a'))
    """
    if isinstance(value, list | tuple | np.ndarray):
        return tuple(map(cell, value))
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return value if isinstance(value, str) else str(value)


def _refusal(path: Path, reason: str, kind: str) -> ValueError:
    joined = "and" if " with " in kind else "with"
    return ValueError(f"{path} must be a {kind} {joined} rows; {reason}.")


def _because(error: Exception) -> str:
    """The reason without the path, which the system's own message may or may not hold."""
    said = getattr(error, "strerror", None) or str(error)
    return said.strip().rstrip(".")
