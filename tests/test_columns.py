from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from opal.columns import as_numbers, data_row, require_unique


def test_numbers_that_are_objects_become_floats() -> None:
    frame = pd.DataFrame(
        {
            "large": pd.Series([3 * 10**19, 5, None], dtype=object),
            "exact": pd.Series([Decimal("0.1"), Fraction(1, 4), np.float32(2)], dtype=object),
            "mixed": pd.Series([1, "2", 3], dtype=object),
            "truth": pd.Series([True, False, True], dtype=object),
            "none": pd.Series([None, None, None], dtype=object),
            "huge": pd.Series([10**400, -(10**400), 1], dtype=object),
            "small": [1, 2, 3],
            0: pd.Series([Decimal(1), 2, 3], dtype=object),  # a name that is no string
        }
    )
    found = as_numbers(frame)
    assert (found[0].dtype, frame[0].dtype) == (float, object)
    assert found["large"].tolist()[:2] == [3e19, 5.0]
    assert found["huge"].tolist() == [np.inf, -np.inf, 1.0]
    assert np.isnan(found["large"].iloc[2])
    assert found["exact"].tolist() == [0.1, 0.25, 2.0]
    assert found[["large", "exact"]].dtypes.eq(float).all()
    rest = ["mixed", "truth", "none", "small"]
    pd.testing.assert_frame_equal(found[rest], frame[rest])


def test_rows_are_counted_as_in_the_file() -> None:
    frame = pd.DataFrame({"a": range(5)})
    assert data_row(frame, 0) == 1
    assert data_row(frame[frame["a"] > 2], 0) == 4
    for other in (frame.set_index(pd.Index(list("abcde"))), frame[::-1], frame.set_index("a")):
        assert data_row(other, 1) == 2


def test_columns_of_one_name_are_refused_by_their_places() -> None:
    require_unique(["a", "b"], "it")
    with pytest.raises(ValueError, match=r"^it must have .*; columns 2 and 4 are both 'b'\. R"):
        require_unique(["a", "b", "c", "b"], "it")
