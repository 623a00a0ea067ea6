"""Weighted ridge against scikit-learn and its normal equations."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from opal.estimators import fit_ridge

RNG = np.random.default_rng(3)
N, D = 80, 5
X = RNG.normal(size=(N, D)) * np.array([1.0, 10.0, 0.1, 1.0, 1.0]) + 2.0
WEIGHTS = RNG.gamma(1.0, size=N)
WEIGHTS /= WEIGHTS.sum()


def theta_of(y: np.ndarray, n_classes: int, ridge: float) -> np.ndarray:
    found = fit_ridge(
        jnp.asarray(X), jnp.asarray(y), jnp.asarray(WEIGHTS), n_classes=n_classes, ridge=ridge
    )
    return np.asarray(found)


@pytest.mark.parametrize("ridge", [0.0, 1e-3, 0.5])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_agreement_with_scikit_learn(n_classes: int, ridge: float) -> None:
    y = np.arange(N) % n_classes
    targets = (2.0 * y - 1)[:, None] if n_classes == 2 else np.eye(n_classes)[y]
    peer = Ridge(alpha=ridge, solver="svd").fit(X, targets, sample_weight=WEIGHTS)
    expected = np.hstack(
        [peer.coef_.reshape(targets.shape[1], D), peer.intercept_[:, None]]
    ).ravel()
    np.testing.assert_allclose(theta_of(y, n_classes, ridge), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("ridge", [0.0, 0.2])
def test_the_gradient_vanishes(ridge: float) -> None:
    y = (X[:, 0] > 2).astype(int)
    theta = theta_of(y, 2, ridge)
    columns = np.hstack([X, np.ones((N, 1))])
    residual = columns @ theta - (2 * y - 1)
    gradient = columns.T @ (WEIGHTS * residual) + ridge * np.append(theta[:-1], 0.0)
    assert np.abs(gradient).max() < 1e-10


def test_a_singular_design_gives_the_least_norm_to_rounding() -> None:
    x = np.hstack([X[:, :1], X[:, :1]])
    y = (X[:, 1] > 2).astype(int)
    theta = np.asarray(fit_ridge(jnp.asarray(x), jnp.asarray(y), jnp.asarray(WEIGHTS), n_classes=2))
    assert np.isfinite(theta).all()
    columns = np.hstack([x, np.ones((N, 1))])
    root = np.sqrt(WEIGHTS)[:, None]
    best = np.linalg.lstsq(columns * root, (2 * y - 1) * root[:, 0], rcond=None)[0]
    np.testing.assert_allclose(columns @ theta, columns @ best, atol=1e-3)
    np.testing.assert_allclose(theta[0] + theta[1], best[0] + best[1], atol=1e-3)
