"""Bias and floor of a generator from a table of its rows: right on average, with honest errors."""

from __future__ import annotations

import re
from dataclasses import replace

import jax
import numpy as np
import pytest

from opal import checks
from opal.objective import Design
from opal.settings import Alphabet, Craft, FiniteLaw, Group, TokenSetting
from opal.synthesis import Oracle
from opal.theory.estimator import expand
from opal.theory.generator_bias import floor, squared_bias

TRUTH = TokenSetting.drawn(Alphabet.random(12, 2, key=0), key=1)
OTHER = TokenSetting.drawn(TRUTH.alphabet, key=2).law
MADE = OTHER.with_table(0.7 * np.asarray(TRUTH.law.table) + 0.3 * np.asarray(OTHER.table))
DESIGN = Design((400, 100), Oracle(MADE), n_augmented=300, alpha=0.6)
N_ROWS, N_TABLES = np.array([300, 200]), 60


def tables(law: FiniteLaw = MADE) -> list[FiniteLaw]:
    """The law as it is known by rows of it."""
    found = []
    for index in range(N_TABLES):
        rows = law.sample((300, 200), key=jax.random.key(index))
        x, y = np.asarray(rows.x), np.asarray(rows.y)
        found.append(FiniteLaw.of_rows(x, y, rows.group, law.groups))
    return found


def z_of(values: np.ndarray, expected: float) -> float:
    return float((values.mean() - expected) / values.std(ddof=1) * np.sqrt(len(values)))


@pytest.mark.slow
def test_a_floor_is_right_on_average_and_its_error_honest() -> None:
    exact = float(expand(TRUTH, DESIGN).bias)
    found = [floor(TRUTH.law, law, DESIGN, N_ROWS) for law in tables()]
    values, errors = (np.array(part) for part in zip(*found, strict=True))
    check = checks.within_standard_errors("floor", [z_of(values, exact)], level=0.001)
    assert check.passed, check
    assert values.std(ddof=1) == pytest.approx(np.sqrt(np.mean(errors**2)), rel=0.3)


def test_squared_bias_is_right_on_average_and_its_error_honest() -> None:
    endless = squared_bias(TRUTH.law, MADE, np.array([1e12, 1e12]))
    found = [squared_bias(TRUTH.law, law, N_ROWS) for law in tables()]
    for g in (0, 1):
        values = np.array([each.value[g] for each in found])
        errors = np.array([each.std_error[g] for each in found])
        check = checks.within_standard_errors("bias", [z_of(values, endless.value[g])], level=0.001)
        assert check.passed, check
        assert values.std(ddof=1) == pytest.approx(np.sqrt(np.mean(errors**2)), rel=0.3)


def test_rows_of_the_truth_have_no_floor() -> None:
    laws = tables(TRUTH.law)
    found = np.array([floor(TRUTH.law, law, DESIGN, N_ROWS).value for law in laws])
    assert abs(z_of(found, 0.0)) < 4
    # The negative control: the excess at the rows' own pseudo-target is never below zero.
    designs = [replace(DESIGN, synthesizer=Oracle(law)) for law in laws]
    assert z_of(np.array([float(expand(TRUTH, design).bias) for design in designs]), 0.0) > 4


@pytest.mark.slow
def test_few_points_of_the_truth_are_told() -> None:
    """The error of the truth's quadrature is part of the floor's: fewer points differ by it."""
    few, many = Craft(log2_points=4).law, Craft(log2_points=11).law
    rows = many.sample((400, 400), key=jax.random.key(1))
    made = FiniteLaw.of_rows(1.2 * rows.x, np.asarray(rows.y), rows.group, many.groups)
    endless = np.array([1e12, 1e12])  # the table is the law
    design = Design((400, 100), Oracle(made))
    rough, fine = (floor(law, made, design, endless) for law in (few, many))
    assert rough.std_error > 5 * fine.std_error > 0
    assert abs(rough.value - fine.value) < 5 * rough.std_error


def test_rows_that_are_no_table_are_refused() -> None:
    groups, x = (Group("a", 0), Group("b", 1)), np.zeros((3, 2))
    y = group = np.array([0, 1, 1])
    with pytest.raises(ValueError, match="x must be"):
        FiniteLaw.of_rows(x[:2], y, group, groups)
    with pytest.raises(ValueError, match=re.escape("x must be finite; got nan at index [0, 0]")):
        FiniteLaw.of_rows(np.full((3, 2), np.nan), y, group, groups)
    with pytest.raises(ValueError, match=r"every group needs rows; 'b' has none. Leave it out."):
        FiniteLaw.of_rows(x, y * 0, group * 0, groups)
    with pytest.raises(ValueError, match=r"rows of group 'b' have label 1; got labels \[0, 1\]"):
        FiniteLaw.of_rows(x, np.array([0, 0, 1]), group, groups)
    mixed = (groups[0], groups[1]._replace(mixed=True))
    law = FiniteLaw.of_rows(x, np.array([0, 0, 1]), group, mixed)
    np.testing.assert_array_equal(law.table[1].sum(axis=0), [0.5, 0.5])
