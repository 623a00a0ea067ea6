"""``opal figures``: pictures, stored checks, and a status that tells whether they passed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from opal import records
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
    assert "holds" in said


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
    said = capsys.readouterr().out
    assert "checks are not judged at --preset tiny" in said
    assert "FAIL" not in said
    assert "not judged" in next(line for line in said.splitlines() if "largest square" in line)
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


def test_flags_of_the_study_change_the_figure_and_no_other_file(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*WORDS, "--json"]) == 0
    before = {path: path.read_bytes() for path in (example / "here").glob("example_figure.*")}
    capsys.readouterr()
    assert main([*WORDS, "--largest", "2", "--scale", "0.5", "--json"]) == 0
    (drawn,) = json.loads(capsys.readouterr().out)["figures"]
    assert drawn["config"] == {"example_study": {"largest": 2, "scale": 0.5}}
    assert drawn["checks"][0]["statistic"] == 2
    (png, pdf) = map(Path, drawn["pictures"])
    assert png.name.startswith("example_figure-")
    assert (png.exists(), pdf.exists(), png.with_suffix(".json").exists()) == (True, True, True)
    assert {path: path.read_bytes() for path in before} == before


def test_flags_of_a_study_belong_to_one_figure(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["figures", "--largest", "2"], ["figures", "alpha", "scaling", "--largest", "2"]):
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code == 2
        assert "--largest" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*WORDS, "--help"])
    assert "The largest number. (default: 3)" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(registry.claims("figure")))
def test_every_figure_takes_the_flags_of_its_studies(name: str) -> None:
    _, configs = figures.configure([name, "--preset", "tiny"])
    assert [*configs] == [*registry.load("figure", name).STUDIES]


def test_records_that_are_there_are_drawn(
    example: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "claims", lambda kind: {f"example_{kind}": "the only one"})
    main(["run", "example_study", "--out", "results"])
    main(["run", "example_study", "--largest", "2", "--out", "results"])
    tables = sorted((example / "results").glob("*.parquet"))
    monkeypatch.setenv("EXAMPLE_UNAVAILABLE", "what records were made of is not needed again")
    capsys.readouterr()
    for table in tables:
        words = ["figures", "--from", str(table), "--format", "svg", "--out", "here", "--json"]
        assert main(words) == 0
        (drawn,) = json.loads(capsys.readouterr().out)["figures"]
        (picture,) = drawn["pictures"]
        stem = table.stem.replace("_study", "_figure").removesuffix("-quick")
        assert picture == f"here/{stem}.svg"
        assert Path(picture).read_text().startswith("<?xml")
    assert not (example / "here" / "records").exists()  # nothing was run


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "a.parquet", "--preset", "full"], "leave --preset and the flags"),
        (["--from", "a.parquet", "--largest", "2"], "leave --preset and the flags"),
        (["--from", "a.parquet", "a.parquet"], "two tables of study example_study"),
        (["--from", "b.parquet"], "says of no study"),
        (["--from", "none.parquet"], "no records at none.parquet"),
        (["--from", "a.json"], "a.json is no Parquet file: name files that end in .parquet"),
        (["--from", "results"], "results is a folder: name files that end in .parquet"),
    ],
)
def test_what_cannot_be_drawn_from_records_is_told(
    example: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    main(["run", "example_study", "--out", "results"])
    table = example / "results" / "example_study-quick.parquet"
    records.write(records.read(table), example / "b.parquet")
    table.rename(example / "a.parquet")
    table.with_suffix(".json").rename(example / "a.json")
    capsys.readouterr()
    assert main(["figures", "example_figure", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (example / "figures").exists()


def test_a_figure_replaces_no_records(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A figure called as its study, drawn where the records of its own configuration are."""
    for package, names in (("paper_figures", "figure"), ("simulations", "study")):
        source = (example / package / f"example_{names}.py").read_text()
        (example / package / "example.py").write_text(source.replace("example_study", "example"))
    changed = ["--largest", "2", "--out", "both"]
    assert main(["run", "example", *changed]) == 0
    (table,) = (example / "both").glob("*.parquet")
    before = table.with_suffix(".json").read_bytes()
    capsys.readouterr()
    for words in (["example", *changed], ["example", "--from", str(table), "--out", "both"]):
        assert main(["figures", *words]) == 2
        assert "a figure replaces no records" in capsys.readouterr().err
    assert table.with_suffix(".json").read_bytes() == before
    assert {path.name for path in (example / "both").iterdir()} == {
        "cells", table.name, table.with_suffix(".json").name
    }  # fmt: skip
    assert main(["figures", "example", "--from", str(table), "--out", "figures"]) == 0


def test_records_replace_no_figure(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "example_study", "--largest", "2", "--out", "results"])
    (table,) = (example / "results").glob("*.parquet")
    here = example / "here" / table.with_suffix(".json").name
    here.parent.mkdir()
    here.write_text('{"caption": "of a figure"}')
    capsys.readouterr()
    assert main(["run", "example_study", "--largest", "2", "--out", "here"]) == 2
    assert "records replace no other file" in capsys.readouterr().err
    assert [path.name for path in here.parent.iterdir()] == [here.name]
    here.write_text('{"schema_version": 1, "n_rows": 2}')  # a crash came between it and its table
    assert main(["run", "example_study", "--largest", "2", "--out", "here"]) == 0


@pytest.mark.parametrize("name", ["--from", "--format"])
def test_a_list_of_nothing_is_refused(
    example: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main([*WORDS, name]) == 2
    assert f"{name} needs at least one value; got none" in capsys.readouterr().err
    assert not (example / "here").exists()


@pytest.mark.parametrize(
    ("sidecar", "columns", "message"),
    [
        ({"study": ["example_study"]}, {}, "says of no study"),
        ({"study": "alpha"}, {}, "are of example_study, and its JSON says alpha"),
        ({}, {"value": "x"}, "could not convert string to float"),
    ],
)
def test_records_that_are_not_whole_are_refused(
    example: Path,
    capsys: pytest.CaptureFixture[str],
    sidecar: dict[str, Any],
    columns: dict[str, Any],
    message: str,
) -> None:
    main(["run", "example_study", "--out", "results"])
    table = example / "results" / "example_study-quick.parquet"
    pd.read_parquet(table).assign(**columns).to_parquet(table)
    told = {**records.read_metadata(table), **sidecar}
    table.with_suffix(".json").write_text(json.dumps(told))
    capsys.readouterr()
    assert main(["figures", "example_figure", "--from", str(table)]) == 2
    assert message in capsys.readouterr().err


def test_records_without_a_column_of_the_study_are_refused(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = example / "paper_figures" / "example_figure.py"
    figure.write_text(figure.read_text().replace('records["value"])', 'records["shift"])'))
    main(["run", "example_study", "--out", "results"])
    capsys.readouterr()
    assert main([*WORDS, "--from", "results/example_study-quick.parquet"]) == 2
    said = capsys.readouterr().err
    assert "cannot be drawn of what --from names (KeyError: 'shift')" in said


def test_a_figure_needs_all_its_studies(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "example_study", "--out", "results"])
    capsys.readouterr()
    assert main(["figures", "alpha", "--from", "results/example_study-quick.parquet"]) == 2
    said = capsys.readouterr().err
    assert "figure alpha draws records of alpha; --from holds example_study" in said


def test_no_picture_has_fonts_that_journals_refuse(example: Path) -> None:
    main([*WORDS, "--format", "pdf", "svg"])
    content = (example / "here" / "example_figure.pdf").read_bytes()
    assert b"/Type42" in content or b"/FontFile2" in content or b"/CIDFontType2" in content
    assert b"/Type3" not in content
    assert not (example / "here" / "example_figure.png").exists()
