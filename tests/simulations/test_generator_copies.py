"""The study of copies: what is counted, what it must be, and the rows of streams."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from opal.synthesis.transformer.model import Decoder, ModelConfig
from opal.synthesis.transformer.sample import first_two, next_law, streams
from opal.theory.generator import add_half
from simulations import generator_copies as study
from simulations.generator_copies import copied, equal, expected_copies

D = 4
LAWS = np.random.default_rng(0).dirichlet(np.ones(D), size=3)  # subjects, equally likely
DECODER = Decoder(ModelConfig(D + 1, context=6, width=8, depth=1, heads=2), key=3)
SEEDS = np.array([[0, 1], [2, 2]], np.int32)


def every(n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Counts of all draws of n seeds, and the probability of each with each subject [3]."""
    found = []
    for seeds in product(range(D), repeat=n):
        chance = np.prod(LAWS[:, list(seeds)], axis=1) / len(LAWS)
        found.append((np.bincount(seeds, minlength=D).astype(float), chance))
    return found


def test_copies_of_the_truth_are_expected() -> None:
    n = 3
    mean = sum(chance * len(LAWS) * copied(LAWS, counts[None]) for counts, chance in every(n))
    np.testing.assert_allclose(mean, expected_copies(LAWS, n), rtol=1e-12)
    assert copied(LAWS[0], np.array([1, 0, 2, 0])) == pytest.approx(LAWS[0, 0] + LAWS[0, 2])
    assert copied(LAWS[0], np.array([1, 0, 2, 0]), once=True) == pytest.approx(LAWS[0, 0])


@pytest.mark.parametrize("once", [False, True])
def test_bayes_copies_as_often_as_the_truth_and_counts_do_not(once: bool) -> None:
    """Equation 13.41: summed over all seeds of all subjects, exactly."""
    of_bayes = of_counts = 0.0
    for counts, chance in every(3):
        predictive = chance @ LAWS / chance.sum()
        truth = chance @ copied(LAWS, counts[None], once=once)
        of_bayes += chance.sum() * copied(predictive, counts, once=once) - truth
        half = np.asarray(add_half(counts))
        of_counts += chance.sum() * copied(half, counts, once=once) - truth
    assert of_bayes == pytest.approx(0, abs=1e-14)
    assert abs(of_counts) > 0.01


def test_rows_of_a_stream_of_bayes_are_equal_as_often_as_true_ones() -> None:
    """Equation 13.42 after two seeds, exactly; independent rows are equal less often."""
    stream = independent = 0.0
    for counts, chance in every(2):
        posterior = chance / chance.sum()
        first = posterior @ LAWS
        again = (posterior[:, None] * LAWS / first) * LAWS  # P̄(x | seeds, x), summed over subjects
        stream += chance.sum() * (first * again.sum(axis=0)).sum()
        independent += chance.sum() * (first**2).sum()
        assert counts.sum() == 2
    truth = (LAWS**2).sum(axis=1).mean()
    assert stream == pytest.approx(truth, rel=1e-12)
    assert independent < 0.99 * truth


def test_equal_pairs_are_counted() -> None:
    rows = np.array([[0, 0, 1], [2, 2, 2], [0, 1, 2]])
    np.testing.assert_allclose(equal(rows, D), [1 / 3, 1, 0])


def test_the_first_two_rows_have_the_laws_of_the_decoder() -> None:
    first, again = first_two(DECODER, SEEDS, temperature=0.7)
    np.testing.assert_allclose(first, next_law(DECODER, SEEDS, temperature=0.7), atol=1e-6)
    longer = np.concatenate(
        [np.repeat(SEEDS, D, axis=0), np.tile(np.arange(D), 2)[:, None]], axis=1
    )
    after = np.asarray(next_law(DECODER, longer.astype(np.int32), temperature=0.7))
    known = after.reshape(2, D, D).diagonal(axis1=1, axis2=2)
    np.testing.assert_allclose(again, known, atol=1e-6)


def test_streams_have_these_laws_and_no_others() -> None:
    n, most = 4000, 4.0  # standard errors
    drawn = streams(DECODER, SEEDS, 2, key=5, temperature=0.7, n_streams=n)
    assert drawn.shape == (2, n, 2)
    shares = (drawn[:, :, :1] == np.arange(D)).mean(axis=1)
    first, again = first_two(DECODER, SEEDS, temperature=0.7)
    error = np.sqrt(first * (1 - first) / n)
    assert (np.abs(shares - first) < most * error).all()
    twice, known = (drawn[:, :, 0] == drawn[:, :, 1]).mean(axis=1), (first * again).sum(axis=1)
    assert (np.abs(twice - known) < most * np.sqrt(known / n)).all()
    hot, _ = first_two(DECODER, SEEDS, temperature=1.5)
    assert (np.abs(shares - hot).max(axis=1) > most * error.max(axis=1)).all()


def test_cells_are_copies_and_streams() -> None:
    full = study.PRESETS["full"]
    assert len(study.cells(full)) == 1 + len(full.n_before)
    assert full.n_subjects >= 1000


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_seeds": (0,)}, "n_seeds must be a whole number of at least 1; got 0."),
        ({"n_seeds": (9,)}, "context must be a whole number of at least 10; got 9."),
        ({"n_before": (6,)}, "must fit the context of 9; got 6 seeds and length 4. Lower one"),
        ({"n_before": ()}, "n_before needs at least one value"),
        ({"length": 1}, "length must be a whole number of at least 2; got 1."),
        ({"temperatures": (0.7,)}, "temperatures needs 1, which the others are compared with"),
        ({"temperatures": (0.0, 1.0)}, "temperature must be a finite number of at least 1e-3"),
        ({"n_streams": 0}, "n_streams must be a whole number of at least 1; got 0."),
        ({"n_subjects": 1}, "n_subjects must be a whole number of at least 2; got 1."),
        ({"n_draws": 0}, "n_draws must be a whole number of at least 1; got 0."),
        ({"steps": 0}, "steps must be a whole number of at least 1; got 0."),
    ],
)
def test_what_cannot_be_computed_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        study.cells(replace(study.PRESETS["tiny"], **fields))
