"""Replicates and fits of OPAL against the loop a user would write with NumPy and scikit-learn.

Design: two Gaussian classes 9 to 1, unpenalised logistic regression, both classes with the same
total weight. A replicate draws n rows, weighs them, fits, and takes the balanced risk: exactly
here, on 20,000 fresh test points there. The peer has the fastest of scikit-learn's solvers, with
BLAS on one thread or on all, whichever is faster. Both sides are given 1e-9 as tolerance; where
scikit-learn stops earlier, a gradient above 1e-7 (for weights of sum one) disqualifies the solver.
Both are warm and take turns in one process; each time is the least of several. Replicates run on
all cores, as a user's do, and in turn, one call after another. Fits are one call.

Run ``python benchmarks/replicates.py``, or with ``--json``: seconds are per replicate and per fit.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from unittest.mock import patch

import jax
import numpy as np
import tyro
from threadpoolctl import threadpool_limits

from benchmarks._peer import Peer, fastest, time_of
from opal import chunks, risk, simulation
from opal.draws import as_key, replicate_keys
from opal.estimators import fit_logistic
from opal.objective import Design, RowWeights
from opal.settings.gaussian_mixture import GaussianMixture
from opal.training_rows import training_rows


class Size(NamedTuple):
    """Rows and dimension, how many replicates are timed at once, and the ratios asked for."""

    n: int
    d: int
    n_opal: int
    n_peer: int
    replicate_ratio: float = 0.0
    fit_ratio: float = 0.0

    @property
    def setting(self) -> GaussianMixture:
        """Classes whose means are 1.5 standard deviations apart."""
        return GaussianMixture(np.stack([np.zeros(self.d), np.full(self.d, 1.5 / self.d**0.5)]))

    @property
    def design(self) -> Design:
        """Classes 9 to 1 that weigh the same."""
        return Design((self.n - self.n // 10, self.n // 10), weighting="group")


# Both sides of a turn take about as long, so that both profit alike from a quiet moment.
SIZES = (
    Size(200, 10, 4000, 20, replicate_ratio=150, fit_ratio=25),
    Size(1000, 20, 800, 12, replicate_ratio=50, fit_ratio=5),
    Size(5000, 20, 160, 10, replicate_ratio=16, fit_ratio=3),
    Size(5000, 100, 16, 5, replicate_ratio=7, fit_ratio=1.2),
)
TINY = (Size(100, 3, 20, 2),)
_MEMORY_SIZE = (1000, 20)


@dataclass(frozen=True)
class Options:
    """Compare the speed of replicates and fits with NumPy and scikit-learn.

    Example:
        python benchmarks/replicates.py --json
    """

    json: bool = False
    """Print JSON."""
    tiny: bool = False
    """One tiny size, to see that everything runs."""
    repeats: int = 10
    """Turns of each side; the fastest counts."""
    memory_replicates: int = 100_000
    """Replicates of (1000, 20) whose peak memory is measured."""


def main(options: Options) -> None:
    """Measure everything; print each line as it comes unless JSON is asked for."""
    results: dict[str, Any] = {"replicates": [], "in_turn": [], "fits": [], "shares": []}
    # First, because Linux counts the peak of the parent at the start of a child as the child's.
    results["memory"] = memory = _memory(options.memory_replicates)
    if not options.json:
        print("{n_replicates:,} of {size}: peak {gib:.2f} GiB, {seconds:.0f} s".format(**memory))
    for size in TINY if options.tiny else SIZES:
        peer = fastest(size.design.counts, size.setting.means[:, 0])
        with jax.enable_x64(True), threadpool_limits(peer.threads):
            fits = _compare(size, *_fits(size, peer), options.repeats)
            replicates = _compare(size, *_replicates(size, peer), options.repeats)
            with patch.dict(os.environ, LOKY_MAX_CPU_COUNT="1"):
                in_turn = _compare(size, *_replicates(size, peer), options.repeats)
            shares = _shares(size, in_turn["seconds"])
        results["fits"].append(fits)
        results["replicates"].append(replicates)
        results["in_turn"].append(in_turn)
        results["shares"].append({"n": size.n, "d": size.d, **shares})
        if not options.json:
            print(f"(n, d) = ({size.n}, {size.d}), peer {peer.solver}, threads {peer.threads}")
            print(f"  replicates {_line(replicates, size.replicate_ratio)}")
            print(f"  in turn    {_line(in_turn)}")
            print(f"  fits       {_line(fits, size.fit_ratio)}")
            print("  share of " + ", ".join(f"{k} {v:.0%}" for k, v in shares.items()), flush=True)
    if options.json:
        print(json.dumps(results))


def _line(entry: dict[str, float], asked: float | None = None) -> str:
    ours, theirs = 1e6 * entry["seconds"], 1e6 * entry["peer_seconds"]
    goal = f" (asked {asked:g}x)" if asked is not None else ""
    return f"{entry['ratio']:5.1f}x{goal}: {ours:.0f} against {theirs:.0f} µs"


def _compare(
    size: Size, ours: Callable[[], object], theirs: Callable[[], object], repeats: int
) -> dict[str, float]:
    """Seconds of one replicate or fit on each side; the sides take turns."""
    ours(), theirs()  # warm
    pairs = [(time_of(ours), time_of(theirs)) for _ in range(repeats)]
    seconds, peer_seconds = (min(times) for times in zip(*pairs, strict=True))
    seconds, peer_seconds = seconds / size.n_opal, peer_seconds / size.n_peer
    return {
        "n": size.n,
        "d": size.d,
        "ratio": peer_seconds / seconds,
        "seconds": seconds,
        "peer_seconds": peer_seconds,
    }


def _replicates(size: Size, peer: Peer) -> tuple[Callable[[], object], Callable[[], object]]:
    """Whole replicates on each side."""
    setting, design, rng = size.setting, size.design, np.random.default_rng(0)
    ours = partial(
        simulation.replicate_metrics,
        *(setting, design),
        key=0,
        n_replicates=size.n_opal,
        calibration=False,
    )
    return ours, lambda: [peer.replicate(rng) for _ in range(size.n_peer)]


def _fits(size: Size, peer: Peer) -> tuple[Callable[[], object], Callable[[], object]]:
    """Fits alone on each side, of features that are there."""
    rng = np.random.default_rng(0)
    x = np.stack([peer.draw(peer.labels, rng) for _ in range(size.n_opal)])
    y, weights = jax.device_put(peer.labels), jax.device_put(peer.weights / size.n)
    chunk = chunks.default_size(size.design.n_rows, size.d, size.n_opal)

    @jax.jit
    def fit(x: jax.Array) -> jax.Array:
        return chunks.map_in_chunks(lambda rows: fit_logistic(rows, y, weights).theta, x, chunk)

    on_device = jax.device_put(x)
    return (
        lambda: jax.block_until_ready(fit(on_device)),
        lambda: [peer.fit(rows) for rows in x[: size.n_peer]],
    )


def _shares(size: Size, seconds: float) -> dict[str, float]:
    """Shares of the time of a replicate in turn; drawing and risk are timed alone."""
    law, design = size.setting.law, size.design
    weights = RowWeights(*(np.asarray(w) for w in design.row_weights()))
    chunk = chunks.default_size(design.n_rows, size.d, size.n_opal)

    def draw(index: jax.Array) -> jax.Array:
        key = replicate_keys(as_key(0), index[None])[0]
        none = (design.n_oversampled, (0, 0))
        rows, w = training_rows(law, None, weights, design.counts, none, key=key)
        return rows.x.sum() + w.sum()

    def metrics(theta: jax.Array) -> dict[str, jax.Array]:
        values = risk.exact_metrics(law, theta, design.counts, best_risk=0.0)
        return {name: v for name, v in values.items() if name != "calibration_error"}

    def alone(function: Callable[..., Any], over: np.ndarray) -> float:
        mapped = jax.jit(lambda values: chunks.map_in_chunks(function, values, chunk))
        work = partial(lambda values: jax.block_until_ready(mapped(values)), jax.device_put(over))
        work()
        return min(time_of(work) for _ in range(5)) / len(over) / seconds

    drawing = alone(draw, np.arange(size.n_opal))
    risks = alone(metrics, np.random.default_rng(0).normal(size=(size.n_opal, size.d + 1)))
    return {"drawing": drawing, "fitting": 1 - drawing - risks, "risk": risks}


def _memory(n_replicates: int) -> dict[str, Any]:
    """Peak resident memory of a worker process, which has one core, that computes many."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_many_replicates, n_replicates).result()


def _many_replicates(n_replicates: int) -> dict[str, Any]:
    size = Size(*_MEMORY_SIZE, n_replicates, 0)
    start = time.perf_counter()
    simulation.replicate_metrics(size.setting, size.design, key=0, n_replicates=n_replicates)
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "n_replicates": n_replicates,
        "size": list(_MEMORY_SIZE),
        "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30,
        "seconds": time.perf_counter() - start,
    }


if __name__ == "__main__":
    main(tyro.cli(Options, description=Options.__doc__))
