"""The sound protocol: what arms are made of, what they have seen, and how sure differences are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal.bridge.tabular.scaling import cells, fills, report, sound, tables
from opal.bridge.tabular.scaling.effort import Effort
from opal.bridge.tabular.scaling.fills import Arm, SoundCurve
from opal.bridge.tabular.scaling.learners import Learner, TrainingTable

EFFORT = Effort(sizes=(0, 24), alphas=(0.25, 0.75), draws=4, folds=2, real_sizes=(40, 80))


def curve_of(toy: Path, **changes: Any) -> SoundCurve:
    source = tables.TableSource("toy", str(toy), "y", "side")
    return replace(SoundCurve(source, "spurious", "logistic", "synthetic", EFFORT), **changes)


def made(curve: SoundCurve, arm: Arm, draw: int = 0) -> TrainingTable:
    return fills.training_table(curve, fills.read(curve.source.read(), curve), arm, draw)


@pytest.mark.parametrize("task", tables.TASKS)
def test_groups_are_filled_up_and_added_to_alike(toy: Path, task: str) -> None:
    curve = curve_of(toy, task=task)
    plain, more = made(curve, Arm("filled")), made(curve, Arm("filled", 24))
    counts = np.bincount(plain.rows.group)
    assert len(set(counts)) == 1
    assert counts[0] == np.bincount(plain.group).max()
    assert set(np.bincount(more.rows.group) - counts) == {24 // len(counts)}
    assert np.array_equal(more.rows.x[: len(plain.rows)], plain.rows.x)  # sizes are nested


def test_half_a_weight_is_the_objective_at_its_share(toy: Path) -> None:
    curve = curve_of(toy)
    half = made(curve, Arm("filled", 24))
    assert half.weight[-1] / half.weight[0] == pytest.approx(0.5)
    n_base = len(half.rows) - 24
    share = 12 / (n_base + 12)
    same = made(curve, Arm("any", 24, share))
    assert same.weight == pytest.approx(half.weight)
    assert same.weight[n_base:].sum() == pytest.approx(share)


def test_published_mix_keeps_its_pairs_of_groups(toy: Path) -> None:
    training = made(curve_of(toy), Arm(fills.AS_PUBLISHED, 24))
    few = np.isin(training.rows.group, (0, 3))
    filled = few[training.n_real : len(training.rows) - 24]
    assert filled.all()
    assert len(filled) == 32
    assert few[-24:].sum() == 12


def test_draws_share_originals_and_makers_share_draws(toy: Path) -> None:
    curve, other = curve_of(toy), curve_of(toy, maker="mine")
    first, second = made(curve, Arm("filled"), 0), made(curve, Arm("filled"), 1)
    assert np.array_equal(first.rows.x[:8], second.rows.x[:8])
    assert not np.array_equal(first.rows.x[8:40], second.rows.x[8:40])
    assert np.array_equal(first.rows.x[:40], made(other, Arm("filled"), 0).rows.x[:40])


def test_real_rows_beyond_the_base_are_other_rows(toy: Path) -> None:
    training = made(curve_of(toy, maker="real"), Arm("filled", 24))
    assert len(np.unique(training.rows.x, axis=0)) == len(training.rows)


def test_records_say_what_was_seen_and_differences_pair(toy: Path) -> None:
    frames = {
        maker: sound.evaluate(curve_of(toy, maker=maker))
        for maker in ("none", "synthetic", "mine", "real")
    }
    known = {name: frame.drop_duplicates(["arm", "n_added"]) for name, frame in frames.items()}
    seen = {name: f.set_index(["arm", "n_added"])["n_seen"] for name, f in known.items()}
    assert set(seen["none"]) == {40.0}
    assert seen["mine"]["weighting", 0] == 40.0
    assert np.isnan(seen["mine"]["filled", 24])  # nothing says what its generator has seen
    real = known["real"].set_index(["arm", "n_added"]).loc[("filled", 24)]
    assert real["n_seen"] == 40 + real["n_oversampled"] + 24
    weighting = frames["mine"][frames["mine"]["arm"] == "weighting"]
    zero = weighting[weighting["metric"].str.endswith("_difference")]
    assert (zero[["value", "std_error"]] == 0).all(axis=None)
    assert "filled, alpha chosen" in set(frames["mine"]["arm"])


def test_threshold_moves_what_raw_says(toy: Path) -> None:
    frame = sound.evaluate(curve_of(toy, maker="none"))
    loss = frame[frame["metric"] == "balanced_log_loss"].set_index("arm")["value"]
    assert loss["threshold"] < loss["raw"]


def test_sizes_out_of_reach_are_left_out_and_none_is_refused(toy: Path) -> None:
    far = replace(EFFORT, sizes=(0, 24, 4000))
    curve = curve_of(toy, effort=far)
    rows = fills.read(curve.source.read(), curve)
    assert fills.left_out(curve, fills.arms_of(curve, rows)) == [4000]
    none = replace(curve, effort=replace(far, sizes=(4000,)))
    with pytest.raises(ValueError, match=r"synthetic has too few rows for N = 4000: of .* 60 and"):
        fills.arms_of(none, rows)


def test_real_rows_too_few_to_draw_or_to_hold_out_are_refused(toy: Path) -> None:
    many = curve_of(toy, task="imbalanced", effort=replace(EFFORT, folds=5))
    with pytest.raises(ValueError, match=r"each of the 5 --folds .* there are 4 of label 1. Lower"):
        fills.arms_of(many, fills.read(many.source.read(), many))
    pd.read_csv(toy / "train0.csv").head(39).to_csv(toy / "train0.csv", index=False)
    curve = curve_of(toy, task="imbalanced", maker="none")
    with pytest.raises(ValueError, match="each of the 8 originals out of at least 5; there are 39"):
        fills.arms_of(curve, fills.read(curve.source.read(), curve))


def test_test_rows_that_may_be_trained_on_are_told(toy: Path) -> None:
    for part, rows in (("train0", 5), ("mine1", 3)):
        test = pd.read_csv(toy / "test.csv")
        same = test[test["y"] == int(part[-1])].head(rows)
        path = toy / f"{part}.csv"
        pd.concat([pd.read_csv(path), same]).to_csv(path, index=False)
    (toy / "train.csv").unlink()
    table = tables.from_folder(toy, "y", "side")
    choice = cells.CurveChoice(("imbalanced",), (), ("logistic",), ("none", "mine"))
    found = cells.sound_cells([tables.source_of(table, toy)], choice, EFFORT)[1]
    assert found == [
        "toy, imbalanced task: 5 of 200 test rows equal a real row",
        "toy, imbalanced task: 3 of 200 test rows equal a row of mine",
    ]


def test_settings_and_weights_are_chosen_in_each_draw_from_its_own_rows(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curve = curve_of(toy, task="imbalanced")
    rows = fills.read(curve.source.read(), curve)
    seen: list[TrainingTable] = []

    def tuned(kind: str, training: TrainingTable, *, folds: int, seed: int) -> Learner:
        seen.append(training)
        return Learner(kind, 1.0 + len(seen), seed)

    monkeypatch.setattr(sound, "tuned", tuned)
    learners = sound._tuned(curve, rows, Arm("weighting"))
    assert [each.setting for each in learners] == [2.0, 3.0, 4.0, 5.0]
    for draw, training in enumerate(seen):
        assert np.array_equal(training.rows.x, made(curve, Arm("weighting"), draw).rows.x)

    def loss(learner: Learner, training: TrainingTable, folds: int) -> float:
        share = training.weight[-24:].sum() / training.weight.sum()
        return share if learner.setting < 4 else -share  # the first two draws like a small weight

    monkeypatch.setattr(sound, "held_out_loss", loss)
    grid = [Arm(f"filled, alpha {alpha:g}", 24, alpha) for alpha in EFFORT.alphas]
    losses = {arm: {"log_loss": np.full((4, 3), arm.alpha)} for arm in grid}
    ((arm, found),) = sound._of_chosen_alpha(curve, rows, losses, learners).items()
    assert arm == Arm(sound.CHOSEN, 24, 0.5)
    assert found["log_loss"][:, 0].tolist() == [0.25, 0.25, 0.75, 0.75]


def test_weighting_is_shown_once_with_its_worth() -> None:
    common = {"n_real": 40, "arm": "weighting"}
    arms = [common, {**common, sound.EQUIVALENT: {"value": 9.0}}, {"n_real": 40, "arm": "raw"}]
    shown = list(report._once([*arms, {"n_real": 60, "arm": fills.REAL_ALONE}]))
    assert shown == [arms[1], arms[2], {"n_real": 60, "arm": fills.REAL_ALONE}]


def test_a_report_says_what_an_arm_is_worth_as_far_as_was_measured() -> None:
    found = {"value": 0.0, "lower": 0.0, "upper": 60.0, "measured": [60, 6400]}
    assert report.worth(found) == "< 60 [< 60, 60]"
    far = {**found, "value": np.inf, "lower": 310.0, "upper": np.inf}
    assert report.worth(far) == "> 6,400 [310, > 6,400]"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"draws": 1}, "--draws must be at least 2"),
        ({"folds": 1}, "--folds must be at least 2"),
        ({"sizes": (0, 6)}, "multiples of 4"),
        ({"sizes": (0, 24, 24)}, "--sizes must be different numbers"),
        ({"folds": 30}, "--folds must be at most 10, rows of a group in --real-sizes"),
        ({"sizes": ()}, "multiples of 4"),
        ({"real_sizes": (200,)}, "--real-sizes needs two"),
        ({"alphas": (0.5, 1.0)}, r"--alphas must lie between 0 and 1.*got \[1.0\]"),
    ],
)
def test_an_effort_that_means_nothing_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(EFFORT, **changes)


def test_gpt2_has_seen_what_it_was_fitted_to(mirror: Path) -> None:
    source = tables.TableSource("gender")
    effort = Effort(sizes=(0,), alphas=(), draws=2, folds=2, real_sizes=(60, 100))
    for maker, expected in (("synthetic", 1000), ("synthetic_allseed", 3500)):
        frame = sound.evaluate(SoundCurve(source, "imbalanced", "logistic", maker, effort))
        seen = frame.groupby("arm")["n_seen"].first()
        assert seen["weighting"] == 1000
        assert seen["filled"] == expected
        assert sound.EQUIVALENT in set(frame.loc[frame["arm"] == "filled", "metric"])


@pytest.mark.slow
def test_generators_of_craft_stand_where_independent_numbers_put_them(mirror: Path) -> None:
    """Numbers of another logistic regression (C = 1, 8 draws) in the notes on the data."""
    expected = {"synthetic": (0.491, 0.499), "synthetic_allseed": (0.460, 0.458)}
    for maker, (first, last) in expected.items():
        source = tables.TableSource("craft")
        effort = Effort(sizes=(0, 3600), alphas=())
        frame = sound.evaluate(SoundCurve(source, "imbalanced", "logistic", maker, effort))
        loss = frame[frame["metric"] == "balanced_log_loss"].set_index(["arm", "n_added"])
        assert loss.loc[("weighting", 0), "value"] == pytest.approx(0.479, abs=0.01)
        for size, known in ((0, first), (3600, last)):
            assert loss.loc[("filled", size), "value"] == pytest.approx(known, abs=0.006)


def test_a_single_table_is_not_a_curve_of_columns(toy: Path) -> None:
    frame = sound.evaluate(curve_of(toy, task="imbalanced"))
    assert fills.AS_PUBLISHED not in set(frame["arm"])  # in this task filling is the published mix
    assert pd.api.types.is_float_dtype(frame["n_seen"])
