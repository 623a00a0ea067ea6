"""Kernel ridge regression against scikit-learn and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge

from opal.estimators.kernel_ridge import fit_fourier_ridge, fit_kernel_ridge, sobolev_kernel
from opal.settings.sequence import fourier_features, penalties

RNG = np.random.default_rng(4)
N, D = 60, 129
X, Y = RNG.uniform(size=N), RNG.normal(size=N)
WEIGHTS = RNG.gamma(1.0, size=N) / N
WEIGHTS[:3] = 0.0


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_kernel_is_its_fourier_series(order: int) -> None:
    dim = 20_001 if order == 1 else 801
    features = np.asarray(fourier_features(X[:8], dim))
    series = (features / penalties(dim, order)) @ features.T
    kernel = sobolev_kernel(X[:8], X[:8], order=order)
    np.testing.assert_allclose(kernel, series, atol=1e-5 if order == 1 else 1e-9)
    assert np.abs(series - np.asarray(sobolev_kernel(X[:8], X[:8], order=order + 1))).max() > 1e-6


@pytest.mark.parametrize("ridge", [1e-6, 1e-3])
def test_agreement_with_scikit_learn(ridge: float) -> None:
    kernel = np.asarray(sobolev_kernel(X, X, order=2))
    kept = WEIGHTS > 0
    peer = KernelRidge(alpha=ridge, kernel="precomputed").fit(
        kernel[kept][:, kept], Y[kept], sample_weight=WEIGHTS[kept]
    )
    found = np.asarray(fit_kernel_ridge(X, Y, WEIGHTS, order=2, ridge=ridge))
    np.testing.assert_array_equal(found[~kept], 0.0)
    expected = kernel[:, kept] @ peer.dual_coef_
    np.testing.assert_allclose(kernel @ found, expected, rtol=1e-6, atol=1e-8)


def test_fourier_ridge_is_kernel_ridge_with_many_frequencies() -> None:
    dual = np.asarray(fit_kernel_ridge(X, Y, WEIGHTS, order=2, ridge=1e-4))
    theta = np.asarray(fit_fourier_ridge(X, Y, WEIGHTS, dim=D, order=2, ridge=1e-4))
    places = np.linspace(0, 1, N)
    of_kernel = np.asarray(sobolev_kernel(places, X, order=2)) @ dual
    np.testing.assert_allclose(
        np.asarray(fourier_features(places, D)) @ theta, of_kernel, atol=1e-6
    )
    coarse = np.asarray(fit_fourier_ridge(X, Y, WEIGHTS, dim=5, order=2, ridge=1e-4))
    assert np.abs(np.asarray(fourier_features(places, 5)) @ coarse - of_kernel).max() > 1e-2


def test_the_gradient_vanishes() -> None:
    theta = np.asarray(fit_fourier_ridge(X, Y, WEIGHTS, dim=D, order=1, ridge=1e-3))
    features = np.asarray(fourier_features(X, D))
    gradient = features.T @ (WEIGHTS * (features @ theta - Y)) + 1e-3 * penalties(D, 1) * theta
    assert np.abs(gradient).max() < 1e-11


def test_an_even_grid_is_the_sequence_model() -> None:
    n, dim, ridge = 64, 17, 1e-3
    grid, y = np.arange(n) / n, RNG.normal(size=n)
    theta = np.asarray(fit_fourier_ridge(grid, y, np.full(n, 1 / n), dim=dim, order=1, ridge=ridge))
    seen = np.asarray(fourier_features(grid, dim)).T @ y / n
    np.testing.assert_allclose(theta, seen / (1 + ridge * penalties(dim, 1)), atol=1e-13)
