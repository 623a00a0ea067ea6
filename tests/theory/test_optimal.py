"""Best weights and best numbers of synthetic rows: closed forms against numerical minimisers."""

from __future__ import annotations

import re
from typing import Any

import jax
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from opal.objective import Design
from opal.settings import GaussianMixture
from opal.synthesis import Bias, Duplication, Oracle, Smote
from opal.theory import optimal
from opal.theory.estimator import expand
from opal.theory.optimal import WeightCurve

SETTING = GaussianMixture(
    [[-0.6, 0.0], [0.6, 0.4]], [[[1.0, 0.3], [0.3, 1.0]], [[0.5, 0.0], [0.0, 1.5]]]
)
LAW = SETTING.law
COUNTS = (900, 300)
ALPHAS = np.linspace(0, 1, 11)


def biased(size: float) -> Design:
    oracle = Oracle.biased(LAW, Bias(mean_shift=[[0.0, 0.0], [size, -size]]))
    return Design(COUNTS, oracle, n_augmented=600, alpha=0.5)


def test_best_weight_is_the_minimiser_of_the_curve() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(50):
        root = rng.normal(size=(2, 2))
        matrix = root @ root.T
        curve = WeightCurve(matrix[0, 0], matrix[0, 1], matrix[1, 1])
        grid = np.linspace(0, 1, 2001)
        least = np.min(curve.excess(grid))
        assert 0 <= curve.best_alpha <= 1
        assert curve.excess(curve.best_alpha) <= least + 1e-12
        inside += 0 < curve.best_alpha < 1
    assert 10 < inside < 50  # the ends are met as well


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        (WeightCurve(1.0, 0.0, 3.0), 0.75 / 3),
        (WeightCurve(1.0, 2.0, 5.0), 0.0),
        (WeightCurve(5.0, 2.0, 1.0), 1.0),
        (WeightCurve(1.0, 1.0, 1.0), 0.0),
    ],
)
def test_best_weights_of_simple_curves(curve: WeightCurve, expected: float) -> None:
    assert curve.best_alpha == pytest.approx(expected)


@pytest.mark.parametrize("n_augmented", [100, 900, 3600])
def test_rows_as_good_as_real_ones_get_their_share(n_augmented: int) -> None:
    """Without bias every row counts alike: ``α* = N/(N + n_max)``."""
    design = Design(COUNTS, Oracle(LAW), n_augmented=n_augmented)
    curve = optimal.weight_curve(SETTING, design)
    assert curve.best_alpha == pytest.approx(n_augmented / (n_augmented + 900), abs=1e-9)
    assert curve.cross == pytest.approx(0.0, abs=1e-12)


def test_copies_of_balanced_data_change_nothing() -> None:
    """Each seed copied equally often is the same objective for every α."""
    design = Design((300, 300), Duplication(), n_augmented=600)
    curve = optimal.weight_curve(SETTING, design)
    assert curve.real > 0
    assert curve.cross == pytest.approx(curve.real, rel=1e-9)
    assert curve.augmented == pytest.approx(curve.real, rel=1e-9)


def test_the_curve_is_the_full_expansion_for_small_bias() -> None:
    errors = {}
    for size in (0.02, 0.4):
        design = biased(size)
        curve = optimal.weight_curve(SETTING, design).excess(ALPHAS)
        full = optimal.alpha_grid_excess(SETTING, design, ALPHAS)
        errors[size] = np.max(np.abs(curve / full - 1))
    assert errors[0.02] < 0.05
    assert errors[0.4] > 2 * errors[0.02]  # small bias is what it takes


def test_the_excess_at_the_best_weight_is_nearly_the_best_excess() -> None:
    design = biased(0.1)
    alpha = optimal.weight_curve(SETTING, design).best_alpha
    assert 0.05 < alpha < 0.6
    grid = np.append(np.linspace(0, 1, 41), alpha)
    full = optimal.alpha_grid_excess(SETTING, design, grid)
    assert full[-1] < 1.02 * full.min()
    # A weight that ignores the bias is noticeably worse.
    naive = optimal.alpha_grid_excess(SETTING, design, np.array([600 / 1500]))
    assert naive[0] > 1.02 * full.min()


ALIKE = Oracle.biased(LAW, Bias(covariance_scale=0.8, rotation=0.2))
BESIDE = Design(COUNTS, ALIKE, n_augmented=600, oversample="none", weighting="group")


def expanded(design: Design) -> float:
    with jax.enable_x64(True):
        return float(expand(SETTING, design).excess)


def test_the_best_weights_have_the_least_excess_of_a_grid() -> None:
    best = optimal.best_weights(SETTING, BESIDE)
    assert 0.1 < best.alpha < 0.95
    assert 0.3 < best.correction < 1
    grid = [
        expanded(BESIDE.with_(alpha=a, correction=share))
        for a in np.linspace(0, 1, 9)
        for share in np.linspace(0, 1, 5)
    ]
    at_best = expanded(BESIDE.with_(alpha=best.alpha, correction=best.correction))
    assert best.excess == pytest.approx(at_best, rel=1e-12)
    assert best.excess <= min(grid) * (1 + 1e-9)
    without = optimal.best_weights(SETTING, BESIDE, correction=0.0)
    assert without.correction == 0
    assert best.excess < 0.97 * without.excess < 0.97 * expanded(BESIDE)  # α = 0 is weighting


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_weight_that_is_given_is_kept(share: float) -> None:
    best = optimal.best_weights(SETTING, BESIDE, alpha=share)
    assert best.alpha == share
    best = optimal.best_weights(SETTING, BESIDE, correction=share)
    assert best.correction == pytest.approx(share, abs=1e-12)


def test_the_best_correction_for_a_small_bias_is_the_closed_form() -> None:
    """(16.4) with gradients and covariances at θ* written out."""
    oracle = Oracle.biased(LAW, Bias(covariance_scale=0.9))
    design = Design(COUNTS, oracle, n_augmented=40_000, alpha=0.5)
    theta = LAW.optimum()
    real, made = (np.asarray(law.group_gradient(theta)) for law in (LAW, oracle.law))
    own, other = (np.asarray(law.group_score_covariance(theta)) for law in (LAW, oracle.law))
    inverse = np.linalg.inv(np.asarray(LAW.group_hessian(theta)).mean(axis=0))
    n, m, _ = design.row_counts()
    w = design.row_weights()
    share = m * w.oversampled + design.n_augmented * w.augmented
    pull = (n * w.real) @ real + share @ made
    total = share.sum()
    yardstick = total * (made[0] - real[0])
    cross = total * (w.augmented[0] * other[0] - w.real[0] * own[0])
    square = total**2 * (other[0] / design.n_augmented + own[0] / COUNTS[0])
    expected = (pull @ inverse @ yardstick + np.trace(inverse @ cross)) / (
        yardstick @ inverse @ yardstick + np.trace(inverse @ square)
    )
    assert 0.05 < expected < 0.95
    found = optimal.best_weights(SETTING, design, alpha=0.5)
    assert found.correction == pytest.approx(expected, abs=0.1)
    curve = [expanded(design.with_(correction=c)) for c in (0.0, found.correction, 1.0)]
    assert curve[1] < min(curve[0], curve[2])


def test_a_bias_of_the_minority_alone_is_not_corrected() -> None:
    """Nothing of it is seen in the largest group: λ only adds noise there."""
    oracle = Oracle.biased(LAW, Bias(mean_shift=[[0.0, 0.0], [0.3, 0.0]]))
    best = optimal.best_weights(SETTING, BESIDE.with_(synthesizer=oracle), alpha=0.5)
    assert best.correction < 0.5


def gradients(design: Design) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of both groups and of the synthetic minority at θ*, and the Hessian."""
    theta = LAW.optimum()
    assert design.synthesizer is not None
    population = design.synthesizer.population(LAW)
    assert population is not None
    own, made = (np.asarray(law.group_gradient(theta)) for law in (LAW, population.law))
    return own[0], own[1], made[1], np.asarray(LAW.group_hessian(theta)).mean(axis=0)


@pytest.mark.parametrize("size", [0.1, -0.2, 0.5])
def test_best_minority_size_minimises_the_bias(size: float) -> None:
    """The pull of all rows at θ*, over their number: minimised numerically, from the gradients."""
    design = biased(size)
    major, minor, made, hessian = gradients(design)

    def bias(n: float) -> float:
        pull = (900 * major + 300 * minor + n * made) / (1200 + n)
        return float(pull @ np.linalg.solve(hessian, pull))

    numeric = minimize_scalar(bias, bounds=(0, 20_000), method="bounded", options={"xatol": 1e-4})
    found = optimal.best_minority_size(SETTING, design)
    assert found == pytest.approx(numeric.x, rel=1e-4)
    assert abs(found - 600) > 10  # not plain balance


@pytest.mark.parametrize("counts", [(900, 300), (300, 900), (1000, 1)])
def test_an_unbiased_generator_is_used_up_to_exact_balance(counts: tuple[int, int]) -> None:
    found = optimal.best_minority_size(SETTING, Design(counts, Oracle(LAW)))
    assert found == pytest.approx(abs(counts[0] - counts[1]), rel=1e-8)


@pytest.mark.parametrize(
    ("aa", "ad", "dd", "total"),
    [
        (1.0, -0.5, 0.4, 1.0),
        (4.0, 0.5, 1.0, 2.0),
        (1.0, 2.0, 5.0, 1.0),
        (1.0, 0.5, 0.3, 1.0),
        (1.0, 0.5, 0.1, 1.0),
        (0.3, 0.5, 1.0, 0.6),
    ],
)
def test_stationary_sizes_are_minimisers(aa: float, ad: float, dd: float, total: float) -> None:
    def value(n: np.ndarray) -> np.ndarray:
        return (aa + 2 * n * ad + n**2 * dd) / (total + n) ** 2

    found = optimal._stationary_size(aa, ad, dd, total)
    grid = np.concatenate([[0.0], np.logspace(-4, 8, 4001)])
    least = value(grid).min()
    if np.isinf(found):
        assert dd <= least + 1e-9
        assert (np.diff(value(grid)) < 1e-12).all()
    else:
        assert value(np.array([found]))[0] <= least + 1e-9


def test_all_kinds_of_sizes_occur() -> None:
    sizes = [
        optimal._stationary_size(*case)
        for case in ((1.0, -0.5, 0.4, 1.0), (1.0, 2.0, 5.0, 1.0), (1.0, 0.5, 0.1, 1.0))
    ]
    assert 0 < sizes[0] < np.inf
    assert sizes[1:] == [0.0, np.inf]


@pytest.mark.parametrize(
    ("design", "message"),
    [
        (Design(COUNTS), "needs a synthesizer and n_augmented of at least 1; got no synthesizer"),
        (
            Design(COUNTS, Oracle(LAW)),
            "and n_augmented of at least 1; got oracle and n_augmented = 0.",
        ),
        (Design(COUNTS, Smote(), n_augmented=5), "SMOTE has none that is known"),
    ],
)
def test_weights_without_augmentation_or_law_are_refused(design: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        optimal.weight_curve(SETTING, design)


@pytest.mark.parametrize(
    ("design", "message"),
    [
        (Design((5, 5), Oracle(LAW)), "a minority and a majority; got counts [5, 5]"),
        (Design((5, 6, 7), Oracle(LAW)), "got counts [5, 6, 7]"),
        (Design(COUNTS), "needs a synthesizer whose law is known"),
        (Design(COUNTS, Smote()), "needs a synthesizer whose law is known"),
    ],
)
def test_sizes_without_minority_or_law_are_refused(design: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        optimal.best_minority_size(SETTING, design)
