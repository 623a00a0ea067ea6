"""A small folder in the layout of the scaling-law experiments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

Draw = Callable[..., pd.DataFrame]
POSITIVE, NEGATIVE = ((0, 0), (1, 1)), ((0, 1), (1, 0))


@pytest.fixture
def toy(tmp_path: Path, draw: Draw) -> Path:
    """Eight originals, further real rows, rows of two makers, and a test table."""
    root = tmp_path / "toy"
    root.mkdir()
    labels = {"0": ((0, 0), (1, 0)), "1": ((0, 1), (1, 1)), "_pos": POSITIVE, "_neg": NEGATIVE}
    every = (*POSITIVE, *NEGATIVE)
    draw(dict.fromkeys(every, 2), 1).to_csv(root / "seed.csv", index=False)
    draw(dict.fromkeys(every, 50), 2).to_csv(root / "test.csv", index=False)
    real = draw(dict.fromkeys(every, 60), 3)
    real.to_csv(root / "train.csv", index=False)
    for ending, groups in labels.items():
        mine = [(side, y) in groups for side, y in zip(real["side"], real["y"], strict=True)]
        real[mine].to_csv(root / f"train{ending}.csv", index=False)
        for seed, maker in enumerate(("synthetic", "mine"), 4):
            made = draw(dict.fromkeys(groups, 60), 10 * seed + len(ending) + len(groups[0]))
            made.to_csv(root / f"{maker}{ending}.csv", index=False)
    return root
