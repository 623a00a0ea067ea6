"""Columns of any type come back as they were, and what is made for them has their type."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal.bridge.features import TypedTable, joined, rows_of

N = 60
RANDOM = np.random.default_rng(5)
NUMBERS: dict[str, Any] = {
    "bool": RANDOM.random(N) < 0.3,
    "boolean": pd.array(RANDOM.random(N) < 0.3, dtype="boolean"),
    "bool[pyarrow]": pd.array(RANDOM.random(N) < 0.3, dtype="bool[pyarrow]"),
    "uint8": RANDOM.integers(240, 256, N).astype("uint8"),
    "int8": RANDOM.integers(-128, -110, N).astype("int8"),
    "UInt16": pd.array(RANDOM.integers(0, 9, N), dtype="UInt16"),
    "int64[pyarrow]": pd.array(RANDOM.integers(0, 9, N), dtype="int64[pyarrow]"),
    "float16": RANDOM.normal(size=N).astype("float16") * np.float16(2e4),
    "float32": RANDOM.normal(size=N).astype("float32"),
    "Float64": pd.array(RANDOM.normal(size=N), dtype="Float64"),
    "objects": pd.Series([*range(N)], dtype=object),
    "sparse": pd.arrays.SparseArray(RANDOM.normal(size=N), fill_value=0.0),
    "long": np.arange(N) + 2**62,
}
OTHERS: dict[str, Any] = {
    "str": pd.Series(["u", "v"] * 30),
    "string[python]": pd.Series(["u", "v"] * 30, dtype="string[python]"),
    "string[pyarrow]": pd.Series(["u", "v"] * 30, dtype="string[pyarrow]"),
    "category": pd.Categorical([3, 4] * 30),
    "datetime": pd.date_range("2021", periods=N),
    "timedelta": pd.to_timedelta(range(N), unit="h"),
    "mixed": pd.Series([1, "a"] * 30, dtype=object),
    "complex": np.full(N, 1j),
    "gap": pd.array([None, *range(N - 1)], dtype="Int64"),
    "nan": np.r_[np.nan, np.zeros(N - 1)],
    "infinite": np.r_[np.zeros(N - 1), -np.inf],
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_made_in_the_type_of_their_column(name: str) -> None:
    frame = pd.DataFrame({"x": np.zeros(N), name: NUMBERS[name]})
    features = TypedTable.of(frame)
    numbers = features.numbers("a test")
    own = np.arange(N) < 40
    far = np.column_stack([np.zeros(30), np.linspace(-1e30, 1e30, 30)])
    made = features.made(far, own, np.random.default_rng(0))
    assert list(made.dtypes) == list(frame.dtypes)
    whole = joined([frame, made])
    pd.testing.assert_frame_equal(whole.iloc[:N], frame)
    plain = numbers[:, 1]
    if set(np.unique(plain)) <= {0.0, 1.0}:
        share = plain[own].mean()
        assert abs(made[name].astype(float).mean() - share) <= 1 / 30
    elif made[name].dtype != object and name not in ("Float64", "sparse", "float32"):
        info: Any = np.finfo("float16") if name == "float16" else np.iinfo(_plain(made[name]))
        assert made[name].min() == info.min
        assert made[name].max() == info.max


def _plain(column: pd.Series) -> Any:
    return getattr(column.dtype, "numpy_dtype", column.dtype)


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_finite_number_is_refused_by_name_but_can_be_copied(name: str) -> None:
    frame = pd.DataFrame({"x": np.zeros(N), name: OTHERS[name]}, index=range(100, 100 + N))
    features = TypedTable.of(frame)
    with pytest.raises(ValueError, match=rf"a test makes rows of numbers.*'{re.escape(name)}'"):
        features.numbers("a test")
    assert features.values().shape == (N, 2)
    copies = rows_of(frame, np.array([7, 7, 0]))
    whole = joined([frame, copies])
    assert list(whole.dtypes) == list(frame.dtypes)
    pd.testing.assert_frame_equal(whole.iloc[:N], frame.reset_index(drop=True))
    assert whole.index.tolist() == [*range(N + 3)]


@pytest.mark.parametrize("share", [0.0, 0.05, 0.45, 1.0])
def test_truth_values_keep_their_share_and_what_they_go_with(share: float) -> None:
    n = 400
    flag = np.arange(n) < share * n
    made = TypedTable.of(pd.DataFrame({"f": flag})).made(
        (drawn := np.random.default_rng(1).normal(size=(n, 1))),
        np.ones(n, dtype=bool),
        np.random.default_rng(2),
    )["f"]
    assert made.sum() == share * n
    assert 0 < share < 1 or made.nunique() == 1
    if 0 < share < 1:
        assert drawn[made.to_numpy(), 0].min() > drawn[~made.to_numpy(), 0].max()


def test_equal_numbers_are_true_by_chance() -> None:
    flag = pd.DataFrame({"f": [True, False] * 200})
    seen = np.zeros(400)
    for seed in range(50):
        made = TypedTable.of(flag).made(
            np.zeros((400, 1)), np.ones(400, dtype=bool), np.random.default_rng(seed)
        )
        seen += made["f"].to_numpy()
    assert seen.min() > 0
    assert seen.max() < 50


@pytest.mark.parametrize("kind", [np.array, list, tuple])
def test_lists_and_arrays_keep_their_kind(kind: Any) -> None:
    rows = [[0, 250], [1, 251], [2, 255]]
    given = np.array(rows, dtype="uint8") if kind is np.array else kind(map(kind, rows))
    features = TypedTable.of(given)
    made = features.made(
        np.array([[0.4, 270.0], [-3.0, 254.6]]), np.ones(3, bool), np.random.default_rng(0)
    )
    assert type(made) is type(given)
    if kind is np.array:
        assert made.tolist() == [[0, 255], [0, 255]]
        assert made.dtype == np.uint8
    assert len(joined([given, made])) == 5
    with pytest.raises(ValueError, match=r"column 'x2' is of type .* and holds 'b'"):
        TypedTable.of([[1, "b"], [2, "c"]]).numbers("a test")


@pytest.mark.parametrize(
    ("column", "pool", "message"),
    [
        (np.zeros(4, "uint8"), [0, 300, 1], "holds 300 in row 1; X has the type uint8 there"),
        (np.zeros(4, bool), [0, 2, 1], "holds 2 in row 1; X has the type bool .* only 0 and 1"),
        (np.zeros(4), [0, np.nan, 1], "lacks 1 of 3 values, the first in row 1, and X lacks none"),
        (np.zeros(4), [0, np.inf, 1], "must be finite; column 'a' of the pool holds inf in row 1"),
        (np.zeros(4), ["1", "b", "c"], "must hold numbers; column 'a' of the pool"),
        (pd.Categorical(["u"] * 4), ["u", "w", "u"], "such as 'u'; it holds 'w' in row 1"),
        (pd.date_range("2021", periods=4), ["2021", "then", "2022"], "must fit X.*datetime64"),
    ],
)
def test_a_pool_that_does_not_fit_is_told(column: Any, pool: Any, message: str) -> None:
    features = TypedTable.of(pd.DataFrame({"a": column}))
    with pytest.raises(ValueError, match=message):
        features.admitted(pd.DataFrame({"a": pool}))


@pytest.mark.parametrize(
    ("column", "pool", "expected"),
    [
        (np.zeros(4, "uint8"), [0.0, 254.6], [0, 255]),
        (np.zeros(4, bool), [0.0, 1.0], [False, True]),
        (pd.Categorical(["u", "v"] * 2), ["v", "u"], ["v", "u"]),
        (pd.date_range("2021", periods=4), ["2021-01-09"], [pd.Timestamp("2021-01-09")]),
        (pd.array([1, None], dtype="Int64"), [3, 4], [3, 4]),
        (pd.Series(["a"], dtype="string"), [], []),
    ],
)
def test_a_pool_comes_in_the_types_of_the_table(column: Any, pool: Any, expected: Any) -> None:
    frame = pd.DataFrame({"a": column})
    made = TypedTable.of(frame).admitted(pd.DataFrame({"a": pool}))
    assert made["a"].tolist() == expected
    assert made["a"].dtype == frame["a"].dtype
