"""Numbers as tokens and back, streams of Gaussian subjects, and the generator that reads them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from opal import checks
from opal.losses import LOSSES, Loss
from opal.settings import GaussianMixture, Sample
from opal.settings.groups import Group
from opal.synthesis.transformer.gaussian_generator import GaussianGenerator
from opal.synthesis.transformer.gaussian_stream import GaussianStream
from opal.synthesis.transformer.model import Decoder, ModelConfig
from opal.synthesis.transformer.quantise import Quantiser
from opal.synthesis.transformer.quantised_law import QuantisedLaw
from opal.synthesis.transformer.sample import laws_along, next_law

B, CONTEXT = 4, 17
QUANTISER = Quantiser(B, scale=1.5, reach=3.0)
STREAM = GaussianStream(2, QUANTISER)
MODEL = ModelConfig(STREAM.vocab, CONTEXT, 16, 1, 2, mlp_ratio=2)
MIXTURE = GaussianMixture(
    [[-0.6, 0.0], [0.6, 0.3]], [[[1.0, 0.3], [0.3, 1.0]], [[1.0, 0.0], [0.0, 1.0]]]
)
MANY, SEED_COUNTS = 20_000, (9, 4)
THETA = jnp.array([1.1, -0.4, 0.2])
DECODER = Decoder(MODEL, key=0)  # it has learnt nothing, but its laws follow what it reads
GENERATOR = GaussianGenerator(DECODER, 2, QUANTISER, n_context=5)
# Two groups of rows in two coordinates, as many cells as will do.
LAW = QuantisedLaw(
    np.random.default_rng(0).dirichlet(np.ones(B * B), 2), QUANTISER, 2, MIXTURE.groups
)


# The quantiser.


def test_bins_are_hit_equally_often() -> None:
    n = 1000
    restricted = stats.truncnorm.ppf((np.arange(n) + 0.5) / n, -3, 3, scale=1.5)
    np.testing.assert_array_equal(QUANTISER.encode(restricted), np.repeat(np.arange(B), n // B))
    edges = QUANTISER.edges()
    assert edges[[0, -1]].tolist() == [-4.5, 4.5] == [-QUANTISER.limit, QUANTISER.limit]
    np.testing.assert_allclose(np.diff(stats.truncnorm.cdf(edges, -3, 3, scale=1.5)), 1 / B)


def test_what_is_decoded_is_encoded_back() -> None:
    bins = np.repeat(np.arange(B), 50)
    uniforms = np.tile((np.arange(50) + 0.5) / 50, B)
    x = QUANTISER.decode(bins, uniforms)
    np.testing.assert_array_equal(QUANTISER.encode(x), bins)
    assert float(jnp.abs(x).max()) <= QUANTISER.limit
    # Inside a bin: the restricted normal variable.
    right = stats.truncnorm.ppf((bins + uniforms) / B, -3, 3, scale=1.5)
    np.testing.assert_allclose(x, right, atol=1e-9)


def test_values_outside_count_as_the_outer_bins() -> None:
    x = np.array([[-4.6, 0.0], [-1e30, 4.5], [4.6, -4.5], [np.inf, 5.0], [-np.inf, 1.0]])
    np.testing.assert_array_equal(QUANTISER.encode(x[:, 0]), [0, 0, B - 1, B - 1, 0])
    np.testing.assert_array_equal(QUANTISER.outside(x), [5, 1])
    assert int(QUANTISER.encode(np.array([np.nan]))[0]) == 0


def test_probabilities_of_bins_include_the_tails() -> None:
    means, spreads = np.array([0.0, 2.0, -9.0]), np.array([1.0, 0.5, 1.0])
    found = np.asarray(QUANTISER.probabilities(means, spreads))
    inner = QUANTISER.edges()[1:-1]
    below = stats.norm.cdf(inner[None, :], means[:, None], spreads[:, None])
    right = np.diff(np.pad(below, ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1))), axis=1)
    np.testing.assert_allclose(found, right, atol=1e-12)
    assert found[2, 0] == pytest.approx(1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_bins": 1}, "n_bins must be a whole number of at least 2; got 1."),
        ({"scale": 0.0}, "scale must be a finite number of at least 1e-6; got 0.0."),
        ({"reach": 9.0}, "reach must be between 0.1 and 8 standard deviations; got 9.0."),
    ],
)
def test_a_quantiser_that_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Quantiser(**fields)


# The stream.


def test_symbols_of_a_stream_have_their_laws() -> None:
    size, length = 4000, 5  # the last row is cut
    batch = jax.jit(partial(STREAM.batch, 3, size, length, key=jax.random.key(0)))()
    laws = np.asarray(batch.laws, float)
    assert laws.shape == (size, length, B)
    np.testing.assert_allclose(laws.sum(axis=2), 1, atol=1e-6)
    np.testing.assert_array_equal(batch.inputs[:, 0], B)
    np.testing.assert_array_equal(batch.inputs[:, 1:], batch.targets[:, :-1])
    assert {leaf.dtype for leaf in batch} == {jnp.dtype("float32"), jnp.dtype("int32")}
    hits = np.eye(B)[np.asarray(batch.targets)]

    def worst(supposed: np.ndarray) -> float:
        error = np.sqrt((supposed * (1 - supposed)).sum(axis=0))
        return float(np.abs((hits - supposed).sum(axis=0) / error).max())

    threshold = checks.z_threshold(length * B)
    assert worst(laws) < threshold
    assert worst(0.8 * laws + 0.2 * np.eye(B)[0]) > threshold
    few = jax.jit(partial(STREAM.batch, 3, 6, length, key=jax.random.key(0)))()
    np.testing.assert_array_equal(few.targets, batch.targets[:6])


def test_rows_of_a_subject_have_its_moments() -> None:
    """Two rows of a subject share its mean: covariance τ² between them, τ² + σ² in one."""
    size = 20_000
    fine = GaussianStream(2, Quantiser(64, scale=1.6), mean_scale=0.8, spread=1.2, degrees=6)
    batch = jax.jit(partial(fine.batch, 0, size, 4, key=jax.random.key(1)))()
    edges = fine.quantiser.edges()
    x = ((edges[1:] + edges[:-1]) / 2)[np.asarray(batch.targets)]
    products = np.einsum("si,sj->sij", x, x)
    error = products.std(axis=0) / np.sqrt(size)
    right = 0.8**2 * np.array([[1, 0, 1, 0], [0, 1, 0, 1]] * 2) + 1.2**2 * np.eye(4)
    # Middles of bins stand for what is in them, and the tails are clipped: 2 % of a variance.
    z = (np.abs(products.mean(axis=0) - right) - 0.02 * right) / error
    assert z.max() < checks.z_threshold(16)
    assert np.abs((products.mean(axis=0) - np.diag(np.diag(right))) / error).max() > 10


def test_a_known_covariance_is_the_same_for_all_subjects() -> None:
    """Laws of the second coordinate do not depend on the first, nor do widths on the subject."""
    known = replace(STREAM, degrees=None, spread=1.2)
    batch = jax.jit(partial(known.batch, 0, 50, 4, key=jax.random.key(1)))()
    np.testing.assert_allclose(batch.laws[:, :2], batch.laws[:, 2:], atol=1e-6)
    below = stats.norm.ppf(np.asarray(batch.laws, float).cumsum(axis=2)[:, 0, :2])
    gaps = np.diff(QUANTISER.edges()[1:3]) / np.diff(below, axis=1)[:, 0]
    inside = np.abs(below).max(axis=1) < 3  # where float32 keeps the tails
    assert inside.mean() > 0.5
    np.testing.assert_allclose(gaps[inside], 1.2, atol=1e-3)


def test_a_stream_says_what_it_is() -> None:
    said = json.loads(json.dumps(STREAM.identity()))
    assert said["quantiser"] == {"n_bins": B, "scale": 1.5, "reach": 3.0}
    assert said != replace(STREAM, degrees=11).identity()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dim": 0}, "dim must be a whole number of at least 1; got 0."),
        ({"dim": 5}, "quantised rows have at most 4 coordinates: their law has n_bins^dim cells"),
        ({"degrees": 1}, "degrees must be a whole number of at least 2; got 1."),
        ({"spread": 0.0}, "spread must be a finite number of at least 1e-6; got 0.0."),
        ({"mean_scale": float("inf")}, "mean_scale must be a finite number"),
    ],
)
def test_a_stream_that_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        GaussianStream(**{"dim": 2, **fields})


# The law of quantised rows.


def test_rows_fall_into_cells_as_often_as_the_law_says() -> None:
    rows = jax.jit(lambda: LAW.sample((MANY, MANY), key=jax.random.key(4)))()
    cells = np.asarray(QUANTISER.encode(rows.x)) @ np.array([B, 1])
    hits = np.stack([np.bincount(c, minlength=B * B) for c in cells.reshape(2, MANY)])
    expected = MANY * np.asarray(LAW.table)
    z = (hits - expected) / np.sqrt(expected * (1 - expected / MANY))
    assert np.abs(z).max() < checks.z_threshold(z.size)
    swapped = (hits[::-1] - expected) / np.sqrt(expected)
    assert np.abs(swapped).max() > checks.z_threshold(z.size)
    assert float(jnp.abs(rows.x).max()) <= QUANTISER.limit


def _points(law: QuantisedLaw, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Points [m, 2] and their probabilities [G, m]: n nodes of each bin, by its density there."""
    edges, (at, weights) = QUANTISER.edges(), np.polynomial.legendre.leggauss(n)
    x = (edges[:-1, None] + edges[1:, None] + np.diff(edges)[:, None] * at) / 2
    share = np.diff(edges)[:, None] / 2 * weights * B * stats.truncnorm.pdf(x, -3, 3, scale=1.5)
    share = share / share.sum(axis=1, keepdims=True) if n == 1 else share
    cells = law.table.reshape(2, B, 1, B, 1) * share[:, :, None, None] * share
    return np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2), cells.reshape(2, -1)


@pytest.mark.parametrize("loss", LOSSES)
def test_its_moments_are_integrals_over_the_cells(loss: Loss) -> None:
    """Against very many nodes in each bin; a bin that is but its middle is another law."""
    says = jax.jit(
        lambda: (
            *(LAW.group_risk(THETA, loss), LAW.group_gradient(THETA, loss)),
            *(LAW.group_hessian(THETA, loss), LAW.group_score_covariance(THETA, loss)),
        )
    )()
    for n, close in ((60, True), (1, False)):
        x, mass = _points(LAW, n)
        lifted = np.concatenate([x, np.ones((len(x), 1))], axis=1)
        u = lifted @ np.asarray(THETA)
        label = np.array([[0.0], [1.0]])
        if loss == "logistic":
            p = 1 / (1 + np.exp(-u))
            value, slope = np.logaddexp(0, u)[None] - label * u, p[None] - label
            curve = p * (1 - p)
        else:
            value, slope = (2 * label - 1 - u) ** 2 / 2, u[None] - (2 * label - 1)
            curve = np.ones_like(u)
        gradient = np.einsum("gm,gm,mi->gi", mass, slope, lifted)
        square = np.einsum("gm,gm,mi,mj->gij", mass, slope**2, lifted, lifted)
        right = (
            (mass * value).sum(axis=1),
            gradient,
            np.einsum("gm,m,mi,mj->gij", mass, curve, lifted, lifted),
            square - gradient[:, :, None] * gradient[:, None, :],
        )
        apart = [np.abs(a - b).max() for a, b in zip(says, right, strict=True)]
        assert (max(apart) < 1e-9) if close else (min(apart) > 1e-2), apart


def test_errors_are_integrals_with_a_standard_error() -> None:
    error, std_error = jax.jit(lambda: (LAW.group_error(THETA), LAW.group_error_std_error(THETA)))()
    x, mass = _points(LAW, 400)
    positive = x @ np.asarray(THETA[:2]) + float(THETA[2]) > 0
    right = (mass * np.stack([positive, ~positive])).sum(axis=1)
    assert (np.asarray(std_error) < 5e-4).all()
    # 1600 nodes a coordinate: the rule's edge cuts through 1/1600 of the probability.
    assert (np.abs(error - right) < 5 * np.asarray(std_error) + 1 / 1600).all()


# The generator; tests/synthesis/test_contract.py holds it to the contract of every synthesizer.


@partial(jax.jit, static_argnames="groups")
def fitted(g: GaussianGenerator, seeds: Sample, groups: tuple[Group, ...]) -> QuantisedLaw:
    return g.fit(seeds, groups, key=jax.random.key(1))


@pytest.fixture(scope="module")
def seeds() -> Sample:
    return MIXTURE.sample(SEED_COUNTS, key=0)


@pytest.fixture(scope="module")
def made(seeds: Sample) -> QuantisedLaw:
    return fitted(GENERATOR, seeds, MIXTURE.groups)


def test_cells_are_the_decoders_laws_in_turn(made: QuantisedLaw, seeds: Sample) -> None:
    """Group 0 has 9 seeds, of which 5 are read; group 1 has 4. Read again without a cache."""
    for g, n in enumerate((5, 4)):
        symbols = np.asarray(QUANTISER.encode(seeds.x[seeds.rows(g)][:n])).ravel()
        first = next_law(DECODER, symbols[None])[0]
        longer = np.array([[*symbols, b] for b in range(B)])
        second = laws_along(DECODER, longer)[:, -1]
        table = np.asarray(first)[:, None] * np.asarray(second)
        np.testing.assert_allclose(made.table[g].reshape(B, B), table, atol=1e-6)
    np.testing.assert_allclose(made.table.sum(axis=1), 1, atol=1e-12)


def test_rows_have_any_number_of_coordinates() -> None:
    """One decoder, rows of one and three: the cells of fewer are sums of those of more."""
    symbols = jnp.asarray([[0, 3, 1, 2, 2, 1]], jnp.int32)
    fewer, more = (GaussianGenerator(DECODER, p, QUANTISER).cells(symbols) for p in (1, 3))
    np.testing.assert_allclose(more.reshape(1, B, B * B).sum(axis=2), fewer, atol=1e-6)


def test_without_seeds_all_groups_have_the_prior_predictive_law() -> None:
    nothing = Sample(jnp.zeros((0, 2)), jnp.zeros(0, int), (0, 0))
    law = fitted(GENERATOR, nothing, MIXTURE.groups)
    prior = GENERATOR.cells(jnp.zeros((1, 0), jnp.int32))
    np.testing.assert_allclose(law.table, np.repeat(prior, 2, axis=0), atol=1e-6)


def test_seeds_outside_the_range_are_clipped_and_counted(seeds: Sample) -> None:
    far, farther = (replace(seeds, x=seeds.x.at[0, 1].set(value)) for value in (4.6, 1e6))
    near, same = (fitted(GENERATOR, rows, MIXTURE.groups).table for rows in (far, farther))
    np.testing.assert_array_equal(near, same)
    np.testing.assert_array_equal(GENERATOR.outside(farther), [[0, 1], [0, 0]])


def test_seeds_that_cannot_be_read_are_refused(seeds: Sample) -> None:
    def fit(rows: Sample, g: GaussianGenerator = GENERATOR) -> None:
        g.fit(rows, MIXTURE.groups, key=jax.random.key(0))

    with pytest.raises(ValueError, match="seeds must be numbers; got nan"):
        fit(replace(seeds, x=seeds.x.at[0, 0].set(jnp.nan)))
    with pytest.raises(ValueError, match="2 coordinates that the generator was trained on; got 3"):
        fit(replace(seeds, x=jnp.zeros((13, 3))))
    with pytest.raises(ValueError, match="the beginning, 18 symbols and 1 after them"):
        fit(seeds, replace(GENERATOR, n_context=None))
    mixed = (MIXTURE.groups[0]._replace(mixed=True), MIXTURE.groups[1])
    with pytest.raises(ValueError, match="have several labels"):
        GENERATOR.fit(seeds, mixed, key=jax.random.key(0))


def test_a_generator_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"for 8 bins has 9 symbols, .* this one has 5"):
        GaussianGenerator(DECODER, 2, Quantiser(8))
    with pytest.raises(ValueError, match=re.escape("at most 65536 cells, whose probabilities")):
        GaussianGenerator(DECODER, 4, Quantiser(17))
    with pytest.raises(ValueError, match="at most 4 coordinates"):
        GaussianGenerator(DECODER, 5, QUANTISER)
    with pytest.raises(ValueError, match="n_context must be at most 16"):
        GaussianGenerator(DECODER, 2, QUANTISER, n_context=17)
