"""The study of training on a transformer's rows: its replicates are those of simulate."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from opal.draws import as_key, named, replicate_keys
from opal.objective import Design, RowWeights
from opal.settings import Alphabet, TokenSetting
from opal.simulate import fit, training_rows
from opal.synthesis.table import TableOracle
from opal.synthesis.transformer.model import Decoder, ModelConfig
from simulations import end_to_end as study
from simulations._end_to_end import Seeds, after_seeds, trained_excess
from simulations._seed_multiplier import _multiplier

LAW = TokenSetting.drawn(Alphabet.random(8, 2, key=0), key=1).law
DECODER = Decoder(ModelConfig(9, context=6, width=8, depth=1, heads=2), key=3)
COUNTS, SHOWN, REPLICATES, KEY = (20, 3), (5, 3), 4, 7


@pytest.fixture(scope="module")
def seeds() -> Seeds:
    return after_seeds(DECODER, LAW, SHOWN, key=KEY, n_replicates=REPLICATES)


def keys() -> jax.Array:
    return replicate_keys(as_key(KEY), jnp.arange(REPLICATES))


def test_seeds_are_the_first_real_rows_and_the_decoder_reads_no_others(seeds: Seeds) -> None:
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


@pytest.mark.parametrize(("weighting", "oversample"), [("opal", "balance"), ("group", "none")])
def test_training_is_that_of_simulate(seeds: Seeds, weighting: Any, oversample: Any) -> None:
    maker = TableOracle(LAW)
    design = Design(COUNTS, maker, 30, 0.4, oversample, weighting)
    found, separated = trained_excess(LAW, design, seeds.made, key=KEY, most=(20, 9))
    sizes = (design.n_oversampled, (30, 30))
    weights = RowWeights(*(np.asarray(w) for w in design.row_weights()))

    @jax.jit
    def by_rows(key: jax.Array, table: jax.Array) -> tuple[jax.Array, jax.Array]:
        source = TableOracle(LAW.with_table(table))
        rows, each = training_rows(LAW, source, weights, COUNTS, sizes, key=key)
        none = np.zeros(())
        theta, apart = fit(rows, each, n_classes=2, ridge=none, loss="logistic", balanced=False)
        return LAW.group_risk(theta).mean() - LAW.group_risk(LAW.optimum()).mean(), apart

    whole = [by_rows(key, jnp.asarray(made)) for key, made in zip(keys(), seeds.made, strict=True)]
    np.testing.assert_array_equal(separated, [bool(apart) for _, apart in whole])
    assert not separated.any()
    np.testing.assert_allclose(found, [float(excess) for excess, _ in whole], rtol=1e-6)


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
    assert list(study.within(table, "predicted")) == [True, True, False, True]
    assert list(study.matters(table, "floor")) == [True, True, True, False]
    assert list(study.within(table, "floor")) == [True, False, False, False]


def test_cells_are_points_and_priors() -> None:
    config = study.PRESETS["tiny"]
    labels = [cell.label for cell in study.cells(config)]
    assert len(labels) == len(config.priors) * (len(config.n_seeds) * config.n_pairs + 1)
    full = study.PRESETS["full"]
    points = [cell.config for cell in study.cells(full) if isinstance(cell.config, study.Point)]
    assert len(points) * len(study.designs(points[0])) >= 40


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_seeds": (4, 0)}, "n_seeds must be a whole number of at least 1; got 0."),
        ({"n_seeds": ()}, "n_seeds needs at least one value"),
        ({"n_seeds": (4, 9)}, "context must be a whole number of at least 10; got 9."),
        ({"n_majority": 5}, "n_majority must be a whole number of at least 8; got 5."),
        ({"priors": ()}, "priors needs at least one pair of numbers; got none."),
        ({"priors": ((0.0, 0.0),)}, "scale must be a finite number of at least 1e-6"),
        ({"mixes": ((60, 1.5),)}, "alpha is a weight in [0, 1]"),
        ({"mixes": ((0, 0.5),)}, "n_augmented is 0"),
        ({"eta": 0.0}, "eta must be a finite number of at least 0.001; got 0.0."),
        ({"n_replicates": 1}, "n_replicates must be a whole number of at least 2; got 1."),
    ],
)
def test_what_cannot_be_computed_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        study.cells(replace(study.PRESETS["tiny"], **fields))
