"""Draws are normal, independent, named, and the same in every chunking."""

from __future__ import annotations

import inspect
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from opal import checks
from opal.draws import as_key, named, on_host, pick, replicate_keys, standard_normal

N = 200_000


def test_an_integer_becomes_a_key_and_a_key_stays_one() -> None:
    key = jax.random.key(7)
    assert as_key(7) == key
    assert as_key(key) is key
    assert as_key(8) != key


@pytest.mark.parametrize("seed", ["a", 1.5, None, True, 2**63])
def test_what_is_neither_a_seed_nor_a_key_is_refused(seed: Any) -> None:
    message = f"key must be a whole number of 64 bits or a key of jax.random.key; got {seed!r}."
    with pytest.raises(ValueError, match=re.escape(message)):
        inspect.unwrap(as_key)(seed)


def test_streams_of_different_names_differ() -> None:
    key = as_key(0)
    bits = {name: int(jax.random.bits(named(key, name))) for name in ("real", "fit", "group 1")}
    assert len(set(bits.values())) == 3
    assert bits["real"] == int(jax.random.bits(named(as_key(0), "real")))
    assert bits["real"] != int(jax.random.bits(named(as_key(1), "real")))


def test_a_replicate_has_its_own_key_in_every_chunking() -> None:
    whole = replicate_keys(as_key(3), jnp.arange(12))
    part = replicate_keys(as_key(3), jnp.arange(4, 7))
    assert bool(jnp.all(whole[4:7] == part))
    data = np.asarray(jax.random.key_data(whole))
    assert len(np.unique(data, axis=0)) == 12


@pytest.mark.parametrize("x64", [True, False])
def test_draws_are_standard_normal_and_independent(x64: bool) -> None:
    with jax.enable_x64(x64):
        z = np.asarray(standard_normal(as_key(11), N, 3), dtype=float)
    assert z.shape == (N, 3)
    p_values = [stats.kstest(column, "norm").pvalue for column in z.T]
    assert min(p_values) > 0.01 / 3
    moments = {1: (0.0, 1.0), 2: (1.0, 2.0), 3: (0.0, 15.0), 4: (3.0, 96.0)}
    z_scores = [
        (np.mean(column**power) - mean) / np.sqrt(variance / N)
        for column in z.T
        for power, (mean, variance) in moments.items()
    ]
    # Radius and angle make pairs: squares and signs must be uncorrelated as well.
    for f in (lambda v: v, lambda v: v**2 - 1, np.abs):
        values = f(z) - f(z).mean(axis=0)
        products = np.array([values[:, i] * values[:, j] for i, j in ((0, 1), (0, 2), (1, 2))])
        z_scores += list(products.mean(axis=1) / (products.std(axis=1) / np.sqrt(N)))
    # The next row is another draw.
    z_scores.append(np.mean(z[1:, 0] * z[:-1, 0]) * np.sqrt(N))
    check = checks.within_standard_errors("normal moments", z_scores)
    assert check.passed, check


def test_tails_have_the_mass_of_a_normal() -> None:
    z = np.asarray(standard_normal(as_key(5), 2_000_000, 2))
    assert np.isfinite(z).all()
    for reach in (3.0, 4.0, 4.5):
        expected = z.size * 2 * stats.norm.sf(reach)
        n_beyond = int(np.sum(np.abs(z) > reach))
        assert abs(n_beyond - expected) < checks.z_threshold(3) * np.sqrt(expected)


@pytest.mark.parametrize("dim", [1, 5])
def test_the_first_rows_do_not_depend_on_how_many_are_drawn(dim: int) -> None:
    short, long = (np.asarray(standard_normal(as_key(1), n, dim)) for n in (5, 64))
    np.testing.assert_array_equal(short, long[:5])
    assert len(np.unique(long)) == long.size


def test_precision_follows_the_flag() -> None:
    assert standard_normal(as_key(0), 2, 2).dtype == "float64"
    with jax.enable_x64(False):
        assert standard_normal(as_key(0), 2, 2).dtype == "float32"


LAW = np.array([0.25, 0.0, 0.5, 0.25])
PLACES = np.array([1e-9, 0.25, np.nextafter(0.25, 1), 0.75, np.nextafter(0.75, 1), 1.0])
PICKED = [0, 0, 2, 2, 3, 3]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("times", [1, 4])
def test_a_uniform_picks_the_interval_that_holds_it(dtype: str, times: int) -> None:
    """Bounds belong to the index below, and what has no probability is never picked."""
    law = jnp.asarray(times * LAW, dtype)
    places = np.nextafter(PLACES.astype(dtype), np.array([1, 0, 1, 0, 1, 1], dtype))
    for each in (law, law[None], jnp.tile(law, (len(places), 1))):  # searched, compared with
        found = pick(each, jnp.asarray(places))
        assert found.dtype == "int32"
        np.testing.assert_array_equal(found, PICKED)


@pytest.mark.parametrize("scaled", [True, False])
def test_many_uniforms_are_picked_alike_by_search_and_comparison(scaled: bool) -> None:
    rng = np.random.default_rng(0)
    laws, u = jnp.asarray(rng.dirichlet(np.ones(40), 3)), jnp.asarray(rng.uniform(size=(3, 5000)))
    together = pick(laws[:, None, :], u, scaled=scaled)
    for law, each, found in zip(np.asarray(laws), u, together, strict=True):
        np.testing.assert_array_equal(pick(law, each, scaled=scaled), found)
        frequency = np.bincount(found, minlength=40) / 5000
        z = (frequency - law) / np.sqrt(law * (1 - law) / 5000)
        check = checks.within_standard_errors("picked", z.tolist())
        assert check.passed, check


def test_what_rounding_leaves_above_a_law_is_its_last_index() -> None:
    """A law whose sum is short of one, which only scaling repairs."""
    short, top = jnp.asarray([0.5, 0.4]), jnp.asarray([0.95])
    for law in (short, short[None]):
        np.testing.assert_array_equal(pick(law, top, scaled=False), 1)
        np.testing.assert_array_equal(pick(law, jnp.asarray([0.53]), scaled=False), 1)
        np.testing.assert_array_equal(pick(law, jnp.asarray([0.53])), 0)


def test_numpys_generator_follows_the_key() -> None:
    key = named(as_key(2**40), "texts")
    drawn = on_host(key).random((1000, 2))
    np.testing.assert_array_equal(drawn[:10], on_host(key).random((10, 2)))
    assert stats.kstest(drawn.ravel(), "uniform").pvalue > 0.01
    others = [on_host(named(key, name)).random() for name in ("a", "b")]
    assert len({drawn[0, 0], *others, on_host(as_key(0)).random()}) == 4
