"""The top of the package: cheap to import, rooms on first use."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

import opal


def test_version_is_the_same_everywhere() -> None:
    root = Path(__file__).parents[1]
    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    match = re.search(r"^version: (\S+)$", citation, flags=re.MULTILINE)
    assert match is not None
    assert match[1] == opal.__version__ == importlib.metadata.version("opal-scaling")
    assert f"## {opal.__version__}" in (root / "CHANGELOG.md").read_text(encoding="utf-8")


def test_rooms_are_attributes() -> None:
    assert opal.checks.__name__ == "opal.checks"
    assert "records" in dir(opal)


@pytest.mark.parametrize("name", opal.__all__)
def test_public_names_come_from_their_rooms(name: str) -> None:
    assert getattr(opal, name).__module__.startswith("opal.")
    assert name in dir(opal)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import opal, sys; print(*{'jax', 'numpy', 'pandas'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout.strip()) == (0, ""), result.stderr


def test_unknown_room_names_what_exists() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'plotingg'; it has \[.*'records'"):
        _ = opal.plotingg


def test_no_public_name_is_hidden_by_a_room() -> None:
    """Importing a room would bind its name over that of the function."""
    assert not {*opal.__all__} & {*opal._rooms()}
    assert {"simulate", "compare", "predict", "fit", "plan"} <= {*opal.__all__}
    assert all(callable(getattr(opal, name)) for name in opal.__all__)
