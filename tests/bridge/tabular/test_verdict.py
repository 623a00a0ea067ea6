"""What is said of synthetic rows follows from their intervals against both free rules."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from opal.bridge.resampling import half_width
from opal.bridge.tabular.verdict import ARM, verdict


def records(
    to_weighting: float,
    to_threshold: float,
    *,
    seeds: float = 0.004,
    rows: float = 0.002,
    both: float = 0.002,
    **about: Any,
) -> pd.DataFrame:
    """Aggregates of a table with these differences and parts of their standard error."""
    setup: dict[str, Any] = {
        "n_replicates": 5,
        "n_test": 200,
        "n_source": 0,
        "shared_test": 0.25,
        "n_real": 100,
        "n_oversampled": 80,
        "n_generator": math.nan,
        "n_copied": 0.0,
        "copied_by_chance": 0.0,
    } | about
    parts = {"error_seeds": seeds, "error_rows": rows, "error_both": both}
    far = half_width(math.hypot(*parts.values()), 4)
    found = [
        (ARM, "balanced_error_difference", to_weighting),
        (ARM, "balanced_error_difference_to_threshold", to_threshold),
        ("weighting", "balanced_error", 0.25),
        ("threshold", "balanced_error", 0.25 + to_weighting - to_threshold),
    ]
    return pd.DataFrame(
        [
            {"arm": arm, "metric": name, "value": value, "lower": value - far, "upper": value + far}
            | parts
            | setup
            for arm, name, value in found
        ]
    )


def judged(*differences: float, **about: Any) -> dict[str, Any]:
    found = verdict(records(*differences, **about))
    assert found is not None
    return found


def test_what_was_not_added_is_not_judged() -> None:
    found = judged(0.0, 0.0, n_oversampled=0, seeds=0.0, rows=0.0, both=0.0)
    assert found["says"] == "not judged"
    assert found["decided_by"] == []
    assert "no row was added" in found["sentence"]


def test_one_split_points_to_more_splits() -> None:
    for difference in (-0.1, 0.0005):
        found = judged(difference, difference, n_replicates=1, seeds=0.0)
        assert "More splits (--folder) would say" in found["sentence"]
        assert "would decide it" not in found["sentence"]


@pytest.mark.parametrize(
    ("differences", "says", "against"),
    [
        ((-0.05, -0.04), "helps", "threshold"),
        ((-0.05, -0.001), "open", "threshold"),
        ((-0.001, -0.05), "open", "weighting"),
        ((-0.05, 0.05), "harms", "threshold"),
        ((0.05, 0.001), "harms", "weighting"),
    ],
)
def test_both_free_rules_count(differences: tuple[float, float], says: str, against: str) -> None:
    found = judged(*differences)
    assert (found["says"], found["against"]) == (says, against)
    assert found["value"] == differences[against == "threshold"]
    assert found["against_error"] == pytest.approx(
        0.25 + (differences[0] - differences[1]) * (against == "threshold")
    )


def test_without_synthetic_rows_there_is_no_verdict() -> None:
    frame = records(0.0, 0.0)
    assert verdict(frame[frame["arm"] != ARM]) is None


@pytest.mark.parametrize(
    ("parts", "ways"),
    [
        ({"seeds": 0.002, "rows": 0.003}, [(True, False), (False, True)]),
        ({"seeds": 0.0, "rows": 0.009, "both": 0.0}, [(False, True)]),
        ({"seeds": 0.009, "rows": 0.0, "both": 0.0}, [(True, False)]),
        ({"seeds": 0.009, "rows": 0.009}, [(True, True)]),
        ({"seeds": 0.9, "rows": 0.9}, []),
    ],
)
def test_what_would_decide_it_does(parts: dict[str, float], ways: list[tuple[bool, bool]]) -> None:
    """With so many seeds and test rows the interval leaves out 0, and with fewer it does not."""
    value = -0.008
    found = judged(value, value - 0.01, **parts)
    assert found["says"] == "open"
    assert [(s > 5, n > 200) for s, n in found["decided_by"]] == ways
    seeds, rows, both = (
        part**2 for part in ({"seeds": 0.004, "rows": 0.002, "both": 0.002} | parts).values()
    )
    for s, n in found["decided_by"]:
        sure = []
        for more in ((s, n), (max(min(s - 1, 0.9 * s), 5), max(0.9 * n, 200))):
            own = (seeds + both * 200 / more[1]) * 5 / more[0]
            variance = own + rows * 200 / more[1]
            dof = (more[0] - 1) * (variance / own) ** 2 if own else math.inf
            sure.append(abs(value) > half_width(math.sqrt(variance), dof))
        assert sure == [True, False]


def test_a_table_has_no_more_test_rows_than_it_has() -> None:
    few = judged(-0.008, -0.02, seeds=0.0, rows=0.009, both=0.0, n_source=350)
    assert few["decided_by"] == []
    assert "Splits of this table would not decide it" in few["sentence"]
    many = judged(-0.008, -0.02, seeds=0.0, rows=0.009, both=0.0, n_source=9000)
    assert len(many["decided_by"]) == 1


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({}, "5 splits that share 25 % of their test rows."),
        ({"n_source": 768}, "5 splits of one table of 768 rows."),
        ({"shared_test": 1.0}, "5 training tables, tested on the same rows."),
        ({"shared_test": 0.0}, "5 splits with test rows of their own."),
        ({"n_replicates": 3}, "3 splits that share 25 % of their test rows; fewer than 5 make"),
        ({"n_replicates": 1}, "its test rows alone, and no other training rows."),
        ({"n_generator": 20.0}, "100 real rows; the maker of the synthetic ones was given 20."),
        ({}, "how many the maker of the synthetic ones has seen is not said."),
        (
            {"n_copied": 7.0},
            "7.0 of the synthetic rows equal a test row (of as many real ones 0.0 do)",
        ),
    ],
)
def test_the_sentence_says_what_it_rests_on(about: dict[str, Any], words: str) -> None:
    sentence = judged(-0.05, -0.04, **about)["sentence"]
    assert words in sentence
    assert sentence.startswith("the synthetic rows help: 80 rows that fill")
    assert "Use them" in sentence


def test_rows_that_have_twins_by_chance_are_no_copies() -> None:
    told = "synthetic rows equal a test row"
    assert told not in judged(-0.05, -0.04, n_copied=9, copied_by_chance=0.1)["sentence"]
    assert told in judged(-0.05, -0.04, n_copied=30, copied_by_chance=0.1)["sentence"]


def test_real_rows_on_both_sides_are_told() -> None:
    told = "10 % of the real rows equal a test row"
    assert told in judged(-0.05, -0.04, copied_by_chance=0.1)["sentence"]
    assert "equal a test row" not in judged(-0.05, -0.04, copied_by_chance=0.01)["sentence"]


def test_one_split_cannot_say_how_many_splits_it_takes() -> None:
    found = judged(-0.008, -0.02, n_replicates=1, seeds=0.0, rows=0.009, both=0.0)
    assert [seeds for seeds, _ in found["decided_by"]] == [1]
