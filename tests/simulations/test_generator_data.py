"""The study of what a generator was trained on: its draws, its comparison, and its claims."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest

from opal.objective import Design
from opal.settings import GaussianMixture
from opal.synthesis import GaussianFit
from simulations import generator_data as study
from simulations._config import DrawnDesign
from simulations._generator_rows import OVERLAPS, draw_design

SETTING = GaussianMixture(
    [[-0.8, 0.0], [0.8, 0.3]], [[[1.0, 0.3], [0.3, 0.7]], [[0.5, 0.0], [0.0, 1.2]]]
)
FULL = study.PRESETS["full"]


def test_every_overlap_is_drawn_as_its_name_says() -> None:
    draws = [draw_design(DrawnDesign(FULL, index)) for index in range(FULL.n_designs)]
    assert len(draws) >= 40
    assert set(Counter(overlap for *_, overlap in draws)) == set(OVERLAPS)
    for _, design, overlap in draws:
        groups = zip(design.counts, design.n_fitted, design.n_in_training, strict=True)
        for n, fitted, shared in groups:
            assert min(n, fitted) >= 200
            assert {
                "disjoint": shared == 0,
                "subset": shared == fitted <= n,
                "equal": shared == fitted == n,
                "partial": 0 < shared < min(n, fitted),
                "containing": shared == n < fitted,
            }[overlap]
    makers = Counter(type(design.synthesizer).__name__ for _, design, _ in draws)
    assert min(makers["GaussianFit"], makers["Duplication"]) >= 8
    shrunk = {getattr(design.synthesizer, "shrinkage", 0.0) > 0 for _, design, _ in draws}
    assert shrunk == {True, False}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Two generators after as many rows: one that never saw the training set, and one that did."""
    design = Design((200, 200), GaussianFit(0.2), 400, 0.7)
    frames = []
    for index, (fitted, shared) in enumerate(((250, 0), (250, 200))):
        each = design.with_(n_generator=fitted, n_shared=shared)
        found = study.compared(SETTING, each, key=index, size=1500)
        frames.append(
            found.assign(part="grid", design=index, n_fitted=fitted, overlap=OVERLAPS[index])
        )
    return study.comparison(pd.concat(frames, ignore_index=True))


@pytest.mark.slow
def test_theory_is_simulated(table: pd.DataFrame) -> None:
    check = study._holds("grid", table)
    assert check.passed, check
    assert check.statistic == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("name", study.CONTROLS)
def test_wrong_theories_are_caught(table: pd.DataFrame, name: str) -> None:
    """In each cell that can tell; the one that forgets the generator's data can be told in both."""
    check = study._caught("grid", name, table)
    assert check.passed, check
    if name == "forgotten":
        assert "refused in 2 of the 2 cells that can tell" in check.detail


@pytest.mark.slow
def test_a_theory_that_is_off_is_not_accepted(table: pd.DataFrame) -> None:
    off = table.assign(z=table["z"] + 8, ratio=table["ratio"] * 1.1)
    assert not study._holds("grid", off).passed
    assert not study._holds("grid", off.assign(n_fitted=100)).passed  # nothing to compare
    same = table.assign(forgotten=table["predicted"])
    assert not study._caught("grid", "forgotten", same).passed


@pytest.mark.slow
@pytest.mark.timeout(1200)  # its 45 designs compile one by one
def test_forty_designs_and_more_are_predicted() -> None:
    config = replace(
        FULL,
        dims=(2, 4),
        n_designs=45,
        n_min=(200, 400),
        n_generator=(200, 1000),
        max_multiple=1.5,
        n_replicates=1000,
    )
    draws = (DrawnDesign(config, index) for index in range(config.n_designs))
    frames = [study.measure_draw(draw) for draw in draws]
    found = study.comparison(pd.concat(frames, ignore_index=True))
    assert len(found) >= 40
    for check in (
        study._holds("grid", found),
        *(study._caught("grid", k, found) for k in study.CONTROLS),
    ):
        assert check.passed, check


@pytest.mark.slow
@pytest.mark.parametrize("overlap", ["disjoint", "containing"])
def test_a_transformer_after_rows_of_its_own_is_predicted(overlap: str) -> None:
    config = replace(study.PRESETS["quick"], n_replicates=512)
    frame = study.measure_shown(study.ShownRows(config, 8, overlap))
    found = study.comparison(frame)
    for check in (
        study._holds("transformer", found),
        study._caught("transformer", "forgotten", found),
    ):
        assert check.passed, check
