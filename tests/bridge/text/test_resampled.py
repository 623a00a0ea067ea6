"""Intervals over repeated cross-validation cover what they should; the naive ones do not."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from scipy import stats

from opal.bridge.text.impute.resampled import corrected

N_SETS, REPEATS, FOLDS, PER_CLASS, SHIFT = 600, 5, 10, 30, 0.5
TRAINED = PER_CLASS - PER_CLASS // FOLDS


@pytest.fixture(scope="module")
def errors() -> np.ndarray:
    """Error in each split of many data sets [sets, splits]: a threshold between two means."""
    rng = np.random.default_rng(0)
    data = (
        rng.normal(size=(2, N_SETS, 1, PER_CLASS)) + SHIFT * np.array([-1, 1])[:, None, None, None]
    )
    again = rng.permuted(np.repeat(data, REPEATS, axis=2), axis=3)
    parts = again.reshape(2, N_SETS, REPEATS, FOLDS, -1)
    sums = parts.sum(axis=4)
    means = (sums.sum(axis=3, keepdims=True) - sums) / TRAINED
    threshold = means.mean(axis=0)[..., None]
    wrong = np.stack([parts[0] > threshold, parts[1] <= threshold])
    return wrong.mean(axis=(0, 4)).reshape(N_SETS, -1)


@pytest.fixture(scope="module")
def truth() -> float:
    """Expected error of a threshold drawn with variance s² = 1/(2 n₁): Φ(−δ/√(1 + s²))."""
    return float(stats.norm.cdf(-SHIFT / math.sqrt(1 + 1 / (2 * TRAINED))))


def coverage(errors: np.ndarray, truth: float, ratio: float) -> float:
    intervals = [corrected(each, ratio) for each in errors]
    return float(np.mean([each.lower <= truth <= each.upper for each in intervals]))


def test_the_simulation_aims_at_its_truth(errors: np.ndarray, truth: float) -> None:
    means = errors.mean(axis=1)
    assert abs(means.mean() - truth) < 4 * means.std() / math.sqrt(N_SETS)


def test_corrected_intervals_cover(errors: np.ndarray, truth: float) -> None:
    slack = 3 * math.sqrt(0.95 * 0.05 / N_SETS)
    assert 0.95 - slack <= coverage(errors, truth, 1 / (FOLDS - 1)) <= 0.99


def test_naive_intervals_do_not(errors: np.ndarray, truth: float) -> None:
    assert coverage(errors, truth, 0.0) < 0.75


def test_the_formula() -> None:
    values = [0.1, 0.3, 0.2, 0.6]
    found = corrected(values, 1 / 3, level=0.9)
    assert found.mean == pytest.approx(0.3)
    assert found.std_error == pytest.approx(np.std(values, ddof=1) * math.sqrt(1 / 4 + 1 / 3))
    half = stats.t.ppf(0.95, 3) * found.std_error
    assert (found.lower, found.upper) == pytest.approx((0.3 - half, 0.3 + half))
    assert found.n == 4


def test_without_correction_it_is_the_usual_test() -> None:
    values = np.random.default_rng(1).normal(0.2, size=12)
    found = corrected(values, 0.0)
    assert found.p_value == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue)


def test_splits_without_a_value_are_left_out() -> None:
    assert corrected([0.1, math.nan, 0.3], 0.1) == corrected([0.1, 0.3], 0.1)


def test_equal_values_have_no_width() -> None:
    assert corrected([0.5] * 4, 0.1).p_value == 0.0
    assert corrected([0.0] * 4, 0.1).p_value == 1.0


@pytest.mark.parametrize(
    ("values", "ratio", "level", "message"),
    [
        ([0.1, math.nan], 0.1, 0.95, "needs the results of at least two splits; got 1."),
        ([0.1, 0.2], -0.1, 0.95, "ratio must be finite and not negative, and level in (0, 1)"),
        ([0.1, 0.2], 0.1, 1.0, "got 0.1 and 1.0."),
    ],
)
def test_bad_input(values: list[float], ratio: float, level: float, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        corrected(values, ratio, level=level)
