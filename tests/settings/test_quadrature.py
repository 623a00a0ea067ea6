"""Nodes integrate what they say to the precision they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from opal.settings.quadrature import N_SCRAMBLES, gaussian_nodes, scrambled_normals


@pytest.mark.parametrize(("spread", "tolerance"), [(0.5, 1e-13), (3.0, 1e-12), (10.0, 1e-6)])
def test_logistic_losses_have_the_stated_precision(spread: float, tolerance: float) -> None:
    nodes, weights = gaussian_nodes()
    found = weights @ np.logaddexp(0, 0.3 + spread * nodes)
    edges = np.linspace(-12, 12, 2001)
    t, w = np.polynomial.legendre.leggauss(12)
    fine = edges[:-1, None] + (edges[1] - edges[0]) * (t[None, :] + 1) / 2
    values = np.logaddexp(0, 0.3 + spread * fine) * stats.norm.pdf(fine)
    expected = np.sum(values @ w) * (edges[1] - edges[0]) / 2
    assert abs(found - expected) < tolerance * max(1.0, expected)


@pytest.mark.parametrize(("spread", "tolerance"), [(1.0, 1e-12), (3.0, 1e-8), (10.0, 1e-3)])
def test_two_scores_have_the_stated_precision(spread: float, tolerance: float) -> None:
    def expected_loss(nodes: np.ndarray, weights: np.ndarray) -> float:
        u = 0.3 + spread * nodes
        return float(weights @ np.logaddexp(0, np.logaddexp(u[:, 0], u[:, 1])))

    axis = np.linspace(-10, 10, 401)
    fine = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    density = np.exp(-(fine**2).sum(axis=1) / 2)
    expected = expected_loss(fine, density / density.sum())
    assert abs(expected_loss(*gaussian_nodes(2)) - expected) < tolerance * max(1.0, expected)


@pytest.mark.parametrize("power", range(9))
def test_moments_are_those_of_a_standard_normal(power: int) -> None:
    nodes, weights = gaussian_nodes()
    np.testing.assert_allclose(weights @ nodes**power, stats.norm.moment(power), atol=1e-11)


def test_scrambles_are_different_and_reproducible() -> None:
    points = scrambled_normals(3)
    assert points.shape == (N_SCRAMBLES, 512, 3)
    assert np.isfinite(points).all()
    assert len(np.unique(points[:, 0, 0])) == N_SCRAMBLES
    scrambled_normals.cache_clear()
    np.testing.assert_array_equal(points, scrambled_normals(3))


def test_scrambles_average_better_than_random_draws() -> None:
    points = scrambled_normals(2)
    means = np.mean(points[..., 0] ** 2 * np.cos(points[..., 1]), axis=1)
    expected = np.exp(-0.5)
    random_error = np.std(points[..., 0] ** 2 * np.cos(points[..., 1])) / np.sqrt(points[0].size)
    assert np.std(means, ddof=1) < random_error / 2
    z = (means.mean() - expected) / (np.std(means, ddof=1) / np.sqrt(N_SCRAMBLES))
    assert abs(z) < stats.t(N_SCRAMBLES - 1).ppf(0.9995)
