"""The notebooks, as `make notebooks` executed them, to be read and to be opened elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
EXECUTED = ROOT / "build" / "notebooks"
FOLDER = ROOT / "docs" / "notebooks"
ORDER = ("tour", "explorer", "fit", "plan", "generator", "text", "imputation")

_HEAD = """\
# Notebooks

Executed before this site was built. Each can be downloaded and opened in any Jupyter; its first
cell installs opal where it is missing.

| | |
|---|---|
"""


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_config_value("notebooks_executed", str(EXECUTED), "env")
    app.connect("builder-inited", _write)
    return {"parallel_read_safe": True}


def _write(app: Sphinx) -> None:
    write(ROOT / app.config.notebooks_executed, FOLDER)


def write(executed: Path, folder: Path) -> None:
    """Copy executed notebooks, and write their index.

    Args:
        executed: folder of `make notebooks`.
        folder: of the pages, made anew.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    found = {path.stem: path for path in executed.glob("*.ipynb")}
    names = [*filter(found.__contains__, ORDER), *sorted(found.keys() - ORDER)]
    lines = [_HEAD]
    for name in names:
        shutil.copyfile(found[name], folder / f"{name}.ipynb")
        lead = f"{_lead(found[name])} {{download}}`{name}.ipynb`"
        lines.append(f"| [{name}]({name}.ipynb) | {lead} |\n")
    toctree = "\n".join(["\n```{toctree}", ":hidden:", *names, "```\n"]) if names else ""
    (folder / "index.md").write_text("".join(lines) + toctree, encoding="utf-8")


def _lead(path: Path) -> str:
    """The first sentence below the title."""
    first = next(c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown")
    text = " ".join(first.source.split("\n\n")[1].split())
    return text.partition(". ")[0].rstrip(".") + "."
