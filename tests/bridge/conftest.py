"""Small tables made on the spot, and the mirror of the real ones where there is one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from opal.bridge.download import MIRROR_VARIABLE


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The mirror of the public repositories; the test is skipped where there is none."""
    beside = Path(__file__).parents[3] / "shared/data/mirror"
    path = Path(os.environ.get(MIRROR_VARIABLE) or beside)
    if not path.is_dir():
        pytest.skip(
            f"needs the real tables: {MIRROR_VARIABLE} is not set and {beside} is not there"
        )
    monkeypatch.setenv(MIRROR_VARIABLE, str(path))
    return path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No mirror, an empty cache, and a proxy that refuses every connection."""
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


Draw = Callable[..., pd.DataFrame]


@pytest.fixture
def draw() -> Draw:
    """Draw a table with given counts of (side, y): x1 tells y, x2 tells the side, x3 is noise."""

    def make(counts: dict[tuple[int, int], int], seed: int) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        parts = []
        for (side, y), n in counts.items():
            x = rng.normal(size=(n, 3)) + np.array([2.0 * y, 1.5 * side, 0.0])
            part = pd.DataFrame(np.round(x, 3), columns=["x1", "x2", "x3"])
            parts.append(part.assign(side=side, y=y))
        table = pd.concat(parts, ignore_index=True)
        return table.iloc[rng.permutation(len(table))].reset_index(drop=True)

    return make


@pytest.fixture
def folder(tmp_path: Path, draw: Draw) -> Path:
    """A dataset ``toy`` in the repository's layout, both tasks, with source table and results."""
    root = tmp_path / "data/toy"
    raw = {
        "imbalanced": {(0, 0): 4, (1, 0): 4, (0, 1): 16, (1, 1): 16},
        "spurious": {(0, 0): 14, (1, 0): 6, (0, 1): 6, (1, 1): 14},
    }
    even = {(0, 0): 30, (1, 0): 30, (0, 1): 30, (1, 1): 30}
    for task, counts in raw.items():
        for method in ("focus", "smote", "duplicate"):
            inside = root / f"toy_see_small_raw40_{task}_{method}"
            inside.mkdir(parents=True)
            for seed in (1, 2):
                split = {
                    "train_colsbase_size40_total200": draw(counts, seed),
                    "train_generate_colsbase": draw(even, 100 + seed),
                    "test_colsbase_size200": draw(even, 200 + seed),
                }
                for name, table in split.items():
                    table.to_csv(inside / f"{name}_rand{seed}.csv", index=False)
    real = [
        pd.read_csv(path)
        for pattern in ("train_cols*", "test_*")
        for path in sorted(root.glob(f"*_focus/{pattern}"))
    ]
    source = pd.concat([*real, draw(even, 900)], ignore_index=True).drop_duplicates()
    # craft.csv of the repository has such a nameless index column too.
    source.to_csv(root / "toy_see_small_raw40_imbalanced_focus/toy.csv")
    return root
