"""Every study runs as a module on its tiny preset and writes records that can be read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from opal import records
from opal.bridge import corpora
from opal.cli import registry

STUDIES = sorted(registry.claims("study"))
NEED_TABLES = {"tabular"}
TIMEOUT_S = 150


def run(study: str, out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """``python -m simulations.STUDY --preset tiny --json`` in a fresh process."""
    command = [sys.executable, "-m", f"simulations.{study}", "--preset", "tiny", "--json"]
    return subprocess.run(
        [*command, "--out", str(out), *words],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_there_are_studies() -> None:
    assert {"imbalance", "spurious", "alpha", "asymptotics_grid", "tabular"} <= set(STUDIES)


@pytest.mark.parametrize("study", STUDIES)
def test_study_runs_as_a_module(study: str, tmp_path: Path) -> None:
    result = run(study, tmp_path)
    if study in NEED_TABLES and corpora.availability() is not None:
        assert result.returncode == 2
        assert corpora.MIRROR_VARIABLE in result.stderr
        return
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    frame = records.read(Path(report["records"]))
    assert len(frame) == report["n_rows"] > 0
    assert set(frame["study"]) == {study}
    assert list(frame.columns[: len(records.COLUMNS)]) == list(records.COLUMNS)


def test_processes_give_the_same_records(tmp_path: Path) -> None:
    frames = []
    for workers in ("1", "2"):
        result = run("alpha", tmp_path / workers, "--workers", workers)
        assert result.returncode == 0, result.stderr
        frames.append(records.read(Path(json.loads(result.stdout)["records"])))
    assert frames[0].equals(frames[1])


@pytest.mark.parametrize("study", STUDIES)
def test_presets_are_ordered_in_size(study: str) -> None:
    module = registry.load("study", study)
    assert list(module.PRESETS) == ["tiny", "quick", "full"]
    sizes = [len(module.cells(config)) for config in module.PRESETS.values()]
    assert sizes == sorted(sizes)
