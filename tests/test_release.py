"""What a release is: an sdist and a wheel that run where nothing but their requirements is.

Everything is installed from a package index into environments of a temporary folder, once with the
lowest versions that ``pyproject.toml`` allows and once with the newest.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TWINE = "twine==7.0.0"
RUNS = "n,error,seed\n" + "\n".join(
    f"{n},{0.05 + 2 * n**-0.5 * (1 + 0.01 * (-1) ** (seed * i)):.6f},{seed}"
    for i, n in enumerate((100, 200, 400, 800, 1600, 3200))
    for seed in range(4)
)


def ran(*words: str | Path, at: Path) -> str:
    """Standard output of a program that must succeed, with no package of this checkout on its path.

    What this process says about imports and JAX stays here: a user's shell says nothing.
    """
    ours = ("JAX_", "PYTHON", "XLA_", "VIRTUAL_ENV")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    result = subprocess.run(
        [str(word) for word in words],
        cwd=at,
        env={**kept, "OPAL_TINY": "1", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"{words}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def uv(*words: str | Path, at: Path) -> str:
    """Run uv of this environment."""
    return ran(sys.executable, "-m", "uv", "--quiet", *words, at=at)


def require_index(folder: Path) -> None:
    """Skip where no package index answers."""
    if importlib.util.find_spec("uv") is None:
        pytest.skip("uv is not installed here; the extra dev has it")
    asked = subprocess.run(
        [sys.executable, "-m", "uv", "pip", "compile", "--no-cache", "-"],
        input="packaging\n",
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode != 0:
        pytest.skip(f"no package index can be reached: {asked.stderr.strip()[-300:]}")


class Release(NamedTuple):
    """The two files of a release."""

    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Both files, the wheel built from the sdist as an installer without wheels would."""
    folder = tmp_path_factory.mktemp("release")
    require_index(folder)
    uv("build", "--out-dir", folder, ROOT, at=folder)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Release(sdist, wheel)


def test_an_index_would_take_both(release: Release, tmp_path: Path) -> None:
    check = ("tool", "run", "--from", TWINE, "twine", "check", "--strict")
    said = uv(*check, *release, at=tmp_path)
    assert said.count("PASSED") == 2


def test_the_wheel_has_all_that_runs_and_no_more(release: Release) -> None:
    assert f"-{PROJECT['version']}-" in release.wheel.name
    with zipfile.ZipFile(release.wheel) as archive:
        names = set(archive.namelist())
    inside = {name for name in names if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in inside} == {"opal"}
    tracked = subprocess.run(
        ["git", "ls-files", "opal", "simulations", "paper_figures"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    wanted = {re.sub(r"^(simulations|paper_figures)/", r"opal/\1/", name) for name in tracked}
    assert inside == wanted
    assert "opal/py.typed" in inside
    assert "opal/bridge/report.html.j2" in inside
    assert not [name for name in inside if "test" in Path(name).stem.split("_")]


def test_the_sdist_has_what_a_developer_needs(release: Release) -> None:
    with tarfile.open(release.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"Makefile", "CONTRIBUTING.md", "conftest.py", "requirements.lock"}
    assert wanted <= names
    assert {"tests/test_release.py", "notebooks/fit.py", "docs/theory.md"} <= names


@pytest.mark.parametrize("resolution", ["lowest-direct", "highest"])
def test_an_installed_wheel_runs(resolution: str, release: Release, tmp_path: Path) -> None:
    environment, work = tmp_path / "environment", tmp_path / "work"
    work.mkdir()
    uv("venv", "--python", sys.executable, environment, at=tmp_path)
    programs = environment / ("Scripts" if os.name == "nt" else "bin")
    python, opal = programs / "python", programs / "opal"
    uv(
        *("pip", "install", "--python", python, "--resolution", resolution, release.wheel),
        at=tmp_path,
    )
    (work / "runs.csv").write_text(RUNS)

    where = ran(python, "-c", "import opal; print(opal.__version__, opal.__file__)", at=work)
    version, home = where.split(maxsplit=1)
    assert version == PROJECT["version"]
    assert Path(home.strip()).is_relative_to(environment)

    listed = json.loads(ran(opal, "list", "--json", at=work))
    assert "alpha" in {each["name"] for each in listed["figures"]}
    columns = ("--x", "n", "--y", "error", "--seed", "seed")
    fitted = json.loads(ran(opal, "fit", "runs.csv", *columns, "--json", at=work))
    assert fitted["law"] == "power"
    prices = ("--n-real", "300", "--price-synthetic", "0.01", "--budget", "240")
    assert "alpha" in ran(opal, "plan", "--pilot", *prices, at=work)
    drawn = ("alpha", "imbalance")
    ran(opal, "figures", *drawn, "--preset", "tiny", "--out", "figures", at=work)
    assert {path.stem for path in (work / "figures").glob("*.png")} == {*drawn}
    ran(python, ROOT / "notebooks" / "fit.py", at=work)
