"""``opal data``: what is here, what is missing, what is not what it should be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from opal.bridge import download
from opal.cli import main

N_FILES = len(download.OPAL.registry())


@pytest.fixture(autouse=True)
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror with one file, whose content is wrong."""
    monkeypatch.setenv(download.MIRROR_VARIABLE, str(tmp_path))
    file = tmp_path / download.OPAL.location / min(download.OPAL.names())
    file.parent.mkdir(parents=True)
    file.write_text("not what was published")
    return tmp_path


def test_list_counts_files(capsys: pytest.CaptureFixture[str], mirror: Path) -> None:
    assert main(["data", "list", "--json"]) == 0
    rows = {row["corpus"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rows["opal"]["n_files"], rows["opal"]["n_local"]) == (N_FILES, 1)
    assert main(["data", "list"]) == 0
    assert str(mirror) in capsys.readouterr().out


def test_verify_tells_corrupted_from_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "verify", "opal"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"0 of {N_FILES} files are here and whole"
    assert sum(line.startswith("corrupted: ") for line in lines) == 1
    assert sum(line.startswith("missing: ") for line in lines) == N_FILES - 1
    assert main(["data", "verify", "opal", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_fetch_refuses_a_corrupted_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "fetch", "opal", "--json"]) == 2
    said = capsys.readouterr()
    assert "corrupted" in said.err
    assert "sha256" in said.err
    assert said.out == ""


def test_unknown_corpus_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "verify", "opla"]) == 2
    assert "unknown corpus 'opla'; did you mean 'opal'?" in capsys.readouterr().err


def test_nothing_here_is_one_line(
    capsys: pytest.CaptureFixture[str], mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mirror / "empty").mkdir()
    monkeypatch.setenv(download.MIRROR_VARIABLE, str(mirror / "empty"))
    assert main(["data", "verify"]) == 1
    missing, whole = capsys.readouterr().out.splitlines()
    n_files = sum(len(entry.registry()) for entry in download.REPOSITORIES.values())
    assert missing == f"missing: all {n_files} files; get them with `opal data fetch`"
    assert whole == f"0 of {n_files} files are here and whole"
    monkeypatch.setenv(download.MIRROR_VARIABLE, "/nonexistent")
    assert main(["data", "verify"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_unknown_data_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "fetsh"]) == 2
    assert "did you mean 'fetch'? There are: fetch, list, verify." in capsys.readouterr().err
