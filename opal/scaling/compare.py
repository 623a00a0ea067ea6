"""Which law predicts larger sizes best: each is fitted without the largest, and then asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from opal.scaling import laws, table
from opal.scaling.fit import Fit, fit
from opal.scaling.problem import LINKS
from opal.scaling.scaling_law import ScalingLaw
from opal.scaling.table import Roles


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
        of the curve, which leaves out their own noise) and ``warnings``.

    Raises:
        ValueError: too few sizes would be left to fit, or a law cannot be fitted to them.
    """
    table.check_columns(frame, [by])
    sizes = np.unique(frame[by])
    if not 1 <= n_held_out <= len(sizes) - 3:
        raise ValueError(
            f"holding out must leave at least 3 sizes; {by!r} has {len(sizes)} and n_held_out is "
            f"{n_held_out}. Hold out fewer, or add sizes."
        )
    held = frame[by].to_numpy() >= sizes[-n_held_out]
    rows = []
    for candidate in candidates:
        law = laws.get(candidate) if isinstance(candidate, str) else candidate
        columns = _columns(x, law)
        fitted = fit(law, frame[~held].reset_index(drop=True), x=columns, y=y, **settings)
        rows.append(_row(law, fitted, frame[held], Roles(columns, y), settings.get("std_error")))
    return pd.DataFrame(rows).sort_values("error", ignore_index=True)


def _columns(
    x: Mapping[str, str] | Mapping[str, Mapping[str, str]], law: ScalingLaw
) -> dict[str, str]:
    chosen = x.get(law.name, x)
    mapping = x if isinstance(chosen, str) else chosen
    return {str(name): str(column) for name, column in mapping.items()}


def _row(
    law: ScalingLaw, fitted: Fit, held: pd.DataFrame, roles: Roles, std_error: str | None
) -> dict[str, object]:
    """How one law fares on the rows that were held out."""
    at = table.columns_of(held, law, roles)
    link = LINKS[fitted.settings.link]
    y, predicted = held[roles.y].to_numpy(float), fitted.predict(at)
    residuals = link.forward(y) - link.forward(predicted)
    if std_error is not None:
        residuals = residuals / (held[std_error].to_numpy(float) * link.slope(y))
    means = held.assign(predicted=predicted).groupby(list(dict.fromkeys(roles.x.values())))
    points = means[[roles.y]].mean().reset_index()
    low, high = fitted.predict_interval(table.columns_of(points, law, roles))
    inside = (low <= points[roles.y]) & (points[roles.y] <= high)
    return {
        "law": law.name,
        "n_params": len(law.params),
        "error": float(np.sqrt(np.mean(residuals**2))),
        "relative_error": float(np.median(np.abs(predicted / y - 1))),
        "within": float(np.mean(inside)),
        "warnings": list(fitted.warnings),
    }
