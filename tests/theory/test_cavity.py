"""Leave-one-out equations: their limits, and small designs on which order 1/n fails."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import opal.theory.predict as predict_module
from opal.objective import Design, RowCounts, RowWeights
from opal.settings import GaussianMixture
from opal.settings.setting import GaussianSetting
from opal.simulation import replicate_metrics
from opal.synthesis import Bias, Duplication, GaussianFit, Oracle
from opal.theory.asymptotics import Asymptotics
from opal.theory.cavity import SelfConsistent, self_consistent
from opal.theory.estimator import expand, resum
from opal.theory.predict import predict

D = 8
R = 4000
SETTING = GaussianMixture(
    np.stack([-0.7 * np.eye(D)[:1], 0.7 * np.eye(D)[:1] + 0.3 * np.eye(D)[1:2]])[:, 0],
    [np.eye(D), np.diag(np.linspace(0.6, 1.4, D))],
)
BIASED = Oracle.biased(SETTING.law, Bias(label_flip=0.1, mean_shift=0.1))
DESIGNS = {
    "biased oracle": Design((120, 60), BIASED, n_augmented=60, alpha=0.3),
    "raw": Design((200, 40)),
    "weighting": Design((240, 160), weighting="group"),
    "copies in turn": Design((240, 160), Duplication(), n_augmented=200, alpha=0.4),
    "threshold": Design((240, 160), threshold="balanced"),
    "ridge": Design((60, 40), BIASED, n_augmented=40, alpha=0.3, ridge=0.02),
    "squared": Design((60, 40), loss="squared", weighting="group"),
    "gaussian fit": Design((240, 160), GaussianFit(0.3), n_augmented=300, alpha=0.6),
    "gaussian fit to other rows": Design(
        (240, 160), GaussianFit(), 300, 0.6, n_generator=(300, 120), n_shared=(240, 60)
    ),
    "copies of other rows": Design(
        (240, 160), Duplication(), 200, 0.4, n_generator=(100, 90), n_shared=(100, 40)
    ),
}
DESIGNS["corrected"] = DESIGNS["biased oracle"].with_(
    counts=(240, 80), n_augmented=480, correction=0.8
)
DESIGNS["corrected fit"] = DESIGNS["gaussian fit"].with_(correction=0.8)
NEXT_ORDER = {"logistic": 12, "squared": 2}  # bounds of the error left, in units of 1/n_eff


class Predicted(NamedTuple):
    first: Asymptotics
    law: SelfConsistent


def prediction(design: Design, setting: GaussianSetting = SETTING) -> Predicted:
    first = expand(setting, design)
    law = resum(setting, design, first)
    assert isinstance(law, SelfConsistent)
    assert bool(law.converged)
    return Predicted(first, law)


@cache
def predicted(name: str) -> Predicted:
    return prediction(DESIGNS[name])


@cache
def simulated(name: str) -> tuple[float, float]:
    values = replicate_metrics(SETTING, DESIGNS[name], key=3, n_replicates=R, calibration=False)
    excess = values["excess_balanced_risk"]
    return float(excess.mean()), float(excess.std(ddof=1) / np.sqrt(R))


def effective_rows(design: Design) -> float:
    """``1/Σω²`` over independent rows."""
    if isinstance(design.synthesizer, Duplication | GaussianFit):
        design = DESIGNS["weighting"]
    squares = zip(design.row_counts(), design.row_weights(), strict=True)
    return float(1 / sum((n * w**2).sum() for n, w in squares))


def is_right(name: str, prediction: float) -> bool:
    """Within three standard errors of the simulation, beyond the order that is neglected."""
    mean, std_error = simulated(name)
    relative = NEXT_ORDER[DESIGNS[name].loss] / effective_rows(DESIGNS[name])
    neglected = relative * float(predicted(name).first.variance)
    return abs(mean - prediction) <= 3 * std_error + neglected


QUICK = ("weighting", "copies in turn", "corrected")
FITTED = "gaussian fit to other rows"
EVERY = [pytest.param(k, marks=[] if k in QUICK else pytest.mark.slow) for k in DESIGNS]
BEGINS = [pytest.param(k, marks=[] if k in (*QUICK, FITTED) else pytest.mark.slow) for k in DESIGNS]


@pytest.mark.parametrize("name", EVERY)
def test_small_designs_are_predicted(name: str) -> None:
    assert is_right(name, float(predicted(name).law.excess))


@pytest.mark.parametrize(
    "name",
    [*QUICK, *(pytest.param(k, marks=pytest.mark.slow) for k in ("threshold", "squared"))],
)
def test_order_one_over_n_fails_the_same_test(name: str) -> None:
    assert not is_right(name, float(predicted(name).first.excess))


@pytest.mark.parametrize("name", BEGINS)
def test_its_expansion_begins_with_that_in_one_over_n(name: str) -> None:
    """Ten times the rows divide the difference by a hundred, for drift and excess alike."""
    design = DESIGNS[name]

    def larger(scale: int) -> Predicted:
        counts = tuple(scale * n for n in design.counts)
        more = {"counts": counts, "n_augmented": scale * design.n_augmented}
        if isinstance(design.n_generator, tuple):
            fitted, shared = design.n_fitted, design.n_in_training
            more["n_generator"] = tuple(scale * n for n in fitted)
            more["n_shared"] = tuple(scale * n for n in shared)
        return prediction(design.with_(**more))

    small, large = larger(100), larger(1000)

    def apart(found: Predicted) -> tuple[float, float]:
        drift = jnp.max(jnp.abs(found.law.drift - found.first.drift))
        return float(drift), abs(float(found.law.excess - found.first.excess))

    for few, many in zip(apart(small), apart(large), strict=True):
        assert many <= few / 50 + 1e-12  # rounding is 1e-13
    assert float(jnp.max(jnp.abs(large.first.drift))) > 1e-9 or name in ("weighting",)


def test_least_squares_have_the_exact_high_dimensional_limit() -> None:
    """Pure noise, balanced: Cov ŵ = (Σ⁻¹/n)·n/(n − p) with p = d + 1, up to the relative 1/n."""
    n, d = 200, 10
    noise = GaussianMixture(np.zeros((2, d)), [np.eye(d)] * 2)
    law = prediction(Design((n, n), loss="squared"), noise).law
    w = np.asarray(law.covariance)[:d, :d]
    # Labels are ±1, fixed and centred: residual variance 1 over 2n rows.
    np.testing.assert_allclose(np.diag(w), 1 / (2 * n - d - 1), rtol=2 / n)
    np.testing.assert_allclose(w - np.diag(np.diag(w)), 0, atol=1e-9)


def test_weights_alpha_can_be_mapped_over() -> None:
    design = DESIGNS["biased oracle"]
    alphas = np.array([0.0, 0.3, 0.9])
    first = [expand(SETTING, design.with_(alpha=a)) for a in alphas]
    each = [prediction(design.with_(alpha=a)).law.excess for a in alphas]
    rows = RowCounts(*(jnp.asarray(n) for n in design.row_counts()))
    weights = [design.with_(alpha=a).row_weights() for a in alphas]
    stacked = RowWeights(*(jnp.stack([jnp.asarray(w[i]) for w in weights]) for i in range(3)))
    firsts = jax.tree.map(lambda *x: jnp.stack(x), *first)
    mapped = jax.vmap(
        lambda first, w: self_consistent(first, SETTING.law, BIASED.law, rows, w).excess
    )(firsts, stacked)
    np.testing.assert_allclose(mapped, np.array(each), rtol=1e-8)


def test_too_few_rows_have_no_solution_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []  # what `predict` solves, once: equations without a solution take long to give up

    def kept(*args: Any) -> SelfConsistent | Asymptotics:
        found.append(resum(*args))
        return found[-1]

    monkeypatch.setattr(predict_module, "resum", kept)
    table = predict(SETTING, Design((6, 6))).set_index("metric")["value"]
    (law,) = found
    assert isinstance(law, SelfConsistent)
    assert not bool(law.converged)
    assert np.isnan(float(law.excess))
    assert np.isnan(table["excess_balanced_risk"])
    assert np.isfinite(table["excess_first_order"])


@pytest.mark.slow
def test_designs_beyond_the_equations_stay_at_first_order() -> None:
    design = Design((120, 60), Duplication(in_turn=False), n_augmented=60, alpha=0.3)
    first = expand(SETTING, design)
    assert resum(SETTING, design, first) is first
