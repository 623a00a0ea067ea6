"""A study and a figure that are found beside the real ones."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import paper_figures
import simulations


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make ``example_study`` and ``example_figure`` known; returns an empty working folder."""
    here = Path(__file__).parent
    for package, module in ((simulations, "example_study"), (paper_figures, "example_figure")):
        folder = tmp_path / package.__name__
        folder.mkdir()
        shutil.copy(here / f"{module}.py", folder)
        monkeypatch.setattr(package, "__path__", [str(folder), *package.__path__])
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("simulations.example_study", "paper_figures.example_figure"):
        sys.modules.pop(name, None)
