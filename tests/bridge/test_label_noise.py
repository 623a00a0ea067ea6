"""Planted wrong labels are estimated without bias and found as often as is said."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, norm

from opal.bridge.label_noise import (
    LEVEL,
    WrongLabels,
    threshold,
    together,
    wrong_labels,
)
from opal.bridge.label_scores import MADE, RIGHT, WRONG


def drawn(
    rng: np.random.Generator, wrong: float, *, auc: float = 0.8, n: int = 300, shift: float = 0.0
) -> WrongLabels:
    """Gaussian scores, ``n`` of each kind; ``shift`` moves made rows of right labels down."""
    found = asked(rng, wrong, auc=auc, n=n, shift=shift)
    assert isinstance(found, WrongLabels)
    return found


def asked(
    rng: np.random.Generator, wrong: float, *, auc: float, n: int, shift: float = 0.0
) -> WrongLabels | str:
    apart, k = float(norm.ppf(auc)) / np.sqrt(2), rng.binomial(n, wrong)
    centre = np.repeat([apart - shift, -apart, apart, -apart], [n - k, k, n, n])
    kind = np.repeat([MADE, RIGHT, WRONG], n)
    score = centre + rng.standard_normal(3 * n)
    return wrong_labels(score, kind, np.zeros(3 * n, int), np.arange(3 * n))


def test_the_share_is_unbiased_and_its_error_is_its_spread() -> None:
    rng = np.random.default_rng(0)
    for wrong in (0.0, 0.3, 1.0):
        found = [drawn(rng, wrong) for _ in range(25)]
        z = np.array([(each.share - wrong) / each.std_error for each in found])
        assert abs(z.mean()) < 4 / np.sqrt(25)
        assert 0.6 < z.std() < 1.5
    # The control: with the noise of real rows left out, the error would be too small by a third.
    alone = [np.sqrt(np.sum(each.influence[:300] ** 2)) for each in found]
    assert np.mean(alone) < 0.8 * np.mean([each.std_error for each in found])


def test_typical_rows_are_no_finding_and_rows_between_classes_are_told() -> None:
    rng = np.random.default_rng(1)
    assert drawn(rng, 0.0, shift=-0.6).z < 0
    between = drawn(rng, 0.0, auc=0.9, shift=0.9)
    assert between.z > threshold(3)
    assert between.between is not None
    assert between.between < -2.5
    mixed = drawn(rng, between.share, auc=0.9)
    assert mixed.between is not None
    assert mixed.between > -2.5


def test_what_is_printed_as_detectable_is_found_in_four_of_five() -> None:
    rng, least = np.random.default_rng(2), threshold(3)
    share = drawn(rng, 0.0, auc=0.85).detectable(least)
    assert share is not None
    assert 0.1 < share < 0.25
    found = sum(drawn(rng, share, auc=0.85).z > least for _ in range(40))
    assert binom.ppf(0.001, 40, 0.7) < found <= 40
    assert sum(drawn(rng, share / 2, auc=0.85).z > least for _ in range(20)) < 12


def test_rows_of_a_family_count_as_one() -> None:
    rng = np.random.default_rng(3)
    n = 300
    made = np.repeat(rng.standard_normal(n // 10) + 1, 10)
    score = np.concatenate([made, rng.standard_normal(n) + 1, rng.standard_normal(n) - 1])
    kind, none = np.repeat([MADE, RIGHT, WRONG], n), np.zeros(3 * n, int)
    seeds = np.concatenate([np.repeat(np.arange(30), 10), np.arange(30, 30 + 2 * n)])
    apart = wrong_labels(score, kind, none, np.arange(3 * n))
    whole = wrong_labels(score, kind, none, seeds)
    assert isinstance(apart, WrongLabels)
    assert isinstance(whole, WrongLabels)
    assert whole.share == apart.share
    assert whole.std_error > 2 * apart.std_error


def test_real_rows_count_in_the_mix_of_strata() -> None:
    """Stratum 1 reads lower whatever its label; made rows are mostly of it."""
    rng = np.random.default_rng(4)
    kind = np.repeat([MADE, RIGHT, WRONG], 400)
    stratum = (rng.random(1200) < np.repeat([0.9, 0.1, 0.5], 400)).astype(int)
    score = rng.standard_normal(1200) + np.repeat([1.5, 1.5, -1.5], 400) - 2 * stratum
    matched = wrong_labels(score, kind, stratum, np.arange(1200))
    blind = wrong_labels(score, kind, np.zeros(1200, int), np.arange(1200))
    assert isinstance(matched, WrongLabels)
    assert isinstance(blind, WrongLabels)
    assert abs(matched.z) < 3 < blind.z


def test_classes_together_know_more_than_each() -> None:
    rng = np.random.default_rng(5)
    both = [drawn(rng, 0.2) for _ in range(2)]
    each = [np.concatenate([one.influence * here for here in (k == 0, k == 1)])
            for k, one in enumerate(both)]  # fmt: skip
    parts = [
        WrongLabels(o.share, o.std_error, o.test_error, o.auc, None, i, o.precision)
        for o, i in zip(both, each, strict=True)
    ]
    whole = together(parts, [300, 300], np.arange(1800))
    assert whole.share == pytest.approx(np.mean([one.share for one in both]))
    assert whole.std_error < 0.8 * min(one.std_error for one in both)
    least = threshold(3)
    alone, joint = both[0].detectable(least), whole.detectable(least)
    assert alone is not None
    assert joint is not None
    assert joint < 0.85 * alone


def test_what_cannot_be_told_has_a_reason() -> None:
    rng = np.random.default_rng(6)
    kind, ids = np.repeat([MADE, RIGHT, WRONG], 50), np.arange(150)
    told = wrong_labels(rng.standard_normal(150), kind, np.zeros(150, int), ids)
    assert isinstance(told, str)
    assert "cannot tell the class (AUC 0." in told
    few = wrong_labels(rng.standard_normal(150)[45:], kind[45:], np.zeros(105, int), ids[45:])
    assert isinstance(few, str)
    assert few.endswith("real ones of the class and of others; there are 5, 50 and 50")


def test_sure_readings_without_an_error_are_no_fault() -> None:
    score = np.repeat([8.0, 8.0, -8.0], 40)
    kind = np.repeat([MADE, RIGHT, WRONG], 40)
    found = wrong_labels(score, kind, np.zeros(120, int), np.arange(120))
    assert isinstance(found, WrongLabels)
    assert (found.share, found.z) == (0.0, 0.0)
    score[:20] *= -1
    swapped = wrong_labels(score, kind, np.zeros(120, int), np.arange(120))
    assert isinstance(swapped, WrongLabels)
    assert swapped.share == pytest.approx(0.5)
    assert swapped.z > 5


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 300])
def test_honest_labels_are_accused_as_seldom_as_is_said(n: int) -> None:
    rng, draws = np.random.default_rng(7), 800
    found = [asked(rng, 0.0, n=n, auc=0.85) for _ in range(draws)]
    z = np.array([each.z for each in found if isinstance(each, WrongLabels)])
    assert len(z) > 0.9 * draws
    for least, chance in ((1.645, 0.05), (2.326, 0.01), (threshold(3), LEVEL / 3)):
        assert np.sum(z > least) <= binom.ppf(0.999, draws, chance)
    assert np.sum(z > 1.0) > 0.5 * 0.16 * draws  # it does not owe its level to its being blind
