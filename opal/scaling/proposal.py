"""Which points of a pilot to run next, when its interval is too wide to decide.

Greedy c-optimal design for the predicted gain (docs/theory.md, section 12.4).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from opal.scaling.evidence import laws_of, widening
from opal.scaling.exchange import CrossLaw, Mixture
from opal.scaling.fit import Fit
from opal.scaling.pilot import WEIGHTS, Point
from opal.scaling.purchase import Option
from opal.scaling.table import columns_of


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
    fit: Fit,
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
        fit: a fitted mixture law.
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
    spread = _covariance(fit, subsample)
    gain = _gradient(fit, option, n)
    points = _to_do(candidates(n, largest_pool), done)
    slopes, variance = _rows(fit, points)
    variance = widening(fit, subsample) * variance  # as that of the draws
    chosen: list[int] = []
    errors = [_error(gain, spread)]
    for _ in range(min(n_points, len(points))):
        reach = slopes @ spread
        worth = (reach @ gain) ** 2 / (variance + np.sum(reach * slopes, axis=1))
        worth[chosen] = -1.0
        best = int(np.argmax(worth))
        step = reach[best]
        spread = spread - np.outer(step, step) / (variance[best] + slopes[best] @ step)
        chosen.append(best)
        errors.append(_error(gain, spread))
    return Proposal(tuple(points[i] for i in chosen), errors[0], tuple(errors[1:]))


def candidates(n: float, largest_pool: float) -> list[Point]:
    """Designs within reach: all real samples or half of them, all of the pool or parts of it.

    Training on all real samples alone is not among them: it is the same for every seed.
    """
    sizes = sorted({max(round(share * largest_pool), 1) for share in (0.25, 0.5, 1.0)})
    real = [round(share * n) for share in (0.25, 0.5, 1.0)]
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


def _error(gain: np.ndarray, spread: np.ndarray) -> float:
    return float(np.sqrt(max(gain @ spread @ gain, 0.0)))


def _covariance(fit: Fit, subsample: float | None) -> np.ndarray:
    """Σ [p, p] of the fit's draws."""
    draws = laws_of(fit, subsample)[1]
    assert draws is not None
    values = [np.asarray(getattr(draws, name)) for name in fit.law.params]
    return np.cov(np.stack(values), ddof=1)


def _gradient(fit: Fit, option: Option, n: float) -> np.ndarray:
    """Derivatives [p] of the predicted gain in the parameters, by central differences."""
    values = np.array([fit.params[name].estimate for name in fit.law.params])
    fixed = {"beta": fit.law.beta} if isinstance(fit.law, CrossLaw) else {}

    def gain(at: np.ndarray) -> float:
        law = Mixture(**dict(zip(fit.law.params, at, strict=True)), **fixed)
        after = law.excess(n, max(option.n_augmented, 1), option.alpha)
        return float(law.excess(n, 1, 0.0) - after)

    steps = np.diag(1e-5 * np.maximum(np.abs(values), 1e-6))
    slopes = [(gain(values + s) - gain(values - s)) / (2 * s.sum()) for s in steps]
    return np.array(slopes)


def _rows(fit: Fit, points: Sequence[Point]) -> tuple[np.ndarray, np.ndarray]:
    """The law's Jacobian [k, p] at candidates, and the variance [k] of their means over seeds.

    The noise of a row is taken to be one share of its value above the best of the table, the share
    that residuals have.
    """
    values = np.array([fit.params[name].estimate for name in fit.law.params])
    at = {name: np.array([getattr(point, name) for point in points]) for name in Point._fields}
    at["N"] = np.maximum(at["N"], 1.0)
    f, slopes = fit.law.derivatives(values, fit.law.arrays(at))
    seen = fit.law.derivatives(values, columns_of(fit.frame, fit.law, fit.roles))[0]
    residual = fit.frame[fit.roles.y].to_numpy(float) - seen
    floor = seen.min() - 0.2 * float(np.median(seen - seen.min()))
    share = float(np.sqrt(np.mean((residual / (seen - floor)) ** 2)))
    n_seeds = fit.frame[fit.roles.seed].nunique() if fit.roles.seed else 1
    return slopes, (share * np.maximum(f - floor, 1e-12)) ** 2 / n_seeds
