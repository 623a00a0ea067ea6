"""Logistic regression on many features against opal's Newton fit, scikit-learn and itself."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import csr_matrix

from opal.estimators.logistic import fit_logistic
from opal.estimators.wide import WideFit, fit_wide


def rows(n_classes: int, n: int = 120, d: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of unequal scale, labels that a softmax draws, unequal weights."""
    rng = np.random.default_rng(n_classes)
    x = rng.normal(size=(n, d)) * np.geomspace(1, 0.05, d) + 0.3
    scores = x @ rng.normal(size=(d, n_classes)) * 2
    y = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    return x, y, rng.uniform(0, 1, n)


def close(one: WideFit, other: WideFit, atol: float = 1e-5) -> None:
    # Scores are the same up to a number for all classes.
    for mine, theirs in ((one.w, other.w), (one.b, other.b)):
        centred = [value - value.mean(axis=-1, keepdims=True) for value in (mine, theirs)]
        np.testing.assert_allclose(centred[0], centred[1], atol=atol)


def test_two_classes_are_the_fit_of_the_simulations() -> None:
    x, y, weights = rows(2)
    weights /= weights.sum()
    wide = fit_wide(x, y, weights, n_classes=2, ridge=0.02, tolerance=1e-9)
    given = [jnp.asarray(each) for each in (x, y, weights)]
    newton = fit_logistic(*given, ridge=0.02)
    assert wide.converged
    np.testing.assert_allclose(wide.w[:, 1] - wide.w[:, 0], newton.theta[:-1], atol=1e-6)
    np.testing.assert_allclose(wide.b[1] - wide.b[0], newton.theta[-1], atol=1e-6)
    other = fit_logistic(*given, ridge=0.04)  # the penalty matters
    assert np.abs(wide.w[:, 1] - wide.w[:, 0] - other.theta[:-1]).max() > 1e-2


def test_more_classes_are_scikit_learns() -> None:
    from sklearn.linear_model import LogisticRegression

    x, y, weights = rows(4)
    theirs = LogisticRegression(C=10.0, tol=1e-9, max_iter=5000).fit(x, y, sample_weight=weights)
    ours = fit_wide(x, y, weights, n_classes=4, ridge=0.05, tolerance=1e-8)  # λ = 1/(2C)
    close(ours, WideFit(theirs.coef_.T, theirs.intercept_, 0.0, True), atol=1e-4)


def test_negative_weights_are_those_of_the_simulations() -> None:
    """Weights that fall below 0 in a class whose sum does not."""
    x, y, weights = rows(2)
    weights[np.flatnonzero(y == 0)[:8]] *= -0.5
    weights /= weights.sum()
    wide = fit_wide(x, y, weights, n_classes=2, ridge=0.02, tolerance=1e-9)
    newton = fit_logistic(*(jnp.asarray(each) for each in (x, y, weights)), ridge=0.02)
    np.testing.assert_allclose(wide.w[:, 1] - wide.w[:, 0], newton.theta[:-1], atol=1e-6)
    np.testing.assert_allclose(wide.b[1] - wide.b[0], newton.theta[-1], atol=1e-6)
    logs = np.log(wide.probabilities(x)[np.arange(len(y)), y])
    assert wide.loss == pytest.approx(-weights @ logs)
    assert not wide.lost
    left_out = fit_wide(x, y, np.maximum(weights, 0), n_classes=2, ridge=0.02, tolerance=1e-9)
    assert np.abs(left_out.w - wide.w).max() > 1e-2  # they are not left out


def test_a_loss_below_zero_is_no_minimum_of_a_risk() -> None:
    """A row of weight −1 far out pays for all others, as far as the penalty lets it."""
    x = np.array([[0.0], [1.0], [-1.0], [30.0]])
    given = x, np.array([0, 1, 0, 0]), np.array([1.0, 1.0, 1.0, -1.0])
    fits = [fit_wide(*given, n_classes=2, ridge=ridge) for ridge in (1e4, 1e-4)]
    assert [fit.lost for fit in fits] == [False, True]
    assert fits[1].loss < 0 < fits[0].loss


def test_sparse_is_dense_and_a_row_of_weight_two_is_two_rows() -> None:
    x, y, weights = rows(3)
    options: dict[str, Any] = {"n_classes": 3, "ridge": 0.05, "tolerance": 1e-8}
    dense = fit_wide(x, y, weights, **options)
    close(dense, fit_wide(csr_matrix(x), y, weights, **options))
    whole = np.round(3 * weights).astype(int)
    again = fit_wide(np.repeat(x, whole, axis=0), y.repeat(whole), np.ones(whole.sum()), **options)
    close(again, fit_wide(x, y, whole.astype(float), **options))


def test_a_start_changes_the_way_and_not_the_end() -> None:
    x, y, weights = rows(3)
    options: dict[str, Any] = {"n_classes": 3, "ridge": 0.05, "tolerance": 1e-8}
    first = fit_wide(x[:60], y[:60], weights[:60], **options)
    close(fit_wide(x, y, weights, **options), fit_wide(x, y, weights, start=first, **options))


def test_a_class_without_rows_is_improbable() -> None:
    x, y, weights = rows(3)
    seen = y < 2
    fit = fit_wide(x[seen], y[seen], weights[seen], n_classes=3, ridge=0.05)
    assert fit.probabilities(x)[:, 2].max() < 0.01


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"n_rows": 3}, "a row for each text; got 3, 120 and 120"),
        ({"n_classes": 1}, r"labels must be 0 … 0; got 0 … 1"),
        ({"scale": 0.0}, "some of them positive"),
        ({"ridge": 0.0}, "ridge must be positive on many features; got 0.0"),
    ],
)
def test_refused(changes: dict[str, Any], match: str) -> None:
    x, y, weights = rows(2)
    asked: dict[str, Any] = {"n_rows": 120, "scale": 1.0, "n_classes": 2, "ridge": 0.1} | changes
    x, weights = csr_matrix(x[: asked.pop("n_rows")]), asked.pop("scale") * weights
    with pytest.raises(ValueError, match=match):
        fit_wide(x, y, weights, **asked)


def test_a_class_of_no_weight_in_sum_is_refused() -> None:
    x, y, weights = rows(2)
    weights[y == 1] *= -0.1
    with pytest.raises(ValueError, match=r"positive sum where some are negative.*of class 1 have"):
        fit_wide(x, y, weights, n_classes=2, ridge=0.1)
