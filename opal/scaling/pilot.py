"""Pilots: which points to run first, and which to run next.

docs/theory.md, sections 12.3 and 12.4.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from opal.scaling.exchange import laws_of, widening
from opal.scaling.fit import Fit
from opal.scaling.purchase import LEAST_WEIGHT, Option
from opal.scaling.table import columns_of

WEIGHTS = (LEAST_WEIGHT, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)
_REAL = (0.25, 0.5, 1.0)
_SYNTHETIC = (0.125, 0.25, 0.5)


class Point(NamedTuple):
    """A design point: real and synthetic samples per group, and the weight of the latter."""

    n: float
    N: float
    alpha: float


def first_points(n_real: float, n_pool: float) -> list[Point]:
    """A pilot to begin with, on ``n_real`` real samples and a pool of ``n_pool`` synthetic ones.

    Weights from 0.02 on, since a poor generator is of use at small weights only; halves and smaller
    parts of the pool, so that several seeds can draw them and the error of a pool can be told from
    its bias; halves and quarters of the real samples for the real curve.

    Raises:
        ValueError: fewer than 8 samples of either kind.
    """
    for name, size in (("n_real", n_real), ("the pool of synthetic samples", n_pool)):
        if not size >= 8:
            raise ValueError(
                f"a pilot trains on parts down to an eighth, so {name} must hold at least 8 "
                f"samples of each group; got {size:g}."
            )
    pool = [round(share * n_pool) for share in _SYNTHETIC]
    real = [round(share * n_real) for share in _REAL]
    return [
        *(Point(n, 0, 0.0) for n in real),
        *(Point(real[-1], N, 1.0) for N in pool),
        *(Point(n, N, a) for n in real[1:] for N in (pool[0], pool[-1]) for a in WEIGHTS),
    ]


@dataclass(frozen=True)
class Proposal:
    """Rows to add to a pilot.

    Attributes:
        points: designs, each to be run with as many seeds as the table has.
        std_error: of the predicted gain now.
        std_errors: of the predicted gain after each point, if its noise is like that of the rows
            in hand.
    """

    points: tuple[Point, ...]
    std_error: float
    std_errors: tuple[float, ...]


def propose(
    fitted: Fit,
    option: Option,
    *,
    n: float,
    largest_pool: float,
    subsample: float | None = None,
    n_points: int = 8,
    done: Collection[Point] = (),
) -> Proposal:
    """The points that most reduce the variance of the gain of ``option``, best first.

    Args:
        fitted: a fitted mixture law.
        option: the purchase in question.
        n: real samples per group.
        largest_pool: synthetic samples per group that a pilot can afford.
        subsample: as for :func:`opal.scaling.plan.plan`.
        n_points: how many points to propose at most.
        done: points that were run. With the seeds that they were run with they would come out the
            same, so they are not proposed again.

    Raises:
        ValueError: no points are asked for, the pool is empty, or all points within reach are done.
    """
    if n_points < 1:
        raise ValueError(f"n_points is how many points to propose, at least 1; got {n_points}.")
    if not largest_pool >= 1:
        raise ValueError(
            f"a pilot needs synthetic samples to train on; its pool holds {largest_pool:g} of each "
            "group. Raise the budget."
        )
    covariance = _covariance(fitted, subsample)
    gain = _gradient(fitted, option, n)
    points = _to_do(candidates(n, largest_pool), done)
    slopes, variance = _rows(fitted, points)
    variance = widening(fitted, subsample) * variance  # as that of the draws
    chosen: list[int] = []
    errors = [_error(gain, covariance)]
    for _ in range(min(n_points, len(points))):
        reach = slopes @ covariance
        worth = (reach @ gain) ** 2 / (variance + np.sum(reach * slopes, axis=1))
        worth[chosen] = -1.0
        best = int(np.argmax(worth))
        step = reach[best]
        covariance = covariance - np.outer(step, step) / (variance[best] + slopes[best] @ step)
        chosen.append(best)
        errors.append(_error(gain, covariance))
    return Proposal(tuple(points[i] for i in chosen), errors[0], tuple(errors[1:]))


def candidates(n: float, largest_pool: float) -> list[Point]:
    """Designs within reach: all real samples or half of them, all of the pool or parts of it.

    Training on all real samples alone is not among them: it is the same for every seed.
    """
    sizes = sorted({max(round(share * largest_pool), 1) for share in (0.25, 0.5, 1.0)})
    real = [round(share * n) for share in _REAL]
    mixed = [Point(m, N, alpha) for m in real[1:] for N in sizes for alpha in (*WEIGHTS, 1.0)]
    return [*(Point(m, 0, 0.0) for m in real[:2]), *mixed]


def _to_do(points: Sequence[Point], done: Collection[Point]) -> list[Point]:
    """The points that are not done, each training once."""
    known = {_training(point) for point in done}
    rest = {_training(p): p for p in reversed(points) if _training(p) not in known}
    if not rest:
        raise ValueError(
            f"all {len(points)} points within reach of the pool were run already. What is left is "
            "the error of the pool: raise the budget, and draw a larger pool anew."
        )
    return list(reversed(rest.values()))


def _training(point: Point) -> Point:
    """What a point trains on: no real samples at weight 1, no synthetic ones at 0."""
    n, N, alpha = (float(value) for value in point)
    return Point(n if alpha < 1 else 0.0, N if alpha > 0 else 0.0, alpha)


def _error(gain: np.ndarray, covariance: np.ndarray) -> float:
    return float(np.sqrt(max(gain @ covariance @ gain, 0.0)))


def _covariance(fitted: Fit, subsample: float | None) -> np.ndarray:
    """Σ [p, p] of the fit's draws."""
    draws = laws_of(fitted, subsample)[1]
    assert draws is not None
    values = [np.asarray(getattr(draws, name)) for name in fitted.law.params]
    return np.cov(values)


def _gradient(fitted: Fit, option: Option, n: float) -> np.ndarray:
    """Derivatives [p] of the predicted gain in the parameters."""
    own, bought = Point(n, 0, 0.0), Point(n, option.n_augmented, option.alpha)
    before, after = _law_at(fitted, [own, bought])[1]
    return np.asarray(before - after)


def _law_at(fitted: Fit, points: Sequence[Point]) -> tuple[np.ndarray, np.ndarray]:
    """Values [k] of the law at its estimate, and slopes [k, p] in the parameters."""
    values = np.array([fitted.params[name].estimate for name in fitted.law.params])
    at = {name: np.array([getattr(point, name) for point in points]) for name in Point._fields}
    at["N"] = np.maximum(at["N"], 1.0)
    return fitted.law.derivatives(values, fitted.law.arrays(at))


def _rows(fitted: Fit, points: Sequence[Point]) -> tuple[np.ndarray, np.ndarray]:
    """The law's Jacobian [k, p] at candidates, and the variance [k] of their means over seeds.

    The noise of a row is taken to be one share of its value above the best of the table, the share
    that residuals have.
    """
    f, slopes = _law_at(fitted, points)
    seen = fitted.predict(columns_of(fitted.frame, fitted.law, fitted.roles))
    residual = fitted.frame[fitted.roles.y].to_numpy(float) - seen
    floor = seen.min() - 0.2 * float(np.median(seen - seen.min()))
    share = float(np.sqrt(np.mean((residual / (seen - floor)) ** 2)))
    return slopes, (share * np.maximum(f - floor, 1e-12)) ** 2 / fitted.n_seeds
