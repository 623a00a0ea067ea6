"""Studies run on their tiny preset, some as modules, and write records that can be read.

tests/test_figures.py computes the tiny preset of every study that has a figure.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opal import records
from opal.bridge.download import DownloadError
from opal.cli import main, registry

STUDIES = sorted(registry.claims("study"))
DRAWN = {
    study for name in registry.claims("figure") for study in registry.load("figure", name).STUDIES
}
# Tests of their own need their tiny records too, or run them where the data is.
ELSEWHERE = {"craft_generators", "generator_prior"}
AS_MODULE = "fit_coverage"  # the one that compiles least
HERE = sorted({*STUDIES} - DRAWN - ELSEWHERE - {AS_MODULE})
TIMEOUT_S = 150


def run(study: str, out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """``python -m simulations.STUDY --preset tiny --json`` in a fresh process."""
    command = [sys.executable, "-m", f"simulations.{study}", "--preset", "tiny", "--json"]
    return subprocess.run(
        [*command, "--out", str(out), *words],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_there_are_studies() -> None:
    assert {"imbalance", "spurious", "alpha", "asymptotics_grid", "tabular"} <= set(STUDIES)


def test_every_study_can_be_a_module() -> None:
    for study in STUDIES:
        source = Path(registry.load("study", study).__file__ or "").read_text()
        assert source.endswith(f'run_study("{study}")\n')
        assert 'if __name__ == "__main__":' in source


def check_records(report: dict[str, Any], study: str) -> None:
    frame = records.read(Path(report["records"]))
    assert len(frame) == report["n_rows"] > 0
    assert set(frame["study"]) == {study}
    assert list(frame.columns[: len(records.COLUMNS)]) == list(records.COLUMNS)


# Their own tests run their parts.
SLOW = (
    "asymptotics_grid",
    "correction",
    "downstream_texts",
    "finetuned",
    "generations",
    "generator_copies",
    "generator_data",
    "generator_gaussian",
    "generator_temperature",
    "misfit",
    "optimal_weight",
    "plan_learners",
    "prediction_limits",
    "text_coverage",
)


@pytest.mark.timeout(900)  # some minutes, where a machine is slow and shared
@pytest.mark.parametrize(
    "study", [pytest.param(k, marks=pytest.mark.slow) if k in SLOW else k for k in HERE]
)
def test_study_runs(study: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In this process: studies share what was imported, compiled and trained."""
    assert main(["run", study, "--preset", "tiny", "--json", "--out", str(tmp_path)]) == 0
    check_records(json.loads(capsys.readouterr().out), study)


@pytest.mark.slow
def test_a_study_runs_as_a_module(tmp_path: Path) -> None:
    result = run(AS_MODULE, tmp_path)
    assert result.returncode == 0, result.stderr
    check_records(json.loads(result.stdout), AS_MODULE)


NAN = float("nan")


@pytest.mark.parametrize(
    ("study", "fields", "message"),
    [
        ("imbalance", {"n_min": (10, 0)}, "n_min must be a whole number of at least 1; got 0."),
        ("imbalance", {"n_min": ()}, "n_min needs at least one value; got none"),
        ("high_dim", {"n_replicates": 1}, "n_replicates must be a whole number of at least 2"),
        ("high_dim", {"n_hinge": -1}, "n_hinge must be a whole number of at least 0; got -1."),
        (
            "imbalance",
            {"n_min": (30, 4)},
            "at least 6 rows in every group, or choose --n-neighbours 3 or less.",
        ),
        ("imbalance", {"n_min": (1,)}, "Ask for at least 6 rows in every group."),
        (
            "imbalance",
            {"n_min": (5,), "n_neighbours": 2, "shrinkage": 0.0},
            "Ask for at least 6 rows in every group, or choose --shrinkage above 0.",
        ),
        ("imbalance", {"n_neighbours": 0}, "n_neighbours of SMOTE must be a whole number of"),
        ("imbalance", {"distance": NAN}, "distance must be a finite number; got nan."),
        ("imbalance", {"n_replicates": 0}, "n_replicates must be a whole number of at least 1"),
        ("spurious", {"strength": (0.6, 1.2)}, "strength is P(attribute = label), strictly"),
        ("spurious", {"strength": ()}, "strength needs at least one value; got none"),
        (
            "spurious",
            {"strength": (0.6, 0.95)},
            "n_min must exceed n_neighbours, as SMOTE needs a seed and its neighbours; --n 100 ",
        ),
        ("spurious", {"core_dim": 0}, "core_dim must be a whole number of at least 1; got 0."),
        ("spurious", {"shift": NAN}, "shift must be a finite number; got nan."),
        ("alpha", {"shift": (0.0, NAN)}, "shift must be a finite number; got nan."),
        ("alpha", {"shift": ()}, "shift needs at least one value; got none"),
        ("alpha", {"dim": 0}, "dim must be a whole number of at least 1; got 0."),
        ("alpha", {"n_augmented": 0}, "n_augmented must be a whole number of at least 1; got 0."),
        ("alpha", {"n_alphas": 1}, "n_alphas must be a whole number of at least 2; got 1."),
        ("alpha", {"counts": (60, 0)}, "counts must be whole numbers of at least 1; group 1 has 0"),
        (
            "asymptotics_grid",
            {"n_min": (0, 20)},
            "n_min must be (smallest, largest) with 1 <= smallest <= largest; got (0, 20).",
        ),
        ("asymptotics_grid", {"n_designs": 0}, "n_designs must be a whole number of at least 1"),
        ("asymptotics_grid", {"max_dim": 1}, "max_dim must be a whole number of at least 2"),
        ("asymptotics_grid", {"max_imbalance": 0.5}, "a finite number of at least 1; got 0.5."),
        ("asymptotics_grid", {"max_augmented": 0.0}, "a finite number of at least 0.14; got 0.0."),
        ("asymptotics_grid", {"max_rows": 10}, "groups of the largest n_min, 240 rows; got 10."),
        ("asymptotics_grid", {"seed": -1}, "seed must be a whole number of at least 0; got -1."),
        ("correction", {"counts": (50, 200)}, "Write --counts 200 50, not equal ones."),
        ("correction", {"size": (1.0,)}, "covariance_scale must be positive; got [0.0, 0.0]."),
        ("correction", {"stretch": 0.5}, "a finite number of at least 1; got 0.5."),
        ("downstream", {"n_human": (3000,)}, "n_human must be below n_rows"),
        ("downstream", {"n_human": (5,)}, "n_human must be a whole number of at least 20"),
        ("downstream", {"false_positives": (0.5,)}, "are shares in (0, 0.4]; got 0.5"),
        (
            "generator_data",
            {"generators": ((100, 200),)},
            "at most min(n_generator, n_real) = 100 in group 0; got 200. Lower n_shared",
        ),
        (
            "generator_data",
            {"dims": (2, 200)},
            "a Gaussian fit needs more rows than dimensions; got n_min from 200, n_generator from",
        ),
        ("generator_data", {"n_generator": (9, 3)}, "1 <= smallest <= largest; got (9, 3)."),
        ("generator_data", {"n_seeds": (4, 61)}, "context must be a whole number of at least 62"),
        ("generator_data", {"n_augmented": ()}, "n_augmented needs at least one value; got none"),
        ("generator_data", {"generators": ()}, "generators needs at least one pair of numbers"),
        ("optimal_weight", {"n_min": (50, 20)}, "1 <= smallest <= largest; got (50, 20)."),
        ("optimal_weight", {"n_sizes": -1}, "n_sizes must be a whole number of at least 0"),
        ("optimal_weight", {"n_alphas": 0}, "n_alphas must be a whole number of at least 3"),
        ("optimal_weight", {"max_imbalance": 1.0}, "a finite number of at least 1.5; got 1.0."),
        ("optimal_weight", {"n_replicates": 0}, "n_replicates must be a whole number of at least"),
    ],
)
def test_a_study_refuses_before_its_first_cell(
    study: str, fields: dict[str, Any], message: str
) -> None:
    module = registry.load("study", study)
    with pytest.raises(ValueError, match=re.escape(message)):
        module.cells(replace(module.PRESETS["tiny"], **fields))


@pytest.mark.slow
def test_processes_give_the_same_records(tmp_path: Path) -> None:
    """Two cells drawn and fitted by JAX, of which one trains logistic rules."""
    cells = ("--scenarios", "Gaussian, shift 0.1", "sequence s = 2, bias 0.1")
    frames = []
    for workers in ("1", "2"):
        result = run("mixture_law", tmp_path / workers, *cells, "--workers", workers)
        assert result.returncode == 0, result.stderr
        report = json.loads(result.stdout)
        frames.append(records.read(Path(report["records"])))
    assert tuple(report["config"]["scenarios"]) == cells[1:]
    assert (frames[0]["source"] == "simulation").any()
    assert frames[0].equals(frames[1])


@pytest.mark.parametrize(
    "study",
    [
        pytest.param(k, marks=pytest.mark.slow) if k == "published_scaling" else k  # reads tables
        for k in STUDIES
    ],
)
def test_presets_are_ordered_in_size(study: str) -> None:
    module = registry.load("study", study)
    assert list(module.PRESETS) == ["tiny", "quick", "full"]
    try:
        sizes = [len(module.cells(config)) for config in module.PRESETS.values()]
    except DownloadError as error:  # neither a mirror nor a network
        pytest.skip(str(error))
    except ValueError as error:
        if "cannot be had here" not in str(error):
            raise
        pytest.skip(str(error))
    assert sizes == sorted(sizes)
