"""Losses equal their formulas, and their derivatives equal automatic ones."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from opal import losses
from opal.losses import LOSSES, Loss

CASES = [(k, loss) for k in (2, 3, 4) for loss in LOSSES]


def scores_of(n_classes: int, loss: Loss) -> np.ndarray:
    size = (6, losses.n_scores(loss, n_classes))
    return np.random.default_rng(n_classes).normal(scale=2.0, size=size)


def by_formula(u: np.ndarray, label: int, n_classes: int, loss: Loss) -> float:
    """The loss of one row, written as the module's docstring writes it."""
    if loss == "logistic":
        logits = np.concatenate([[0.0], u])
        return float(logsumexp(logits) - logits[label])
    if n_classes == 2:
        return float(0.5 * ((2 * label - 1) - u[0]) ** 2)
    return float(0.5 * np.sum((np.eye(n_classes)[label] - u) ** 2))


@pytest.mark.parametrize(("n_classes", "loss"), CASES)
def test_values_are_those_of_the_formula(n_classes: int, loss: Loss) -> None:
    scores = scores_of(n_classes, loss)
    expected = [[by_formula(u, k, n_classes, loss) for k in range(n_classes)] for u in scores]
    np.testing.assert_allclose(
        losses.values(jnp.asarray(scores), n_classes, loss), expected, rtol=1e-12, atol=1e-13
    )


@pytest.mark.parametrize(("n_classes", "loss"), CASES)
def test_slopes_and_curvatures_are_derivatives(n_classes: int, loss: Loss) -> None:
    scores = jnp.asarray(scores_of(n_classes, loss))

    def values(u: jax.Array) -> jax.Array:
        return losses.values(u, n_classes, loss)

    @jax.jit
    def everything(u: jax.Array) -> tuple[jax.Array, ...]:
        return (
            losses.slopes(u, n_classes, loss),
            jax.vmap(jax.jacfwd(values))(u),
            losses.curvatures(u, loss),
            jax.vmap(jax.jacfwd(jax.jacfwd(values)))(u),
        )

    slopes, first, curvatures, second = everything(scores)
    np.testing.assert_allclose(slopes, first, atol=1e-13)
    for label in range(n_classes):
        np.testing.assert_allclose(curvatures, second[:, label], atol=1e-13)


def test_the_logistic_loss_is_finite_far_out() -> None:
    values = losses.values(jnp.array([[800.0], [-800.0]]), 2, "logistic")
    np.testing.assert_allclose(values, [[800.0, 0.0], [0.0, 800.0]], atol=1e-12)


def test_probabilities_and_predictions_agree() -> None:
    scores = jnp.asarray(scores_of(4, "logistic"))
    probabilities = losses.probabilities(scores)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-14)
    loss = losses.values(scores, 4, "logistic")
    np.testing.assert_allclose(probabilities, np.exp(-loss), rtol=1e-12)
    predicted = losses.predictions(scores, 4, "logistic")
    np.testing.assert_array_equal(predicted, np.argmin(loss, axis=1))


def test_two_classes_are_told_apart_by_the_sign() -> None:
    scores = jnp.array([[-0.1], [0.1]])
    for loss in LOSSES:
        np.testing.assert_array_equal(losses.predictions(scores, 2, loss), [0, 1])


def test_squared_scores_of_three_classes_are_compared_with_each_other() -> None:
    # Every score is below zero: with a reference class of score 0 the answer would be 0.
    scores = jnp.array([[-3.0, -1.0, -2.0]])
    assert int(losses.predictions(scores, 3, "squared")[0]) == 1


@pytest.mark.parametrize(
    ("loss", "n_classes", "expected"),
    [("logistic", 2, 4), ("logistic", 3, 8), ("squared", 2, 4), ("squared", 3, 12)],
)
def test_number_of_parameters(loss: Loss, n_classes: int, expected: int) -> None:
    assert losses.n_parameters(loss, n_classes, 3) == expected


def test_parameters_are_rows_with_the_intercept_last() -> None:
    weights, intercepts = losses.weights_and_intercepts(jnp.arange(6.0), 2)
    np.testing.assert_array_equal(weights, [[0, 1], [3, 4]])
    np.testing.assert_array_equal(intercepts, [2, 5])
