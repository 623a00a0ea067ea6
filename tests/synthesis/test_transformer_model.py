"""The decoder: one path for whole sequences and for single steps, causal, float32."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opal.synthesis.transformer.attention import angles, attend, causal_mask, rotate
from opal.synthesis.transformer.config import ModelConfig
from opal.synthesis.transformer.model import Cache, Decoder
from opal.synthesis.transformer.streams import cross_entropy

N, CONTEXT, VOCAB = 3, 10, 7
KINDS = [("rotary", "rms", "relu"), ("learned", "layer", "gelu")]


@jax.jit
def scores(decoder: Decoder, tokens: jax.Array) -> jax.Array:
    return decoder(tokens)[0]


@jax.jit
def read(decoder: Decoder, tokens: jax.Array, cache: Cache) -> tuple[jax.Array, Cache | None]:
    return decoder(tokens, cache)


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
def decoder(request: pytest.FixtureRequest) -> Decoder:
    positions, norm, activation = request.param
    depth = 2 if positions == "rotary" else 1
    kinds = {"positions": positions, "norm": norm, "activation": activation}
    config = ModelConfig(VOCAB, CONTEXT, 8, depth, 2, mlp_ratio=2, **kinds)
    return jax.jit(lambda: Decoder(config, key=0))()


@pytest.fixture
def tokens() -> jax.Array:
    return jax.random.randint(jax.random.key(1), (N, CONTEXT), 0, VOCAB, jnp.int32)


def in_steps(decoder: Decoder, tokens: jax.Array) -> jax.Array:
    """Scores of a prefill of four and then one token at a time."""
    found, cache = read(decoder, tokens[:, :4], decoder.empty_cache(N))
    parts = [found]
    for at in range(4, CONTEXT):
        assert cache is not None
        found, cache = read(decoder, tokens[:, at : at + 1], cache)
        parts.append(found)
    return jnp.concatenate(parts, axis=1)


def test_steps_with_a_cache_are_the_full_pass(decoder: Decoder, tokens: jax.Array) -> None:
    whole = scores(decoder, tokens)
    assert whole.shape == (N, CONTEXT, VOCAB - 1)
    assert float(jnp.std(whole)) > 0.1
    np.testing.assert_allclose(in_steps(decoder, tokens), whole, atol=1e-5)


def test_a_later_token_changes_no_earlier_score(decoder: Decoder, tokens: jax.Array) -> None:
    before = np.asarray(scores(decoder, tokens))
    for at in (1, 5, CONTEXT - 1):
        after = np.asarray(scores(decoder, tokens.at[:, at].set((tokens[:, at] + 1) % VOCAB)))
        np.testing.assert_array_equal(after[:, :at], before[:, :at])
        assert (np.abs(after[:, at:] - before[:, at:]).max(axis=(0, 2)) > 1e-4).all()


def test_positions_matter(decoder: Decoder, tokens: jax.Array) -> None:
    swapped = tokens.at[:, 1].set(tokens[:, 2]).at[:, 2].set(tokens[:, 1])
    apart = np.abs(np.asarray(scores(decoder, swapped) - scores(decoder, tokens)))[:, -1]
    assert apart.max() > 1e-4


def test_numbers_are_float32_under_x64(decoder: Decoder, tokens: jax.Array) -> None:
    assert jnp.zeros(()).dtype == jnp.float64
    found, cache = read(decoder, tokens[:, :4], decoder.empty_cache(N))
    kinds = {leaf.dtype for leaf in jax.tree.leaves((decoder, cache, found))}
    assert kinds == {jnp.dtype("float32"), jnp.dtype("int32")}  # the length is the integer
    with jax.enable_x64(False):
        narrow = np.asarray(scores(decoder, tokens))
    np.testing.assert_allclose(scores(decoder, tokens), narrow, atol=1e-6)


def test_products_in_bfloat16_leave_the_rest_float32(tokens: jax.Array) -> None:
    wide = ModelConfig(VOCAB, CONTEXT, 8, 2, 2, mlp_ratio=2)
    decoders = [
        jax.jit(lambda c=config: Decoder(c, key=0))()
        for config in (wide, replace(wide, dtype="bfloat16"))
    ]

    @jax.jit
    def both(decoder: Decoder) -> tuple[jax.Array, Decoder]:
        def loss(at: Decoder) -> tuple[jax.Array, jax.Array]:
            found = at(tokens)[0]
            return cross_entropy(found[:, :-1], tokens[:, 1:] % (VOCAB - 1)), found

        slopes, found = jax.grad(loss, has_aux=True)(decoder)
        return found, slopes

    (right, slopes), (found, narrow) = (both(decoder) for decoder in decoders)
    kinds = {leaf.dtype for leaf in jax.tree.leaves((decoders[1], found, narrow))}
    assert kinds == {jnp.dtype("float32")}
    assert apart((found,), (right,)) > 1e-4  # of bfloat16 one in 256 is the rounding
    assert apart((found,), (right,)) < 2e-2
    assert apart(jax.tree.leaves(narrow), jax.tree.leaves(slopes)) < 4e-2
    cache = decoders[1].empty_cache(N)
    assert {leaf.dtype for leaf in (*cache.keys, *cache.values)} == {jnp.dtype("bfloat16")}
    assert apart((in_steps(decoders[1], tokens),), (found,)) < 2e-2


def apart(a: Iterable[jax.Array], b: Iterable[jax.Array]) -> float:
    """Root mean square of the difference, in units of that of b."""
    pairs = [(np.ravel(x), np.ravel(y)) for x, y in zip(a, b, strict=True)]
    x, y = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return float(np.sqrt(np.mean((x - y) ** 2) / np.mean(y**2)))


def test_scores_beyond_the_context_are_no_numbers(decoder: Decoder, tokens: jax.Array) -> None:
    found, cache = read(decoder, tokens[:, :4], decoder.empty_cache(N))
    assert cache is not None
    full = cache._replace(length=jnp.asarray(CONTEXT, jnp.int32))
    assert np.isfinite(found).all()
    assert np.isnan(read(decoder, tokens[:, :1], full)[0]).all()


def test_more_positions_than_the_context_are_refused(decoder: Decoder) -> None:
    message = f"has {CONTEXT} positions, the beginning included; got {CONTEXT + 1}. Use fewer"
    with pytest.raises(ValueError, match=re.escape(message)):
        decoder(jnp.zeros((1, CONTEXT + 1), jnp.int32))


def plain(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Attention by the book, differentiated by JAX."""
    later = np.triu(np.ones((q.shape[2], k.shape[2]), bool), 1)
    weights = jnp.einsum("bhqe,bhke->bhqk", q, k) / math.sqrt(q.shape[-1])
    weights = jax.nn.softmax(jnp.where(later[None, None], -jnp.inf, weights))
    return jnp.einsum("bhqk,bhke->bhqe", weights, v)


def test_attention_and_its_slopes_are_those_of_the_book() -> None:
    q, k, v, slope = jax.random.normal(jax.random.key(2), (4, 2, 3, 6, 4), jnp.float32) * 2
    mask = causal_mask(6, 6, 0)

    @jax.jit
    def both(*qkv: jax.Array) -> list[tuple[jax.Array, ...]]:
        pairs = [jax.vjp(f, *qkv) for f in (lambda *qkv: attend(*qkv, mask), plain)]
        return [(out, *back(slope)) for out, back in pairs]

    for found, right in zip(*both(q, k, v), strict=True):
        assert float(jnp.abs(right).max()) > 0.1
        np.testing.assert_allclose(found, right, atol=2e-5)


def test_large_scores_do_not_overflow() -> None:
    q, k, v = jax.random.normal(jax.random.key(3), (3, 1, 1, 6, 4), jnp.float32)
    out = attend(1e4 * q, 1e4 * k, v, causal_mask(6, 6, 0))
    assert np.isfinite(out).all()


def test_the_mask_of_a_step_is_a_column_of_the_full_mask() -> None:
    whole = np.asarray(causal_mask(6, 6, 0))
    step = np.asarray(causal_mask(1, 6, jnp.asarray(4, jnp.int32)))
    np.testing.assert_array_equal(step, whole[:, 4:5])
    assert ((whole == 0) == np.triu(np.ones((6, 6), bool))).all()


def test_rotary_products_know_distances_only() -> None:
    q, k = jax.random.normal(jax.random.key(4), (2, 1, 1, 1, 8), jnp.float32)
    cos, sin = angles(12, 8)

    def product(at: int, distance: int) -> float:
        turned = rotate(q, cos[[at]], sin[[at]])
        return float(jnp.vdot(turned, rotate(k, cos[[at + distance]], sin[[at + distance]])))

    assert product(0, 3) == pytest.approx(product(7, 3), abs=1e-5)
    assert product(0, 3) != pytest.approx(product(0, 5), abs=1e-3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"vocab": 2}, "vocab must be a whole number of at least 3; got 2."),
        ({"context": 1}, "context must be a whole number of at least 2; got 1."),
        ({"width": 0}, "width must be a whole number of at least 1; got 0."),
        ({"depth": 1.5}, "depth must be a whole number of at least 1; got 1.5."),
        ({"mlp_ratio": 0}, "mlp_ratio must be a whole number of at least 1; got 0."),
        ({"heads": 3}, "heads must divide the width; got 3 heads and width 64."),
        ({"width": 6}, "an even number of numbers a head; got 3. Change width"),
        ({"positions": "rotory"}, "unknown positions 'rotory'; did you mean 'rotary'?"),
        ({"norm": "batch"}, "There are: layer, rms."),
        ({"activation": "tanh"}, "There are: gelu, relu."),
        ({"dtype": "float16"}, "unknown dtype 'float16'; did you mean 'bfloat16'?"),
    ],
)
def test_a_model_that_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        ModelConfig(**{"vocab": 9, **fields})


def test_synthesis_does_not_load_flax() -> None:
    code = "import opal.synthesis, sys; print({'flax', 'optax', 'orbax'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "set()", result.stderr
