"""A page for each figure that `opal figures` has drawn: picture, caption, checks and command."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sphinx.application import Sphinx

from opal.cli import output, registry

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "figures"
FOLDER = ROOT / "docs" / "gallery"
TEMPLATES = ROOT / "docs" / "_templates"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_config_value("gallery_figures", str(FIGURES), "env")
    app.connect("builder-inited", _write)
    return {"parallel_read_safe": True}


def _write(app: Sphinx) -> None:
    write(ROOT / app.config.gallery_figures, FOLDER)


def write(figures: Path, folder: Path) -> None:
    """Write the pages of the figures that a folder holds, and their index.

    Args:
        figures: what `opal figures` wrote, at a preset.
        folder: of the pages, made anew.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    claims = registry.claims("figure")
    drawn = [path for name in claims if (path := figures / f"{name}.json").is_file()]
    pages = [_page(json.loads(path.read_text(encoding="utf-8")), claims) for path in drawn]
    loader = FileSystemLoader(TEMPLATES)
    templates = Environment(loader=loader, undefined=StrictUndefined, keep_trailing_newline=True)
    for page in pages:
        name = page["name"]
        for kind in ("png", "pdf"):
            shutil.copyfile(figures / f"{name}.{kind}", folder / f"{name}.{kind}")
        text = templates.get_template("figure.md.j2").render(page)
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    index = templates.get_template("gallery.md.j2").render(figures=pages)
    (folder / "index.md").write_text(index, encoding="utf-8")


def _page(told: dict[str, Any], claims: dict[str, str]) -> dict[str, Any]:
    name, preset = told["name"], told["preset"]
    command = shlex.join(["opal", "figures", name, "--preset", preset])
    checks = [
        {
            **check,
            "statistic": output.number(check["statistic"]),
            "threshold": output.number(check["threshold"]),
            "detail": check["detail"].replace("|", r"\|"),
        }
        for check in told["checks"]
    ]
    return {**told, "checks": checks, "claim": claims[name], "command": command}
