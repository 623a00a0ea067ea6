"""No command line ends in a traceback, hangs, or leaves half a file."""

from __future__ import annotations

import importlib
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from opal.cli.configuration import preset
from tests.fuzz import harness, lines

Line = tuple[tuple[str, ...], Mapping[str, bytes]]


def _files() -> dict[str, bytes]:
    """Small files that every command can read, of a seed."""
    rng = np.random.default_rng(0)
    runs = [
        f"{n},{0.1 + 2 * n**-0.5 + 0.01 * rng.normal():.5f},{seed}"
        for n in (10, 20, 40, 80, 160, 320, 640)
        for seed in range(3)
    ]
    pilot = [
        f"{n},{N},{a},{0.1 + 1.5 * n**-0.5 * (1 - a) + 0.15 * a + 0.005 * rng.normal():.5f},{seed}"
        for n in (50, 100, 200, 300)
        for N, a in ((0, 0), (100, 0.3), (400, 0.5), (1600, 0.8))
        for seed in range(3)
    ]
    rows = [f"{rng.normal():.3f},{rng.integers(0, 9)},{k % 2}" for k in range(40)]
    said = [f"{kind} {'food' if k % 3 else 'room'} number {k}" for k in range(12)
            for kind in ("lovely", "rude")]  # fmt: skip
    texts = [f"{text},{text.split()[0]}" for text in said]
    told = [f"{text} told again,{text.split()[0]},m" for text in said]
    tables = {
        "runs.csv": ["n,y,seed", *runs],
        "pilot.csv": ["n,N,alpha,value,seed", *pilot],
        "train.csv": ["a,b,y", *rows],
        "made.csv": ["a,b,y", *rows[:20]],
        "texts.csv": ["text,label", *texts],
        "told.csv": ["text,label,source", *told],
        "rows.txt": [f"a is {k}, b is {k % 4}, y is {k % 2}." for k in range(9)],
    }
    return {name: ("\n".join(content) + "\n").encode() for name, content in tables.items()}


FILES = _files()


def kinds() -> dict[lines.Start, type[Any]]:
    """The dataclass of the flags of each command."""
    return {s: getattr(importlib.import_module(s.module), s.name) for s in lines.STARTS}


def configs() -> dict[str, Any]:
    """The tiny configuration of some studies."""
    return {study: preset(study, "tiny") for study in lines.STUDIES}


def damaged_lines(n: int, seed: int) -> Iterator[Line]:
    """Command lines that work, and one of whose files does not."""
    draw = random.Random(seed)
    readers = [start.words for start in lines.STARTS if FILES.keys() & set(start.words)]
    for k in range(n):
        words = readers[k % len(readers)]
        name = draw.choice(sorted(FILES.keys() & set(words)))
        yield words, {**FILES, name: lines.damaged(FILES[name], draw)}


def faults_of(cases: Sequence[Line], tmp_path: Path) -> list[str]:
    """What breaks the contract, over all command lines; two run at a time."""

    def outcome(k: int) -> harness.Outcome:
        folder = tmp_path / f"line{k}"
        folder.mkdir()
        return harness.command(*cases[k], folder)

    with ThreadPoolExecutor(2) as two:
        found = [*two.map(outcome, range(len(cases)))]
    return [f"opal {' '.join(w[:60] for w in o.words)}\n{o.fault}" for o in found if o.fault]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2])
def test_flags_with_hostile_values(seed: int, tmp_path: Path) -> None:
    cases = [(words, FILES) for words in lines.lines(kinds(), 105, seed)]
    assert faults_of(cases, tmp_path) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_studies_with_numbers_that_cannot_be(tmp_path: Path) -> None:
    cases = [(words, FILES) for words in lines.study_lines(configs(), 56, 3)]
    assert faults_of(cases, tmp_path) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_damaged_files(tmp_path: Path) -> None:
    assert faults_of([*damaged_lines(72, 4)], tmp_path) == []


@pytest.mark.parametrize("words", [["fit"], ["plan", "-1"], ["run", "alpha", "--preset", ""]])
def test_the_program_itself_refuses_in_a_line(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "opal", *words]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert result.returncode == 2
    assert result.stderr.strip()
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "limit", "fault"),
    [
        (("fit", "runs.csv", "--x", "n", "--y", "y"), 60.0, ""),
        (("fit", "absent.csv"), 60.0, ""),
        (("run", "scaling", "--preset", "full"), 0.5, "hangs"),
    ],
)
def test_the_harness_tells_one_end_from_another(
    words: tuple[str, ...], limit: float, fault: str, tmp_path: Path
) -> None:
    folder = tmp_path / "line"
    folder.mkdir()
    outcome = harness.command(words, FILES, folder, limit)
    assert outcome.fault.startswith(fault)
    assert bool(outcome.fault) == bool(fault)


def test_the_harness_sees_what_a_command_leaves(tmp_path: Path) -> None:
    (tmp_path / "read.csv").write_text("changed")
    (tmp_path / "half.json").write_text("{")
    (tmp_path / ".made.csv.0a1b").write_text("")
    assert harness.faults(tmp_path, {"read.csv": b"whole"}) == [
        "read.csv, which was read, is not what it was",
        ".made.csv.0a1b was not finished",
        "half.json is no JSON",
    ]
