"""Tables that laws are fitted to: any CSV or Parquet with named columns, checked before a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from opal.columns import data_row, require_unique
from opal.names import hint
from opal.reading import require_frame
from opal.scaling.scaling_law import Columns, ScalingLaw

NAME_YOURS = " Name yours with --x, --y and --seed (in Python x, y and seed)."
PLAIN = "Write plain numbers, as 1000 or 0.25: no separator, percent sign or unit."
_IDENTITY = ("metric", "group", "setting", "source")  # columns of records that tell curves apart
_SUSPECT_RATIO = 5.0
_ERRORS = 3.0  # standard errors by which a mean may lie below zero
_LEAST, _MOST = 1e-9, 1e12  # of the largest value: beyond, sums of squares lose their digits


@dataclass(frozen=True)
class Roles:
    """Which column of a table is what.

    Attributes:
        x: column of each variable of the law.
        y: column of the values.
        std_error: column of their standard errors.
        seed: column that says which rows share a seed.
    """

    x: Mapping[str, str]
    y: str
    std_error: str | None = None
    seed: str | None = None

    @property
    def columns(self) -> list[str]:
        """All columns that a fit reads, each once."""
        named = [*self.x.values(), self.y, self.std_error, self.seed]
        return list(dict.fromkeys(name for name in named if name is not None))


def where(
    frame: pd.DataFrame, conditions: Sequence[str], *, metric: str | None = None
) -> pd.DataFrame:
    """Rows that meet every condition ``COLUMN=VALUE``, of one metric if it is named.

    They stay under the numbers that they have.

    Raises:
        ValueError: a condition has no ``=``, names no column, or no row meets it.
    """
    named = [] if metric is None else [f"metric={metric}"]
    for condition in (*conditions, *named):
        column, equals, value = condition.partition("=")
        if not equals:
            raise ValueError(
                f"a condition reads COLUMN=VALUE; got {condition!r}. Write it as seed=3."
            )
        check_columns(frame, [column])
        text = frame[column].astype(str)
        keep = text == value
        if pd.api.types.is_numeric_dtype(frame[column]) and _is_number(value):
            keep = keep | (frame[column] == float(value))
        if not keep.any():
            known = ", ".join(_values(frame[column])[:10]) or "nothing"
            raise ValueError(f"no row has {column} = {value!r}; it holds {known}.")
        frame = frame[keep]
    return frame


def _values(column: pd.Series) -> list[str]:
    """The values that stand in a column, as text; empty cells have none."""
    return sorted(column.dropna().astype(str).unique())


def check_columns(frame: pd.DataFrame, names: Sequence[str], *, remedy: str = "") -> None:
    """Check that the columns are there.

    Raises:
        ValueError: one is not, or two have one name; says the nearest match, and what there is.
        TypeError: the table is none of pandas.
    """
    require_frame(frame, "a table")
    known = [str(name) for name in frame.columns]
    require_unique(known, "the table")
    for name in names:
        if name not in known:
            raise ValueError(
                f"the table has no column {name!r}{hint(name, known)} It has: {', '.join(known)}."
                f"{_separator_hint(known) or remedy}"
            )


def _separator_hint(known: Sequence[str]) -> str:
    """What to do about a header that was not split, because its separator is no comma."""
    if len(known) == 1 and any(mark in known[0] for mark in ",;\t| "):
        return " That is one column: separate the columns of the file by commas, in every row."
    return ""


def columns_of(frame: pd.DataFrame, law: ScalingLaw, roles: Roles) -> Columns:
    """The law's variables as arrays."""
    return law.arrays({name: frame[roles.x[name]].to_numpy(float) for name in law.variables})


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def check(frame: pd.DataFrame, law: ScalingLaw, roles: Roles, *, link: str, loss: str) -> None:
    """Check everything about a table that can be known before a fit.

    Raises:
        ValueError: with the rule, the value received, and the remedy.
    """
    if set(roles.x) != set(law.variables):
        raise ValueError(
            f"law {law.name!r} reads {len(law.variables)} column(s), for {list(law.variables)} in "
            f"this order; got {dict(roles.x)}."
        )
    _check_roles(roles)
    check_columns(frame, roles.columns, remedy=NAME_YOURS)
    _check_one_curve(frame, roles)
    numeric = [name for name in roles.columns if name != roles.seed]
    for name in numeric:
        check_numbers(frame, name)
    _check_sizes(frame, law, roles)
    _check_values(frame, roles, link=link, loss=loss)
    _check_noise_columns(frame, roles)
    if link == "identity":
        _check_signs(frame, law, roles)
    _check_copies(frame, roles)


def _check_roles(roles: Roles) -> None:
    """A column that is two things at once (the size as the seed) is a slip."""
    named = [*roles.x.values(), roles.y, roles.std_error, roles.seed]
    twice = [name for name in roles.columns if named.count(name) > 1]
    if twice:
        raise ValueError(
            f"a column is one of x, y, std_error and seed; {twice[0]!r} was named "
            f"{named.count(twice[0])} times. Name another column for the others."
        )


def _check_copies(frame: pd.DataFrame, roles: Roles) -> None:
    """With seeds named, rows that agree in every column are one run that was entered twice."""
    copies = np.flatnonzero(frame.astype(str).duplicated())
    if roles.seed is not None and len(copies):
        raise ValueError(
            f"every row is a run of its own; {len(copies)} of {len(frame)} rows repeat another "
            f"one in every column, the first is data row {data_row(frame, copies[0])}. "
            "Drop the copies."
        )


def _check_one_curve(frame: pd.DataFrame, roles: Roles) -> None:
    """Several metrics (groups, settings, sources) in one column are several curves."""
    for name in _IDENTITY:
        values = _values(frame[name]) if name in {*frame.columns} - {*roles.columns} else []
        if len(values) > 1:
            flag = "--metric " if name == "metric" else f"--where {name}="
            raise ValueError(
                f"one fit is of one curve, but the column {name!r} holds {len(values)} different "
                f"values ({', '.join(values[:8])}). Choose one ({flag}{values[0]}) or fit each "
                f"(--group-by {name})."
            )


def check_numbers(frame: pd.DataFrame, name: str, *, remedy: str = PLAIN) -> None:
    """Check that every cell of a column is a finite number.

    Args:
        frame: the table.
        name: of the column.
        remedy: what to do where a cell is no number.

    Raises:
        ValueError: one is not.
    """
    column = frame[name]
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        try:
            bad = (pd.to_numeric(column, errors="coerce").isna() & column.notna()).to_numpy(bool)
        except OverflowError as error:
            raise ValueError(
                f"the column {name!r} must hold numbers of at most 1.8e308; one of its cells is a "
                "whole number beyond that. Correct it, or choose a larger unit."
            ) from error
        row = int(np.argmax(bad))  # the first; row 0 where all cells are numbers kept as text
        if not bad.any():
            remedy = "Convert the column to numbers, of one decimal mark and without thousands."
        raise ValueError(
            f"the column {name!r} must hold numbers; it holds {str(column.iloc[row])!r} as "
            f"{type(column.iloc[row]).__name__} in data row {data_row(frame, row)}. {remedy}"
        )
    finite = np.isfinite(column.to_numpy(float, na_value=np.nan))
    if not finite.all():
        rows = np.flatnonzero(~finite)
        raise ValueError(
            f"every row needs a finite number in {name!r}; {len(rows)} of {len(frame)} rows have "
            f"none, the first is data row {data_row(frame, int(rows[0]))}. Drop or repair them."
        )


def _check_sizes(frame: pd.DataFrame, law: ScalingLaw, roles: Roles) -> None:
    """Sizes are positive, vary, and take enough values for the parameters."""
    x = law.arrays({variable: frame[column] for variable, column in roles.x.items()})
    law.check_x(x, roles.x)
    used = law.used(x)
    for variable in law.variables:
        column = roles.x[variable]
        values = np.unique(x[variable][used.get(variable, slice(None))])
        if len(values) == 1 and variable not in law.given:
            raise ValueError(
                f"the column {column!r} is constant ({values[0]:g}): what depends on "
                f"{variable!r} cannot be told from it. Add rows of other values, or use a law "
                f"without {variable!r}."
            )
        if variable in law.sizes and len(values) < law.least_sizes:
            raise ValueError(
                f"law {law.name!r} needs at least {law.least_sizes} different sizes in {column!r}; "
                f"got {len(values)}: {_some(values)}. Add sizes."
            )
    points = np.unique(np.stack([x[name] for name in law.variables]), axis=1).shape[1]
    if points < len(law.params):
        raise ValueError(
            f"law {law.name!r} has {len(law.params)} parameters and needs at least as many "
            f"different points; got {points}. Add sizes."
        )


def _check_values(frame: pd.DataFrame, roles: Roles, *, link: str, loss: str) -> None:
    y = frame[roles.y].to_numpy(float)
    if np.ptp(y) == 0:
        raise ValueError(
            f"the column {roles.y!r} is constant ({y[0]:g}): there is no curve to fit. "
            "Check that it is the right column."
        )
    largest = float(np.abs(y).max())
    if link == "identity" and not _LEAST <= largest <= _MOST:
        raise ValueError(
            f"the largest value must lie between {_LEAST:g} and {_MOST:g}; that of {roles.y!r} is "
            f"{largest:g}. Change its unit: multiply the column by a power of ten."
        )
    if link == "logit" and not np.all((y > 0) & (y < 1)):
        percent = y.max() > 1 and y.max() <= 100 and y.min() > 0
        remedy = "It looks like percent: divide by 100." if percent else "Use another link."
        raise ValueError(
            f"the logit link needs values strictly between 0 and 1; {roles.y!r} goes from "
            f"{y.min():g} to {y.max():g}. {remedy}"
        )
    if (link == "log" or loss == "huber-log") and not np.all(y > 0):
        what = "the log link" if link == "log" else "loss huber-log"
        raise ValueError(
            f"{what} needs positive values; {roles.y!r} has {np.sum(y <= 0)} that are not, the "
            f"least is {y.min():g}. Drop them, or use another link and loss."
        )
    _check_units(y, roles.y)


def _check_signs(frame: pd.DataFrame, law: ScalingLaw, roles: Roles) -> None:
    """A law whose floors and amplitudes are not negative has no negative values.

    Single rows may scatter below zero, their mean at a point may not; nor may a mean, by more than
    its standard error explains.
    """
    own = (*law.linear, *law.amplitudes)
    if not law.amplitudes or any(law.bounds[parameter][0] < 0 for parameter in own):
        return
    y = frame.groupby(list(roles.x.values()))[roles.y].transform("mean").to_numpy(float)
    room = 0.0 if roles.std_error is None else _ERRORS * frame[roles.std_error].to_numpy(float)
    wrong = y < -room
    if np.any(wrong):
        raise ValueError(
            f"law {law.name!r} has no negative values: its floor and amplitudes are at least 0; "
            f"{roles.y!r} is negative on average at the sizes of {np.sum(wrong)} rows, the least "
            f"mean is {y.min():g}. Fit the loss or error itself, not its logarithm, its negative "
            "or a difference; for a logarithm use the values before it was taken, with link log."
        )


def _check_units(y: np.ndarray, name: str) -> None:
    """Fractions and percents in one column: two clouds a factor of 100 apart, and a gap."""
    values = np.unique(y)
    low, high = values[(values > 0) & (values <= 1)], values[(values > 1) & (values <= 100)]
    if len(low) + len(high) < len(values) or not len(low) or not len(high):
        return
    overlap = high[0] / 100 <= low[-1] and high[-1] / 100 >= low[0]
    if overlap and high[0] / low[-1] >= _SUSPECT_RATIO:
        raise ValueError(
            f"all values of a column must have one unit; {name!r} has values from {low[0]:g} to "
            f"{low[-1]:g} and others from {high[0]:g} to {high[-1]:g}, as if fractions and "
            "percents were mixed. Divide the percents by 100; if all are of one unit, multiply all "
            "by 1000."
        )


def _check_noise_columns(frame: pd.DataFrame, roles: Roles) -> None:
    if roles.std_error is not None:
        errors = frame[roles.std_error].to_numpy(float)
        if not np.all(errors > 0):
            raise ValueError(
                f"standard errors must be positive; {roles.std_error!r} has "
                f"{np.sum(errors <= 0)} that are not, the least is {errors.min():g}. Drop these "
                "rows, or leave the standard errors out."
            )
        size = np.median(np.abs(frame[roles.y].to_numpy(float)))
        if np.median(errors) > size:
            raise ValueError(
                f"standard errors must have the unit of the values; the median of "
                f"{roles.std_error!r} is {np.median(errors):g}, that of {roles.y!r} is {size:g}. "
                "Is one in percent and the other a fraction?"
            )
    if roles.seed is not None:
        if frame[roles.seed].isna().any():
            raise ValueError(
                f"every row needs a seed; {frame[roles.seed].isna().sum()} of {len(frame)} rows "
                f"have an empty {roles.seed!r}. Fill or drop them."
            )
        if frame[roles.seed].nunique() == 1:
            only = str(frame[roles.seed].iloc[0])
            raise ValueError(
                f"intervals over seeds need at least two seeds; {roles.seed!r} holds only "
                f"{only!r}. Run more seeds, or leave the seed column out: rows then count "
                "as independent."
            )


def _some(values: np.ndarray) -> str:
    return ", ".join(f"{value:g}" for value in values[:6])
