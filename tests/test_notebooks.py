"""Notebooks run from top to bottom on tiny configurations; an error in any cell is fatal.

One runs in a kernel of its own; the others run as scripts here, which share what is compiled.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import jupytext
import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.py"))
IN_A_KERNEL = "explorer"
SLOW = ("generator", "imputation", "plan", "text", "tour")
SCRIPTS = [path for path in NOTEBOOKS if path.stem != IN_A_KERNEL]
TIMEOUT_S = 150  # of one cell


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The switch that notebooks read to choose their smallest configuration."""
    monkeypatch.setenv("OPAL_TINY", "1")


@pytest.fixture
def main() -> Iterator[ModuleType]:
    """A module to run a notebook in; classes that it defines can be found by their name."""
    module = ModuleType("notebook")
    sys.modules[module.__name__] = module
    with mpl.rc_context():
        yield module
    plt.close("all")
    del sys.modules[module.__name__]


def execute(path: Path, folder: Path) -> NotebookNode:
    """Run a percent-format notebook in a fresh kernel that works in ``folder``."""
    notebook = jupytext.read(path, fmt="py:percent")
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=TIMEOUT_S, kernel_name="python3", resources=resources)
    executed: NotebookNode = client.execute()
    return executed


def code_of(notebook: NotebookNode) -> list[str]:
    return [c.source for c in notebook.cells if c.cell_type == "code" and c.source.strip()]


@pytest.mark.slow
def test_a_notebook_runs_in_a_kernel(tmp_path: Path) -> None:
    (path,) = (path for path in NOTEBOOKS if path.stem == IN_A_KERNEL)
    executed = execute(path, tmp_path)
    assert code_of(executed)
    counts = [c.execution_count for c in executed.cells if c.cell_type == "code" and c.source]
    assert all(counts)
    assert list(tmp_path.iterdir()) == [], "a notebook leaves no files in the working folder"


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=pytest.mark.slow) if p.stem in SLOW else p for p in SCRIPTS],
    ids=lambda path: path.stem,
)
def test_a_notebook_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, main: ModuleType
) -> None:
    monkeypatch.chdir(tmp_path)
    cells = code_of(jupytext.read(path, fmt="py:percent"))
    assert cells
    for number, cell in enumerate(cells, start=1):
        exec(compile(cell, f"{path.name}, cell {number}", "exec"), main.__dict__)
    assert list(tmp_path.iterdir()) == [], "a notebook leaves no files in the working folder"


def test_an_error_in_a_cell_is_fatal(tmp_path: Path) -> None:
    notebook = tmp_path / "broken.py"
    notebook.write_text("# %%\nimport os\n\n# %%\nassert os.environ['OPAL_TINY'] == '2'\n")
    with pytest.raises(CellExecutionError, match="AssertionError"):
        execute(notebook, tmp_path)
