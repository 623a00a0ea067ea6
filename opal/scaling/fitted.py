"""A fitted law: parameters, predictions, intervals, and a file that keeps all of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from opal.files import write_json
from opal.reading import read_text
from opal.scaling import bootstrap, diagnostics, laws, links, profile, table
from opal.scaling.laws import Columns, Law
from opal.scaling.pose import Settings, on_link, pose
from opal.scaling.spread import Spread
from opal.scaling.table import Roles

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Estimate:
    """A number and its interval."""

    estimate: float
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        """``estimate`` and ``ci``."""
        return {"estimate": self.estimate, "ci": [self.low, self.high]}


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted law.

    Attributes:
        law: the functional form; on a link's scale if there is one.
        params: estimate and interval of each parameter.
        frame: the rows it was fitted to, with the columns of ``roles``.
        roles: which column is what.
        settings: how it was fitted.
        warnings: what a reader must know.
    """

    law: Law
    params: Mapping[str, Estimate]
    frame: pd.DataFrame = field(repr=False)
    roles: Roles
    settings: Settings
    warnings: tuple[str, ...] = ()

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.frame)

    @cached_property
    def spread(self) -> Spread:
        """The problem at its optimum, with its sampling spread."""
        problem, kind, replicates = pose(self.law, self.frame, self.roles, self.settings)
        values = np.array([self.params[name].estimate for name in self.law.params])
        return Spread(problem, problem.coordinates(values), kind, replicates)

    @cached_property
    def draws(self) -> np.ndarray:
        """Bootstrap draws ``[n_bootstrap, p]`` of the parameters, in the order of the law."""
        spread, settings = self.spread, self.settings
        found = bootstrap.draws(spread, settings.n_bootstrap, seed=settings.key)
        return spread.problem.values(found)

    def predict(self, x: Columns) -> np.ndarray:
        """Values of the metric at ``x``, ``[rows]``."""
        values = {name: estimate.estimate for name, estimate in self.params.items()}
        return links.inverse(self.law.predict(values, x), self.settings.link)

    def predict_draws(self, x: Columns) -> np.ndarray:
        """Values of the metric at ``x`` for each bootstrap draw, ``[n_bootstrap, rows]``."""
        arrays = self.law.arrays(x)
        values = np.stack([self.law.derivatives(draw, arrays)[0] for draw in self.draws])
        return links.inverse(values, self.settings.link)

    def predict_interval(self, x: Columns) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends of the intervals of the curve at ``x``, ``[rows]`` each."""
        arrays, level = self.law.arrays(x), self.settings.level
        n = len(next(iter(arrays.values())))
        if self.settings.intervals == "bootstrap":
            samples, best = self.predict_draws(x), self.predict(x)
            ends = [bootstrap.percentile_interval(best[i], samples[:, i], level) for i in range(n)]
        else:
            rows = [{name: column[i : i + 1] for name, column in arrays.items()} for i in range(n)]
            ends = [profile.of_prediction(self.spread, row, level) for row in rows]
            ends = [tuple(links.inverse(np.array(end), self.settings.link)) for end in ends]
        low, high = np.array(ends, float).reshape(n, 2).T
        return low, high

    def predictions(self, x: Columns) -> list[dict[str, Any]]:
        """Each point of ``x`` with its ``estimate`` and ``ci``, for JSON."""
        arrays = self.law.arrays(x)
        self.law.check_x(arrays)
        best, (low, high) = self.predict(arrays), self.predict_interval(arrays)
        return [
            {
                "x": {name: float(column[i]) for name, column in arrays.items()},
                **Estimate(float(best[i]), float(low[i]), float(high[i])).to_dict(),
            }
            for i in range(len(best))
        ]

    def beyond(self, factor: float = 10.0) -> dict[str, np.ndarray]:
        """Points whose sizes are ``factor`` times the largest, for each weight in the table."""
        x = table.columns_of(self.frame, self.law, self.roles)
        others = [name for name in self.law.variables if name not in self.law.sizes]
        weights = np.unique(x[others[0]]) if others else np.zeros(1)
        sizes = {name: np.full(len(weights), factor * x[name].max()) for name in self.law.sizes}
        return {**sizes, **dict.fromkeys(others, weights)}

    def to_dict(self, at: Columns | None = None) -> dict[str, Any]:
        """The fit as JSON-able fields, with predictions at ``at`` (:meth:`beyond` if None)."""
        points = self.beyond() if at is None else self.law.arrays(at)
        seen = table.columns_of(self.frame, self.law, self.roles)
        far = diagnostics.of_extrapolation(self.law, seen, points)
        return {
            "law": self.law.name,
            "equation": self.law.equation,
            "loss": self.settings.loss,
            "link": self.settings.link,
            "level": self.settings.level,
            "intervals": self.settings.intervals,
            "params": {name: estimate.to_dict() for name, estimate in self.params.items()},
            "predictions": self.predictions(points),
            "warnings": [*self.warnings, *far],
            "n_rows": self.n_rows,
        }

    def save(self, path: Path | str) -> None:
        """Write the fit, its rows included, as JSON; numbers keep full precision."""
        stored = {
            "schema_version": SCHEMA_VERSION,
            "law": self.law.name,
            "params": {name: asdict(estimate) for name, estimate in self.params.items()},
            "rows": {name: self.frame[name].tolist() for name in self.roles.columns},
            "roles": {**asdict(self.roles), "x": dict(self.roles.x)},
            "settings": asdict(self.settings),
            "warnings": list(self.warnings),
        }
        write_json(Path(path), stored)

    @classmethod
    def load(cls, path: Path | str, *, law: Law | None = None) -> Fit:
        """Read a fit that :meth:`save` wrote.

        Args:
            path: the file.
            law: needed for a law of one's own, which a file cannot hold.

        Raises:
            ValueError: the file is of another schema version, or its law is unknown.
        """
        stored = json.loads(read_text(Path(path)))
        if stored.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(
                f"{path} has fit schema version {stored.get('schema_version')!r}, this opal reads "
                f"{SCHEMA_VERSION}. Fit again."
            )
        settings = Settings(**stored["settings"])
        roles = Roles(**stored["roles"])
        return cls(
            law=on_link(laws.get(stored["law"]) if law is None else law, settings.link),
            params={name: Estimate(**values) for name, values in stored["params"].items()},
            frame=pd.DataFrame(stored["rows"])[roles.columns],
            roles=roles,
            settings=settings,
            warnings=tuple(stored["warnings"]),
        )
