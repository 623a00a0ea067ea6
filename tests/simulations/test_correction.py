"""Bias-corrected training: arms, and what is said of them."""

from __future__ import annotations

import pandas as pd
import pytest

from opal.objective import Design, PredictionPowered
from simulations import correction as study
from simulations._rows import EXCESS

CONFIG = study.Config(counts=(200, 40), n_augmented=100, size=(0.2,))


def test_each_kind_has_its_arms_beside_weighting() -> None:
    biases = [cell.config for cell in study.cells(CONFIG)]
    assert [at.kind for at in biases] == ["none", *study.KINDS]
    for at in biases:
        _, arms = study.arms_of(at)
        assert next(iter(arms)) == "weighting"
        kinds = {type(design) for design in arms.values()}
        assert kinds == ({Design, PredictionPowered} if at.kind == study.LABELS else {Design})
    assert biases[-1].size == pytest.approx(0.02)


def test_weights_are_those_of_least_predicted_excess() -> None:
    setting, arms = study.arms_of(study.BiasSize(CONFIG, "shrunk", 0.3))
    beside = study.best(setting, study.BESIDE, arms[study.BESIDE])
    corrected = study.best(setting, study.BESIDE + study.CORRECTED, arms[study.BESIDE])
    assert isinstance(beside, Design)
    assert isinstance(corrected, Design)
    assert beside.correction == 0
    assert corrected.correction > 0.1
    assert corrected.alpha > beside.alpha  # what is less wrong is used more


def records(simulated: dict[str, float], predicted: dict[str, float]) -> pd.DataFrame:
    rows = [
        {"arm": arm, "source": source, "value": value, "std_error": 0.01 * value}
        for source, values in (("simulation", simulated), ("theory", predicted))
        for arm, value in values.items()
    ]
    frame = pd.DataFrame(rows).assign(kind="shrunk", size=0.2)
    return frame.assign(metric=EXCESS, group="all")


def test_gains_compare_the_arms_that_theory_chooses() -> None:
    corrected = study.BESIDE + study.CORRECTED
    seen = {"weighting": 0.9, "OPAL": 2.0, study.BESIDE: 1.0, corrected: 0.5}
    foreseen = {"weighting": 1.0, "OPAL": 2.0, study.BESIDE: 0.8, corrected: 0.6}
    (row,) = study.gains(records(seen, foreseen)).to_dict("records")
    assert (row["corrected"], row["uncorrected"]) == (corrected, study.BESIDE)
    assert row["ratio"] == pytest.approx(0.5)
    assert row["predicted"] == pytest.approx(0.75)
    assert row["std_error"] == pytest.approx(0.5 * 0.01 * 2**0.5)
