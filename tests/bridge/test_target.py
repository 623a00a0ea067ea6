"""Labels of any type, and when those of two tables are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal.bridge.target import as_labels, matched


@pytest.mark.parametrize(
    "y",
    [
        [1, 0, 1],
        (1.0, 0.0, 1.0),
        np.array([True, False, True]),
        np.array([1, 0, 1], dtype=object),
        pd.Series([1, 0, 1], dtype="Int64", index=[9, 8, 7]),
        pd.Series([True, False, True], dtype="boolean"),
        pd.Series(pd.Categorical([1, 0, 1])),
        pd.DataFrame({"class": [1, 0, 1]}),
    ],
)
def test_labels_are_one_column_of_plain_values(y: Any) -> None:
    found = as_labels(y)
    assert found.tolist() == [1, 0, 1]
    assert found.dtype.kind in "biuf"


def test_words_and_indicators_are_labels_too() -> None:
    assert as_labels(pd.Series(["b", "a"], dtype="string")).tolist() == ["b", "a"]
    assert as_labels(pd.get_dummies(pd.Series(list("bab")))).tolist() == [[0, 1], [1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed"),
        ([0.0, np.nan, 1.0], "every row must have a label; y lacks 1, the first in row 1"),
        (pd.Series([0, 1, None], dtype="Int64"), "y lacks 1, the first in row 2"),
        (pd.Series(["a", None, None]), "y lacks 2, the first in row 1"),
        ([0.0, np.inf], "every label must be finite"),
        ([[1, 0], [1, 1]], r"one 1 in every row .* row 1 is \[1, 1\]"),
        ([[1, 0], [0, 0]], r"row 1 is \[0, 0\]"),
        ([["a", "b"], ["c", "d"]], "row 0 is"),
    ],
)
def test_what_is_no_label_is_told(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_labels(y)


def test_sparse_labels_are_refused() -> None:
    from scipy import sparse

    with pytest.raises(ValueError, match=r"must be dense; got a csr_array .*Pass y\.toarray"):
        as_labels(sparse.csr_array(np.eye(2)))


@pytest.mark.parametrize(
    ("given", "classes"),
    [
        ([5, 7, 7], (5.0, 7.0)),
        ([5.0, 7.0, 7.0], (5, 7)),
        (["5", "7.0", " 7 "], (5, 7)),
        ([5, 7, 7], ("5", "7")),
        ([False, True, True], (0, 1)),
        ([0, 1, 1], (False, True)),
        (["False", "true", "1"], (False, True)),
        ([False, True, True], ("False", "True")),
        (["no", "yes", "yes"], ("no", "yes")),
        (["01", "1", "1"], ("01", "1")),
        (["th\u00e9", " caf\u00e9", "cafe\u0301\u200b"], ("the\u0301", "caf\u00e9")),
        (["a", "a ", "a "], ("a", "a ")),
        (pd.Categorical(["no", "yes", "yes"]), ("no", "yes")),
        (pd.array([2**60, 2**60 + 1, 2**60 + 1], dtype="Int64"), (2**60, 2**60 + 1)),
    ],
)
def test_labels_equal_as_values_do_and_words_as_the_numbers_they_spell(
    given: Any, classes: tuple[object, ...]
) -> None:
    assert matched(pd.Series(given), classes, "column 'y'").tolist() == [0, 1, 1]


def test_labels_of_no_class_are_left_out_but_not_all() -> None:
    some = pd.Series(["a", None, "c", "b"])
    assert matched(some, ("b", "a"), "column 'y'").tolist() == [1, -1, -1, 0]
    message = r"must be those of y, '01', '1'; its column 'y' holds 1\.0, 0\.0"
    with pytest.raises(ValueError, match=message):  # which of the two is 1 nobody knows
        matched(pd.Series([1.0, 0.0]), ("01", "1"), "column 'y'")
    with pytest.raises(ValueError, match="must be those of y, 0, 1; its column 'y' holds 'no'"):
        matched(pd.Series(["no", "yes"]), (0, 1), "column 'y'")
