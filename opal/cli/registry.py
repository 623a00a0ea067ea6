"""Which studies and figures exist, found by looking and not by keeping a list."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

import opal
from opal.cli.parsing import unknown

PACKAGES = {"study": "simulations", "figure": "paper_figures"}


def claims(kind: str) -> dict[str, str]:
    """Name and first docstring line of every ``"study"`` or ``"figure"``, without importing them.

    >>> "alpha" in claims("study")
    True
    """
    package = importlib.import_module(_package(kind))
    return {
        module.name: _first_line(Path(folder) / module.name)
        for folder in package.__path__
        for module in pkgutil.iter_modules([folder])
        if not module.name.startswith("_")
    }


def load(kind: str, name: str) -> ModuleType:
    """Import a study or a figure.

    Raises:
        UnknownNameError: there is none of that name.
    """
    known = claims(kind)
    if name not in known:
        raise unknown(kind, name, known)
    return importlib.import_module(f"{_package(kind)}.{name}")


def _package(kind: str) -> str:
    """Name under which the studies or figures of this opal can be imported.

    A wheel has them inside ``opal``, where no folder of the user can hide them. A checkout has them
    beside it: its folder goes first on the path, for worker processes too.
    """
    name, house = PACKAGES[kind], Path(opal.__file__).parent
    if (house / name).is_dir():
        return f"{opal.__name__}.{name}"
    if name not in sys.modules and sys.path[0] != str(house.parent):
        sys.path.insert(0, str(house.parent))
    return name


def _first_line(module: Path) -> str:
    source = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8")))
    return docstring.splitlines()[0] if docstring else ""
