"""Slopes and floors of curves: right for exact powers, with standard errors that are true."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from opal.cli import registry
from simulations._curves import floor, slope
from simulations.mixture_law import pairs

SIZES = np.geomspace(1e3, 1e6, 9)
EXACT = 4e-4 + 5.0 * SIZES**-0.8


def curves(rng: np.random.Generator) -> np.ndarray:
    """Fifty replicates [R, S] of a curve, whose points share part of their noise."""
    shared, own = rng.gamma(4.0, 0.25, (50, 1)), rng.gamma(4.0, 0.25, (50, len(SIZES)))
    return 4e-4 + (EXACT - 4e-4) * (0.7 * shared + 0.3 * own)


def test_exact_powers_give_their_exponent_and_floor() -> None:
    assert slope(SIZES, 5.0 * SIZES[None, :] ** -0.8)[0] == pytest.approx(0.8, abs=1e-12)
    assert floor(SIZES, EXACT[None, :])[0] == pytest.approx(4e-4, rel=1e-6)
    assert np.isnan(floor(SIZES, EXACT[None, :])[1])


@pytest.mark.parametrize(("measure", "level"), [(slope, 0.0), (floor, 4e-4)])
def test_standard_errors_are_the_spread_over_data_sets(
    measure: Callable[[np.ndarray, np.ndarray], tuple[float, float]], level: float
) -> None:
    rng = np.random.default_rng(5)
    found = np.array([measure(SIZES, curves(rng) - 4e-4 + level) for _ in range(400)])
    values, errors = found.T
    # The spread of 400 values has a relative standard error of 3.5 %.
    assert errors.mean() == pytest.approx(values.std(ddof=1), rel=0.12)
    truth = 0.8 if measure is slope else level
    assert (
        abs(values.mean() - truth) < 4 * values.std() / np.sqrt(len(values)) + 0.1 * errors.mean()
    )
    if measure is slope:  # points taken for independent would be far more uncertain
        each = np.mean([(curves(rng) / EXACT).std(axis=0) for _ in range(20)]) / np.sqrt(50)
        logs = np.log(SIZES) - np.log(SIZES).mean()
        assert each / np.sqrt(np.sum(logs**2)) > 1.5 * errors.mean()


def test_every_size_meets_one_from_the_other_end() -> None:
    assert pairs((1, 2, 4), shifted=False) == ((1, 4), (2, 2), (4, 1))
    assert set(pairs((1, 2, 4, 8), shifted=True)) >= {(1, 8), (8, 1), (1, 4), (4, 1)}
    assert len(set(pairs((1, 2, 4), shifted=True))) == len(pairs((1, 2, 4), shifted=True))


@pytest.mark.parametrize(
    ("study", "fields", "message"),
    [
        ("scaling", {"bias": (0.1,)}, "bias needs 0, for the slope, and at least one other"),
        ("scaling", {"n_augmented": (10, 5)}, "n_augmented must be (smallest, largest)"),
        ("scaling", {"n_sizes": 3}, "n_sizes must be a whole number of at least 4; got 3."),
        ("scaling", {"smoothness": (0,)}, "smoothness must be a whole number of at least 1"),
        ("scaling", {"noise": 0.0}, "noise must be a finite number of at least 1e-06; got 0.0."),
        ("mixture_law", {"scenarios": ("none",)}, "scenarios must be among ['Gaussian, no bias'"),
        ("mixture_law", {"sizes": (10, 20)}, "sizes needs at least three sizes"),
        ("mixture_law", {"alphas": (1.0,)}, "alphas are weights in [0.02, 0.98]; got 1.0."),
        ("mixture_law", {"n_replicates": 1}, "n_replicates must be a whole number of at least 2"),
    ],
)
def test_a_study_refuses_before_its_first_cell(
    study: str, fields: dict[str, Any], message: str
) -> None:
    module = registry.load("study", study)
    with pytest.raises(ValueError, match=re.escape(message)):
        module.cells(replace(module.PRESETS["tiny"], **fields))
