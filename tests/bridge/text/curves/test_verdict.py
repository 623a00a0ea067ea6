"""What an evaluation comes to: judged against both rules that cost nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from opal.bridge.resampling import half_width
from opal.bridge.text.curves.verdict import Change, change, sentence
from opal.checks import z_threshold

N_SEEDS, N_BLOCKS = 5, 100


def planted(
    errors: Mapping[str, float], rng: np.random.Generator, *, seeds: float, tests: float
) -> pd.DataFrame:
    """Records of arms with these errors; arms err apart, over seeds and over shared test texts."""
    rows = []
    for arm, error in errors.items():
        blocks = tests * np.sqrt(N_BLOCKS) * rng.standard_normal(N_BLOCKS)
        added = 100 if arm == "synthetic_alpha" else 0
        same = {
            "metric": "balanced_error",
            "source": "data",
            "n_test": 400,
            "arm": arm,
            "n_real": 75,
        }
        same |= {"added": added, "synthesizer": "m" if added else "none"}
        same |= {"alpha": 0.2 if added else 0.0}
        same |= {"influence": (blocks - blocks.mean()) / N_BLOCKS}
        values = error + blocks.mean() + seeds * rng.standard_normal(N_SEEDS)
        rows += [same | {"replicate": seed, "value": value} for seed, value in enumerate(values)]
    return pd.DataFrame(rows)


def judged(alpha: float, weighting: float, threshold: float) -> Change:
    """With little noise."""
    errors = {"synthetic_alpha": alpha, "weighting": weighting, "threshold": threshold}
    found = change(planted(errors, np.random.default_rng(0), seeds=0.002, tests=0.002), "m")
    assert found is not None
    return found


def test_texts_help_only_if_they_beat_both_free_rules() -> None:
    assert judged(0.30, 0.40, 0.40).says == "helps"
    moved = judged(0.30, 0.40, 0.30)
    assert (moved.says, moved.against) == ("open", "threshold")
    weighed = judged(0.30, 0.25, 0.40)
    assert (weighed.says, weighed.against) == ("outdone", "weighting")
    assert weighed.value == pytest.approx(0.05, abs=0.01)
    worse = judged(0.30, 0.25, 0.20)
    assert (worse.says, worse.against) == ("harms", "threshold")
    alone = planted({"weighting": 0.3}, np.random.default_rng(0), seeds=0.0, tests=0.0)
    assert change(alone, "m") is None


def test_a_single_draw_has_no_verdict_and_few_are_called_rough() -> None:
    errors = {"synthetic_alpha": 0.1, "weighting": 0.4, "threshold": 0.4}
    records = planted(errors, np.random.default_rng(0), seeds=0.002, tests=0.002)
    assert change(records[records["replicate"] == 0], "m") is None
    for n_seeds, rough in ((2, True), (N_SEEDS, False)):
        found = change(records[records["replicate"] < n_seeds], "m")
        assert found is not None
        said = sentence({"added": 100, **found.described()})
        assert ("the interval is rough" in said) == rough


def test_texts_that_do_not_help_are_rarely_said_to() -> None:
    """And those that help by four standard errors nearly always are."""
    rng, n, said = np.random.default_rng(1), 100, {0.0: 0, -0.1: 0}
    for effect in said:
        errors = {"synthetic_alpha": 0.3 + effect, "weighting": 0.3, "threshold": 0.5}
        for _ in range(n):
            found = change(planted(errors, rng, seeds=0.02, tests=0.015), "m")
            assert found is not None
            said[effect] += found.says == "helps"
    assert said[0.0] / n < 0.025 + z_threshold(1) * np.sqrt(0.025 * 0.975 / n)
    assert said[-0.1] / n > 0.9


def test_texts_that_get_no_weight_are_not_said_to_harm() -> None:
    """What is measured then is one free rule against the other."""
    errors = {"synthetic_alpha": 0.4, "weighting": 0.4, "threshold": 0.3}
    records = planted(errors, np.random.default_rng(0), seeds=0.002, tests=0.002)
    found = change(records.assign(alpha=0.0), "m")
    assert found is not None
    assert (found.says, found.against) == ("unused", "threshold")
    said = sentence({"added": 100, **found.described()})
    assert "no weight" in said
    assert "at weight 0" in said
    assert "harm" not in said


@pytest.mark.parametrize(
    ("over_tests", "over_seeds", "more_tests", "more_seeds"),
    [
        (0.02, 0.0, True, False),
        (0.02, 0.003, True, False),
        (0.005, 0.02, False, True),
        (0.02, 0.02, True, True),
        (0.0, 0.0075, False, True),  # Student's t alone keeps it open
    ],
)
def test_what_would_decide_is_enough_and_no_more_than_that(
    over_tests: float, over_seeds: float, more_tests: bool, more_seeds: bool
) -> None:
    one = Change(10, "weighting", 0.4, -0.0196, -0.1, 0.1, over_tests, over_seeds, 400, 5)
    tests, seeds = one.decided_by()
    assert (tests > 400, seeds > 5) == (more_tests, more_seeds)

    def half(tests: float, seeds: float) -> float:
        of_seeds = over_seeds**2 * 5 / seeds
        variance = over_tests**2 * 400 / tests + of_seeds
        dof = (seeds - 1) * (variance / of_seeds) ** 2 if of_seeds else np.inf
        return float(half_width(np.sqrt(variance), dof))

    assert half(tests, seeds) < 0.0196
    fewer = tests * 0.97 if more_tests else tests, seeds * 0.97 - 1 if more_seeds else seeds
    assert half(*fewer) > 0.0196
    assert np.isnan(one._replace(high=-0.001).decided_by()).all()
    assert np.isnan(one._replace(value=1e-5).decided_by()).all() or over_tests + over_seeds < 0.01
    assert np.isnan(one._replace(value=0.0, over_tests=0.0, over_seeds=0.0).decided_by()).all()


def test_the_sentence_answers_five_questions() -> None:
    one = Change(2000, "threshold", 0.4, -0.0196, -0.05, 0.01, 0.02, 0.0, 400, 5, 75)
    row = {"added": 2000, "worth": 270.0, "worth_low": 0.0, "worth_high": None, **one.described()}
    said = sentence(row)
    for part in (
        "undecided: the balanced error of 75 labelled texts is 0.380 with 2,000 of these",
        "and 0.400 without them, by a moved threshold, which is free: -0.020",
        "95 % interval [-0.050, +0.010].",
        "Buy none yet, and use a moved threshold.",
        "If the true change is -0.020, 1,601 test texts (there are 400) would show it.",
    ):
        assert part in said
    assert "draws" not in said  # there are enough of them
    more = sentence(row | one._replace(over_tests=0.005, over_seeds=0.02).described())
    assert "draws, --seeds (there are 5) would show it" in more
    assert "test texts" not in more
    tiny = sentence(row | one._replace(value=0.0).described())
    assert "100 times as many test texts and draws would not decide it" in tiny
    assert "Buy none, and" in tiny


def test_no_sentence_says_that_texts_help_and_are_worth_nothing() -> None:
    one = Change(2000, "weighting", 0.4, -0.0196, -0.03, -0.0003, 0.02, 0.0, 400, 5, 75)
    lost = {"came": "loss", "measured": -0.04, "measured_far": 0.03, "tried": 500}
    row = {"added": 500, "worth": 27.0, "worth_low": 0.0, "worth_high": 80.0, "tried_alpha": 0.4}
    said = sentence(row | one.described() | lost)
    assert "the texts help" in said
    assert "[-0.030, -0.0003]" in said  # an end that excludes 0 does not look like it
    assert "Buy them" in said
    assert "would show it" not in said
    assert "human" not in said
    log_loss = "at weight α = 0.4, 500 of them change the log loss by +0.040 [+0.010, +0.070]"
    assert log_loss in said
    assert "hold that against a moved threshold" in said
    assert "do what 27 human texts do [3, 80]" in sentence(
        row | one.described() | {"worth_low": 3.0}
    )
    harm = one._replace(value=0.02, low=0.01, high=0.03)
    harmed = sentence(row | harm.described() | {"worth_low": 3.0})
    assert "the texts harm" in harmed
    assert "human" not in harmed
