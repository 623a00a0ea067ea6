"""The planner with learners that opal does not have: their objective, and checks that can fail."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from simulations import plan_learners as study

CONFIG = study.Config(n_real=200)


@pytest.mark.parametrize("learner", range(len(study.LEARNERS)))
def test_wrong_rows_harm_by_their_weight(learner: int) -> None:
    at = study.LearnersCase(CONFIG, learner, study.DIALS.index(("flip", 0.1)), 0)
    real, test = study.draw(at.rng(0), 200), study.draw(at.rng(1), 2000)
    rows = study.made(at, at.rng(2), 300)
    wrong = rows[0], 1 - rows[1]
    right, useless = (study.risk(at, real, wrong, alpha, test) for alpha in (0.0, 0.95))
    assert right == study.risk(at, real, None, 0.0, test)
    assert right < np.log(2) < useless


def test_classes_are_of_one_size_and_a_dial_turns_what_it_says() -> None:
    for dial, (kind, size) in enumerate(study.DIALS):
        at = study.LearnersCase(CONFIG, 0, dial, 0)
        x, y = study.made(at, at.rng(0), 4000)
        straight = study.draw(at.rng(0), 4000)
        moved = (x - straight[0])[:, 3] * np.where(straight[1] == 1, 1, -1)
        assert np.allclose(moved, size if kind == "shift" else 0.0)
        flipped = np.mean(y != straight[1])
        assert flipped == pytest.approx(size if kind == "flip" else 0.0, abs=0.02)
        assert np.bincount(straight[1]).tolist() == [4000, 4000]


def test_harm_and_broken_promises_fail() -> None:
    rows = [
        {
            "estimator": "trees", "synthesizer": f"flip {k}", "replicate": 0, "arm": arm,
            "value": value, "std_error": 0.01, "buys": True, "gain": 0.1, "gain_low": 0.05,
            "gain_high": 0.15,
        }
        for k in range(5)
        for arm, value in (("none", 1.0), ("purchase", 0.9))
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    assert [check.passed for check in study.checks(frame)] == [True, True]
    bought = frame["arm"] == "purchase"
    harm = frame.assign(value=frame["value"].where(~bought, 1.1))
    assert [check.passed for check in study.checks(harm)] == [False, False]
