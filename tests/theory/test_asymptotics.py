"""Prediction 1 against simulation, and wrong terms that the same comparison catches.

Designs are large enough that the next order in 1/n is below the standard error of the simulation.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from opal import checks, records
from opal.objective import Design, GeneratorRows, RowCounts, RowWeights
from opal.settings import GaussianMixture, SpuriousCorrelation
from opal.settings.setting import GaussianSetting
from opal.simulation import replicate_metrics, simulate
from opal.synthesis import Bias, Duplication, GaussianFit, Oracle
from opal.theory.asymptotics import Asymptotics, asymptotics
from opal.theory.estimator import expand
from opal.theory.predict import predict

R = 2000
PAIR = GaussianMixture(
    [[-0.6, 0.0], [0.6, 0.4]], [[[1.0, 0.3], [0.3, 1.0]], [[0.5, 0.0], [0.0, 1.5]]]
)
SPURIOUS = SpuriousCorrelation(spurious_signal=0.8)
BIAS = Bias(mean_shift=[[0.0, 0.0], [0.25, -0.2]], covariance_scale=1.2, rotation=0.3)
TRIPLE = GaussianMixture(
    [[-0.7, 0.0], [0.7, 0.2], [0.0, 1.0]], [np.eye(2), 0.6 * np.eye(2), np.diag([1.4, 0.7])]
)
TRIPLE_BIAS = Bias(mean_shift=[[0.0, 0.0], [0.3, -0.2], [-0.2, -0.3]], covariance_scale=1.2)
ATTRIBUTE_BIAS = Bias(mean_shift=[[0.0, 0.3], [0.0, 0.0], [0.0, 0.0], [0.0, -0.3]])
COUNTS = (800, 300)


class Case(NamedTuple):
    setting: GaussianSetting
    design: Design


def augmented(synthesizer: Any, **options: Any) -> Case:
    return Case(PAIR, Design(COUNTS, synthesizer, n_augmented=600, alpha=0.5).with_(**options))


CASES: dict[str, Case] = {
    "oracle": augmented(Oracle(PAIR.law)),
    "biased oracle": augmented(Oracle.biased(PAIR.law, BIAS)),
    "flipped labels": augmented(Oracle.biased(PAIR.law, Bias(label_flip=0.15))),
    "copies in turn": augmented(Duplication(), n_augmented=500, alpha=0.4),
    "copies at random": augmented(Duplication(in_turn=False), alpha=0.4),
    "gaussian fit": augmented(GaussianFit(0.3)),
    "gaussian fit to other rows": augmented(GaussianFit(0.3), n_generator=300),
    "gaussian fit to more rows": augmented(
        GaussianFit(0.3), n_generator=(2000, 900), n_shared=COUNTS
    ),
    "copies of other rows": augmented(Duplication(), n_generator=(400, 500), n_shared=(100, 200)),
    "raw": Case(PAIR, Design((800, 40))),
    "weighting": Case(PAIR, Design(COUNTS, weighting="group")),
    "threshold": Case(PAIR, Design(COUNTS, threshold="balanced")),
    "squared": augmented(Oracle.biased(PAIR.law, BIAS), loss="squared", ridge=0.1),
    "spurious": Case(
        SPURIOUS,
        Design(
            (500, 150, 150, 500),
            Oracle.biased(SPURIOUS.law, ATTRIBUTE_BIAS),
            n_augmented=500,
            alpha=0.5,
        ),
    ),
    "three classes": Case(
        TRIPLE,
        Design((800, 400, 300), Oracle.biased(TRIPLE.law, TRIPLE_BIAS), n_augmented=400, alpha=0.5),
    ),
}


class Simulated(NamedTuple):
    mean: float
    std_error: float

    def z(self, predicted: float) -> float:
        return (self.mean - predicted) / self.std_error


@cache
def simulated(name: str) -> Simulated:
    case = CASES[name]
    values = replicate_metrics(*case, key=1, n_replicates=R, calibration=False)
    excess = values["excess_balanced_risk"]
    return Simulated(float(excess.mean()), float(excess.std(ddof=1) / np.sqrt(R)))


@cache
def predicted(name: str) -> Asymptotics:
    return expand(*CASES[name])


def is_right(name: str, prediction: float) -> bool:
    """The one check of this file: within the corrected number of standard errors."""
    return abs(simulated(name).z(prediction)) <= checks.z_threshold(len(CASES))


# A case for each way in which rows depend on the seeds; others take a compilation each.
QUICK = (
    *("raw", "biased oracle", "weighting", "copies in turn", "gaussian fit to other rows"),
    *("squared", "threshold"),  # no other test compares a penalty or a moved threshold
)


def cases(*names: str) -> list[Any]:
    """Cases by name, of which those that are not quick are slow."""
    return [pytest.param(k, marks=[] if k in QUICK else pytest.mark.slow) for k in names]


@pytest.mark.parametrize("name", cases(*CASES))
def test_excess_risk_is_predicted(name: str) -> None:
    found, expected = simulated(name), float(predicted(name).excess)
    assert found.std_error < 0.025 * found.mean  # the comparison can tell
    assert is_right(name, expected), (found.z(expected), found.mean / expected)


@pytest.mark.slow
def test_parts_add_up_and_vanish_where_they_should() -> None:
    for name in CASES:
        parts = predicted(name)
        total = parts.bias + parts.drift_risk + parts.variance
        np.testing.assert_allclose(parts.excess, total, rtol=1e-12)
        assert parts.variance > 0
        assert parts.bias > -1e-14
    for name in ("oracle", "copies in turn", "copies at random", "weighting"):
        assert abs(predicted(name).bias) < 1e-14  # their target is the optimum
        assert abs(predicted(name).drift_risk) < 1e-14
    assert predicted("biased oracle").bias > predicted("biased oracle").variance


def wrong(name: str, **changes: Any) -> Asymptotics:
    """The expansion of a case with some of its inputs replaced by wrong ones."""
    setting, design = CASES[name]
    assert design.synthesizer is not None
    population = design.synthesizer.population(setting.law)
    assert population is not None
    inputs: dict[str, Any] = {
        "truth": setting.law,
        "synthetic": population.law,
        "rows": design.row_counts(),
        "weights": design.row_weights(),
        "seed_use": population.seed_use,
        "generator": design.generator_rows(),
        "shrinkage": population.shrinkage,
        "ridge": design.ridge,
        "shift": None,
        "loss": design.loss,
        **changes,
    }
    arguments = [inputs.pop(key) for key in ("truth", "synthetic", "rows", "weights")]
    return asymptotics(*arguments, **inputs)


@pytest.mark.slow
def test_inputs_that_are_not_changed_give_the_prediction() -> None:
    for name in ("biased oracle", "gaussian fit"):
        np.testing.assert_allclose(wrong(name).excess, predicted(name).excess, rtol=1e-12)


@pytest.mark.parametrize("name", cases("biased oracle", "gaussian fit", "oracle", "three classes"))
def test_theory_without_the_noise_of_synthetic_rows_is_caught(name: str) -> None:
    """The same synthetic weight on a million times as many rows: no noise, the same mean."""
    rows, weights = CASES[name].design.row_counts(), CASES[name].design.row_weights()
    many = 1e6
    silent = wrong(
        name,
        rows=RowCounts(rows.real, rows.oversampled * many, rows.augmented * many),
        weights=RowWeights(weights.real, weights.oversampled / many, weights.augmented / many),
    )
    np.testing.assert_allclose(silent.bias, predicted(name).bias, atol=1e-12)
    assert not is_right(name, float(silent.excess))


OTHERS = ("gaussian fit to other rows", "gaussian fit to more rows", "copies of other rows")


@pytest.mark.parametrize(
    "name", cases("copies in turn", "copies at random", "gaussian fit", *OTHERS)
)
def test_theory_that_takes_used_seeds_for_new_draws_is_caught(name: str) -> None:
    assert not is_right(name, float(wrong(name, seed_use="none", generator=None).excess))


@pytest.mark.parametrize("name", cases(*OTHERS))
def test_theory_that_takes_other_seeds_for_the_training_rows_is_caught(name: str) -> None:
    counts = np.array(COUNTS, float)
    own = wrong(name, generator=GeneratorRows(counts, counts))
    assert not is_right(name, float(own.excess))


@pytest.mark.parametrize(
    "name", cases("biased oracle", "flipped labels", "squared", "spurious", "three classes")
)
def test_theory_without_the_bias_is_caught(name: str) -> None:
    assert not is_right(name, float(wrong(name, synthetic=CASES[name].setting.law).excess))


def test_theory_without_the_drift_is_caught() -> None:
    parts = predicted("raw")
    assert not is_right("raw", float(parts.bias + parts.variance))


def test_theory_without_the_moved_threshold_is_caught() -> None:
    unmoved = expand(PAIR, CASES["threshold"].design.with_(threshold="fitted"))
    assert not is_right("threshold", float(unmoved.excess))


def test_records_of_theory_and_simulation_are_joined() -> None:
    """Every shared metric of the same rows agrees, worst groups and calibration included."""
    case = CASES["biased oracle"]
    theory = predict(*case, study="s")
    simulation = simulate(*case, key=2, n_replicates=500, study="s")
    assert list(theory.columns) == list(simulation.columns) == list(records.COLUMNS)
    shared = ["study", "setting", "synthesizer", "arm", "n_real", "n_min", "n_max", "alpha"]
    shared += ["n_oversampled", "n_augmented", "group", "metric"]
    both = theory.merge(simulation, on=shared, suffixes=("_theory", "_simulation"))
    assert set(simulation["metric"]) - set(both["metric"]) == {"separated"}
    assert len(both) == len(simulation) - 1
    assert set(theory["source"]) == {"theory"}
    z = (both["value_simulation"] - both["value_theory"]) / both["std_error_simulation"]
    check = checks.within_standard_errors("every metric", z.tolist())
    assert check.passed, both.assign(z=z)[["metric", "group", "z"]].to_string()


def test_precision_does_not_depend_on_the_flag() -> None:
    case = CASES["biased oracle"]
    full = predict(*case)
    with jax.enable_x64(False):
        single = predict(*case)
    np.testing.assert_array_equal(full["value"], single["value"])


@pytest.mark.parametrize(
    ("design", "message"),
    [
        (Design((5, 5, 5)), "counts needs one number for each of 2 groups"),
        (Design(COUNTS, threshold="balanced", loss="squared"), "logistic loss only; simulate it"),
        (Design(COUNTS, GaussianFit(), n_generator=2), "at least 3 seeds in every group; .* has 2"),
        (Design(COUNTS, GaussianFit(0.1), n_generator=1), "at least 2 seeds in every group"),
    ],
)
def test_designs_without_theory_are_refused(design: Design, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        predict(PAIR, design)


def test_synthesizers_without_a_known_law_are_refused() -> None:
    from opal.synthesis import Smote

    with pytest.raises(ValueError, match=r"SMOTE has none that is known .* Simulate this arm"):
        predict(PAIR, Design(COUNTS, Smote()))
