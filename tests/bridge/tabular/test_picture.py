from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from opal import runner
from opal.bridge.download import MIRROR_VARIABLE
from paper_figures import tabular as figure
from simulations import tabular as study

TINY = study.Config(
    datasets=("heart_failure",),
    published=("logistic",),
    sound=("logistic",),
    folds=2,
    draws=1,
)


def records(tmp_path: Path) -> pd.DataFrame:
    return runner.run(study.cells(TINY), tmp_path / "cells", progress=False)


@pytest.mark.slow
def test_figure_is_drawn_and_checks_itself(mirror: Path, tmp_path: Path) -> None:
    frame = records(tmp_path)
    drawn = figure.draw(frame)
    drawn.savefig(tmp_path / "tabular.png")
    plt.close(drawn)
    checks = {check.name: check for check in figure.checks(frame)}
    assert checks["published numbers"].passed
    assert checks["published numbers"].statistic <= 1e-9
    assert checks["published files"].statistic == 8
    assert np.isfinite([check.statistic for check in checks.values()]).all()


@pytest.mark.slow
def test_checks_fail_when_a_number_is_off_or_missing(mirror: Path, tmp_path: Path) -> None:
    frame = records(tmp_path)
    off = frame.copy()
    off.loc[off["published"].notna().idxmax(), "value"] += 1e-6
    assert not {c.name: c for c in figure.checks(off)}["published numbers"].passed
    gone = frame.copy()
    first = gone["published"].notna() & (gone["metric"].isin(["gap_error", "gap_error_sd"]))
    gone.loc[first, "published"] = np.nan
    assert not {c.name: c for c in figure.checks(gone)}["published files"].passed
    flat = frame.copy()
    flat.loc[flat["metric"] == "balanced_error_difference", "value"] *= -1
    assert not {c.name: c for c in figure.checks(flat)}["weighting helps"].passed


def test_without_tables_the_figure_is_left_out_in_one_line(offline: None) -> None:
    reason = figure.unavailable()
    assert reason is not None
    assert "\n" not in reason
    assert MIRROR_VARIABLE in reason


@pytest.mark.parametrize("preset", ["quick", "full"])
def test_presets_cover_every_table_and_task(preset: str) -> None:
    cells = study.cells(study.PRESETS[preset])
    assert {(c.config.dataset, c.config.task) for c in cells} == {
        (dataset, task) for dataset in study.DATASETS for task in ("imbalanced", "spurious")
    }
    assert len({cell.key() for cell in cells}) == len(cells)


def test_drawing_helpers_keep_the_arms_apart() -> None:
    from opal.bridge.tabular import arms, picture

    labels = [picture.arm_label(arm) for arm in arms.ARMS]
    assert len(set(labels)) == len(labels)
    assert len({marker for marker, *_ in picture.CLASSIFIERS.values()}) == 3
    assert picture._tick(0.09) == pytest.approx(0.06)
    assert picture._tick(0.045) == pytest.approx(0.03)
