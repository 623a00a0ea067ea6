"""Ways to compute the cells of benchmarks/sweeps.py, and the CPU time of all who take part."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pandas as pd
import psutil
from distributed import Client

from opal import executors, runner


@dataclass(frozen=True)
class Way:
    """A way to compute cells.

    Attributes:
        executor: what cells are mapped over, given their folder.
        helpers: processes beside this one that take part.
    """

    executor: Callable[[Path], AbstractContextManager[Executor | None]]
    helpers: list[psutil.Process]

    def sweep(self, cells: list[runner.Cell], out: Path) -> tuple[pd.DataFrame, dict[str, float]]:
        """Records and seconds of one sweep: on the wall, of all who take part, and in cells."""
        start, cpu_s = time.perf_counter(), self._cpu_seconds()
        with self.executor(out) as executor:
            frame = runner.run(cells, out, executor=executor, progress=False)
        wall_s, cpu_s = time.perf_counter() - start, self._cpu_seconds() - cpu_s
        return frame, {"wall_s": wall_s, "cpu_s": cpu_s, "cells_s": float(frame["cpu_s"].sum())}

    def _cpu_seconds(self) -> float:
        times = [process.cpu_times() for process in [psutil.Process(), *self.helpers]]
        return sum(t.user + t.system for t in times)


@contextmanager
def ways_to_compute(folder: str, environment: dict[str, str]) -> Iterator[dict[str, Way]]:
    """In this process, on two processes, and on a cluster of two workers, all with their own."""
    context, me = multiprocessing.get_context("spawn"), psutil.Process()
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        with patch.dict(os.environ, environment):
            list(pool.map(abs, range(2)))  # starts both
        plain = me.children(recursive=True)
        with _cluster(Path(folder), environment) as address:
            cluster = [child for child in me.children(recursive=True) if child not in plain]
            yield {
                "serial": Way(lambda _: nullcontext(), []),
                "processes": Way(lambda _: nullcontext(pool), plain),
                "dask": Way(lambda out: executors.executor(1, address, out), cluster),
            }


@contextmanager
def _cluster(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Address of a scheduler with two workers, started as from a shell."""
    contact, started = folder / "scheduler.json", []
    log = (folder / "log").open("wb")

    def start(*words: str) -> None:
        command = [sys.executable, "-m", "dask", *words, "--host", "127.0.0.1", "--no-dashboard"]
        # Workers find benchmarks.sweeps, which is not installed.
        where = {
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "DASK_TEMPORARY_DIRECTORY": str(folder),
        }
        changed = os.environ | where | environment
        started.append(subprocess.Popen(command, env=changed, stdout=log, stderr=log))

    try:
        start("scheduler", "--port", "0", "--scheduler-file", str(contact))
        while not (contact.exists() and contact.read_text().endswith("}")):
            time.sleep(0.1)
        address = json.loads(contact.read_text())["address"]
        start("worker", address, "--nworkers", "2", "--nthreads", "1")
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        yield address
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(timeout=30)
        log.close()
