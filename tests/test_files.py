"""Files are whole or absent."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from opal.files import require_distinct, writable_folder, write_atomically, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "table.txt"
    write_json(path, "old")
    seen = []

    def look(temporary: Path) -> None:
        temporary.write_text("new")
        seen.append(path.read_text())

    write_atomically(path, look)
    assert seen == ['"old"\n']
    assert path.read_text() == "new"


def test_json_is_sorted_and_ends_in_a_newline(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": 1, "a": [1.5, None]})
    text = path.read_text()
    assert text.endswith("}\n")
    assert list(json.loads(text)) == ["a", "b"]


def test_what_cannot_be_written_as_json_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert list(tmp_path.iterdir()) == []


def test_files_may_be_read_by_those_who_may_read_others(tmp_path: Path) -> None:
    plain, ours = tmp_path / "plain", tmp_path / "ours.json"
    plain.write_text("")
    write_json(ours, {})
    assert ours.stat().st_mode == plain.stat().st_mode


def test_a_folder_is_made(tmp_path: Path) -> None:
    folder = writable_folder(tmp_path / "a" / "b")
    assert folder.is_dir()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("where", ["file", "file/below", "/proc/opal"])
def test_a_folder_that_cannot_be_written_is_refused(where: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = Path(where) if os.path.isabs(where) else tmp_path / where
    with pytest.raises(OSError, match=r"must be writable; .* is not \(.+\)\. Name another folder"):
        writable_folder(path)


def test_a_file_in_a_folder_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(
        OSError, match=r"folder must be writable; /proc is not \(.+\)\. Name another"
    ):
        write_json(Path("/proc/a.json"), {})


def test_a_folder_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    with pytest.raises(OSError, match=r"a\.json is a folder: name a file in it"):
        write_json(tmp_path / "a.json", {})
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_no_output_replaces_what_is_read_or_another(tmp_path: Path) -> None:
    table, out = tmp_path / "a.csv", tmp_path / "b.csv"
    read = [("the table", table)]
    require_distinct(read, [("--out", out), ("--table-out", None)])
    again = tmp_path / "x" / ".." / "a.csv"
    with pytest.raises(ValueError, match=r"a\.csv is the table and --out: name another file"):
        require_distinct(read, [("--out", again)])
    with pytest.raises(ValueError, match=r"b\.csv is --out and --table-out"):
        require_distinct(read, [("--out", out), ("--table-out", out)])
    with pytest.raises(IsADirectoryError, match=r"--out must be a file; .* is a folder"):
        require_distinct([("the table", None)], [("--out", tmp_path)])


@pytest.mark.parametrize("kind", ["symbolic", "hard", "chain"])
def test_a_link_to_what_is_read_is_what_is_read(kind: str, tmp_path: Path) -> None:
    table, link = tmp_path / "a.csv", tmp_path / "link.csv"
    table.write_text("x\n1\n")
    if kind == "hard":
        link.hardlink_to(table)
    else:
        link.symlink_to(table)
    if kind == "chain":
        (tmp_path / "second.csv").symlink_to(link)
        link = tmp_path / "second.csv"
    for read, written in ((table, link), (link, table)):
        with pytest.raises(ValueError, match="is the table and --out: name another file"):
            require_distinct([("the table", read)], [("--out", written)])


def test_devices_and_pipes_are_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/full"), Path("/dev/null")):
        with pytest.raises(ValueError, match=r"--out must be a file; .* is a device or a pipe"):
            require_distinct([], [("--out", path)])
        with pytest.raises(ValueError, match="is a device or a pipe"):
            write_text(path, "text")
    assert not Path("/dev/full").is_file()


def test_a_link_stays_one_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    file, link = tmp_path / "far" / "a.txt", tmp_path / "a.txt"
    file.write_text("old")
    link.symlink_to(file)
    write_text(link, "new")
    assert (link.is_symlink(), file.read_text()) == (True, "new")


def test_a_private_file_is_its_owners(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "secret", private=True)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o600
