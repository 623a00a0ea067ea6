"""Mixtures of Gaussian classes: what is accepted, and the law that is meant."""

from __future__ import annotations

import inspect
import re
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from opal.settings import GaussianMixture

MEANS = [[-1.0, 0.0], [1.0, 0.0]]


def test_groups_are_the_classes() -> None:
    setting = GaussianMixture([[0.0], [1.0], [2.0]])
    assert [group.label for group in setting.groups] == [0, 1, 2]
    assert setting.name == "gaussian_mixture(K=3, d=1)"
    assert setting.law.n_classes == 3


@pytest.mark.parametrize(
    ("covariances", "expected"),
    [
        (2.0, [np.diag([2.0, 2.0])] * 2),
        ([2.0, 3.0], [np.diag([2.0, 3.0])] * 2),
        ([[2.0, 0.5], [0.5, 1.0]], [[[2.0, 0.5], [0.5, 1.0]]] * 2),
        ([np.eye(2), 4 * np.eye(2)], [np.eye(2), 4 * np.eye(2)]),
    ],
)
def test_covariances_are_broadcast(covariances: Any, expected: Any) -> None:
    law = GaussianMixture(MEANS, covariances).law
    np.testing.assert_array_equal(law.covariances[:, 0], expected)


def test_modes_are_equally_likely_unless_weights_are_given() -> None:
    means = np.zeros((2, 3, 1))
    np.testing.assert_allclose(GaussianMixture(means).law.weights, np.full((2, 3), 1 / 3))
    weights = [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]
    np.testing.assert_array_equal(GaussianMixture(means, mode_weights=weights).law.weights, weights)


def test_a_mode_of_weight_zero_is_never_drawn() -> None:
    means = [[[-50.0], [50.0]], [[-50.0], [50.0]]]
    setting = GaussianMixture(means, mode_weights=[[1.0, 0.0], [0.25, 0.75]])
    sample = setting.sample((50, 4000), key=0)
    assert float(sample.x[:50].max()) < 0
    share = float(jnp.mean(sample.x[50:] > 0))
    assert abs(share - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 4000)


def test_the_law_keeps_full_precision_whatever_the_flag() -> None:
    law = GaussianMixture([[0.1], [0.3]]).law
    assert isinstance(law.means, np.ndarray)
    assert law.means.dtype == np.float64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"means": [[0.0, 1.0]]}, "K ≥ 2 classes; got shape (1, 2)"),
        ({"means": [0.0, 1.0]}, "K ≥ 2 classes; got shape (2,)"),
        ({"means": np.zeros((2, 0))}, "M, d ≥ 1 and K ≥ 2 classes; got shape (2, 0)"),
        ({"means": [[0.0, 1.0], [np.nan, 0.0]]}, "means must be finite; got nan at index [1, 0]"),
        ({"means": MEANS, "covariances": -1.0}, "positive definite; the smallest eigenvalue is -1"),
        ({"means": MEANS, "covariances": [1.0, 0.0]}, "Add a multiple of the identity"),
        ({"means": MEANS, "covariances": [[1.0, 2.0], [2.0, 1.0]]}, "positive definite"),
        (
            {"means": MEANS, "covariances": [np.eye(2), [[1.0, 0.5], [0.0, 1.0]]]},
            "covariances must be symmetric; matrix [1] has 0.5 at [0, 1] and 0 at [1, 0]. Symmetr",
        ),
        (
            {"means": MEANS, "covariances": [[1.0, 0.0], [0.0, np.inf]]},
            "covariances must be finite; got inf at index [1, 1]",
        ),
        ({"means": MEANS, "covariances": np.nan}, "covariances must be finite; got nan."),
        ({"means": MEANS, "covariances": [1.0, 1.0, 1.0]}, "got shape (3, 3)"),
        ({"means": np.zeros((2, 2, 1)), "mode_weights": [[0.5, 0.6], [0.5, 0.5]]}, "sum to 1"),
        ({"means": np.zeros((2, 2, 1)), "mode_weights": [[1.5, -0.5], [1, 0]]}, "probabilities"),
        ({"means": np.zeros((2, 2, 1)), "mode_weights": [0.5, 0.5]}, "of shape (2, 2)"),
        ({"means": np.zeros((2, 2, 1)), "mode_weights": [[np.nan, 1], [1, 0]]}, "probabilities"),
    ],
)
def test_what_is_no_mixture_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        GaussianMixture(**arguments)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((5, -1), "whole numbers of at least 0; group 1 has -1"),
        ((5,), "one number for each of the 2 groups; got [5]"),
        (5, "one number for each of the 2 groups; got 5"),
    ],
)
def test_impossible_counts_are_refused(counts: Any, message: str) -> None:
    unchecked = inspect.unwrap(GaussianMixture.sample)
    with pytest.raises(ValueError, match=re.escape(message)):
        unchecked(GaussianMixture(MEANS), counts, key=0)
