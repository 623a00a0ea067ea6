"""Fit a law to a table: parameters, predictions, and intervals that hold what they say."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from opal.scaling import bootstrap, diagnostics, laws, optimum, profile, refusals
from opal.scaling.fitted import Estimate, Fit
from opal.scaling.laws import Law
from opal.scaling.pose import Settings, on_link, pose
from opal.scaling.spread import Spread
from opal.scaling.table import Roles

__all__ = ["Estimate", "Fit", "fit"]

_MANY_SEEDS = 20  # from here on a bootstrap over them is about as wide as it should be


def fit(
    law: Law | str,
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
    refusals.check(frame, law, roles, link=link, loss=loss)
    said = [*diagnostics.of_copies(frame), *diagnostics.of_curves(frame, roles)]
    frame = frame[roles.columns].reset_index(drop=True)
    law = on_link(law, link)
    problem, kind, replicates = pose(law, frame, roles, settings)
    spread = Spread(problem, optimum.minimise(problem), kind, replicates)
    found = _estimates(spread, settings)
    said += _warnings(spread, found, roles, settings)
    result = Fit(law, found, frame, roles, settings, tuple(said))
    vars(result)["spread"] = spread  # where the cached property would put it
    return result


def _estimates(spread: Spread, settings: Settings) -> dict[str, Estimate]:
    """Each parameter with its interval."""
    problem = spread.problem
    gone = problem.gone(spread.phi)
    values = np.where(gone & problem.is_log, 0.0, problem.values(spread.phi))
    if settings.intervals == "bootstrap":
        draws = problem.values(bootstrap.draws(spread, settings.n_bootstrap, seed=settings.key))
        ends = [
            bootstrap.percentile_interval(values[i], draws[:, i], settings.level)
            for i in range(len(values))
        ]
    else:
        ends = [profile.of_parameter(spread, index, settings.level) for index in range(len(values))]
    for index in np.flatnonzero(gone):
        ends[index] = problem.law.bounds[problem.law.params[index]]
    return {
        name: Estimate(float(value), *map(float, end))
        for name, value, end in zip(problem.law.params, values, ends, strict=True)
    }


def _warnings(
    spread: Spread, found: Mapping[str, Estimate], roles: Roles, settings: Settings
) -> list[str]:
    problem = spread.problem
    ends = {name: (estimate.low, estimate.high) for name, estimate in found.items()}
    said = [
        *diagnostics.of_sizes(problem.law, problem.x, roles.x),
        *diagnostics.of_direction(problem.law, problem.x, problem.y),
        *diagnostics.of_params(spread, ends),
        *diagnostics.of_noise(spread),
    ]
    if settings.loss == "huber-log" and roles.std_error is not None:
        said.append("loss huber-log weighs all rows alike: the standard errors are not used.")
    seeds = len(np.unique(problem.clusters))
    if settings.intervals == "bootstrap" and roles.seed is not None and seeds < _MANY_SEEDS:
        said.append(
            f"few seeds for a bootstrap: {seeds} seeds, and with fewer than {_MANY_SEEDS} its "
            "intervals are too narrow. Use profile intervals."
        )
    if spread.n_free < 1 and spread.kind == "residual":
        said.append("as many parameters as rows: the fit is exact and says nothing of its error.")
    return said
