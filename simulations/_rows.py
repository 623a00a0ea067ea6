"""Rows of records that studies share, and tables that stand theory beside simulation."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from opal.checks import Check, agrees, at_least, refuted, share

if TYPE_CHECKING:
    import pandas as pd

    from opal.objective import Design
    from opal.settings.setting import Setting

EXCESS = "excess_balanced_risk"
PLAIN = (1.0, 1.0)  # temperature and top-p of rows that are drawn as the law is
TRANSFORMER, BAYES, COUNTS = "transformer", "Bayes", "add-½ counts"
Row = dict[str, object]
Found = dict[tuple[str, str], tuple[float, float]]  # metric and group: value and standard error


def mean(values: np.ndarray) -> tuple[float, float]:
    """Mean of subjects or replicates [S] and its standard error, unknown if one is not finite."""
    from opal.risk import mean_and_std_error

    if not np.isfinite(values).all():
        return float(values.sum()), float("nan")
    value, error = mean_and_std_error(values)
    return float(value), float(error)


def means(values: Mapping[str, np.ndarray]) -> Found:
    """Mean and standard error of each metric."""
    return {(metric, "all"): mean(each) for metric, each in values.items()}


def ratio(each: np.ndarray, best: np.ndarray) -> tuple[float, float]:
    """Ratio of two means of the same subjects [S], and its standard error by the delta method."""
    value = each.mean() / best.mean()
    return float(value), mean((each - value * best) / best.mean())[1]


def row(
    arm: str,
    n: int,
    metric: str,
    value: float,
    error: float = float("nan"),
    *,
    simulated: Collection[str] = (TRANSFORMER,),
) -> Row:
    """One record of subjects after n seeds; arms that are not ``simulated`` are theory."""
    source = "simulation" if arm in simulated else "theory"
    numbers = {"value": float(value), "std_error": float(error)}
    return {"source": source, "arm": arm, "n_real": n, "metric": metric, **numbers}


def of_subjects(
    rows: Iterable[Row], study: str, setting: str, n_subjects: int, **more: Any
) -> pd.DataFrame:
    """Records of means over subjects, all of whose real rows are seeds: ``n_real`` of each row.

    ``more`` are columns of records, or functions of the frame.
    """
    import pandas as pd

    from opal import records

    frame = pd.DataFrame(list(rows)).assign(study=study, setting=setting, n_replicates=n_subjects)
    seeds = dict.fromkeys(("n_min", "n_max", "n_generator"), frame["n_real"])
    return records.validate(frame.assign(**seeds, **more))


def of_design(
    setting: Setting, design: Design, simulated: Found, theory: Found, study: str, n: int
) -> pd.DataFrame:
    """Records of one design, simulated in n replicates and predicted in the same."""
    import pandas as pd

    from opal import records

    frames = [
        records.of_design(setting, design, found, study=study, n_replicates=n, source=source)
        for source, found in (("simulation", simulated), ("theory", theory))
        if found
    ]
    return pd.concat(frames, ignore_index=True)


def wide(rows: pd.DataFrame, on: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Values and standard errors, a column for each source and metric."""
    columns = ["source", "metric"]
    values = rows.pivot(index=list(on), columns=columns, values="value")
    return values, rows.pivot(index=list(on), columns=columns, values="std_error")


def renamed(rows: pd.DataFrame, on: Sequence[str], names: Mapping[str, str]) -> pd.DataFrame:
    """Metrics under other names, each beside its standard error."""
    import pandas as pd

    values, errors = (
        rows.pivot(index=list(on), columns="metric", values=column)
        for column in ("value", "std_error")
    )
    columns = {}
    for metric, name in names.items():
        columns[name], columns[f"std_error_{name}"] = values[metric], errors[metric]
    return pd.DataFrame(columns)


def wrong_is_caught(table: pd.DataFrame, name: str, detail: str) -> Check:
    """Check that simulation refuses a wrong theory, a column of the table, where it could."""
    z, apart = (
        (table[one] - table[name]) / table["std_error"] for one in ("simulated", "predicted")
    )
    return refuted(f"{name} is caught", z, apart, detail)


def predicted_is_simulated(z: pd.Series, ratio: pd.Series, units: str, more: str = "") -> Check:
    """Check that theory agrees in 95 % of cells: an expansion leaves a few percent out in some."""
    return at_least(
        "predicted is simulated",
        share(agrees(z, ratio)),
        0.95,
        f"share of {len(z)} {units} within 3 standard errors or 3 %; ratios {ratio.min():.3f} to "
        f"{ratio.max():.3f}, largest |z| {z.abs().max():.1f}{more}",
    )


def z_of(rows: pd.DataFrame) -> pd.Series:
    """Values in standard errors."""
    return rows["value"] / rows["std_error"]
