"""Functions on the circle: their basis, smoothness, biases, rows and exact risks."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opal.checks import z_threshold
from opal.settings.sequence import (
    RegressionSample,
    SobolevRegression,
    fourier_features,
    frequencies,
    penalties,
)
from opal.synthesis import Law, Synthesizer
from opal.synthesis.function_oracle import FunctionOracle

D = 9
COUNTS = (20_000, 30_000)
TRUTH = SobolevRegression.of_smoothness(1.5, n_frequencies=4, spread=0.5, noise=0.3, key=2)


def test_the_basis_is_orthonormal() -> None:
    grid = np.arange(64) / 64
    features = np.asarray(fourier_features(grid, D))
    np.testing.assert_allclose(features.T @ features / 64, np.eye(D), atol=1e-13)
    np.testing.assert_allclose(features[:, 3], np.sqrt(2) * np.cos(4 * np.pi * grid), atol=1e-13)


@pytest.mark.parametrize("order", [1, 2])
def test_penalties_are_squared_norms_of_derivatives(order: int) -> None:
    grid = jnp.arange(64) / 64

    def wave(k: int, x: jax.Array) -> jax.Array:
        return fourier_features(x[None], D)[0, k]

    for k in (0, 3, 8):
        derivative: Callable[[jax.Array], jax.Array] = partial(wave, k)
        for _ in range(order):
            derivative = jax.grad(derivative)
        norm = float(np.mean(np.asarray(jax.vmap(derivative)(grid)) ** 2)) + (k == 0)
        np.testing.assert_allclose(penalties(D, order)[k], norm, rtol=1e-12)


def test_the_mean_function_is_on_the_edge_of_its_smoothness() -> None:
    theta = TRUTH.optimum()
    assert theta[0] == 0
    np.testing.assert_allclose(np.abs(theta[1:]), frequencies(D)[1:] ** -2.0, rtol=1e-14)
    same = SobolevRegression.of_smoothness(1.5, n_frequencies=4, spread=0.5, noise=0.3, key=2)
    np.testing.assert_array_equal(same.coefficients, TRUTH.coefficients)
    other = SobolevRegression.of_smoothness(1.5, n_frequencies=4, key=3)
    assert (np.sign(other.optimum()[1:]) != np.sign(theta[1:])).any()
    apart = np.linalg.norm(TRUTH.coefficients[1] - TRUTH.coefficients[0])
    np.testing.assert_allclose(apart, 2 * 0.5 * np.linalg.norm(theta))


def test_a_bias_is_a_wave_of_its_norm() -> None:
    grid = np.arange(64) / 64
    features = np.asarray(fourier_features(grid, D))
    error = features @ (TRUTH.biased((0.1, 0.2), frequency=2).coefficients - TRUTH.coefficients).T
    expected = np.sqrt(2) * np.cos(4 * np.pi * grid)
    np.testing.assert_allclose(error, np.outer(expected, (0.1, 0.2)), atol=1e-13)
    shifted = features @ (TRUTH.biased(0.3, frequency=0).coefficients - TRUTH.coefficients).T
    np.testing.assert_allclose(shifted, 0.3, atol=1e-13)
    assert "0.3" in TRUTH.biased(0.3).name
    assert TRUTH.biased(0.3, name="off").name == "off"


@pytest.fixture(scope="module")
def sample() -> RegressionSample:
    return TRUTH.sample(COUNTS, key=1)


def test_rows_have_the_function_and_the_noise(sample: RegressionSample) -> None:
    assert sample.counts == COUNTS
    x, y = np.asarray(sample.x[:, 0]), np.asarray(sample.y)
    assert 0 < x.min() < 1e-3
    assert 1 - 1e-3 < x.max() <= 1
    features = np.asarray(fourier_features(x, D))
    for g in range(2):
        rows = sample.rows(g)
        # Residuals from the group's function are white, those from the other's are not.
        scores = features[rows] * (y[rows] - features[rows] @ TRUTH.coefficients[g])[:, None]
        z = scores.mean(axis=0) / (scores.std(axis=0) / np.sqrt(len(scores)))
        assert np.abs(z).max() < z_threshold(2 * D)
        wrong = features[rows] * (y[rows] - features[rows] @ TRUTH.coefficients[1 - g])[:, None]
        assert np.abs(wrong.mean(axis=0) / wrong.std(axis=0)).max() * np.sqrt(len(wrong)) > 10
        residuals = y[rows] - features[rows] @ TRUTH.coefficients[g]
        z = (np.mean(residuals**2) / 0.09 - 1) / np.sqrt(2 / len(residuals))
        assert abs(z) < z_threshold(2)


def test_more_rows_extend_fewer() -> None:
    few, many = TRUTH.sample((3, 2), key=5), TRUTH.sample((4, 6), key=5)
    np.testing.assert_array_equal(few.y[few.rows(0)], many.y[:3])
    np.testing.assert_array_equal(few.y[few.rows(1)], many.y[4:6])


def test_risks_are_those_of_the_rows(sample: RegressionSample) -> None:
    theta = np.linspace(-1, 1, D)
    losses = (sample.y - fourier_features(sample.x[:, 0], D) @ theta) ** 2
    risk = np.asarray(TRUTH.group_risk(theta))
    for g in range(2):
        seen = np.asarray(losses[sample.rows(g)])
        z = (seen.mean() - risk[g]) / (seen.std() / np.sqrt(len(seen)))
        assert abs(z) < z_threshold(2)
    np.testing.assert_allclose(TRUTH.group_error(theta), np.sqrt(risk - 0.09))
    balanced = [np.mean(TRUTH.group_risk(TRUTH.optimum() + step)) for step in (0, 0.01, -0.01)]
    assert np.argmin(balanced) == 0


def test_it_has_the_face_of_a_law_and_its_oracle_that_of_a_synthesizer(
    sample: RegressionSample,
) -> None:
    maker = FunctionOracle(TRUTH)
    assert isinstance(TRUTH, Law)
    assert isinstance(maker, Synthesizer)
    assert maker.fit(sample, TRUTH.groups, key=jax.random.key(0)) is TRUTH
    assert maker.min_seeds == 0
    assert [group.name for group in TRUTH.groups] == ["group 0", "group 1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coefficients": np.zeros((2, 4))}, "D = 2J + 1: a constant, then a cosine and a sine"),
        ({"coefficients": np.zeros(3)}, "got shape (3,)"),
        ({"coefficients": np.full((1, 3), np.nan)}, "must be finite numbers [G, D]"),
        ({"coefficients": np.zeros((1, 3)), "noise": 0.0}, "noise must be a positive number; got"),
    ],
)
def test_impossible_laws_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        SobolevRegression(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"smoothness": 0.0}, "smoothness must be a positive number; got 0.0."),
        ({"radius": -1.0}, "radius must be a positive number; got -1.0."),
        ({"n_frequencies": 0}, "n_frequencies must be a whole number of at least 1; got 0."),
        ({"n_groups": 0}, "n_groups must be a whole number of at least 1; got 0."),
        ({"spread": float("nan")}, "spread is a finite number; got nan."),
    ],
)
def test_impossible_smoothness_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        SobolevRegression.of_smoothness(**{"smoothness": 1.0, "key": 0, **arguments})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TRUTH.biased((1.0, 2.0, 3.0)), "or one for each of 2 groups; got (1.0, 2.0, 3.0)"),
        (lambda: TRUTH.biased(0.1, frequency=5), "frequency must lie in 0 … 4; got 5."),
        (lambda: TRUTH.sample((3,), key=0), "one number for each of the 2 groups; got [3]"),
        (lambda: TRUTH.sample((3, -1), key=0), "at least 0; group 1 has -1"),
        (lambda: TRUTH.group_risk(np.zeros(D), "logistic"), "squared loss only; got 'logistic'"),
        (lambda: penalties(D, 0), "order must be a whole number of at least 1; got 0."),
    ],
)
def test_impossible_questions_are_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
