"""Replicates in chunks: how many at once, so that they fit the cache, the memory and the cores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from opal import threads

_CACHE_BYTES = 4e6  # replicates of a chunk should stay in a core's cache
_ACCELERATOR_BYTES = 2e9
_CALL_BYTES = 3e7  # of a call, whose rows are all made first: little enough that memory is reused
_CALLS_BYTES = 1e9  # of the calls that run at the same time; a single call may take more


def map_in_chunks(function: Callable[[Any], Any], values: Any, chunk_size: int) -> Any:
    """``function`` of each of ``values`` [R, …], a chunk at a time; R is a multiple of the chunk.

    One at a time is not a batch of one: XLA multiplies such a batch twice as slowly.
    """
    return jax.lax.map(function, values, batch_size=chunk_size if chunk_size > 1 else None)


def default_size(n_rows: int, dim: int, n_replicates: int) -> int:
    """Replicates whose rows fit the cache; a function of shapes and backend only.

    Args:
        n_rows: training rows of a replicate.
        dim: columns of a row.
        n_replicates: replicates that there are.
    """
    budget = _CACHE_BYTES if jax.default_backend() == "cpu" else _ACCELERATOR_BYTES
    return int(np.clip(budget // _bytes_each(n_rows, dim), 1, n_replicates))


def calls_at_once(n_rows: int, dim: int, chunk_size: int) -> int:
    """Calls to run at the same time: one on each core, as far as memory goes."""
    fit_memory = _CALLS_BYTES // max(_CALL_BYTES, chunk_size * _bytes_each(n_rows, dim))
    return int(max(1, min(threads.cores(), fit_memory)))


def of_replicates(
    n_rows: int, dim: int, n_replicates: int, chunk_size: int, at_once: int
) -> list[np.ndarray]:
    """Replicate indices [n_chunks, chunk] of equal calls, so that one compilation serves all."""
    most = max(1, int(_CALL_BYTES / (chunk_size * _bytes_each(n_rows, dim))))
    n_chunks = -(-n_replicates // chunk_size)
    rounds = -(-n_chunks // (most * at_once))
    per_call = -(-n_chunks // min(rounds * at_once, n_chunks))
    n_calls = -(-n_chunks // per_call)
    indices = np.arange(n_calls * per_call * chunk_size)
    return list(indices.reshape(n_calls, per_call, chunk_size))


def of_rules(theta: np.ndarray, chunk_size: int, n_calls: int) -> list[np.ndarray]:
    """Rules [R, p] of equal calls [n_chunks, chunk, p]; the first ones again at the end."""
    chunk_size = min(chunk_size, len(theta))
    n_chunks = -(-len(theta) // chunk_size)
    n_calls = min(n_calls, n_chunks)
    n_chunks = -(-n_chunks // n_calls) * n_calls
    return np.split(np.resize(theta, (n_chunks, chunk_size, theta.shape[-1])), n_calls)


def _bytes_each(n_rows: int, dim: int) -> int:
    """What the rows of a replicate and the work on them take, about."""
    return 20 * n_rows * (dim + 1)
