r"""Where a regression on a classifier's labels ends up (docs/theory.md, section 18).

A row x̃ (with its one) is positive with probability p, and labelled positive with probability
``ρ = e₀ + (1 − e₀ − e₁) p``, for error rates e₀ of negatives and e₁ of positives. They are the same
for all rows, or, where errors are differential, of each point of the law.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import optimize, special

Rate = float | Float[np.ndarray, " q"]
"""An error rate, of all points or of each [Q]."""


def labelled_positive(
    p: Float[np.ndarray, " q"], errors: tuple[Rate, Rate]
) -> Float[np.ndarray, " q"]:
    """ρ [Q], the probability of a positive label where that of a positive is p."""
    return np.asarray(errors[0] + (1 - errors[0] - errors[1]) * p)


def target(
    rows: Float[np.ndarray, "q k"],
    mass: Float[np.ndarray, " q"],
    mean: Float[np.ndarray, " q"],
    *,
    logistic: bool,
) -> Float[np.ndarray, " k"]:
    """What a regression's coefficients tend to: the zero of ``E x̃ (mean − μ(x̃ᵀθ))`` [k].

    Args:
        rows: x̃ at the points of a law [Q, k].
        mass: their probabilities [Q].
        mean: of the outcome at each [Q].
        logistic: μ is the logistic function, or its argument.
    """

    def equations(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        fitted = special.expit(rows @ theta) if logistic else rows @ theta
        bend = fitted * (1 - fitted) if logistic else np.ones_like(fitted)
        slope = -(rows * (mass * bend)[:, None]).T @ rows
        return rows.T @ (mass * (mean - fitted)), slope

    found = optimize.root(equations, np.zeros(rows.shape[1]), jac=True, tol=1e-13)
    return np.asarray(found.x)


def naive_coefficients(
    rows: Float[np.ndarray, "q k"],
    mass: Float[np.ndarray, " q"],
    p: Float[np.ndarray, " q"],
    errors: tuple[Rate, Rate],
    coefficients: Float[np.ndarray, " k1"] | None = None,
) -> Float[np.ndarray, " k2"]:
    """What coefficients tend to where the classifier's label takes the place of the true one.

    The label is the outcome of a logistic regression on x̃ or, with the true ``coefficients`` of a
    linear one, a covariate; all else as in :func:`attenuated`.
    """
    if coefficients is None:
        return target(rows, mass, labelled_positive(p, errors), logistic=True)
    return attenuated(rows, mass, p, errors, coefficients)


def attenuated(
    rows: Float[np.ndarray, "q k"],
    mass: Float[np.ndarray, " q"],
    p: Float[np.ndarray, " q"],
    errors: tuple[Rate, Rate],
    coefficients: Float[np.ndarray, " k1"],
) -> Float[np.ndarray, " k1"]:
    """Coefficients of a linear regression in which the label is a covariate [k + 1].

    The outcome has the mean ``β₀ + β_L label + βᵀx``; the classifier's label takes the place of the
    true one.

    Args:
        rows: x̃ = (1, x) at the points of a law [Q, k].
        mass: their probabilities [Q].
        p: probability of a positive at each [Q].
        errors: e₀ of negatives and e₁ of positives; they may depend on x, not on the outcome.
        coefficients: of the truth, in the order intercept, label, covariates.

    Raises:
        ValueError: covariates say what the classifier does.
    """
    said = labelled_positive(p, errors)
    both = p * (1 - errors[1])  # positive, and said to be
    ones = np.insert(rows, 1, 1.0, axis=1)  # with the label said
    zeros = np.insert(rows, 1, 0.0, axis=1)
    true = zeros @ coefficients  # of a negative
    moment = ones.T @ (mass * (said * true + both * coefficients[1]))
    moment += zeros.T @ (mass * ((1 - said) * true + (p - both) * coefficients[1]))
    square = (ones * (mass * said)[:, None]).T @ ones
    square += (zeros * (mass * (1 - said))[:, None]).T @ zeros
    if np.linalg.matrix_rank(square) < len(square):
        raise ValueError(
            "a label is a covariate where it differs between rows of like covariates; with the "
            f"error rates {errors[0]} of negatives and {errors[1]} of positives the classifier's "
            "does not. Give rates at which it says both, or that are known from more rows."
        )
    return np.asarray(np.linalg.solve(square, moment))
