"""Verdicts: family-wise thresholds that hold what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from opal import checks


def test_one_test_has_the_usual_quantile() -> None:
    assert checks.z_threshold(1, 0.05) == pytest.approx(1.959963984540054, abs=1e-12)


@pytest.mark.parametrize("n_tests", [2, 20, 1000])
def test_thresholds_keep_the_family_wise_level(n_tests: int) -> None:
    threshold = checks.z_threshold(n_tests, 0.01)
    each = 2 * stats.norm.sf(threshold)
    assert 1 - (1 - each) ** n_tests == pytest.approx(0.01, rel=1e-6)


def test_families_of_noise_pass_as_often_as_stated() -> None:
    z = np.random.default_rng(0).normal(size=(4000, 10))
    passed = [checks.within_standard_errors("z", row, level=0.1).passed for row in z.tolist()]
    assert abs(np.mean(passed) - 0.9) < 4 * math.sqrt(0.09 / 4000)


def test_the_worst_of_a_family_decides() -> None:
    check = checks.within_standard_errors("z", [0.1, -5.0, 1.0])
    assert not check.passed
    assert check.statistic == 5.0
    assert "3 comparisons" in check.detail


def test_what_is_not_a_number_fails() -> None:
    check = checks.within_standard_errors("z", [0.1, math.nan])
    assert not check.passed
    assert check.statistic == math.inf


@pytest.mark.parametrize(
    "check",
    [
        checks.within_standard_errors("empty", []),
        checks.at_most("empty", [], 2.0, "largest of none"),
        checks.at_least("empty", checks.share([]), 0.5),
        checks.beyond_chance("empty", []),
        checks.refused("empty", [], "a wrong theory"),
        checks.refuted("empty", [], [], "a wrong theory"),
    ],
    ids=lambda check: check.detail,
)
def test_what_compared_nothing_fails(check: checks.Check) -> None:
    assert not check.passed
    assert check.detail.startswith("nothing was compared")


@pytest.mark.parametrize("least", [True, False])
def test_a_number_that_is_missing_among_others_fails(least: bool) -> None:
    bound = checks.at_least if least else checks.at_most
    assert bound("x", [1.0, 1.0], 1.0).passed
    check = bound("x", [1.0, math.nan], 1.0, "of two")
    assert not check.passed
    assert check.detail == "a statistic is not a number; of two"
    assert not checks.misses(math.nan, 2.0)
    assert not checks.agrees(math.nan, 2.0)


def test_one_lucky_cell_does_not_refute_a_theory() -> None:
    """The control is noise but for one cell; and a wrong theory that cells can tell is refused."""
    lucky = [0.3, -1.0, 9.0, 0.4, -0.2, 1.1]
    assert not checks.refused("lucky", lucky, "noise").passed
    assert not checks.refuted("lucky", lucky, [8.0] * 6, "noise").passed
    wrong = [z + 8.0 for z in (0.3, -1.0, 0.5, 0.4, -0.2, 1.1)]
    assert checks.refused("wrong", wrong, "off by 8").passed
    check = checks.refuted("wrong", wrong, [8.0] * 5 + [1.0], "off by 8")
    assert check.passed
    told = "a wrong theory, refused in 5 of the 5 cells that can tell, of 6: off by 8"
    assert check.detail == told


def test_the_right_theory_in_the_place_of_a_wrong_one_is_told() -> None:
    noise = np.random.default_rng(0).normal(size=12)
    check = checks.refuted("right", noise, 0 * noise, "the truth")
    assert not check.passed
    assert "0 of the 0 cells that can tell" in check.detail


def test_a_threshold_needs_a_test() -> None:
    with pytest.raises(ValueError, match="at least one test; got 0"):
        checks.z_threshold(0)


@pytest.mark.parametrize(("value", "below", "above"), [(1.0, True, False), (3.0, False, True)])
def test_bounds(value: float, below: bool, above: bool) -> None:
    assert checks.at_most("x", value, 2.0).passed is below
    assert checks.at_least("x", value, 2.0).passed is above
    assert checks.at_most("x", 2.0, 2.0).passed
    assert checks.at_least("x", 2.0, 2.0).passed
    assert not checks.at_most("x", math.nan, 2.0).passed
    assert not checks.at_least("x", math.nan, 2.0).passed


def test_a_check_has_plain_fields() -> None:
    assert checks.at_most("x", 1.0, 2.0, "why").as_dict() == {
        "name": "x",
        "statistic": 1.0,
        "threshold": 2.0,
        "passed": True,
        "detail": "why",
    }
