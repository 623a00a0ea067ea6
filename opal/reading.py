"""Tables and texts as people give them: what cannot be read is refused with the file's name."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from opal.columns import require_unique
from opal.delimited import (
    decimal_of,
    decoded,
    is_json,
    read_cells,
    read_numbers,
    says_otherwise,
)
from opal.signatures import (
    FEATHER,
    JSON_REMEDY,
    PACKED,
    PARQUET,
    UNPACK,
    FileKind,
    file_kind,
    unpacked,
)

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
    """A table with a header and rows: text with any usual separator, Parquet or Feather.

    What a file is, is told by how it begins, not by its name. It may be packed (gzip, bzip2, xz, or
    a zip archive of one file). Texts are read as :mod:`opal.delimited` says.

    Raises:
        ValueError: it is no such table, or two columns have one name; says which file, and why.
    """
    path = Path(path)
    if path.suffix.lower() == ".parquet":
        return _read(path, _PARQUET, _no_parquet)
    return _read(path, KINDS[".csv"], _table)


def read_strings(path: Path) -> pd.DataFrame:
    """A table whose cells stay as they are in the file: for texts, of which none is a number.

    ``NA``, ``001``, line breaks and NUL survive. Numbers of JSON and Parquet become the shortest
    string that stands for them, lists tuples, and what is absent None.

    Args:
        path: a file that ends in one of :data:`KINDS`, perhaps packed as for :func:`read_table`.

    Raises:
        ValueError: it is not one, not whole, or two columns have one name; says which file, and
            why.
    """
    inner = Path(path.stem) if path.suffix.lower() in PACKED else path
    suffix = inner.suffix.lower()
    if suffix not in KINDS:
        found = file_kind(path.read_bytes()) if path.is_file() else None
        if found is not None and found.remedy != UNPACK:
            raise ValueError(_named(path, found))
        raise ValueError(
            f"{path} must end in one of {', '.join(KINDS)}; got {suffix!r}. Rename it."
        )
    table = _read(path, KINDS[suffix], _READERS[KINDS[suffix]])
    cells = {str(name): list(map(cell, table[name])) for name in table}
    return pd.DataFrame(cells, dtype=object)


def decimal_mark_of(path: Path) -> str:
    """The decimal mark, a point or a comma, by which :func:`read_table` reads a file of a table."""
    content = unpacked(_content(path))
    return "." if file_kind(content) is not None or is_json(content) else decimal_of(content)


def read_text(path: Path) -> str:
    """A text file.

    Raises:
        ValueError: it is not one; says which file, and why.
    """
    try:
        content = _content(path)
        found = file_kind(content)
        if found is not None:
            raise ValueError(_named(path, found))
        return decoded(content)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must be a text file (UTF-8); {_because(error)}.") from error


def _content(path: Path) -> bytes:
    if path.is_char_device() or path.is_block_device():
        raise ValueError(f"{path} is a device, which may never end: name a file.")
    return path.read_bytes()


def _read(path: Path, kind: str, read: Callable[[bytes], pd.DataFrame]) -> pd.DataFrame:
    """A table with rows, read from the content of a file of the kind that its name says."""
    content = b""
    try:
        content = unpacked(_content(path))
        found = file_kind(content)
        if found not in (None, PARQUET, FEATHER):
            raise ValueError(_named(path, found))
        table = _by_arrow(content) if found in (PARQUET, FEATHER) else read(content)
        require_unique(table.columns, "it")
    except UnicodeDecodeError as error:
        reason = f"it is not UTF-8 ({error}): save it as UTF-8 (in Excel, as CSV UTF-8)"
        raise _refusal(path, reason, kind) from error
    except json.JSONDecodeError as error:
        reason = f"it is cut off or malformed ({error}): write or fetch it again"
        if content.strip() and not is_json(content):
            reason = f"it is no JSON ({error}): if it is CSV, let its name end in .csv"
        raise _refusal(path, reason, kind) from error
    except pd.errors.ParserWarning as warning:
        reason = f"its rows have more fields than its header{_otherwise(content, kind)}"
        raise _refusal(path, reason, kind) from warning
    except pd.errors.ParserError as error:
        raise _refusal(path, _because(error) + _otherwise(content, kind), kind) from error
    except (OSError, ValueError, RecursionError) as error:
        if str(error).startswith(str(path)):
            raise
        raise _refusal(path, _because(error), kind) from error
    if table.empty:
        raise _refusal(path, "there are none", kind)
    return table


def _table(content: bytes) -> pd.DataFrame:
    if is_json(content):
        raise ValueError(f"it is JSON: write it as CSV ({JSON_REMEDY})")
    return read_numbers(content)


def _by_arrow(content: bytes) -> pd.DataFrame:
    """A Parquet or Feather file, with the columns that pandas would make an index of."""
    from pyarrow import ArrowInvalid, feather, parquet

    try:
        source = io.BytesIO(content)
        is_parquet = file_kind(content) == PARQUET
        found = parquet.ParquetFile(source).read() if is_parquet else feather.read_table(source)
        require_unique(found.column_names, "it")
        table = found.to_pandas()
    except ArrowInvalid as error:
        raise ValueError(str(error).splitlines()[0]) from error
    named = any(name is not None for name in table.index.names)
    return table.reset_index() if named else table


def _read_fields(content: bytes, separator: str = ",") -> pd.DataFrame:
    return _read_json(content) if is_json(content) else read_cells(content, separator)


def _read_json(content: bytes) -> pd.DataFrame:
    """A list of objects, or an object of columns, as pandas writes both; or JSON lines."""
    try:
        found = json.loads(decoded(content), object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data" or not is_json(content):
            raise
        return _read_lines(content)
    columns = isinstance(found, dict) and all(isinstance(v, list | dict) for v in found.values())
    if columns:
        return pd.DataFrame(found, dtype=object)
    if not isinstance(found, list):
        raise ValueError(f"it holds a single {type(found).__name__}")
    return _rows(found)


def _read_lines(content: bytes) -> pd.DataFrame:
    """One object a line, which a line feed ends: JSON may hold other separators as they are."""
    rows, text = [], decoded(content)
    if text.lstrip().startswith("["):
        return _rows(json.loads(text, object_pairs_hook=_object))
    for number, line in enumerate(text.split("\n"), 1):
        try:
            if line.strip():
                rows.append(json.loads(line.strip(), object_pairs_hook=_object))
        except json.JSONDecodeError as error:
            raise json.JSONDecodeError(
                f"line {number}: {error.msg}", error.doc, error.pos
            ) from error
    return _rows(rows)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    require_unique([name for name, _ in pairs], "an object")
    return dict(pairs)


def _rows(rows: Iterable[object]) -> pd.DataFrame:
    objects = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ValueError(f"data row {number} is no object but a {type(row).__name__}")
        objects.append(row)
    return pd.DataFrame(objects, dtype=object)


def _no_parquet(content: bytes) -> pd.DataFrame:
    raise ValueError(f"it begins with {content[:8]!r}, and a Parquet file with b'PAR1'")


_READERS: Mapping[str, Callable[[bytes], pd.DataFrame]] = {
    KINDS[".csv"]: _read_fields,
    KINDS[".tsv"]: partial(_read_fields, separator="\t"),
    _JSON: _read_json,
    _LINES: _read_lines,
    _PARQUET: _no_parquet,
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


def _named(path: Path, kind: FileKind) -> str:
    remedy = kind.remedy.replace("FILE", str(path))
    return f"{path} is {kind.name}, not what is read here: {remedy}."


def _otherwise(content: bytes, kind: str) -> str:
    """What a text that was not split into equal rows may be."""
    usual = "\t" if kind == KINDS[".tsv"] else ","
    if others := says_otherwise(content, usual):
        return (
            f"; its first line has {' and '.join(others)}, but not as many in every row: quote "
            "the cells that hold one"
        )
    return "; quote the cells that hold a separator, and cut off lines above the header"


def _refusal(path: Path, reason: str, kind: str) -> ValueError:
    joined = "and" if " with " in kind else "with"
    return ValueError(f"{path} must be a {kind} {joined} rows; {reason}.")


def _because(error: Exception) -> str:
    """The reason without the path, which the system's own message may or may not hold."""
    said = getattr(error, "strerror", None) or str(error)
    return said.strip().rstrip(".")
