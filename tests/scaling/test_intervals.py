"""Intervals: they are profiles, they cover, and they know what seeds share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special, stats

from opal.scaling.covariance import SamplingCovariance
from opal.scaling.fit import Fit, fit
from opal.scaling.intervals import Target, percentile_interval, profile_interval
from opal.scaling.laws import LAWS
from opal.scaling.weights import replicate_errors
from simulations.fit_coverage import Config, draw_truth, points, simulate

CONFIG = Config(n_seeds=6)


def fitted(name: str, index: int, *, shared: float = CONFIG.shared, seed: bool = True) -> Fit:
    frame, _ = drawn(name, index, shared=shared)
    x = {variable: variable for variable in LAWS[name].variables}
    return fit(name, frame, x=x, y="y", seed="seed" if seed else None, n_bootstrap=100)


def drawn(
    name: str, index: int, *, shared: float = CONFIG.shared
) -> tuple[pd.DataFrame, Mapping[str, float]]:
    rng = np.random.default_rng((3, index))
    truth, x = draw_truth(name, rng), points(name, identified=True)
    config = Config(n_seeds=CONFIG.n_seeds, shared=shared)
    return simulate(LAWS[name], x, truth, config, rng), truth


def profile(covariance: SamplingCovariance, index: int, value: float) -> float:
    """Deviance with one coordinate held, by a solver that knows nothing of regions."""
    free = np.arange(len(covariance.phi)) != index

    def residuals(others: np.ndarray) -> np.ndarray:
        phi = np.full(len(free), value)
        phi[free] = others
        return covariance.problem.residuals(phi)[0]

    low, high = (bound[free] for bound in covariance.problem.bounds)
    found = optimize.least_squares(
        residuals, covariance.phi[free], bounds=(low, high), x_scale="jac"
    )
    return 2 * float(found.cost)


def coordinate(index: int, slope: np.ndarray) -> Target:
    return lambda phi: (float(phi[index]), slope)


@pytest.mark.parametrize("name", ["power", "mixture"])
def test_ends_are_where_the_profile_reaches_its_allowance(name: str) -> None:
    covariance = fitted(name, 0).covariance
    least = covariance.problem.deviance(covariance.phi)[0]
    for index in range(len(covariance.phi)):
        slope = np.eye(len(covariance.phi))[index]
        for end in profile_interval(covariance, coordinate(index, slope)):
            reached = profile(covariance, index, end) - least
            assert reached == pytest.approx(covariance.allowance(slope, 0.95), rel=2e-3)


def test_a_linear_fit_has_the_intervals_of_the_textbook() -> None:
    n = np.geomspace(10, 1e4, 12)
    rng = np.random.default_rng(0)
    y = 0.2 + 3 * n**-0.5 + 0.01 * rng.standard_normal(12)
    frame = pd.DataFrame({"n": n, "y": y})
    covariance = fit("power", frame, x={"n": "n"}, y="y").covariance
    slopes = covariance.problem.residuals(covariance.phi)[1]
    direction = np.array([1.0, 0.0, 0.0])
    matrix = np.linalg.inv(slopes.T @ slopes) * covariance.inflation
    assert covariance.standard_error(direction) == pytest.approx(math.sqrt(matrix[0, 0]))
    quantile = stats.t.ppf(0.975, 12 - 3) ** 2
    assert covariance.allowance(direction, 0.95) == pytest.approx(covariance.inflation * quantile)


def test_crossed_seeds_leave_as_many_degrees_of_freedom_as_seeds_less_one() -> None:
    covariance = fitted("power", 1).covariance
    assert covariance.scale(np.array([0.0, 0.0, 1.0]))[1] == pytest.approx(
        CONFIG.n_seeds - 1, rel=1e-2
    )


def test_what_seeds_share_widens_the_floor_and_nothing_else_much() -> None:
    with_seeds, without = (
        fitted("power", 2, shared=0.05),
        fitted("power", 2, shared=0.05, seed=False),
    )

    def width(found: Fit, name: str) -> float:
        return found.params[name].high - found.params[name].low

    assert width(with_seeds, "E") > 1.5 * width(without, "E")
    assert width(with_seeds, "E") > 3 * width(fitted("power", 2, shared=0.0), "E")


@pytest.mark.slow
def test_intervals_cover_and_those_without_seeds_do_not() -> None:
    n_tables, covered = 50, {True: 0, False: 0}
    for index in range(n_tables):
        frame, truth = drawn("power", index, shared=0.08)
        for seed in covered:
            column = "seed" if seed else None
            found = fit("power", frame, x={"n": "n"}, y="y", seed=column).params["E"]
            covered[seed] += found.low <= truth["E"] <= found.high
    error = math.sqrt(0.95 * 0.05 / n_tables)
    assert abs(covered[True] / n_tables - 0.95) < 3 * error
    assert covered[False] / n_tables < 0.95 - 3 * error


def test_bootstrap_is_paired_and_agrees_with_the_profile() -> None:
    found = fitted("power", 4)
    assert found.draws.shape == (100, 3)
    fixed = replace(found.covariance, replicates=None)  # draws keep the weights of the table
    error = fixed.standard_error(np.array([1.0, 0.0, 0.0]))
    assert found.draws[:, 0].std() == pytest.approx(error, rel=4 / math.sqrt(2 * 100))
    x = {"n": np.array([1e5])}
    again = fit("power", found.frame, x={"n": "n"}, y="y", seed="seed", intervals="bootstrap")
    low, high = again.predict_interval(x)
    profile_low, profile_high = found.predict_interval(x)
    assert low[0] < found.predict(x)[0] < high[0]
    ratio = (high[0] - low[0]) / (profile_high[0] - profile_low[0])
    assert 0.3 < ratio < 1.3  # percentiles of few seeds are too narrow: the profile is the default


def test_bootstrap_depends_on_its_key_alone() -> None:
    found = fitted("power", 4)
    np.testing.assert_array_equal(found.draws, fitted("power", 4).draws)
    other = fit("power", found.frame, x={"n": "n"}, y="y", seed="seed", n_bootstrap=100, key=1)
    assert not np.array_equal(found.draws, other.draws)


def test_variances_of_points_are_drawn_to_their_trend() -> None:
    rng = np.random.default_rng(0)
    point = np.repeat(np.arange(20), 5)
    true = np.exp(-0.2 * point)
    found = replicate_errors(1 + true * rng.standard_normal(100), point, point[:, None] * 1.0)
    assert found is not None
    assert np.abs(np.log(found / true)).max() < 0.5
    raw = [np.std(true[point == k] * rng.standard_normal(5), ddof=1) for k in range(20)]
    assert np.abs(np.log(np.array(raw) / true[::5])).max() > 0.5


def test_the_trend_counts_for_its_own_degrees_of_freedom() -> None:
    """Equation 11.2 by hand, where points scatter far more than their replicates would let them."""
    d, k = 30, 40
    rng = np.random.default_rng(1)
    true = 1 / stats.chi2(3).rvs(k, random_state=rng)
    y = np.concatenate([rng.normal(scale=np.sqrt(v), size=d + 1) for v in true])
    point = np.repeat(np.arange(k), d + 1)
    found = replicate_errors(y, point, np.zeros((len(y), 1)))
    own = y.reshape(k, d + 1).var(axis=1, ddof=1)
    logs = np.log(own) - special.digamma(d / 2) + np.log(d / 2)
    more = logs.var(ddof=1) - special.polygamma(1, d / 2)
    d0 = 2 * optimize.brentq(lambda half: special.polygamma(1, half) - more, 0.1, 1000)
    assert d0 < d / 5
    trend = np.exp(logs.mean() + special.digamma(d0 / 2) - np.log(d0 / 2))
    expected = np.sqrt((d0 * trend + d * own) / (d0 + d))
    assert found is not None
    np.testing.assert_allclose(found[:: d + 1], expected, rtol=2e-3)


def test_without_replicates_or_scatter_there_is_no_variance() -> None:
    y, features = np.arange(6.0), np.arange(6.0)[:, None]
    assert replicate_errors(y, np.arange(6), features) is None
    assert (
        replicate_errors(np.repeat(y, 2), np.repeat(np.arange(6), 2), features.repeat(2, 0)) is None
    )


def test_interval_of_a_mean_is_the_percentile_interval() -> None:
    samples = np.random.default_rng(0).normal(size=20_000)
    lower, upper = percentile_interval(0.0, samples)
    assert (lower, upper) == pytest.approx((-1.96, 1.96), abs=0.06)


def test_interval_is_moved_back_when_draws_are_shifted() -> None:
    samples = np.random.default_rng(0).normal(loc=0.5, size=20_000)
    lower, upper = percentile_interval(0.0, samples)
    plain = np.quantile(samples, [0.025, 0.975])
    assert lower < plain[0] - 0.5
    assert upper < plain[1] - 0.5


def test_a_curve_that_bends_has_no_interval_beyond_all_values() -> None:
    """Where the search for an end leaves the region that the table allows, it is no end."""
    rng, n = np.random.default_rng(3), np.round(np.geomspace(100, 20_000, 9))
    rows = [
        pd.DataFrame({"n": n, "seed": seed, "y": (2 - 0.15 * np.log(n)) * (1 + shift)})
        for seed, shift in enumerate(0.004 * rng.standard_normal(5))
    ]
    frame = pd.concat(rows, ignore_index=True)
    frame["y"] += 0.004 * rng.standard_normal(len(frame))
    found = fit("broken", frame, x={"n": "n"}, y="y", seed="seed")
    low, high = found.predict_interval({"n": n})
    curve = found.predict({"n": n})
    assert np.all((low < curve) & (curve < high))
    assert np.all(high - low < 0.1)
