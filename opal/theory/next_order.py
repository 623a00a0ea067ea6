r"""The order 1/n² of the excess, by averages over directions of the rows' noise.

With independent rows of weights ω the excess is, after the order 1/n of
:mod:`opal.theory.asymptotics`,

.. math::
    \tfrac18 Σ_{kl} n_k ω_k^2 n_l ω_l^2\, E\,φ_4(x_k, x_k, y_l, y_l)
    + \tfrac16 Σ_k n_k ω_k^3\, E\,φ_3(x_k, x_k, x_k)

with φ the derivatives of the risk in the law of the rows (docs/theory.md, section 8). The first sum
is the mean coefficient of ε⁴ along Gaussian directions, the second that of ε³ along single rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from opal.theory.ray import PointRule

_DIRECTIONS = 256  # of either kind, about, over all sets of points


class NextOrder(NamedTuple):
    """The order 1/n² of the excess in parts; those of several sets of points are averaged.

    Attributes:
        gaussian: from the covariance of the noise, twice.
        skewness: from its third cumulants.
    """

    gaussian: float
    skewness: float

    @property
    def total(self) -> float:
        """The order 1/n²."""
        return self.gaussian + self.skewness


def next_order(
    rule: PointRule,
    covariance: Float[np.ndarray, "p p"] | None,
    n_sets: int,
    rng: np.random.Generator,
) -> NextOrder:
    """The order 1/n² on one of ``n_sets`` sets of points.

    Args:
        rule: the rule and its points.
        covariance: of θ̂ to order 1/n, where not all of its noise comes from rows.
        n_sets: among which the directions are shared.
        rng: of the directions.
    """
    p = len(rule.inverse)
    extra = None
    if covariance is not None:
        hessian = np.linalg.inv(rule.inverse)
        extra = hessian @ covariance @ hessian - _with_gradient(rule).T @ rule.scores
    frames = max(1, _DIRECTIONS // (n_sets * (p + 1)))
    of_frames = [_of_frame(rule, extra, rng) for _ in range(frames)]
    return NextOrder(float(np.mean(of_frames)), _of_rows(rule, _DIRECTIONS // n_sets, rng))


def _of_frame(rule: PointRule, extra: np.ndarray | None, rng: np.random.Generator) -> float:
    """Mean coefficient of ε⁴ over directions whose first-order change of θ fills a frame.

    The change is zero, or √(p+2) standard deviations along one axis of a random frame. With their
    probabilities these are exact for polynomials of degree three in it, on average of degree five.
    """
    p = len(rule.inverse)
    axes = np.sqrt(p + 2) * np.linalg.qr(rng.standard_normal((p, p)))[0]
    wanted = np.concatenate([np.zeros((1, p)), axes])
    shares = np.full(p + 1, 1 / (p + 2))
    shares[0] = 2 / (p + 2)
    direction, more = _noise(rule, extra, wanted, rng)
    return float(shares @ rule.excess(direction, 4, more)[:, 3])


def _noise(
    rule: PointRule,
    extra: np.ndarray | None,
    wanted: Float[np.ndarray, "n p"],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Gaussian noise of the points [N, Z] and more of the gradient [N, p], given the gradient's.

    ``wanted`` is the gradient's noise in units of its standard deviations.
    """
    points, each = rule.points, rule.points.powers[rule.points.source, 1]
    free = np.sqrt(points.mass) * rng.standard_normal((len(wanted), len(points.mass)))
    direction = np.sqrt(each) * _centred(free, points.mass, points.source)
    with_gradient = _with_gradient(rule)
    covariance = with_gradient.T @ rule.scores
    more = None
    if extra is not None:
        covariance = covariance + extra
        more = rng.standard_normal(wanted.shape) @ _root(extra).T
    drawn = direction @ rule.scores + (0.0 if more is None else more)
    change = (wanted @ _root(covariance).T - drawn) @ np.linalg.pinv(covariance)
    if more is not None and extra is not None:
        more = more + change @ extra
    return direction + change @ with_gradient.T, more


def _with_gradient(rule: PointRule) -> Float[np.ndarray, "z p"]:
    """Covariance of the points' noise with that of the gradient."""
    points, each = rule.points, rule.points.powers[rule.points.source, 1]
    weighted = (points.mass[:, None] * rule.scores).T
    return np.asarray((each * _centred(weighted, points.mass, points.source)).T)


def _centred(values: np.ndarray, mass: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Values [N, Z] less their total over each source, which is shared by mass."""
    totals = np.stack([values[:, source == s].sum(axis=1) for s in np.unique(source)], axis=1)
    return np.asarray(values - mass * totals[:, source])


def _root(covariance: Float[np.ndarray, "p p"]) -> Float[np.ndarray, "p p"]:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.clip(values, 0.0, None)))


def _of_rows(rule: PointRule, n: int, rng: np.random.Generator) -> float:
    """``Σ n ω³ E φ₃/6``: mean coefficient of ε³ of rows that are drawn by what they may change."""
    points = rule.points
    third = points.powers[points.source, 2] * points.mass
    reach = np.einsum("zp,pq,zq->z", rule.scores, rule.inverse, rule.scores, optimize=True)
    chance = third * np.clip(reach, 1e-300, None)
    chance = chance / chance.sum()
    steps = (np.arange(n) + rng.random()) / n
    drawn = np.minimum(np.searchsorted(np.cumsum(chance), steps), len(chance) - 1)
    direction = -np.where(points.source == points.source[drawn, None], points.mass, 0.0)
    direction[np.arange(n), drawn] += 1
    return float(np.mean(rule.excess(direction, 3)[:, 2] * third[drawn] / chance[drawn]))
