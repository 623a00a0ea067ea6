"""Compiled functions on several cores at once."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

Value = TypeVar("Value")
Result = TypeVar("Result")
# Contexts of JAX, each a thread's own, in which numbers or errors differ.
_CONTEXTS = (
    "check_tracer_leaks", "debug_infs", "debug_nans", "default_device", "default_matmul_precision",
    "disable_jit", "numpy_dtype_promotion", "numpy_rank_promotion", "threefry_partitionable",
    "transfer_guard_device_to_device", "transfer_guard_device_to_host",
    "transfer_guard_host_to_device",
)  # fmt: skip


def cores() -> int:
    """Cores that this process should compute on.

    All that it may use by its affinity and by the limits of its container, or as many as
    ``LOKY_MAX_CPU_COUNT`` allows; one in a worker process, which has others beside it, and with an
    accelerator, which takes calls in turn.

    Raises:
        ValueError: ``LOKY_MAX_CPU_COUNT`` is no whole number.
    """
    import jax

    if multiprocessing.parent_process() is not None or jax.default_backend() != "cpu":
        return 1
    from joblib import cpu_count

    try:
        return int(cpu_count())
    except ValueError as error:
        raise ValueError(
            "LOKY_MAX_CPU_COUNT is a whole number of cores; got "
            f"{os.environ.get('LOKY_MAX_CPU_COUNT')!r}. Correct this variable, or unset it."
        ) from error


def map_in_threads(
    function: Callable[[Value], Result], values: Iterable[Value], at_once: int
) -> list[Result]:
    """What a compiled function gives for each of some values, computed in float64.

    Calls are made in the contexts of JAX that the caller has entered, in whatever thread.

    Args:
        function: of one value; it must be safe to call from several threads at once, which batched
            LU and QR of XLA are not.
        values: what it is called with.
        at_once: calls that may run at the same time.

    Returns:
        The results on the host, in the order of the values.
    """
    import jax

    there = [name for name in _CONTEXTS if hasattr(jax, name)]  # JAX drops one now and then
    contexts = [(getattr(jax, name), getattr(jax.config, f"jax_{name}")) for name in there]
    contexts.append((jax.enable_x64, True))

    def call(value: Value) -> Result:
        with ExitStack() as entered:
            for context, setting in contexts:
                entered.enter_context(context(setting))
            found: Result = jax.device_get(function(value))
            return found

    if at_once == 1:
        return [call(value) for value in values]
    with ThreadPoolExecutor(at_once) as pool:
        try:
            return list(pool.map(call, values))
        except BaseException:  # an interrupt while calls are handed out leaves them all waiting
            pool.shutdown(wait=False, cancel_futures=True)
            raise
