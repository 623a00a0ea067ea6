"""Intervals of one new run: they hold one, those of the curve do not, and ignorance is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal.scaling.fit import Fit, fit
from opal.scaling.laws import LAWS
from opal.scaling.new_run import OF_MISSES, OF_RUNS, Runs
from simulations.fit_coverage import Config, draw_truth, points, simulate

CONFIG = Config(n_seeds=6)
AT = {"n": np.array([500.0, 5e4, 5e5])}


def fitted(rng: np.random.Generator, truth: dict[str, float], **settings: Any) -> Fit:
    frame = simulate(LAWS["power"], points("power", identified=True), truth, CONFIG, rng)
    return fit("power", frame, x={"n": "n"}, y="y", seed="seed", **settings)


def test_intervals_hold_a_new_run_and_those_of_the_curve_do_not() -> None:
    held: list[np.ndarray] = []
    control: list[np.ndarray] = []
    for key in range(16):
        rng = np.random.default_rng(key)
        truth = draw_truth("power", rng)
        found = fitted(rng, truth)
        curve = LAWS["power"].predict(truth, AT)
        noise = np.hypot(CONFIG.noise * (curve - truth["E"]), CONFIG.own * curve)
        own, shift = rng.standard_normal((2, 40, 3))
        runs = curve + noise * own + CONFIG.shared * curve * shift[:, :1]
        for rows, new_run in ((held, True), (control, False)):
            low, high = found.predict_interval(AT, new_run=new_run)
            rows.append(np.mean((low <= runs) & (runs <= high), axis=0))
    shares, errors = np.mean(held, axis=0), np.std(held, axis=0) / 4
    assert np.all(np.abs(shares - 0.95) < 0.02 + 3 * errors)
    assert np.all(np.mean(control, axis=0) < 0.8)


def test_the_noise_of_a_run_is_that_which_made_the_table() -> None:
    rng = np.random.default_rng(0)
    curve = np.repeat(np.linspace(1.0, 3.0, 20), 400)
    sigma = np.sqrt(0.02**2 + (0.05 * (curve - 1)) ** 2)
    seed = np.tile(np.arange(400), 20)
    point = np.repeat(np.arange(20), 400)
    runs = Runs(curve + sigma * rng.normal(size=len(curve)), curve, point, seed)
    found = runs.errors(np.array([0.5, 1.0, 2.0, 3.0, 9.0]))
    assert found is not None
    right = np.sqrt(0.02**2 + np.array([0, 0, 0.05, 0.1, 0.1]) ** 2)
    np.testing.assert_allclose(found, right, rtol=0.05)
    assert runs.degrees(found)[1] > 1000
    together = Runs(curve + 0.02 * rng.normal(size=400)[seed], curve, point, seed)
    shared = together.errors(curve[:1])
    assert shared is not None
    assert together.degrees(shared)[0] == pytest.approx(399, rel=0.2)


def test_where_it_is_known_from_is_said() -> None:
    rng = np.random.default_rng(1)
    found = fitted(rng, draw_truth("power", rng))
    said = found.to_dict()
    assert said["run_noise"] == OF_RUNS
    low, high = said["predictions"][0]["new_run"]
    assert low < said["predictions"][0]["ci"][0] < said["predictions"][0]["ci"][1] < high
    n = points("power", identified=True)["n"]
    frame = pd.DataFrame({"n": n, "y": 0.2 + 3 * n**-0.5 + 0.003 * rng.normal(size=10)})
    one = fit("power", frame, x={"n": "n"}, y="y")
    assert one.to_dict()["run_noise"] == OF_MISSES
    assert one.run_noise(AT).errors == pytest.approx(0.003, rel=0.6)
    means = fit("power", frame.assign(se=0.003), x={"n": "n"}, y="y", std_error="se")
    assert means.to_dict()["predictions"][0]["new_run"] is None
    assert means.to_dict()["run_noise"].startswith("unknown: the table holds means")
    with pytest.raises(ValueError, match="an interval of a new run needs the noise of one"):
        means.predict_interval(AT, new_run=True)


@pytest.mark.parametrize("settings", [{"loss": "huber-log"}, {"link": "log"}])
def test_other_scales_have_runs_too(settings: dict[str, str]) -> None:
    rng = np.random.default_rng(2)
    found = fitted(rng, draw_truth("power", rng), **settings)
    low, high = found.predict_interval(AT, new_run=True)
    inner = found.predict_interval(AT)
    assert np.all((low < inner[0]) & (inner[1] < high))
    assert np.all((high - low) / found.predict(AT) < 0.3)
