"""The study of evaluations whose truth is known: shares on planted records, and one small pool."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from opal.cli import registry

study = registry.load("study", "text_coverage")


def planted(*, spread: float, says: str = "open", seed: int = 0) -> pd.DataFrame:
    """Records of 60 corpora with five evaluations of two writers each.

    Estimates scatter by ``spread`` of the standard error that their intervals are made from; the
    verdicts on gains that count are ``helps``, and those on texts that change nothing are ``says``.
    """
    rng, n = np.random.default_rng(seed), 600
    exact = np.tile([0.1, 4.1], n // 2)
    value = exact + spread * rng.standard_normal(n)
    same = {
        "setting": np.repeat(np.arange(60), 10).astype(str),
        "replicate": np.tile(np.repeat(np.arange(5), 2), 60),
        "synthesizer": np.tile(["one", "other"], n // 2),
        "arm": "synthetic_weighting",
        "added": 100,
        "value": value,
        "lower": value - 1.96,
        "upper": value + 1.96,
        "exact": exact,
    }
    interval = pd.DataFrame(same | {"exact_error": 0.0, "seeds_alone": 1.0, "added_up": 4.0})
    kinds = [
        *(interval.assign(metric=f"balanced_{m}_difference") for m in ("error", "risk")),
        pd.DataFrame(same | {"metric": "worth"}),
        pd.DataFrame(same | {"metric": "floor", "identified": 1.0}),
    ]
    said = pd.DataFrame(same | {"metric": "verdict", "least": 0.01, "n_test": 2000, "n_seeds": 5})
    kinds += [said.assign(exact=-0.05, says="helps"), said.assign(exact=0.0, says=says)]
    return pd.concat(kinds, ignore_index=True)


def shares(records: pd.DataFrame) -> dict[str, float]:
    table = study.comparison(records)
    return dict(zip(table["what"], table["share"], strict=True))


def test_intervals_that_are_right_pass_and_wrong_rules_are_told_apart() -> None:
    records = planted(spread=1.0)
    found = shares(records)
    assert found["difference, balanced error"] == pytest.approx(0.95, abs=0.03)
    assert found["seeds_alone, balanced error"] == pytest.approx(0.68, abs=0.07)
    assert found["added_up, log loss"] > 0.99
    assert (found["found"], found["wrong"], found["open"]) == (1.0, 0.0, 0.0)
    assert found["control, worth"] < 0.1
    assert all(check.passed for check in study.checks(records))


def test_writers_that_all_have_one_truth_show_no_control() -> None:
    records = planted(spread=1.0)
    alike = records["value"] - records["exact"] + 0.1
    ends = {"value": alike, "lower": alike - 1.96, "upper": alike + 1.96, "exact": 0.1}
    found = {check.name: check.passed for check in study.checks(records.assign(**ends))}
    assert not found["control, truths of another writer: standard errors below"]


@pytest.mark.parametrize(
    ("spread", "says", "failing"),
    [
        (2.0, "open", "difference: standard errors below 93%"),
        (0.3, "open", "difference: standard errors above 97%"),
        (2.0, "open", "floor: standard errors below 93%"),
        (1.0, "helps", "helps without a gain: standard errors above 0.025"),
    ],
)
def test_what_is_wrong_fails(spread: float, says: str, failing: str) -> None:
    found = {check.name: check.passed for check in study.checks(planted(spread=spread, says=says))}
    assert not found[failing]


def test_an_estimate_far_from_the_truth_is_not_covered_by_the_truth_s_own_error() -> None:
    records = planted(spread=1.0)
    moved = records.assign(value=records["value"] + 5, lower=records["lower"] + 5)
    moved["upper"] = records["upper"] + 5
    assert shares(moved.assign(exact_error=0.1))["difference, balanced error"] < 0.05
    assert shares(moved.assign(exact_error=5.0))["difference, balanced error"] > 0.95


@pytest.mark.slow  # a small pool compiles what a large one does
def test_truths_are_made_without_an_evaluation_s_own_seeds() -> None:
    from simulations._evaluations import KnownPool, Size, differences

    pool = KnownPool(3, Size(2, 1, 2, 2, (30, 60), (100,), 100))
    assert len(pool.draws) == 6
    assert [pool.seeds(1, n) for n in (2, 4)] == [[2, 3], [2, 3, 0, 1]]
    rows = pd.DataFrame(differences(pool))
    one = rows[(rows["replicate"] == 1) & (rows["metric"] == "balanced_error_difference")].iloc[0]
    rule, free = (one["arm"], one["synthesizer"], one["added"]), ("weighting", "none", 0)
    others = [pool.draws[seed].exact["balanced_error"] for seed in (0, 1, 4, 5)]
    apart = [each[rule] - each[free] for each in others]
    assert one["exact"] == pytest.approx(np.mean(apart))
    assert one["exact_error"] == pytest.approx(np.std(apart, ddof=1) / 2)
    first = set(pool.corpus.test["id"].iloc[pool.tested(0, 100)])
    assert first.isdisjoint(pool.corpus.test["id"].iloc[pool.tested(1, 100)])


def test_fewer_than_two_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"--seeds must be at least 2; got 1\."):
        study.cells(study.Config(seeds=1))
    with pytest.raises(ValueError, match=r"--n-seeds must be at most 25, the seeds of all"):
        study.cells(study.Config(n_seeds=(5, 30)))
