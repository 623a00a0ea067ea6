"""A sweep on two Dask workers against the same cells, one after the other, in this process.

Cells of ``draws`` use one core (two seconds of normal draws), cells of ``replicates`` are OPAL's
own and use, through XLA, as many as there are; they run again with ``NPROC=1`` in the workers.
Everything is warm: modules are imported and functions compiled in every process. Starting the
cluster is not counted; scheduler, workers and their nannies are, all with their CPU time. The
ratio is CPU time on the cluster over CPU time of the serial run. CPU time of fixed work grows when
cores are shared, so the time outside the cells, which is what Dask costs, is printed beside it.
Most of that is the cluster's pulse (heartbeats, profiler), which goes by the clock: on a machine
that others use too, the same sweep takes longer, and its share is larger.

Run ``python benchmarks/sweeps.py``, or with ``--json``.
"""

from __future__ import annotations

import importlib
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import tyro
from distributed import LocalCluster

from opal import executors, runner

_N_DRAWS, _N_REPLICATES = 220, 8000  # millions of draws, replicates: two seconds or more a cell


@dataclass(frozen=True)
class Work:
    """One cell: which of equal amounts of work.

    Attributes:
        seed: of its random numbers.
        size: millions of draws, or replicates.
    """

    seed: int
    size: int


@dataclass(frozen=True)
class Options:
    """Compare a sweep on two Dask workers with the serial run.

    Example:
        python benchmarks/sweeps.py --json
    """

    json: bool = False
    """Print JSON."""
    tiny: bool = False
    """Tiny cells of draws only, to see that everything runs."""
    n_cells: int = 8
    """Cells of each sweep."""


def draws(work: Work) -> pd.DataFrame:
    """Mean of normal draws, one million after the other."""
    start, rng = time.thread_time(), np.random.default_rng(work.seed)
    mean = np.mean([rng.standard_normal(1_000_000).mean() for _ in range(work.size)])
    return _record(float(mean), time.thread_time() - start)


def replicates(work: Work) -> pd.DataFrame:
    """Mean excess risk of a logistic regression of two Gaussian classes, n = 1000, d = 20."""
    # Workers that draw only need no JAX.
    from opal import simulate
    from opal.objective import Design
    from opal.settings.gaussian_mixture import GaussianMixture

    start = time.process_time()
    setting = GaussianMixture(np.stack([np.zeros(20), np.full(20, 0.3)]))
    design = Design((900, 100), weighting="group")
    metrics = simulate.replicate_metrics(setting, design, key=work.seed, n_replicates=work.size)
    value = float(metrics["excess_balanced_risk"].mean())
    return _record(value, time.process_time() - start)


def _record(value: float, cpu_s: float) -> pd.DataFrame:
    row = {"study": "sweeps", "source": "simulation", "setting": "none", "arm": "none"}
    sizes = {"n_real": 2, "n_min": 1, "n_max": 1}
    return pd.DataFrame([{**row, **sizes, "metric": "value", "value": value, "cpu_s": cpu_s}])


def main(options: Options) -> None:
    """Measure every sweep; print each line as it comes unless JSON is asked for."""
    sweeps: list[tuple[str, int, dict[str, str]]] = [("draws", 2 if options.tiny else _N_DRAWS, {})]
    if not options.tiny:
        sweeps += [("replicates", _N_REPLICATES, env) for env in ({}, {"NPROC": "1"})]
    results = []
    for name, size, environment in sweeps:
        results.append(_compare(name, size, environment, options.n_cells))
        if not options.json:
            print(_line(results[-1]), flush=True)
    if options.json:
        print(json.dumps({"sweeps": results}))


def _line(entry: dict[str, Any]) -> str:
    serial, dask = entry["serial"], entry["dask"]
    return (
        f"{entry['n_cells']} cells of {entry['cells']} {entry['environment'] or ''}: "
        f"serial {serial['cpu_s']:.2f} CPU s ({serial['wall_s']:.2f} s), "
        f"Dask {dask['cpu_s']:.2f} CPU s ({dask['wall_s']:.2f} s), ratio {entry['ratio']:.3f}; "
        f"outside the cells {dask['outside_s']:.2f} s = {entry['overhead']:.1%}, "
        f"{dask['outside_s'] / dask['wall_s']:.3f} s a second; "
        f"records {'identical' if entry['identical'] else 'DIFFERENT'}"
    )


def _compare(name: str, size: int, environment: dict[str, str], n_cells: int) -> dict[str, Any]:
    """One sweep in this process, then on two workers started with ``environment``."""
    # By its importable name, which workers find; run as a script this module is __main__.
    work = getattr(importlib.import_module("benchmarks.sweeps"), name)
    cells = [runner.Cell(work, Work(seed, size), str(seed)) for seed in range(n_cells)]
    # More than one for each worker, so that none stays cold.
    warm_up = [runner.Cell(work, Work(1000 + seed, size), "warm-up") for seed in range(4)]
    with tempfile.TemporaryDirectory() as folder:
        _sweep(warm_up[:1], Path(folder) / "warm", None)
        expected, serial = _sweep(cells, Path(folder) / "serial", None)
        start = time.perf_counter()
        with LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, env=environment
        ) as cluster:
            seconds = time.perf_counter() - start
            _sweep(warm_up, Path(folder) / "warm-dask", cluster.scheduler_address)
            frame, dask = _sweep(cells, Path(folder) / "dask", cluster.scheduler_address)
    return {
        "cells": name,
        "n_cells": n_cells,
        "environment": environment,
        "start_s": seconds,
        "serial": serial,
        "dask": dask,
        "ratio": dask["cpu_s"] / serial["cpu_s"],
        "overhead": dask["outside_s"] / serial["cpu_s"],
        "identical": frame.drop(columns="cpu_s").equals(expected.drop(columns="cpu_s")),
    }


def _sweep(
    cells: list[runner.Cell], out: Path, scheduler: str | None
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Records and seconds of one sweep: on the wall, of all processors, and outside the cells."""
    start, cpu = time.perf_counter(), _cpu_seconds()
    with executors.executor(1, scheduler, out) as executor:
        frame = runner.run(cells, out, executor=executor, progress=False)
    wall_s, cpu_s = time.perf_counter() - start, _cpu_seconds() - cpu
    inside = float(frame["cpu_s"].sum())
    return frame, {"wall_s": wall_s, "cpu_s": cpu_s, "outside_s": cpu_s - inside}


def _cpu_seconds() -> float:
    """CPU time of this process and of all that it has started and that still run."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    times = [process.cpu_times() for process in processes]
    return sum(t.user + t.system for t in times)


if __name__ == "__main__":
    main(tyro.cli(Options, description=Options.__doc__))
