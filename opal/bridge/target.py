"""The target of a classifier, labels of whatever type, and which of two tables are equal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from opal import spelling


def as_labels(y: Any) -> np.ndarray:
    """The labels of all rows [n], or one row of zeros and a one for each [n, K].

    Whoever holds them (a list, a Series or a table of one column, of any type), equal labels are
    equal here: as truth values, numbers or strings.

    Raises:
        ValueError: there are none, one is missing, or a row of zeros and ones has not one 1.
    """
    if y is None:
        raise ValueError(
            "resampling requires y to be passed, but the target y is None. Give the label of every "
            "row."
        )
    if hasattr(y, "toarray"):
        raise ValueError(
            f"labels must be dense; got a {type(y).__name__} of shape {y.shape}. Pass y.toarray()."
        )
    table = y.to_numpy(dtype=object) if isinstance(y, pd.DataFrame | pd.Series) else np.asarray(y)
    missing = np.asarray(pd.isna(table))
    if missing.any():
        row = int(missing.reshape(len(missing), -1).any(axis=1).argmax()) if missing.ndim else 0
        raise ValueError(
            f"every row must have a label; y lacks {missing.sum()}, the first in row {row}. Drop "
            "those rows, or label them."
        )
    if table.dtype.kind == "f" and np.isinf(table).any():
        raise ValueError("every label must be finite; y holds an infinite one. Name the class.")
    if table.ndim == 2 and table.shape[1] > 1:
        return _one_hot(table)
    if table.dtype != object:
        return table
    plain = pd.Series(table.ravel().tolist()).infer_objects()
    return plain.to_numpy(dtype=None if plain.dtype.kind in "biuf" else object)


def name_of(y: Any) -> str:
    """The name of a Series, or of a table's only column; ``label`` if there is none."""
    if isinstance(y, pd.DataFrame):
        return str(y.columns[0]) if y.shape[1] == 1 else "label"
    name = getattr(y, "name", None)
    return "label" if name is None else str(name)


def _one_hot(table: np.ndarray) -> np.ndarray:
    """A table of more columns than one as zeros and ones."""
    try:
        numbers = table.astype(float)
    except (ValueError, TypeError):
        numbers = np.full(table.shape, -1.0)
    ones = (numbers == 1).sum(axis=1)
    wrong = (ones != 1) | ((numbers != 0).sum(axis=1) != 1)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            "labels must be one column, or one column of zeros and ones a class with one 1 in "
            f"every row (multilabel and multioutput targets are not supported); y has the shape "
            f"{table.shape}, and row {row} is {table[row].tolist()}. Give the one column."
        )
    return numbers.astype(int)


def matched(given: pd.Series, classes: Sequence[object], what: str) -> np.ndarray:
    """Which class each label of a pool is [n]; −1 for none of them.

    ``1``, ``1.0`` and ``True`` are equal, as they are in Python. Where one side has words and the
    other numbers, a word is the number that it spells: tables read from CSV differ so. Words that
    no reader can tell apart are equal, unless they are two classes.

    Raises:
        ValueError: no label is any of the classes.
    """
    theirs = [None if pd.isna(each) else each for each in given]
    place: dict[object, int] = {_item(name): k for k, name in enumerate(classes)}
    words = {isinstance(each, str) for each in theirs if each is not None}
    ours = {isinstance(name, str) for name in classes}
    read: Any = _item  # hashes and equality are Python's: 1 == 1.0 == True
    if words == {True} and ours == {False}:
        read = _spelled
    elif words == {False} and ours == {True}:
        spelled = {_spelled(name): k for name, k in place.items()}
        # Of '1' and '01' neither is the 1.
        place, read = (spelled, _item) if len(spelled) == len(classes) else (place, str)
    elif words == {True} == ours:
        seen: dict[object, int] = {spelling.name(str(name)): k for name, k in place.items()}
        if len(seen) == len(classes):
            place, read = seen, spelling.name
    found = np.array([-1 if each is None else place.get(read(each), -1) for each in theirs], int)
    if len(found) and not (found >= 0).any():
        held = list(dict.fromkeys(repr(_item(each)) for each in theirs))
        raise ValueError(
            f"labels of the pool must be those of y, {', '.join(map(repr, classes))}; its {what} "
            f"holds {', '.join(held[:5])}{', …' if len(held) > 5 else ''}. Spell them as y does, "
            "or name the label column with target."
        )
    return found


def _spelled(value: Any) -> object:
    """The number or truth value that a word spells; the word, if none."""
    word = str(value).strip()
    truth = {"true": 1.0, "false": 0.0}.get(word.lower())
    if truth is not None:
        return truth
    try:
        return float(word)
    except ValueError:
        return value


def _item(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
