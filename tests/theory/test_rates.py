"""Rates of the sequence model against sums by hand, integrals and limits."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
from scipy.integrate import quad

from opal.objective import Design
from opal.settings.sequence import SobolevRegression, frequencies
from opal.synthesis.function_oracle import FunctionOracle
from opal.theory.random_design import random_design_excess
from opal.theory.rates import (
    Kind,
    Smoother,
    best_bandwidth,
    effective_size,
    exponent,
    noise_variance,
    pseudo_target,
    rate,
    sequence_excess,
)

TRUTH = SobolevRegression.of_smoothness(1.0, n_frequencies=200, spread=0.4, noise=0.5, key=3)
BIASED = TRUTH.biased(0.2, frequency=3)
MAKER = FunctionOracle(BIASED)
DESIGN = Design((400, 100), MAKER, n_augmented=300, alpha=0.3)
RIDGE, PROJECTION = Smoother("ridge", 1), Smoother("projection")


def test_the_effective_size_is_that_of_the_objective() -> None:
    share = 0.7**2 / (2 * 400) + 0.3**2 / (2 * 300)
    np.testing.assert_allclose(1 / effective_size(DESIGN), share, rtol=1e-13)
    best = 300 / 700  # α = N/(N + n_max) uses all rows alike
    np.testing.assert_allclose(effective_size(DESIGN.with_(alpha=best)), 2 * 700, rtol=1e-12)
    assert effective_size(Design((400, 100), weighting="group")) == pytest.approx(320)
    np.testing.assert_allclose(noise_variance(TRUTH, BIASED, DESIGN), 0.25 * share, rtol=1e-13)


def test_the_pseudo_target_is_balanced_and_moved_by_the_synthetic_share() -> None:
    # The synthetic share is w = α in the first group and (1 − α)·¾ + α in the second.
    moved = (0.3 + (0.7 * 0.75 + 0.3)) / 2
    target = pseudo_target(TRUTH, BIASED, DESIGN)
    expected = TRUTH.optimum()
    expected[5] += 0.2 * moved
    # Filling up with functions of the right group keeps the balance.
    np.testing.assert_allclose(target, expected, atol=1e-14)


def test_a_projection_has_the_excess_of_three_terms() -> None:
    k, theta = 7.0, TRUTH.optimum()
    parts = sequence_excess(TRUTH, BIASED, DESIGN, PROJECTION, k)
    tail = np.sum(theta[frequencies(len(theta)) > k] ** 2)
    bias = np.sum((pseudo_target(TRUTH, BIASED, DESIGN) - theta) ** 2)
    np.testing.assert_allclose(parts.bias, bias + tail, rtol=1e-12)
    np.testing.assert_allclose(parts.variance, 0.25 * (2 * k + 1) / effective_size(DESIGN))
    assert parts.total == parts.bias + parts.variance
    none = sequence_excess(TRUTH, BIASED, DESIGN, RIDGE, 0.0)
    np.testing.assert_allclose(none.bias, np.sum(theta**2))


@pytest.mark.parametrize("smoother", [RIDGE, PROJECTION, Smoother("ridge", 2)])
def test_the_best_bandwidth_is_best(smoother: Smoother) -> None:
    best = best_bandwidth(TRUTH, BIASED, DESIGN, smoother)
    at_best = sequence_excess(TRUTH, BIASED, DESIGN, smoother, best.bandwidth).total
    np.testing.assert_allclose(best.excess, at_best, rtol=1e-12)
    tried = np.arange(1.0, 100.0) if smoother.kind == "projection" else np.geomspace(0.1, 100, 200)
    others = [sequence_excess(TRUTH, BIASED, DESIGN, smoother, k).total for k in tried]
    assert best.excess <= min(others) * (1 + 1e-9)
    assert min(others) < 1.02 * best.excess


@pytest.mark.parametrize(("kind", "order"), [("ridge", 1), ("ridge", 3), ("projection", 1)])
@pytest.mark.parametrize("smoothness", [0.5, 1.0, 1.7])
def test_integrals_are_those_of_the_factors(kind: Kind, order: int, smoothness: float) -> None:
    def lost(u: float) -> float:
        """1 − h without cancellation."""
        return float(u > 1) if kind == "projection" else 1 / (1 + u ** (-2 * order))

    def integral(integrand: Callable[[float], float]) -> float:
        # In log u, where nothing is singular; beyond the ends less than 1e-9 is left.
        parts = (
            quad(lambda t: integrand(np.exp(t)) * np.exp(t), *ends, limit=200)[0]
            for ends in ((-60.0, 0.0), (0.0, 60.0))
        )
        return float(sum(parts))

    tail, width = Smoother(kind, order).integrals(smoothness)
    by_hand = integral(lambda u: lost(u) ** 2 * u ** (-2 * smoothness - 1))
    np.testing.assert_allclose(tail, by_hand, rtol=1e-6)
    np.testing.assert_allclose(width, integral(lambda u: (1 - lost(u)) ** 2), rtol=1e-6)


@pytest.mark.parametrize("smoothness", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("kind", ["ridge", "projection"])
def test_the_exact_optimum_tends_to_the_rate(kind: Kind, smoothness: float) -> None:
    truth = SobolevRegression.of_smoothness(smoothness, n_frequencies=4096, radius=2.0, key=0)
    smoother = Smoother(kind, int(smoothness))
    sizes = np.geomspace(1e4, 1e7, 7).astype(int)
    exact, limit = [], []
    for size in sizes:
        design = Design((1, 1), FunctionOracle(truth), n_augmented=int(size), alpha=1.0)
        exact.append(best_bandwidth(truth, truth, design, smoother))
        limit.append(rate(smoothness, 1 / effective_size(design), smoother, radius=2.0))
    ratio = [a.excess / b.excess for a, b in zip(exact, limit, strict=True)]
    np.testing.assert_allclose(ratio, 1, atol=0.01 if kind == "ridge" else 0.04)
    slope = -np.polyfit(np.log(sizes), np.log([optimum.excess for optimum in exact]), 1)[0]
    tolerance = 1e-3 if kind == "ridge" else 5e-3  # whole numbers of frequencies make steps
    assert abs(slope - exponent(smoothness)) < tolerance
    assert abs(slope - exponent(smoothness + 1)) > 5 * tolerance
    if kind == "ridge":
        np.testing.assert_allclose(exact[3].bandwidth, limit[3].bandwidth, rtol=0.01)


def test_a_biased_generator_leaves_its_floor() -> None:
    for size, rest in ((10**4, 0.05), (10**8, 1e-3)):
        design = Design((1, 1), MAKER, n_augmented=size, alpha=1.0)
        best = best_bandwidth(TRUTH, BIASED, design, PROJECTION)
        assert 0 < best.excess - 0.2**2 < rest


def test_random_rows_cost_a_share_of_parameters_to_rows() -> None:
    """Equal functions and light smoothing, so that there is next to no misfit."""
    truth = SobolevRegression.of_smoothness(3.0, n_frequencies=20, noise=0.5, key=3)
    smoother, bandwidth = Smoother("ridge", 3), 10.0
    gaps = []
    for size in (200, 2000, 20_000):
        design = Design((size, size // 4), FunctionOracle(truth), n_augmented=size, alpha=0.3)
        sequence = sequence_excess(truth, truth, design, smoother, bandwidth)
        random = random_design_excess(
            truth, truth, design, order=3, ridge=smoother.ridge(bandwidth)
        )
        gaps.append(random.variance / sequence.variance - 1)
    assert gaps[0] > 0.01
    np.testing.assert_allclose(np.divide(gaps[:2], gaps[1:]), 10, rtol=0.1)


def test_random_rows_see_the_differences_between_groups() -> None:
    """With very many rows and parameters, what is left is the noise of unlike functions."""
    truth = SobolevRegression.of_smoothness(3.0, n_frequencies=20, spread=0.5, noise=0.5, key=3)
    design = Design((10**6, 10**6))
    smoother = Smoother("ridge", 3)
    sequence = sequence_excess(truth, truth, design, smoother, 10.0)
    random = random_design_excess(truth, truth, design, order=3, ridge=smoother.ridge(10.0))
    apart = np.sum((truth.coefficients[0] - truth.optimum()) ** 2)
    # Every parameter but the few along the difference itself sees its whole square.
    parameters = sequence.variance * effective_size(design) / 0.25
    expected = 1 + apart / 0.25 * (1 - 1 / parameters)
    np.testing.assert_allclose(random.variance / sequence.variance, expected, rtol=0.01)


def test_random_rows_of_ordinary_least_squares() -> None:
    """Without a penalty and with equal weights, the variance is the textbook's σ²p/(n − p)."""
    truth = SobolevRegression(np.zeros((1, 9)), noise=2.0)
    found = random_design_excess(truth, truth, Design((100,)), order=1, ridge=1e-12)
    np.testing.assert_allclose(found.variance, 4 * 9 / (100 - 9), rtol=1e-6)
    assert found.bias < 1e-12


SMALLER = SobolevRegression.of_smoothness(1.0, n_frequencies=2, key=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: Smoother(cast("Kind", "pinsker")),
            "kind must be one of ('ridge', 'projection'); got 'pinsker'",
        ),
        (lambda: Smoother("ridge", 0), "order must be a whole number of at least 1; got 0."),
        (lambda: RIDGE.integrals(2.0), "of order 1 saturates at smoothness 2; got 2.0. Raise"),
        (lambda: RIDGE.integrals(0.0), "smoothness must be positive; got 0.0."),
        (lambda: rate(1.0, 0.0, RIDGE), "noise is a variance and must be positive; got 0.0."),
        (lambda: exponent(-1.0), "smoothness must be positive; got -1.0."),
        (
            lambda: sequence_excess(TRUTH, BIASED, DESIGN, RIDGE, -1.0),
            "bandwidth is a frequency of at least 0; got -1.0.",
        ),
        (lambda: pseudo_target(TRUTH, SMALLER, DESIGN), "(2, 401) and (2, 5) and 2 counts"),
        (lambda: pseudo_target(TRUTH, TRUTH, Design((3,))), "and 1 counts"),
        (
            lambda: random_design_excess(TRUTH, TRUTH, DESIGN, order=1, ridge=0.0),
            "ridge must be positive: the kernel may be singular; got 0.0.",
        ),
    ],
)
def test_impossible_questions_are_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
