r"""Nonparametric rates: excess risk in the Gaussian sequence model, exact for any design.

Loss ``(y − f(x))²``; derivations in docs/theory.md, section 10. A smoother multiplies the weighted
mean of the observed coefficients by h_j at frequency j, with a bandwidth K in units of frequency:

- ``"ridge"``: ``h_j = 1/(1 + (j/K)^{2m})``, and ``1/(1 + λ)`` for the constant: ridge regression
  with the norm of the periodic Sobolev space of order m and ``λ = (2πK)^{−2m}``;
- ``"projection"``: ``h_j = 1`` for ``j ≤ K``, otherwise 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize_scalar
from scipy.special import beta

from opal.settings.sequence import frequencies, penalties

if TYPE_CHECKING:
    from opal.objective import Design
    from opal.settings.sequence import SobolevRegression

Kind = Literal["ridge", "projection"]
_GRID = 65


@dataclass(frozen=True)
class Smoother:
    """A way to smooth, up to its bandwidth.

    Attributes:
        kind: ``"ridge"`` or ``"projection"``.
        order: m of the Sobolev norm that ridge regression penalises; projections ignore it.

    Raises:
        ValueError: no such kind, or the order is not a whole number of at least 1.
    """

    kind: Kind = "ridge"
    order: int = 1

    def __post_init__(self) -> None:
        """Check both."""
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {get_args(Kind)}; got {self.kind!r}.")
        penalties(1, self.order)

    def ridge(self, bandwidth: float) -> float:
        """λ of ridge regression with this bandwidth K."""
        return float((2 * np.pi * bandwidth) ** (-2 * self.order))

    def factors(self, dim: int, bandwidth: float) -> Float[np.ndarray, " d"]:
        """Factors h [D] at bandwidth K."""
        if self.kind == "projection":
            return (frequencies(dim) <= bandwidth) * 1.0
        return 1 / (1 + self.ridge(bandwidth) * penalties(dim, self.order))

    def integrals(self, smoothness: float) -> tuple[float, float]:
        """``B = ∫ (1 − h)² u^{−2s−1} du`` and ``V = ∫ h² du`` over u = j/K > 0.

        Raises:
            ValueError: s is not positive, or ridge regression saturates (s ≥ 2m): its bias no
                longer follows the smoothness.
        """
        s, m = smoothness, self.order
        _require_positive(s)
        if self.kind == "projection":
            return 1 / (2 * s), 1.0
        if s >= 2 * m:
            raise ValueError(
                f"ridge regression with a norm of order {m} saturates at smoothness {2 * m}; got "
                f"{s}. Raise the order above {s / 2:g}."
            )
        return beta(2 - s / m, s / m) / (2 * m), beta(1 / (2 * m), 2 - 1 / (2 * m)) / (2 * m)


class Excess(NamedTuple):
    """Excess balanced risk by part: squared error of the mean, and variance."""

    bias: float
    variance: float

    @property
    def total(self) -> float:
        """Their sum."""
        return self.bias + self.variance


class Optimum(NamedTuple):
    """The best bandwidth K and the excess there."""

    bandwidth: float
    excess: float


def exponent(smoothness: float) -> float:
    """2s/(2s + 1), at which the excess falls with the effective size (section 10.2).

    Raises:
        ValueError: s is not positive.

    >>> exponent(1.0)
    0.6666666666666666
    """
    _require_positive(smoothness)
    return 2 * smoothness / (2 * smoothness + 1)


def effective_size(design: Design) -> float:
    """``n_eff = 1/Σ_i ω_i²`` over all rows of a design.

    With exact balance ``1/n_eff = (1 − α)²/(|G| n_max) + α²/(|G| N)``.
    """
    rows = zip(design.row_counts(), design.row_weights(), strict=True)
    return float(1 / sum(np.sum(count * weight**2) for count, weight in rows))


def pseudo_target(
    truth: SobolevRegression, synthetic: SobolevRegression, design: Design
) -> Float[np.ndarray, " d"]:
    """Weighted mean of the groups' real and synthetic functions: the target of ever more rows [D].

    Raises:
        ValueError: truth, synthetic law and design do not have the same groups and coefficients.
    """
    shapes = truth.coefficients.shape, synthetic.coefficients.shape
    if shapes[0] != shapes[1] or len(truth.coefficients) != design.n_groups:
        raise ValueError(
            "truth, synthetic law and design must have the same groups and frequencies; got "
            f"coefficients of shape {shapes[0]} and {shapes[1]} and {design.n_groups} counts."
        )
    n, m, N = (c * w for c, w in zip(design.row_counts(), design.row_weights(), strict=True))
    return np.asarray(n @ truth.coefficients + (m + N) @ synthetic.coefficients)


def noise_variance(truth: SobolevRegression, synthetic: SobolevRegression, design: Design) -> float:
    """Variance of each weighted mean coefficient; σ²/n_eff if both laws have noise σ."""
    real, *made = (
        float(np.sum(c * w**2))
        for c, w in zip(design.row_counts(), design.row_weights(), strict=True)
    )
    return truth.noise**2 * real + synthetic.noise**2 * sum(made)


def sequence_excess(
    truth: SobolevRegression,
    synthetic: SobolevRegression,
    design: Design,
    smoother: Smoother,
    bandwidth: float,
) -> Excess:
    """Exact excess ``‖h θ_α − θ*‖² + τ² Σ h²`` in the sequence model (equation 10.3).

    Raises:
        ValueError: see :func:`pseudo_target`; or the bandwidth is negative.
    """
    if not bandwidth >= 0:
        raise ValueError(f"bandwidth is a frequency of at least 0; got {bandwidth}.")
    target = pseudo_target(truth, synthetic, design)
    h = smoother.factors(len(target), bandwidth) if bandwidth else (frequencies(len(target)) == 0)
    variance = noise_variance(truth, synthetic, design) * float(np.sum(h * h))
    return Excess(float(np.sum((h * target - truth.optimum()) ** 2)), variance)


def best_bandwidth(
    truth: SobolevRegression, synthetic: SobolevRegression, design: Design, smoother: Smoother
) -> Optimum:
    """The bandwidth of least exact excess: all whole K for projections, a search otherwise.

    Raises:
        ValueError: see :func:`pseudo_target`.
    """
    target, optimum = pseudo_target(truth, synthetic, design), truth.optimum()
    noise = noise_variance(truth, synthetic, design)
    if smoother.kind == "projection":
        gain = (target - optimum) ** 2 + noise - optimum**2
        path = np.sum(optimum**2) + np.cumsum(gain)[::2]  # after the constant and each pair
        return Optimum(float(np.argmin(path)), float(np.min(path)))

    def excess(log_bandwidth: float) -> float:
        h = smoother.factors(len(target), np.exp(log_bandwidth))
        return float(np.sum((h * target - optimum) ** 2) + noise * np.sum(h * h))

    grid = np.linspace(np.log(0.02), np.log(len(target)), _GRID)
    lowest = int(np.argmin([excess(point) for point in grid]))
    span = grid[[max(lowest - 1, 0), min(lowest + 1, _GRID - 1)]]
    found = minimize_scalar(excess, bounds=span, method="bounded", options={"xatol": 1e-8})
    return Optimum(float(np.exp(found.x)), float(found.fun))


def rate(smoothness: float, noise: float, smoother: Smoother, *, radius: float = 1.0) -> Optimum:
    """Best bandwidth and excess for small noise, without bias (equations 10.5 and 10.6).

    Args:
        smoothness: s of coefficients ``± r j^{−(s+½)}``, two at each frequency.
        noise: τ² of each weighted mean coefficient, σ²/n_eff.
        smoother: the kind.
        radius: r.

    Raises:
        ValueError: see :meth:`Smoother.integrals`; or the noise is not positive.
    """
    if not noise > 0:
        raise ValueError(f"noise is a variance and must be positive; got {noise}.")
    tail, width = smoother.integrals(smoothness)
    bandwidth = (2 * smoothness * tail * radius**2 / (width * noise)) ** (1 / (2 * smoothness + 1))
    return Optimum(bandwidth, 2 * bandwidth * width * noise * (1 + 1 / (2 * smoothness)))


def _require_positive(smoothness: float) -> None:
    if not smoothness > 0:
        raise ValueError(f"smoothness must be positive; got {smoothness}.")
