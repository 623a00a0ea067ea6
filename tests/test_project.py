"""The project's own files agree with each other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import opal
from opal.cli import main

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def name_of(requirement: str) -> str:
    """Distribution name of a requirement line, as the lock spells it."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None, requirement
    return match[0].lower().replace("_", "-")


def locked() -> dict[str, str]:
    """Each locked distribution with the rest of its entry: version, marker, hashes."""
    entries = re.split(r"^(?=[a-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    return {name_of(entry): entry for entry in entries}


@pytest.mark.parametrize("extra", [None, "dask", "tabular", "text", "notebooks", "docs", "dev"])
def test_what_the_makefile_installs_is_locked(extra: str | None) -> None:
    extras = PROJECT["optional-dependencies"]
    wanted = extras[extra] if extra else PROJECT["dependencies"]
    assert {name_of(requirement) for requirement in wanted} - {"torch"} <= locked().keys()


def test_the_lock_pins_and_hashes_every_entry_once() -> None:
    entries = re.findall(r"^[a-z0-9][^ ]*==", LOCK, flags=re.MULTILINE)
    assert len(entries) == len(locked())
    for name, entry in locked().items():
        assert re.match(r"[a-z0-9._-]+==[0-9]", entry), name
        assert "--hash=sha256:" in entry, name


def test_the_lock_names_no_host_and_no_torch() -> None:
    assert "://" not in LOCK
    assert "torch" not in locked()
    assert "torch==2.13.0" in PROJECT["optional-dependencies"]["text"]
    assert "\nTORCH := torch==2.13.0\n" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_ci_runs_the_test_command_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r"^make test\b", readme, flags=re.MULTILINE)
    assert re.search(r"^make test </dev/null$", script, flags=re.MULTILINE)


def test_version_and_date_agree_wherever_they_stand() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    cited = re.search(r'^version: (.+)\ndate-released: "(.+)"$', citation, flags=re.MULTILINE)
    closed = re.search(r"^## (\S+) - (\d{4}-\d\d-\d\d)$", changelog, flags=re.MULTILINE)
    assert cited is not None
    assert closed is not None
    assert cited.groups() == closed.groups()
    assert {closed[1], opal.__version__} == {PROJECT["version"]}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:]+)\)", text)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_files_that_contributors_test_hold_tests() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"-m pytest [^`]*?((?:tests|opal)/\S+\.py)`", text)
    assert {name.split("/")[0] for name in named} == {"tests", "opal"}
    for name in named:
        sign = ">>> " if name.startswith("opal/") else "def test_"
        assert sign in (ROOT / name).read_text(encoding="utf-8"), name


def commands_of_the_readme() -> list[str]:
    """Every line of a shell block that calls ``opal``, without its comment."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return [line.strip() for line in re.findall(r"^opal ([^#\n]+)", readme, flags=re.MULTILINE)]


@pytest.mark.parametrize("command", commands_of_the_readme())
def test_commands_of_the_readme_are_understood(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for word in command.split() if word != "--help"]
    try:
        status: object = main([*words, "--help"])
    except SystemExit as end:
        status = end.code
    said = capsys.readouterr()
    assert status == 0, said.err
    assert [word for word in words if word.startswith("--") and word not in said.out] == []


def test_make_says_which_python_it_wants(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    result = subprocess.run(
        ["make", "install", "PYTHON=no-such-python"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert "no Python >= 3.11" in result.stderr
    assert not (tmp_path / ".venv").exists()
