"""Compiled functions on several cores at once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Value = TypeVar("Value")
Result = TypeVar("Result")


def cores() -> int:
    """Cores that this process should compute on.

    All that it may use by its affinity and by the limits of its container, or as many as
    ``LOKY_MAX_CPU_COUNT`` allows; one in a worker process, which has others beside it, and with an
    accelerator, which takes calls in turn.
    """
    import jax

    if multiprocessing.parent_process() is not None or jax.default_backend() != "cpu":
        return 1
    from joblib import cpu_count

    return int(cpu_count())


def each(
    function: Callable[[Value], Result], values: Iterable[Value], at_once: int
) -> list[Result]:
    """What a compiled function gives for each of some values, computed in float64.

    Args:
        function: of one value; it must be safe to call from several threads at once, which batched
            LU and QR of XLA are not.
        values: what it is called with.
        at_once: calls that may run at the same time.

    Returns:
        The results on the host, in the order of the values.
    """
    import jax

    def call(value: Value) -> Result:
        with jax.enable_x64(True):  # which is a thread's own
            found: Result = jax.device_get(function(value))
            return found

    if at_once == 1:
        return [call(value) for value in values]
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(call, values))
