"""Calls on several cores: their order, precision and number, and who gets one core only."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from threading import Barrier, Lock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opal import threads


@pytest.mark.parametrize("at_once", [1, 3])
def test_results_come_in_order_and_in_float64(at_once: int) -> None:
    shifted = jax.jit(lambda x: jnp.asarray(x) + 0.1)
    found = threads.map_in_threads(shifted, np.arange(20.0), at_once)
    assert all(isinstance(each, np.ndarray) for each in found)
    np.testing.assert_array_equal(found, np.arange(20.0) + 0.1)


@pytest.mark.parametrize("at_once", [1, 3])
def test_contexts_of_the_caller_are_those_of_the_calls(at_once: int) -> None:
    root = jax.jit(jnp.sqrt)
    with jax.debug_nans(True), pytest.raises(FloatingPointError):
        threads.map_in_threads(root, -np.arange(9.0), at_once)
    draws = jax.jit(lambda seed: jax.random.uniform(jax.random.key(seed), (3,)))
    found = []
    for partitionable in (False, True):
        with jax.threefry_partitionable(partitionable):
            found.append(np.array(threads.map_in_threads(draws, range(6), at_once)))
            np.testing.assert_array_equal(found[-1][5], threads.map_in_threads(draws, [5], 1)[0])
    assert (found[0] != found[1]).all()


@pytest.mark.timeout(60)
def test_so_many_run_at_once_and_no_more() -> None:
    both, lock = Barrier(2), Lock()
    running, most = 0, 0

    def call(value: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait(30)  # a single thread would wait here for ever
        with lock:
            running -= 1
        return value

    assert threads.map_in_threads(call, range(8), 2) == [*range(8)]
    assert most == 2


def test_an_error_ends_the_calls_that_wait() -> None:
    began = []

    def call(value: int) -> None:
        began.append(value)
        raise ValueError(f"no {value}")

    with pytest.raises(ValueError, match="no 0"):
        threads.map_in_threads(call, range(10_000), 2)
    assert len(began) < 10_000


def test_an_interrupt_while_calls_are_handed_out_ends_them() -> None:
    began = []

    def interrupted() -> Iterator[float]:
        yield from [0.01] * 1000
        raise KeyboardInterrupt

    def call(seconds: float) -> None:
        began.append(seconds)
        time.sleep(seconds)

    with pytest.raises(KeyboardInterrupt):
        threads.map_in_threads(call, interrupted(), 2)
    assert len(began) < 1000


def test_a_user_can_say_how_many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    assert threads.cores() >= 1
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert threads.cores() == 1
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "half")
    with pytest.raises(ValueError, match=r"LOKY_MAX_CPU_COUNT is a whole number .* got 'half'"):
        threads.cores()


def test_a_worker_process_has_one_core() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(threads.cores).result() == 1
