"""Theory of generators trained on generators: its recursions, closed forms and limits."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from opal import checks
from opal.objective import Design
from opal.settings import GaussianMixture
from opal.synthesis import Duplication, GaussianFit
from opal.theory import estimator
from opal.theory.generations import (
    RecursiveTraining,
    _count_laws,
    _smoothed,
    after_generations,
    gaussian_errors,
    limit,
    moment_errors,
    token_errors,
)

LAW = np.array([0.5, 0.3, 0.15, 0.05])
K = 5
TRAININGS = {
    "replaced": RecursiveTraining(14, 11),
    "accumulated": RecursiveTraining(14, 11, accumulated=True),
    "fresh": RecursiveTraining(14, 8, 3),
    "both": RecursiveTraining(14, 8, 3, accumulated=True),
    "fresh alone": RecursiveTraining(14, 0, 11),
}


def chains_of_gaussians(training: RecursiveTraining, *, unbiased: bool) -> np.ndarray:
    """Error of the mean, covariance, log volume and KL in two dimensions [R, K, 4]."""
    rng, size, d = np.random.default_rng(0), 3000, 2
    rows, found = rng.normal(size=(size, training.n_first, d)), []
    for _ in range(K):
        mean = rows.mean(axis=1)
        inside = rows - mean[:, None]
        spread = np.einsum("rni,rnj->rij", inside, inside) / (rows.shape[1] - unbiased)
        inverse, volume = np.linalg.inv(spread), np.linalg.slogdet(spread)[1]
        trace = np.trace(inverse, axis1=1, axis2=2)
        kl = (trace + np.einsum("ri,rij,rj->r", mean, inverse, mean) - d + volume) / 2
        width = np.trace(spread, axis1=1, axis2=2) / d
        found.append(np.stack([(mean**2).mean(axis=1), width, volume, kl], axis=1))
        noise = rng.normal(size=(size, training.n_synthetic, d))
        drawn = mean[:, None] + np.einsum("rij,rnj->rni", np.linalg.cholesky(spread), noise)
        parts = [drawn, rng.normal(size=(size, training.n_fresh, d))]
        rows = np.concatenate([rows, *parts] if training.accumulated else parts, axis=1)
    return np.stack(found, axis=1)


def z_scores(simulated: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    error = simulated.std(axis=0, ddof=1) / np.sqrt(len(simulated))
    return np.asarray((simulated.mean(axis=0) - predicted) / error)


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("name", TRAININGS)
def test_moments_of_gaussians_are_simulated(name: str, unbiased: bool) -> None:
    simulated = chains_of_gaussians(TRAININGS[name], unbiased=unbiased)
    errors = moment_errors(TRAININGS[name], K, "unbiased" if unbiased else "moments")
    z = z_scores(simulated[..., :2], np.stack(errors, axis=1))
    check = checks.within_standard_errors(name, z.ravel())
    assert check.passed, check


@pytest.mark.parametrize(("name", "wrong"), [("accumulated", "replaced"), ("replaced", "fresh")])
def test_moments_of_other_rows_are_not(name: str, wrong: str) -> None:
    """Errors of rows that accumulate by theory that replaces them, and without those that join."""
    simulated = chains_of_gaussians(TRAININGS[name], unbiased=True)[..., 0]
    other = moment_errors(TRAININGS[wrong], K, "unbiased").mean
    assert (np.abs(z_scores(simulated, other))[1:] > checks.z_threshold(K)).all()
    stopped = np.full(K, 1 / TRAININGS[name].n_first)
    assert (z_scores(simulated, stopped)[1:] > checks.z_threshold(K)).all()


def test_volume_and_divergence_of_gaussians_are_simulated() -> None:
    simulated = chains_of_gaussians(TRAININGS["replaced"], unbiased=True)[..., 2:]
    exact = gaussian_errors(TRAININGS["replaced"], K, 2)
    check = checks.within_standard_errors(
        "kl", z_scores(simulated, np.stack(exact, axis=1)).ravel()
    )
    assert check.passed, check
    stopped = gaussian_errors(TRAININGS["replaced"], 1, 2)
    assert (z_scores(simulated, np.stack(stopped, axis=1))[1:, 1] > 10).all()


def test_replaced_rows_have_closed_forms() -> None:
    k = np.arange(K)
    moments = moment_errors(TRAININGS["replaced"], K)
    np.testing.assert_allclose(moments.mean, 1 - (1 - 1 / 14) * (1 - 1 / 11) ** k)
    np.testing.assert_allclose(moments.within, 1 - moments.mean)
    unbiased = moment_errors(TRAININGS["replaced"], K, "unbiased")
    np.testing.assert_allclose(unbiased.mean, 1 / 14 + k / 11)
    np.testing.assert_allclose(unbiased.within, 1.0)


def test_an_unbiased_covariance_shrinks_where_rows_accumulate() -> None:
    training = TRAININGS["accumulated"]
    totals = np.array(training.totals(K))
    factors = np.cumprod(1 - 11 / (totals[1:] * (totals[1:] - 1)))
    np.testing.assert_allclose(moment_errors(training, K, "unbiased").within[1:], factors)


def test_fresh_rows_alone_start_anew() -> None:
    np.testing.assert_allclose(moment_errors(TRAININGS["fresh alone"], K).mean[1:], 1 / 11)
    assert limit(TRAININGS["fresh alone"]) == pytest.approx(1 / 11)


@pytest.mark.parametrize("n_synthetic", [1, 14, 4000])
def test_accumulated_rows_lose_at_most_twice_as_much(n_synthetic: int) -> None:
    training = RecursiveTraining(14, n_synthetic, accumulated=True)
    least, end = moment_errors(training, 4000, "first order").mean[-1], limit(training)
    rest = 1 / training.totals(4000)[-1]  # at most, of the generations that follow
    assert least < end < least + rest
    assert 1 / 14 < end < 2 / 14
    if n_synthetic == 14:
        assert end == pytest.approx(np.pi**2 / 6 / 14)


def test_limits_of_other_trainings() -> None:
    last = moment_errors(TRAININGS["fresh"], 200, "first order").mean[-1]
    assert limit(TRAININGS["fresh"]) == pytest.approx(last)
    assert limit(TRAININGS["replaced"]) == np.inf
    assert limit(TRAININGS["both"]) == 0.0


def test_divergence_is_half_a_nat_for_each_parameter_to_first_order() -> None:
    n, d = 10**6, 3
    exact = gaussian_errors(RecursiveTraining(n, n), K, d).kl
    np.testing.assert_allclose(exact, d * (d + 3) / 4 * np.arange(1, K + 1) / n, rtol=1e-4)


@pytest.mark.parametrize("beta", [0.0, 0.5])
@pytest.mark.parametrize("name", TRAININGS)
def test_recursion_and_chain_of_counts_agree(name: str, beta: float) -> None:
    """Two ways to the same moments: by their own recursion, and from the whole law of a count."""
    found = token_errors(TRAININGS[name], K, LAW, beta)
    for k, chance in enumerate(_count_laws(TRAININGS[name], K, LAW, beta)):
        q = _smoothed(TRAININGS[name].totals(K)[k], len(LAW), beta)
        np.testing.assert_allclose(chance.sum(axis=1), 1.0)
        np.testing.assert_allclose(chance @ q, found.mean[k], rtol=1e-10)
        np.testing.assert_allclose(chance @ q**2, found.square[k], rtol=1e-10)


def chains_of_counts(training: RecursiveTraining, beta: float, size: int) -> list[np.ndarray]:
    """Counts of the tokens in every generation, K times [R, d]."""
    rng = np.random.default_rng(1)
    counts = [rng.multinomial(training.n_first, LAW, size=size)]
    for _ in range(K - 1):
        seen = counts[-1] + beta
        drawn = rng.multinomial(training.n_synthetic, seen / seen.sum(axis=1, keepdims=True))
        fresh = rng.multinomial(training.n_fresh, LAW, size=size)
        counts.append(drawn + fresh + (counts[-1] if training.accumulated else 0))
    return counts


@pytest.mark.parametrize("beta", [0.0, 0.5])
@pytest.mark.parametrize("name", ["replaced", "accumulated", "fresh", "both"])
def test_counts_are_simulated(name: str, beta: float) -> None:
    counts = chains_of_counts(TRAININGS[name], beta, 20_000)
    found = token_errors(TRAININGS[name], K, LAW, beta)
    laws = [(c + beta) / (c + beta).sum(axis=1, keepdims=True) for c in counts]
    pairs = [
        (np.stack([(q**2).sum(axis=1) for q in laws], axis=1), found.sum_of_squares()),
        (
            np.stack([((q - LAW) ** 2 / LAW).sum(axis=1) for q in laws], axis=1),
            found.chi_square(LAW),
        ),
        (np.stack([(c == 0).mean(axis=1) for c in counts], axis=1), found.unseen.mean(axis=1)),
    ]
    if beta:
        kl = np.stack([(LAW * np.log(LAW / q)).sum(axis=1) for q in laws], axis=1)
        pairs.append((kl, found.kl))
    else:
        assert np.isinf(found.kl).all()
    z = np.concatenate([z_scores(*pair) for pair in pairs])
    check = checks.within_standard_errors(name, z)
    assert check.passed, check


def test_plain_counts_drift_as_genes_do() -> None:
    found = token_errors(TRAININGS["replaced"], K, LAW)
    a = moment_errors(TRAININGS["replaced"], K).mean
    diversity = (1 - a) * (1 - (LAW**2).sum())
    np.testing.assert_allclose(1 - found.sum_of_squares(), diversity)
    np.testing.assert_allclose(found.chi_square(LAW), a * (len(LAW) - 1))
    kept = token_errors(TRAININGS["accumulated"], K, LAW)
    np.testing.assert_allclose(kept.unseen, np.tile((1 - LAW) ** 14, (K, 1)))


SETTING = GaussianMixture(
    [[-0.8, 0.0], [0.8, 0.3]], [[[1.0, 0.3], [0.3, 0.7]], [[1.0, 0.0], [0.0, 1.0]]]
)
LARGE = {
    "replaced": RecursiveTraining(200, 100),
    "accumulated": RecursiveTraining(200, 100, accumulated=True),
    "fresh": RecursiveTraining(200, 60, 40),
}


def design(alpha: float, shared: int = 0, n_augmented: int = 400) -> Design:
    made = Design((200, 200), GaussianFit(), n_augmented, alpha)
    return made.with_(n_generator=200, n_shared=shared)


def excess(name: str, generation: int | None, at: Design) -> float:
    return after_generations(SETTING, at, LARGE[name], generation)


@pytest.mark.parametrize("shared", [0, 150])
def test_the_first_generation_is_a_generator_of_its_own(shared: int) -> None:
    own = estimator.expand(SETTING, design(0.6, shared))
    for name in LARGE:
        assert excess(name, 1, design(0.6, shared)) == pytest.approx(float(own.excess), rel=1e-9)


@pytest.mark.parametrize("name", LARGE)
def test_the_floor_follows_the_error_of_the_mean(name: str) -> None:
    at = design(1.0, n_augmented=10**9)
    floors = np.array([excess(name, k, at) for k in (1, 2, 5)])
    errors = moment_errors(LARGE[name], 5, "first order").mean[[0, 1, 4]]
    np.testing.assert_allclose(floors / floors[0], errors / errors[0], rtol=1e-4)
    if name == "replaced":
        with pytest.raises(ValueError, match="theirs is inf with RecursiveTraining"):
            excess(name, None, at)
    else:
        ever = limit(LARGE[name]) / errors[0]
        assert excess(name, None, at) / floors[0] == pytest.approx(ever, rel=1e-4)


def test_fresh_rows_forget_the_training_rows() -> None:
    """What shared rows add fades with their share in what is said, without fresh rows not."""
    for name, kept in (("fresh", 0.6**3), ("replaced", 1.0)):
        first, later = (
            excess(name, k, design(0.5, 200)) - excess(name, k, design(0.5)) for k in (1, 4)
        )
        assert later / first == pytest.approx(kept, rel=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RecursiveTraining(0, 5), "n_first must be a whole number of at least 1; got 0."),
        (lambda: RecursiveTraining(5, 0), "a generation is trained on rows; got n_synthetic = 0"),
        (lambda: RecursiveTraining(5, 5, -1), "n_fresh must be a whole number of at least 0"),
        (lambda: LARGE["fresh"].totals(0), "n_generations must be a whole number of at least 1"),
        (lambda: moment_errors(LARGE["fresh"], 2, "mean"), "fit must be one of ('moments',"),
        (lambda: moment_errors(RecursiveTraining(1, 5), 2, "unbiased"), "needs two rows; got"),
        (lambda: gaussian_errors(LARGE["fresh"], 2, 2), "a closed form where all rows are repl"),
        (lambda: gaussian_errors(RecursiveTraining(9, 4), 2, 2), "on at least 5 rows; got 4."),
        (lambda: token_errors(LARGE["fresh"], 2, np.array([0.6, 0.3])), "a sum of 0.9."),
        (lambda: token_errors(LARGE["fresh"], 2, np.array([1.0, 0.0])), "got a least of 0 and"),
        (lambda: token_errors(LARGE["fresh"], 2, np.ones(1)), "at least two tokens; got shape"),
        (lambda: token_errors(LARGE["fresh"], 2, LAW, -1.0), "pseudo_count is a finite number"),
        (lambda: excess("fresh", 0, design(0.5)), "n_generations must be a whole number of at"),
        (
            lambda: excess("fresh", 2, design(0.5).with_(synthesizer=GaussianFit(0.2))),
            "fitted moments without shrinkage; got the synthesizer gaussian fit.",
        ),
        (
            lambda: excess("fresh", 2, design(0.5).with_(synthesizer=Duplication())),
            "fitted moments without shrinkage; got the synthesizer duplication.",
        ),
        (
            lambda: excess("fresh", 2, design(0.5).with_(counts=(200, 210), oversample="none")),
            "groups of equal weight, fitted without a penalty; got weights",
        ),
        (lambda: excess("fresh", 2, design(0.5).with_(ridge=0.1)), "ridge = 0.1 and the threshold"),
        (
            lambda: after_generations(SETTING, design(0.5, 150), RecursiveTraining(100, 9), 2),
            "got n_shared = (150, 150) and n_first = 100. Lower n_shared.",
        ),
    ],
)
def test_what_cannot_be_predicted_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
