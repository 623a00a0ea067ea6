"""Imports of the house point one way: each room knows only the rooms before it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Rank of each room on the path of the data (DESIGN, section 2). Rooms of equal rank are strangers.
# Mathematics and files; they know no room.
TOOLS = (
    "arrays", "checks", "compiled", "draws", "files", "losses", "names", "newton", "progress",
    "reading", "validation",
)  # fmt: skip
RANKS = {
    **dict.fromkeys(TOOLS, 0),
    "settings": 1,
    "synthesis": 2,
    "objective": 3,
    "estimators": 4,
    "risk": 5,
    "records": 6,
    "runner": 7,
    "executors": 7,
    "simulation": 7,
    "regression": 7,
    "theory": 7,
    "scaling": 7,
    "plotting": 8,
    "bridge": 9,
    "cli": 10,
}
# Theory reads a setting's parameters only: agreement with a simulation is evidence because of it.
THEORY_NEVER = {"synthesis", "estimators", "simulation", "regression", "runner", "bridge"}
HEAVY = {"torch", "transformers", "openai", "datasets", "sentence_transformers"}
SOURCES = sorted(ROOT.glob("opal/**/*.py"))


def room_of(module: str) -> str | None:
    """The room of a dotted name under ``opal``; None for the door itself and for other packages."""
    parts = module.split(".")
    inside = parts[0] == "opal" and len(parts) > 1 and not parts[1].startswith("__")
    return parts[1] if inside else None


def imports(tree: ast.AST, module: str) -> Iterator[tuple[str, bool]]:
    """Every module that a source imports, and whether that waits: in a function, or for types."""
    inside = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.FunctionDef | ast.AsyncFunctionDef) or _is_for_types(block)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = _absolute(node, module)
        else:
            continue
        for name in names:
            yield name, id(node) in inside


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _absolute(node: ast.ImportFrom, module: str) -> list[str]:
    """Targets of a ``from`` import, with leading dots resolved against ``module``."""
    base = node.module or ""
    if node.level:
        parents = module.split(".")[: -node.level]
        base = ".".join([*parents, base] if base else parents)
    if base == "opal":
        return [f"opal.{alias.name}" for alias in node.names]
    return [base]


def faults(source: str, module: str) -> list[str]:
    """What an ``opal`` module imports that it must not."""
    room = room_of(module)
    found = []
    for name, lazy in imports(ast.parse(source), module):
        target = room_of(name)
        if name.split(".")[0] in HEAVY and not (room == "bridge" and lazy):
            found.append(f"{module} imports {name}; only functions of opal.bridge may")
        if room is None or target is None or room == target:
            continue
        if room == "theory" and target in THEORY_NEVER:
            found.append(f"{module} imports {name}; theory never sees how samples are made or used")
        elif RANKS[target] >= max(RANKS[room], 1):
            found.append(f"{module} imports {name}, which comes later on the path")
    return found


def dotted(path: Path) -> str:
    """Module name of a source file; a package is called by its ``__init__``."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", SOURCES, ids=dotted)
def test_imports_point_one_way(path: Path) -> None:
    assert faults(path.read_text(encoding="utf-8"), dotted(path)) == []


def test_every_room_has_a_rank() -> None:
    rooms = {room_of(dotted(path)) for path in SOURCES} - {None}
    assert rooms <= set(RANKS), f"give a rank to {sorted(map(str, rooms - set(RANKS)))}"
    assert {"records", "cli"} <= rooms


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("opal.settings.gaussian", "from opal.synthesis import oracle"),
        ("opal.settings.gaussian", "from opal import risk"),
        ("opal.settings.gaussian", "import opal.estimators.logistic"),
        ("opal.settings.gaussian", "def f():\n    from ..risk import worst"),
        ("opal.objective", "from .cli import main"),
        ("opal.theory.asymptotics", "from opal.estimators import logistic"),
        ("opal.theory.asymptotics", "from ..synthesis.oracle import Oracle"),
        ("opal.theory.asymptotics", "from opal import simulation"),
        ("opal.runner", "from opal.theory import asymptotics"),
        ("opal.bridge.texts", "import torch"),
        ("opal.bridge.texts", "if TESTING:\n    import torch"),
        ("opal.settings.tokens", "def f():\n    import torch.nn"),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str) -> None:
    assert len(faults(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("opal.synthesis.oracle", "from opal.settings import GaussianMixture"),
        ("opal.synthesis.oracle", "from .base import Law"),
        ("opal.theory.asymptotics", "from opal.objective import design"),
        ("opal.bridge.texts", "def f():\n    import torch"),
        ("opal.bridge.texts", "if TYPE_CHECKING:\n    import torch"),
        ("opal.cli.run", "from opal import plotting"),
    ],
)
def test_an_allowed_import_is_not(module: str, source: str) -> None:
    assert faults(source, module) == []


def test_theory_does_not_load_what_makes_or_uses_samples() -> None:
    code = "import opal.theory, sys; print(*(name for name in sys.modules if name[:5] == 'opal.'))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    loaded = {room_of(module) for module in result.stdout.split()}
    assert "theory" in loaded
    assert loaded.isdisjoint(THEORY_NEVER)
