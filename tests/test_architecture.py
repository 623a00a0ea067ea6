"""Imports of the house point one way: each room knows only the rooms before it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

ROOT = Path(__file__).parents[1]

# Rank of each room (a module or folder of `opal`) on the path of the data: CONTRIBUTING.md says
# which. Rooms of equal rank are strangers.
# Mathematics and files; they know no room.
TOOLS = (
    "arrays", "checks", "chunks", "columns", "compiled", "delimited", "draws", "files",
    "interrupts", "losses", "memory", "names", "newton", "progress", "reading", "redaction",
    "signatures", "spelling", "threads", "validation",
)  # fmt: skip
RANKS = {
    **dict.fromkeys(TOOLS, 0),
    "settings": 1,
    "synthesis": 2,
    "objective": 3,
    "estimators": 4,
    "risk": 5,
    "records": 6,
    "plotting": 6,  # of tables with the columns of records, whoever made them
    "runner": 7,
    "executors": 7,
    "simulation": 7,
    "training_rows": 6,
    "regression": 7,
    "theory": 7,
    "scaling": 7,
    "bridge": 9,
    "cli": 10,
}
# The same within `bridge`: whoever is listed later may know whoever is listed before.
BRIDGE_RANKS = {
    "downstream": 0,
    "download": 0,
    "features": 0,
    "hub": 0,
    "render": 0,
    "resampling": 0,
    "target": 0,
    "llm": 1,
    "label_scores": 1,
    "label_noise": 2,
    "prompts": 2,
    "findings": 3,
    "tabular": 4,
    "text": 4,
    "supply": 5,
    "sampler": 6,
    "classifier": 7,
}
# Theory reads a setting's parameters only: agreement with a simulation is evidence because of it.
THEORY_NEVER = {"synthesis", "estimators", "simulation", "regression", "runner", "bridge"}
HEAVY = {"torch", "transformers", "openai", "datasets", "sentence_transformers"}
SOURCES = sorted(ROOT.glob("opal/**/*.py"))
STUDIES = sorted(ROOT.glob("simulations/**/*.py"))
FIGURES = sorted(ROOT.glob("paper_figures/**/*.py"))
# Class names that stand twice, with the reason why they must.
CONTRACTS = {
    "Config": "each study's own configuration, which the runner looks up by this name",
    "Fit": "`opal fit` is a command, and its flags are what it is called",
    "List": "`opal list` and `opal data list` are commands, called as people type them",
}


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
    return [f"{base}.{alias.name}" for alias in node.names]


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


def bridge_faults(source: str, module: str) -> list[str]:
    """What a module of ``opal.bridge`` imports from rooms of it that it must not know."""
    room, found = bridge_room(module), []
    for name, _ in imports(ast.parse(source), module):
        target = bridge_room(name)
        if room is None or target is None or room == target:
            continue
        if BRIDGE_RANKS[target] >= BRIDGE_RANKS[room]:
            found.append(f"{module} imports {name}, which comes later on the path")
    return found


def bridge_room(module: str) -> str | None:
    """The room of a dotted name under ``opal.bridge``; None for all other names."""
    parts = module.split(".")
    inside = parts[:2] == ["opal", "bridge"] and len(parts) > 2 and parts[2] != "__init__"
    return parts[2] if inside else None


def circles(sources: Mapping[str, str]) -> list[list[str]]:
    """Modules that import one another, lazily or for types too, directly or around a corner.

    ``from package import module`` imports the module, not the package.

    Args:
        sources: by dotted name; that of a package ends in ``__init__``.
    """
    place = {name.removesuffix(".__init__"): k for k, name in enumerate(sources)}
    pairs = set()
    for module, source in sources.items():
        for name, _ in imports(ast.parse(source), module):
            while name and name not in place:
                name = name.rpartition(".")[0]
            if name:
                pairs.add((place[module.removesuffix(".__init__")], place[name]))
    rows, columns = np.array(sorted(pairs), dtype=int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(place),) * 2)
    _, component = connected_components(graph, connection="strong")
    members = defaultdict(list)
    for name, number in zip(place, component, strict=True):
        members[number].append(name)
    return [sorted(several) for several in members.values() if len(several) > 1]


def shared_names(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """Class names that more than one module defines, and where."""
    found = defaultdict(set)
    for module, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                found[node.name].add(module)
    return {name: sorted(modules) for name, modules in found.items() if len(modules) > 1}


def read(paths: list[Path]) -> dict[str, str]:
    return {dotted(path): path.read_text(encoding="utf-8") for path in paths}


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


@pytest.mark.parametrize("path", sorted(ROOT.glob("opal/bridge/**/*.py")), ids=dotted)
def test_rooms_of_the_bridge_point_one_way(path: Path) -> None:
    assert bridge_faults(path.read_text(encoding="utf-8"), dotted(path)) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("opal.bridge.render", "from opal.bridge import download"),
        ("opal.bridge.resampling", "def f():\n    from .tabular import sound"),
        ("opal.bridge.download", "from .render import Table"),
        ("opal.bridge.llm.command", "from opal.bridge.text import corpus"),
        ("opal.bridge.llm.report", "from ..tabular.report import page"),
        ("opal.bridge.llm.report", "from ..prompts import table"),
        ("opal.bridge.prompts.text", "if TYPE_CHECKING:\n    import opal.bridge.text.corpus"),
        ("opal.bridge.text.audit.copies", "from opal.bridge.tabular import findings"),
        ("opal.bridge.tabular.__init__", "from opal.bridge.text import read_texts"),
        ("opal.bridge.text.corpus", "from opal.bridge.supply import Asked"),
    ],
)
def test_a_forbidden_import_within_the_bridge_is_found(module: str, source: str) -> None:
    assert len(bridge_faults(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("opal.bridge.supply", "from opal.bridge.text.corpus import text_table"),
        ("opal.bridge.prompts.text", "from opal.bridge.llm.request import Request"),
        ("opal.bridge.text.audit.report", "from opal.bridge import render"),
        ("opal.bridge.text.audit.report", "from . import findings"),
    ],
)
def test_an_allowed_import_within_the_bridge_is_not(module: str, source: str) -> None:
    assert bridge_faults(source, module) == []


def test_no_modules_import_one_another() -> None:
    assert circles(read([*SOURCES, *STUDIES, *FIGURES])) == []


def test_a_circle_of_any_kind_is_found() -> None:
    sources = {
        "a.__init__": "from a.lazy import f",
        "a.lazy": "def f():\n    from .typed import T",
        "a.typed": "if TYPE_CHECKING:\n    import a.corner",
        "a.corner": "from . import lazy",
        "b.one": "from b import two",
        "b.two": "import a.lazy, numpy",
    }
    assert circles(sources) == [["a.corner", "a.lazy", "a.typed"]]
    assert circles(sources | {"a.corner": "from a import f"}) == [
        ["a", "a.corner", "a.lazy", "a.typed"]
    ]
    assert circles(sources | {"a.corner": ""}) == []


def test_a_class_name_stands_for_one_idea() -> None:
    found = shared_names(read([*SOURCES, *STUDIES]))
    assert {name: at for name, at in found.items() if name not in CONTRACTS} == {}


def test_a_class_name_that_stands_twice_is_found() -> None:
    sources = {"a": "class Row: ...", "b": "def f():\n    class Row: ...", "c": "class Rows: ..."}
    assert shared_names(sources) == {"Row": ["a", "b"]}


def test_theory_does_not_load_what_makes_or_uses_samples() -> None:
    code = "import opal.theory, sys; print(*(name for name in sys.modules if name[:5] == 'opal.'))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    loaded = {room_of(module) for module in result.stdout.split()}
    assert "theory" in loaded
    assert loaded.isdisjoint(THEORY_NEVER)
