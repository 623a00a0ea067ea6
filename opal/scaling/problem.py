"""One fit as numbers: rows, weights, and the coordinates in which residuals are nearly linear."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from opal.scaling.laws import Columns, Law

HUBER_DELTA = 1e-3  # on log residuals: Hoffmann et al. 2022, appendix D.3
_LARGEST = 300.0  # of a logarithm: its exponential and the square of that are finite
_ROUNDING = 1e-13  # of the values
LOSSES = ("least-squares", "huber-log")


@dataclass(frozen=True)
class Problem:
    """Residuals of a law over rows, as a function of coordinates φ [p].

    A coordinate is a parameter, or its logarithm if the law calls it an amplitude: ``A`` and ``a``
    of a power are related by a curve, ``log A`` and ``a`` nearly by a line.

    Attributes:
        law: the functional form.
        x: its variables, ``[rows]`` each.
        y: what it is fitted to, on the link's scale, ``[rows]``.
        root_weights: what residuals are multiplied by, ``[rows]``.
        clusters: rows of one number are not independent of each other (a seed), ``[rows]``.
        loss: one of :data:`LOSSES`.
    """

    law: Law
    x: Columns
    y: np.ndarray
    root_weights: np.ndarray
    clusters: np.ndarray
    loss: str = "least-squares"

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def robust(self) -> bool:
        """Whether the loss is Huber's on logarithms."""
        return self.loss == "huber-log"

    @cached_property
    def is_log(self) -> np.ndarray:
        """Which coordinates are logarithms ``[p]``."""
        return np.array([name in self.law.amplitudes for name in self.law.params])

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of the coordinates, ``[p]`` each."""
        natural = np.array([self.law.bounds[name] for name in self.law.params], float)
        with np.errstate(divide="ignore"):
            logs = np.log(np.maximum(natural, 0.0))
        low, high = np.where(self.is_log[:, None], logs, natural).T
        return low, high

    def values(self, phi: np.ndarray) -> np.ndarray:
        """Parameters at coordinates ``[..., p]``."""
        exponentials = np.exp(np.where(self.is_log, np.clip(phi, -_LARGEST, _LARGEST), 0.0))
        return np.where(self.is_log, exponentials, phi)

    def coordinates(self, values: np.ndarray) -> np.ndarray:
        """Coordinates of parameters ``[..., p]``; an amplitude of zero becomes a tiny one."""
        tiny = np.finfo(float).tiny
        logs = np.log(np.where(self.is_log, np.maximum(values, tiny), 1.0))
        return np.where(self.is_log, logs, values)

    def model(self, phi: np.ndarray, x: Columns | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The law and its slopes in the coordinates, ``[rows]`` and ``[rows, p]``."""
        values = self.values(phi)
        f, slopes = self.law.derivatives(values, self.x if x is None else x)
        return f, slopes * np.where(self.is_log, values, 1.0)

    def residuals(self, phi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weighted residuals r ``[rows]`` and X = −∂r/∂φ ``[rows, p]``."""
        f, slopes = self.model(phi)
        if self.robust:
            f = np.maximum(f, 1e-150)
            f, slopes = np.log(f), slopes / f[:, None]
            return self.root_weights * (np.log(self.y) - f), self.root_weights[:, None] * slopes
        return self.root_weights * (self.y - f), self.root_weights[:, None] * slopes

    def deviance(self, phi: np.ndarray) -> tuple[float, np.ndarray]:
        """S = Σ r², or twice the sum of Huber's losses, and its gradient ``[p]``."""
        r, slopes = self.residuals(phi)
        if not self.robust:
            return float(r @ r), -2 * slopes.T @ r
        score = np.clip(r, -HUBER_DELTA, HUBER_DELTA)
        return float(np.sum(score * (2 * r - score))), -2 * slopes.T @ score

    def gone(self, phi: np.ndarray) -> np.ndarray:
        """Amplitudes that are zero to rounding, and exponents that nothing depends on then ``[p]``.

        Any value of such an exponent fits as well, and with a steep one any amplitude: their
        intervals are all that the law allows.
        """
        f, slopes = self.model(phi)
        unseen = np.max(np.abs(slopes), axis=0) <= _ROUNDING * np.max(np.abs(f))
        absent = unseen & self.is_log
        linear = np.array([name in self.law.linear for name in self.law.params])
        return absent | (unseen & ~self.is_log & ~linear & bool(absent.any()))

    def reweighted(self, factors: np.ndarray) -> Problem:
        """The problem with residuals multiplied by further factors ``[rows]``."""
        return replace(self, root_weights=self.root_weights * factors)
