"""Laws of training on real and synthetic samples together: their errors are joined in a bracket."""

from __future__ import annotations

import numpy as np
from scipy import special

from opal.scaling.scaling_law import (
    EXPONENT,
    EXPONENT_STARTS,
    POSITIVE,
    Columns,
    ScalingLaw,
)


def _shares(x: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of α²/N and (1−α)²/n; −∞ where the weight is zero, whatever the size."""
    with np.errstate(divide="ignore", invalid="ignore"):
        synthetic = 2 * np.log(x["alpha"]) - np.log(x["N"])
        real = 2 * np.log1p(-x["alpha"]) - np.log(x["n"])
    return (
        np.where(x["alpha"] > 0, synthetic, -np.inf),
        np.where(x["alpha"] < 1, real, -np.inf),
    )


def _mixture(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
    """E + α²R_s + [α²(A_s N^(−β))^(1/β) + (1−α)²(A_r n^(−β))^(1/β)]^β."""
    return _joined(values, x["alpha"] ** 2, np.stack(_shares(x)))


def _joined(
    values: np.ndarray, square: np.ndarray, logs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """E + α²R_s + [Σ_j c_j A_j^(1/β)]^β and its slopes, from log c_j ``[j, rows]``."""
    floor, synthetic_floor, *rest, beta = values
    some = np.maximum(rest, np.finfo(float).tiny)  # zero has no logarithm
    amplitudes = some.reshape(-1, *[1] * (logs.ndim - 1))
    parts = logs + np.log(amplitudes) / beta
    total = special.logsumexp(parts, axis=0)
    shares = np.exp(parts - total)
    term = np.exp(beta * total)
    # A part whose share is zero does not count, however far off its amplitude.
    mean = np.where(shares > 0, shares * np.log(amplitudes), 0.0).sum(axis=0)
    slopes = (
        np.ones_like(term),
        square,
        *(term * shares / amplitudes),
        term * (total - mean / beta),
    )
    return floor + square * synthetic_floor + term, np.stack(slopes, axis=-1)


def _mixture_columns(nonlinear: np.ndarray, x: Columns) -> np.ndarray:
    """Columns of E, R_s and A_r, given β and log q: the bracket is A_r^(1/β)(α²q/N + (1−α)²/n)."""
    beta, log_q = nonlinear
    synthetic, real = _shares(x)
    term = np.exp(beta * np.logaddexp(synthetic + log_q, real))
    return np.stack([np.ones_like(term), x["alpha"] ** 2, term], axis=-1)


def _mixture_values(linear: np.ndarray, nonlinear: np.ndarray) -> np.ndarray:
    """Parameters from linear and nonlinear coordinates: A_s = A_r q^β."""
    floor, synthetic_floor, a_r = linear
    beta, log_q = nonlinear
    return np.array([floor, synthetic_floor, a_r * np.exp(beta * log_q), a_r, beta])


def _generator_shares(x: Columns) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logarithms of α²/N, α²/n_gen + 2α(1−α)k/(n n_gen) and (1−α)²/n; −∞ for parts not there."""
    synthetic, real = _shares(x)
    alpha, both = x["alpha"], (x["alpha"] > 0) & (x["alpha"] < 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        overlap = np.where(both, 2 * alpha * (1 - alpha) * x["n_shared"] / x["n"], 0.0)
        seeds = np.log(alpha**2 + overlap) - np.log(x["n_gen"])
    return synthetic, np.where(alpha > 0, seeds, -np.inf), real


def _generator(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
    """The mixture law with the noise of a generator's seeds: docs/theory.md, (3.15) at β = 1."""
    return _joined(values, x["alpha"] ** 2, np.stack(_generator_shares(x)))


def _generator_columns(nonlinear: np.ndarray, x: Columns) -> np.ndarray:
    """Columns of E, R_s and A_r, given β and the logarithms of q_s and q_g, as in the mixture."""
    beta, log_s, log_g = nonlinear
    synthetic, seeds, real = _generator_shares(x)
    term = np.exp(beta * special.logsumexp([synthetic + log_s, seeds + log_g, real], axis=0))
    return np.stack([np.ones_like(term), x["alpha"] ** 2, term], axis=-1)


def _generator_values(linear: np.ndarray, nonlinear: np.ndarray) -> np.ndarray:
    """Parameters from linear and nonlinear coordinates: A_s = A_r q_s^β, A_g = A_r q_g^β."""
    floor, synthetic_floor, a_r = linear
    beta, *logs = nonlinear
    return np.array([floor, synthetic_floor, *(a_r * np.exp(beta * np.array(logs))), a_r, beta])


# Jain et al. 2024 (arXiv 2402.04376); the basis has q = (A_s/A_r)^(1/beta) in it.
MIXTURE = ScalingLaw(
    name="mixture",
    equation=(
        "E + alpha^2 R_s + [alpha^2 (A_s N^-beta)^(1/beta)"
        " + (1-alpha)^2 (A_r n^-beta)^(1/beta)]^beta"
    ),
    variables=("n", "N", "alpha"),
    params=("E", "R_s", "A_s", "A_r", "beta"),
    bounds={
        **dict.fromkeys(("E", "R_s", "A_s", "A_r"), POSITIVE),
        "beta": EXPONENT,
    },
    derivatives=_mixture,
    amplitudes=("A_s", "A_r"),
    sizes=("n", "N"),
    linear=("E", "R_s", "A_r"),
    nonlinear=("beta", "log_q"),
    columns=_mixture_columns,
    assemble=_mixture_values,
    grid={"beta": EXPONENT_STARTS, "log_q": (-6.0, -3.0, -1.0, 0.0, 1.0, 3.0, 6.0)},
    least_sizes=2,
)

# Section 3.5 of docs/theory.md, under the exponent of the mixture law.
GENERATOR = ScalingLaw(
    name="generator",
    equation=(
        "E + alpha^2 R_s + [alpha^2 (A_s N^-beta)^(1/beta) + (alpha^2 + 2 alpha (1-alpha)"
        " n_shared/n) (A_g n_gen^-beta)^(1/beta) + (1-alpha)^2 (A_r n^-beta)^(1/beta)]^beta"
    ),
    variables=("n", "N", "n_gen", "n_shared", "alpha"),
    params=("E", "R_s", "A_s", "A_g", "A_r", "beta"),
    bounds={
        **dict.fromkeys(("E", "R_s", "A_s", "A_g", "A_r"), POSITIVE),
        "beta": EXPONENT,
    },
    derivatives=_generator,
    amplitudes=("A_s", "A_g", "A_r"),
    sizes=("n", "N", "n_gen"),
    given=("n_shared",),
    linear=("E", "R_s", "A_r"),
    nonlinear=("beta", "log_q_s", "log_q_g"),
    columns=_generator_columns,
    assemble=_generator_values,
    grid={
        "beta": EXPONENT_STARTS,
        "log_q_s": (-3.0, -1.0, 0.0, 1.0, 3.0),
        "log_q_g": (-3.0, -1.0, 0.0, 1.0, 3.0),
    },
    least_sizes=2,
)
