"""Strict JAX, quiet machines and checked shapes, for every test and doctest."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Set before anything heavy is imported, and inherited by the processes that tests start.
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads starve the other processes
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["JAX_ENABLE_X64"] = "1"
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # Tests, their workers and the processes that they start compile the same functions: once is
    # enough. The folder is new for each run, so that no run depends on the one before.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="opal-tests-compiled-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
if "OPAL_GENERATORS" not in os.environ:
    os.environ["OPAL_GENERATORS"] = tempfile.mkdtemp(prefix="opal-tests-generators-")
    atexit.register(shutil.rmtree, os.environ["OPAL_GENERATORS"], ignore_errors=True)
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
# Compilation is most of a test's time, and making code fast that runs once most of that: a function
# of the simulation takes 1.0 s instead of 5.2 without LLVM's optimisation (2.5) and XLA's fusion
# emitters. The figures, whose checks are tests too, run what users run.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false",
)

import jax
import pytest
from beartype import beartype
from beartype.roar import BeartypeDecorHintPep3119Exception
from jaxtyping import install_import_hook

from opal.compiled import release_when_many

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")


def check_shapes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check annotated shapes and types at each call, where that can be done.

    Two kinds stay as they are: constructors, since ``vmap`` rebuilds a dataclass with one axis more
    than its annotations say; and functions of a protocol, which cannot be told by ``isinstance``.
    """
    if function.__name__ == "__init__":
        return function
    try:
        checked: Callable[..., Any] = beartype(function)
    except BeartypeDecorHintPep3119Exception:
        return function
    return checked


# Shapes and dtypes in the annotations of the numerical rooms hold whenever a test calls them.
NUMERICAL_ROOMS = (
    *("draws", "losses", "newton", "settings", "synthesis", "objective"),
    *("estimators", "risk", "simulation", "regression", "theory"),
)
install_import_hook([f"opal.{room}" for room in NUMERICAL_ROOMS], "conftest.check_shapes")

# Files whose tests take longest, which therefore start first: a worker that began one of them last
# would finish alone.
LONGEST = (
    *("tests/test_figures.py", "tests/simulations/test_studies.py", "tests/test_notebooks.py"),
    *("tests/theory/test_asymptotics.py", "tests/theory/test_cavity.py"),
    "tests/test_benchmarks.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest files start first, and all others in the order of their names."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.nodeid.split("::")[0], len(rank)))


@pytest.fixture(scope="module", autouse=True)
def few_compiled_functions() -> Iterator[None]:
    """Let go of compiled functions between modules, before the process runs out of memory maps."""
    yield
    release_when_many()


@pytest.fixture(scope="session", autouse=True)
def private_config_folders() -> Iterator[None]:
    """Keep what matplotlib and Jupyter write about themselves out of the user's home."""
    names = ("MPLCONFIGDIR", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")
    with (
        tempfile.TemporaryDirectory(prefix="opal-tests-") as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name in names:
            patch.setenv(name, str(Path(folder) / name.lower()))
        yield
