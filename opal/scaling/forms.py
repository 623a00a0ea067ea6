"""The equations of the laws: values and slopes, and their bases.

Every function takes parameters as an array and the variables as columns. ``*_columns`` is the basis
that the linear parameters multiply; the others return ``(f [rows], ∂f/∂params [rows, p])``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Columns = Mapping[str, np.ndarray]


def power(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
    """E + A n^(−a)."""
    floor, amplitude, exponent = values
    log_n = np.log(x["n"])
    decay = np.exp(-exponent * log_n)
    term = amplitude * decay
    return floor + term, np.stack([np.ones_like(decay), decay, -term * log_n], axis=-1)


def power_columns(nonlinear: np.ndarray, x: Columns) -> np.ndarray:
    """Columns of E and A, given a."""
    return np.stack([np.ones_like(x["n"]), x["n"] ** -nonlinear[0]], axis=-1)


def additive(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
    """E + A x1^(−a) + B x2^(−b)."""
    floor, first, second, a, b = values
    logs = np.log(x["x1"]), np.log(x["x2"])
    decays = np.exp(-a * logs[0]), np.exp(-b * logs[1])
    terms = first * decays[0], second * decays[1]
    slopes = (np.ones_like(logs[0]), *decays, -terms[0] * logs[0], -terms[1] * logs[1])
    return floor + terms[0] + terms[1], np.stack(slopes, axis=-1)


def additive_columns(nonlinear: np.ndarray, x: Columns) -> np.ndarray:
    """Columns of E, A and B, given a and b."""
    ones = np.ones_like(x["x1"])
    return np.stack([ones, x["x1"] ** -nonlinear[0], x["x2"] ** -nonlinear[1]], axis=-1)


def _shares(x: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of α²/N and (1−α)²/n; −∞ where the weight is zero, whatever the size."""
    with np.errstate(divide="ignore", invalid="ignore"):
        synthetic = 2 * np.log(x["alpha"]) - np.log(x["N"])
        real = 2 * np.log1p(-x["alpha"]) - np.log(x["n"])
    return (
        np.where(x["alpha"] > 0, synthetic, -np.inf),
        np.where(x["alpha"] < 1, real, -np.inf),
    )


def mixture(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
    """E + α²R_s + [α²(A_s N^(−β))^(1/β) + (1−α)²(A_r n^(−β))^(1/β)]^β."""
    floor, synthetic_floor, *amplitudes, beta = values
    a_s, a_r = np.maximum(amplitudes, np.finfo(float).tiny)  # zero has no logarithm
    log_s, log_r = np.log(a_s), np.log(a_r)
    synthetic, real = _shares(x)
    total = np.logaddexp(synthetic + log_s / beta, real + log_r / beta)
    share = np.exp(synthetic + log_s / beta - total)  # of the synthetic part
    term = np.exp(beta * total)
    of_beta = term * (total - (_weighted(share, log_s) + _weighted(1 - share, log_r)) / beta)
    square = x["alpha"] ** 2
    slopes = (np.ones_like(term), square, term * share / a_s, term * (1 - share) / a_r, of_beta)
    return floor + square * synthetic_floor + term, np.stack(slopes, axis=-1)


def _weighted(share: np.ndarray, log: float) -> np.ndarray:
    """The product of both, zero where the share is."""
    return np.where(share > 0, share * log, 0.0)


def mixture_columns(nonlinear: np.ndarray, x: Columns) -> np.ndarray:
    """Columns of E, R_s and A_r, given β and log q: the bracket is A_r^(1/β)(α²q/N + (1−α)²/n)."""
    beta, log_q = nonlinear
    synthetic, real = _shares(x)
    term = np.exp(beta * np.logaddexp(synthetic + log_q, real))
    return np.stack([np.ones_like(term), x["alpha"] ** 2, term], axis=-1)


def mixture_values(linear: np.ndarray, nonlinear: np.ndarray) -> np.ndarray:
    """Parameters from linear and nonlinear coordinates: A_s = A_r q^β."""
    floor, synthetic_floor, a_r = linear
    beta, log_q = nonlinear
    return np.array([floor, synthetic_floor, a_r * np.exp(beta * log_q), a_r, beta])


def in_order(linear: np.ndarray, nonlinear: np.ndarray) -> np.ndarray:
    """Linear parameters, then nonlinear ones."""
    return np.concatenate([linear, nonlinear])


def central_differences(at: Callable[[np.ndarray], np.ndarray], point: np.ndarray) -> np.ndarray:
    """Slopes ``[rows, p]`` of a function of ``point`` by central differences."""
    steps = np.cbrt(np.finfo(float).eps) * np.maximum(np.abs(point), 1e-2)
    moves = np.diag(steps)
    return np.stack(
        [(at(point + m) - at(point - m)) / (2 * h) for m, h in zip(moves, steps, strict=True)],
        axis=-1,
    )
