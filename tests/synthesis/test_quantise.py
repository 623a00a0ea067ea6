"""Numbers as tokens and back, streams of Gaussian subjects, and the generator that reads them."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from opal import checks, losses
from opal.arrays import AnyArray
from opal.losses import LOSSES
from opal.objective import Design
from opal.settings import GaussianMixture, Sample, SpuriousCorrelation
from opal.settings.groups import Group
from opal.simulate import simulate
from opal.synthesis import Law, Synthesizer
from opal.synthesis.transformer.gaussian_generator import GaussianGenerator
from opal.synthesis.transformer.gaussian_stream import GaussianStream
from opal.synthesis.transformer.model import Decoder, ModelConfig
from opal.synthesis.transformer.quantise import Quantiser
from opal.synthesis.transformer.quantised_law import QuantisedLaw
from opal.synthesis.transformer.sample import laws_along, next_law
from opal.synthesis.transformer.train import TrainConfig, Trained, train

B, CONTEXT = 4, 17
QUANTISER = Quantiser(B, scale=1.5, reach=3.0)
STREAM = GaussianStream(2, QUANTISER)
MODEL = ModelConfig(STREAM.vocab, CONTEXT, 16, 1, 2, mlp_ratio=2)
MIXTURE = GaussianMixture(
    [[-0.6, 0.0], [0.6, 0.3]], [[[1.0, 0.3], [0.3, 1.0]], [[1.0, 0.0], [0.0, 1.0]]]
)
SPURIOUS = SpuriousCorrelation()
COUNTS, MANY, SEED_COUNTS = (7, 25), 20_000, (9, 4)
THETA = jnp.array([1.1, -0.4, 0.2])


@pytest.fixture(scope="module")
def trained() -> Trained:
    config = TrainConfig(steps=30, batch=64, slice=64, learning_rate=2e-2, warm_up=5)
    return train(MODEL, config, STREAM, progress=False)


@pytest.fixture(scope="module")
def generator(trained: Trained) -> GaussianGenerator:
    return GaussianGenerator(trained.decoder, 2, QUANTISER, n_context=5)


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


# The generator, held to the contract of every synthesizer.


class Made(NamedTuple):
    few: Sample
    again: Sample
    other: Sample
    many: Sample
    law: QuantisedLaw


@partial(jax.jit, static_argnames="groups")
def fitted(g: GaussianGenerator, seeds: Sample, groups: tuple[Group, ...]) -> QuantisedLaw:
    return g.fit(seeds, groups, key=jax.random.key(1))


@partial(jax.jit, static_argnames="counts")
def draw(law: QuantisedLaw, counts: tuple[int, ...], seed: int) -> Sample:
    return law.sample(counts, key=jax.random.key(seed))


@pytest.fixture(scope="module")
def seeds() -> Sample:
    return MIXTURE.sample(SEED_COUNTS, key=0)


@pytest.fixture(scope="module")
def made(generator: GaussianGenerator, seeds: Sample) -> Made:
    law = fitted(generator, seeds, MIXTURE.groups)
    few, again, other = (draw(law, COUNTS, seed) for seed in (2, 2, 3))
    return Made(few, again, other, draw(law, (MANY, MANY), 4), law)


def test_training_learns(trained: Trained) -> None:
    """From more than the entropy of bins, and so of knowing nothing, to less."""
    assert trained.losses[0] > np.log(B) > 1.05 * trained.losses[-5:].mean()


def test_it_is_a_synthesizer(generator: GaussianGenerator, made: Made) -> None:
    assert isinstance(generator, Synthesizer)
    assert isinstance(made.law, Law)
    assert generator.min_seeds == 0
    assert made.law.n_classes == 2


def test_counts_types_and_labels_are_exact(made: Made) -> None:
    assert made.few.counts == COUNTS
    assert made.few.x.shape == (sum(COUNTS), 2)
    assert made.few.x.dtype == "float64"
    assert np.issubdtype(made.few.y.dtype, np.integer)
    np.testing.assert_array_equal(made.few.y, np.repeat([0, 1], COUNTS))


def test_the_key_decides(made: Made) -> None:
    np.testing.assert_array_equal(made.few.x, made.again.x)
    assert not np.array_equal(made.few.x, made.other.x)


def test_real_rows_are_not_returned(made: Made, seeds: Sample) -> None:
    real = {tuple(row) for row in np.asarray(seeds.x).tolist()}
    assert real.isdisjoint(tuple(row) for row in np.asarray(made.many.x).tolist())
    assert float(jnp.abs(made.many.x).max()) <= QUANTISER.limit


def test_cells_are_the_decoders_laws_in_turn(
    generator: GaussianGenerator, made: Made, seeds: Sample
) -> None:
    """Group 0 has 9 seeds, of which 5 are read; group 1 has 4. Read again without a cache."""
    for g, n in enumerate((5, 4)):
        symbols = np.asarray(QUANTISER.encode(seeds.x[seeds.rows(g)][:n])).ravel()
        first = next_law(generator.decoder, symbols[None])[0]
        longer = np.array([[*symbols, b] for b in range(B)])
        second = laws_along(generator.decoder, longer)[:, -1]
        table = np.asarray(first)[:, None] * np.asarray(second)
        np.testing.assert_allclose(made.law.table[g].reshape(B, B), table, atol=1e-6)
    np.testing.assert_allclose(made.law.table.sum(axis=1), 1, atol=1e-12)


def test_rows_fall_into_cells_as_often_as_the_law_says(made: Made) -> None:
    cells = np.asarray(QUANTISER.encode(made.many.x)) @ np.array([B, 1])
    hits = np.stack([np.bincount(c, minlength=B * B) for c in cells.reshape(2, MANY)])
    expected = MANY * np.asarray(made.law.table)
    z = (hits - expected) / np.sqrt(expected * (1 - expected / MANY))
    assert np.abs(z).max() < checks.z_threshold(z.size)
    swapped = (hits[::-1] - expected) / np.sqrt(expected)
    assert np.abs(swapped).max() > checks.z_threshold(z.size)


def test_its_law_has_the_risks_and_errors_of_its_rows(made: Made) -> None:
    scores = made.many.x @ THETA[:2, None] + THETA[2]

    @jax.jit
    def says(law: QuantisedLaw) -> list[tuple[jax.Array, ...]]:
        return [
            (
                *(law.group_risk(THETA, loss), law.group_risk_std_error(THETA, loss)),
                *(law.group_error(THETA, loss), law.group_error_std_error(THETA, loss)),
            )
            for loss in LOSSES
        ]

    z_scores: list[float] = []
    for loss, said in zip(LOSSES, says(made.law), strict=True):
        labels = made.many.y[:, None]
        risk = jnp.take_along_axis(losses.values(scores, 2, loss), labels, axis=1)[:, 0]
        wrong = (losses.predictions(scores, 2, loss) != made.many.y).astype(float)
        for sampled, mean, std_error in ((risk, *said[:2]), (wrong, *said[2:])):
            groups = np.asarray(sampled).reshape(2, MANY)
            error = np.hypot(groups.std(axis=1) / np.sqrt(MANY), std_error)
            z_scores += list((groups.mean(axis=1) - mean) / error)
            assert (np.asarray(std_error) < 0.002).all()
    check = checks.within_standard_errors("quantised law", z_scores)
    assert check.passed, check


def test_its_gradient_is_that_of_its_risk(made: Made) -> None:
    step = 1e-5

    @jax.jit
    def both(theta: jax.Array) -> tuple[jax.Array, jax.Array]:
        moved = theta + step * jnp.array([0.0, 1.0, 0.0])
        back = theta - step * jnp.array([0.0, 1.0, 0.0])
        risks = made.law.group_risk(moved) - made.law.group_risk(back)
        return made.law.group_gradient(theta), risks / (2 * step)

    gradient, slope = both(THETA)
    np.testing.assert_allclose(gradient[:, 1], slope, atol=1e-8)


def test_replicates_are_mapped(generator: GaussianGenerator) -> None:
    @jax.jit
    @jax.vmap
    def tables(seed: jax.Array) -> tuple[jax.Array, AnyArray]:
        rows = MIXTURE.law.sample(SEED_COUNTS, key=jax.random.key(seed))
        return rows.x, generator.fit(rows, MIXTURE.groups, key=jax.random.key(0)).table

    rows, batch = tables(jnp.arange(3))
    for r in range(3):
        alone = fitted(generator, Sample(rows[r], jnp.zeros(13, int), SEED_COUNTS), MIXTURE.groups)
        np.testing.assert_allclose(batch[r], alone.table, atol=1e-6)
    assert not np.allclose(batch[0], batch[1], atol=1e-3)


def test_classifiers_are_trained_on_what_it_makes(generator: GaussianGenerator) -> None:
    design = Design((9, 4, 4, 9), generator, n_augmented=8, alpha=0.5, loss="squared")
    records = simulate(SPURIOUS, design, key=0, n_replicates=4)
    assert set(records["synthesizer"]) == {"quantised transformer"}
    assert np.isfinite(records["value"].to_numpy(float)).all()


def test_rows_have_any_number_of_coordinates(trained: Trained) -> None:
    """One decoder, rows of one, two and three: the cells of fewer are sums of those of more."""
    symbols = jnp.asarray([[0, 3, 1, 2, 2, 1]], jnp.int32)
    cells = [GaussianGenerator(trained.decoder, p, QUANTISER).cells(symbols) for p in (1, 2, 3)]
    for fewer, more in itertools.pairwise(cells):
        np.testing.assert_allclose(more.reshape(1, -1, B).sum(axis=2), fewer, atol=1e-6)
    assert cells[2].shape == (1, B**3)


def test_without_seeds_all_groups_have_the_prior_predictive_law(
    generator: GaussianGenerator,
) -> None:
    nothing = Sample(jnp.zeros((0, 2)), jnp.zeros(0, int), (0, 0))
    law = fitted(generator, nothing, MIXTURE.groups)
    prior = generator.cells(jnp.zeros((1, 0), jnp.int32))
    np.testing.assert_allclose(law.table, np.repeat(prior, 2, axis=0), atol=1e-6)


def test_seeds_outside_the_range_are_clipped_and_counted(
    generator: GaussianGenerator, seeds: Sample
) -> None:
    far, farther = (replace(seeds, x=seeds.x.at[0, 1].set(value)) for value in (4.6, 1e6))
    near, same = (fitted(generator, rows, MIXTURE.groups).table for rows in (far, farther))
    np.testing.assert_array_equal(near, same)
    np.testing.assert_array_equal(generator.outside(farther), [[0, 1], [0, 0]])


def test_seeds_that_cannot_be_read_are_refused(generator: GaussianGenerator, seeds: Sample) -> None:
    def fit(rows: Sample, g: GaussianGenerator = generator) -> None:
        g.fit(rows, MIXTURE.groups, key=jax.random.key(0))

    with pytest.raises(ValueError, match="seeds must be numbers; got nan"):
        fit(replace(seeds, x=seeds.x.at[0, 0].set(jnp.nan)))
    with pytest.raises(ValueError, match="2 coordinates that the generator was trained on; got 3"):
        fit(replace(seeds, x=jnp.zeros((13, 3))))
    with pytest.raises(ValueError, match="the beginning, 18 symbols and 1 after them"):
        fit(seeds, replace(generator, n_context=None))
    mixed = (MIXTURE.groups[0]._replace(mixed=True), MIXTURE.groups[1])
    with pytest.raises(ValueError, match="have several labels"):
        generator.fit(seeds, mixed, key=jax.random.key(0))


def test_a_generator_that_cannot_be_is_refused(trained: Trained) -> None:
    decoder: Decoder = trained.decoder
    with pytest.raises(ValueError, match=r"for 8 bins has 9 symbols, .* this one has 5"):
        GaussianGenerator(decoder, 2, Quantiser(8))
    with pytest.raises(ValueError, match=re.escape("at most 65536 cells, whose probabilities")):
        GaussianGenerator(decoder, 4, Quantiser(17))
    with pytest.raises(ValueError, match="at most 4 coordinates"):
        GaussianGenerator(decoder, 5, QUANTISER)
    with pytest.raises(ValueError, match="n_context must be at most 16"):
        GaussianGenerator(decoder, 2, QUANTISER, n_context=17)
