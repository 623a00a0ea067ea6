"""Which law predicts larger sizes best: each is fitted without the largest, and then asked.

docs/theory.md, section 11.7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from opal.columns import as_numbers
from opal.scaling import laws, table
from opal.scaling.fit import fit
from opal.scaling.problem import LINKS
from opal.scaling.scaling_law import ScalingLaw
from opal.scaling.table import Roles


@dataclass(frozen=True)
class Forecast:
    """What a law, fitted to the smaller sizes, says of the rows that were held out.

    Attributes:
        residuals: value less forecast ``[rows]``, on the link's scale; in standard errors where
            the table has them.
        errors: standard errors of the forecast ``[rows]``, in the same unit.
        row: what a reader is told.
    """

    residuals: np.ndarray
    errors: np.ndarray
    row: Mapping[str, object]


def compare_laws(
    candidates: Sequence[ScalingLaw | str],
    frame: pd.DataFrame,
    *,
    x: Mapping[str, str] | Mapping[str, Mapping[str, str]],
    y: str,
    by: str,
    n_held_out: int = 2,
    **settings: Any,
) -> pd.DataFrame:
    """Fit each law to the smaller sizes and compare what it says of the largest ones.

    Args:
        candidates: laws or names of laws.
        frame: the table.
        x: column of each variable; or, by name of the law, such a mapping for each.
        y: column of the values.
        by: column of the size that is held out.
        n_held_out: how many of its largest values are held out.
        settings: passed on to :func:`opal.scaling.fit.fit`.

    Returns:
        One row for each law, best first: ``law``, ``n_params``, ``error`` (root mean square of
        the held-out residuals on the link's scale, in standard errors where the table has them),
        ``relative_error`` (median), ``within`` (share of held-out means inside the interval
        of the curve, which leaves out their own noise), ``gap`` (mean square less that of the
        best), ``gap_noise`` (by how much it may differ from zero by chance: see :func:`verdict`),
        ``tied`` (``gap`` is not larger), ``warnings`` and ``reason`` (why a law could not be
        fitted; such laws come last).

    Raises:
        ValueError: too few sizes would be left to fit, or no law can be fitted to them.
    """
    frame = as_numbers(frame)
    held = held_out(frame, by, n_held_out)
    found: list[Forecast] = []
    refused: dict[str, str] = {}
    for candidate in candidates:
        law = laws.get(candidate) if isinstance(candidate, str) else candidate
        roles = Roles(_columns(x, law), y, settings.get("std_error"), settings.get("seed"))
        try:
            found.append(_forecast(law, frame[~held], frame[held], roles, settings))
        except ValueError as error:
            refused[law.name] = str(error)
    if not found:
        raise ValueError(next(iter(refused.values()), "there is no law to compare. Name one."))
    found.sort(key=lambda each: float(np.mean(each.residuals**2)))
    seeds = None if settings.get("seed") is None else frame.loc[held, settings["seed"]].to_numpy()
    known = settings.get("std_error") is not None
    rows = [dict(each.row) | _gap(each, found[0], seeds, known) for each in found]
    unfitted = [{"law": name, "reason": reason, "warnings": []} for name, reason in refused.items()]
    return pd.DataFrame(rows + unfitted)


def held_out(frame: pd.DataFrame, by: str, n_held_out: int) -> np.ndarray:
    """Which rows have one of the largest values of the column ``by`` ``[rows]``.

    Raises:
        ValueError: fewer than three of its values would be left.
    """
    table.check_columns(frame, [by])
    sizes = np.unique(frame[by])
    if not 1 <= n_held_out <= len(sizes) - 3:
        raise ValueError(
            f"holding out must leave at least 3 sizes; {by!r} has {len(sizes)} and n_held_out is "
            f"{n_held_out}. Hold out fewer, or add sizes."
        )
    return np.asarray(frame[by].to_numpy() >= sizes[-n_held_out])


def verdict(compared: pd.DataFrame) -> str:
    """Which law of :func:`compare_laws` predicts best, and whether that is more than noise.

    A gap between mean squares is noise if it is not larger than ``gap_noise``: the 95 % quantile of
    what seeds (or given standard errors, or rows) and the sampling error of the fits make of it.
    Where the best law has some means within its interval, one that has none is not tied with it.
    """
    fitted = compared[compared["reason"].isna()]
    best, others = fitted.iloc[0], fitted.iloc[1:]
    if not fitted["within"].max() > 0:
        return (
            f"none of these laws foresees the held-out points: no interval holds one of their "
            f"means. {best['law']} is nearest, {best['relative_error']:.1%} off (median)."
        )
    hopeless = (others["within"] == 0) & (best["within"] > 0)
    tied = others[others["tied"].astype(bool) & ~hopeless]
    if others.empty:
        return f"only {best['law']} could be fitted."
    if tied.empty:
        return f"{best['law']} predicts the held-out points best, by more than noise."
    few = fitted.loc[[best.name, *tied.index]].sort_values("n_params", kind="stable").iloc[0]
    return (
        f"{best['law']} predicts the held-out points best, but they cannot tell it from "
        f"{', '.join(tied['law'])}; of these {few['law']} has the fewest parameters."
    )


def _columns(
    x: Mapping[str, str] | Mapping[str, Mapping[str, str]], law: ScalingLaw
) -> dict[str, str]:
    chosen = x.get(law.name, x)
    mapping = x if isinstance(chosen, str) else chosen
    return {str(name): str(column) for name, column in mapping.items()}


def _forecast(
    law: ScalingLaw, kept: pd.DataFrame, held: pd.DataFrame, roles: Roles, settings: dict[str, Any]
) -> Forecast:
    fitted = fit(law, kept, x=roles.x, y=roles.y, **settings)
    at = table.columns_of(held, law, roles)
    link = LINKS[fitted.settings.link]
    y, predicted = held[roles.y].to_numpy(float), fitted.predict(at)
    unit = 1.0
    if roles.std_error is not None:
        unit = held[roles.std_error].to_numpy(float) * link.slope(y)
    residuals = (link.forward(y) - link.forward(predicted)) / unit
    low, high = fitted.predict_interval(at)
    slopes = fitted.covariance.problem.model(fitted.covariance.phi, at)[1]
    errors = np.array([fitted.covariance.standard_error(slope) for slope in slopes]) / unit
    ends = held.assign(low=low, high=high).groupby(list(dict.fromkeys(roles.x.values())))
    means = ends[[roles.y, "low", "high"]].mean()
    inside = (means["low"] <= means[roles.y]) & (means[roles.y] <= means["high"])
    row = {
        "law": law.name,
        "n_params": len(law.params),
        "error": float(np.sqrt(np.mean(residuals**2))),
        "relative_error": float(np.median(np.abs(predicted / y - 1))),
        "within": float(np.mean(inside)),
        "warnings": list(fitted.warnings),
        "reason": None,
    }
    return Forecast(residuals, errors, row)


def _gap(one: Forecast, best: Forecast, seeds: np.ndarray | None, known: bool) -> dict[str, object]:
    """Mean square less that of the best, and what chance makes of it."""
    if one is best:
        return {"gap": 0.0, "gap_noise": 0.0, "tied": True}
    gaps = one.residuals**2 - best.residuals**2
    if known and seeds is None:  # residuals have variance 1
        moved = 2 * (one.residuals - best.residuals)
        held = stats.norm.ppf(0.975) * float(np.sqrt(np.sum(moved**2))) / len(gaps)
    else:
        units = pd.Series(gaps).groupby(np.arange(len(gaps)) if seeds is None else seeds).mean()
        n = len(units)
        held = float(stats.t.ppf(0.975, n - 1) * units.std() / np.sqrt(n)) if n > 1 else np.inf
    # Where both forecasts move by one standard error of the surer one, alike at all sizes.
    sure = np.minimum(one.errors, best.errors)
    moves = 2 * float(np.mean(np.abs(one.residuals - best.residuals) * sure))
    noise = float(np.hypot(held, stats.norm.ppf(0.975) * moves))
    gap = float(np.mean(gaps))
    return {"gap": gap, "gap_noise": noise, "tied": gap <= noise}
