"""Metrics of groups over seeds, what each test row does to them, and what their intervals cover."""

from __future__ import annotations

import numpy as np
import pytest

from opal.bridge.resampling import crossed
from opal.bridge.tabular.metrics import Measured, measured, shared
from opal.bridge.tabular.splits import TableRows
from opal.checks import z_threshold

MINORITY = np.array([True, False, True])
GROUP = np.repeat([0, 1, 2], [4, 6, 10])


def rows(*, first: int = 0, group: np.ndarray = GROUP) -> TableRows:
    """Test rows that are numbered, so that each is told from the others."""
    return TableRows(first + np.arange(len(group), dtype=float)[:, None], group % 2, group)


def drawn(rng: np.random.Generator, n_seeds: int = 3) -> list[np.ndarray]:
    return [(rng.random((len(GROUP), 2)) < 0.4).astype(float) for _ in range(n_seeds)]


def test_metrics_by_hand() -> None:
    errors = np.repeat([0.5, 0.1, 0.3], [4, 6, 10])[:, None]
    found = measured([errors], [rows()], MINORITY)
    values = {metric: each.values.item() for metric, each in found.items()}
    assert values == pytest.approx(
        {"balanced_error": 0.3, "minority_error": 0.4, "worst_error": 0.5}
    )


def test_worst_group_is_worst_on_average_over_seeds() -> None:
    """One group errs in seed 1, the other in seed 2: each errs half the time, not always."""
    first, second = (np.equal(GROUP, g).astype(float)[:, None] for g in (0, 1))
    found = measured([first, second], [rows(), rows(first=50)], MINORITY)["worst_error"]
    assert found.values.mean() == pytest.approx(0.5)


def test_influences_are_what_leaving_a_row_out_does() -> None:
    """To first order, and so scaled that their squares add up to the variance of a mean."""
    (errors,) = drawn(np.random.default_rng(0), 1)
    for metric, found in measured([errors], [rows()], MINORITY).items():
        for row in range(len(GROUP)):
            kept = np.arange(len(GROUP)) != row
            less = measured([errors[kept]], [rows().take(kept)], MINORITY)[metric]
            n = (GROUP[row] == GROUP).sum()
            moved = (found.values - less.values)[0] * np.sqrt((n - 1) / n)
            if metric != "worst_error":  # whose group may be another one without the row
                np.testing.assert_allclose(found.influence[0, row], moved, atol=1e-12)
    squares = (measured([errors], [rows()], MINORITY)["balanced_error"].influence ** 2).sum(axis=1)
    groups = [errors[g == GROUP] for g in range(3)]
    usual = np.sum([each.var(axis=0, ddof=1) / len(each) for each in groups], axis=0) / 9
    np.testing.assert_allclose(squares[0], usual)


def test_equal_rows_of_seeds_are_one_row_and_twins_of_a_seed_two() -> None:
    errors, test = drawn(np.random.default_rng(1), 2), rows()
    back = np.arange(len(GROUP))[::-1]
    same = measured([errors[0], errors[0][back]], [test, test.take(back)], MINORITY)
    influence = same["balanced_error"].influence
    np.testing.assert_array_equal(influence[0], influence[1])
    assert shared([test, test.take(back)]) == 1.0
    own = measured(errors, [test, rows(first=50)], MINORITY)["balanced_error"].influence
    assert not (own[0] * own[1]).any()
    assert own.shape[1] == 2 * len(GROUP)
    assert shared([test, rows(first=50)]) == shared([test]) == 0.0
    twins = TableRows(np.zeros((len(GROUP), 1)), test.y, GROUP)
    assert measured(errors[:1], [twins], MINORITY)["worst_error"].influence.shape[1] == len(GROUP)
    assert shared([test, rows(first=5)]) < shared([twins, twins]) == 1.0


def difference(found: Measured) -> tuple[np.ndarray, np.ndarray]:
    return found.values[:, 0] - found.values[:, 1], found.influence[..., 0] - found.influence[
        ..., 1
    ]


def test_equal_arms_never_differ() -> None:
    errors = [np.repeat(each[:, :1], 2, axis=1) for each in drawn(np.random.default_rng(2))]
    tests = [rows(first=100 * s) for s in range(3)]
    for found in measured(errors, tests, MINORITY).values():
        assert crossed(*difference(found))[:2] == (0.0, 0.0)


@pytest.mark.parametrize(("spread", "same"), [(0.1, False), (0.0, False), (0.1, True)])
def test_differences_of_five_seeds_are_covered(spread: float, same: bool) -> None:
    """Where seeds dominate, where rows do, and where all seeds are tested on the same rows.

    As if the spread of five seeds were known, and without what they share, intervals miss.
    """
    rng, group, hits = np.random.default_rng(3), np.repeat([0, 1, 2], [15, 25, 60]), []
    for _ in range(300):
        tests = [rows(first=0 if same else 1000 * s, group=group) for s in range(5)]
        hard = rng.random((1 if same else 5, len(group), 1)) * np.ones((5, 1, 1))
        rate = np.clip([0.3, 0.3] + spread * rng.normal(size=(5, 1, 2)), 0, 1)
        # A row is as hard in every seed; the second arm errs on rows of its own.
        uniform = np.concatenate([hard, (0.7 * hard + rng.random(hard.shape)) % 1], axis=2)
        errors = list((uniform < rate).astype(float))
        values, influence = difference(measured(errors, tests, MINORITY)["balanced_error"])
        found = crossed(values, influence)
        known = 1.96 * values.std(ddof=1) / np.sqrt(5)
        hits.append((abs(found.mean) <= found.half_width, abs(found.mean) <= known))
    covered, wrong = np.mean(hits, axis=0)
    tolerance = z_threshold(3) * np.sqrt(0.05 * 0.95 / len(hits))
    assert 0.95 - tolerance <= covered <= 0.99
    assert wrong < 0.95 - tolerance


def table(rng: np.random.Generator, n: int) -> TableRows:
    """Rows of a known law: group 0 is rare, labels are groups, and the last column tells rows."""
    group = (rng.random(n) < 0.75).astype(int)
    x = rng.normal(size=(n, 5)) + 0.8 * group[:, None] * (np.arange(5) < 2)
    return TableRows(np.column_stack([x, rng.random(n)]), group, group)


def wrong(train: TableRows, test: TableRows, weight: np.ndarray) -> np.ndarray:
    """Errors of a weighted linear rule (n,)."""
    x, new = (np.column_stack([np.ones(len(each)), each.x[:, :5]]) for each in (train, test))
    gram = x.T @ (weight[:, None] * x) + np.eye(6)
    slope = np.linalg.solve(gram, x.T @ (weight * (2 * train.y - 1)))
    return ((new @ slope > 0) != test.y).astype(float)


def split(rng: np.random.Generator, source: TableRows) -> tuple[np.ndarray, TableRows]:
    """Errors under weighting and under made rows that fill up, on 40 training rows of a split."""
    order = rng.permutation(len(source))
    few, many = (order[source.group[order] == g][:n] for g, n in ((0, 8), (1, 32)))
    chosen = np.concatenate([few, many])
    test = source.take(np.setdiff1d(order, chosen)[rng.permutation(len(source) - 40)[:100]])
    real = source.take(chosen)
    made = TableRows(
        np.column_stack([rng.normal(0.3 * rng.normal(size=5), 1.0, (24, 5)), rng.random(24)]),
        np.zeros(24, dtype=int),
        np.zeros(24, dtype=int),
    )
    weighted = wrong(real, test, np.where(real.y == 0, 4.0, 1.0))
    return np.stack(
        [wrong(TableRows.joined([real, made]), test, np.ones(64)), weighted], axis=1
    ), test


@pytest.mark.slow
@pytest.mark.parametrize("n_source", [300, 2000])
def test_splits_of_one_table_cover_differences_on_another_table(n_source: int) -> None:
    """Test rows that splits share count once; an arm's own error is less sure than it looks.

    The truth is the mean over many tables of the same law. The spread of the splits, taken for
    known, misses.
    """
    rng, found, own, known = np.random.default_rng(4), [], [], []
    for _ in range(600):
        source = table(rng, n_source)
        errors, tests = zip(*(split(rng, source) for _ in range(5)), strict=True)
        measures = measured(errors, tests, MINORITY[:2])["balanced_error"]
        values, influence = difference(measures)
        found.append(crossed(values, influence))
        own.append(crossed(measures.values[:, 1], measures.influence[..., 1]))
        known.append(1.96 * values.std(ddof=1) / np.sqrt(5))
    tolerance = z_threshold(3) * np.sqrt(0.05 * 0.95 / len(found))
    off, far = (
        np.abs(means - means.mean())
        for means in (np.array([each.mean for each in some]) for some in (found, own))
    )
    assert 0.95 - tolerance <= np.mean(off <= [each.half_width for each in found]) <= 0.99
    assert 0.88 <= np.mean(far <= [each.half_width for each in own]) <= 0.97
    assert np.mean(off <= known) < 0.95 - tolerance
