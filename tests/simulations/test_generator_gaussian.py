"""The study of quantised rows: its references are exact, and it refuses what it cannot do."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, stats

from opal import checks
from opal.objective import Design
from opal.settings import GaussianMixture, Sample
from opal.synthesis.posterior import PosteriorPredictive
from opal.synthesis.transformer.gaussian_generator import GaussianGenerator
from opal.synthesis.transformer.gaussian_stream import GaussianStream
from opal.synthesis.transformer.model import Decoder, ModelConfig
from opal.synthesis.transformer.quantise import Quantiser
from simulations import _gaussian
from simulations import generator_gaussian as study
from simulations._gaussian import excess_of_seeds
from simulations._generators import SeededLaws
from simulations.generator_gaussian import replicates

QUANTISER = Quantiser(4, 2.0, 2.0)
STREAM = GaussianStream(2, QUANTISER, mean_scale=0.8, spread=1.2, degrees=None)
HELD = _gaussian.subjects(STREAM, 5, key=1, n_subjects=6)
ESTIMATES = (_gaussian.bayes_of_values, _gaussian.bayes_of_bins)
POINT = study.GaussianCase(study.PRESETS["tiny"], "mixture", 4)


def test_bayes_weighs_subjects_by_their_likelihood() -> None:
    """Both references against weighted draws of the prior, one coordinate at a time."""
    n, draws = 5, 100_000
    means = 0.8 * np.random.default_rng(0).standard_normal(draws)
    laws = _gaussian.bin_law(QUANTISER, means, np.full(draws, 1.2))
    bins = np.asarray(QUANTISER.encode(HELD.rows))
    found = _gaussian.bayes_of_values(STREAM, HELD, n), _gaussian.bayes_of_bins(STREAM, HELD, n)
    z = np.empty((2, 2, 6, 4))
    for s in range(6):
        values = stats.norm.pdf((HELD.rows[s, :, 0, None] - means) / 1.2).prod(axis=0)
        seen = laws[:, bins[s, :, 0]].prod(axis=1)
        for i, weight in enumerate((values, seen)):
            mean = weight @ laws / weight.sum()
            apart = weight[:, None] * (laws - mean)
            error = np.sqrt((apart**2).sum(axis=0)) / weight.sum()
            for j in range(2):
                z[i, j, s] = (found[j].reshape(6, 4, 4)[s].sum(axis=1) - mean) / error
    threshold = checks.z_threshold(48)
    assert np.abs(z[[0, 1], [0, 1]]).max() < threshold
    assert np.abs(z[[0, 1], [1, 0]]).max() > threshold  # values and bins are not the same


def test_the_estimates_are_in_order() -> None:
    """Nothing seen: one law for all. What bins hide costs, on the mean."""
    held = _gaussian.subjects(STREAM, 8, key=2, n_subjects=4000)
    law = _gaussian.truth(STREAM, held)
    np.testing.assert_allclose(law.sum(axis=1), 1)
    prior = _gaussian.bayes_of_bins(STREAM, held, 0)
    np.testing.assert_allclose(prior, _gaussian.bayes_of_values(STREAM, held, 0), atol=1e-12)
    of = [_gaussian.kl(law, f(STREAM, held, 8)) for f in ESTIMATES]
    lost = of[1] - of[0]
    assert lost.mean() > 3 * lost.std() / np.sqrt(len(lost))
    assert _gaussian.kl(law, prior).mean() > 3 * of[1].mean()


def test_distortion_is_that_of_densities() -> None:
    one = GaussianStream(1, QUANTISER, spread=1.2, degrees=None)
    held = _gaussian.GaussianSubjects(np.array([[0.7]]), np.zeros((1, 0, 1)))
    edges, mass = QUANTISER.edges(), _gaussian.truth(one, held)[0]
    inside = stats.norm.cdf(edges, 0.7, 1.2)
    within = np.diff(inside) / (inside[-1] - inside[0])

    def decoded(x: float, shares: np.ndarray) -> float:
        b = int(QUANTISER.encode(np.array(x)))
        return float(shares[b] * 4 * stats.truncnorm.pdf(x, -2, 2, scale=2.0))

    def integral(f: Any) -> float:
        return sum(integrate.quad(f, a, b)[0] for a, b in pairwise(edges))

    def divergence(x: float) -> float:
        p = stats.norm.pdf(x, 0.7, 1.2) / (inside[-1] - inside[0])
        return float(p * np.log(p / decoded(x, within)))

    mean = integral(lambda x: x * decoded(x, mass))
    variance = integral(lambda x: (x - mean) ** 2 * decoded(x, mass))
    found = _gaussian.distortion(one, held)
    assert found.inside[0] == pytest.approx(integral(divergence), abs=1e-7)
    assert found.clipped[0] == pytest.approx(1 - inside[-1] + inside[0])
    assert found.shift[0] == pytest.approx(abs(mean - 0.7), abs=1e-7)
    assert found.variance[0] == pytest.approx(variance / 1.2**2 - 1, abs=1e-7)


def test_the_posterior_predictive_law_is_what_bayes_says() -> None:
    rows = HELD.rows[:2].reshape(10, 2)
    maker, groups = PosteriorPredictive(0.8, 1.2), GaussianMixture(np.eye(2)).groups
    law = maker.fit(
        Sample(jnp.asarray(rows), jnp.repeat(jnp.arange(2), 5), (5, 5)),
        groups,
        key=replicates(POINT),
    )
    spreads = np.sqrt(np.asarray(law.covariances)[:, 0].diagonal(axis1=1, axis2=2))
    cells = _gaussian.joint(_gaussian.bin_law(QUANTISER, np.asarray(law.means)[:, 0], spreads))
    np.testing.assert_allclose(cells, _gaussian.bayes_of_values(STREAM, HELD, 5)[:2], atol=1e-12)


def test_the_floor_is_that_of_the_mean_objective() -> None:
    """Seeds once each, other real rows and synthetic ones by their laws; minimised by SciPy."""
    setting = GaussianMixture([[-0.6, 0.0], [0.6, 0.3]])
    decoder = Decoder(ModelConfig(5, 12, 8, 1, 2), key=0)
    maker = GaussianGenerator(decoder, 2, QUANTISER, n_context=4)
    design, rng = Design((20, 3), maker, 30, 0.4), np.random.default_rng(3)
    seeds = SeededLaws(rng.standard_normal((2, 7, 2)), rng.dirichlet(np.ones(16), (2, 2)))
    found = excess_of_seeds(setting.law, design, maker, seeds)
    at, weights = np.polynomial.hermite_e.hermegauss(40)
    grid = np.stack(np.meshgrid(at, at, indexing="ij"), axis=-1).reshape(-1, 2)
    mass = np.outer(weights, weights).ravel() / weights.sum() ** 2
    edges, (node, share) = QUANTISER.edges(), np.polynomial.legendre.leggauss(20)
    x = (edges[:-1, None] + edges[1:, None] + np.diff(edges)[:, None] * node) / 2
    inside = np.diff(edges)[:, None] * share * 2 * stats.truncnorm.pdf(x, -2, 2, scale=2.0)
    boxes = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    # Weights: 40 rows after oversampling, 60 augmented ones; 4 and 3 seeds are shown.
    each, more = 0.6 / 40, 0.4 / 60

    def risk(theta: np.ndarray, x: np.ndarray, mass: np.ndarray, g: int) -> float:
        u = x @ theta[:2] + theta[2]
        return float(mass @ (np.logaddexp(0, u) - g * u))

    def true(theta: np.ndarray, g: int) -> float:
        return risk(theta, grid + setting.law.means[g, 0], mass, g)

    def balanced(theta: np.ndarray) -> float:
        return (true(theta, 0) + true(theta, 1)) / 2

    least = optimize.minimize(balanced, np.zeros(3), tol=1e-12).fun
    for r in range(2):

        def objective(theta: np.ndarray, r: int = r) -> float:
            total = 16 * each * true(theta, 0)
            for g, (rows, made) in enumerate(
                ((slice(0, 4), 30 * more), (slice(4, 7), 17 * each + 30 * more))
            ):
                cells = seeds.made[r, g].reshape(4, 1, 4, 1) * inside[:, :, None, None] * inside
                total += each * risk(theta, seeds.seen[r, rows], np.ones(rows.stop - rows.start), g)
                total += made * risk(theta, boxes, cells.ravel(), g)
            return total

        theta = optimize.minimize(objective, np.zeros(3), tol=1e-12).x
        assert found.floor[r] == pytest.approx(balanced(theta) - least, abs=1e-6)
        assert found.floor[r] > 0.01
    assert (found.total > found.floor).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_min": (4, 2)}, "n_min must be a whole number of at least 3; got 2."),
        ({"n_min": (4, 5)}, "the context holds most_seeds = 4 rows; n_seeds and n_min ask for 5."),
        ({"n_seeds": (0, 9)}, "the context holds most_seeds = 4 rows"),
        ({"n_max": 4}, "large groups with more rows than small ones"),
        ({"cases": ()}, "needs at least one case"),
        ({"cases": ("ring",)}, "ring"),
        ({"makers": (study.FIT,)}, "makers must have 'Gaussian fit' and 'transformer'"),
        ({"alpha": 1.5}, "alpha is a weight in [0, 1]; got 1.5."),
        ({"n_bins": 1}, "n_bins must be a whole number of at least 2; got 1."),
        ({"reach": 0.0}, "reach must be between 0.1 and 8 standard deviations; got 0.0."),
        ({"n_subjects": 1}, "n_subjects must be a whole number of at least 2; got 1."),
        ({"n_augmented": -1}, "n_augmented must be a whole number of at least 0; got -1."),
    ],
)
def test_what_cannot_be_computed_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        study.cells(replace(study.PRESETS["tiny"], **fields))
