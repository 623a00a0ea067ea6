"""What the study of tables refuses before it computes anything."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opal import validation
from opal.bridge.download import MIRROR_VARIABLE, OPAL, DownloadError
from simulations import tabular as study

TINY = study.PRESETS["tiny"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"draws": 0}, r"--draws must be at least 1; got 0\."),
        ({"folds": 0}, r"--folds must be at least 2; got 0\."),
        ({"trees": 0}, r"--trees must be at least 1; got 0\."),
        ({"seed": -1}, r"--seed must be at least 0; got -1\."),
        ({"datasets": ("gendr",)}, r"unknown dataset 'gendr'; did you mean 'gender'\?"),
        ({"tasks": ("imblanced",)}, r"unknown task 'imblanced'; did you mean 'imbalanced'\?"),
        ({"published": ("forest",)}, "classifier 'forest'; did you mean 'randomForest'"),
        ({"sound": ("logistic", "logistc")}, r"sound classifier 'logistc'; did you mean 'logistic"),
    ],
)
def test_a_bad_configuration_has_no_cells(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        study.cells(replace(TINY, **change))


def test_a_corrupted_table_is_found_before_the_first_cell(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file of the mirror, and one that is spoiled: only its own dataset is refused."""
    for name in OPAL.names():
        link = tmp_path / OPAL.location / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(mirror / OPAL.location / name)
    spoiled = tmp_path / OPAL.location / max(n for n in OPAL.names() if "data/heart_failure/" in n)
    spoiled.unlink()
    spoiled.write_text("not what was published")
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path))
    assert study.cells(replace(TINY, datasets=("gender",)))
    with pytest.raises(DownloadError, match=f"{spoiled.name} is corrupted"):
        study.cells(TINY)


def test_a_missing_package_is_told_before_the_first_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        validation, "find_spec", lambda name: None if name == "catboost" else found(name)
    )
    message = r"needs catboost; install the extra: pip install 'opal-scaling\[tabular\]'"
    changes: list[dict[str, Any]] = [{"published": ("catBoost",)}, {"sound": ("catboost",)}]
    for change in changes:
        with pytest.raises(ImportError, match=message):
            study.cells(replace(TINY, **change))
    assert study.cells(TINY)
