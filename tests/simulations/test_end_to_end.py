"""The study of training on a transformer's rows: its replicates are those of simulate."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from opal.checks import agrees, misses
from opal.draws import as_key, named, replicate_keys
from opal.objective import Design, RowWeights
from opal.settings import Alphabet, TokenSetting
from opal.simulation import fit
from opal.synthesis import Oracle
from opal.synthesis.transformer.generator import TokenGenerator
from opal.synthesis.transformer.model import Decoder, ModelConfig
from opal.training_rows import generator_rows, training_rows
from simulations import end_to_end as study
from simulations._end_to_end import after_seeds, trained_excess
from simulations._generators import SeededLaws
from simulations._prior import _multiplier, _multiplier_of_likely

ALPHABET = Alphabet.random(8, 2, key=0)
LAW = TokenSetting.drawn(ALPHABET, key=1).law
DECODER = Decoder(ModelConfig(9, context=6, width=8, depth=1, heads=2), key=3)
COUNTS, SHOWN, REPLICATES, KEY = (20, 3), (5, 3), 4, 7


@pytest.fixture(scope="module")
def seeds() -> SeededLaws:
    return after_seeds(DECODER, LAW, SHOWN, key=KEY, n_replicates=REPLICATES)


@pytest.fixture(scope="module")
def least() -> float:
    return float(LAW.group_risk(jax.jit(LAW.optimum)()).mean())


def keys() -> jax.Array:
    return replicate_keys(as_key(KEY), jnp.arange(REPLICATES))


def test_seeds_are_the_first_real_rows_and_the_decoder_reads_no_others(seeds: SeededLaws) -> None:
    scores = jax.jit(lambda symbols: DECODER(symbols)[0][0, -1])
    for r, key in enumerate(keys()):
        rows = LAW.sample(COUNTS, key=named(key, "real"))
        tokens = np.asarray(LAW.tokens(rows.x))
        for g, n in enumerate(SHOWN):
            first = tokens[rows.rows(g)][:n]
            seen = np.bincount(first, minlength=8)
            np.testing.assert_array_equal(seeds.seen[r, g], np.outer(seen, np.eye(2)[g]))
            symbols = jnp.asarray([[8, *first]], jnp.int32)
            law = jax.nn.softmax(scores(symbols).astype(float))
            np.testing.assert_allclose(seeds.made[r, g], np.outer(law, np.eye(2)[g]), atol=1e-6)
    np.testing.assert_allclose(seeds.made.sum(axis=(2, 3)), 1, rtol=1e-12)


def test_a_generator_s_own_rows_are_those_of_simulate() -> None:
    """Shared seeds come first; those that are not in training are only in its law."""
    fitted = ((5, 4), (2, 0))
    found = after_seeds(DECODER, LAW, fitted[0], key=KEY, n_replicates=REPLICATES, shared=fitted[1])
    maker = TokenGenerator(DECODER, ALPHABET)
    for r, key in enumerate(keys()):
        real = LAW.sample(COUNTS, key=named(key, "real"))
        seeds = generator_rows(LAW, real, fitted, key=key)
        law = maker.fit(seeds, LAW.groups, key=key)
        np.testing.assert_allclose(found.made[r], law.table, atol=1e-6)
        first = LAW.sample(fitted[1], key=named(key, "real"))
        np.testing.assert_array_equal(found.seen[r], LAW.tally(first))


@pytest.mark.parametrize(("weighting", "oversample"), [("opal", "balance"), ("group", "none")])
def test_training_is_that_of_simulate(
    seeds: SeededLaws, least: float, weighting: Any, oversample: Any
) -> None:
    maker = Oracle(LAW)
    design = Design(COUNTS, maker, 30, 0.4, oversample, weighting)
    found, separated = trained_excess(LAW, design, seeds.made, key=KEY, most=(20, 9))
    sizes = (design.n_oversampled, (30, 30))
    weights = RowWeights(*(np.asarray(w) for w in design.row_weights()))

    @jax.jit
    def by_rows(key: jax.Array, table: jax.Array) -> tuple[jax.Array, jax.Array]:
        source = Oracle(LAW.with_table(table))
        rows, each = training_rows(LAW, source, weights, COUNTS, sizes, key=key)
        none = np.zeros(())
        theta, apart = fit(rows, each, n_classes=2, ridge=none, loss="logistic", balanced=False)
        return LAW.group_risk(theta).mean(), apart

    whole = [by_rows(key, jnp.asarray(made)) for key, made in zip(keys(), seeds.made, strict=True)]
    np.testing.assert_array_equal(separated, [bool(apart) for _, apart in whole])
    assert not separated.any()
    excess = np.array([float(risk) for risk, _ in whole]) - least
    np.testing.assert_allclose(found, excess, rtol=1e-6)


def test_the_multiplier_counts_seeds() -> None:
    """An estimate that is as good as add-½ counts with three times as many seeds."""
    grid, d = np.array([0, 1, 2, 4, 6, 12, 20]), 8
    spread = np.random.default_rng(0).uniform(0.5, 1.5, (50, 1))
    of_counts = spread * (d - 1) / (2 * grid + d)[None, :]
    assert _multiplier(of_counts[:, 5], of_counts, grid, 4, d) == pytest.approx((3, 0), abs=1e-9)
    between = (d - 1) / (2 * 8 + d) * spread[:, 0]
    assert _multiplier(between, of_counts, grid, 4, d)[0] == pytest.approx(2)
    noisy = of_counts[:, 5] * np.random.default_rng(1).uniform(0.9, 1.1, 50)
    assert 0 < _multiplier(noisy, of_counts, grid, 4, d)[1] < 0.2
    for beyond in (of_counts[:, 0] * 1.1, of_counts[:, -1] * 0.9):
        assert np.isnan(_multiplier(beyond, of_counts, grid, 4, d)).all()


def test_maximum_likelihood_counts_where_it_exists() -> None:
    """KL of 2/n for the most likely law, and for the generator that of 6, 16 or 3 seeds."""
    sizes, spread = np.array([2, 4, 8, 16, 32]), np.random.default_rng(0).uniform(0.5, 1.5, 50)
    of_likely = spread[:, None] * 2 / sizes[None, :]
    lucky = np.where(np.arange(50)[:, None] < [20, 46, 48, 50, 50], of_likely, np.nan)
    found = _multiplier_of_likely(spread * 2 / 6, lucky, sizes, 3)
    assert found == pytest.approx((2, 0), abs=1e-9)
    assert _multiplier_of_likely(spread * 2 / 16, lucky, sizes, 4)[0] == pytest.approx(4)
    noisy = spread * 2 / 6 * np.random.default_rng(1).uniform(0.8, 1.2, 50)
    assert 0 < _multiplier_of_likely(noisy, lucky, sizes, 3)[1] < 0.2
    for beyond in (3, 100):  # where too few subjects have one, and where none is good enough
        assert np.isnan(_multiplier_of_likely(spread * 2 / beyond, lucky, sizes, 2)).all()


def test_a_wrong_theory_is_asked_only_where_it_matters() -> None:
    table = pd.DataFrame(
        {
            "simulated": [1.0, 1.0, 1.0, 1.0],
            "predicted": [1.02, 1.05, 1.05, 1.0],
            "z_predicted": [9.0, 2.0, 9.0, 0.0],
            "floor": [0.9, 0.8, 0.9, 0.97],
            "z_floor": [2.0, 9.0, 9.0, 9.0],
        }
    )
    ratio = table["predicted"] / table["simulated"]
    assert list(agrees(table["z_predicted"], ratio)) == [True, True, False, True]
    assert list(study.matters(table, "floor")) == [True, True, True, False]
    assert list(agrees(table["z_floor"], table["floor"])) == [True, False, False, False]
    assert list(misses(table["z_floor"], table["floor"])) == [False, True, True, True]


def test_cells_are_points_and_priors() -> None:
    config = study.PRESETS["tiny"]
    labels = [cell.label for cell in study.cells(config)]
    assert len(labels) == len(config.priors) * (len(config.n_seeds) * config.n_pairs + 1)
    full = study.PRESETS["full"]
    points = [
        cell.config for cell in study.cells(full) if isinstance(cell.config, study.SubjectPair)
    ]
    assert len(points) * len(study.designs(points[0])) >= 40
