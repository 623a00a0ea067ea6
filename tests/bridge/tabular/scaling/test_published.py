"""The published protocol against pandas, scikit-learn, and the committed numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from opal.bridge.tabular.scaling import classifiers, comparison, published, tables, tasks
from opal.bridge.tabular.scaling.published import PublishedCurve
from opal.bridge.tabular.splits import TableRows


def curve_of(toy: Path, **changes: Any) -> PublishedCurve:
    source = tables.TableSource("toy", str(toy), "y", "side")
    return replace(
        PublishedCurve(source, "imbalanced", "additional", "logistic", "mine"), **changes
    )


def by_hand(toy: Path, step: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """The rows of one point of *additional*, as pandas draws them, and their weights."""
    read = {path.stem: pd.read_csv(path) for path in toy.glob("*.csv")}
    majority = read["train0"].sample(40, random_state=42).sample(32, random_state=42)
    fill = read["mine1"].sample(40, random_state=42)
    rest = read["mine1"].drop(fill.index)
    base = [read["seed"], majority, fill.sample(32, random_state=seed)]
    added = [part.sample(8 * step, random_state=seed) for part in (rest, read["mine0"])]
    weight = np.repeat([1.0, 0.5], [72, 16 * step])
    return pd.concat([*base, *added]), weight


def test_additional_against_pandas_and_another_library(toy: Path) -> None:
    frame = published.evaluate(curve_of(toy))
    test = pd.read_csv(toy / "test.csv")
    for step, seed in ((0, 1), (3, 8), (6, 42)):
        rows, weight = by_hand(toy, step, seed)
        model = LogisticRegression(max_iter=1000)
        model.fit(rows.drop(columns="y").to_numpy(), rows["y"], sample_weight=weight)
        p = model.predict_proba(test.drop(columns="y").to_numpy())
        even = np.where(test["y"] == 1, 1 / test["y"].sum(), 1 / (1 - test["y"]).sum())
        expected = {
            "balanced_log_loss": metrics.log_loss(test["y"], p, sample_weight=even),
            "minority_log_loss": -np.log(p[test["y"] == 1, 1]).mean(),
        }
        mine = frame[(frame["step"] == step) & (frame["replicate"] == seed)]
        assert mine.set_index("metric")["value"].to_dict() == pytest.approx(expected, rel=1e-9)
        assert mine["n_added"].unique().tolist() == [16 * step]
        assert mine["alpha"].unique() == pytest.approx([8 * step / (72 + 8 * step)])


def test_ratio_shares_its_imbalanced_arm(toy: Path) -> None:
    ratio = curve_of(toy, experiment="ratio")
    filled = published.evaluate(ratio)
    alone = published.evaluate(replace(ratio, maker="none"))
    first = filled[(filled["arm"] == "filled") & (filled["step"] == 0)]
    none = alone[alone["step"] == 0]
    assert np.array_equal(first["value"], none["value"])  # nothing is filled at step 0
    assert set(alone["arm"]) == {"imbalanced"}
    assert alone.groupby("step")["n_real"].first().tolist() == [8 + 4 * i for i in range(10)]
    assert set(filled[filled["arm"] == "augmented"]["n_added"]) == {24}


def test_what_nothing_says_is_missing_in_the_records(toy: Path) -> None:
    assert published.evaluate(curve_of(toy))["n_generator"].isna().all()


def two_classes(n: int, seed: int) -> TableRows:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return TableRows(rng.normal(size=(n, 5)) + 0.8 * y[:, None], y, y)


@pytest.mark.parametrize("criterion", ["entropy", "gini"])
def test_forest_without_weights_is_scikit_learns(criterion: str) -> None:
    rows, new = two_classes(120, 0), two_classes(40, 1)
    ours = classifiers.probabilities("forest", rows, None, new.x, seed=3, criterion=criterion)
    theirs = RandomForestClassifier(random_state=3, criterion=criterion).fit(rows.x, rows.y)
    assert ours == pytest.approx(theirs.predict_proba(new.x), abs=1e-12)


def test_forest_weights_count_and_do_not_draw() -> None:
    rows, new = two_classes(120, 0), two_classes(40, 1)
    plain, even, tilted = (
        classifiers.probabilities("forest", rows, weight, new.x, seed=3)
        for weight in (None, np.ones(120), np.where(rows.y == 1, 3.0, 1.0))
    )
    assert np.array_equal(plain, even)  # scikit-learn 1.9 draws other rows once there are weights
    assert np.abs(tilted - plain).max() > 0.05


def test_log_loss_clips_in_the_precision_of_the_probabilities() -> None:
    y = np.array([0, 1, 1])
    sharp = np.array([[1.0, 0.0], [0.2, 0.8], [1.0, 0.0]])
    for dtype in (np.float32, np.float64):
        eps = np.finfo(dtype).eps
        p = sharp.astype(dtype)
        expected = -(np.log(1 - eps) + np.log(float(p[1, 1])) + np.log(float(eps))) / 3
        assert classifiers.log_loss(y, p) == pytest.approx(expected, rel=1e-6)


def test_gradient_vanishes_at_the_minimum_and_not_at_an_early_stop() -> None:
    rows = two_classes(200, 2)
    stretched = TableRows(rows.x * [1, 1, 1, 1, 1e4], rows.y, rows.group)
    exact = classifiers.logistic(stretched, None, exact=True)
    early = classifiers.logistic(stretched, None).set_params(max_iter=3)
    with pytest.warns(UserWarning, match="lbfgs failed to converge"):
        early.fit(stretched.x, stretched.y)
    assert classifiers.gradient_at(exact, stretched, None) < 1e-6
    assert classifiers.gradient_at(early, stretched, None) > 1e-3


def committed(toy: Path, frame: pd.DataFrame) -> None:
    """Result files as the repository has them, with the numbers of these records."""
    for metric, short in (("balanced_log_loss", "balanced"), ("minority_log_loss", "min")):
        rows = frame[frame["metric"] == metric]
        logs = np.log(rows["value"]).groupby([rows["arm"], rows["step"]])
        mean, deviation = logs.mean(), logs.std(ddof=0)
        numbers = {
            str(i): {
                "balance_augment_mean": mean["augmented", i],
                "balance_augment_std": deviation["augmented", i],
            }
            for i in range(10)
        } | {"10": {"train_all_augment": mean["all_real", 10]}}
        name = f"imbalanced_class_vary_additional_log_mine_{short}_log_cross.json"
        (toy / name).write_text(json.dumps(numbers))


def test_comparison_says_where_a_number_differs(toy: Path) -> None:
    frame = published.evaluate(curve_of(toy))
    table = tables.from_folder(toy, "y", "side")
    with pytest.raises(ValueError, match="nothing was compared"):
        comparison.compare(frame, {"toy": table})
    committed(toy, frame)
    table = tables.from_folder(toy, "y", "side")
    found = comparison.compare(frame, {"toy": table})
    assert found["n_files"] == 2
    assert found["max_abs_difference"] < 1e-12
    assert {entry["cause"] for entry in found["files"]} == {"none: equal to rounding"}

    path = toy / "imbalanced_class_vary_additional_log_mine_min_log_cross.json"
    numbers = json.loads(path.read_text())
    numbers["4"]["balance_augment_std"] += 0.25
    numbers["10"]["train_all_augment"] += 0.5
    path.write_text(json.dumps(numbers))
    (toy / "train.csv").unlink()
    found = comparison.compare(frame, {"toy": tables.from_folder(toy, "y", "side")})
    changed = {e["file"]: e for e in found["files"]}[f"toy/{path.name}"]
    assert changed["difference"] == pytest.approx(0.5)
    assert "not explained" in changed["cause"]  # no stop of lbfgs reaches as far as 0.25
    assert "entry 10 by 0.5: train.csv is not there" in changed["cause"]

    path.write_text("[1, 2]")
    with pytest.raises(ValueError, match=r"min_log_cross.json must hold an object of steps"):
        comparison.compare(frame, {"toy": tables.from_folder(toy, "y", "side")})


def test_names_of_other_files_are_passed_over() -> None:
    name = "spurious_corr_vary_ratio_xgb_synthetic_allseed_balanced_log_cross.json"
    file = comparison.ResultFile.of(name)
    assert file == ("spurious", "ratio", "xgboost", "synthetic_allseed", "balanced_log_loss", True)
    assert comparison.ResultFile.of("data_size.json") is None


def test_too_few_rows_are_refused_before_anything_is_fitted(toy: Path) -> None:
    table = tables.from_folder(toy, "y", "side")
    published.require_rows(table, "imbalanced", "additional", "mine")
    pd.read_csv(toy / "mine1.csv").head(100).to_csv(toy / "mine1.csv", index=False)
    table = tables.from_folder(toy, "y", "side")
    with pytest.raises(ValueError, match=r"draws 112 minority rows of mine .* there are 100"):
        published.require_rows(table, "imbalanced", "additional", "mine")


def test_an_odd_number_of_originals_weighs_the_rows_that_it_draws(toy: Path) -> None:
    frame = pd.read_csv(toy / "seed.csv")
    frame.head(7).to_csv(toy / "seed.csv", index=False)
    curve = replace(curve_of(toy), experiment="ratio")
    table = curve.source.read()
    rows = tasks.TaskRows.of(table, "imbalanced", "mine")
    several = list(published.training_sets(curve, table, rows))
    assert {len(each.rows) - len(each.weight) for each in several if each.weight is not None} == {0}


@pytest.mark.parametrize("classifier", classifiers.CLASSIFIERS)
def test_committed_numbers_of_craft(mirror: Path, classifier: str) -> None:
    source = tables.TableSource("craft")
    curve = PublishedCurve(
        source, "imbalanced", "additional", classifier, "synthetic_allseed", steps=(1,)
    )
    found = comparison.numbers(published.evaluate(curve), source.read())
    assert len(found) == 6  # a mean, a deviation and the fit to all real rows, in two files
    assert found["value"].to_numpy() == pytest.approx(found["published"].to_numpy(), abs=1e-9)


@pytest.mark.slow
def test_forests_and_boosting_of_every_table_are_exact(mirror: Path) -> None:
    for name in tables.NAMES:
        source = tables.TableSource(name)
        for task, classifier in (("imbalanced", "forest"), ("spurious", "xgboost")):
            curve = PublishedCurve(
                source, task, "additional", classifier, "synthetic_allseed", steps=(0, 9)
            )
            found = comparison.numbers(published.evaluate(curve), source.read())
            found = found[found["arm"] == "augmented"]
            assert len(found) >= 4
            assert found["value"].to_numpy() == pytest.approx(found["published"], abs=1e-9)
