from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from opal import cli, records

OF_TOY = ("--label", "y", "--attribute", "side", "--workers", "1")
SOUND = ("--classifiers", "logistic", "--sizes", "0", "24", "--alphas", "0.5", "--draws", "3",
         "--folds", "2", "--real-sizes", "40", "80")  # fmt: skip
PUBLISHED = ("--protocol", "published", "--classifiers", "logistic", "--tasks", "imbalanced",
             "--experiments", "additional", "--makers", "mine")  # fmt: skip


def run(capsys: pytest.CaptureFixture[str], *words: object, status: int = 0) -> str:
    found = cli.main(["tabular", "scaling", *map(str, words)])
    captured = capsys.readouterr()
    assert found == status, captured.err
    return captured.err if status else captured.out


def test_sound_protocol_of_a_folder(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = ("--generator-rows", "synthetic", "90")
    words = ("--folder", toy, *OF_TOY, *SOUND, *known, "--out", tmp_path / "out")
    found = json.loads(run(capsys, *words, "--json"))
    assert {arm["synthesizer"] for arm in found["arms"]} == {"none", "real", "synthetic", "mine"}
    assert all("balanced_log_loss_difference" in arm for arm in found["arms"])
    unknown = [arm for arm in found["arms"] if arm["synthesizer"] == "mine" and arm["n_added"]]
    assert unknown
    assert all(arm["n_generator"] is None for arm in unknown)
    told = [arm for arm in found["arms"] if arm["synthesizer"] == "synthetic" and arm["n_added"]]
    assert {arm["n_generator"] for arm in told if arm["arm"].startswith("filled")} == {90}
    assert found["notes"] == []
    shown = run(capsys, *words)
    assert "Balanced log loss minus that of weighting:" in shown
    assert "not said" in shown
    assert set(records.read(Path(found["records"]))["protocol"]) == {"sound"}


def test_a_second_run_reads_what_the_first_computed(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--folder", toy, *OF_TOY, *PUBLISHED, "--out", tmp_path / "out", "--json")
    first = json.loads(run(capsys, *words))
    (cell,) = (tmp_path / "out/cells").glob("*.parquet")
    stamp = cell.stat().st_mtime_ns
    assert json.loads(run(capsys, *words)) == first
    assert cell.stat().st_mtime_ns == stamp
    assert {point["arm"] for point in first["curves"]} == {"augmented", "all_real"}


@pytest.mark.slow
def test_laws_of_a_folder(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--folder", toy, *OF_TOY, *PUBLISHED, "--out", tmp_path / "out", "--laws")
    found = json.loads(run(capsys, *words, "--json"))
    assert [law["metric"] for law in found["laws"]] == ["balanced_log_loss", "minority_log_loss"]
    assert set(found["laws"][0]["held_out"]) >= {"line in 1/N", "line in log N", "power"}
    assert "best at the largest" in run(capsys, *words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--protocol", "published", "--draws", "5"), "--draws needs --protocol sound"),
        (("--compare",), "--compare needs --protocol published"),
        (("--label", "y"), "--label needs --folder"),
        (("--protocol", "published", "--compare", "--laws"), "exclude each other"),
        (("--tables", "crafts"), "did you mean 'craft'"),
        (("--workers", "0"), "--workers must be at least 1"),
    ],
)
def test_flags_that_do_not_go_together(
    words: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in run(capsys, *words, "--out", tmp_path / "out", status=2)
    assert not (tmp_path / "out").exists()


def test_a_bad_folder_is_refused_before_work_starts(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ("--folder", toy, *OF_TOY, *SOUND, "--out", out)
    assert "unknown maker of toy" in run(capsys, *words, "--makers", "mime", status=2)
    good = pd.read_csv(toy / "mine1.csv")
    good.drop(columns="x3").to_csv(toy / "mine1.csv", index=False)
    assert "mine1.csv needs a column 'x3'" in run(capsys, *words, status=2)
    good.to_csv(toy / "mine1.csv", index=False)
    test = pd.read_csv(toy / "test.csv")
    test.assign(y=[2, *test["y"][1:]]).to_csv(toy / "test.csv", index=False)
    assert "labels must be 0 or 1" in run(capsys, *words, status=2)
    (toy / "seed.csv").unlink()
    assert "needs a file seed.csv" in run(capsys, *words, status=2)
    assert not out.exists()
