"""Files are told by how they begin, whatever they are called."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from opal.reading import read_strings, read_table, read_text

TABLE = pd.DataFrame({"text": ["one", "two"], "y": [0.5, 2.0]})
CSV = TABLE.to_csv(index=False).encode()


def zipped(**files: bytes) -> bytes:
    """A zip archive; two underscores in a name are a slash, one is a dot."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            inside = name if "/" in name else name.replace("__", "/").replace("_", ".")
            archive.writestr(inside, content)
    return out.getvalue()


def packed_strangely(archive: bytes) -> bytes:
    """A zip archive that says that its first file is packed by method 9, as Windows does."""
    entry = archive.index(b"PK\x01\x02")
    return (
        archive[:8] + b"\x09\x00" + archive[10 : entry + 10] + b"\x09\x00" + archive[entry + 12 :]
    )


def saved(kind: str) -> bytes:
    out = io.BytesIO()
    if kind == "npy":
        np.save(out, np.ones(2))
    elif kind == "npz":
        np.savez(out, a=np.ones(2))
    else:
        getattr(TABLE, f"to_{kind}")(out)
    return out.getvalue()


PACKED = {
    "a.csv.gz": gzip.compress(CSV),
    "a.csv.bz2": bz2.compress(CSV),
    "a.csv.xz": lzma.compress(CSV),
    "a.csv.zip": zipped(inside_csv=CSV, **{"__MACOSX/inside.csv": b"?"}),
}


@pytest.mark.parametrize("name", [*PACKED, "packed.csv"])
def test_what_is_packed_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(PACKED.get(name, PACKED["a.csv.gz"]))
    pd.testing.assert_frame_equal(read_table(path), TABLE)
    assert read_strings(path)["y"].tolist() == ["0.5", "2.0"]


@pytest.mark.parametrize("kind", ["parquet", "feather"])
@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.tsv"])
def test_tables_of_arrow_are_read_under_any_name(name: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(saved(kind))
    pd.testing.assert_frame_equal(read_table(path), TABLE)
    assert read_strings(path)["y"].tolist() == ["0.5", "2"]


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.xlsx", zipped(xl__workbook_xml=b"x"), r"Excel workbook \(xlsx\).*CSV UTF-8.*openpyxl"),
        ("a.csv", zipped(xl__workbook_xml=b"x"), r"a\.csv is an Excel workbook"),
        ("a.ods", zipped(mimetype=b"application/vnd.oasis.opendocument.spreadsheet"), "odfpy"),
        ("a.docx", zipped(word__document_xml=b"x"), "a text document.*save the table as CSV"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), r"old Excel workbook \(xls\)"),
        ("a.csv", b"\xef\xbb\xbf\r\n<!DOCTYPE html><title>404</title>", "web page.*fetch the file"),
        ("a.csv", b"<?xml version='1.0'?><Error/>", "web page"),
        ("a.csv", b"version https://git-lfs.github.com/spec/v1\noid x\n", "Git LFS.*git lfs pull"),
        ("a.csv", saved("npy"), "array of NumPy"),
        ("a.csv", saved("npz"), "arrays of NumPy"),
        ("a.csv", saved("pickle"), "pickle"),
        ("a.csv", b"SQLite format 3\x00", "SQLite database"),
        ("a.csv", b"%PDF-1.7", "PDF document"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_named(name: str, content: bytes, match: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for read in (read_table, read_strings, read_text):
        with pytest.raises(ValueError, match=match) as error:
            read(path)
        assert str(error.value).startswith(str(path))
        assert "Rename" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (gzip.compress(CSV)[:-9], "cannot be unpacked"),
        (zipped(a_csv=CSV)[:-9], "cannot be unpacked"),
        (packed_strangely(zipped(a_csv=CSV)), "cannot be unpacked .*compression"),
        (packed_strangely(zipped(mimetype=b"x")), "cannot be unpacked .*compression"),
        (zipped(a_csv=CSV, b_csv=CSV), r"zip archive of 2 files \(a\.csv, b\.csv\): unpack it"),
        (b'[{"n": 1, "y": 2}]', r"it is JSON: write it as CSV \(pandas\.read_json"),
        (b'{"n": 1}\n{"n": 2}\n', "it is JSON"),
        (saved("parquet")[:-9], "must be a CSV file with a header and rows; "),
    ],
    ids=[
        "cut gzip",
        "cut zip",
        "method",
        "method of all",
        "two",
        "JSON",
        "JSON lines",
        "cut table",
    ],
)
def test_what_cannot_be_unpacked_or_is_another_table_is_told(
    content: bytes, match: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=match):
        read_table(path)


@pytest.mark.parametrize("column", ["PAR1", "ARROW1", "FEA1", "BZh", "ORCID", "RDX"])
def test_a_column_may_be_called_as_a_file_begins(column: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{column},y\n1,2\n")
    for read in (read_table, read_strings):
        assert read(path).columns.tolist() == [column, "y"]
    assert read_text(path).startswith(column)


def test_columns_of_one_name_are_refused_in_every_kind(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    twice = pa.table([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    parquet.write_table(twice, tmp_path / "a.parquet")
    (tmp_path / "a.json").write_text('[{"text": "a", "text": "b"}]')
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": "c", "text": "b"}\n')
    (tmp_path / "a.tsv").write_text("text\ttext\na\tb\n")
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match=r"columns of different names; columns 1 and [23] are"):
            read_strings(path)
