from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from opal.bridge.tabular import datasets, splits
from opal.bridge.tabular.splits import keys, without


def focus(folder: Path, task: str = "imbalanced") -> Path:
    return folder / f"toy_see_small_raw40_{task}_focus"


def spoil(path: Path, column: str, value: object) -> None:
    table = pd.read_csv(path).astype({column: object})
    table.loc[4, column] = value
    table.to_csv(path, index=False)


def test_folder_of_the_repository_is_read(folder: Path) -> None:
    dataset = datasets.from_folder(folder, attribute="side")
    assert (dataset.name, dataset.target) == ("toy", "y")
    assert dataset.seeds("spurious", "focus") == (1, 2)
    split = splits.load(dataset, "spurious", "focus", 2)
    assert split.features == ["x1", "x2", "x3", "side"]
    assert split.source is not None
    assert list(split.source.columns) == list(split.train.columns)
    assert np.bincount(split.groups(split.train)).tolist() == [14, 6, 6, 14]
    assert split.group_names[3] == "side≠0,y=1"


def test_one_split_folder_is_read(folder: Path) -> None:
    dataset = datasets.from_folder(focus(folder))
    assert list(dataset.folders) == [("imbalanced", "focus")]
    assert splits.load(dataset, "imbalanced").train.shape == (40, 5)


def test_own_files_are_read(folder: Path) -> None:
    inside = focus(folder)
    dataset = datasets.from_tables(
        inside / "train_colsbase_size40_total200_rand1.csv",
        inside / "test_colsbase_size200_rand1.csv",
        attribute="side",
    )
    split = splits.load(dataset, "spurious", "focus", 0)
    assert len(split.synthetic) == 0
    assert split.source is None


def test_label_need_not_be_the_last_column(folder: Path) -> None:
    dataset = datasets.from_folder(focus(folder), target="side")
    split = splits.load(dataset, "imbalanced")
    assert split.features == ["x1", "x2", "x3", "y"]
    assert list(split.train.columns)[-1] == "side"


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("x2", "", r"'x2' must be complete and finite; 1 cells are not, the first in data row 5"),
        ("x2", "inf", "'x2' must be complete and finite"),
        ("x3", "tall", "'x3' must hold numbers; data row 5 holds 'tall'. Correct it, encode"),
        ("y", 2, r"labels must be 0 or 1; column 'y' also holds 2"),
    ],
)
def test_bad_cells_are_refused(folder: Path, column: str, value: object, message: str) -> None:
    spoil(focus(folder) / "train_generate_colsbase_rand1.csv", column, value)
    with pytest.raises(ValueError, match=message):
        splits.load(datasets.from_folder(folder), "imbalanced")


def test_misspelt_column_is_answered_with_the_nearest(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"needs a column 'Sidee'; did you mean 'side'.*add or"):
        splits.load(datasets.from_folder(folder, attribute="Sidee"), "spurious")


def test_column_missing_in_one_table_is_named(folder: Path) -> None:
    path = focus(folder) / "test_colsbase_size200_rand1.csv"
    pd.read_csv(path).drop(columns="x3").to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"test_colsbase_size200_rand1.csv needs a column 'x3'"):
        splits.load(datasets.from_folder(folder), "imbalanced")


def test_the_first_text_of_a_column_is_shown_with_its_row() -> None:
    mixed = pd.DataFrame({"a": [1, 2.5, "3", None, "tall", "x"]}, dtype=object)
    with pytest.raises(
        ValueError, match="m: column 'a' must hold numbers; data row 5 holds 'tall'"
    ):
        splits.checked(mixed, ["a"], [], "m")
    with pytest.raises(ValueError, match="m must hold rows; it has none"):
        splits.checked(mixed.head(0), ["a"], [], "m")


def test_labels_are_explained_where_the_source_does() -> None:
    assert datasets.listed("gender").coding == "gender 0: male, 1: female"


def test_what_is_not_there_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"did you mean 'gender'.*with --folder"):
        datasets.listed("Gender")
    with pytest.raises(ValueError, match="there is none at"):
        datasets.from_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="it has neither"):
        datasets.from_folder(tmp_path)
    with pytest.raises(ValueError, match=r"has the seeds \[1, 2"):
        splits.load(datasets.from_folder(folder), "imbalanced", "focus", 3)
    with pytest.raises(ValueError, match="name it with --attribute"):
        splits.load(datasets.from_folder(folder), "spurious")
    with pytest.raises(ValueError, match="there is none at"):
        datasets.from_tables(tmp_path / "a.csv", tmp_path / "b.csv")


def test_equal_numbers_are_equal_rows() -> None:
    whole = pd.DataFrame({"a": [1, 0], "b": [2, 3]})
    written = pd.DataFrame({"a": [1.0, -0.0], "b": [2.0, 3.0]})
    assert keys(whole) == keys(written)


def test_rows_are_taken_as_often_as_they_were_drawn() -> None:
    source = pd.DataFrame({"a": [1, 1, 1, 2]})
    left = without(source, [pd.DataFrame({"a": [1.0]}), pd.DataFrame({"a": [1, 3]})])
    assert left["a"].tolist() == [1, 2]


def test_real_splits_partition_their_source(mirror: Path) -> None:
    """Training and test rows are rows of the source table, none counted twice."""
    for name in datasets.NAMES:
        dataset = datasets.listed(name)
        for task in datasets.TASKS:
            for seed in dataset.seeds(task, "focus"):
                split = splits.load(dataset, task, "focus", seed)
                assert split.source is not None
                used = Counter(keys(split.train)) + Counter(keys(split.test))
                assert used <= Counter(keys(split.source))


def test_prompt_rows_were_balanced(mirror: Path) -> None:
    """GPT-4 saw the first 20 training rows: five of each group in the spurious task."""
    for name in datasets.NAMES:
        for seed in datasets.SEEDS:
            split = splits.load(datasets.listed(name), "spurious", "focus", seed)
            shown = split.groups(split.train.head(datasets.PROMPT_ROWS))
            assert np.bincount(shown, minlength=4).tolist() == [5, 5, 5, 5]
