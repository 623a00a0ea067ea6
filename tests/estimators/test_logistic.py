"""Weighted logistic fits against scikit-learn, and what happens where no minimiser exists."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from opal.estimators import LogisticFit, fit_logistic
from opal.estimators.logistic import TOLERANCE

N, D = 120, 4
KINDS = ("plain", "ill-scaled", "imbalanced", "nearly separated", "shifted", "zero weights")


class Problem(NamedTuple):
    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray


def problem(kind: str, n_classes: int, seed: int) -> Problem:
    rng = np.random.default_rng([seed, n_classes])
    rates = [0.06] * (n_classes - 1) if kind == "imbalanced" else [1 / n_classes] * (n_classes - 1)
    y = rng.choice(n_classes, size=N, p=[1 - sum(rates), *rates])
    y[:n_classes] = np.arange(n_classes)
    centres = rng.normal(size=(n_classes, D))
    x = 0.8 * centres[y] + rng.normal(size=(N, D))
    weights = rng.gamma(1.0, size=N)
    if kind == "ill-scaled":
        x = x * np.array([1e-3, 1.0, 30.0, 1e3]) @ np.triu(np.ones((D, D)))
    if kind == "shifted":
        x = x + 50.0
    if kind == "nearly separated":
        x = x + 4.0 * centres[y]
        wrong = rng.choice(N, size=4, replace=False)
        y[wrong] = (y[wrong] + 1) % n_classes
    if kind == "zero weights":
        weights[rng.random(N) < 0.3] = 0.0
    return Problem(x, y, weights / weights.sum())


@partial(jax.jit, static_argnames="n_classes")
def fits(
    x: jax.Array, y: jax.Array, weights: jax.Array, ridge: jax.Array, n_classes: int
) -> LogisticFit:
    def one(x: jax.Array, y: jax.Array, w: jax.Array, r: jax.Array) -> LogisticFit:
        return fit_logistic(x, y, w, n_classes=n_classes, ridge=r)

    return jax.vmap(one)(x, y, weights, ridge)


def fit_all(problems: list[Problem], ridges: np.ndarray, n_classes: int) -> LogisticFit:
    x, y, weights = (jnp.asarray(np.stack(part)) for part in zip(*problems, strict=True))
    return jax.device_get(fits(x, y, weights, jnp.asarray(ridges), n_classes))


def objective(theta: np.ndarray, p: Problem, ridge: float, k: int) -> tuple[float, np.ndarray]:
    """Value and gradient, in NumPy from the formula."""
    columns = np.hstack([p.x, np.ones((len(p.x), 1))])
    table = theta.reshape(k - 1, -1)
    logits = np.hstack([np.zeros((len(p.x), 1)), columns @ table.T])
    norm = np.logaddexp.reduce(logits, axis=1)
    rows = np.arange(len(p.y))
    miss = np.exp(logits - norm[:, None])[:, 1:] - np.eye(k)[p.y][:, 1:]
    gradient = (p.weights[:, None] * miss).T @ columns
    gradient[:, :-1] += ridge * table[:, :-1]
    value = p.weights @ (norm - logits[rows, p.y]) + ridge / 2 * np.sum(table[:, :-1] ** 2)
    return float(value), gradient


RIDGES = np.array([0.0, 0.0, 1e-3, 0.1])


@pytest.fixture(scope="module", params=[(kind, k) for kind in KINDS for k in (2, 3)])
def solved(request: pytest.FixtureRequest) -> tuple[str, int, list[Problem], LogisticFit]:
    kind, k = request.param
    problems = [problem(kind, k, seed) for seed in range(len(RIDGES))]
    return kind, k, problems, fit_all(problems, RIDGES, k)


def test_gradients_reach_the_stated_tolerance(
    solved: tuple[str, int, list[Problem], LogisticFit],
) -> None:
    kind, k, problems, found = solved
    assert found.converged.all()
    assert not found.separated.any()
    assert found.gradient_norm.max() <= TOLERANCE
    for p, theta, ridge in zip(problems, found.theta, RIDGES, strict=True):
        gradient = objective(theta, p, ridge, k)[1]
        # Rounding in the products of this file, on top of what was asked for.
        slack = 1e-15 * np.abs(p.x).max() * 100
        assert np.abs(gradient).max() <= TOLERANCE + slack, kind


def test_no_small_step_is_better(solved: tuple[str, int, list[Problem], LogisticFit]) -> None:
    _, k, problems, found = solved
    rng = np.random.default_rng(0)
    for p, theta, ridge in zip(problems, found.theta, RIDGES, strict=True):
        least = objective(theta, p, ridge, k)[0]
        for _ in range(5):
            elsewhere = theta + 0.05 * np.abs(theta).max() * rng.normal(size=theta.shape)
            assert objective(elsewhere, p, ridge, k)[0] > least


@pytest.mark.parametrize("kind", KINDS)
def test_two_classes_agree_with_scikit_learn(kind: str) -> None:
    problems = [problem(kind, 2, seed) for seed in range(len(RIDGES))]
    found = fit_all(problems, RIDGES, 2)
    for p, theta, ridge in zip(problems, found.theta, RIDGES, strict=True):
        peer = LogisticRegression(
            C=1 / ridge if ridge else np.inf, solver="newton-cholesky", tol=1e-12, max_iter=500
        ).fit(p.x, p.y, sample_weight=p.weights)
        expected = np.concatenate([peer.coef_[0], peer.intercept_])
        np.testing.assert_allclose(theta, expected, rtol=1e-5, atol=1e-6)


def test_three_classes_agree_with_scikit_learn() -> None:
    """The unpenalised softmax has the same probabilities whatever its reference class."""
    problems = [problem(kind, 3, 50) for kind in ("plain", "imbalanced")]
    found = fit_all(problems, np.zeros(2), 3)
    for p, theta in zip(problems, found.theta, strict=True):
        peer = LogisticRegression(C=np.inf, solver="lbfgs", tol=1e-12, max_iter=20_000)
        peer.fit(p.x, p.y, sample_weight=p.weights * N)
        table = np.hstack([peer.coef_, peer.intercept_[:, None]])
        expected = (table[1:] - table[0]).ravel()
        np.testing.assert_allclose(theta, expected, rtol=1e-3, atol=1e-4)


def separable(n_classes: int, seed: int) -> Problem:
    rng = np.random.default_rng(seed)
    y = np.arange(N) % n_classes
    centres = 12.0 * np.eye(n_classes, D)
    return Problem(centres[y] + rng.normal(size=(N, D)), y, np.full(N, 1 / N))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_separable_rows_are_flagged_and_finite(n_classes: int) -> None:
    problems = [separable(n_classes, seed) for seed in (1, 2, 3)]
    found = fit_all(problems, np.array([0.0, 0.0, 1e-3]), n_classes)
    np.testing.assert_array_equal(found.separated, [True, True, False])  # a penalty has a minimiser
    assert np.isfinite(found.theta).all()
    assert found.converged.all()
    for p, theta in zip(problems, found.theta, strict=True):
        columns = np.hstack([p.x, np.ones((N, 1))])
        logits = np.hstack([np.zeros((N, 1)), columns @ theta.reshape(n_classes - 1, -1).T])
        np.testing.assert_array_equal(logits.argmax(axis=1), p.y)


def test_rows_without_weight_do_not_prevent_separation() -> None:
    p = separable(2, 4)
    p.y[0] = 1 - p.y[0]
    assert not fit_all([p], np.zeros(1), 2).separated[0]
    p.weights[0] = 0.0
    assert fit_all([p], np.zeros(1), 2).separated[0]


def test_one_class_only_is_separated() -> None:
    p = problem("plain", 2, 9)
    found = fit_all([Problem(p.x, np.zeros(N, int), p.weights)], np.zeros(1), 2)
    assert found.separated[0]
    assert np.isfinite(found.theta).all()


def test_copies_are_weights() -> None:
    p = problem("plain", 2, 7)
    times = np.random.default_rng(0).integers(1, 4, size=N)
    counted = Problem(p.x, p.y, times / times.sum())
    rows = np.repeat(np.arange(N), times)
    copied = Problem(p.x[rows], p.y[rows], np.full(len(rows), 1 / len(rows)))
    left, right = (fit_all([q], np.zeros(1), 2).theta[0] for q in (counted, copied))
    np.testing.assert_allclose(left, right, atol=1e-7)


def test_a_tighter_tolerance_is_reached() -> None:
    p = problem("plain", 2, 8)
    tight = jax.jit(partial(fit_logistic, tolerance=1e-13))
    found = tight(jnp.asarray(p.x), jnp.asarray(p.y), jnp.asarray(p.weights))
    assert bool(found.converged)
    assert float(found.gradient_norm) <= 1e-13


def test_features_beyond_reach_are_not_called_converged() -> None:
    """Rounding of a gradient over features of size 1e12 exceeds the tolerance."""
    p = problem("plain", 2, 3)
    found = fit_all([Problem(p.x * 1e12, p.y, p.weights)], np.zeros(1), 2)
    assert np.isfinite(found.theta).all()
    assert bool(found.converged[0]) == bool(found.gradient_norm[0] <= TOLERANCE)
    gradient = objective(np.asarray(found.theta[0]), Problem(p.x * 1e12, p.y, p.weights), 0.0, 2)[1]
    assert np.abs(gradient).max() < 0.1  # of 1e12 at the start
