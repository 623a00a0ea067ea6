"""One fit as numbers: rows, weights, and the coordinates in which residuals are nearly linear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from opal.scaling import table
from opal.scaling.scaling_law import Columns, ScalingLaw
from opal.scaling.table import Roles
from opal.scaling.weights import Replicates, points

HUBER_DELTA = 1e-3  # on log residuals: Hoffmann et al. 2022, appendix D.3
_LARGEST = 300.0  # of a logarithm: its exponential and the square of that are finite
_MOST_DRAWS = 1_000_000
_ROUNDING = 1e-13  # of the values
LOSSES = ("least-squares", "huber-log")
METHODS = ("profile", "bootstrap")


class Link(NamedTuple):
    """The scale of a bounded metric on which a law is fitted.

    Attributes:
        forward: values of the metric → values on the link's scale.
        inverse: the way back.
        slope: derivative of ``forward``: turns a standard error into one on the link's scale.
    """

    forward: Callable[[np.ndarray], np.ndarray]
    inverse: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]


LINKS: Mapping[str, Link] = {
    "identity": Link(np.asarray, np.asarray, np.ones_like),
    "log": Link(np.log, np.exp, lambda y: 1 / y),
    "logit": Link(special.logit, special.expit, lambda y: 1 / (y * (1 - y))),
}


@dataclass(frozen=True)
class Settings:
    """How a table is fitted; see :func:`opal.scaling.fit.fit`."""

    loss: str = "least-squares"
    link: str = "identity"
    level: float = 0.95
    intervals: str = "profile"
    n_bootstrap: int = 200
    key: int = 0

    def check(self) -> None:
        """Check that the settings exist and agree.

        Raises:
            ValueError: one does not; says what there is.
        """
        known = (
            ("loss", self.loss, LOSSES),
            ("link", self.link, tuple(LINKS)),
            ("intervals", self.intervals, METHODS),
        )
        for name, value, choices in known:
            if value not in choices:
                raise ValueError(f"{name} must be one of {choices}; got {value!r}.")
        if self.loss == "huber-log" and self.link != "identity":
            raise ValueError(
                f"loss huber-log takes logarithms itself; got link {self.link!r}. "
                "Use link identity, or loss least-squares."
            )
        if not 0 < self.level < 1:
            raise ValueError(f"level must lie between 0 and 1; got {self.level:g}. Try 0.95.")
        if not 20 <= self.n_bootstrap <= _MOST_DRAWS:
            raise ValueError(
                f"n_bootstrap must be at least 20 and at most {_MOST_DRAWS:,}; got "
                f"{self.n_bootstrap}. Try 400."
            )


@dataclass(frozen=True)
class Problem:
    """Residuals of a law over rows, as a function of coordinates φ [p].

    A coordinate is a parameter, or its logarithm if the law calls it an amplitude or a scale: ``A``
    and ``a`` of a power are related by a curve, ``log A`` and ``a`` nearly by a line.

    Attributes:
        law: the functional form.
        x: its variables, ``[rows]`` each.
        y: what it is fitted to, on the link's scale, ``[rows]``.
        root_weights: what residuals are multiplied by, ``[rows]``.
        clusters: numbers from 0, ``[rows]``; rows of one number (a seed) are not independent.
        loss: one of :data:`LOSSES`.
    """

    law: ScalingLaw
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
        logs = {*self.law.amplitudes, *self.law.scales}
        return np.array([name in logs for name in self.law.params])

    @cached_property
    def is_amplitude(self) -> np.ndarray:
        """Which coordinates are amplitudes ``[p]``: without one, a part of the law is absent."""
        return np.array([name in self.law.amplitudes for name in self.law.params])

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of the coordinates, ``[p]`` each."""
        limits = {**self.law.bounds, **self.law.box(self.x)}
        natural = np.array([limits[name] for name in self.law.params], float)
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
        """Amplitudes that are zero to rounding, scales that no row shows, their exponents ``[p]``.

        Any value of such an exponent or scale fits as well, and with a steep exponent any
        amplitude: their intervals are all that the law allows.
        """
        f, slopes = self.model(phi)
        unseen = np.max(np.abs(slopes), axis=0) <= _ROUNDING * np.max(np.abs(f))
        absent = unseen & self.is_log
        linear = np.array([name in self.law.linear for name in self.law.params])
        return absent | (unseen & ~self.is_log & ~linear & bool(absent.any()))


def build_problem(
    law: ScalingLaw, frame: pd.DataFrame, roles: Roles, settings: Settings
) -> tuple[Problem, str, Replicates | None]:
    """The rows as numbers, what is known about their noise, and where weights come from."""
    x = table.columns_of(frame, law, roles)
    raw = frame[roles.y].to_numpy(float)
    link = LINKS[settings.link]
    y = link.forward(raw)
    clusters = np.arange(len(y)) if roles.seed is None else pd.factorize(frame[roles.seed])[0]
    kind = "residual" if roles.seed is None else "clusters"
    errors, replicates = None, None
    if settings.loss == "huber-log":
        kind = "clusters"  # the variance of a bounded score is not that of the residuals
    elif roles.std_error is not None:
        errors = frame[roles.std_error].to_numpy(float) * link.slope(raw)
        kind = "known" if roles.seed is None else "clusters"
    else:
        replicates = Replicates(
            y, points([x[name] for name in law.variables]), row_features(law, x)
        )
        errors = replicates.errors()
        replicates = None if errors is None else replicates
        kind = kind if errors is None else "clusters"
    weights = np.ones(len(y)) if errors is None else 1 / errors
    return Problem(law, x, y, weights, clusters, settings.loss), kind, replicates


def on_link(law: ScalingLaw, link: str) -> ScalingLaw:
    """The law as it is fitted: on a link's scale its linear parameters have no sign."""
    return law if link == "identity" else law.signed()


def row_features(law: ScalingLaw, x: Columns) -> np.ndarray:
    """What the variance of a row may depend on: logarithms of sizes, and weights."""
    counts = [name in law.sizes and x[name].min() >= 0 for name in law.variables]
    columns = zip(law.variables, counts, strict=True)
    return np.stack([np.log1p(x[name]) if count else x[name] for name, count in columns], axis=1)
