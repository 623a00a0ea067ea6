"""Commands compile without fusion emitters; compiled functions go when they fill the maps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from opal import compiled

needs_maps = pytest.mark.skipif(
    not Path("/proc/self/maps").exists(), reason="only Linux tells a process its memory maps"
)


def test_the_installed_xla_takes_the_flag_that_a_command_sets() -> None:
    """If jaxlib was upgraded: see whether it knows the flag, then name its version."""
    code = (
        "import os; from opal.compiled import leave_out_fusion_emitters as leave_out; leave_out();"
        "import jax.numpy as jnp; print(os.environ['XLA_FLAGS'], int(jnp.ones(3).sum()))"
    )
    bare = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    run = [sys.executable, "-c", code]
    said = subprocess.run(run, env=bare, check=True, capture_output=True, text=True).stdout
    assert said.split() == ["--xla_cpu_use_fusion_emitters=false", "3"]


def test_flags_of_the_user_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=true")
    compiled.leave_out_fusion_emitters()
    assert os.environ["XLA_FLAGS"] == "--xla_cpu_use_fusion_emitters=true"
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=here")
    compiled.leave_out_fusion_emitters()
    assert os.environ["XLA_FLAGS"] == "--xla_dump_to=here --xla_cpu_use_fusion_emitters=false"


def test_an_xla_that_may_not_know_the_flag_does_not_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XLA_FLAGS")
    monkeypatch.setattr(compiled, "version", lambda _name: "1.0.0")
    compiled.leave_out_fusion_emitters()
    assert "XLA_FLAGS" not in os.environ


@needs_maps
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


@needs_maps
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
