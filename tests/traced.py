"""A study whose cells leave a trace of every computation, and what a run of it left behind."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from opal.runner import Cell


@dataclass(frozen=True)
class Config:
    """Cells sleep, and then end well, ``fail``, or ``die`` with their process.

    ``out`` and ``tables``: a cell that fails does so once that folder holds so many tables.
    """

    index: int
    folder: str
    wait: float = 0.0
    fate: str = ""
    out: str = ""
    tables: int = 0


def compute(config: Config) -> pd.DataFrame:
    """Three records of a cell."""
    (Path(config.folder) / f"{config.index}_{os.getpid()}_{time.monotonic_ns()}").touch()
    time.sleep(config.wait)
    if config.fate == "fail":
        if config.tables:
            wait_for(lambda: len(digests(Path(config.out))) >= config.tables)
        raise RuntimeError(f"cell {config.index} cannot be computed")
    if config.fate == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    value = np.random.default_rng(config.index).normal(size=3)
    return pd.DataFrame(
        {
            "study": "traced",
            "source": "data",
            "setting": "none",
            "arm": "a",
            "n_real": 2,
            "n_min": 1,
            "n_max": 1,
            "metric": ["x", "y", "z"],
            "value": value,
        }
    )


def simulate(config: Config) -> pd.DataFrame:
    """Three records that JAX computes."""
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        x = jax.random.normal(jax.random.key(config.index), (40, 3))
        factor = jax.jit(lambda x: jnp.linalg.cholesky(x.T @ x))(x)
    return compute(config).assign(value=np.diag(factor))


def cells(folder: Path | str, n: int, wait: float = 0.0, *, slow: int | None = None) -> list[Cell]:
    """Cells 0 to n − 1, all of which wait, or only the ``slow`` one."""
    waits = [wait if slow in (None, i) else 0.0 for i in range(n)]
    return [Cell(compute, Config(i, str(folder), waits[i]), f"cell {i}") for i in range(n)]


def computed(folder: Path) -> list[int]:
    """Index of the cell of every computation that was started."""
    return sorted(int(path.name.split("_")[0]) for path in folder.iterdir())


def processes_of(folder: Path, index: int | None = None) -> set[int]:
    """The processes that started a cell, or any."""
    found = [path.name.split("_") for path in folder.iterdir()]
    return {int(pid) for i, pid, _ in found if index is None or int(i) == index}


def digests(out: Path) -> dict[str, str]:
    """Hash of every table that a run wrote."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in out.glob("*.parquet")}


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
