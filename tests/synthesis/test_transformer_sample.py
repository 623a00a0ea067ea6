"""Sampling: the laws that are drawn from, the same draws with a cache and without."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from opal.checks import z_threshold
from opal.synthesis.transformer.model import Decoder, ModelConfig
from opal.synthesis.transformer.sample import branches, law_of, laws_along, next_law, sample

CONTEXT, V, N = 9, 5, 3
SCORES = np.log([[0.1, 0.4, 0.05, 0.3, 0.15], [0.2, 0.2, 0.2, 0.2, 0.2]])
SYMBOLS = np.array([[0, 3, 1, 1], [4, 4, 2, 0], [1, 2, 3, 4]], np.int32)
MANY = 20_000


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    config = ModelConfig(V + 1, CONTEXT, width=16, depth=1, heads=2, mlp_ratio=2)
    return jax.jit(lambda: Decoder(config, key=0))()


@pytest.mark.parametrize(
    ("temperature", "top_p", "expected"),
    [
        (1.0, 1.0, [0.1, 0.4, 0.05, 0.3, 0.15]),
        (1.0, 0.65, [0, 4 / 7, 0, 3 / 7, 0]),
        (1.0, 0.75, [0, 0.4 / 0.85, 0, 0.3 / 0.85, 0.15 / 0.85]),
        (1.0, 0.01, [0, 1, 0, 0, 0]),
        (0.5, 1.0, np.array([4, 64, 1, 36, 9]) / 114),
        (0.5, 0.8, [0, 0.64, 0, 0.36, 0]),
        (1e-3, 1.0, [0, 1, 0, 0, 0]),
    ],
)
def test_temperature_and_nucleus(temperature: float, top_p: float, expected: list[float]) -> None:
    law = law_of(jnp.asarray(SCORES), temperature, top_p)
    np.testing.assert_allclose(law[0], expected, atol=1e-12)


def test_of_equally_probable_symbols_the_first_are_kept() -> None:
    law = law_of(jnp.asarray(SCORES), 1.0, 0.55)
    np.testing.assert_allclose(law[1], np.array([1, 1, 1, 0, 0]) / 3, atol=1e-12)


def test_laws_are_those_of_the_decoder(decoder: Decoder) -> None:
    along = laws_along(decoder, SYMBOLS)
    begun = np.concatenate([np.full((N, 1), V, np.int32), SYMBOLS], axis=1)
    scores = jax.jit(lambda decoder, symbols: decoder(symbols)[0])(decoder, jnp.asarray(begun))
    right = special.softmax(np.asarray(scores, float), axis=-1)
    assert along.dtype == jnp.float64
    np.testing.assert_allclose(along, right, atol=1e-6)
    np.testing.assert_allclose(along.sum(axis=2), 1, atol=1e-12)
    assert np.abs(np.diff(along, axis=1)).max() > 0.01
    for n in (0, 4):
        after = next_law(decoder, SYMBOLS[:, :n])
        np.testing.assert_allclose(after, along[:, n], atol=1e-6)


def test_without_symbols_the_law_is_the_same_for_all(decoder: Decoder) -> None:
    law = next_law(decoder, SYMBOLS[:, :0])
    assert law.shape == (N, V)
    np.testing.assert_array_equal(law, np.repeat(law[:1], N, axis=0))


def test_the_cache_changes_no_draw(decoder: Decoder) -> None:
    """To the end of the context, which is 4 symbols, 5 drawn ones and no place for the last."""
    options: dict[str, Any] = {"key": 2, "temperature": 0.9, "top_p": 0.9}
    fast = sample(decoder, SYMBOLS, 5, **options)
    slow = sample(decoder, SYMBOLS, 5, cached=False, **options)
    assert fast.shape == (N, 5)
    assert fast.dtype == jnp.int32
    np.testing.assert_array_equal(fast, slow)
    other = sample(decoder, SYMBOLS, 5, **(options | {"key": 3}))
    assert not np.array_equal(fast, other)


def test_a_draw_depends_on_its_sequence_and_place_alone(decoder: Decoder) -> None:
    whole = sample(decoder, SYMBOLS, 5, key=2)
    np.testing.assert_array_equal(sample(decoder, SYMBOLS[:2], 3, key=2), whole[:2, :3])


def test_draws_have_their_law(decoder: Decoder) -> None:
    """Two symbols after one prompt: 25 cells, each given by the laws of the two steps."""
    prompts = np.repeat(SYMBOLS[:1], MANY, axis=0)
    drawn = np.asarray(sample(decoder, prompts, 2, key=4, temperature=0.7, top_p=0.9))
    hits = np.bincount(drawn[:, 0] * V + drawn[:, 1], minlength=V * V)

    def worst(temperature: float, top_p: float) -> float:
        ends = np.arange(V, dtype=np.int32)[:, None]
        longer = np.concatenate([np.repeat(SYMBOLS[:1], V, axis=0), ends], axis=1)
        options = {"temperature": temperature, "top_p": top_p}
        first = next_law(decoder, SYMBOLS[:1], **options)[0]
        second = next_law(decoder, longer, **options)
        joint = (np.asarray(first)[:, None] * np.asarray(second)).ravel()
        assert joint.sum() == pytest.approx(1)
        if (hits[joint == 0] > 0).any():
            return np.inf
        error = np.sqrt(MANY * joint * (1 - joint)) + (joint == 0)
        return float(np.abs((hits - MANY * joint) / error).max())

    threshold = z_threshold(V * V)
    assert worst(0.7, 0.9) < threshold
    assert worst(0.8, 0.9) > threshold
    assert worst(0.7, 1.0) > threshold


def test_it_runs_inside_jit(decoder: Decoder) -> None:
    @jax.jit
    def drawn(decoder: Decoder, symbols: jax.Array, temperature: float) -> jax.Array:
        return sample(decoder, symbols, 5, key=jax.random.key(2), temperature=temperature)

    np.testing.assert_array_equal(drawn(decoder, SYMBOLS, 1.0), sample(decoder, SYMBOLS, 5, key=2))


def test_continuations_share_what_was_read(decoder: Decoder) -> None:
    suffixes = np.array([[0, 1], [4, 3], [2, 2], [1, 0]], np.int32)
    root, along = jax.jit(branches)(decoder, SYMBOLS, suffixes)
    assert along.shape == (N, 4, 2, V)
    for index, suffix in enumerate(suffixes):
        longer = np.concatenate([SYMBOLS, np.repeat(suffix[None], N, axis=0)], axis=1)
        laws = laws_along(decoder, longer)
        np.testing.assert_allclose(jax.nn.softmax(root), laws[:, 4], atol=1e-5)
        np.testing.assert_allclose(jax.nn.softmax(along[:, index]), laws[:, 5:], atol=1e-5)


@pytest.mark.parametrize(
    ("symbols", "n", "options", "message"),
    [
        (SYMBOLS, 6, {}, "context of 9 positions; got 10. Use fewer seeds (n_context), or train"),
        (SYMBOLS, 0, {}, "n must be a whole number of at least 1; got 0."),
        (SYMBOLS + 1, 1, {}, "symbols must lie in 0 … 4; got 5. Take the model of this alphabet"),
        (SYMBOLS - 1, 1, {}, "symbols must lie in 0 … 4; got -1."),
        (SYMBOLS, 1, {"temperature": 0.0}, "of at least 1e-3 (1 leaves the law as it is); got 0.0"),
        (SYMBOLS, 1, {"temperature": float("nan")}, "temperature must be a finite number"),
        (SYMBOLS, 1, {"top_p": 0.0}, "top_p must be a probability in (0, 1] (1 keeps every"),
        (SYMBOLS, 1, {"top_p": 1.1}, "symbol); got 1.1."),
    ],
)
def test_what_cannot_be_sampled_is_refused(
    decoder: Decoder, symbols: np.ndarray, n: int, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        sample(decoder, symbols, n, key=0, **options)


def test_laws_after_too_many_symbols_are_refused(decoder: Decoder) -> None:
    long = np.zeros((1, CONTEXT), np.int32)
    message = "the beginning, 9 symbols and 0 after them must fit the model's context of 9"
    for laws in (next_law, laws_along):
        with pytest.raises(ValueError, match=re.escape(message)):
            laws(decoder, long)
    with pytest.raises(ValueError, match="9 symbols and 1 after them"):
        branches(decoder, long, np.zeros((1, 1), np.int32))
