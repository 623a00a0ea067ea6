"""Symbols drawn from a decoder, and the exact laws that they are drawn from.

Scores are divided by a temperature; the most probable symbols that together reach ``top_p`` are
kept (nucleus sampling, arXiv 1904.09751). Keys and values of what was read are cached. Names carry
shapes: B sequences, L symbols, N drawn ones, V symbols that can be predicted.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from opal.arrays import AnyArray
from opal.draws import as_key, named, pick, replicate_keys, uniform
from opal.settings.groups import validate_count
from opal.synthesis.transformer.model import Cache, Decoder
from opal.synthesis.transformer.prompt import begun as begun
from opal.synthesis.transformer.prompt import check_sampling as check_sampling
from opal.synthesis.transformer.prompt import check_symbols as check_symbols

Number = float | int | AnyArray
_BRANCHES = 32  # continuations read at once
_SEEDS_AT_ONCE = 64  # sequences in the decoder: what they leave stays in a core's cache


def law_of(
    scores: Float[Array, "*b v"], temperature: Number = 1.0, top_p: Number = 1.0
) -> Float[Array, "*b v"]:
    """Probabilities of symbols with the given scores.

    Args:
        scores: logarithms of probabilities, up to a constant.
        temperature: τ > 0; they are divided by it first.
        top_p: then the fewest most probable symbols are kept whose sum reaches it; of equally
            probable ones the first.
    """
    wide = scores.astype(jnp.zeros(()).dtype)
    law = jax.nn.softmax(wide / temperature, axis=-1)
    return jax.lax.cond(jnp.asarray(top_p) < 1, _nucleus, lambda law, _: law, law, top_p)


def _nucleus(law: Array, top_p: Number) -> Array:
    order = jnp.argsort(-law, axis=-1)
    ranked = jnp.take_along_axis(law, order, axis=-1)
    kept = jnp.cumsum(ranked, axis=-1) - ranked < top_p
    cut = jnp.where(jnp.take_along_axis(kept, jnp.argsort(order, axis=-1), axis=-1), law, 0)
    return cut / jnp.sum(cut, axis=-1, keepdims=True)


def laws_along(
    decoder: Decoder,
    symbols_BxL: Int[AnyArray, "b l"],
    *,
    temperature: Number = 1.0,
    top_p: Number = 1.0,
) -> Float[Array, "b l1 v"]:
    """Laws of the next symbol after the first 0, 1, …, L symbols [B, L+1, V].

    Raises:
        ValueError: more symbols than the context holds or outside the vocabulary, a temperature or
            ``top_p`` out of range.
    """
    check_sampling(temperature, top_p)
    check_symbols(decoder, symbols_BxL)
    symbols = jnp.asarray(symbols_BxL, jnp.int32)
    return _laws(decoder, symbols, temperature, top_p, last=False)


def next_law(
    decoder: Decoder,
    symbols_BxL: Int[AnyArray, "b l"],
    *,
    temperature: Number = 1.0,
    top_p: Number = 1.0,
) -> Float[Array, "b v"]:
    """Law of the symbol after each sequence [B, V]; after none it is the prior predictive law.

    This is the law that :func:`sample` draws from. ``symbols`` are without the beginning.

    Raises:
        ValueError: as for :func:`laws_along`.
    """
    check_sampling(temperature, top_p)
    check_symbols(decoder, symbols_BxL)
    symbols = jnp.asarray(symbols_BxL, jnp.int32)
    return _laws(decoder, symbols, temperature, top_p, last=True)


@partial(jax.jit, static_argnames="last")
def _laws(
    decoder: Decoder, symbols_BxL: Array, temperature: Number, top_p: Number, *, last: bool
) -> Array:
    scores_BxLxV = decoder(begun(decoder, symbols_BxL))[0]
    return law_of(scores_BxLxV[:, -1] if last else scores_BxLxV, temperature, top_p)


def sample(
    decoder: Decoder,
    symbols_BxL: Int[AnyArray, "b l"],
    n: int,
    *,
    key: int | Key[Array, ""],
    temperature: Number = 1.0,
    top_p: Number = 1.0,
    cached: bool = True,
) -> Int[Array, "b n"]:
    """Draw what follows each sequence, each symbol given all before it [B, N].

    What a sequence gets depends on its index and on ``key``, not on how many sequences there are;
    its first symbols do not depend on ``n``.

    Args:
        decoder: whose laws are drawn from.
        symbols_BxL: what was read before, without the beginning; L may be 0.
        n: symbols of each sequence.
        key: seed or key.
        temperature: divides the scores.
        top_p: mass of the nucleus.
        cached: whether keys and values are kept. Without it all is read again for each symbol:
            the same draws (up to rounding), for comparison.

    Raises:
        ValueError: as for :func:`laws_along`, or ``n`` below 1.
    """
    check_sampling(temperature, top_p)
    validate_count(n, "n", minimum=1)
    check_symbols(decoder, symbols_BxL, n - 1)
    draw = _with_cache if cached else _without_cache
    symbols = jnp.asarray(symbols_BxL, jnp.int32)
    return draw(decoder, symbols, as_key(key), temperature, top_p, n=n)


@partial(jax.jit, static_argnames="n")
def _with_cache(
    decoder: Decoder,
    symbols_BxL: Array,
    key: Key[Array, ""],
    temperature: Number,
    top_p: Number,
    *,
    n: int,
) -> Int[Array, "b n"]:
    u_NxB = _uniforms(key, len(symbols_BxL), n)
    scores_BxV, cache = _read(decoder, symbols_BxL, n - 1)
    first_B = pick(law_of(scores_BxV, temperature, top_p), u_NxB[0])

    def step(carry: tuple[Array, Cache], u_B: Array) -> tuple[tuple[Array, Cache], Array]:
        last_B, before = carry
        scores_Bx1xV, after = decoder(last_B[:, None], before)
        assert after is not None
        drawn_B = pick(law_of(scores_Bx1xV[:, 0], temperature, top_p), u_B)
        return (drawn_B, after), drawn_B

    _, rest = jax.lax.scan(step, (first_B, cache), u_NxB[1:])
    return jnp.concatenate([first_B[None], rest]).T


@partial(jax.jit, static_argnames="n")
def _without_cache(
    decoder: Decoder,
    symbols_BxL: Array,
    key: Key[Array, ""],
    temperature: Number,
    top_p: Number,
    *,
    n: int,
) -> Int[Array, "b n"]:
    """All sequences at full length: later symbols do not change the scores of earlier ones."""
    length = symbols_BxL.shape[1]
    u_NxB = _uniforms(key, len(symbols_BxL), n)
    room = jnp.zeros((len(symbols_BxL), n - 1), jnp.int32)
    start = begun(decoder, jnp.concatenate([symbols_BxL, room], axis=1))

    def step(whole: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
        position, u_B = at
        scores = jax.lax.dynamic_index_in_dim(decoder(whole)[0], position, axis=1, keepdims=False)
        drawn_B = pick(law_of(scores, temperature, top_p), u_B)
        # What is drawn last has no place, and is read by nobody.
        return whole.at[:, position + 1].set(drawn_B, mode="drop"), drawn_B

    positions = jnp.arange(length, length + n, dtype=jnp.int32)
    return jax.lax.scan(step, start, (positions, u_NxB))[1].T


def branches(
    decoder: Decoder, symbols_BxL: Int[AnyArray, "b l"], suffixes_MxJ: Int[AnyArray, "m j"]
) -> tuple[Float[Array, "b v"], Float[Array, "b m j v"]]:
    """Scores after each sequence [B, V], and along each of M continuations of it [B, M, J, V].

    The sequence is read once; the continuations share its cache.

    Raises:
        ValueError: more symbols than the context holds or outside the vocabulary.
    """
    check_symbols(decoder, symbols_BxL, suffixes_MxJ.shape[1])
    n_rows, n_suffixes = len(symbols_BxL), len(suffixes_MxJ)
    suffixes = jnp.asarray(suffixes_MxJ, jnp.int32)
    root_BxV, cache = _read(decoder, jnp.asarray(symbols_BxL, jnp.int32), suffixes.shape[1])

    def along(suffix_J: Array) -> Array:
        rows = jnp.broadcast_to(suffix_J[None], (n_rows, len(suffix_J)))
        return decoder(rows, cache)[0]

    most = min(_BRANCHES, n_suffixes)
    at_once = next(k for k in range(most, 0, -1) if n_suffixes % k == 0)
    each_MxBxJxV = jax.lax.map(along, suffixes, batch_size=at_once)
    return root_BxV, each_MxBxJxV.swapaxes(0, 1)


def _read(decoder: Decoder, symbols_BxL: Array, room: int) -> tuple[Array, Cache]:
    """Scores after the sequences [B, V] and their cache, with room for some more symbols."""
    size = symbols_BxL.shape[1] + 1 + room
    keys, values, length = decoder.empty_cache(len(symbols_BxL))
    # No longer than need be: each step looks at all of it.
    short = Cache(
        tuple(part[..., :size] for part in keys),
        tuple(part[:, :, :size] for part in values),
        length,
    )
    scores_BxLxV, cache = decoder(begun(decoder, symbols_BxL), short)
    assert cache is not None
    return scores_BxLxV[:, -1], cache


def _uniforms(key: Key[Array, ""], n_sequences: int, n: int) -> Float[Array, "n b"]:
    """A stream of uniforms for each sequence [N, B]."""
    keys = replicate_keys(named(key, "symbols"), jnp.arange(n_sequences))
    return jax.vmap(lambda k: uniform(k, n, 1)[:, 0], out_axes=1)(keys)


def streams(
    decoder: Decoder,
    seeds: np.ndarray,
    length: int,
    *,
    key: int,
    temperature: float,
    n_streams: int,
) -> np.ndarray:
    """Streams of m rows after the seeds of each subject [S, n], each row given all before it.

    Of each subject there are ``n_streams`` [S, R, m]; a stream depends on the key, its subject and
    its number alone.
    """
    again = np.repeat(seeds, n_streams, axis=0)
    with jax.enable_x64(True):
        keys = replicate_keys(named(as_key(key), "streams"), jnp.arange(len(again)))
        found = _streams(decoder, jnp.asarray(again), keys, temperature, length=length)
        return np.asarray(found).reshape(len(seeds), n_streams, length)


@partial(jax.jit, static_argnames="length")
def _streams(
    decoder: Decoder, seeds: Array, keys: Key[Array, " s"], temperature: Array, *, length: int
) -> Array:
    def one(stream: tuple[Array, Array]) -> Array:
        seeds, key = stream
        return sample(decoder, seeds[None], length, key=key, temperature=temperature)[0]

    found: Array = jax.lax.map(one, (seeds, keys), batch_size=_SEEDS_AT_ONCE)
    return found


def first_two(
    decoder: Decoder, seeds: np.ndarray, *, temperature: float
) -> tuple[np.ndarray, np.ndarray]:
    """Law of the first row after seeds [S, n], and that of the same token next [S, d]: exact.

    The second is ``Q(x | seeds, x)`` at each x, so that two rows of a stream are equal with
    probability ``Σ_x Q(x | seeds) Q(x | seeds, x)``.
    """
    with jax.enable_x64(True):
        first, again = _first_two(decoder, jnp.asarray(seeds), temperature)
        return np.asarray(first), np.asarray(again)


@jax.jit
def _first_two(decoder: Decoder, seeds: Array, temperature: Array) -> tuple[Array, Array]:
    tokens = np.arange(decoder.config.outputs, dtype=np.int32)[:, None]

    def one(seeds: Array) -> tuple[Array, Array]:
        root, after = branches(decoder, seeds[None], tokens)
        again = jnp.diagonal(law_of(after[0, :, 0], temperature))
        return law_of(root[0], temperature), again

    found: tuple[Array, Array] = jax.lax.map(one, seeds, batch_size=_SEEDS_AT_ONCE)
    return found
