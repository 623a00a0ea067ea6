"""Sweeps on a real Dask scheduler and worker processes on loopback, one of them killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

import opal
import paper_figures
import simulations
from opal import executors, runner
from opal.cli import main
from tests import traced
from tests.traced import computed, digests, processes_of, wait_for

pytest.importorskip("distributed", reason="sweeps on a cluster need the extra dask")

ROOT = Path(__file__).parents[1]
# Workers find the example study beside the real ones, as this process does.
PRELOAD = """
import simulations
simulations.__path__ = [{!r}, *simulations.__path__]
"""
OTHER_OPAL = '__version__ = "0.0.1"\n'


@dataclass(frozen=True)
class Cluster:
    """Address of the scheduler, and how to start something beside it."""

    address: str
    scheduler: subprocess.Popen[bytes]
    start: Callable[..., subprocess.Popen[bytes]]

    def sweep(self, cells: list[runner.Cell], out: Path) -> pd.DataFrame:
        with executors.executor(1, self.address, out) as executor:
            return runner.run(cells, out, executor=executor, progress=False)


@contextmanager
def started(folder: Path, *words: str) -> Iterator[Cluster]:
    """A scheduler without workers; all that is started beside it ends with it."""
    processes: list[subprocess.Popen[bytes]] = []
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
        "DASK_TEMPORARY_DIRECTORY": str(folder),
    }

    def start(*words: str, **changes: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *words, "--host", "127.0.0.1", "--no-dashboard"]
        log = (folder / "log").open("ab")
        with log:
            process = subprocess.Popen(
                command, cwd=folder, env=environment | changes, stdout=log, stderr=log
            )
        processes.append(process)
        return process

    contact = folder / "scheduler.json"
    try:
        scheduler = start("scheduler", "--port", "0", "--scheduler-file", str(contact), *words)
        wait_for(contact.exists)
        wait_for(lambda: contact.read_text().endswith("}"))
        yield Cluster(json.loads(contact.read_text())["address"], scheduler, start)
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(timeout=30)


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Modules that workers import."""
    folder = tmp_path_factory.mktemp("code")
    (folder / "example").mkdir()
    for name in ("example_study", "example_figure"):
        shutil.copy(ROOT / "tests" / "cli" / f"{name}.py", folder / "example")
    (folder / "preload.py").write_text(PRELOAD.format(str(folder / "example")))
    (folder / "other" / "opal").mkdir(parents=True)
    (folder / "other" / "opal" / "__init__.py").write_text(OTHER_OPAL)
    return folder


@pytest.fixture(scope="module")
def cluster(code: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two workers that are started again when they die."""
    preload = ("--preload", str(code / "preload.py"))
    with started(tmp_path_factory.mktemp("cluster"), *preload) as cluster:
        workers = ("--nworkers", "2", "--nthreads", "1")
        cluster.start("worker", cluster.address, *workers, *preload)
        yield cluster


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    folder = tmp_path / "traces"
    folder.mkdir()
    return folder


@pytest.fixture
def example(code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The command line knows ``example_study`` and ``example_figure``; an empty folder."""
    for package in (simulations, paper_figures):
        monkeypatch.setattr(package, "__path__", [str(code / "example"), *package.__path__])
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("simulations.example_study", "paper_figures.example_figure"):
        sys.modules.pop(name, None)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_two_workers_give_the_records_of_the_serial_run(
    cluster: Cluster, traces: Path, tmp_path: Path
) -> None:
    simulated = [runner.Cell(traced.simulate, traced.Config(i, str(traces))) for i in range(2)]
    cells = [*traced.cells(traces, 4, 0.3), *simulated]
    serial = runner.run(cells, tmp_path / "serial", progress=False)
    assert processes_of(traces) == {os.getpid()}
    swept = cluster.sweep(cells, tmp_path / "swept")
    pd.testing.assert_frame_equal(swept, serial, check_exact=True)
    assert digests(tmp_path / "swept") == digests(tmp_path / "serial")
    assert len(processes_of(traces) - {os.getpid()}) == 2


@pytest.mark.slow
def test_a_killed_worker_changes_no_record_and_repeats_no_finished_cell(
    cluster: Cluster, traces: Path, tmp_path: Path
) -> None:
    """SIGKILL in the sixth of eight cells, when others are finished."""
    waits = [0.2, 0.2, 0.2, 0.2, 0.2, 3.0, 0.2, 0.2]
    configs = [traced.Config(i, str(traces), wait) for i, wait in enumerate(waits)]
    cells, out = [runner.Cell(traced.compute, c) for c in configs], tmp_path / "swept"
    with ThreadPoolExecutor(1) as thread:
        sweep: Future[pd.DataFrame] = thread.submit(cluster.sweep, cells, out)
        wait_for(lambda: 5 in computed(traces))
        finished = {path.stem for path in out.glob("*.parquet")}
        (victim,) = processes_of(traces, 5)
        os.kill(victim, signal.SIGKILL)
        swept = sweep.result(timeout=60)
    assert len(finished) >= 3
    again = [i for i in set(computed(traces)) if computed(traces).count(i) > 1]
    assert 5 in again
    assert finished.isdisjoint(cells[i].key() for i in again)
    serial = runner.run(cells, tmp_path / "serial", progress=False)
    pd.testing.assert_frame_equal(swept, serial, check_exact=True)
    assert digests(out) == digests(tmp_path / "serial")
    before = computed(traces)
    resumed = cluster.sweep(cells, out)
    pd.testing.assert_frame_equal(resumed, serial, check_exact=True)
    assert computed(traces) == before


def test_a_cell_that_kills_its_workers_is_named(
    cluster: Cluster, traces: Path, tmp_path: Path
) -> None:
    deadly = runner.Cell(traced.compute, traced.Config(7, str(traces), fate="die"), "number 7")
    message = r"must survive its cell; 2 died in cell 'number 7', .* memory .* cells are kept"
    with pytest.raises(executors.WorkersError, match=message):
        cluster.sweep([deadly], tmp_path / "out")
    assert computed(traces) == [7, 7]
    assert len(cluster.sweep(traced.cells(traces, 2), tmp_path / "out")) == 6


def test_a_cell_that_fails_ends_the_sweep_with_its_own_error(
    cluster: Cluster, traces: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    config = traced.Config(3, str(traces), fate="fail", out=str(out), tables=2)
    broken = runner.Cell(traced.compute, config, "number 3")
    with pytest.raises(RuntimeError, match="cell 3 cannot be computed") as raised:
        cluster.sweep([*traced.cells(traces, 2), broken], out)
    assert raised.value.__notes__ == ["in cell 'number 3'"]
    assert len(digests(out)) == 2


def test_commands_write_what_they_write_without_a_cluster(
    cluster: Cluster, example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for out, words in (("serial", []), ("swept", ["--scheduler", cluster.address])):
        assert main(["run", "example_study", "--out", out, *words, "--json"]) == 0
        assert main(["figures", "example_figure", "--out", f"{out}-figures", *words]) == 0
    assert capsys.readouterr().err.count("3/3") == 2
    for out in ("", "-figures"):
        tables = [sorted((example / f"{side}{out}").rglob("*.p*")) for side in ("serial", "swept")]
        assert len(tables[0]) == len(tables[1]) >= 4
        for serial, swept in zip(*tables, strict=True):
            assert serial.read_bytes() == swept.read_bytes(), swept


def test_an_unreachable_scheduler_is_told_at_once(
    example: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for as long as an answer may take."""
    monkeypatch.setattr(executors, "_CONNECT", 60.0)
    address = f"tcp://127.0.0.1:{free_port()}"
    start = time.monotonic()
    assert main(["run", "example_study", "--scheduler", address]) == 2
    assert time.monotonic() - start < 30
    said = capsys.readouterr().err
    assert f"a Dask scheduler that can be reached; {address} is not ([Errno" in said
    assert "Start one with `dask scheduler`, and on each machine `dask worker" in said
    assert said.count("\n") == 1


def test_a_server_that_is_no_scheduler_is_told(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "_CONNECT", 0.5)
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        pytest.raises(ConnectionError, match=r"is not \(no answer within 0.5 s\)"),
        executors.executor(1, f"tcp://127.0.0.1:{mute.getsockname()[1]}", tmp_path),
    ):
        pass
    from distributed import Client

    with Client(cluster.address, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=30)
        worker = next(iter(client.scheduler_info()["workers"]))
    monkeypatch.undo()
    with (
        pytest.raises(ConnectionError, match=f"must be a Dask scheduler; {worker} is a Worker"),
        executors.executor(1, worker, tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    "address", ["", "localhost", "tcp://127.0.0.1", "http://h:8786", "h:many", "h:0", "tcp://:1"]
)
def test_malformed_addresses_are_refused(address: str, tmp_path: Path) -> None:
    message = rf"address is tcp://HOST:PORT \(or tls://…\); got '{address}' .*prints its address"
    with (
        pytest.raises(ValueError, match=message),
        executors.executor(1, address, tmp_path),
    ):
        pass


@pytest.mark.slow
def test_the_benchmark_prints_its_schema() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "sweeps.py"), "--json", "--tiny"]
    command += ["--n-cells", "2", "--rounds", "1"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    (entry,) = json.loads(printed.stdout)["sweeps"]
    assert entry["sweep"] == "draws"
    for side in ("serial", "processes", "dask"):
        assert entry[side]["cpu_s"] > entry[side]["cells_s"] > 0
        assert entry[side]["wall_s"] > 0
    assert entry["ratio"] == pytest.approx(entry["dask"]["cpu_s"] / entry["serial"]["cpu_s"])
    assert entry["control"] == pytest.approx(entry["processes"]["cpu_s"] / entry["serial"]["cpu_s"])
    assert entry["identical"] is True


def test_a_missing_extra_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "distributed"]:
        monkeypatch.setitem(sys.modules, name, None)
    with (
        pytest.raises(ImportError, match=r"needs Dask.*pip install 'opal-scaling\[dask\]'"),
        executors.executor(1, "tcp://127.0.0.1:8786", tmp_path),
    ):
        pass


@pytest.mark.parametrize("command", [["run", "example_study"], ["figures", "example_figure"]])
def test_workers_of_both_kinds_are_refused(
    command: list[str], example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--scheduler", "tcp://h:8786", "--workers", "2"]) == 2
    said = capsys.readouterr().err
    assert "got --workers 2 and --scheduler tcp://h:8786. Leave one of the two out." in said
    assert not any((example / name).exists() for name in ("results", "figures"))


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs Linux's /proc")
def test_a_folder_that_workers_do_not_share_is_refused(
    cluster: Cluster, traces: Path, tmp_path: Path
) -> None:
    """Below /proc/self, the same path leads every process somewhere else."""
    private = Path("/proc/self/cwd") / os.path.relpath(tmp_path / "out")
    message = r"shared with every worker .*/proc/self/cwd/.*: tcp://.* does not see it; tcp://"
    with pytest.raises(executors.WorkersError, match=message):
        cluster.sweep(traced.cells(traces, 2), private)
    assert computed(traces) == []
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_what_the_scheduler_lacks_is_told(
    code: Path, tmp_path: Path, traces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No worker, then one with another opal, then the scheduler itself goes."""
    cells, out = traced.cells(traces, 2, 5.0), tmp_path / "out"
    with started(tmp_path) as cluster:
        monkeypatch.setattr(executors, "_FIRST_WORKER", 0.1)
        none = f"at least one worker; the scheduler at {cluster.address} has none. Start it: `dask"
        with pytest.raises(executors.WorkersError, match=none):
            cluster.sweep(cells, out)
        monkeypatch.setattr(executors, "_FIRST_WORKER", 30.0)
        worker = ("worker", cluster.address, "--nthreads", "1", "--no-nanny")
        other = cluster.start(*worker, PYTHONPATH=str(code / "other"))
        version = rf"must run opal {opal.__version__} .*; tcp://\S+ has 0\.0\.1\. Install it"
        with pytest.raises(executors.WorkersError, match=version):
            cluster.sweep(cells, out)
        assert computed(traces) == []
        other.terminate()
        other.wait(timeout=30)
        cluster.start(*worker)
        with ThreadPoolExecutor(1) as thread:
            sweep: Future[pd.DataFrame] = thread.submit(cluster.sweep, cells, out)
            wait_for(lambda: computed(traces))
            cluster.scheduler.kill()
            with pytest.raises(executors.WorkersError, match=r"must stay .*the same command res"):
                sweep.result(timeout=30)
