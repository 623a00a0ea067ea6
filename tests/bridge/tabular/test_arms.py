from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from opal.bridge.tabular import arms, datasets, splits
from opal.bridge.tabular.arms import ARMS, TrainingRows
from opal.bridge.tabular.splits import SplitArrays, TableRows


def toy(folder: Path, task: str = "spurious") -> SplitArrays:
    dataset = datasets.from_folder(folder, attribute="side")
    return SplitArrays.of(splits.load(dataset, task))


def made(arm: str, data: SplitArrays, seed: int = 0) -> TrainingRows:
    return arms.build(arm, data, np.arange(len(data.train)), np.random.default_rng(seed))


def values(rows: TableRows) -> Counter[bytes]:
    return Counter(row.tobytes() for row in np.column_stack([rows.x, rows.y]) + 0.0)


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("task", datasets.TASKS)
def test_every_arm_keeps_the_real_rows(folder: Path, task: str, arm: str) -> None:
    data = toy(folder, task)
    training = made(arm, data)
    assert values(data.train) <= values(training.rows)
    assert len(training.rows) == len(data.train) + training.n_added.sum()
    assert training.weight.mean() == pytest.approx(1.0)


@pytest.mark.parametrize("arm", ["duplication", "smote", "synthetic_balanced", "real_balanced"])
@pytest.mark.parametrize("task", datasets.TASKS)
def test_oversampling_ends_in_balance(folder: Path, task: str, arm: str) -> None:
    data = toy(folder, task)
    counts = made(arm, data).rows.counts(len(data.group_names))
    assert counts.tolist() == [data.train.counts(len(data.group_names)).max()] * len(counts)


@pytest.mark.parametrize("arm", ["weighting", "synthetic_weighting"])
def test_weighting_gives_groups_equal_weight(folder: Path, arm: str) -> None:
    data = toy(folder)
    training = made(arm, data)
    totals = np.bincount(training.rows.group, weights=training.weight)
    assert totals == pytest.approx([totals[0]] * 4)


def test_duplicates_are_training_rows_of_their_group(folder: Path) -> None:
    data = toy(folder)
    training = made("duplication", data)
    assert set(values(training.rows)) == set(values(data.train))


def test_smote_rows_lie_between_rows_of_their_group(folder: Path) -> None:
    data = toy(folder)
    training = made("smote", data)
    new = training.rows.take(np.arange(len(data.train), len(training.rows)))
    assert not set(values(new)) & set(values(data.train))
    for g in (1, 2):
        real, ours = data.train.x[data.train.group == g], new.x[new.group == g]
        assert (ours >= real.min(axis=0) - 1e-9).all()
        assert (ours <= real.max(axis=0) + 1e-9).all()
        side = data.features.index("side")
        assert np.unique(ours[:, side]).tolist() == [g // 2]


def test_published_arm_takes_rows_in_file_order(folder: Path) -> None:
    data = toy(folder)
    training = made("synthetic", data)
    assert np.array_equal(training.rows.x[40:], data.synthetic.x[:40])


def test_recited_rows_are_dropped_and_held_out_rows_are_never_copied(folder: Path) -> None:
    """Training row 0 is planted in the synthetic rows; when it is held out, so is its copy."""
    dataset = datasets.from_folder(folder, attribute="side")
    split = splits.load(dataset, "spurious")
    columns = list(split.train.columns)
    split.synthetic.loc[0, columns] = split.train.loc[0, columns].to_numpy(dtype=float)
    split.synthetic.loc[1, columns] = split.test.loc[0, columns].to_numpy(dtype=float)
    data = SplitArrays.of(split)
    assert not data.novel[:2].any()
    assert data.novel.sum() >= len(data.novel) - 10
    planted = next(iter(values(data.train.take(np.array([0])))))
    rest = np.arange(1, len(data.train))
    for arm in ("synthetic", "synthetic_weighting"):
        training = arms.build(arm, data, rest, np.random.default_rng(0))
        assert values(training.rows)[planted] == 0
        assert values(made(arm, data).rows)[planted] == 2
    assert values(made("synthetic_novel", data).rows)[planted] == 1


def test_fresh_rows_are_neither_training_nor_test_rows(folder: Path) -> None:
    data = toy(folder, "imbalanced")
    assert data.fresh is not None
    training = made("real_balanced", data)
    fresh = training.rows.take(np.arange(len(data.train), len(training.rows)))
    assert not set(values(fresh)) & (set(values(data.train)) | set(values(data.test)))
    assert set(values(fresh)) <= set(values(data.fresh))


def test_thresholds_are_base_rates(folder: Path) -> None:
    imbalanced = toy(folder, "imbalanced")
    moved = arms.thresholds(imbalanced.train, imbalanced.test, by_attribute=False)
    assert set(moved) == {32 / 40}
    spurious = toy(folder)
    found = arms.thresholds(spurious.train, spurious.test, by_attribute=True)
    assert found[spurious.test.group < 2] == pytest.approx(6 / 20)
    assert found[spurious.test.group >= 2] == pytest.approx(14 / 20)


def test_a_balanced_table_needs_no_other_threshold(folder: Path) -> None:
    """Rows that fill all groups up leave the threshold at ½; too few of them do not."""
    data = toy(folder)
    filled = made("synthetic_threshold", data).rows
    assert set(arms.thresholds(filled, data.test, by_attribute=True)) == {0.5}
    few = replace(data, synthetic=data.synthetic.take(np.arange(0)), novel=np.zeros(0, dtype=bool))
    short = made("synthetic_threshold", few).rows
    assert set(arms.thresholds(short, data.test, by_attribute=True)) == {6 / 20, 14 / 20}


def test_arms_without_their_material_say_why(folder: Path, tmp_path: Path) -> None:
    inside = folder / "toy_see_small_raw40_spurious_focus"
    dataset = datasets.from_tables(
        inside / "train_colsbase_size40_total200_rand1.csv",
        inside / "test_colsbase_size200_rand1.csv",
        attribute="side",
    )
    data = SplitArrays.of(splits.load(dataset, "spurious", "focus", 0))
    why = {arm: reason for arm in ARMS if (reason := arms.why_not(arm, data))}
    assert sorted(why) == ["real_balanced", *sorted(a for a in ARMS if a.startswith("synthetic"))]
    few = np.flatnonzero(data.train.group != 1)
    one = np.append(few, np.flatnonzero(data.train.group == 1)[:1])
    lonely = SplitArrays(**{**vars(data), "train": data.train.take(one)})
    assert "SMOTE needs two rows" in str(arms.why_not("smote", lonely))
