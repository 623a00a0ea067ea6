"""Fit a law to a table: parameters, predictions, and intervals that hold what they say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from opal.columns import as_numbers
from opal.files import write_json
from opal.reading import read_text
from opal.scaling import diagnostics, intervals, laws, solver, table
from opal.scaling.covariance import SamplingCovariance
from opal.scaling.new_run import RunNoise, joined, run_noise
from opal.scaling.problem import LINKS, Settings, build_problem, on_link
from opal.scaling.scaling_law import Columns, ScalingLaw
from opal.scaling.table import Roles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA_VERSION = 1
_MANY_SEEDS = 20  # from here on a bootstrap over them is about as wide as it should be


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

    law: ScalingLaw
    params: Mapping[str, Estimate]
    frame: pd.DataFrame = field(repr=False)
    roles: Roles
    settings: Settings
    warnings: tuple[str, ...] = ()

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.frame)

    @property
    def n_seeds(self) -> int:
        """Number of seeds; 1 where rows have none."""
        return 1 if self.roles.seed is None else self.frame[self.roles.seed].nunique()

    @cached_property
    def covariance(self) -> SamplingCovariance:
        """The problem at its optimum, with its sampling covariance."""
        problem, kind, replicates = build_problem(self.law, self.frame, self.roles, self.settings)
        values = np.array([self.params[name].estimate for name in self.law.params])
        phi = np.clip(problem.coordinates(values), *problem.bounds)  # what vanished is told as 0
        return SamplingCovariance(problem, phi, kind, replicates)

    @cached_property
    def residuals(self) -> pd.DataFrame:
        """Each row with the columns of its variables, value, fitted value and what is left.

        ``std_error`` is the standard deviation of the row on the scale of the metric, as given or
        from the scatter of rows at one point; not a number where neither is there.
        """
        x = table.columns_of(self.frame, self.law, self.roles)
        value, fitted = self.frame[self.roles.y].to_numpy(float), self.predict(x)
        problem, error = self.covariance.problem, np.full(len(value), np.nan)
        if self.covariance.kind == "known" or np.ptp(problem.root_weights) > 0:
            error = 1 / problem.root_weights / LINKS[self.settings.link].slope(value)
        left = {"value": value, "fitted": fitted, "residual": value - fitted, "std_error": error}
        return pd.concat([self.frame[list(self.roles.x.values())], pd.DataFrame(left)], axis=1)

    @cached_property
    def draws(self) -> np.ndarray:
        """Bootstrap draws ``[n_bootstrap, p]`` of the parameters, in the order of the law."""
        return _draws(self.covariance, self.settings)

    def predict(self, x: Columns) -> np.ndarray:
        """Values of the metric at ``x``, ``[rows]``."""
        values = {name: estimate.estimate for name, estimate in self.params.items()}
        return LINKS[self.settings.link].inverse(self.law.predict(values, x))

    def predict_draws(self, x: Columns) -> np.ndarray:
        """Values of the metric at ``x`` for each bootstrap draw, ``[n_bootstrap, rows]``."""
        arrays = self.law.arrays(x)
        values = np.stack([self.law.derivatives(draw, arrays)[0] for draw in self.draws])
        return LINKS[self.settings.link].inverse(values)

    def run_noise(self, x: Columns) -> RunNoise:
        """How far one run at ``x`` scatters around the curve, and where that is known from."""
        return run_noise(self.covariance, self.law.arrays(x))

    def predict_interval(
        self, x: Columns, *, new_run: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends of intervals at ``x``, ``[rows]`` each.

        Args:
            x: the law's variables.
            new_run: intervals for one new run, with a seed of its own, in place of those for the
                curve, which is the mean over seeds.

        Raises:
            ValueError: the table does not say how far one run scatters.
        """
        low, high = self._curve_interval(x)
        return self.run_interval(x, low, high) if new_run else (low, high)

    def run_interval(
        self, x: Columns, low: np.ndarray, high: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the intervals of one new run at ``x``, from those of the curve, ``[rows]`` each.

        Raises:
            ValueError: the table does not say how far one run scatters.
        """
        link, noise = LINKS[self.settings.link], self.run_noise(x).half_width(self.settings.level)
        best = link.forward(self.predict(x))
        low, high = joined(best, link.forward(low), link.forward(high), noise)
        return link.inverse(low), link.inverse(high)

    def _curve_interval(self, x: Columns) -> tuple[np.ndarray, np.ndarray]:
        arrays, level = self.law.arrays(x), self.settings.level
        n = len(next(iter(arrays.values())))
        if self.settings.intervals == "bootstrap":
            samples, best = self.predict_draws(x), self.predict(x)
            ends = [intervals.percentile_interval(best[i], samples[:, i], level) for i in range(n)]
        else:
            rows = [{name: column[i : i + 1] for name, column in arrays.items()} for i in range(n)]
            ends = [intervals.of_prediction(self.covariance, row, level) for row in rows]
            ends = [tuple(LINKS[self.settings.link].inverse(np.array(end))) for end in ends]
        low, high = np.array(ends, float).reshape(n, 2).T
        return low, high

    def predictions(self, x: Columns) -> list[dict[str, Any]]:
        """Each point of ``x`` with its ``estimate``, ``ci`` and ``new_run``, for JSON."""
        arrays = self.law.arrays(x)
        self.law.check_x(arrays)
        best, (low, high) = self.predict(arrays), self.predict_interval(arrays)
        known = self.run_noise(arrays).errors is not None
        runs = np.transpose(self.run_interval(arrays, low, high)) if known else None
        return [
            {
                "x": {name: float(column[i]) for name, column in arrays.items()},
                **Estimate(float(best[i]), float(low[i]), float(high[i])).to_dict(),
                "new_run": None if runs is None else runs[i].tolist(),
            }
            for i in range(len(best))
        ]

    def beyond(self) -> dict[str, np.ndarray]:
        """Points whose sizes are 10 times the largest, for each weight in the table.

        What is given, as rows that a generator shares or tokens that differ, keeps the least value
        of the table.
        """
        x, law = table.columns_of(self.frame, self.law, self.roles), self.law
        others = [name for name in law.variables if name not in {*law.sizes, *law.given}]
        weights = np.unique(x[others[0]]) if others else np.zeros(1)
        sizes = {name: np.full(len(weights), diagnostics.FAR * x[name].max()) for name in law.sizes}
        given = {name: np.full(len(weights), x[name].min()) for name in law.given}
        return {**sizes, **given, **dict.fromkeys(others, weights)}

    def to_dict(self, at: Columns | None = None) -> dict[str, Any]:
        """The fit as JSON-able fields, with predictions at ``at`` (:meth:`beyond` if None)."""
        points = self.beyond() if at is None else self.law.arrays(at)
        seen = table.columns_of(self.frame, self.law, self.roles)
        far = diagnostics.of_extrapolation(self.law, seen, points, self.roles.x)
        return {
            "law": self.law.name,
            "equation": self.law.equation,
            "columns": {"x": dict(self.roles.x), "y": self.roles.y},
            "loss": self.settings.loss,
            "link": self.settings.link,
            "level": self.settings.level,
            "intervals": self.settings.intervals,
            "params": {name: estimate.to_dict() for name, estimate in self.params.items()},
            "predictions": self.predictions(points),
            "residuals": self._residual_records(),
            "run_noise": self.run_noise(points).source,
            "warnings": [*self.warnings, *far],
            "n_rows": self.n_rows,
        }

    def _residual_records(self) -> list[dict[str, Any]]:
        """:attr:`residuals` as JSON-able fields; an unknown ``std_error`` is None."""
        x = table.columns_of(self.frame, self.law, self.roles)
        names = ["value", "fitted", "residual", "std_error"]
        known = self.residuals[names].astype(object)
        left = known.where(known.notna(), None).to_dict("records")
        return [
            {"x": {name: float(column[i]) for name, column in x.items()}, **row}
            for i, row in enumerate(left)
        ]

    def summary(self) -> str:
        """The law and its estimates in one line."""
        found = ", ".join(f"{name} {each.estimate:.3g}" for name, each in self.params.items())
        return f"{self.law.name}: {self.law.equation} with {found}"

    def plot(self, *, held_out: pd.DataFrame | None = None, at: Columns | None = None) -> Figure:
        """Points, curve, intervals and residuals as a figure: :func:`opal.scaling.picture.draw`.

        Args:
            held_out: rows that the fit has not seen, with the columns of the table; drawn open.
            at: points to which the curve is drawn; 10 times the largest size if None.
        """
        from opal.scaling.picture import draw

        return draw(self, held_out=held_out, at=at)

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
    def load(cls, path: Path | str, *, law: ScalingLaw | None = None) -> Fit:
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


def fit(
    law: ScalingLaw | str,
    frame: pd.DataFrame,
    *,
    x: Mapping[str, str],
    y: str,
    std_error: str | None = None,
    seed: str | None = None,
    loss: str = "least-squares",
    link: str = "identity",
    level: float = 0.95,
    intervals: str = "profile",
    n_bootstrap: int = 200,
    key: int = 0,
) -> Fit:
    """Fit ``law`` to the rows of ``frame``.

    Args:
        law: a law or the name of one.
        frame: one row for each measurement, or for each mean of several with its standard error.
        x: column of each variable of the law.
        y: column of the values.
        std_error: column of their standard errors; rows are weighted by them.
        seed: column that says which rows share a seed, and so noise.
        loss: ``"least-squares"``, or ``"huber-log"`` (Huber's loss on log residuals, summed).
        link: ``"identity"``, ``"log"`` or ``"logit"``: the scale of the metric that is fitted.
        level: confidence of the intervals.
        intervals: ``"profile"`` likelihood or ``"bootstrap"`` over seeds.
        n_bootstrap: number of bootstrap draws.
        key: seed of the bootstrap.

    Raises:
        ValueError: the table or a setting cannot be used; says the rule, the value, the remedy.
    """
    law = laws.get(law) if isinstance(law, str) else law
    settings = Settings(loss, link, level, intervals, n_bootstrap, key)
    settings.check()
    roles = Roles(dict(x), y, std_error, seed)
    frame = as_numbers(frame)
    table.check(frame, law, roles, link=link, loss=loss)
    said = [*diagnostics.of_copies(frame), *diagnostics.of_curves(frame, roles)]
    frame = frame[roles.columns].reset_index(drop=True)
    law = on_link(law, link)
    problem, kind, replicates = build_problem(law, frame, roles, settings)
    covariance = SamplingCovariance(problem, solver.minimise(problem), kind, replicates)
    draws = _draws(covariance, settings) if settings.intervals == "bootstrap" else None
    found = _estimates(covariance, settings, draws)
    said += _warnings(covariance, found, roles, settings)
    result = Fit(law, found, frame, roles, settings, tuple(said))
    vars(result)["covariance"] = covariance  # where the cached property would put it
    if draws is not None:
        vars(result)["draws"] = draws
    return result


def _draws(covariance: SamplingCovariance, settings: Settings) -> np.ndarray:
    """Bootstrap draws of the parameters ``[n_bootstrap, p]``."""
    found = intervals.bootstrap_draws(covariance, settings.n_bootstrap, seed=settings.key)
    return covariance.problem.values(found)


def _estimates(
    covariance: SamplingCovariance, settings: Settings, draws: np.ndarray | None
) -> dict[str, Estimate]:
    """Each parameter with its interval: by profile, or that of the draws if there are any."""
    problem, names = covariance.problem, covariance.problem.law.params
    gone = problem.gone(covariance.phi)
    values = np.where(gone & problem.is_amplitude, 0.0, problem.values(covariance.phi))

    def ends(index: int) -> tuple[float, float]:
        if gone[index]:
            return problem.law.bounds[names[index]]
        if draws is not None:
            return intervals.percentile_interval(values[index], draws[:, index], settings.level)
        return intervals.of_parameter(covariance, index, settings.level)

    return {
        name: Estimate(float(values[index]), *map(float, ends(index)))
        for index, name in enumerate(names)
    }


def _warnings(
    covariance: SamplingCovariance, found: Mapping[str, Estimate], roles: Roles, settings: Settings
) -> list[str]:
    problem = covariance.problem
    ends = {name: (estimate.low, estimate.high) for name, estimate in found.items()}
    said = [
        *diagnostics.of_sizes(problem.law, problem.x, roles.x),
        *diagnostics.of_direction(problem.law, problem.x, problem.y),
        *diagnostics.of_params(covariance, ends),
        *diagnostics.of_misfit(covariance, roles.x, LINKS[settings.link]),
        *diagnostics.of_tails(covariance, roles.x, settings.link),
    ]
    if settings.loss == "huber-log" and roles.std_error is not None:
        said.append("loss huber-log weighs all rows alike: the standard errors are not used.")
    seeds = len(np.unique(problem.clusters))
    if settings.intervals == "bootstrap" and roles.seed is not None and seeds < _MANY_SEEDS:
        said.append(
            f"few seeds for a bootstrap: {seeds} seeds, and with fewer than {_MANY_SEEDS} its "
            "intervals are too narrow. Use profile intervals."
        )
    if covariance.n_free < 1 and covariance.kind == "residual":
        said.append("as many parameters as rows: the fit is exact and says nothing of its error.")
    return said
