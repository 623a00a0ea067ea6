from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from opal.bridge.tabular import datasets, published


def by_hand(folder: Path, seed: int, chunks: int) -> np.ndarray:
    """Predictions of an unpenalised logistic regression from another library: errors, (n_test,)."""
    inside = folder / "toy_see_small_raw40_imbalanced_focus"
    train = pd.read_csv(next(inside.glob(f"train_cols*rand{seed}.csv")))
    synthetic = pd.read_csv(next(inside.glob(f"train_gen*rand{seed}.csv")))
    test = pd.read_csv(next(inside.glob(f"test_*rand{seed}.csv")))
    rows = pd.concat([train, synthetic.head(8 * chunks)])
    features = ["x1", "x2", "x3"]  # the last feature, side, is left out
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(rows[features], rows["y"])
    return model.predict(test[features]) != test["y"]


def test_imbalanced_task_against_another_library(folder: Path) -> None:
    found = published.evaluate(datasets.from_folder(folder), "imbalanced", "logistic")
    table = found["_imbalanced_focus_logistic_toy.txt"]
    assert sorted(found) == [f"_imbalanced_{m}_logistic_toy.txt" for m in sorted(datasets.METHODS)]
    for seed in (1, 2):
        expected = [by_hand(folder, seed, k).mean() for k in published.CHUNKS]
        assert table.loc[seed].to_numpy() == pytest.approx(expected, abs=1e-12)


def test_spurious_metrics_belong_together(folder: Path) -> None:
    dataset = datasets.from_folder(folder, attribute="side")
    found = published.evaluate(dataset, "spurious", "logistic")
    value = {name.split("_")[0]: table.to_numpy() for name, table in found.items()}
    assert set(value) == {"overall", "majority", "minority", "worst", "diff"}
    # Every toy group has 30 test rows: the pools are halves of the table.
    assert (value["majority"] + value["minority"]) / 2 == pytest.approx(value["overall"])
    assert (value["worst"] >= value["minority"]).all()
    assert (value["worst"] >= value["diff"] - 1e-12).all()


def test_comparison_finds_the_number_that_differs(folder: Path) -> None:
    dataset = datasets.from_folder(folder)
    found = published.evaluate(dataset, "imbalanced", "logistic")
    results = folder.parent.parent / "main/results"
    results.mkdir(parents=True)
    for name, table in found.items():
        mean, deviation = (part.copy() for part in published.summarise(table))
        if "smote" in name:
            deviation[3] += 0.25
        text = f"Mean: {mean.tolist()}\nStd: {deviation.tolist()}\n"
        (results / name).write_text(text)
    compared = published.compare(found, [dataset])
    assert compared["n_files"] == 3
    assert compared["max_abs_difference"] == pytest.approx(0.25)
    assert compared["files"]["_imbalanced_focus_logistic_toy.txt"] == 0.0
    records = published.as_records(dataset, "imbalanced", "logistic")
    assert (records["value"] - records["published"]).abs().max() == pytest.approx(0.25)


def test_nothing_published_is_no_comparison(folder: Path) -> None:
    dataset = datasets.from_folder(folder)
    found = published.evaluate(dataset, "imbalanced", "logistic")
    assert published.compare(found, [dataset])["max_abs_difference"] is None


def test_standard_deviation_is_of_a_sample() -> None:
    mean, deviation = published.summarise(pd.DataFrame([[1.0] * 6, [3.0] * 6]))
    assert mean.tolist() == [2.0] * 6
    assert deviation == pytest.approx([np.sqrt(2)] * 6)


def test_group_absent_from_the_test_table_is_named(folder: Path) -> None:
    inside = folder / "toy_see_small_raw40_spurious_focus"
    path = inside / "test_colsbase_size200_rand1.csv"
    table = pd.read_csv(path)
    table[(table["side"] == 0) | (table["y"] == 0)].to_csv(path, index=False)
    dataset = datasets.from_folder(folder, attribute="side")
    with pytest.raises(ValueError, match=r"every group needs test rows; \['side≠0,y=1'\] has none"):
        published.evaluate(dataset, "spurious", "logistic")


def test_too_few_synthetic_rows_are_refused(folder: Path) -> None:
    path = folder / "toy_see_small_raw40_imbalanced_focus/train_generate_colsbase_rand1.csv"
    pd.read_csv(path).head(30).to_csv(path, index=False)
    with pytest.raises(ValueError, match="adds up to 40 synthetic rows"):
        published.evaluate(datasets.from_folder(folder), "imbalanced", "logistic")


def test_unknown_classifier_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="published classifier 'logit'; did you mean 'logistic'"):
        published.evaluate(datasets.from_folder(folder), "imbalanced", "logit")


def test_damaged_result_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("Mean: 0.3")
    with pytest.raises(ValueError, match=r"is `Mean: \[...\]` and `Std"):
        published.read_result(tmp_path / "r.txt")


@pytest.mark.parametrize(
    ("names", "task", "classifier", "n_files"),
    [
        (datasets.NAMES, "imbalanced", "logistic", 9),
        (datasets.NAMES, "spurious", "logistic", 15),
        pytest.param(("heart_failure",), "spurious", "catBoost", 5, marks=pytest.mark.slow),
        pytest.param(("heart_failure",), "spurious", "randomForest", 5, marks=pytest.mark.slow),
    ],
)
def test_published_numbers_reproduce(
    mirror: Path, names: tuple[str, ...], task: str, classifier: str, n_files: int
) -> None:
    """A part of the 72 files; `opal tabular evaluate --protocol published --compare` does all."""
    chosen = [datasets.listed(name) for name in names]
    results: dict[str, pd.DataFrame] = {}
    for dataset in chosen:
        results |= published.evaluate(dataset, task, classifier)
    compared = published.compare(results, chosen)
    assert compared["n_files"] == n_files
    assert compared["max_abs_difference"] <= 1e-9
