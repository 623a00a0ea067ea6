from __future__ import annotations

import numpy as np
import pytest

from opal.bridge.tabular import bootstrap

Drawn = tuple[list[np.ndarray], list[np.ndarray]]
MINORITY = np.array([True, False])


def errors(rng: np.random.Generator, n_seeds: int, rates: np.ndarray) -> Drawn:
    """Errors of one arm: ``rates (n_seeds, 2)`` per seed and group, 25 and 75 test rows."""
    group = np.repeat([0, 1], [25, 75])
    made = [(rng.random(100) < rates[s][group]).astype(float)[:, None] for s in range(n_seeds)]
    return made, [group] * n_seeds


def test_metrics_by_hand() -> None:
    group_errors = np.array([[0.5], [0.1], [0.3]])
    found = bootstrap.metrics(group_errors, np.array([True, False, True]))
    assert found["balanced_error"] == pytest.approx(0.3)
    assert found["minority_error"] == pytest.approx(0.4)
    assert found["worst_error"] == pytest.approx(0.5)


def test_worst_group_is_worst_on_average_over_seeds() -> None:
    """One group errs in seed 1, the other in seed 2: each errs half the time, not always."""
    group = np.array([0, 0, 1, 1])
    first, second = (group == 0).astype(float)[:, None], (group == 1).astype(float)[:, None]
    found = bootstrap.resample([first, second], [group] * 2, MINORITY, 10, np.random.default_rng(0))
    assert found.estimate["worst_error"] == pytest.approx(0.5)


def test_spread_has_both_levels() -> None:
    """Rows alone give p(1−p)/n; seeds that differ add their own variance."""
    rng = np.random.default_rng(3)
    same, groups = errors(rng, 1, np.full((1, 2), 0.3))
    one = bootstrap.resample(same, groups, MINORITY, 4000, rng)
    p = [same[0][groups[0] == g].mean() for g in (0, 1)]
    expected = np.sqrt(sum(q * (1 - q) / n for q, n in zip(p, (25, 75), strict=True)) / 4)
    assert one.samples["balanced_error"].std() == pytest.approx(expected, rel=0.05)
    far = [np.zeros((100, 1)), np.ones((100, 1))]
    two = bootstrap.resample(far, groups * 2, MINORITY, 4000, rng)
    assert two.samples["balanced_error"].std() == pytest.approx(np.sqrt(0.25 / 2), rel=0.05)


def test_equal_arms_never_differ() -> None:
    rng = np.random.default_rng(1)
    made, groups = errors(rng, 3, np.full((3, 2), 0.4))
    twice = [np.repeat(e, 2, axis=1) for e in made]
    found = bootstrap.resample(twice, groups, MINORITY, 200, rng)
    difference = found.samples["worst_error"][:, 0] - found.samples["worst_error"][:, 1]
    assert np.array_equal(difference, np.zeros(200))
    assert bootstrap.interval(0.0, difference) == (0.0, 0.0)


def test_interval_of_a_mean_is_the_percentile_interval() -> None:
    samples = np.random.default_rng(0).normal(size=20_000)
    lower, upper = bootstrap.interval(0.0, samples)
    assert (lower, upper) == pytest.approx((-1.96, 1.96), abs=0.06)


def test_interval_is_moved_back_when_resamples_are_shifted() -> None:
    samples = np.random.default_rng(0).normal(loc=0.5, size=20_000)
    lower, upper = bootstrap.interval(0.0, samples)
    plain = np.quantile(samples, [0.025, 0.975])
    assert lower < plain[0] - 0.5
    assert upper < plain[1] - 0.5


@pytest.mark.parametrize("spread", [0.0, 0.05])
def test_coverage_with_five_seeds(spread: float) -> None:
    """A 95 % interval from 5 seeds covers at least 88 % and is not vacuous.

    Five seeds are few: where they differ a lot, a bootstrap over them is known to be short.
    """
    rng = np.random.default_rng(7)
    hits, widths = 0, []
    n = 200
    for _ in range(n):
        rates = np.clip(0.3 + spread * rng.normal(size=(5, 1)) + np.zeros((5, 2)), 0, 1)
        made, groups = errors(rng, 5, rates)
        found = bootstrap.resample(made, groups, MINORITY, 200, rng)
        estimate = float(found.estimate["balanced_error"][0])
        lower, upper = bootstrap.interval(estimate, found.samples["balanced_error"][:, 0])
        hits += lower <= 0.3 <= upper
        widths.append(upper - lower)
    assert hits / n >= 0.88
    assert np.mean(widths) < 0.2
