from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from opal.bridge.tabular import arms, classifiers, datasets, sound, splits
from opal.bridge.tabular.arms import TrainingRows
from opal.bridge.tabular.sound import SoundSettings
from opal.bridge.tabular.splits import SplitArrays, TableRows, load_features
from tests.bridge.conftest import Draw

LIGHT = SoundSettings(folds=3, trees=30, draws=1)


def test_folds_deal_out_each_group_evenly() -> None:
    group = np.repeat([0, 1, 2], [10, 3, 1])
    fold = classifiers.folds(group, SoundSettings(folds=5))
    assert np.bincount(fold[group == 0]).tolist() == [2] * 5
    assert len(set(fold[group == 1])) == 3
    assert fold[group == 2].tolist() == [-1]


def test_whole_weights_are_repetitions() -> None:
    """A weighted fit equals the fit to rows repeated as often: duplication is reweighting."""
    rng = np.random.default_rng(0)
    x, times = rng.normal(size=(30, 3)), rng.integers(1, 4, size=30)
    y = (x[:, 0] + rng.normal(size=30) > 0).astype(int)
    rows = TableRows(x, y, y)
    again = rows.take(np.repeat(np.arange(30), times))
    none = np.zeros(2, dtype=int)
    weighted = classifiers.logistic_scores(
        TrainingRows(rows, times / times.mean(), none), 30, [0.1, 1]
    )
    repeated = classifiers.logistic_scores(
        TrainingRows(again, np.ones(len(again)), none), 30, [0.1, 1]
    )
    assert weighted(x) == pytest.approx(repeated(x), abs=1e-9)


def test_penalty_is_strong_for_noise_and_weak_for_signal(folder: Path) -> None:
    dataset = datasets.from_folder(folder, attribute="side")
    split = splits.load(dataset, "spurious")
    signal = classifiers.choose_penalty("raw", SplitArrays.of(split), (1, 0, 0), LIGHT)
    noise = split.train.copy()
    rng = np.random.default_rng(5)
    noise[["x1", "x2", "x3"]] = rng.normal(size=(len(noise), 3))
    noise["y"] = rng.permutation(noise["y"])
    noisy = splits.Split(**{**vars(split), "train": noise})
    lost = classifiers.choose_penalty("raw", SplitArrays.of(noisy), (1, 0, 0), LIGHT)
    assert lost < signal


def evaluate(
    folder: Path, task: str, classifier: str, settings: SoundSettings = LIGHT
) -> pd.DataFrame:
    return sound.evaluate(datasets.from_folder(folder, None, "side"), task, classifier, settings)


def metric(frame: pd.DataFrame, arm: str, name: str) -> pd.Series:
    rows = frame[frame["replicate"].isna() & (frame["arm"] == arm) & (frame["metric"] == name)]
    assert len(rows) == 1
    return rows.iloc[0]


@pytest.mark.parametrize("classifier", sound.CLASSIFIERS)
def test_arms_do_what_they_are_for(folder: Path, draw: Draw, classifier: str) -> None:
    """10 against 160: the raw fit neglects the small class; weighting and real rows do not."""
    for seed in (1, 2):
        counts = {(0, 0): 5, (1, 0): 5, (0, 1): 80, (1, 1): 80}
        path = f"toy_see_small_raw40_imbalanced_focus/train_colsbase_size40_total200_rand{seed}.csv"
        draw(counts, 50 + seed).to_csv(folder / path, index=False)
    frame = evaluate(folder, "imbalanced", classifier)
    raw = metric(frame, "raw", "minority_error_difference")
    if classifier != "catboost":  # boosted trees fit every row whatever its weight
        assert raw["value"] > max(0.1, 2 * raw["std_error"])  # two seeds have no narrow interval
    assert metric(frame, "weighting", "balanced_error_difference")["value"] == 0.0
    assert metric(frame, "real_balanced", "minority_error_difference")["value"] < raw["value"]
    without = set() if classifier == "logistic" else {arms.CORRECTED}  # no negative weights
    assert set(frame["arm"]) == set(arms.ARMS) - without


def test_records_add_up(folder: Path) -> None:
    frame = evaluate(folder, "spurious", "logistic")
    seeds = frame[frame["replicate"].notna() & (frame["arm"] == "smote")]
    groups = seeds[seeds["metric"] == "error"].groupby("group")["value"].mean()
    assert len(groups) == 4
    smote = metric(frame, "smote", "balanced_error")
    assert smote["value"] == pytest.approx(groups.mean())
    assert metric(frame, "smote", "worst_error")["value"] == pytest.approx(groups.max())
    # Training has 14, 6, 6, 14 rows of the groups: the minority groups are the middle two.
    assert metric(frame, "smote", "minority_error")["value"] == pytest.approx(
        groups.iloc[1:3].mean()
    )
    weighting = metric(frame, "weighting", "balanced_error")["value"]
    difference = metric(frame, "smote", "balanced_error_difference")
    assert difference["value"] == pytest.approx(smote["value"] - weighting)
    assert difference["lower"] <= difference["value"] <= difference["upper"]
    threshold = metric(frame, "threshold", "balanced_error")["value"]
    difference = metric(frame, "smote", "balanced_error_difference_to_threshold")
    assert difference["value"] == pytest.approx(smote["value"] - threshold)
    assert (frame["source"] == "data").all()
    assert smote["n_oversampled"] == 16


def test_intervals_are_students_and_a_moved_threshold_belongs_to_a_fit(folder: Path) -> None:
    """Two seeds, one degree of freedom, unless they are more alike than their rows explain.

    Where rows fill all groups up, moving the threshold changes nothing; nothing is refitted.
    """
    frame = evaluate(folder, "spurious", "logistic")
    differences = frame[frame["metric"] == "balanced_error_difference"]
    known = differences["std_error"] > 0
    assert known.any()
    half = (differences["upper"] - differences["lower"])[known] / 2
    expected = stats.t.ppf(0.975, differences["dof"][known]) * differences["std_error"][known]
    np.testing.assert_allclose(half, expected)
    assert (differences["shared_test"] < 0.1).all()
    assert (differences["n_source"] > 0).all()
    value = frame[frame["replicate"].isna()].set_index(["arm", "metric"])["value"]
    for name in ("balanced_error", "worst_error"):
        assert value["synthetic_threshold", name] == value["synthetic_balanced", name]
    assert value["threshold", "minority_error"] != value["raw", "minority_error"]


def test_same_seed_same_records(folder: Path) -> None:
    first, second = (evaluate(folder, "spurious", "forest") for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def test_added_rows_that_equal_test_rows_are_counted(folder: Path) -> None:
    inside = folder / "toy_see_small_raw40_spurious_focus"
    test = pd.read_csv(next(inside.glob("test_*rand1.csv")))
    for path in inside.glob("train_generate*"):
        test.to_csv(path, index=False)
    frame = evaluate(folder, "spurious", "logistic")
    copied = frame[frame["arm"] == "synthetic_balanced"]["n_copied"]
    assert copied.unique().tolist() == [8.0]  # all 16 of one seed, none of the other
    assert (frame[frame["arm"] == "weighting"]["n_copied"] == 0).all()


def test_group_absent_from_a_table_is_named(folder: Path) -> None:
    path = folder / "toy_see_small_raw40_imbalanced_focus/test_colsbase_size200_rand2.csv"
    table = pd.read_csv(path)
    table[table["y"] == 1].to_csv(path, index=False)
    with pytest.raises(
        ValueError, match=r"seed 2: every group needs test rows; \['y=0'\] has none"
    ):
        evaluate(folder, "imbalanced", "logistic")


def test_lone_row_of_a_group_leaves_smote_out_and_the_rest_works(folder: Path) -> None:
    for path in (folder / "toy_see_small_raw40_imbalanced_focus").glob("train_cols*"):
        table = pd.read_csv(path)
        lone = table[table["y"] == 0].head(1)
        pd.concat([table[table["y"] == 1], lone]).to_csv(path, index=False)
    frame = evaluate(folder, "imbalanced", "logistic")
    assert "smote" not in set(frame["arm"])
    assert frame["value"].notna().all()
    splits = load_features(datasets.from_folder(folder), "imbalanced")
    assert list(sound.left_out(splits, ["logistic"])) == ["smote"]


def test_unknown_classifier_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="There are: catboost, forest, logistic"):
        evaluate(folder, "imbalanced", "svm")
