"""A pilot's table, and the law that a plan is made from.

docs/theory.md, sections 12.3 and 12.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
import pandas as pd

from opal.columns import as_numbers, data_row
from opal.reading import require_frame
from opal.scaling.fit import Fit, fit
from opal.scaling.laws.cross import cross_law
from opal.scaling.scaling_law import ScalingLaw
from opal.scaling.table import NAME_YOURS, Roles, check_columns, check_numbers, columns_of

VARIABLES = ("n", "N", "alpha")
_SOFT = 0.2  # of the median excess: keeps the weight of the best point finite
_LEAST_PARTS = 5  # of the validation rows, for their error to be known
_NAME_PARTS = " Name the column of the parts with --part (in Python part), or leave it out."


@dataclass(frozen=True, eq=False)
class PilotFit(Fit):
    """A law fitted to a pilot; see :func:`fit_pilot`.

    Attributes:
        on_parts: the same law, fitted to the risks of each part of the validation rows, as means
            over seeds; None where parts are not known.
    """

    on_parts: Fit | None = None


def fit_pilot(
    frame: pd.DataFrame,
    *,
    x: Mapping[str, str] | None = None,
    y: str = "value",
    seed: str | None = None,
    part: str | None = None,
    law: ScalingLaw | None = None,
    all_points: bool = False,
    level: float = 0.95,
    n_bootstrap: int = 200,
) -> PilotFit:
    """Fit the law that a plan is made from to a pilot's table.

    Args:
        frame: one row for each training, or for each training and part of the validation rows.
        x: columns of ``n``, ``N`` and ``alpha``; of these names if None.
        y: column of the risks.
        seed: column of the seeds.
        part: column of the part of the validation rows that a risk is of. All trainings have all
            parts, which are disjoint and of one size; they say how far the gain depends on the
            validation rows. If None, intervals do not know that.
        law: a mixture law; that with a cross term and exponent 1 if None.
        all_points: fit all points, and not only those of :func:`near`.
        level: confidence of the intervals.
        n_bootstrap: bootstrap draws.

    Raises:
        ValueError: see :func:`check` and :func:`opal.scaling.fit.fit`; or trainings differ in their
            parts, or have fewer than five.
    """
    columns = {name: name for name in VARIABLES} if x is None else dict(x)
    if columns.keys() != set(VARIABLES):
        raise ValueError(
            f"x names the column of each of {', '.join(VARIABLES)}; got {columns}. Leave it out "
            "where they are called so."
        )
    law = law or cross_law()
    require_frame(frame, "a pilot")
    frame = as_numbers(frame)
    means = frame
    if part is not None:
        training = [*columns.values(), *([seed] if seed else [])]
        check_columns(frame, [*training, y], remedy=NAME_YOURS)
        for name in (*columns.values(), y):
            check_numbers(frame, name)
        _check_parts(frame, training, y, part, told=seed is not None)
        means = frame.groupby(training, sort=False)[y].mean().reset_index()
    _check_rows(means, law, Roles(columns, y, seed=seed))
    check(means, columns)
    chosen = means if all_points else near(means, columns, y)
    errors = None if all_points else "weight_error"
    fitted = partial(
        fit, law, x=columns, y=y, std_error=errors, level=level, n_bootstrap=n_bootstrap
    )
    own, on_parts = fitted(chosen, seed=seed), None
    if part is not None:
        on_parts = fitted(_by_part(frame, chosen, columns, y, part), seed=part, key=1)
    said = _of_direction(means, columns, y)
    told = (*([said] if said else []), *map(_of_parts, own.warnings))
    values = {each.name: getattr(own, each.name) for each in fields(own)} | {"warnings": told}
    return PilotFit(**values, on_parts=on_parts)


def _by_part(
    frame: pd.DataFrame, chosen: pd.DataFrame, x: Mapping[str, str], y: str, part: str
) -> pd.DataFrame:
    """Means over seeds on each part, of the points and with the weights that were chosen."""
    keys = list(x.values())
    points = chosen[[*keys, *chosen.columns.intersection(["weight_error"])]].drop_duplicates()
    return frame.groupby([*keys, part], sort=False)[y].mean().reset_index().merge(points, on=keys)


def _of_parts(warning: str) -> str:
    """A column that tells rows of one training apart may name parts of the validation rows."""
    head, asks, _ = warning.partition(": if these are different curves")
    if not asks:
        return warning
    return f"{head}: if these are parts of the validation rows, name the column with --part."


def _check_parts(
    frame: pd.DataFrame, training: list[str], y: str, part: str, *, told: bool
) -> None:
    """Check that every training has one risk on each part of the validation rows.

    ``told`` says whether a column tells the trainings of one point apart, by their seeds.
    """
    check_columns(frame, [part], remedy=_NAME_PARTS)
    if part in (*training, y):
        raise ValueError(
            f"parts of the validation rows have a column of their own; {part!r} is named as the "
            f"column of something else.{_NAME_PARTS}"
        )
    if lacking := int(frame[part].isna().sum()):
        row = data_row(frame, int(np.argmax(frame[part].isna())))
        raise ValueError(
            f"every row needs a part; {lacking} of {len(frame)} have an empty {part!r}, the first "
            f"is data row {row}. Say which part each risk is of, or leave the column out."
        )
    n_parts = frame[part].nunique()
    if n_parts < _LEAST_PARTS:
        raise ValueError(
            f"the error of validation rows is told from at least {_LEAST_PARTS} parts of them; "
            f"{part!r} names {n_parts}. Split them into ten at random, or leave the column out."
        )
    each = frame.groupby(training)[part].agg(["nunique", "size"])
    wrong = each[(each["nunique"] != n_parts) | (each["size"] != n_parts)]
    if len(wrong):
        at = zip(training, wrong.index[0], strict=True)
        where = ", ".join(f"{k} = {v:g}" if isinstance(v, float) else f"{k} = {v}" for k, v in at)
        size, found = wrong["size"].iloc[0], wrong["nunique"].iloc[0]
        remedy = "Add the rows that lack." if size == found else "Drop the rows that repeat a part."
        if size > found and not told:
            remedy = (
                "If they are of several trainings, name the column that tells these apart with "
                "--seed (in Python seed); if not, drop the rows that repeat a part."
            )
        raise ValueError(
            f"every training needs one risk on each of the {n_parts} parts in {part!r}; that with "
            f"{where} has {size} rows of {found} parts. {remedy}"
        )


def _check_rows(frame: pd.DataFrame, law: ScalingLaw, roles: Roles) -> None:
    """Check every row, also those that :func:`near` leaves out."""
    check_columns(frame, roles.columns, remedy=NAME_YOURS)
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
    keys = [x[name] for name in VARIABLES]
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


def measured_best(fitted: Fit) -> tuple[float, float]:
    """N and α with the least mean value among points at the largest n."""
    x = {name: fitted.roles.x[name] for name in VARIABLES}
    rows = fitted.frame[fitted.frame[x["n"]] == fitted.frame[x["n"]].max()]
    mean = rows.groupby([x["N"], x["alpha"]])[fitted.roles.y].mean()
    N, alpha = mean.idxmin()
    return (float(N), float(alpha)) if alpha > 0 else (0.0, 0.0)
