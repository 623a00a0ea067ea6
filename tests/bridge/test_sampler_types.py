"""The sampler keeps the types of tables and labels, and knows the labels of a pool."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("imblearn", reason="needs the extra tabular")

from imblearn.over_sampling import RandomOverSampler

from opal.bridge.sampler import OpalSampler
from opal.synthesis import Duplication, GaussianFit, Smote

COUNTS = (50, 20)
Y = np.repeat([0, 1], COUNTS)
N = len(Y)


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "value": rng.normal(size=N) + Y,
            "flag": rng.random(N) < np.where(Y == 1, 0.25, 0.7),
            "small": rng.integers(0, 256, N).astype("uint8"),
            "count": pd.array(rng.integers(0, 9, N), dtype="Int64"),
            "maybe": pd.array(rng.random(N) < 0.9, dtype="boolean"),
            "single": rng.normal(size=N).astype("float32"),
        }
    )


@pytest.fixture
def words() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "word": pd.Series(["a", "b"] * 35, dtype=object),
            "kind": pd.Categorical(["u", "v"] * 35),
            "python": pd.Series(["p", None] * 35, dtype="string[python]"),
            "arrow": pd.Series(["q", "r"] * 35, dtype="string[pyarrow]"),
            "day": pd.date_range("2022", periods=N),
            "gap": pd.array([None, 1] * 35, dtype="Int64"),
            "any": pd.Series([1, "x"] * 35, dtype=object),
        }
    )


@pytest.mark.parametrize("source", [GaussianFit(0.2), Smote(3), Duplication(in_turn=False)])
def test_a_table_of_many_types_comes_back_in_them(table: pd.DataFrame, source: Any) -> None:
    sampler = OpalSampler(source, n_augmented=40, alpha=0.3, random_state=0)
    x, y = sampler.fit_resample(table, Y)
    assert list(x.dtypes) == list(table.dtypes)
    pd.testing.assert_frame_equal(x.iloc[:N], table)
    assert len(x) == len(y) == 180
    if not isinstance(source, Duplication):
        made, own = x.iloc[N:][y[N:] == 1], table[Y == 1]
        for name in ("flag", "maybe"):
            share = own[name].astype(float).mean()
            assert abs(made[name].astype(float).mean() - share) <= 1 / len(made)


def test_copies_hold_anything_as_those_of_imbalanced_learn_do(words: pd.DataFrame) -> None:
    x, y = OpalSampler(random_state=0).fit_resample(words, Y)
    theirs, _ = RandomOverSampler(random_state=0).fit_resample(words[["word", "day"]], Y)
    assert len(x) == len(theirs) == 100
    assert Counter(y.tolist()) == {0: 50, 1: 50}
    assert list(x.dtypes) == list(words.dtypes)
    pd.testing.assert_frame_equal(x.iloc[N:].reset_index(drop=True), _turns(words[Y == 1]))
    array = words[["word", "kind"]].to_numpy()
    assert OpalSampler().fit_resample(array, Y)[0].tolist()[N] == ["a", "u"]


def _turns(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.iloc[np.arange(30) % len(rows)].reset_index(drop=True)


@pytest.mark.parametrize("column", ["word", "kind", "arrow", "day", "gap", "any"])
def test_makers_of_numbers_name_the_column_that_they_cannot_make(
    words: pd.DataFrame, column: str
) -> None:
    x = words[[column]].assign(value=1.0)
    with pytest.raises(ValueError, match=rf"SMOTE makes rows of numbers.*column '{column}'.*Dupl"):
        OpalSampler(Smote(3)).fit_resample(x, Y)


def test_a_pool_of_words_and_dates_fills_up(words: pd.DataFrame) -> None:
    pool = words[["day", "kind", "word"]].assign(label=1, day=pd.Timestamp("2030-01-01"))
    x, _ = OpalSampler(pool).fit_resample(words[["word", "kind", "day"]], Y)
    assert x["day"].iloc[N:].eq(pd.Timestamp("2030-01-01")).all()
    assert list(x.dtypes) == list(words[["word", "kind", "day"]].dtypes)


def test_what_was_made_from_a_row_of_words_is_not_used_without_it(words: pd.DataFrame) -> None:
    x = words[["word", "day"]]
    copies = OpalSampler()
    copies.fit_resample(x, Y)
    made_from = copies.lineage_["seeds"].iloc[N : N + 20].tolist()  # the twenty of class 1
    pool = pd.DataFrame({"word": "new", "day": x["day"].iloc[50:].to_numpy(), "label": 1})
    pool["seeds"] = made_from
    sampler = OpalSampler(pool, shortage="fewer")
    found, _ = sampler.fit_resample(x.iloc[:56], Y[:56])  # without the last fourteen
    assert found["day"].iloc[56:].tolist() == x["day"].iloc[50:56].tolist()
    assert sampler.lineage_["seeds"].iloc[56:].tolist() == made_from[:6]


LABELS: dict[str, Any] = {
    "whole": Y,
    "float": Y.astype(float),
    "truth": Y == 1,
    "words": np.array(["0", "1"])[Y],
    "objects": Y.astype(object),
    "nullable": pd.Series(Y, dtype="Int64"),
    "boolean": pd.Series(Y == 1, dtype="boolean"),
    "category": pd.Series(pd.Categorical(Y)),
    "list": Y.tolist(),
}
POOL_LABELS: dict[str, Any] = {
    "whole": [0, 1] * 30,
    "float": [0.0, 1.0] * 30,
    "truth": [False, True] * 30,
    "words": ["0", "1"] * 30,
    "nullable": pd.array([0, 1] * 30, dtype="Int64"),
}


@pytest.mark.parametrize("theirs", POOL_LABELS)
@pytest.mark.parametrize("ours", LABELS)
def test_one_is_one_in_whatever_type(ours: str, theirs: str) -> None:
    pool = pd.DataFrame({"x2": 7.0, "x1": np.arange(60.0), "label": POOL_LABELS[theirs]})
    x, y = OpalSampler(pool).fit_resample(np.zeros((N, 2)), LABELS[ours])
    assert x[N:, 0].tolist() == [2.0 * k + 1 for k in range(30)]
    assert type(y) is type(LABELS[ours])
    if not isinstance(y, list):
        assert y.dtype == LABELS[ours].dtype


def test_labels_that_no_pool_row_has_are_named() -> None:
    pool = pd.DataFrame({"x1": np.zeros(60), "label": ["good", "bad"] * 30})
    with pytest.raises(ValueError, match=r"those of y, 0, 1; its column 'label' holds 'good', 'b"):
        OpalSampler(pool).fit_resample(np.zeros((N, 1)), Y)


def test_a_table_of_one_column_names_the_label_as_a_series_does() -> None:
    x = pd.DataFrame({"a": np.zeros(N), "b": 1.0}, index=range(300, 300 + N))
    pool = pd.DataFrame({"b": np.arange(60.0), "fate": [0, 1] * 30, "a": 5.0})
    frame = pd.DataFrame({"fate": Y}, index=x.index)
    found, y = OpalSampler(pool).fit_resample(x, frame)
    same, series = OpalSampler(pool).fit_resample(x, frame["fate"])
    pd.testing.assert_frame_equal(found, same)
    assert y["fate"].tolist() == series.tolist()
    assert list(found.columns) == ["a", "b"]
    assert found["b"].iloc[N:].tolist() == [2.0 * k + 1 for k in range(30)]
    assert y.index.tolist() == found.index.tolist() == [*range(100)]


def test_indicators_are_labels() -> None:
    x = np.arange(N, dtype=float)[:, None]
    plain = OpalSampler(GaussianFit(0.1), random_state=3).fit_resample(x, Y)
    for given in (np.eye(2, dtype=int)[Y], pd.get_dummies(pd.Series(Y))):
        found, y = OpalSampler(GaussianFit(0.1), random_state=3).fit_resample(x, given)
        np.testing.assert_array_equal(found, plain[0])
        assert np.asarray(y).argmax(axis=1).tolist() == plain[1].tolist()
        assert type(y) is type(given)
    texts, y = OpalSampler().fit_resample(["word"] * N, np.eye(2, dtype=int)[Y])
    assert len(texts) == len(y) == 100


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (pd.DataFrame(np.zeros((N, 2)), columns=["a", "a"]), Y, "columns 1 and 2 are both 'a'"),
        (pd.DataFrame(index=range(N)), Y, "must have rows and columns"),
        (np.zeros((N, 1)), np.where(np.arange(N) == 4, np.nan, Y), "y lacks 1, the first in row 4"),
        (np.zeros((N, 1)), None, "requires y to be passed"),
        (np.zeros((N, 1)), Y[:-1], "inconsistent numbers of samples"),
        (np.zeros((N, 1)), np.zeros(N), "more than 1 class"),
        (np.zeros(N), Y, "Expected 2D array"),
    ],
)
def test_tables_and_labels_that_cannot_be_are_told(x: Any, y: Any, message: str) -> None:
    for source in (None, GaussianFit(0.1)):
        with pytest.raises(ValueError, match=message):
            OpalSampler(source).fit_resample(x, y)


def test_columns_of_a_pool_are_found_by_name() -> None:
    x = pd.DataFrame(np.zeros((N, 2)), columns=[10, 11])
    pool = pd.DataFrame({11: np.arange(60.0), 10: 5.0, "label": 1})
    assert OpalSampler(pool).fit_resample(x, Y)[0][11].iloc[N:].tolist() == [*range(30)]
    with pytest.raises(ValueError, match="the pool has '10' twice"):
        OpalSampler(pool.set_axis([10, 10, "label"], axis=1)).fit_resample(x[[10]], Y)
    with pytest.raises(ValueError, match="X and the label together have '10' twice"):
        OpalSampler(pool, target="10").fit_resample(x, Y)
