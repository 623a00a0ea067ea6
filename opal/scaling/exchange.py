r"""What synthetic samples are worth in real ones, read off a fitted mixture law.

With ``s = A_s N^{-β}`` and ``r = A_r n^{-β}``, the risk above the law's floor E is

.. math::
    f(n, N, α) = α^2 R_s + 2α(1−α) C + \big[α^2 s^{1/β} + (1−α)^2 r^{1/β}\big]^β

(docs/theory.md, section 12). C is the cross term of equation 4.2, which the law ``mixture`` leaves
out and :func:`opal.scaling.laws.cross.cross_law` fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from opal.scaling.fit import Fit
from opal.scaling.laws.cross import CrossLaw
from opal.scaling.pilot_fit import PilotFit

FitOrParams = Fit | Mapping[str, float]

_GRID = np.concatenate([[0.0], np.geomspace(1e-3, 0.1, 41), np.linspace(0.1, 1.0, 181)[1:]])


@dataclass(frozen=True)
class Mixture:
    """Parameters of the law: numbers, or arrays [B] of draws.

    Attributes:
        R_s: floor of training on synthetic samples alone.
        A_s: amplitude of the synthetic curve.
        A_r: amplitude of the real curve.
        beta: exponent of both.
        C: cross term; zero for a law without one.
        E: floor of training on real samples.
    """

    R_s: ArrayLike
    A_s: ArrayLike
    A_r: ArrayLike
    beta: ArrayLike = 1.0
    C: ArrayLike = 0.0
    E: ArrayLike = 0.0

    @classmethod
    def of(cls, params: Mapping[str, ArrayLike]) -> Mixture:
        """From parameters by name.

        Raises:
            ValueError: they are not those of a mixture law, or have impossible values.
        """
        missing = [name for name in ("R_s", "A_s", "A_r") if name not in params]
        if missing:
            raise ValueError(
                f"a plan needs a mixture law, with the parameters E, R_s, A_s, A_r; "
                f"got {list(params)}. Fit law 'mixture' to columns of n, N and alpha."
            )
        own = [field.name for field in fields(cls) if field.name in params]
        known = {name: np.asarray(params[name], float) for name in own}
        for name in ("R_s", "A_s", "A_r", "beta"):
            if np.any(~np.isfinite(known.get(name, 1.0)) | (known.get(name, 1.0) < 0)):
                raise ValueError(f"{name} must be finite and at least 0; got {params[name]!r}.")
        return cls(**known)

    def excess(self, n: ArrayLike, N: ArrayLike, alpha: ArrayLike) -> np.ndarray:
        """f(n, N, α); draws and designs broadcast."""
        alpha, N = np.asarray(alpha, float), np.asarray(N, float)
        beta = np.asarray(self.beta, float)
        with np.errstate(divide="ignore", invalid="ignore"):
            synthetic = np.where(alpha > 0, alpha**2 * np.power(self.A_s, 1 / beta) / N, 0.0)
        real = (1 - alpha) ** 2 * np.power(self.A_r, 1 / beta) / np.asarray(n, float)
        cross = 2 * alpha * (1 - alpha) * np.asarray(self.C)
        return np.asarray(alpha**2 * self.R_s + cross + (synthetic + real) ** beta)

    def best_alpha(self, n: float, N: float) -> float:
        """The weight in [0, 1] at which one set of parameters has the least risk."""
        if N <= 0:
            return 0.0
        if float(np.asarray(self.beta)) == 1.0:
            return self._quadratic_alpha(n, N)

        def value(alpha: ArrayLike) -> np.ndarray:
            return self.excess(n, N, alpha)

        at = int(np.argmin(value(_GRID)))
        ends = (_GRID[max(at - 1, 0)], _GRID[min(at + 1, len(_GRID) - 1)])
        found = minimize_scalar(value, bounds=ends, method="bounded", options={"xatol": 1e-9})
        return float(found.x if found.fun < value(_GRID[at]) else _GRID[at])

    def _quadratic_alpha(self, n: float, N: float) -> float:
        """``α* = (A_r/n − C)/(A_r/n + R_s + A_s/N − 2C)``, clipped (equation 12.2)."""
        real, cross = float(np.asarray(self.A_r) / n), float(np.asarray(self.C))
        synthetic = float(np.asarray(self.R_s) + np.asarray(self.A_s) / N)
        curvature = real + synthetic - 2 * cross
        if curvature <= 0:  # a line, or worse: an end is best
            return float(synthetic < real)
        return float(np.clip((real - cross) / curvature, 0.0, 1.0))

    def n_equivalent(self, excess: ArrayLike) -> np.ndarray:
        """Real samples per group with this risk above E; infinite where no number has it."""
        left = np.asarray(excess, float)
        with np.errstate(divide="ignore", invalid="ignore"):
            size = np.power(np.asarray(self.A_r) / left, 1 / np.asarray(self.beta))
        return np.where(left > 0, size, np.inf)

    def stop_size(self, price_real: float, price_synthetic: float) -> float:
        """N beyond which a real sample is the cheaper way to less risk (equation 12.5).

        Closed form for β = 1 without a cross term, which is left out; infinite where real samples
        cannot be bought or the generator has no bias.
        """
        a_r, a_s, floor = (float(np.asarray(v)) for v in (self.A_r, self.A_s, self.R_s))
        if not np.isfinite(price_real):
            return np.inf
        rise = np.sqrt(price_real / price_synthetic * a_r * a_s) - a_s
        if rise <= 0:
            return 0.0
        return float(rise / floor) if floor > 0 else np.inf


def laws_of(fitted: FitOrParams, subsample: float | None = None) -> tuple[Mixture, Mixture | None]:
    """The law at its estimate, and its bootstrap draws: over seeds, and validation rows if known.

    Raises:
        ValueError: the law is no mixture, or ``subsample`` is no share.
    """
    if subsample is not None and not 0 < subsample < 1:
        raise ValueError(
            f"subsample is the share of one pool that each seed draws, in (0, 1); got {subsample}. "
            "Leave it out if seeds have samples of their own."
        )
    if not isinstance(fitted, Fit):
        return Mixture.of(fitted), None
    if subsample is not None and fitted.roles.seed is None:
        raise ValueError(
            "subsample says what share of one pool each seed drew, so rows need a column of seeds; "
            f"got {subsample} and no column. Name it, or leave subsample out."
        )
    if fitted.settings.link != "identity":
        raise ValueError(
            f"a plan weighs risks and needs a fit without a link; got {fitted.settings.link!r}. "
            "Fit with link identity."
        )
    names = fitted.law.params
    exponent = {"beta": fitted.law.beta} if isinstance(fitted.law, CrossLaw) else {}
    estimate = {name: fitted.params[name].estimate for name in names}
    law = Mixture.of({**estimate, **exponent})
    centre = np.array([estimate[name] for name in names])
    low = np.array([fitted.law.bounds[name][0] for name in names])
    values = centre + np.sqrt(widening(fitted, subsample)) * (fitted.draws - centre)
    if isinstance(fitted, PilotFit) and fitted.on_parts is not None:
        own = [fitted.on_parts.params[name].estimate for name in names]
        values = values + fitted.on_parts.draws - np.array(own)  # independent errors
    values = np.maximum(values, low)
    columns = {name: values[:, index] for index, name in enumerate(names)}
    return law, Mixture.of({**columns, **exponent})


def widening(fitted: Fit, subsample: float | None) -> float:
    """Variance under fresh pools over that of a mean of seeds (docs/theory.md, section 12.3)."""
    if subsample is None:
        return 1.0
    return float(fitted.n_seeds * subsample / (1 - subsample))
