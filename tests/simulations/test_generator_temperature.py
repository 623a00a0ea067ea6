"""The study of temperature and top-p: its laws, biases and seeds are those that they stand for."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

from opal.checks import agrees
from opal.draws import as_key
from opal.objective import Design
from opal.settings import Alphabet, TokenSetting
from opal.synthesis import Oracle
from opal.synthesis.transformer.model import Decoder, ModelConfig
from opal.synthesis.transformer.sample import next_law
from opal.theory.end_to_end import excess_of_seeds
from simulations import generator_temperature as study
from simulations._end_to_end import Pairs, after_seeds, biases, expected_excess, pairs, tables
from simulations._generators import first_rows, sampled, scores_after
from simulations._rows import PLAIN
from simulations.generator_temperature import best_of, has_rules

ALPHABET = Alphabet.random(8, 2, key=0)
SETTING = TokenSetting.drawn(ALPHABET, key=1)
DECODER = Decoder(ModelConfig(9, context=6, width=8, depth=1, heads=2), key=3)
LENGTH, REPLICATES, KEY, SHOWN = 5, 4, 7, (1, 3)
WAYS = [(1.0, 1.0), (0.7, 1.0), (1.0, 0.6)]


@pytest.fixture(scope="module")
def laws() -> np.ndarray:
    """Eight laws of subjects [S, d]."""
    normal = np.random.default_rng(0).normal(size=(8, 2))
    return np.exp(np.asarray(ALPHABET.log_law(normal)))


@pytest.fixture(scope="module")
def classes(laws: np.ndarray) -> Pairs:
    return pairs(ALPHABET, laws)


def test_laws_are_those_that_the_generator_draws_from() -> None:
    held = first_rows(SETTING.law, LENGTH, key=KEY, n_replicates=REPLICATES)
    scores = scores_after(DECODER, held, SHOWN)
    made = sampled(scores, WAYS)
    assert made.shape == (len(WAYS), len(SHOWN), 2 * REPLICATES, 8)
    for n, at_n in zip(SHOWN, made.swapaxes(0, 1), strict=True):
        for (temperature, top_p), found in zip(WAYS, at_n, strict=True):
            law = next_law(DECODER, held.inputs[:, 1 : n + 1], temperature=temperature, top_p=top_p)
            np.testing.assert_allclose(found, law, atol=1e-6)
    assert (made[2] == 0).any()
    assert (made[:2] > 0).all()


def test_seeds_are_the_rows_that_are_trained_on() -> None:
    held = first_rows(SETTING.law, LENGTH, key=KEY, n_replicates=REPLICATES)
    n = SHOWN[1]
    known = after_seeds(DECODER, SETTING.law, (n, n), key=as_key(KEY), n_replicates=REPLICATES)
    shape = (REPLICATES, 2, 8)
    np.testing.assert_array_equal(tables(held.counts([n])[0].reshape(shape)), known.seen)
    made = sampled(scores_after(DECODER, held, [n]), WAYS[:1]).reshape(shape)
    np.testing.assert_allclose(tables(made), known.made, atol=1e-6)
    np.testing.assert_allclose(held.laws.reshape(shape)[0], SETTING.law.table.sum(axis=2))


def test_bias_is_the_difference_of_risks(classes: Pairs, laws: np.ndarray) -> None:
    assert classes.laws.shape == (4, 2, 8)
    made = np.random.default_rng(1).dirichlet(np.ones(8), size=(3, 4, 2))
    found = biases(classes, made)
    truth = SETTING.law.with_table(tables(laws[2:4]))
    theta = jax.jit(lambda: truth.optimum())()
    for k in range(3):
        synthetic = truth.with_table(tables(made[k, 1]))
        difference = synthetic.group_risk(theta) - truth.group_risk(theta)
        np.testing.assert_allclose(found[k, 1], difference, rtol=1e-7)


def test_bias_of_bayes_is_the_excess_of_another_draw(classes: Pairs, laws: np.ndarray) -> None:
    """Equation 13.31, exactly: three subjects, as likely, of which one seed is seen."""
    three = laws[[0, 2, 4]]
    posterior = three / three.sum(axis=0)  # of the subjects given the seed [3, d]
    risk = np.einsum("jd,id->ij", three, np.stack([classes.losses[k, 0] for k in range(3)]))
    both = posterior[:, None, :] * posterior[None, :, :]  # i is the truth, j another draw
    predictive = posterior.T @ three
    other = np.array([three[i] @ classes.losses[i, 0] for i in range(3)])
    bias = predictive @ classes.losses[:3, 0].T - other[None, :]
    seen = three.mean(axis=0)
    left = (seen * (posterior.T * bias).sum(axis=1)).sum()
    right = np.einsum("d,ijd,ij->", seen, both, risk - np.diag(risk)[None, :])
    np.testing.assert_allclose(left, right, rtol=1e-12)


def test_excess_is_that_of_each_pair(classes: Pairs) -> None:
    design = Design((40, 3), Oracle(SETTING.law), 30, 0.4)
    rng = np.random.default_rng(2)
    made = rng.dirichlet(np.full(8, 5.0), size=(3, 4, 2))
    seen = rng.multinomial(3, np.full(8, 1 / 8), size=(4, 2)).astype(float)
    total, floor = expected_excess(ALPHABET, classes, design, seen, made)
    truth = SETTING.law.with_table(tables(classes.laws[2]))
    repeated = np.broadcast_to(tables(seen[2]), (3, 2, 8, 2))
    known = excess_of_seeds(truth, design, repeated, tables(made[:, 2]))
    np.testing.assert_allclose(total[:, 2], known.total, rtol=1e-9)
    np.testing.assert_allclose(floor[:, 2], known.floor, rtol=1e-9)
    assert np.isfinite(total).all()


def test_the_best_is_chosen_on_one_half_and_judged_on_the_other() -> None:
    ways = [(0.5, 1.0), (1.0, 1.0), (1.5, 1.0), (1.0, 0.8)]
    values = np.tile([[1.0, 9.0], [2.0, 1.0], [3.0, 2.0], [0.0, 0.0]], 3)
    found = best_of("kl", values, ways)
    assert found["temperature"] == 0.5
    assert found["value"] == 8.0


def test_agreement_is_asked_where_there_are_rules() -> None:
    table = pd.DataFrame(
        {
            "simulated": [1.0, 1.0, 1.0],
            "predicted": [1.02, 1.05, 1.05],
            "z": [9.0, 2.0, 9.0],
            "separated": [0.0, 0.01, 0.0],
            "undefined": [0.0, 0.0, 0.5],
        }
    )
    assert list(agrees(table["z"], table["predicted"] / table["simulated"])) == [True, True, False]
    assert list(has_rules(table)) == [True, False, False]


def test_cells_are_held_out_subjects_and_pairs() -> None:
    full = study.PRESETS["full"]
    cells = study.cells(full)
    assert len(cells) == 1 + full.n_pairs
    assert full.n_subjects >= 1000
    assert study.samplings(full).count(PLAIN) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_seeds": ()}, "n_seeds needs at least one value"),
        ({"n_seeds": (4, 9)}, "context must be a whole number of at least 10; got 9."),
        ({"n_majority": 5}, "n_majority must be a whole number of at least 8; got 5."),
        ({"n_subjects": 66}, "n_subjects must be a multiple of 4, for two halves of pairs"),
        ({"n_subjects": 4}, "n_subjects must be a whole number of at least 8; got 4."),
        ({"temperatures": (0.5, 1.5)}, "temperatures needs 1, which the others are compared with"),
        ({"temperatures": (0.0, 1.0)}, "temperature must be a finite number of at least 1e-3"),
        ({"top_ps": (0.0,)}, "top_p must be a probability in (0, 1]"),
        ({"top_ps": (1.0,)}, "top_ps are below 1, temperatures have top-p 1; got (1.0,)."),
        ({"alpha": 1.5}, "alpha is a weight in [0, 1]"),
        ({"n_augmented": 0}, "n_augmented is 0"),
        ({"n_pairs": 0}, "n_pairs must be a whole number of at least 1; got 0."),
        ({"n_replicates": 1}, "n_replicates must be a whole number of at least 2; got 1."),
        ({"n_draws": 0}, "n_draws must be a whole number of at least 1; got 0."),
        ({"eta": 0.0}, "eta must be a finite number of at least 1e-3"),
    ],
)
def test_what_cannot_be_computed_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        study.cells(replace(study.PRESETS["tiny"], **fields))
