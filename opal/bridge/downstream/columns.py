"""A regression from the columns of a table of one's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from opal import spelling
from opal.bridge.downstream.label_regression import Model, Regression
from opal.scaling.table import check_columns, check_numbers

_CATEGORY = (
    "Write plain numbers, as 1000 or 0.25, and a category as columns of 0 and 1, one for each of "
    "its values but one (in pandas get_dummies with drop_first=True and dtype=int)."
)


def regression_of(
    frame: pd.DataFrame,
    *,
    human: str,
    predicted: str,
    covariates: Sequence[str] = (),
    outcome: str | None = None,
    model: Model = "logistic",
    positive: str | None = None,
    probability: str | None = None,
    trained_on: str | None = None,
) -> Regression:
    """A regression from the columns of a table.

    Args:
        frame: one row for each text.
        human: column of the human labels; empty where there is none. Spaces around a label do not
            count.
        predicted: column of the classifier's labels, or of its probabilities of the label that
            counts as 1.
        covariates: numeric columns; a category is one of 0 and 1 for each of its values but one.
        outcome: column of an outcome, where the label is a covariate.
        model: the regression, linear or logistic.
        positive: the label that counts as 1; labels that are 0 and 1 need none.
        probability: column of the probability that people label a row; it may be empty where they
            did not.
        trained_on: column that is 1, or true, where the classifier was trained on the row, and 0
            or false elsewhere; the former are left out.

    Raises:
        ValueError: a column is not there, or holds what it must not; see :class:`Regression`.
    """
    named = [human, predicted, *covariates, *(c for c in (outcome, probability, trained_on) if c)]
    check_columns(frame, named, remedy=" Name columns of the table, several apart by spaces.")
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"each column has one role; {twice!r} is named twice. Leave one out.")
    if trained_on is not None:
        frame = _not_trained_on(frame, trained_on, human)
    for name in covariates:
        check_numbers(frame, name, remedy=_CATEGORY)
    if outcome is not None:
        check_numbers(frame, outcome)
    given, said = _stripped(frame[human]), _stripped(frame[predicted])
    if probability is not None:
        check_numbers(frame[given.notna()], probability)
    columns = [frame[name].to_numpy(float) for name in covariates]
    return Regression(
        *_labels(given, said, None if positive is None else spelling.name(positive)),
        np.column_stack(columns) if columns else np.empty((len(frame), 0)),
        tuple(covariates),
        None if outcome is None else frame[outcome].to_numpy(float),
        model,
        None if probability is None else frame[probability].to_numpy(float),
    )


def other_labels(human: pd.Series, positive: str) -> dict[str, int]:
    """How many rows have each of the human labels that count as 0, the most frequent one first."""
    given = _spelled(_stripped(human).dropna())
    return given[given != spelling.name(positive)].value_counts().to_dict()


def _not_trained_on(frame: pd.DataFrame, column: str, human: str) -> pd.DataFrame:
    """The rows that the classifier was not trained on."""
    if pd.api.types.is_bool_dtype(frame[column]):
        frame = frame.copy(deep=False)
        frame[column] = frame[column].astype(int)
    check_numbers(
        frame, column, remedy="Write 1 where the classifier was trained, and 0 elsewhere."
    )
    if not frame[column].isin((0, 1)).all():
        raise ValueError(
            "a row is trained on (1) or not (0); got "
            f"{_some(frame[column][~frame[column].isin((0, 1))])} in {column!r}. Write 0 or 1."
        )
    left = frame[frame[column] == 0]
    if left.empty:
        raise ValueError(
            f"rows must be left that the classifier was not trained on; {column!r} is 1 in all "
            f"{len(frame)}. Label other texts."
        )
    n = int(_stripped(frame[human]).notna().sum())
    if n and _stripped(left[human]).isna().all():
        raise ValueError(
            f"people must have labelled some rows that the classifier was not trained on; all {n} "
            f"that have a {human!r} are trained on ({column!r} is 1). Let people label others, "
            "drawn at random, or train on fewer."
        )
    return left


def _labels(
    human: pd.Series, predicted: pd.Series, positive: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Human labels and the classifier's as numbers [N] each."""
    if predicted.isna().any():
        raise ValueError(
            f"the classifier must label every row; {int(predicted.isna().sum())} of "
            f"{len(predicted)} have no {predicted.name!r} (an empty cell, or NA or "
            "None). Label or drop them, or write a class of that name otherwise."
        )
    if human.isna().all():
        raise ValueError(
            f"people must have labelled some rows; {human.name!r} is empty in all {len(human)}. "
            "Let them label rows that are drawn at random."
        )
    if positive is None:
        return _zeros_and_ones(human, predicted)
    return _compared(human, predicted, positive)


def _zeros_and_ones(human: pd.Series, predicted: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Labels that are numbers already, the classifier's perhaps probabilities."""
    numbers = [pd.to_numeric(column, errors="coerce") for column in (human, predicted)]
    readable = all(
        (number.isna() == column.isna()).all()
        for number, column in zip(numbers, (human, predicted), strict=True)
    )
    given, said = (number.to_numpy(float) for number in numbers)
    within = readable and np.isin(given[~np.isnan(given)], (0, 1)).all()
    if not within or not ((said >= 0) & (said <= 1)).all():
        raise ValueError(
            "labels are 0 and 1, and the classifier's may be probabilities; got "
            f"{_some(human)} in {human.name!r} and {_some(predicted)} in {predicted.name!r}. "
            "Say with positive (--positive) which label counts as 1."
        )
    return given, said


def _compared(
    human: pd.Series, predicted: pd.Series, positive: str
) -> tuple[np.ndarray, np.ndarray]:
    """1 where a label is the positive one; the classifier may give probabilities of it."""
    spelled = [_spelled(column) for column in (human, predicted)]
    known = {*spelled[0][human.notna()]}
    if human.notna().all() and len(known) > 2:
        raise ValueError(
            f"rows must be left that people did not label; all {len(human)} have a {human.name!r} "
            f"({_some(human)}). Where one of these says that nobody labelled a row, leave it empty."
        )
    for several in spelling.alike(sorted(known)):
        raise ValueError(
            f"each label must have one spelling; people say {' and '.join(map(repr, several))}, "
            "which look alike. Write them as one."
        )
    said_by_none = positive not in known and (spelled[1] == positive).any()
    if said_by_none and not known & {*spelled[1]}:
        raise ValueError(
            f"people and the classifier must spell labels alike; people say {_some(human)} in "
            f"{human.name!r}, and it says {_some(predicted)} in {predicted.name!r}. Write them as "
            "one, or let people label more rows."
        )
    if said_by_none:
        raise ValueError(
            f"people must have given both labels; of {int(human.notna().sum())} rows none is "
            f"{positive!r}, as the classifier calls some. Label more rows, or draw those that "
            "people label with a known probability each (--probability)."
        )
    if positive not in known:
        raise ValueError(
            f"positive must be one of the labels that people gave, {_some(human)}; got "
            f"{positive!r}. Spell it as they did."
        )
    given = np.where(human.notna(), spelled[0] == positive, np.nan)
    chances = pd.to_numeric(predicted, errors="coerce")
    words = pd.to_numeric(human, errors="coerce").isna().all()
    if words and chances.between(0, 1).all() and not chances.isin((0, 1)).all():  # codes are not
        return given, chances.to_numpy(float)
    unseen = sorted({*spelled[1]} - known)
    if unseen and chances.between(0, 1).all() and not chances.isin((0, 1)).all():
        raise ValueError(
            "probabilities go with labels that are words, and with 0 and 1 where no positive "
            f"(--positive) is named, as those of 1; people say {_some(human)}, and the positive is "
            f"{positive!r}. Leave it out, or write the labels as words."
        )
    if unseen and len(known) > 1:
        raise ValueError(
            f"the classifier says {', '.join(map(repr, unseen[:5]))}, which no person does: people "
            f"say {_some(human)}. Spell labels alike, let people label rows of these, or give "
            "probabilities, which lie in [0, 1]."
        )
    return given, (spelled[1] == positive).to_numpy(float)


def _stripped(column: pd.Series) -> pd.Series:
    """Labels without spaces around them; one of nothing but spaces is none."""
    if pd.api.types.is_numeric_dtype(column):
        return column
    listed = [each for each in column if isinstance(each, list | tuple | dict | np.ndarray)]
    if listed:
        raise ValueError(
            f"labels are words or numbers, one a row; {column.name!r} holds {str(listed[0])[:40]}. "
            "Write one label a row."
        )
    names = {each: spelling.name(each) or None for each in column.unique() if isinstance(each, str)}
    return column.astype(object).map(lambda each: names.get(each, each), na_action="ignore")


def _spelled(column: pd.Series) -> pd.Series:
    """Labels as text: whole numbers without the point that empty cells beside them bring."""
    if not pd.api.types.is_float_dtype(column):
        return column.astype(str)
    return column.map(lambda value: f"{value:.0f}" if value % 1 == 0 else str(value))


def _some(column: pd.Series) -> str:
    values = sorted(_spelled(column.dropna()).unique())
    more = "" if len(values) <= 5 else f" and {len(values) - 5} more"
    return (", ".join(map(repr, values[:5])) or "nothing") + more
