"""From a table to numbers: the law on its link's scale, weights, clusters, kind of noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from opal.scaling import links, table
from opal.scaling.laws import Columns, Law
from opal.scaling.problem import LOSSES, Problem
from opal.scaling.table import Roles
from opal.scaling.weights import Replicates, points

METHODS = ("profile", "bootstrap")


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
            ("link", self.link, links.LINKS),
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
        if self.n_bootstrap < 20:
            raise ValueError(f"n_bootstrap must be at least 20; got {self.n_bootstrap}. Try 400.")


def pose(
    law: Law, frame: pd.DataFrame, roles: Roles, settings: Settings
) -> tuple[Problem, str, Replicates | None]:
    """The rows as numbers, what is known about their noise, and where weights come from."""
    x = table.columns_of(frame, law, roles)
    raw = frame[roles.y].to_numpy(float)
    y = links.forward(raw, settings.link)
    clusters = np.arange(len(y)) if roles.seed is None else pd.factorize(frame[roles.seed])[0]
    kind = "residual" if roles.seed is None else "clusters"
    errors, replicates = None, None
    if settings.loss == "huber-log":
        kind = "clusters"  # the variance of a bounded score is not that of the residuals
    elif roles.std_error is not None:
        errors = frame[roles.std_error].to_numpy(float) * links.slope(raw, settings.link)
        kind = "known" if roles.seed is None else "clusters"
    else:
        replicates = Replicates(y, points(matrix(law, x)), _features(law, x))
        errors = replicates.errors()
        replicates = None if errors is None else replicates
        kind = kind if errors is None else "clusters"
    weights = np.ones(len(y)) if errors is None else 1 / errors
    return Problem(law, x, y, weights, clusters, settings.loss), kind, replicates


def on_link(law: Law, link: str) -> Law:
    """The law as it is fitted: on a link's scale its linear parameters have no sign."""
    return law if link == "identity" else law.signed()


def matrix(law: Law, x: Columns) -> np.ndarray:
    """The variables side by side, ``[rows, n_variables]``."""
    return np.stack([x[name] for name in law.variables], axis=1)


def _features(law: Law, x: Columns) -> np.ndarray:
    """What the variance of a row may depend on: logarithms of sizes, and weights."""
    counts = [name in law.sizes and x[name].min() >= 0 for name in law.variables]
    columns = zip(law.variables, counts, strict=True)
    return np.stack([np.log1p(x[name]) if count else x[name] for name, count in columns], axis=1)
