"""Every command of the README that takes less than a minute runs as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from opal.bridge.text import load_corpus, write_texts
from opal.scaling.laws.cross import cross_law
from opal.scaling.pilot import first_points

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
COMMANDS = [
    " ".join(line.split())
    for kind, block in BLOCKS
    if kind == "sh"
    for line in re.sub(r"\\\n|#[^\n]*", "", block).splitlines()
    if line.strip()
]
# Why a command is not run here, by how it begins. All flags of `opal` are read by test_project.py.
LEFT_OUT: Mapping[str, str] = {
    "make": "minutes: whole figures, or these tests",
    "opal figures alpha": "a minute or more; test_figures.py draws it at the preset tiny",
    "opal figures generator_kl": "minutes; test_figures.py draws it at the preset tiny",
    "opal figures end_to_end": "minutes; test_figures.py draws it at the preset tiny",
    "opal figures correction": "minutes; test_figures.py draws it at the preset tiny",
    "opal figures --from": "needs the study before; tests/cli/test_figures.py has it",
    "opal run": "minutes to hours; tests/simulations and test_figures.py run studies at tiny",
    "python benchmarks/": "minutes, and only worth it on a quiet machine; see test_benchmarks.py",
    ".venv/bin/pip": "installs a program that opal does not need",
    ".venv/bin/jupyter": "a server that does not end; test_notebooks.py executes the notebooks",
    "opal data fetch": "the network; tests/cli/test_data.py has it with a mirror",
    "opal tabular evaluate": "real data, and minutes; tests/bridge/tabular",
    "opal tabular scaling": "real data, and minutes; tests/bridge/tabular",
    "opal tabular generate": "the weights of GPT-2; tests/bridge/tabular has it with a small model",
    "opal text generate": "an endpoint and a key; tests/bridge/text has it with a local server",
}


def left_out(command: str) -> bool:
    """Whether a command is not run here; all that only ask for help are."""
    begins = any(command.startswith(beginning) for beginning in LEFT_OUT)
    return begins and not command.endswith("--help")


def curve(path: Path) -> None:
    """Runs of seeds at sizes, for fits of one column."""
    rng = np.random.default_rng(0)
    sizes, seeds = np.repeat([100, 200, 400, 800, 1600, 3200, 6400], 8), np.tile(range(8), 7)
    error = 0.05 + 2 * sizes**-0.5 * (1 + 0.02 * rng.normal(size=len(sizes)))
    pd.DataFrame({"n": sizes, "error": error, "seed": seeds}).to_csv(path, index=False)


def surface(path: Path) -> None:
    """Losses of models of several sizes on several numbers of tokens."""
    rng = np.random.default_rng(1)
    params, tokens = (
        x.ravel() for x in np.meshgrid(10.0 ** np.arange(6, 10), 10.0 ** np.arange(8, 12))
    )
    loss = 1.7 + 400 * params**-0.34 + 410 * tokens**-0.28
    noisy = loss * np.exp(0.002 * rng.normal(size=len(loss)))
    pd.DataFrame({"params": params, "tokens": tokens, "loss": noisy}).to_csv(path, index=False)


def pilot(path: Path) -> None:
    """A pilot's runs under a law that is known."""
    rng, law = np.random.default_rng(4), cross_law()
    known = {"E": 0.5, "R_s": 0.001, "C": 0.0, "A_s": 3.0, "A_r": 2.5}
    points = pd.concat([pd.DataFrame(first_points(300, 1200))] * 5, ignore_index=True)
    x = {name: points[name].to_numpy(float) for name in ("n", "N", "alpha")}
    exact = law.predict(known, {**x, "N": np.maximum(x["N"], 1.0)})
    value = exact + 0.1 * (exact - 0.5) * rng.normal(size=len(exact))
    seeds = np.repeat(np.arange(5), len(points) // 5)
    points.assign(seed=seeds, value=value).to_csv(path, index=False)


def texts(folder: Path) -> None:
    """A person's own texts with a class ``rare``, and a language model's."""
    known = load_corpus("grammar")
    renamed = {"complaint": "rare", "praise": "common"}
    few = {"rare": 90, "common": 270}
    asked = [known.base, known.human]  # a model was shown the first of them
    for frame, sizes, name in (
        (pd.concat(asked), few, "mine.csv"),
        (known.synthetic["faithful"], dict.fromkeys(few, 500), "samples.jsonl"),
    ):
        named = frame.assign(label=frame["label"].map(renamed)).drop(columns="attribute")
        chosen = [named[named["label"] == label][:n] for label, n in sizes.items()]
        write_texts(pd.concat(chosen), folder / name)


def corpus(path: Path) -> None:
    """Texts without labels."""
    load_corpus("grammar").test[["text"]][:500].to_csv(path, index=False)


def results(folder: Path) -> None:
    """A folder with what a command said."""
    folder.mkdir()
    curve(folder / "runs.csv")
    words = ["fit", "runs.csv", "--x", "n", "--y", "error", "--seed", "seed", "--json"]
    said = subprocess.run(
        [sys.executable, "-m", "opal", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    ).stdout
    (folder / "fit.json").write_bytes(said)


def prepare(command: str, folder: Path) -> None:
    """Write the files that a command of the README names."""
    made: Mapping[str, Callable[[], None]] = {
        "pilot.csv": lambda: pilot(folder / "pilot.csv"),
        "mine.csv": lambda: texts(folder),
        "text label corpus.csv": lambda: corpus(folder / "corpus.csv"),
        "runs.csv": lambda: (surface if "params" in command else curve)(folder / "runs.csv"),
        "report results": lambda: results(folder / "results"),
    }
    for name, write in made.items():
        if name in command:
            write()


def test_what_is_left_out_stands_in_the_readme() -> None:
    assert [b for b in LEFT_OUT if not any(c.startswith(b) for c in COMMANDS)] == []


def test_most_is_run() -> None:
    assert sum(not left_out(command) for command in COMMANDS) >= 12


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("command", [c for c in COMMANDS if not left_out(c)])
def test_a_command_runs(command: str, tmp_path: Path) -> None:
    prepare(command, tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    program, *words = command.split()
    begin = {"opal": [sys.executable, "-m", "opal"], "python": [sys.executable]}[program]
    result = subprocess.run(
        [*begin, *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
    assert {p.name for p in tmp_path.iterdir()} >= before


@pytest.mark.slow
def test_the_python_of_the_readme_runs() -> None:
    blocks = [block for kind, block in BLOCKS if kind == "python"]
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
