"""Cells are computed once, wherever and however often a run is interrupted."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from opal import runner

ROOT = Path(__file__).parents[1]
STUDY = '''
"""A study whose cells leave a trace of every computation."""
import os, time
from dataclasses import dataclass
from pathlib import Path
import numpy as np
import pandas as pd
from opal.runner import Cell

@dataclass(frozen=True)
class Config:
    index: int
    folder: str
    wait: float = 0.0

def compute(config):
    trace = Path(config.folder) / f"trace-{config.index}-{os.getpid()}-{time.monotonic_ns()}"
    trace.touch()
    if config.index == 3 and config.wait:
        time.sleep(config.wait)
    if config.index < 0:
        raise RuntimeError(f"cell {config.index} cannot be computed")
    value = np.random.default_rng(config.index).normal(size=3)
    return pd.DataFrame({
        "study": "traced", "source": "data", "setting": "none", "arm": "a", "n_real": 2,
        "n_min": 1, "n_max": 1, "metric": ["x", "y", "z"], "value": value,
    })

def cells(folder, n, wait=0.0):
    return [Cell(compute, Config(i, str(folder), wait), f"cell {i}") for i in range(n)]
'''
MAIN = """
import sys
from pathlib import Path
import traced_study
from opal import runner
traces, out, n, wait = sys.argv[1:]
frame = runner.run(traced_study.cells(traces, int(n), float(wait)), Path(out), progress=False)
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The study as an importable module, here and in processes started from here."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "traced_study.py").write_text(STUDY)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{ROOT}")
    monkeypatch.delitem(sys.modules, "traced_study", raising=False)
    import importlib

    return importlib.import_module("traced_study")


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    folder = tmp_path / "traces"
    folder.mkdir()
    return folder


def computed(traces: Path) -> list[int]:
    """Index of the cell of every computation that was started."""
    found = [re.match(r"trace-(-?\d+)-", path.name) for path in traces.iterdir()]
    return sorted(int(match[1]) for match in found if match)


def digests(out: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in out.glob("*.parquet")}


def wait_for(condition: object, seconds: float = 60.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_finished_cells_are_not_computed_again(
    study: ModuleType, traces: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = runner.run(study.cells(traces, 3), out, progress=False)
    assert computed(traces) == [0, 1, 2]
    again = runner.run(study.cells(traces, 5), out, progress=False)
    assert computed(traces) == [0, 1, 2, 3, 4]
    pd.testing.assert_frame_equal(again.iloc[: len(first)], first)
    assert len(again) == 15


def test_equal_cells_are_computed_once(study: ModuleType, traces: Path, tmp_path: Path) -> None:
    frame = runner.run(2 * study.cells(traces, 2), tmp_path / "out", progress=False)
    assert computed(traces) == [0, 1]
    assert len(frame) == 6


def test_a_killed_run_is_taken_up_where_it_stopped(
    study: ModuleType, traces: Path, tmp_path: Path
) -> None:
    """SIGKILL in the fourth of six cells; the fifth has not begun."""
    whole, out = tmp_path / "whole", tmp_path / "out"
    expected = runner.run(study.cells(traces, 6, 600.0)[:3], whole, progress=False)
    for trace in traces.iterdir():
        trace.unlink()
    command = [sys.executable, "-c", MAIN, str(traces), str(out), "6", "600"]
    process = subprocess.Popen(command)
    try:
        wait_for(lambda: computed(traces) == [0, 1, 2, 3])
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    assert process.returncode == -signal.SIGKILL
    finished = digests(out)
    assert finished == digests(whole)
    again = runner.run(study.cells(traces, 6, 600.0)[:3], out, progress=False)
    pd.testing.assert_frame_equal(again, expected, check_exact=True)
    assert computed(traces) == [0, 1, 2, 3]


def test_a_run_taken_up_gives_bit_identical_records(
    study: ModuleType, traces: Path, tmp_path: Path
) -> None:
    """The killed cell is computed again, the finished ones are not."""
    whole, out = tmp_path / "whole", tmp_path / "out"
    cells = study.cells(traces, 5, 2.0)
    command = [sys.executable, "-c", MAIN, str(traces), str(out), "5", "2"]
    process = subprocess.Popen(command)
    try:
        wait_for(lambda: computed(traces) == [0, 1, 2, 3])
    finally:
        process.kill()
        process.wait(timeout=30)
    resumed = runner.run(cells, out, progress=False)
    assert computed(traces) == [0, 1, 2, 3, 3, 4]
    for path in [*traces.iterdir()]:
        path.unlink()
    uninterrupted = runner.run(cells, whole, progress=False)
    assert computed(traces) == [0, 1, 2, 3, 4]
    pd.testing.assert_frame_equal(resumed, uninterrupted, check_exact=True)
    assert digests(out) == digests(whole)


def test_half_written_files_are_not_results(
    study: ModuleType, traces: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    cells = study.cells(traces, 2)
    for cell in cells:
        (out / f".{cell.key()}.parquet.x7f3").write_bytes(b"PAR1 half")
        (out / f"{cell.key()}.json").write_text("{}")  # its table was not reached
    frame = runner.run(cells, out, progress=False)
    assert computed(traces) == [0, 1]
    assert len(frame) == 6


@pytest.mark.parametrize("kind", ["processes", "threads"])
def test_any_executor_gives_the_same_records(
    kind: str, study: ModuleType, traces: Path, tmp_path: Path
) -> None:
    serial = runner.run(study.cells(traces, 4), tmp_path / "serial", progress=False)
    spawn = multiprocessing.get_context("spawn")
    executor = (
        ProcessPoolExecutor(2, mp_context=spawn)
        if kind == "processes"
        else ThreadPoolExecutor(max_workers=2)
    )
    with executor:
        mapped = runner.run(
            study.cells(traces, 4), tmp_path / "mapped", executor=executor, progress=False
        )
    pd.testing.assert_frame_equal(mapped, serial, check_exact=True)
    assert digests(tmp_path / "mapped") == digests(tmp_path / "serial")
    workers = {path.name.split("-")[2] for path in traces.iterdir()}
    assert (len(workers) > 1) == (kind == "processes")


def test_what_is_finished_survives_a_cell_that_fails(
    study: ModuleType, traces: Path, tmp_path: Path
) -> None:
    cells = study.cells(traces, 2)
    broken = runner.Cell(study.compute, study.Config(-1, str(traces)), "broken")
    with pytest.raises(RuntimeError, match="cell -1 cannot be computed"):
        runner.run([*cells, broken], tmp_path / "out", progress=False)
    with (
        ThreadPoolExecutor(max_workers=1) as executor,
        pytest.raises(RuntimeError, match="cell -1 cannot be computed") as raised,
    ):
        runner.run([*cells, broken], tmp_path / "out", executor=executor, progress=False)
    assert raised.value.__notes__ == ["in cell 'broken'"]
    assert computed(traces) == [-1, -1, 0, 1]
    assert len(digests(tmp_path / "out")) == 2


def test_a_cell_that_another_has_finished_is_left_as_it_is(
    study: ModuleType, traces: Path, tmp_path: Path
) -> None:
    """A scheduler gives a cell out again when it loses sight of a worker that finishes it."""
    cell = study.cells(traces, 1)[0]
    path = tmp_path / f"{cell.key()}.parquet"
    runner._finish(cell, path)
    runner._finish(cell, path)
    assert computed(traces) == [0]


def test_a_process_with_another_opal_computes_nothing(
    study: ModuleType, traces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = study.cells(traces, 1)[0]
    path = tmp_path / f"{cell.key()}.parquet"
    monkeypatch.setattr(runner, "__version__", "0.0.1")
    with pytest.raises(
        ValueError, match=r"'cell 0' reached one with opal 0\.0\.1, .*the same opal"
    ):
        runner._finish(cell, path)
    assert computed(traces) == []


def test_an_executor_is_given_absolute_paths(
    study: ModuleType, traces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its processes may have another working folder."""
    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(max_workers=1, initializer=os.chdir, initargs=("/",)) as executor:
        runner.run(study.cells(traces, 1), Path("out"), executor=executor, progress=False)
    assert len(digests(tmp_path / "out")) == 1


def test_an_output_folder_that_cannot_be_written_stops_the_run_before_it_starts(
    study: ModuleType, traces: Path, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    for out in (blocked, blocked / "below", Path("/proc/opal")):
        with pytest.raises(OSError, match="output folder must be writable"):
            runner.run(study.cells(traces, 2), out, progress=False)
    assert computed(traces) == []


def test_records_of_another_version_are_refused(
    study: ModuleType, traces: Path, tmp_path: Path
) -> None:
    cells = study.cells(traces, 2)
    runner.run(cells, tmp_path, progress=False)
    sidecar = tmp_path / f"{cells[0].key()}.json"
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "schema_version": 0}))
    with pytest.raises(ValueError, match=r"schema version 0, this opal reads \d+"):
        runner.run(cells, tmp_path, progress=False)


def test_a_damaged_cell_is_named(study: ModuleType, traces: Path, tmp_path: Path) -> None:
    cells = study.cells(traces, 2)
    runner.run(cells, tmp_path, progress=False)
    path = tmp_path / f"{cells[1].key()}.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    message = rf"{re.escape(str(path))} is not a readable Parquet file .*Delete it"
    before = computed(traces)
    with pytest.raises(ValueError, match=message):
        runner.run(study.cells(traces, 3), tmp_path, progress=False)
    assert computed(traces) == before  # the third cell has not begun
    path.unlink()
    runner.run(cells, tmp_path, progress=False)
    assert computed(traces) == [0, 1, 1]


def test_the_sidecar_says_how_a_cell_was_made(
    study: ModuleType, traces: Path, tmp_path: Path
) -> None:
    cell = study.cells(traces, 1)[0]
    runner.run([cell], tmp_path, progress=False)
    sidecar = json.loads((tmp_path / f"{cell.key()}.json").read_text())
    assert sidecar["function"] == "traced_study.compute"
    assert sidecar["config"] == {"index": 0, "folder": str(traces), "wait": 0.0}
    assert sidecar["wall_time_s"] >= 0
    assert "jax" in sidecar["versions"]


def test_configuration_and_function_tell_cells_apart(study: ModuleType, traces: Path) -> None:
    first, second = study.cells(traces, 2)
    assert first.key() != second.key()
    assert first.key() == runner.Cell(study.compute, first.config, "another label").key()
    assert first.key() != runner.Cell(study.cells, first.config).key()


def test_what_is_no_cell_is_refused(study: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="config must be a dataclass instance; got 3"):
        runner.Cell(study.compute, 3).key()
    with pytest.raises(ValueError, match="at least one cell; got none"):
        runner.run([], tmp_path)
