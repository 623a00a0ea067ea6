"""``opal run``: presets, flags, records, and refusals before any work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from opal import records
from opal.cli import main


def test_preset_gives_records_and_a_sidecar(example: Path) -> None:
    assert main(["run", "example_study", "--out", "here"]) == 0
    frame = records.read(example / "here" / "example_study-quick.parquet")
    assert frame["value"].tolist() == [1, 4, 9]
    sidecar = records.read_metadata(example / "here" / "example_study-quick.parquet")
    assert sidecar["config"] == {"largest": 3, "scale": 1.0}
    assert sidecar["preset"] == "quick"
    assert sidecar["versions"]["jax"]


@pytest.mark.parametrize(
    ("preset", "limit", "status"),
    [("quick", "9", 0), ("quick", "8", 1), ("quick", "", 1), ("tiny", "0.5", 0), ("tiny", "", 0)],
)
def test_the_status_says_whether_the_checks_of_a_study_hold(
    example: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    preset: str,
    limit: str,
    status: int,
) -> None:
    """A study that was asked for checks and states none has compared nothing."""
    monkeypatch.setenv("EXAMPLE_STUDY_LIMIT", limit)
    words = ["run", "example_study", "--preset", preset]
    assert main([*words, "--json"]) == status
    report = json.loads(capsys.readouterr().out)
    assert report["judged"] is (preset != "tiny")
    assert [check["passed"] for check in report["checks"]] == [limit == "9"] * bool(limit)
    assert main(words) == status
    said = capsys.readouterr().out
    assert ("checks are not judged at --preset tiny" in said) is (preset == "tiny")
    assert ("FAILS: small squares" in said) is (limit == "8")
    assert ("not judged: small squares" in said) is (limit == "0.5")
    assert (example / "results" / f"example_study-{preset}.parquet").exists()


def test_flags_change_single_fields_of_the_preset(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "example_study", "--preset", "full", "--scale", "2", "--json"]
    assert main(words) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["config"] == {"largest": 30, "scale": 2.0}
    assert report["n_rows"] == 30
    assert records.read(Path(report["records"]))["value"].max() == 1800


def test_another_configuration_does_not_overwrite(example: Path) -> None:
    for scale in ("1", "2", "3"):
        assert main(["run", "example_study", "--scale", scale, "--out", "here"]) == 0
    assert len(list((example / "here").glob("*.parquet"))) == 3


def test_a_second_run_computes_nothing(example: Path) -> None:
    def times() -> dict[str, int]:
        found = (example / "here" / "cells").rglob("*.parquet")
        return {path.name: path.stat().st_mtime_ns for path in found}

    main(["run", "example_study", "--out", "here"])
    first = times()
    main(["run", "example_study", "--out", "here", "--largest", "4"])
    assert len(first) == 3
    assert len(times()) == 4
    assert first.items() <= times().items()


def test_a_table_of_another_version_is_not_overwritten(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "example_study", "--out", "results"]) == 0
    (sidecar,) = Path("results").glob("*.json")
    before = sidecar.read_text().replace('"schema_version": 1', '"schema_version": 99')
    sidecar.write_text(before)
    capsys.readouterr()
    assert main(["run", "example_study", "--out", "results"]) == 2
    assert "has records schema version 99, this opal reads" in capsys.readouterr().err
    assert sidecar.read_text() == before


def test_table_for_people_names_the_file(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "example_study", "--largest", "50"])
    said = capsys.readouterr().out
    assert "example_study: 50 rows" in said
    assert "… and 10 more rows" in said
    assert "records: results/example_study-" in said


def test_help_has_the_claim_the_fields_and_an_example(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["run", "example_study", "--preset", "full", "--help"])
    said = capsys.readouterr().out
    assert end.value.code == 0
    assert "Squares of whole numbers are not negative." in said
    assert "opal run example_study --preset quick" in said
    assert "The largest number. (default: 30)" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "exampel_study"], "unknown study 'exampel_study'; did you mean 'example_study'?"),
        (
            ["run", "example_study", "--preset", "ful"],
            "did you mean 'full'? There are: full, quick, tiny",
        ),
        (["run", "example_study", "--preset=huge"], "unknown preset of example_study 'huge'"),
        (["run", "example_study", "--workers", "0"], "--workers must be at least 1; got 0."),
    ],
)
def test_refusals_are_one_line(
    example: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (example / "results").exists()


@pytest.mark.parametrize("words", [["--scale", "0"], ["--scale", "two"], ["--scala", "2"]])
def test_bad_fields_end_with_status_2(
    example: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    try:
        status: object = main(["run", "example_study", *words])
    except SystemExit as end:
        status = end.code
    assert status == 2
    assert "scal" in capsys.readouterr().err
    assert not (example / "results").exists()


def test_folder_that_cannot_be_written(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (example / "taken").write_text("a file, not a folder")
    assert main(["run", "example_study", "--out", "taken"]) == 2
    assert "the output folder must be writable" in capsys.readouterr().err


def test_a_field_named_as_an_option_has_the_study_s_name_before_it(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = example / "simulations" / "example_study.py"
    module.write_text(module.read_text().replace("largest", "workers"))
    words = ["run", "example_study", "--json", "--workers", "1", "--example-study.workers", "2"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["config"]["workers"] == 2
