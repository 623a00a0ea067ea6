"""A sweep on two Dask workers, on two plain processes, and one cell after the other here.

Cells of ``draws`` use one core (two seconds of NumPy's normal draws), cells of ``replicates`` are
OPAL's own and use, through XLA, as many as there are, or one with ``NPROC=1``. Scheduler and
workers are started as docs/sweeps.md does, with its settings, and once without them. Everything is
warm: modules are imported and functions compiled in every process. Starting the cluster is not
counted; scheduler, workers and their nannies are, all with their CPU time, and so is connecting.

Fixed work can cost more CPU time when cores are shared. The plain processes are the control: they
share cores as the workers do, without Dask. The pulse of a cluster (event loops, profiler) goes by
the clock, so its share grows on a machine that others use too; CPU seconds outside the cells for
each second on the wall are printed beside it. The three sweeps take turns.

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
import tyro

from benchmarks._ways import ways_to_compute
from opal import runner

_N_DRAWS, _N_REPLICATES = 220, 8000  # millions of draws, replicates: two seconds or more a cell
# What docs/sweeps.md starts scheduler and workers with.
_SETTINGS = {
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "67108864",
}
_SWEEPS = {
    "draws, Dask's defaults": ("draws", {}),
    "draws": ("draws", _SETTINGS),
    "replicates": ("replicates", _SETTINGS),
    "replicates, NPROC=1": ("replicates", {**_SETTINGS, "NPROC": "1"}),
}


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
    """Compare a sweep on two Dask workers with two plain processes and with the serial run.

    Example:
        python benchmarks/sweeps.py --json
    """

    json: bool = False
    """Print JSON."""
    tiny: bool = False
    """Tiny cells of draws only, to see that everything runs."""
    only: str = ""
    """Only this sweep, by the name that its line starts with."""
    n_cells: int = 4
    """Cells of each sweep."""
    rounds: int = 2
    """Times that the sweeps take turns; CPU times are summed."""


def draws(work: Work) -> pd.DataFrame:
    """Mean of normal draws, one million after the other."""
    start, rng = time.thread_time(), np.random.default_rng(work.seed)
    mean = np.mean([rng.standard_normal(1_000_000).mean() for _ in range(work.size)])
    return _record(float(mean), time.thread_time() - start)


def replicates(work: Work) -> pd.DataFrame:
    """Mean excess risk of a logistic regression of two Gaussian classes, n = 1000, d = 20."""
    # Workers that draw only need no JAX.
    from opal import simulation
    from opal.objective import Design
    from opal.settings.gaussian_mixture import GaussianMixture

    start = time.process_time()
    setting = GaussianMixture(np.stack([np.zeros(20), np.full(20, 0.3)]))
    design = Design((900, 100), weighting="group")
    metrics = simulation.replicate_metrics(setting, design, key=work.seed, n_replicates=work.size)
    value = float(metrics["excess_balanced_risk"].mean())
    return _record(value, time.process_time() - start)


def _record(value: float, cpu_s: float) -> pd.DataFrame:
    row = {"study": "sweeps", "source": "simulation", "setting": "none", "arm": "none"}
    sizes = {"n_real": 2, "n_min": 1, "n_max": 1}
    return pd.DataFrame([{**row, **sizes, "metric": "value", "value": value, "cpu_s": cpu_s}])


def main(options: Options) -> None:
    """Measure every sweep; print each line as it comes unless JSON is asked for."""
    results = []
    for name in ["draws"] if options.tiny else _SWEEPS:
        if options.only in ("", name):
            results.append(_compare(name, options))
            if not options.json:
                print(_line(results[-1]), flush=True)
    if options.json:
        print(json.dumps({"sweeps": results}))


def _line(entry: dict[str, Any]) -> str:
    sides = "; ".join(
        f"{side} {entry[side]['cpu_s']:.2f} CPU s ({entry[side]['cells_s']:.2f} in cells, "
        f"{entry[side]['wall_s']:.2f} on the wall)"
        for side in ("serial", "processes", "dask")
    )
    spread = " ".join(f"{ratio:.3f}" for ratio in entry["ratios"])
    dask = entry["dask"]
    return (
        f"{entry['sweep']}: {sides}. Ratio to serial {entry['ratio']:.3f} (rounds {spread}), to "
        f"processes {entry['ratio'] / entry['control']:.3f}, of processes to serial "
        f"{entry['control']:.3f}; outside cells {(dask['cpu_s'] - dask['cells_s']):.2f} s, "
        f"{(dask['cpu_s'] - dask['cells_s']) / dask['wall_s']:.3f} s a second; "
        f"records {'identical' if entry['identical'] else 'DIFFERENT'}"
    )


def _compare(sweep: str, options: Options) -> dict[str, Any]:
    """One sweep in all three ways, in turns."""
    name, environment = _SWEEPS[sweep]
    size = 2 if options.tiny else _N_DRAWS if name == "draws" else _N_REPLICATES
    # By its importable name, which workers find; run as a script this module is __main__.
    work = getattr(importlib.import_module("benchmarks.sweeps"), name)
    cells = [runner.Cell(work, Work(seed, size), str(seed)) for seed in range(options.n_cells)]
    # More than one for each worker, so that none stays cold.
    warm = [runner.Cell(work, Work(1000 + s, max(size // 4, 1)), "warm-up") for s in range(4)]
    with (
        tempfile.TemporaryDirectory() as name_of_folder,
        ways_to_compute(name_of_folder, environment) as ways,
    ):
        folder = Path(name_of_folder)
        for side, way in ways.items():
            way.sweep(warm, folder / f"warm-{side}")
        runs = [
            {side: way.sweep(cells, folder / f"{side}-{turn}") for side, way in ways.items()}
            for turn in range(options.rounds)
        ]
    return {
        "sweep": sweep,
        "n_cells": options.n_cells,
        "environment": environment,
        **_summary([{side: seconds for side, (_, seconds) in run.items()} for run in runs]),
        "identical": all(
            frame.drop(columns="cpu_s").equals(runs[0]["serial"][0].drop(columns="cpu_s"))
            for run in runs
            for frame, _ in run.values()
        ),
    }


def _summary(runs: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Seconds of all rounds, and the ratios of CPU times."""
    table = {side: pd.DataFrame([run[side] for run in runs]).sum() for side in runs[0]}
    serial, processes, dask = (table[side]["cpu_s"] for side in ("serial", "processes", "dask"))
    return {
        **{side: seconds.to_dict() for side, seconds in table.items()},
        "ratio": dask / serial,
        "ratios": [run["dask"]["cpu_s"] / run["serial"]["cpu_s"] for run in runs],
        "control": processes / serial,
    }


if __name__ == "__main__":
    main(tyro.cli(Options, description=Options.__doc__))
