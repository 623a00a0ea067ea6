"""Folds keep lineages whole; intervals cover what they should, and the naive ones do not."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from scipy import stats

from opal.bridge.resampling import (
    Crossed,
    Folds,
    auc_score,
    clustered_error,
    cross_validated,
    crossed,
    crossed_influence,
    deal,
    half_width,
    lineages,
    mean_auc,
    of_means,
)
from opal.checks import z_threshold

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
    intervals = [cross_validated(each, ratio) for each in errors]
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
    found = cross_validated(values, 1 / 3, level=0.9)
    assert found.mean == pytest.approx(0.3)
    assert found.std_error == pytest.approx(np.std(values, ddof=1) * math.sqrt(1 / 4 + 1 / 3))
    half = stats.t.ppf(0.95, 3) * found.std_error
    assert (found.lower, found.upper) == pytest.approx((0.3 - half, 0.3 + half))
    assert found.n == 4


def test_without_correction_it_is_the_usual_test() -> None:
    values = np.random.default_rng(1).normal(0.2, size=12)
    found = cross_validated(values, 0.0)
    assert found.p_value == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue)


def test_splits_without_a_value_are_left_out() -> None:
    assert cross_validated([0.1, math.nan, 0.3], 0.1) == cross_validated([0.1, 0.3], 0.1)


def test_equal_values_have_no_width() -> None:
    assert cross_validated([0.5] * 4, 0.1).p_value == 0.0
    assert cross_validated([0.0] * 4, 0.1).p_value == 1.0


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
        cross_validated(values, ratio, level=level)


def test_lineages_join_equal_rows_and_what_they_were_made_from() -> None:
    number = lineages(["a", "b", "a", "c", "d"], [("b", "x"), ("x", "d"), (), ("c",)])
    assert number[0] == number[2]
    assert number[1] == number[4]
    assert len(set(number)) == 3


def test_each_kind_is_dealt_out_evenly() -> None:
    kind = np.repeat([0, 1, 2], [40, 23, 3])
    for seed in range(5):
        fold = deal(np.arange(66), kind, 5, seed=seed)
        counts = np.array([np.bincount(fold[kind == k], minlength=5) for k in range(3)])
        assert (counts.max(axis=1) - counts.min(axis=1) <= 1).all()
        assert np.ptp(counts.sum(axis=0)) <= 2


def test_lineages_stay_whole_and_seeds_decide() -> None:
    lineage, kind = np.arange(60) // 4, np.arange(60) % 2
    fold = deal(lineage, kind, 5, seed=0)
    assert all(len(set(fold[lineage == each])) == 1 for each in range(15))
    assert np.array_equal(fold, deal(lineage, kind, 5, seed=0))
    assert not np.array_equal(fold, deal(lineage, kind, 5, seed=1))


def test_kinds_that_are_all_rarer_than_folds() -> None:
    fold = deal(np.arange(9), np.repeat([0, 1, 2], 3), 5, seed=0)
    assert np.ptp(np.bincount(fold, minlength=5)) <= 1
    assert all(len(set(fold[k : k + 3])) == 3 for k in (0, 3, 6))


def test_of_few_lineages_each_has_a_fold() -> None:
    assert sorted(deal(np.array([0, 0, 1]), np.array([0, 1, 1]), 5, seed=0)) in (
        [0, 0, 1],
        [0, 1, 1],
    )
    assert deal(np.zeros(4), np.arange(4), 5, seed=0).tolist() == [0] * 4
    assert deal(np.zeros(0), np.zeros(0), 5, seed=0).tolist() == []


def test_nothing_is_trained_on_that_was_made_from_what_is_held_out() -> None:
    rng = np.random.default_rng(0)
    ids = [f"real {i}" for i in range(40)] + [f"made {i % 50}" for i in range(60)]
    seeds: list[list[str]] = [[] for _ in range(40)]
    seeds += [[f"real {s}" for s in rng.choice(45, rng.integers(1, 4), False)] for _ in range(60)]
    folds = Folds.of(ids, seeds, np.arange(100) < 40, 5, seed=0)
    for k in range(5):
        tested = {ids[i] for i in np.flatnonzero(folds.home == k)}
        for i in np.flatnonzero(~folds.barred[k]):
            assert ids[i] not in tested
            assert tested.isdisjoint(seeds[i])
        assert (~folds.barred[k]).sum() > 20
    # A row is tested with the first of its seeds.
    home = dict(zip(ids, folds.home, strict=True))
    assert all(
        home[id_] == home.get(some[0], home[id_])
        for id_, some in zip(ids, seeds, strict=True)
        if some
    )


def test_a_clustered_error_counts_families() -> None:
    values, family = np.repeat([0.0, 1.0, 2.0], 5), np.repeat([0, 1, 2], 5)
    assert clustered_error(values, family) == pytest.approx(1 / math.sqrt(3))
    alone = clustered_error(values, np.arange(15))
    assert alone == pytest.approx(values.std(ddof=1) / math.sqrt(15))
    assert clustered_error(values, np.zeros(15)) is None


def test_crossed_errors_cover_repetitions_rows_and_their_interaction() -> None:
    rng = np.random.default_rng(0)
    inside, naive, n_trials = 0, 0, 400
    for _ in range(n_trials):
        parts = []
        repetition = rng.normal(0, 0.8, (12, 1))  # shared by both groups
        for n, mean in ((40, 0.5), (25, -0.5)):
            row = rng.normal(0, 1.0, n)
            parts.append(mean + repetition + row + rng.normal(0, 2.0, (12, n)))
        found = crossed(*of_means(parts))
        inside += abs(found.mean) < 1.96 * found.std_error
        rows_alone = np.sqrt(sum(part.mean(axis=0).var(ddof=1) / part.shape[1] for part in parts))
        naive += abs(found.mean) < 1.96 * rows_alone
    assert 0.92 <= inside / n_trials <= 0.98
    assert naive / n_trials < inside / n_trials - 0.05


def test_crossed_errors_of_constant_differences_are_zero() -> None:
    assert crossed(*of_means([np.full((3, 4), 0.25), np.zeros((3, 2))]))[:3] == (
        0.25,
        0.0,
        math.inf,
    )


@pytest.mark.parametrize("repetitions", [3, 4])
def test_intervals_of_few_repetitions_are_as_wide_as_they_must_be(repetitions: int) -> None:
    rng, inside, normal, n_trials = np.random.default_rng(1), 0, 0, 500
    for _ in range(n_trials):
        parts = [rng.normal(0, 1, (repetitions, 1)) + rng.normal(0, 1, (repetitions, 50))]
        found = crossed(*of_means(parts))
        inside += abs(found.mean) < found.half_width
        normal += abs(found.mean) < 1.96 * found.std_error
    assert 0.93 <= inside / n_trials <= 0.99
    assert normal / n_trials < 0.9


def test_influences_of_means_are_the_means_crossed() -> None:
    """All at once as one by one, whatever the order; exact values have no error over rows."""
    rng = np.random.default_rng(5)
    several = [[rng.normal(size=(4, n)) + rng.normal(size=n) for n in (300, 200)] for _ in range(3)]
    values, changes = zip(*map(of_means, several), strict=True)
    which = np.repeat(np.arange(3), 4)
    order = rng.permutation(12)
    flat = [each for some in changes for each in some]
    found = crossed_influence(np.concatenate(values)[order], [flat[i] for i in order], which[order])
    for k, parts in enumerate(several):
        one = crossed(*of_means(parts))
        assert found.mean[k] == pytest.approx(one.mean)
        assert found.std_error[k] == pytest.approx(one.std_error, rel=0.01)
        assert found.of_rows[k] <= found.std_error[k]
    exact = crossed_influence(np.array([1.0, 3.0, 5.0]), [None] * 3, np.array([0, 0, 1]))
    np.testing.assert_allclose(exact.mean, [2.0, 5.0])
    np.testing.assert_allclose(exact.std_error, [1.0, 0.0])
    np.testing.assert_allclose(exact.of_rows, 0.0)


@pytest.mark.parametrize(
    ("shared", "own", "seeds"), [(1.0, 0.2, 0.0), (0.2, 2.0, 0.1), (1.0, 1.0, 0.3)]
)
def test_intervals_of_crossed_influences_cover(shared: float, own: float, seeds: float) -> None:
    """Rows that all repetitions share, rows of one, and repetitions: nineteen times in twenty.

    Variances of single repetitions that are averaged miss more often than they may, or less.
    """
    rng, n, n_seeds, n_rows = np.random.default_rng(6), 1500, 5, 60
    rows = shared * rng.normal(size=(n, 1, n_rows)) + own * rng.normal(size=(n, n_seeds, n_rows))
    values = seeds * rng.normal(size=(n, n_seeds)) + rows.mean(axis=2)
    changes = (rows - rows.mean(axis=2, keepdims=True)) / n_rows
    which = np.repeat(np.arange(n), n_seeds)
    found = crossed_influence(values.ravel(), list(changes.reshape(-1, n_rows)), which)
    far = half_width(found.std_error, found.dof)
    tolerance = z_threshold(3) * np.sqrt(0.05 * 0.95 / n)
    assert abs(np.mean(np.abs(found.mean) <= far) - 0.95) < tolerance
    of_seeds = values.var(axis=1, ddof=1) / n_seeds
    apart = np.sqrt(of_seeds + (changes**2).sum(axis=2).mean(axis=1))
    averaged_away = np.sqrt(of_seeds)
    wrong = [np.mean(np.abs(found.mean) <= 1.96 * error) for error in (apart, averaged_away)]
    assert max(abs(share - 0.95) for share in wrong) > tolerance


def test_two_repetitions_know_too_little_of_their_spread() -> None:
    rng, n = np.random.default_rng(7), 1500
    rows = rng.normal(size=(n, 1, 60)) + rng.normal(size=(n, 2, 60))
    values = 0.3 * rng.normal(size=(n, 2)) + rows.mean(axis=2)
    changes = (rows - rows.mean(axis=2, keepdims=True)) / 60
    which = np.repeat(np.arange(n), 2)
    found = crossed_influence(values.ravel(), list(changes.reshape(-1, 60)), which)
    inside = np.mean(np.abs(found.mean) <= half_width(found.std_error, found.dof))
    assert 0.8 < inside < 0.93


def overlapping(
    rng: np.random.Generator, apart: int, seeds: float, shared: float
) -> tuple[Crossed, float]:
    """Five repetitions of 60 rows each, of which each has ``apart`` that the one before has not.

    Returned are what is found, and the error by the spread of the repetitions alone.
    """
    values, influence = np.empty(5), np.zeros((5, 60 + 4 * apart))
    of_row = shared * rng.normal(size=influence.shape[1])
    for s in range(5):
        inside = slice(s * apart, s * apart + 60)
        rows = of_row[inside] + rng.normal(size=60)
        values[s] = seeds * rng.normal() + rows.mean()
        influence[s, inside] = (rows - rows.mean()) / np.sqrt(60 * 59)
    return crossed(values, influence), values.std(ddof=1) / math.sqrt(5)


@pytest.mark.parametrize("apart", [60, 30, 0])
@pytest.mark.parametrize(("seeds", "shared"), [(0.6, 0.1), (0.05, 0.1), (0.05, 1.5)])
def test_repetitions_of_own_of_some_and_of_the_same_rows(
    apart: int, seeds: float, shared: float
) -> None:
    """Normal intervals from the spread of seeds miss too often, whatever it is that varies.

    Where rows decide and seeds add little, seeds that are alike by chance make the error no
    smaller than the rows' own: the interval then covers a little more than it must.
    """
    rng, n = np.random.default_rng(8), 800
    found, spread = zip(*(overlapping(rng, apart, seeds, shared) for _ in range(n)), strict=True)
    tolerance = z_threshold(9) * np.sqrt(0.05 * 0.95 / n)
    inside = np.mean([abs(each.mean) <= each.half_width for each in found])
    assert 0.95 - tolerance <= inside <= 0.99
    off = np.array([abs(each.mean) for each in found])
    assert np.mean(off <= 1.96 * np.array(spread)) < 0.95 - tolerance


def test_rows_of_their_own_leave_students_interval() -> None:
    """Where seeds differ by more than their rows explain, it is the t interval of the values."""
    values = np.array([0.1, 0.5, -0.2, 0.4, 0.0])
    influence = np.kron(np.eye(5), np.array([[0.01, -0.01, 0.02]]))
    found = crossed(values, influence)
    usual = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert found.mean - found.half_width == pytest.approx(usual.low, rel=1e-3)
    assert found.std_error**2 == pytest.approx(found.of_repetitions + found.of_rows + found.of_both)
    assert found.of_rows == pytest.approx(0.0, abs=1e-12)


def test_one_repetition_has_the_error_over_rows() -> None:
    influence = np.array([[0.3, 0.0, -0.4]])
    found = crossed(np.array([0.2]), influence)
    assert (found.mean, found.std_error, found.dof) == pytest.approx((0.2, 0.5, 1.0))
    assert found.of_rows == pytest.approx(0.25)


def test_a_cross_validated_auc_of_noise_is_no_finding() -> None:
    """Held against the error of a fixed rule it would be twice too sure in variance."""
    rng, n, folds = np.random.default_rng(0), 60, 5
    z = []
    for _ in range(150):
        x, kind = rng.normal(size=(n, 10)), np.repeat([0, 1], n // 2)
        fold, score = np.arange(n) % folds, np.empty(n)
        for k in range(folds):
            held = fold == k
            one, other = (x[~held & (kind == side)].mean(axis=0) for side in (1, 0))
            score[held] = x[held] @ (one - other)
        z.append(auc_score(mean_auc(kind, score, fold), 30, 30, folds))
    assert 0.6 < np.std(z) < 1.1
    assert np.std(z) * np.sqrt(1 + folds / (folds - 1)) > 1.1


def test_an_auc_without_a_pair_in_any_fold_is_no_number() -> None:
    kind, score = np.array([1, 1, 0, 0]), np.array([0.2, 0.3, 0.1, 0.4])
    assert math.isnan(mean_auc(kind, score, np.array([0, 0, 1, 1])))
    assert mean_auc(kind, score, np.zeros(4, dtype=int)) == 0.5
