"""Tables as programs of all countries write them: read as they are meant, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import pytest

from opal.delimited import decoded, read_cells, read_numbers

TABLE = pd.DataFrame({"size": [50, 1200, 30000], "loss": [0.75, 0.5, 0.125]})


def written(separator: str = ",", decimal: str = ".", end: str = "\n", quote: str = "") -> str:
    cells = [[*TABLE.columns], *([str(n), str(y)] for n, y in TABLE.itertuples(index=False))]
    lines = [
        separator.join(f"{quote}{cell.replace('.', decimal)}{quote}" for cell in row)
        for row in cells
    ]
    return end.join(lines) + end


def check(content: bytes, separator: str = ",") -> None:
    pd.testing.assert_frame_equal(read_numbers(content, separator), TABLE)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("separator", "decimal"),
    [(",", "."), (";", "."), (";", ","), ("\t", "."), ("\t", ","), ("|", "."), (", ", ".")],
)
def test_separators_and_decimal_marks_are_told_by_the_rows(
    separator: str, decimal: str, end: str
) -> None:
    check(written(separator, decimal, end).encode())
    check(written(separator, decimal, end).encode(), separator="\t")


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_are_told_by_their_marks(encoding: str, quote: str) -> None:
    check(written(";", ",", quote=quote).encode(encoding))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_told_without_a_mark(encoding: str) -> None:
    check(written("\t", ",", "\r\n").encode(encoding))
    check(b"\xef\xbb\xbf" + written().encode("utf-8-sig"))  # marked twice


def test_zero_bytes_within_a_text_are_no_encoding() -> None:
    text = "text,label\nnul \x00 here,a\n" + "a longer line of words,b\n" * 9
    assert decoded(text.encode()) == text


@pytest.mark.parametrize("mark", [";", "\t", ","])
def test_a_line_of_excel_tells_the_separator(mark: str) -> None:
    check((f"sep={mark}\r\n" + written(mark, end="\r\n")).encode())
    check(f'"sep={mark}"\n{written(mark)}'.encode("utf-16"))


def test_decimal_commas_may_be_quoted() -> None:
    check(b'"size","loss"\n"50","0,75"\n"1200","0,5"\n"30000","0,125"\n')


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("size;loss\n1.000;0,5\n2.000;0,25\n", ["1.000", "2.000"]),
        ("size;loss\n1.000,5;0,5\n2.000,5;0,25\n", ["1.000,5", "2.000,5"]),
        ("size\tloss\n1,000\t4\n2,000\t5\n", ["1,000", "2,000"]),
        ("size;loss\n1,000;0.5\n2,000;0.25\n", ["1,000", "2,000"]),
        ('size,loss\n"1,000",4\n"2,000",5\n', ["1,000", "2,000"]),
        ("size;loss\n1 000;0,5\n2 000;0,25\n", ["1 000", "2 000"]),
        ('size,loss\n"64,64",0.5\n"64,32",0.25\n', ["64,64", "64,32"]),
    ],
)
def test_what_may_be_thousands_is_no_number(text: str, kept: Sequence[str]) -> None:
    """Neither is guessed: 1.000 beside a decimal comma may be 1 or 1000."""
    assert read_numbers(text.encode())["size"].tolist() == kept


def test_three_decimals_are_decimals_where_semicolons_separate() -> None:
    found = read_numbers(b"size;loss\n10;1,125\n20;1,250\n")
    assert found["loss"].tolist() == [1.125, 1.25]
    assert read_numbers(b"a\tb\n10\t0,125\n20\t1,250\n")["b"].tolist() == [0.125, 1.25]


def test_names_of_columns_lose_what_cannot_be_seen() -> None:
    found = read_numbers("\u200bsize , loss\u00a0\n1,2\n".encode())
    assert list(found.columns) == ["size", "loss"]


@pytest.mark.parametrize(
    "text",
    [
        "size,loss,,\n50,0.75,,\n1200,0.5,,\n30000,0.125,,\n",
        "size;loss;\n50;0,75;\n1200;0,5;\n30000;0,125;\n",
    ],
)
def test_empty_columns_of_spreadsheets_are_none(text: str) -> None:
    check(text.encode())


@pytest.mark.parametrize("read", [read_cells, read_numbers])
@pytest.mark.parametrize(
    ("header", "match"),
    [
        ("a,b,a", r"columns 1 and 3 are both 'a'. Rename one, or leave one out"),
        ("a, b,b ", r"columns 2 and 3 are both 'b'"),
        ("e\u0301,\u00e9,c", r"columns 1 and 2 are both 'é'"),
    ],
)
def test_columns_of_one_name_are_refused(
    read: Callable[[bytes], pd.DataFrame], header: str, match: str
) -> None:
    for mark in ",;\t":
        with pytest.raises(ValueError, match=match):
            read(f"{header.replace(',', mark)}\n1{mark}2{mark}3\n".encode())


def test_texts_keep_their_commas_where_semicolons_separate() -> None:
    content = 'text;label\n"Well; no";a\nOh, yes, and 1,5;b\n'.encode("utf-16")
    found = read_cells(content)
    assert found.to_dict("list") == {"text": ["Well; no", "Oh, yes, and 1,5"], "label": ["a", "b"]}
    long = "x" * 200_000
    assert read_cells(f"text,label\n{long},a\n".encode())["text"].tolist() == [long]


@pytest.mark.parametrize("read", [read_cells, read_numbers])
@pytest.mark.parametrize("mark", [";", "\t", "|"])
@pytest.mark.parametrize(("ragged", "cells"), [("1;2", 2), ("1;2;3;4", 4)])
def test_the_ragged_line_is_named_where_others_have_one_separator(
    read: Callable[[bytes], pd.DataFrame], mark: str, ragged: str, cells: int
) -> None:
    text = "a;b;c\n" + "1,5;2;3\n" * 5 + f"\n{ragged}\n" + "1,5;2;3\n"
    with pytest.raises(ValueError, match=f"line 8 has {cells} cells and the header 3, where"):
        read(text.replace(";", mark).encode())
    broken = text.replace(ragged, '1;"2\n3"')
    with pytest.raises(ValueError, match=r"begins in line 8 and ends in 9 has 2 .* quote that is"):
        read(broken.replace(";", mark).encode())


def test_one_column_of_texts_with_semicolons_is_one_column() -> None:
    found = read_cells(b"text\nwell; no\nyes; and; no\n")
    assert found["text"].tolist() == ["well; no", "yes; and; no"]


@pytest.mark.parametrize("mark", [",", ";"])
@pytest.mark.parametrize(("above", "line"), [("", 5), ("sep=MARK\n", 6)])
@pytest.mark.parametrize("end", ["4,5\n", "x" * 200_000])
def test_the_line_of_an_unclosed_quote_is_named(mark: str, above: str, line: int, end: str) -> None:
    text = f'{above}a,b\n1,"2\n3"\n\n"4,5\n{end}'.replace(",", mark).replace("MARK", mark)
    with pytest.raises(ValueError, match=f"that begins in line {line} is never closed: close it"):
        read_cells(text.encode())
