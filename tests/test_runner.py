"""Cells are computed once, wherever and however often a run is interrupted."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest

from opal import executors, runner
from tests import traced
from tests.traced import computed, digests, wait_for

ROOT = Path(__file__).parents[1]
MAIN = """
import sys
from pathlib import Path
from opal import executors, runner
from tests import traced
traces, out, n, wait = sys.argv[1:]
cells = traced.cells(traces, int(n), float(wait), slow=3)
runner.run(cells, Path(out), progress=False)
"""

POOL = """
import sys
from pathlib import Path
from opal import executors, runner
from tests import traced
if __name__ == "__main__":
    traces, out = sys.argv[1:]
    with executors.executor(2, None, Path(out)) as executor:
        runner.run(traced.cells(traces, 6, 600.0), Path(out), executor=executor, progress=False)
"""


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    folder = tmp_path / "traces"
    folder.mkdir()
    return folder


def test_finished_cells_are_not_computed_again(traces: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = runner.run(traced.cells(traces, 3), out, progress=False)
    assert computed(traces) == [0, 1, 2]
    again = runner.run(traced.cells(traces, 5), out, progress=False)
    assert computed(traces) == [0, 1, 2, 3, 4]
    pd.testing.assert_frame_equal(again.iloc[: len(first)], first)
    assert len(again) == 15


def test_equal_cells_are_computed_once(traces: Path, tmp_path: Path) -> None:
    frame = runner.run(2 * traced.cells(traces, 2), tmp_path / "out", progress=False)
    assert computed(traces) == [0, 1]
    assert len(frame) == 6


def test_a_killed_run_is_taken_up_where_it_stopped(traces: Path, tmp_path: Path) -> None:
    """SIGKILL in the fourth of six cells; the fifth has not begun."""
    whole, out = tmp_path / "whole", tmp_path / "out"
    expected = runner.run(traced.cells(traces, 6, 600.0, slow=3)[:3], whole, progress=False)
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
    again = runner.run(traced.cells(traces, 6, 600.0, slow=3)[:3], out, progress=False)
    pd.testing.assert_frame_equal(again, expected, check_exact=True)
    assert computed(traces) == [0, 1, 2, 3]


def test_a_run_taken_up_gives_bit_identical_records(traces: Path, tmp_path: Path) -> None:
    """The killed cell is computed again, the finished ones are not."""
    whole, out = tmp_path / "whole", tmp_path / "out"
    cells = traced.cells(traces, 5, 2.0, slow=3)
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


def test_half_written_files_are_not_results(traces: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    cells = traced.cells(traces, 2)
    for cell in cells:
        (out / f".{cell.key()}.parquet.x7f3").write_bytes(b"PAR1 half")
        (out / f"{cell.key()}.json").write_text("{}")  # its table was not reached
    frame = runner.run(cells, out, progress=False)
    assert computed(traces) == [0, 1]
    assert len(frame) == 6


@pytest.mark.parametrize("kind", ["processes", "threads"])
def test_any_executor_gives_the_same_records(kind: str, traces: Path, tmp_path: Path) -> None:
    serial = runner.run(traced.cells(traces, 4), tmp_path / "serial", progress=False)
    spawn = multiprocessing.get_context("spawn")
    executor = (
        ProcessPoolExecutor(2, mp_context=spawn)
        if kind == "processes"
        else ThreadPoolExecutor(max_workers=2)
    )
    with executor:
        mapped = runner.run(
            traced.cells(traces, 4), tmp_path / "mapped", executor=executor, progress=False
        )
    pd.testing.assert_frame_equal(mapped, serial, check_exact=True)
    assert digests(tmp_path / "mapped") == digests(tmp_path / "serial")
    workers = {path.name.split("_")[1] for path in traces.iterdir()}
    assert (len(workers) > 1) == (kind == "processes")


def test_started_studies_share_an_executor(traces: Path, tmp_path: Path) -> None:
    """The first cell of each is computed before the study is waited for, and all if it proceeds."""
    cells = traced.cells(traces, 4)
    with ThreadPoolExecutor(max_workers=1) as executor:
        started = [
            runner.start(some, tmp_path / some[0].label, executor=executor)
            for some in (cells[:2], cells[2:])
        ]
        traced.wait_for(lambda: computed(traces) == [0, 2])
        started[0].proceed()
        traced.wait_for(lambda: computed(traces) == [0, 1, 2])
        frames = [each.finish(progress=False) for each in started]
    assert computed(traces) == [0, 1, 2, 3]
    again = runner.run(cells, tmp_path / "whole", progress=False)
    pd.testing.assert_frame_equal(pd.concat(frames, ignore_index=True), again, check_exact=True)


def test_a_failure_cancels_what_other_studies_have_queued(traces: Path, tmp_path: Path) -> None:
    fails = runner.Cell(traced.compute, traced.Config(-1, str(traces), fate="fail"), "fails")

    def both() -> None:
        with executors.executor(2, None, tmp_path) as executor:
            first = runner.start([fails], tmp_path / "first", executor=executor)
            second = runner.start(
                traced.cells(traces, 40, 0.5), tmp_path / "second", executor=executor
            )
            second.proceed()
            try:
                first.finish(progress=False)
            finally:
                told.append(time.monotonic_ns())

    told: list[int] = []
    with pytest.raises(RuntimeError, match="cell -1 cannot be computed"):
        both()
    seen = len(computed(traces))
    time.sleep(1.5)  # three cells' time
    assert len(computed(traces)) == seen < 20  # nothing goes on behind the error
    began = [int(path.name.split("_")[2]) for path in traces.iterdir()]
    # Nor does what the processes hold in reserve, which would begin within a cell's time.
    assert max(began) < told[0] + 0.25e9


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_workers_end_with_a_parent_that_is_killed(traces: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", POOL, str(traces), str(tmp_path / "out")]
    process = subprocess.Popen(command)
    try:
        wait_for(lambda: len(traced.processes_of(traces)) == 2)
    finally:
        process.kill()
        process.wait(timeout=30)
    wait_for(lambda: not processes_that_run(traces))
    assert set(computed(traces)) == {0, 1}


def processes_that_run(traces: Path) -> set[int]:
    """Those that started a cell and are neither gone nor waiting to be reaped."""
    found = set()
    for pid in traced.processes_of(traces):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if state != "Z":
            found.add(pid)
    return found


def test_what_is_finished_survives_a_cell_that_fails(traces: Path, tmp_path: Path) -> None:
    cells = traced.cells(traces, 2)
    broken = runner.Cell(traced.compute, traced.Config(-1, str(traces), fate="fail"), "broken")
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


def test_a_killed_worker_process_is_told(traces: Path, tmp_path: Path) -> None:
    deadly = runner.Cell(traced.compute, traced.Config(1, str(traces), fate="die"), "deadly")
    message = r"must survive its cell; one of 2 processes was killed.* fewer --workers"
    with (
        pytest.raises(executors.WorkersError, match=message),
        executors.executor(2, None, tmp_path) as executor,
    ):
        runner.run([deadly], tmp_path / "out", executor=executor, progress=False)
    assert computed(traces) == [1]


def test_a_cell_that_another_has_finished_is_left_as_it_is(traces: Path, tmp_path: Path) -> None:
    """A scheduler gives a cell out again when it loses sight of a worker that finishes it."""
    cell = traced.cells(traces, 1)[0]
    path = tmp_path / f"{cell.key()}.parquet"
    runner._finish(cell, path)
    runner._finish(cell, path)
    assert computed(traces) == [0]


def test_a_process_with_another_opal_computes_nothing(
    traces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = traced.cells(traces, 1)[0]
    path = tmp_path / f"{cell.key()}.parquet"
    monkeypatch.setattr(runner, "__version__", "0.0.1")
    with pytest.raises(
        ValueError, match=r"'cell 0' reached one with opal 0\.0\.1, .*the same opal"
    ):
        runner._finish(cell, path)
    assert computed(traces) == []


def test_an_executor_is_given_absolute_paths(
    traces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its processes may have another working folder."""
    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(max_workers=1, initializer=os.chdir, initargs=("/",)) as executor:
        runner.run(traced.cells(traces, 1), Path("out"), executor=executor, progress=False)
    assert len(digests(tmp_path / "out")) == 1


def test_an_output_folder_that_cannot_be_written_stops_the_run_before_it_starts(
    traces: Path, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    for out in (blocked, blocked / "below", Path("/proc/opal")):
        with pytest.raises(OSError, match="output folder must be writable"):
            runner.run(traced.cells(traces, 2), out, progress=False)
    assert computed(traces) == []


def test_records_of_another_version_are_refused(traces: Path, tmp_path: Path) -> None:
    cells = traced.cells(traces, 2)
    runner.run(cells, tmp_path, progress=False)
    sidecar = tmp_path / f"{cells[0].key()}.json"
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "schema_version": 0}))
    with pytest.raises(ValueError, match=r"schema version 0, this opal reads \d+"):
        runner.run(cells, tmp_path, progress=False)


def test_a_damaged_cell_is_named(traces: Path, tmp_path: Path) -> None:
    cells = traced.cells(traces, 2)
    runner.run(cells, tmp_path, progress=False)
    path = tmp_path / f"{cells[1].key()}.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    message = rf"{re.escape(str(path))} is not a readable Parquet file .*Delete it"
    before = computed(traces)
    with pytest.raises(ValueError, match=message):
        runner.run(traced.cells(traces, 3), tmp_path, progress=False)
    assert computed(traces) == before  # the third cell has not begun
    path.unlink()
    runner.run(cells, tmp_path, progress=False)
    assert computed(traces) == [0, 1, 1]


def test_the_sidecar_says_how_a_cell_was_made(traces: Path, tmp_path: Path) -> None:
    cell = traced.cells(traces, 1)[0]
    runner.run([cell], tmp_path, progress=False)
    sidecar = json.loads((tmp_path / f"{cell.key()}.json").read_text())
    assert sidecar["function"] == "tests.traced.compute"
    assert sidecar["config"] == asdict(cell.config)
    assert sidecar["config"]["folder"] == str(traces)
    assert sidecar["wall_time_s"] >= 0
    assert "jax" in sidecar["versions"]


def test_configuration_and_function_tell_cells_apart(traces: Path) -> None:
    first, second = traced.cells(traces, 2)
    assert first.key() != second.key()
    assert first.key() == runner.Cell(traced.compute, first.config, "another label").key()
    assert first.key() != runner.Cell(traced.simulate, first.config).key()


def test_what_is_no_cell_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="config must be a dataclass instance; got 3"):
        runner.Cell(traced.compute, 3).key()
    with pytest.raises(ValueError, match="at least one cell; got none"):
        runner.run([], tmp_path)
