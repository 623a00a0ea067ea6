"""Smooth contrasts of residuals along variables and pairs, and how large they are by chance.

docs/theory.md, section 11.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import optimize, special

from opal.scaling.scaling_law import Columns, ScalingLaw

_DEGREES = 11  # polynomials along one variable
_PAIR_DEGREES = 2  # of each variable in a product
_SMALL = 1e-6  # a direction this much shorter than it was lies in the span of others
_CUTOFF = 2 / 3  # of the directions: smoother ones count, rougher ones are noise
_ROOM = 1e-12


@dataclass(frozen=True)
class Shapes:
    """What a law may lack: functions of a variable, or products of functions of two.

    Attributes:
        along: the variables.
        columns: the functions, smooth ones first, ``[rows, k]``.
        main: functions of one variable that a product must not take the credit of, ``[rows, j]``.
    """

    along: tuple[str, ...]
    columns: np.ndarray
    main: np.ndarray


def shapes(law: ScalingLaw, x: Columns) -> Iterator[Shapes]:
    """Polynomials in the logarithm of each size, in each weight, and products for each pair."""
    powers = {name: _powers(law, x, name) for name in law.variables if name not in law.given}
    powers = {name: columns for name, columns in powers.items() if columns.shape[1]}
    for name, columns in powers.items():
        yield Shapes((name,), columns, columns[:, :0])
    for pair in combinations(powers, 2):
        first, second = (powers[name][:, :_PAIR_DEGREES] for name in pair)
        products = (first[:, :, None] * second[:, None, :]).reshape(len(first), -1)
        main = [powers[name][:, : 2 * _PAIR_DEGREES] for name in pair]
        yield Shapes(pair, products, np.concatenate(main, axis=1))


def _powers(law: ScalingLaw, x: Columns, name: str) -> np.ndarray:
    """Legendre polynomials of degree 1 and more; zero in rows that do not use the variable."""
    used = law.used(x).get(name, np.ones(len(x[name]), bool))
    values = x[name][used]
    z = np.log(values) if name in law.sizes and np.all(values > 0) else values
    degree = min(len(np.unique(z)) - 1, _DEGREES)
    columns = np.zeros((len(used), max(degree, 0)))
    if degree > 0:
        scaled = (2 * z - z.max() - z.min()) / np.ptp(z)
        columns[used] = np.polynomial.legendre.legvander(scaled, degree)[:, 1:]
    return columns


def orthonormal(columns: np.ndarray) -> np.ndarray:
    """A basis of the span of columns ``[rows, k]``."""
    norms = np.linalg.norm(columns, axis=0)
    kept = columns[:, norms > 0] / norms[norms > 0]
    if not kept.shape[1]:
        return kept
    left, values, _ = np.linalg.svd(kept, full_matrices=False)
    return left[:, values > _SMALL * values[0]]


def beyond(columns: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Directions that columns add to an orthonormal basis, orthonormal and in their order."""
    found = basis
    for column in columns.T:
        left = without(without(column, found), found)
        norm = float(np.linalg.norm(left))
        if norm > _SMALL * float(np.linalg.norm(column)):
            found = np.concatenate([found, left[:, None] / norm], axis=1)
    return found[:, basis.shape[1] :]


def without(values: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Values ``[rows]`` or ``[rows, k]`` less their projection on an orthonormal basis."""
    return values - basis @ (basis.T @ values)


def smoothness(n: int) -> np.ndarray:
    """Weight of each of n directions, from near one for the smoothest to near zero, ``[n]``."""
    return 1 / (1 + (np.arange(1, n + 1) / (_CUTOFF * n)) ** 4)


def upper_tail(weights: np.ndarray, df: np.ndarray, limit: float) -> float:
    """P(Σ weights χ²(df) > limit) for independent χ², by the saddlepoint of Kuonen (1999).

    Within about 10 % of itself, and rather too large.
    """
    unit = float(np.abs(weights).max())
    mu, limit = weights / unit, limit / unit
    if mu.max() <= 0 <= limit or mu.min() >= 0 >= limit:
        return float(mu.min() >= 0)

    def excess(s: float) -> float:
        return float(np.sum(df * mu / (1 - 2 * s * mu))) - limit

    low = 0.5 / mu.min() if mu.min() < 0 else -0.5 * float(df.sum()) / limit
    high = 0.5 / mu.max() if mu.max() > 0 else -0.5 * float(df.sum()) / limit
    low, high = low * (1 - _ROOM), high * (1 - _ROOM)
    if excess(low) > 0 or excess(high) < 0:
        return float(excess(low) > 0)
    s = optimize.brentq(excess, low, high, xtol=1e-14)
    cumulant = -0.5 * float(np.sum(df * np.log1p(-2 * s * mu)))
    root = np.sign(s) * np.sqrt(max(2 * (s * limit - cumulant), 0.0))
    if abs(root) < 1e-4:
        return 0.5
    curved = s * np.sqrt(2 * float(np.sum(df * (mu / (1 - 2 * s * mu)) ** 2)))
    return float(special.ndtr(-(root + np.log(curved / root) / root)))


def chance(total: float, weights: np.ndarray, n: float, df: float = np.inf) -> float:
    """P(Σ weights χ²(n) > total), in units of a variance with ``df`` degrees of freedom."""
    of_each = np.full(len(weights), float(n))
    if np.isinf(df):
        return upper_tail(weights, of_each, total)
    return upper_tail(np.append(weights, -total / df), np.append(of_each, df), 0.0)
