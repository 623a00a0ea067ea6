"""A wheel beside a user's own ``simulations/``: it neither takes that name nor loses to it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from opal.cli import registry

ROOT = Path(__file__).parents[2]
TAKEN = ("simulations", "paper_figures")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel, with one study more."""
    pytest.importorskip("hatchling")
    target = tmp_path_factory.mktemp("installed")
    build = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(target)], cwd=ROOT, check=True, timeout=60)
    (wheel,) = target.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    shutil.copy(Path(__file__).with_name("example_study.py"), target / "opal" / "simulations")
    return target


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Run:
    """``python -m opal`` of the wheel, in a folder that has packages of these names."""
    for name in TAKEN:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()

    def opal(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "opal", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return opal


def test_the_wheel_takes_no_other_name(installed: Path) -> None:
    names = {path.name for path in installed.iterdir() if path.suffix not in (".whl", ".dist-info")}
    assert names == {"opal"}


def test_studies_and_figures_are_found_beside_others_of_the_name(run: Run) -> None:
    found = json.loads(run("list", "--json").stdout)
    studies = {study["name"] for study in found["studies"]}
    assert studies == {*registry.claims("study"), "example_study"}
    assert {figure["name"] for figure in found["figures"]} == {*registry.claims("figure")}


def test_worker_processes_find_the_cells_of_the_wheel(run: Run, tmp_path: Path) -> None:
    result = run("run", "example_study", "--workers", "2", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["n_rows"] == 3
    sidecar = next((tmp_path / "results" / "cells" / "example_study").glob("*.json"))
    assert json.loads(sidecar.read_text())["function"] == "opal.simulations.example_study.square"


def test_no_study_or_figure_imports_by_a_name_that_others_may_have(
    installed: Path, run: Run
) -> None:
    result = run("figures", "no_such_figure")
    assert result.returncode == 2
    assert "imbalance" in result.stderr
    sources = [path for name in TAKEN for path in (installed / "opal" / name).glob("*.py")]
    assert not [path.name for path in sources if f"from {TAKEN[0]}" in path.read_text()]


@pytest.mark.parametrize("name", TAKEN)
def test_a_checkout_does_not_need_its_name_either(name: str, run: Run, tmp_path: Path) -> None:
    """The checkout goes first on the path of ``python -m opal``, before the working folder."""
    found = subprocess.run(
        [sys.executable, "-m", "opal", "list", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    kind = {"simulations": "studies", "paper_figures": "figures"}[name]
    assert "imbalance" in {each["name"] for each in json.loads(found.stdout)[kind]}
