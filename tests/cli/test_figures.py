"""``opal figures``: pictures, stored checks, and a status that tells whether they passed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from opal.cli import figures, main, registry

WORDS = ["figures", "example_figure", "--out", "here"]


def test_pictures_and_checks_are_stored(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(WORDS) == 0
    assert (example / "here" / "example_figure.png").read_bytes().startswith(b"\x89PNG")
    assert (example / "here" / "example_figure.pdf").read_bytes().startswith(b"%PDF")
    stored = json.loads((example / "here" / "example_figure.json").read_text())
    assert stored["passed"] is True
    assert stored["checks"][0]["statistic"] == stored["checks"][0]["threshold"] == 9
    assert stored["caption"] == "Squares grow faster than their numbers."
    assert stored["versions"]["numpy"]
    said = capsys.readouterr().out
    assert "largest square" in said
    assert "pass" in said


def test_it_says_how_many_of_how_many_and_how_long(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(WORDS)
    assert "example_figure … (1 of 1, about 60 s left)" in capsys.readouterr().out
    main(WORDS)
    assert "example_figure … (1 of 1)" in capsys.readouterr().out  # all cells are there
    main([*WORDS, "--preset", "full"])  # nobody knows yet
    assert "example_figure … (1 of 1)" in capsys.readouterr().out


def test_time_left_is_judged_by_what_is_done() -> None:
    work = {"a": 10.0, "b": 30.0, "c": 20.0}
    two = figures.Figures(workers=2)
    assert figures.time_left(work, "a", 0.1, two) == ", about 30 s left"
    assert figures.time_left(work, "b", 30.0, two) == ", about 2 min left"
    assert figures.time_left(work, "c", 30.0, two) == ", about 15 s left"
    full = figures.Figures(preset="full")
    assert figures.time_left(work, "a", 0.1, full) == ""
    assert figures.time_left(work, "c", 7200.0, full) == ", about 60 min left"


def test_a_failing_check_gives_status_1(
    example: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXAMPLE_LIMIT", "8")
    assert main(WORDS) == 1
    assert "FAIL" in capsys.readouterr().out
    assert json.loads((example / "here" / "example_figure.json").read_text())["passed"] is False
    assert main([*WORDS, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["passed"] is False


def test_no_check_is_judged_at_the_tiny_preset(
    example: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXAMPLE_LIMIT", "0")
    tiny = [*WORDS, "--preset", "tiny"]
    assert main(tiny) == 0
    assert "checks are not judged at --preset tiny" in capsys.readouterr().out
    assert main([*tiny, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["passed"], report["judged"]) == (False, False)
    monkeypatch.setenv("EXAMPLE_UNAVAILABLE", "no tables")
    assert main(tiny) == 1  # it was asked for by name


def test_the_full_preset_runs_the_full_study(
    example: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXAMPLE_LIMIT", "900")
    assert main([*WORDS, "--preset", "full", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["figures"][0]["checks"][0]["statistic"] == 900


def test_a_figure_without_its_data_is_left_out(
    example: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXAMPLE_UNAVAILABLE", "no tables; run `opal data fetch`")
    monkeypatch.setattr(registry, "claims", lambda kind: {f"example_{kind}": "the only one"})
    everything = ["figures", "--out", "here"]
    assert main(everything) == 0
    assert "example_figure left out: no tables; run `opal data fetch`" in capsys.readouterr().out
    assert not (example / "here" / "example_figure.png").exists()
    assert main(WORDS) == 1  # it was asked for by name
    capsys.readouterr()
    assert main([*everything, "--json"]) == 0
    left_out = json.loads(capsys.readouterr().out)["left_out"]
    assert left_out == [{"name": "example_figure", "reason": "no tables; run `opal data fetch`"}]


def test_a_damaged_cell_is_told_before_any_figure_is_drawn(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(WORDS)
    cell = next((example / "here" / "records" / "example_study").glob("*.parquet"))
    cell.write_bytes(b"")
    capsys.readouterr()
    assert main(WORDS) == 2
    said = capsys.readouterr()
    assert "is not a readable Parquet file" in said.err
    assert said.out == ""


def test_the_same_records_give_the_same_files(example: Path) -> None:
    def pictures() -> list[bytes]:
        return [path.read_bytes() for path in sorted((example / "here").glob("example_figure.p*"))]

    main(WORDS)
    first = pictures()
    main(WORDS)
    assert len(first) == 2
    assert pictures() == first


def test_unknown_figure_names_the_nearest(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["figures", "example_figur"]) == 2
    said = capsys.readouterr().err
    assert "unknown figure 'example_figur'; did you mean 'example_figure'?" in said
    assert not (example / "figures").exists()


def test_folder_that_cannot_be_written_is_said_before_any_work(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (example / "here").write_text("a file, not a folder")
    assert main(WORDS) == 2
    said = capsys.readouterr()
    assert "the output folder must be writable" in said.err
    assert said.out == ""


def test_an_infinite_threshold_is_stored_as_strict_json(
    example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXAMPLE_LIMIT", "inf")
    assert main(WORDS) == 0
    text = (example / "here" / "example_figure.json").read_text()
    assert "Infinity" not in text
    assert json.loads(text)["checks"][0]["threshold"] is None
