"""What a file is, by how it begins: its name may say something else."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class FileKind:
    """A kind of file that is no text, or no table.

    Attributes:
        name: as people call it.
        remedy: what makes a table of it.
    """

    name: str
    remedy: str


_WORKBOOK = FileKind(
    "an Excel workbook (xlsx)",
    "save the sheet as CSV UTF-8 in the spreadsheet, or with pandas and openpyxl: "
    'pandas.read_excel("FILE").to_csv("table.csv", index=False)',
)
_SPREADSHEET = FileKind(
    "an OpenDocument spreadsheet (ods)",
    "save the sheet as CSV UTF-8 in the spreadsheet, or with pandas and odfpy: "
    'pandas.read_excel("FILE", engine="odf").to_csv("table.csv", index=False)',
)
_OLD_WORKBOOK = FileKind(
    "an old Excel workbook (xls)",
    "save the sheet as CSV UTF-8 in the spreadsheet, or with pandas and xlrd: "
    'pandas.read_excel("FILE").to_csv("table.csv", index=False)',
)
_ARCHIVE = FileKind("a zip archive", "unpack it, and name the table that was in it")
PARQUET = FileKind("a Parquet file", "rename it to end in .parquet")
FEATHER = FileKind(
    "a Feather (Arrow) file", 'pandas.read_feather("FILE").to_parquet("table.parquet")'
)
UNPACK = "unpack it first"
_PAGE = FileKind(
    "a web page (HTML or XML)",
    "what was downloaded is a page, perhaps of an error or a login: fetch the file itself",
)
_POINTER = FileKind(
    "a pointer of Git LFS",
    "the table itself was not fetched: run git lfs pull where the repository was cloned",
)
_PICKLE = FileKind("a pickle of Python", "write the table as CSV or Parquet")
JSON_REMEDY = "pandas.read_json(...).to_csv(...), with lines=True for JSON lines"
PACKED = (".gz", ".bz2", ".xz", ".zip")
"""Ends of names of files that :func:`unpacked` opens."""

_BEGINNINGS: Sequence[tuple[bytes, FileKind]] = (
    (b"PAR1", PARQUET),
    (b"ARROW1", FEATHER),
    (b"FEA1", FEATHER),
    (b"\x1f\x8b", FileKind("packed by gzip", UNPACK)),
    (b"BZh", FileKind("packed by bzip2", UNPACK)),
    (b"\xfd7zXZ\x00", FileKind("packed by xz", UNPACK)),
    (b"\x28\xb5\x2f\xfd", FileKind("packed by zstd", UNPACK)),
    (b"7z\xbc\xaf\x27\x1c", FileKind("a 7z archive", UNPACK)),
    (b"Rar!\x1a\x07", FileKind("a rar archive", UNPACK)),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _OLD_WORKBOOK),
    (b"%PDF-", FileKind("a PDF document", "export the table as CSV where it comes from")),
    (b"{\\rtf", FileKind("a document (rtf)", "save it as plain text, or the table as CSV")),
    (b"SQLite format 3\x00", FileKind("an SQLite database", "export the table as CSV")),
    (b"\x89HDF\r\n\x1a\n", FileKind("an HDF5 file", "write the table as CSV or Parquet")),
    (b"\x93NUMPY", FileKind("an array of NumPy (npy)", "write it as CSV with the column names")),
    (b"Obj\x01", FileKind("an Avro file", "write the table as CSV or Parquet")),
    (b"ORC", FileKind("an ORC file", "write the table as CSV or Parquet")),
    (b"RDX", FileKind("a file of R (RData)", "write the table with write.csv in R")),
    (b"$FL2", FileKind("a file of SPSS (sav)", "export the table as CSV")),
    (b"<stata_dta>", FileKind("a file of Stata (dta)", "export the table as CSV")),
    (b"\x80\x04\x95", _PICKLE),
    (b"\x80\x05\x95", _PICKLE),
    (b"version https://git-lfs.github.com/spec/", _POINTER),
    (b"\x89PNG", FileKind("a picture (PNG)", "name the table")),
    (b"\xff\xd8\xff", FileKind("a picture (JPEG)", "name the table")),
)
_PACKERS: Mapping[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress,
    b"BZh": bz2.decompress,
    b"\xfd7zXZ\x00": lzma.decompress,
}
# RuntimeError: a zip archive with a password, or packed in a way that Python does not know.
_SPOILED = (OSError, EOFError, RuntimeError, lzma.LZMAError, zlib.error, zipfile.BadZipFile)
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f]")  # what no text has
_MARKUP = (b"<!doctype html", b"<html", b"<head", b"<body", b"<?xml", b"<!--", b"<error", b"<table")


def unpacked(content: bytes) -> bytes:
    """The content of a file that is packed, if it is: by gzip, bzip2 or xz, or alone in a zip.

    Raises:
        ValueError: it cannot be unpacked, or several files are in it.
    """
    try:
        for beginning, unpack in _PACKERS.items():
            if _begins(content, beginning):
                return unpack(content)
        if file_kind(content) == _ARCHIVE:
            return _alone(content)
    except _SPOILED as error:
        raise ValueError(f"it cannot be unpacked ({error}): fetch or unpack it anew") from error
    return content


def _begins(content: bytes, beginning: bytes) -> bool:
    """Whether a file begins so; letters alone may begin a text as well: ``ORCID,country``."""
    is_text = beginning.isalnum() and not _BINARY.search(content[:100])
    return content.startswith(beginning) and not is_text


def _alone(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        inside = [
            name
            for name in archive.namelist()
            if not name.endswith("/") and not name.startswith("__MACOSX/")
        ]
        if len(inside) != 1:
            some = ", ".join(inside[:5])
            raise ValueError(
                f"it is a zip archive of {len(inside)} files ({some}): unpack it, and name one"
            )
        if archive.getinfo(inside[0]).flag_bits & 1:
            raise ValueError("it is a zip archive with a password: unpack it first")
        return archive.read(inside[0])


def file_kind(content: bytes) -> FileKind | None:
    """What a file is if it is no plain text of a table; None if it may be one."""
    for beginning, kind in _BEGINNINGS:
        if _begins(content, beginning):
            return kind
    if content.startswith(b"PK\x03\x04"):
        return _zipped(content)
    start = content[:200].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return _PAGE if start.startswith(_MARKUP) else None


def _zipped(content: bytes) -> FileKind:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = set(archive.namelist())
            mime = archive.read("mimetype") if "mimetype" in names else b""
    except (*_SPOILED, ValueError):
        return _ARCHIVE
    if b"opendocument.spreadsheet" in mime:
        return _SPREADSHEET
    if any(name.startswith("xl/") for name in names):
        return _WORKBOOK
    if any(name.startswith("word/") for name in names) or b"opendocument.text" in mime:
        return FileKind("a text document", "save the table as CSV")
    if any(name.endswith(".npy") for name in names):
        return FileKind("arrays of NumPy (npz)", "write them as CSV with the column names")
    return _ARCHIVE
