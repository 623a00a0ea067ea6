"""Notebooks run from top to bottom on tiny configurations; an error in any cell is fatal.

One runs in a kernel of its own; the others run as scripts here, which share what is compiled.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from zipfile import ZipFile

import jupytext
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from opal.scaling.exchange import Mixture

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
    options = ("display.max_colwidth", 50, "display.max_columns", 20, "display.max_rows", 60)
    with mpl.rc_context(), pd.option_context(*options):
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


def run_script(path: Path, main: ModuleType, edits: Mapping[str, str] | None = None) -> list[str]:
    """Run a notebook's cells in ``main`` and return what they show.

    A cell that begins with a key of ``edits`` is replaced by its value first.
    """
    cells = code_of(jupytext.read(path, fmt="py:percent"))
    for start, edited in (edits or {}).items():
        (at,) = (i for i, cell in enumerate(cells) if cell.startswith(start))
        cells[at] = edited
    shown = []
    for number, cell in enumerate(cells, start=1):
        tree, name = ast.parse(cell), f"{path.name}, cell {number}"
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), main.__dict__)
        if isinstance(last, ast.Expr):
            value: Any = eval(compile(ast.Expression(last.value), name, "eval"), main.__dict__)
            table = isinstance(value, pd.DataFrame)  # as a notebook shows it
            shown.append(value._repr_html_() if table else repr(value))
    return shown


def cut_off(shown: list[str]) -> list[str]:
    """Outputs in which something is left out."""
    return [each for each in shown if "..." in each or "…" in each]


def install_cells(path: Path) -> tuple[str, str]:
    """The first code cell, and the words before it."""
    cells = jupytext.read(path, fmt="py:percent").cells
    at = next(i for i, cell in enumerate(cells) if cell.cell_type == "code")
    return cells[at].source, cells[at - 1].source


@pytest.mark.slow
def test_a_notebook_runs_in_a_kernel(tmp_path: Path) -> None:
    (path,) = (path for path in NOTEBOOKS if path.stem == IN_A_KERNEL)
    executed = execute(path, tmp_path)
    assert code_of(executed)
    counts = [c.execution_count for c in executed.cells if c.cell_type == "code" and c.source]
    assert all(counts)
    outputs = [each for c in executed.cells if c.cell_type == "code" for each in c.outputs]
    assert any("application/vnd.jupyter.widget-view+json" in o.get("data", {}) for o in outputs)
    assert not cut_off([each.text for each in outputs if each.output_type == "stream"])
    assert list(tmp_path.iterdir()) == [], "a notebook leaves no files in the working folder"


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=pytest.mark.slow) if p.stem in SLOW else p for p in SCRIPTS],
    ids=lambda path: path.stem,
)
def test_a_notebook_runs(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    main: ModuleType,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = run_script(path, main)
    printed = capsys.readouterr().out.splitlines()
    assert shown
    assert not cut_off([*shown, *printed])
    assert list(tmp_path.iterdir()) == [], "a notebook leaves no files in the working folder"


def test_an_error_in_a_cell_is_fatal(tmp_path: Path) -> None:
    notebook = tmp_path / "broken.py"
    notebook.write_text("# %%\nimport os\n\n# %%\nassert os.environ['OPAL_TINY'] == '2'\n")
    with pytest.raises(CellExecutionError, match="AssertionError"):
        execute(notebook, tmp_path)


def test_a_cut_off_table_is_told(tmp_path: Path, main: ModuleType) -> None:
    notebook = tmp_path / "long.py"
    notebook.write_text("# %%\nimport pandas as pd\npd.DataFrame({'a': ['long ' * 20]})\n")
    assert cut_off(run_script(notebook, main))


def test_all_notebooks_install_alike() -> None:
    found = {path.stem: install_cells(path) for path in NOTEBOOKS}
    assert len(found) > 1
    assert len(set(found.values())) == 1, "the first code cell and its words are the same"


def wheel(folder: Path) -> Path:
    """A package ``opal`` of one line, as a file that pip installs."""
    path = folder / "opal_scaling-0.0-py3-none-any.whl"
    about = "opal_scaling-0.0.dist-info"
    with ZipFile(path, "w") as archive:
        archive.writestr("opal/__init__.py", "where = 'hosted'\n")
        archive.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: opal-scaling\nVersion: 0.0\n"
        )
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    return path


@pytest.fixture
def hosted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for pip to install into, without an index, and a wheel that OPAL_PACKAGE names."""
    target = tmp_path / "site"
    monkeypatch.setenv("PIP_TARGET", str(target))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("OPAL_PACKAGE", str(wheel(tmp_path)))
    return target


def test_opal_is_installed_where_it_is_missing(
    hosted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opal", None)
    exec(install_cells(NOTEBOOKS[0])[0], {})
    assert "hosted" in (hosted / "opal" / "__init__.py").read_text()


def test_a_failed_installation_stops_the_notebook(
    hosted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opal", None)
    monkeypatch.setenv("OPAL_PACKAGE", str(hosted / "missing.whl"))
    with pytest.raises(subprocess.CalledProcessError):
        exec(install_cells(NOTEBOOKS[0])[0], {})


def test_nothing_is_installed_where_opal_is(hosted: Path) -> None:
    exec(install_cells(NOTEBOOKS[0])[0], {})
    assert not hosted.exists()


def notebook_of(name: str) -> Path:
    return NOTEBOOKS[0].with_name(f"{name}.py")


@pytest.mark.parametrize("noise", ["seed", "std_error", "none"])
def test_fit_reads_a_file_of_yours(tmp_path: Path, main: ModuleType, noise: str) -> None:
    rng = np.random.default_rng(0)
    sizes = np.repeat([1000, 3000, 10_000, 30_000, 100_000], 4 if noise == "seed" else 1)
    errors = 20 + 300 * sizes**-0.4 * np.exp(rng.normal(0, 0.01, len(sizes)))
    other = {"seed": {"run": np.tile(list("abcd"), 5)}, "std_error": {"se": 0.03 * errors / 20}}
    table = pd.DataFrame({"loss": errors, **other.get(noise, {}), "tokens": sizes})
    file = tmp_path / "mine.csv"
    table.to_csv(file, sep=";", index=False)
    columns = {"x": {"n": "tokens"}, "y": "loss", noise: {"seed": "run"}.get(noise, "se")}
    if noise == "none":
        del columns["none"]
    edits = {"FILE = None": f"FILE = {str(file)!r}", "COLUMNS =": f"COLUMNS = {columns!r}"}
    shown = run_script(notebook_of("fit"), main, edits)
    assert not cut_off(shown)
    floor = main.fitted.params["E"]
    assert floor.low <= 20 <= floor.high
    assert any(str(10 * sizes[-1]) in each for each in shown)


@pytest.mark.parametrize("name", ["fit", "plan"])
@pytest.mark.parametrize("wrong", ["name", "text"])
def test_a_file_of_yours_that_does_not_fit_is_told(
    tmp_path: Path, main: ModuleType, name: str, wrong: str
) -> None:
    table = pd.DataFrame({"n": [1, 2], "N": [3, 4], "alpha": [0.1, 0.2], "seed": [0, 0]})
    risk = {"name": "loss", "text": {"fit": "error", "plan": "value"}[name]}[wrong]
    file = tmp_path / "mine.csv"
    table.assign(**{risk: ["few", "many"]}).to_csv(file, index=False)
    message = {"name": "Name yours in COLUMNS", "text": "must hold numbers"}[wrong]
    with pytest.raises(ValueError, match=message):
        run_script(notebook_of(name), main, {"FILE = None": f"FILE = {str(file)!r}"})


def test_plan_reads_a_file_of_yours(tmp_path: Path, main: ModuleType) -> None:
    rng = np.random.default_rng(0)
    law = Mixture(R_s=0.01, A_s=3.0, A_r=30.0, E=1.0)
    points = [(50, 0, 0.0), (100, 0, 0.0), (200, 0, 0.0)]
    points += [(200, size, 1.0) for size in (100, 200, 400)]
    points += [(n, m, a) for n in (100, 200) for m in (100, 400) for a in (0.1, 0.3, 0.5, 0.8)]
    rows = [
        {"risk": 1 + float(law.excess(n, max(m, 1), a)) * np.exp(rng.normal(0, 0.01)), "run": run,
         "weight": a, "written": m, "mine": n}
        for n, m, a in points for run in "abcdef"
    ]  # fmt: skip
    file = tmp_path / "mine.tsv"
    pd.DataFrame(rows).to_csv(file, sep="\t", index=False)
    columns = {"x": {"n": "mine", "N": "written", "alpha": "weight"}, "y": "risk", "seed": "run"}
    settings = (
        f"COLUMNS = {columns!r}",
        "N_REAL, BUDGET, SUBSAMPLE = (200, 200, 200), 50.0, None",
        "PRICES = {'price_real': 1.0, 'price_synthetic': 0.01}",
    )
    edits = {"FILE = None": f"FILE = {str(file)!r}", "COLUMNS =": "\n".join(settings)}
    shown = run_script(notebook_of("plan"), main, edits)
    assert not cut_off(shown)
    assert list(main.plans) == ["your pilot"]
    chosen = main.plans["your pilot"].chosen
    assert chosen.n_augmented > 0
    assert chosen.cost <= 50
