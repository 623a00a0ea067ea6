from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from opal import names
from opal.bridge.tabular.scaling import report, tables, tasks


def test_a_folder_has_makers_groups_and_all_its_real_rows(toy: Path) -> None:
    table = tables.from_folder(toy, "y", "side")
    assert table.makers("imbalanced") == table.makers("spurious") == ["mine", "synthetic"]
    frame, rows = table.frame("test"), table.rows("test")
    assert np.array_equal(rows.group, 2 * frame["side"] + frame["y"])
    assert np.array_equal(rows.x[:, 0], frame["x1"])
    assert len(table.real()) == 240
    (toy / "train.csv").unlink()
    assert len(tables.from_folder(toy, "y", "side").real()) == 240


def test_the_attribute_is_zero_at_its_least_value(toy: Path) -> None:
    for path in toy.glob("*.csv"):
        frame = pd.read_csv(path)
        frame.assign(side=2 * frame["side"] - 1).to_csv(path, index=False)
    table = tables.from_folder(toy, "y", "side")
    assert np.bincount(table.rows("seed").group).tolist() == [2, 2, 2, 2]


def test_a_name_says_what_a_generator_saw_in_published_tables_only(toy: Path, mirror: Path) -> None:
    table = tables.from_folder(toy, "y", "side")
    assert math.isnan(table.n_generator("synthetic"))
    said = tables.from_folder(toy, "y", "side", (("mine", 40),))
    assert said.n_generator("mine") == tables.source_of(said, toy).read().n_generator("mine") == 40
    assert tables.listed("gender").n_generator("synthetic") == 200
    assert tables.listed("gender").n_generator("synthetic_allseed") == 3500


def test_other_content_is_another_source(toy: Path) -> None:
    table = tables.from_folder(toy, "y", "side")
    first = tables.source_of(table, toy)
    assert first == tables.source_of(table, toy)
    made = pd.read_csv(toy / "mine1.csv")
    made.assign(x1=-made["x1"]).to_csv(toy / "mine1.csv", index=False)
    assert tables.source_of(table, toy) != first


def test_a_folder_named_like_a_file_is_no_maker(toy: Path) -> None:
    (toy / "other0.csv").mkdir()
    table = tables.from_folder(toy, "y", "side")
    assert "other" not in table.makers("imbalanced")
    assert tables.source_of(table, toy).read().label == "y"


def test_groups_that_are_missing_or_in_the_wrong_file_are_refused(toy: Path) -> None:
    def refused(message: str, task: str = "spurious") -> None:
        with pytest.raises(ValueError, match=message):
            tasks.TaskRows.of(tables.from_folder(toy, "y", "side"), task, "mine")

    for file in ("test.csv", "seed.csv"):
        whole = pd.read_csv(toy / file)
        whole[~((whole["side"] == 1) & (whole["y"] == 1))].to_csv(toy / file, index=False)
        refused(rf"{file} must hold every group .* lacks \(attribute, label\) = \(1, 1\)")
        whole.to_csv(toy / file, index=False)
    pd.read_csv(toy / "test.csv").to_csv(toy / "train0.csv", index=False)
    refused("train0.csv must hold rows of label 0 alone; 100 rows are others", "imbalanced")
    with pytest.raises(ValueError, match="another column than the label"):
        tables.from_folder(toy, "y", "y")


def test_real_rows_may_be_known_by_group_alone(toy: Path) -> None:
    for part in ("train", "train0", "train1"):
        (toy / f"{part}.csv").unlink()
    assert len(tables.from_folder(toy, "y", "side").real()) == 240


def test_minority_of_each_task(toy: Path) -> None:
    table = tables.from_folder(toy, "y", "side")
    imbalanced = tasks.TaskRows.of(table, "imbalanced", "mine")
    spurious = tasks.TaskRows.of(table, "spurious", "mine")
    assert set(imbalanced.pool.y) == {0}
    assert set(imbalanced.minority.y) == {1}
    assert set(spurious.pool.group) == set(spurious.majority.group) == {1, 2}
    assert set(spurious.minority.group) == set(spurious.test.group[spurious.is_minority]) == {0, 3}
    assert set(imbalanced.test.y[imbalanced.is_minority]) == {1}


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("seed.csv", None, "needs a file seed.csv; there is none"),
        ("test.csv", {"y": 2}, "labels must be 0 or 1; column 'y' also holds 2"),
        ("mine1.csv", "x2", "mine1.csv needs a column 'x2'"),
        ("mine1.csv", {"x1": None}, "column 'x1' must be complete and finite"),
    ],
)
def test_an_unfit_file_is_refused(
    toy: Path, file: str, change: str | dict[str, float] | None, message: str
) -> None:
    path = toy / file
    frame = pd.read_csv(path)
    path.unlink()
    if isinstance(change, str):
        frame.drop(columns=[change]).to_csv(path, index=False)
    elif change is not None:
        frame.assign(**change).to_csv(path, index=False)
    with pytest.raises(ValueError, match=message):
        tasks.TaskRows.of(tables.from_folder(toy, "y", "side"), "imbalanced", "mine")


def test_names_that_are_not_there(toy: Path, tmp_path: Path) -> None:
    table = tables.from_folder(toy, "y", "side")
    with pytest.raises(names.UnknownNameError, match="did you mean 'mine'"):
        tables.require_makers(table, "imbalanced", ["mime"])
    with pytest.raises(names.UnknownNameError, match="did you mean 'craft'"):
        tables.listed("crafts")
    with pytest.raises(ValueError, match="there is none at"):
        tables.from_folder(tmp_path / "absent")
    with pytest.raises(ValueError, match="--attribute"):
        tables.from_folder(toy, "y")
    with pytest.raises(names.UnknownNameError, match="did you mean 'mine'"):
        tables.from_folder(toy, "y", "side", (("mime", 200),))
    with pytest.raises(ValueError, match="--generator-rows mine must be at least 1; got 0"):
        tables.from_folder(toy, "y", "side", (("mine", 0),))


def test_rows_that_change_under_way_are_refused(toy: Path) -> None:
    source = tables.source_of(tables.from_folder(toy, "y", "side"), toy)
    source.read()
    path = toy / "mine1.csv"
    pd.read_csv(path).head(50).to_csv(path, index=False)
    with pytest.raises(ValueError, match="must stay as they are while they are used"):
        source.read()


@pytest.mark.parametrize("name", ["real", "none"])
def test_makers_are_not_called_what_they_are_held_against(toy: Path, name: str) -> None:
    for ending in ("0", "1"):
        (toy / f"mine{ending}.csv").rename(toy / f"{name}{ending}.csv")
    with pytest.raises(ValueError, match=f"must not be called '{name}'"):
        tables.from_folder(toy, "y", "side")


def test_an_own_folder_is_not_taken_for_a_published_table(toy: Path) -> None:
    table = tables.from_folder(toy.rename(toy.parent / "adult"), "y", "side")
    assert table.name not in tables.NAMES
    assert report.label("synthetic_allseed", table.name) == "synthetic_allseed"
    assert report.label("synthetic_allseed", "adult") == "GPT-2 on all rows"


def test_one_test_row_of_a_group_is_too_few(toy: Path) -> None:
    frame = pd.read_csv(toy / "test.csv")
    pd.concat([frame[frame["y"] == 0], frame[frame["y"] == 1].head(1)]).to_csv(
        toy / "test.csv", index=False
    )
    with pytest.raises(ValueError, match="imbalanced task, 2 or more rows; it lacks label 1"):
        tasks.TaskRows.of(tables.from_folder(toy, "y", "side"), "imbalanced", "mine")


def test_published_tables_have_their_makers(mirror: Path) -> None:
    for name in tables.NAMES:
        table = tables.listed(name)
        for task in tables.TASKS:
            assert table.makers(task) == sorted(tables.MAKERS)
        assert np.bincount(table.rows("seed").group).tolist() == [50] * 4
        assert table.has("train") is (name != "diabetes")
