"""The published table craft is the law that it is said to be, and real rows have no floor."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import special, stats

from opal import checks, records
from opal.bridge.download import MIRROR_VARIABLE
from opal.cli import main
from opal.settings.craft import columns, median
from simulations import craft_generators
from simulations.craft_generators import Maker, identities, measure_maker

pytestmark = pytest.mark.skipif(
    MIRROR_VARIABLE not in os.environ, reason="needs the published table: no mirror of files"
)
TINY = craft_generators.PRESETS["tiny"]


@pytest.fixture(scope="module")
def published() -> tuple[np.ndarray, np.ndarray]:
    """Its 8,000 rows and their labels."""
    from opal.bridge.tabular.scaling import tables

    rows = tables.listed("craft").rows("craft")
    return rows.x, rows.y


def uniforms(x: np.ndarray, column: int, mean: np.ndarray | float, spread: float) -> np.ndarray:
    """A column through its distribution function, at random within the rounded cell [n]."""
    low, high = (special.ndtr((x[:, column] + s * 0.05 - mean) / spread) for s in (-1, 1))
    u = np.random.default_rng(column).uniform(size=len(x))
    return np.asarray(low + u * (high - low))


def test_its_columns_follow_the_law(published: tuple[np.ndarray, np.ndarray]) -> None:
    x, _ = published
    x3 = 0.5 * x[:, 0] + 0.3 * x[:, 1]
    laws: dict[int, tuple[np.ndarray | float, float]]
    laws = {0: (0, 1), 1: (0, 1), 2: (x3, 0.5), 4: (0.5 * x[:, 2], 1), 6: (0, 1)}
    p = [stats.kstest(uniforms(x, c, m, s), "uniform").pvalue for c, (m, s) in laws.items()]
    assert min(p) > 0.001
    wide = uniforms(x, 2, x3, 0.55)
    assert stats.kstest(wide, "uniform").pvalue < 0.001
    assert stats.binomtest(int((x[:, 5] > 0).sum()), len(x)).pvalue > 0.001
    ratio = x[:, 3][np.abs(x[:, 0]) > 1] / x[:, 0][np.abs(x[:, 0]) > 1]
    assert abs(ratio.var() - 1) < 4 * np.sqrt(2 / len(ratio))
    np.testing.assert_array_equal(x[:, 7], np.round(x[:, 1] * x[:, 2], 1))
    np.testing.assert_array_equal(x[:, 8], np.round(x[:, 0] * x[:, 1], 1))


def test_columns_are_made_of_rounded_ones(published: tuple[np.ndarray, np.ndarray]) -> None:
    x, _ = published
    zeros = x[x[:, 0] == 0]
    assert len(zeros) > 300
    assert not zeros[:, 3].any()
    # X1 before rounding would lie within ±.05, and 9 % of its products beyond .05.
    z = np.random.default_rng(0).normal(size=(200_000, 2)) * [0.0, 1.0]
    z[:, 0] = np.random.default_rng(1).uniform(-0.05, 0.05, len(z))
    assert np.mean(np.abs(z[:, 0] * z[:, 1]) > 0.05) == pytest.approx(0.094, abs=0.003)
    causes = np.zeros((1, 3))
    others = np.full((1, 3), 3.0)
    assert np.asarray(columns(causes, others, np.ones(1)))[0, 3] == 0


def test_its_labels_are_probit(published: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = published

    def deciles(noise: float) -> list[float]:
        score = 0.7 * x[:, 0] - 0.6 * x[:, 1] + 0.8 * x[:, 2] + 0.4 * x[:, 8] - median()
        chance = special.ndtr(score / noise)
        parts = np.array_split(np.argsort(chance), 10)
        return [
            (y[k] - chance[k]).sum() / np.sqrt((chance[k] * (1 - chance[k])).sum()) for k in parts
        ]

    check = checks.within_standard_errors("deciles", deciles(1.0), level=0.001)
    assert check.passed, check
    assert not checks.within_standard_errors("noise", deciles(1.3), level=0.001).passed


def test_real_rows_keep_identities_and_have_no_floor() -> None:
    frame = measure_maker(Maker(replace(TINY, log2_points=10), "use"))
    values = frame.set_index(["metric", "alpha", "group"])
    assert values.loc[("identity_X8", 0.0, "all"), "value"] == 1
    assert values.loc[("identity_X8_by_chance", 0.0, "all"), "value"] < 0.2
    floors = frame[frame["metric"] == "floor"]
    assert len(floors) == 2
    assert (np.abs(floors["value"] / floors["std_error"]) < 4).all()


@pytest.mark.slow
def test_rows_of_the_originals_have_one() -> None:
    frame = measure_maker(Maker(TINY, "ros"))
    floors = frame[(frame["metric"] == "floor") & (frame["alpha"] == 1)]
    assert (floors["value"] > 10 * floors["std_error"]).all()


@pytest.mark.slow
def test_the_study_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--preset", "tiny", "--json", "--out", str(tmp_path)]
    assert main(["run", "craft_generators", *words]) == 0
    report = json.loads(capsys.readouterr().out)
    frame = records.read(Path(report["records"]))
    assert set(frame["source"]) == {"data", "simulation", "theory"}
    assert len(craft_generators.comparison(frame)) == 1


def test_identities_are_those_of_the_last_digit() -> None:
    x = np.zeros((2, 9))
    x[:, 1], x[:, 2] = 0.5, 0.5
    x[:, 7] = [0.2, 0.4]
    found = identities(x, seed=0)
    assert found["identity_X8", "all"][0] == 0.5
    assert found["deviation_X8", "all"][0] == pytest.approx(0.1)


def test_unknown_makers_are_refused() -> None:
    with pytest.raises(ValueError, match="maker"):
        craft_generators.cells(replace(TINY, makers=("gpt",)))
