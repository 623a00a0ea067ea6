"""How the time and the memory of a simulation grow: with synthetic rows, and with replicates.

Two Gaussian classes 9 to 1 and an oracle with a bias. Rows: one replicate with N more rows of each
class, at (1000, 20). Replicates: R of them at (200, 10). Each size has a process of its own, whose
compilations are not timed; told is the most memory that it held, and between neighbouring sizes
the power of the size as which seconds of CPU grow.

Run ``python -m benchmarks.growth``, or with ``--json``.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import tyro

from benchmarks._turns import times
from opal import simulation
from opal.objective import Design
from opal.settings.bias import Bias
from opal.settings.gaussian_mixture import GaussianMixture
from opal.synthesis.oracle import Oracle


@dataclass(frozen=True)
class Options:
    """What is measured."""

    rows: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
    """Synthetic rows of each class."""
    replicates: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    """Replicates of a design of few rows."""
    json: bool = False
    """Print JSON."""


def measured(kind: str, size: int) -> dict[str, Any]:
    """Seconds and memory of one size; for a process of its own."""
    d, n = (20, 1000) if kind == "rows" else (10, 200)
    setting = GaussianMixture(np.stack([np.zeros(d), np.full(d, 1.5 / d**0.5)]))
    counts = (n - n // 10, n // 10)
    maker = Oracle.biased(setting.law, Bias(mean_shift=0.1))
    added = size if kind == "rows" else n
    design = Design(counts, maker, n_augmented=added, alpha=0.5, oversample="none")
    n_replicates = 1 if kind == "rows" else size

    def simulated(key: int) -> None:
        simulation.replicate_metrics(setting, design, key=key, n_replicates=n_replicates)

    simulated(0)
    seconds, cpu_seconds = times(lambda: simulated(1))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"size": size, "seconds": seconds, "cpu_seconds": cpu_seconds, "gib": peak}


def powers(found: Sequence[dict[str, Any]]) -> list[float]:
    """Slopes of CPU seconds on a log-log line, between neighbouring sizes."""
    size, spent = (np.log([each[name] for each in found]) for name in ("size", "cpu_seconds"))
    return list(np.diff(spent) / np.diff(size))


def main(options: Options) -> None:
    """Measure and print."""
    results: dict[str, Any] = {}
    for kind, sizes in (("rows", options.rows), ("replicates", options.replicates)):
        results[kind] = []
        for size in sizes:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                entry = pool.submit(measured, kind, size).result()
            results[kind].append(entry)
            if not options.json:
                print(
                    f"{entry['size']:>12,} {kind}: {entry['seconds']:.3g} s, "
                    f"{entry['cpu_seconds']:.3g} s of CPU, {entry['gib']:.2f} GiB",
                    flush=True,
                )
        each = results[f"{kind}_powers"] = powers(results[kind])
        if not options.json:
            print(f"{kind} grow as the powers {', '.join(f'{power:.2f}' for power in each)}")
    if options.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
