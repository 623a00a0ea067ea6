"""Bias-corrected training: arms, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable

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


THEORY = "theory holds"
LOSS = "never much worse than weighting"
GAIN = "correction gains where theory says so"
IGNORED = "a correction is not ignored"


@pytest.fixture(scope="module")
def simulated_as_predicted() -> pd.DataFrame:
    """Records of a small study, with what theory says in place of what was simulated."""
    config = study.Config(counts=(400, 40), n_augmented=400, size=(0.2,), n_replicates=4)
    kept = [cell for cell in study.cells(config) if cell.config.kind in ("rotated", study.LABELS)]
    found = pd.concat([cell.function(cell.config) for cell in kept], ignore_index=True)
    return planted(found, lambda rows: rows["arm"].map(dict.fromkeys(rows["arm"], 1.0)))


def planted(records: pd.DataFrame, factor: Callable[[pd.DataFrame], pd.Series]) -> pd.DataFrame:
    """Records whose simulated excess is a factor times the predicted one, with small errors."""
    out, on = records.copy(), list(study.ON)
    theory = out[(out["metric"] == EXCESS) & (out["source"] == "theory")]
    theory = theory.drop_duplicates(on).set_index(on)["value"]
    for metric in (EXCESS, f"{EXCESS} minus weighting"):
        chosen = (out["metric"] == metric) & (out["source"] == "simulation")
        rows = out[chosen]
        value = theory.loc[pd.MultiIndex.from_frame(rows[on])].to_numpy() * factor(rows).to_numpy()
        weighting = theory.xs("weighting", level="arm").iloc[0]
        minus = weighting if metric != EXCESS else 0.0
        out.loc[chosen, "value"] = value - minus
        out.loc[chosen, "std_error"] = 0.004 * weighting
    return out


def verdicts(records: pd.DataFrame) -> dict[str, bool]:
    return {check.name: check.passed for check in study.checks(records)}


def test_what_theory_says_passes(simulated_as_predicted: pd.DataFrame) -> None:
    assert verdicts(simulated_as_predicted) == dict.fromkeys((THEORY, LOSS, GAIN, IGNORED), True)


def test_wrong_records_are_refused(simulated_as_predicted: pd.DataFrame) -> None:
    ten = planted(simulated_as_predicted, lambda rows: 1.1 + 0.0 * rows["value"])
    assert not verdicts(ten)[THEORY]
    beside = planted(
        simulated_as_predicted,
        lambda rows: rows["arm"].eq(study.BESIDE).mul(3.0) + 1.0,  # four times what theory says
    )
    assert not verdicts(beside)[LOSS]
    left = study._left_out(simulated_as_predicted).set_index(list(study.ON))["predicted"]
    theory = simulated_as_predicted[simulated_as_predicted["source"] == "theory"]
    theory = theory[theory["metric"] == EXCESS].drop_duplicates(study.ON).set_index(list(study.ON))
    ratio = (left / theory["value"].reindex(left.index)).to_dict()
    ignored = planted(
        simulated_as_predicted,
        lambda rows: pd.Series(
            [ratio.get(tuple(at), 1.0) for at in rows[list(study.ON)].to_numpy()], rows.index
        ),
    )
    found = verdicts(ignored)
    assert not found[IGNORED]
    assert not found[THEORY]
