"""Ridge-penalised logistic regression along a path of penalties, small and dense.

A cross-validation fits thousands of these to tables of a hundred rows, where a general solver
spends most of its time on checks; the fits agree with scikit-learn's (a test holds them to it).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

TOLERANCE = 1e-9
MOST_STEPS = 100


def path(
    x: np.ndarray, y: np.ndarray, weight: np.ndarray, penalties: Sequence[float]
) -> np.ndarray:
    """Minimise ``C Σ w_i log(1 + exp(−s_i(b + x_i β))) + ½‖β‖²`` for each C, ``s = ±1``.

    Newton's method with step halving, each fit started from the one before.

    Args:
        x: features ``(n, d)``, of similar scale.
        y: labels ``(n,)`` in {0, 1}; both occur.
        weight: positive weights ``(n,)``.
        penalties: inverse penalties C, ascending for the best starts.

    Returns:
        ``(len(penalties), 1 + d)``: intercept, which is not penalised, and coefficients.

    Raises:
        RuntimeError: the gradient does not vanish within 100 steps.
    """
    design = np.column_stack([np.ones(len(x)), x])
    ridge = np.append(0.0, np.ones(x.shape[1]))
    beta = np.zeros(design.shape[1])
    found = []
    for penalty in penalties:
        beta = _newton(design, np.where(y == 1, 1.0, -1.0), penalty * weight, ridge, beta)
        found.append(beta)
    return np.stack(found)


def _newton(
    design: np.ndarray, sign: np.ndarray, weight: np.ndarray, ridge: np.ndarray, beta: np.ndarray
) -> np.ndarray:
    scale = 1.0 + weight.sum()
    value = _objective(design, sign, weight, ridge, beta)
    for _ in range(MOST_STEPS):
        wrong = 1.0 / (1.0 + np.exp(np.clip(sign * (design @ beta), -500, 500)))
        gradient = ridge * beta - design.T @ (weight * sign * wrong)
        if np.abs(gradient).max() <= TOLERANCE * scale:
            return beta
        curvature = weight * wrong * (1.0 - wrong)
        # The intercept has no ridge: where all rows are fitted, its curvature may vanish.
        hessian = design.T @ (curvature[:, None] * design) + np.diag(ridge + 1e-10)
        step, size = np.linalg.solve(hessian, gradient), 1.0
        while size > 1e-6:
            trial = _objective(design, sign, weight, ridge, beta - size * step)
            if trial <= value - 1e-4 * size * (gradient @ step):
                break
            size /= 2
        beta = beta - size * step
        value = _objective(design, sign, weight, ridge, beta)
        if size <= 1e-6:  # at rounding: no step lowers the objective any more
            return beta
    raise RuntimeError(f"the logistic fit did not converge in {MOST_STEPS} Newton steps.")


def _objective(
    design: np.ndarray, sign: np.ndarray, weight: np.ndarray, ridge: np.ndarray, beta: np.ndarray
) -> float:
    loss = np.logaddexp(0.0, -sign * (design @ beta))
    return float(weight @ loss + 0.5 * (ridge * beta) @ beta)
