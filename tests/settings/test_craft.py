"""The table "craft": a law that is exact in its equation, whatever its points say."""

from __future__ import annotations

import re
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from opal import checks
from opal.settings import Craft
from opal.settings.craft import CraftLaw, columns, median

N_ROWS = 40_000
SMALL = Craft("spurious", log2_points=6)


def independent_rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the law and their labels, by NumPy and an equation that is written out again."""
    rng = np.random.default_rng(seed)
    x1, x2, x7 = np.round(rng.normal(size=(3, n)), 1)
    x3 = np.round(0.5 * x1 + 0.3 * x2 + rng.normal(0, 0.5, n), 1)
    x4, x5 = np.round(rng.normal(size=n) * x1, 1), np.round(rng.normal(size=n) + 0.5 * x3, 1)
    x6, x8, x9 = rng.choice([-1.0, 1.0], n), np.round(x2 * x3, 1), np.round(x1 * x2, 1)
    y = 1.5 + 0.7 * x1 - 0.6 * x2 + 0.8 * x3 + 0.4 * x9 + rng.normal(size=n)
    return np.column_stack([x1, x2, x3, x4, x5, x6, x7, x8, x9]), y


def moments(x: np.ndarray) -> np.ndarray:
    """Each row's features, their products and their squares' squares [n, 9 + 45 + 9]."""
    upper = np.triu_indices(x.shape[1])
    products = x[:, upper[0]] * x[:, upper[1]]
    return np.column_stack([x, products, x**4])


def z_scores(one: np.ndarray, other: np.ndarray) -> list[float]:
    """Differences of the means of two samples' moments in standard errors."""
    a, b = moments(one), moments(other)
    spread = np.sqrt(a.var(axis=0) / len(a) + b.var(axis=0) / len(b))
    told = spread > 1e-12  # X6 squared is one
    difference = a.mean(axis=0) - b.mean(axis=0)
    assert (np.abs(difference[~told]) < 1e-12).all()
    return (difference[told] / spread[told]).tolist()


@cache  # a draw is compiled anew for each call
def drawn(setting: Craft, seed: int) -> list[np.ndarray]:
    """Rows of each group."""
    sample = setting.sample((N_ROWS // 2,) * len(setting.groups), key=seed)
    return [np.asarray(sample.x)[sample.rows(g)] for g in range(len(setting.groups))]


def test_rows_are_those_of_the_equation() -> None:
    x, y = independent_rows(N_ROWS * 2, seed=1)
    for rows, label in zip(drawn(Craft(), seed=2), (False, True), strict=True):
        own = x[(y - 1.5 > median()) == label]
        check = checks.within_standard_errors("moments", z_scores(rows, own), level=0.001)
        assert check.passed, check
        wrong = x[(y - 1.5 > median()) != label]
        assert not checks.within_standard_errors("other", z_scores(rows, wrong), level=0.001).passed


def test_groups_of_the_spurious_task_are_the_sign_and_the_label() -> None:
    rows = drawn(SMALL, seed=3)
    assert [(g.attribute, g.label) for g in SMALL.groups] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [set(part[:, 5]) for part in rows] == [{-1.0}, {-1.0}, {1.0}, {1.0}]
    for label in (0, 1):  # the sign has no part in the label
        both = [np.delete(rows[2 * a + label], 5, axis=1) for a in (0, 1)]
        check = checks.within_standard_errors("sign", z_scores(*both), level=0.001)
        assert check.passed, check


def test_every_row_keeps_the_identities() -> None:
    x = np.concatenate(drawn(Craft(), seed=2))
    np.testing.assert_allclose(x, np.round(x, 1), atol=1e-12)
    np.testing.assert_allclose(x[:, 7], np.round(x[:, 1] * x[:, 2], 1), atol=1e-12)
    np.testing.assert_allclose(x[:, 8], np.round(x[:, 0] * x[:, 1], 1), atol=1e-12)
    assert (x[x[:, 0] == 0, 3] == 0).all()


def test_half_of_the_rows_lie_above_the_median() -> None:
    _, y = independent_rows(2_000_000, seed=5)
    z = (np.mean(y - 1.5 > median()) - 0.5) * 2 * np.sqrt(len(y))
    assert abs(z) < 4
    # Without rounding the median is an integral over Z_1, which rounding moves by less than .001.
    z1 = np.linspace(-9, 9, 4001)
    mass = np.exp(-(z1**2) / 2)
    above = special.ndtr((1.1 * z1 - median()) / np.sqrt((0.4 * z1 - 0.36) ** 2 + 1.16))
    assert mass @ above / mass.sum() == pytest.approx(0.5, abs=3e-4)


def test_first_rows_do_not_depend_on_how_many_are_drawn() -> None:
    few, many = (Craft().sample(counts, key=6) for counts in ((5, 3), (70, 40)))
    for g in (0, 1):
        np.testing.assert_array_equal(few.x[few.rows(g)], many.x[many.rows(g)][: few.counts[g]])


def test_standard_errors_are_honest() -> None:
    """Risks at few points are as far from those at many as their own errors say."""
    theta = jnp.asarray([1.2, -1.0, 1.4, 0.1, -0.1, 0.1, 0.0, 0.0, 0.7, -0.1])
    said = jax.jit(lambda law: (law.scrambled_risks(theta), law.scrambled_errors(theta)))
    z = []
    for few, many in zip(
        said(Craft(log2_points=5).law), said(Craft(log2_points=12).law), strict=True
    ):
        apart = few.mean(axis=1) - many.mean(axis=1)
        z.append(np.asarray(apart / few.std(axis=1, ddof=1) * np.sqrt(few.shape[1])))
        assert (few.std(axis=1) > 3 * many.std(axis=1)).all()
    assert np.abs(z).max() < 4.5  # of Student's law with 7 degrees of freedom


def test_no_rule_is_better_than_the_laws_own_probabilities() -> None:
    setting = Craft(log2_points=9)
    linear = float(np.mean(setting.group_risk(setting.optimum())))
    assert 0 < linear - setting.bayes_risk() < 0.001


def test_points_are_rows_of_the_law() -> None:
    law = SMALL.law
    assert isinstance(law, CraftLaw)
    np.testing.assert_allclose(law.table.sum(axis=(1, 2)), 1, rtol=1e-12)
    x = np.asarray(law.features)
    zeros = np.zeros((1, 3))
    np.testing.assert_allclose(x[:, 8], np.round(x[:, 0] * x[:, 1], 1), atol=1e-12)
    assert np.asarray(columns(zeros, zeros, np.ones(1)))[0].tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0]


def test_other_tasks_are_refused() -> None:
    with pytest.raises(
        ValueError, match=re.escape("task must be one of ('imbalanced', 'spurious')")
    ):
        Craft("balanced")  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=r"log2_points must be a whole number of at least 2; got 1"
    ):
        Craft(log2_points=1)
