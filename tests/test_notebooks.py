"""Notebooks run from top to bottom on tiny configurations; an error in any cell is fatal."""

from __future__ import annotations

from pathlib import Path

import jupytext
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.py"))
TIMEOUT_S = 150  # of one cell


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The switch that notebooks read to choose their smallest configuration."""
    monkeypatch.setenv("OPAL_TINY", "1")


def execute(path: Path, folder: Path) -> NotebookNode:
    """Run a percent-format notebook in a fresh kernel that works in ``folder``."""
    notebook = jupytext.read(path, fmt="py:percent")
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=TIMEOUT_S, kernel_name="python3", resources=resources)
    executed: NotebookNode = client.execute()
    return executed


@pytest.mark.timeout(400)  # a minute of compilation, on a machine that may be busy
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path) -> None:
    notebook = execute(path, tmp_path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    assert code
    assert all(cell.execution_count for cell in code)
    assert list(tmp_path.iterdir()) == [], "a notebook leaves no files in the working folder"


def test_an_error_in_a_cell_is_fatal(tmp_path: Path) -> None:
    notebook = tmp_path / "broken.py"
    notebook.write_text("# %%\nimport os\n\n# %%\nassert os.environ['OPAL_TINY'] == '2'\n")
    with pytest.raises(CellExecutionError, match="AssertionError"):
        execute(notebook, tmp_path)
