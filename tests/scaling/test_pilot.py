"""Pilots: what they vary, what of them is fitted, and what is proposed next."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from opal.scaling import pilot, pilot_fit
from opal.scaling.fit import Fit, fit
from opal.scaling.laws.cross import cross_law
from opal.scaling.pilot import candidates, propose
from opal.scaling.plan import plan
from opal.scaling.purchase import Option

X = {"n": "n", "N": "N", "alpha": "alpha"}
PARAMS = {"E": 0.5, "R_s": 0.004, "C": 0.0, "A_s": 3.0, "A_r": 2.5}


@pytest.fixture(scope="module")
def found() -> tuple[Fit, Option]:
    rng, law = np.random.default_rng(5), cross_law()
    points = pd.concat([pd.DataFrame(pilot.first_points(300, 1200))] * 6, ignore_index=True)
    x = {name: points[name].to_numpy(float) for name in X}
    exact = law.predict(PARAMS, {**x, "N": np.maximum(x["N"], 1.0)})
    values = exact + 0.1 * (exact - 0.5) * rng.normal(size=len(exact))
    seeds = np.repeat(np.arange(6), len(points) // 6)
    rows = pilot_fit.near(points.assign(value=values, seed=seeds), X, "value")
    fitted = fit(law, rows, x=X, y="value", std_error="weight_error", seed="seed", n_bootstrap=40)
    advice = plan(fitted, n_real=300, price_real=np.inf, price_synthetic=1.0, budget=24_000.0)
    return fitted, advice.chosen


def test_a_first_pilot_varies_all_three_and_stays_in_its_pool() -> None:
    points = pilot.first_points(300, 1200)
    assert len(set(points)) == len(points)
    assert {p.n for p in points} == {75, 150, 300}
    assert max(p.N for p in points) == 600  # half of the pool, so that seeds differ
    assert min(p.alpha for p in points if p.alpha > 0) <= 0.02
    pilot_fit.check(pd.DataFrame(points), X)


@pytest.mark.parametrize(("n", "pool", "what"), [(4, 100, "n_real"), (100, 4, "the pool")])
def test_too_small_pilots_are_refused(n: float, pool: float, what: str) -> None:
    with pytest.raises(ValueError, match=f"{what}.* must hold at least 8 samples of each group"):
        pilot.first_points(n, pool)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"n": [9, 9], "N": [5, 7], "alpha": [0.5, 0.5]}, "'alpha' holds 0.5 only"),
        ({"n": [9, 9], "N": [5, 7], "alpha": [0.5, 0.2]}, "a pilot needs rows of alpha = 0"),
        ({"n": [9, 9, 9], "N": [0, 7, 7], "alpha": [0.0, 0.2, 1.0]}, "'N' holds 7 only"),
    ],
)
def test_pilots_that_show_too_little_are_refused(
    rows: dict[str, list[float]], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        pilot_fit.check(pd.DataFrame(rows), X)


def test_points_worse_than_half_the_real_samples_are_left_out() -> None:
    law, points = cross_law(), pd.DataFrame(pilot.first_points(300, 1200))
    x = {name: np.maximum(points[name].to_numpy(float), 1e-9) for name in ("n", "N")}
    values = law.predict({**PARAMS, "R_s": 1.0}, {**x, "alpha": points["alpha"].to_numpy()})
    kept = pilot_fit.near(points.assign(value=values), X, "value")
    half = 0.5 + 2.5 / 150
    assert kept["value"].max() <= half + 1e-12
    assert kept["alpha"].max() < 0.2  # of a poor generator only small weights tell
    assert len(kept) == (values <= half + 1e-12).sum()
    assert (kept["weight_error"] > 0).all()


def test_the_first_point_proposed_is_the_best_single_one(found: tuple[Fit, Option]) -> None:
    """Against every candidate added to the information, with the covariance inverted anew."""
    fitted, option = found
    chosen = propose(fitted, option, n=300, largest_pool=1200, n_points=4)
    covariance = pilot._covariance(fitted, None)
    gain = pilot._gradient(fitted, option, 300)
    points = candidates(300, 1200)
    slopes, variance = pilot._rows(fitted, points)
    information = np.linalg.inv(covariance)
    after = [
        gain @ np.linalg.inv(information + np.outer(j, j) / v) @ gain
        for j, v in zip(slopes, variance, strict=True)
    ]
    assert chosen.points[0] == points[int(np.argmin(after))]
    assert chosen.std_errors[0] == pytest.approx(np.sqrt(min(after)), rel=1e-4)
    assert chosen.std_error == pytest.approx(np.sqrt(gain @ covariance @ gain), rel=1e-9)


def test_proposals_differ_and_help(found: tuple[Fit, Option]) -> None:
    fitted, option = found
    proposal = propose(fitted, option, n=300, largest_pool=1200, subsample=0.5)
    assert len(set(proposal.points)) == 8
    # Seeds that share a pool share its error: the same points help by the same share.
    own = propose(fitted, option, n=300, largest_pool=1200)
    assert proposal.points == own.points
    shares = np.divide(proposal.std_errors, own.std_errors)
    assert shares == pytest.approx(proposal.std_error / own.std_error, rel=1e-6)
    errors = [proposal.std_error, *proposal.std_errors]
    assert np.all(np.diff(errors) < 0)
    assert max(p.N for p in proposal.points) <= 1200


@pytest.mark.parametrize(
    ("pool", "n_points", "message"),
    [(1200.0, 0, "n_points is how many points"), (0.0, 3, "a pilot needs synthetic samples")],
)
def test_impossible_proposals_are_refused(
    found: tuple[Fit, Option], pool: float, n_points: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        propose(*found, n=300, largest_pool=pool, n_points=n_points)


def test_a_kept_fit_without_an_amplitude_draws_what_it_drew(tmp_path: Path) -> None:
    """What vanished is told as 0, and must not come back as a number that nothing holds."""
    law, points = cross_law(), pd.DataFrame(pilot.first_points(300, 1200))
    at = {name: np.maximum(points[name].to_numpy(float), 1e-9) for name in X}
    exact = law.predict({"E": 0.5, "R_s": 0.4, "C": 0.02, "A_s": 1e-8, "A_r": 1.6}, at)
    exact = exact + 1e-4 * at["N"] * at["alpha"]  # more rows do worse: no law has it
    rng = np.random.default_rng(0)
    rows = [
        points.assign(seed=seed, value=exact + 0.01 * (exact - 0.5) * rng.normal(size=len(points)))
        for seed in range(6)
    ]
    found = pilot_fit.fit_pilot(pd.concat(rows, ignore_index=True), seed="seed", n_bootstrap=20)
    assert found.params["A_s"].estimate == 0.0
    found.save(tmp_path / "fit.json")
    again = Fit.load(tmp_path / "fit.json", law=law)
    assert np.allclose(again.draws, found.draws)
    assert np.abs(found.draws).max() < 1e4
