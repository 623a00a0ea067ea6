"""Tables of both kinds are read as they are; what is no table is refused by its name."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from opal.reading import read_table, read_text

TABLE = pd.DataFrame({"n": [50, 200], "y": [0.25, 0.125], "seed": ["a", "b"]})


def test_both_kinds_are_read(tmp_path: Path) -> None:
    TABLE.to_csv(tmp_path / "a.csv", index=False)
    TABLE.to_parquet(tmp_path / "a.PARQUET")
    for path in tmp_path.iterdir():
        pd.testing.assert_frame_equal(read_table(path), TABLE)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "No columns to parse from file"),
        (b"a,b\n", "there are none"),
        (b"a,b\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3"),
        (b"a,b\n1,2,3\n4,5,6\n", "its rows have more fields than its header"),
        (b"a,b\n1,\xff\n", "can't decode byte 0xff"),
    ],
)
def test_what_is_no_csv_table_is_refused_by_name(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "made.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"made.csv must be a CSV file with .*{reason}.*\.$"):
        read_table(path)


def test_what_is_no_parquet_table_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "made.parquet"
    path.write_text("no")
    with pytest.raises(ValueError, match=r"made.parquet must be a Parquet file with rows; .*\.$"):
        read_table(path)
    TABLE.head(0).to_parquet(path)
    with pytest.raises(ValueError, match=r"made.parquet must be .*; there are none\.$"):
        read_table(path)


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"b.csv must be .*; No such file or directory\.$"):
        read_table(tmp_path / "b.csv")


def test_a_device_is_not_read_for_ever() -> None:
    for read in (read_text, read_table):
        with pytest.raises(ValueError, match=r"/dev/zero is a device, which may never end"):
            read(Path("/dev/zero"))
