"""Pilots: which points to run first, and how to fit a law to them.

docs/theory.md, section 12.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from opal.scaling.exchange import cross_law
from opal.scaling.fit import Fit, fit
from opal.scaling.law import Law
from opal.scaling.refusals import check_numbers
from opal.scaling.table import Roles, check_columns, columns_of

VARIABLES = ("n", "N", "alpha")
WEIGHTS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)
_REAL = (0.25, 0.5, 1.0)
_SYNTHETIC = (0.125, 0.25, 0.5)
_SOFT = 0.2  # of the median excess: keeps the weight of the best point finite


class Point(NamedTuple):
    """A design point: real and synthetic samples per group, and the weight of the latter."""

    n: float
    N: float
    alpha: float


def first_points(n_real: float, n_pool: float) -> list[Point]:
    """A pilot to begin with, on ``n_real`` real samples and a pool of ``n_pool`` synthetic ones.

    Weights from 0.02 on, since a poor generator is of use at small weights only; halves and smaller
    parts of the pool, so that several seeds can draw them and the error of a pool can be told from
    its bias; halves and quarters of the real samples for the real curve.

    Raises:
        ValueError: fewer than 8 samples of either kind.
    """
    for name, size in (("n_real", n_real), ("the pool of synthetic samples", n_pool)):
        if not size >= 8:
            raise ValueError(
                f"a pilot trains on parts down to an eighth, so {name} must hold at least 8 "
                f"samples of each group; got {size:g}."
            )
    pool = [round(share * n_pool) for share in _SYNTHETIC]
    real = [round(share * n_real) for share in _REAL]
    return [
        *(Point(n, 0, 0.0) for n in real),
        *(Point(real[-1], N, 1.0) for N in pool),
        *(Point(n, N, a) for n in real[1:] for N in (pool[0], pool[-1]) for a in WEIGHTS),
    ]


def fit_pilot(
    frame: pd.DataFrame,
    *,
    x: Mapping[str, str] | None = None,
    y: str = "value",
    seed: str | None = None,
    law: Law | None = None,
    all_points: bool = False,
    level: float = 0.95,
    n_bootstrap: int = 200,
) -> Fit:
    """Fit the law that a plan is made from to a pilot's table.

    Args:
        frame: one row for each training.
        x: columns of ``n``, ``N`` and ``alpha``; of these names if None.
        y: column of the risks.
        seed: column of the seeds.
        law: a mixture law; that with a cross term and exponent 1 if None.
        all_points: fit all points, and not only those of :func:`near`.
        level: confidence of the intervals.
        n_bootstrap: bootstrap draws.

    Raises:
        ValueError: see :func:`check` and :func:`opal.scaling.fit.fit`.
    """
    columns = {name: name for name in VARIABLES} if x is None else x
    law = law or cross_law()
    _check_rows(frame, law, Roles(columns, y, seed=seed))
    check(frame, columns)
    found = fit(
        law,
        frame if all_points else near(frame, columns, y),
        x=columns,
        y=y,
        std_error=None if all_points else "weight_error",
        seed=seed,
        level=level,
        n_bootstrap=n_bootstrap,
    )
    said = _of_direction(frame, columns, y)
    return replace(found, warnings=(said, *found.warnings)) if said else found


def _check_rows(frame: pd.DataFrame, law: Law, roles: Roles) -> None:
    """Check every row, also those that :func:`near` leaves out."""
    check_columns(frame, roles.columns)
    for name in (*roles.x.values(), roles.y):
        check_numbers(frame, name)
    law.check_x(columns_of(frame, law, roles), roles.x)
    least = frame[roles.y].min()
    if least < 0:
        raise ValueError(
            f"risks must not be negative; the least of {roles.y!r} is {least:g}. Smaller must be "
            "better: for an accuracy give 1 − accuracy."
        )


def _of_direction(frame: pd.DataFrame, x: Mapping[str, str], y: str) -> str:
    """What to say of real samples that harm, as with values of which larger ones are better."""
    alone = frame[frame[x["alpha"]] == 0].groupby(x["n"])[y].mean()
    if alone.iloc[-1] < alone.iloc[0]:
        return ""
    (least, low), (largest, high) = alone.iloc[[0, -1]].items()
    return (
        f"the risk of real samples alone does not fall with their number: {low:.4g} at {x['n']} = "
        f"{least:g}, {high:.4g} at {largest:g}. Smaller values must be better (for an accuracy "
        "give 1 − accuracy); if they are, run more seeds or validate on more samples."
    )


def check(frame: pd.DataFrame, x: Mapping[str, str]) -> None:
    """Check that a pilot varies what a plan depends on.

    Raises:
        ValueError: there is one weight or one number of real or synthetic samples only, or no row
            that is trained on real samples alone.
    """
    alpha = frame[x["alpha"]].to_numpy(float)
    if len(np.unique(alpha)) < 2:
        raise ValueError(
            f"a pilot needs several weights; the column {x['alpha']!r} holds {alpha[0]:g} only. "
            "Add rows of alpha = 0 (real samples alone) and of weights between."
        )
    if not np.any(alpha == 0):
        raise ValueError(
            f"a pilot needs rows of alpha = 0, real samples alone, to compare with; the smallest "
            f"weight in {x['alpha']!r} is {alpha.min():g}. Add them."
        )
    sizes = np.unique(frame.loc[alpha > 0, x["N"]])
    if len(sizes) < 2:
        raise ValueError(
            f"a pilot needs several numbers of synthetic samples, or bias and noise cannot be told "
            f"apart; the column {x['N']!r} holds {sizes[0]:g} only. Train on half of them as well."
        )
    alone = np.unique(frame.loc[alpha == 0, x["n"]])
    if len(alone) < 2:
        raise ValueError(
            "a pilot needs real samples alone in several numbers, or what one more is worth cannot "
            f"be told; the column {x['n']!r} holds {alone[0]:g} only where {x['alpha']!r} is 0. "
            "Train on half of them as well."
        )


def near(frame: pd.DataFrame, x: Mapping[str, str], y: str) -> pd.DataFrame:
    """The rows that bear on the plan, with a column ``weight_error`` to weigh them by.

    A mixture law holds near the optimum: what a useless generator does at large weights only bends
    the fit. Kept are the points whose mean value is at most that of half the real samples alone.
    ``weight_error`` is a point's excess over the best point, plus a fifth of the median excess, so
    that the fit errs by equal shares of the excess.
    """
    keys = [x[name] for name in ("n", "N", "alpha")]
    mean = frame.groupby(keys)[y].transform("mean")
    kept = mean <= _half_real(frame.assign(**{y: mean}), x, y)
    if frame.loc[kept, keys].drop_duplicates().shape[0] < 6:
        kept = pd.Series(True, index=frame.index)
    excess = mean[kept] - mean[kept].min()
    error = excess + _SOFT * np.median(excess) + np.finfo(float).tiny
    # Their ratios are the weights; a fit wants no errors that are larger than the values.
    error *= min(1.0, np.median(np.abs(frame.loc[kept, y])) / np.median(error))
    return frame[kept].assign(weight_error=error).reset_index(drop=True)


def _half_real(frame: pd.DataFrame, x: Mapping[str, str], y: str) -> float:
    """Mean value of training on half the real samples, on the law's line between measured sizes."""
    alone = frame[frame[x["alpha"]] == 0].groupby(x["n"])[y].mean()
    sizes = alone.index.to_numpy(float)
    if len(sizes) < 2:
        return float("inf")
    return float(np.interp(-2 / sizes[-1], -1 / sizes, alone.to_numpy()))
