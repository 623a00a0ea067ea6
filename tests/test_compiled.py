"""Compiled functions are let go when they fill the process's memory maps, and only then."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from opal import compiled

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/maps").exists(), reason="only Linux tells a process its memory maps"
)


def test_compiled_functions_are_dropped_past_the_share() -> None:
    traces = []

    @jax.jit
    def double(x: jax.Array) -> jax.Array:
        traces.append(x.shape)
        return 2 * x

    double(jnp.ones(3))
    assert not compiled.release_when_many(share=1.0)
    double(jnp.ones(3))
    assert len(traces) == 1
    assert compiled.release_when_many(share=0.0)
    assert double(jnp.ones(3)).tolist() == [2.0, 2.0, 2.0]
    assert len(traces) == 2


def test_dropping_gives_maps_back() -> None:
    def maps() -> int:
        return Path("/proc/self/maps").read_bytes().count(b"\n")

    functions = [jax.jit(lambda x, k=k: jnp.sort(jnp.sin(x) + k)) for k in range(20)]
    for function in functions:
        function(jnp.ones(7))
    before = maps()
    del functions
    compiled.release_when_many(share=0.0)
    assert maps() < before
