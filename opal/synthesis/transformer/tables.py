"""A decoder's laws as tables: of labelled pairs, and after many sets of seeds."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from opal.arrays import AnyArray
from opal.synthesis.transformer.model import Decoder
from opal.synthesis.transformer.sample import Number, branches, law_of, next_law


@partial(jax.jit, static_argnames="n_tokens")
def pair_table(
    decoder: Decoder,
    symbols_BxL: Int[AnyArray, "b l"],
    n_tokens: int,
    temperature: Number = 1.0,
    top_p: Number = 1.0,
) -> Float[Array, "b d k"]:
    """``Q(x | S) Q(y | S, x)`` after sequences of pairs [B, d, K].

    The seeds are read once, and each token after them with what was cached.
    """
    tokens = np.arange(n_tokens, dtype=np.int32)[:, None]
    root_BxV, after_BxDx1xV = branches(decoder, symbols_BxL, tokens)
    of_x = law_of(root_BxV[:, :n_tokens], temperature, top_p)
    of_y = law_of(after_BxDx1xV[:, :, 0, n_tokens:], temperature, top_p)
    return of_x[:, :, None] * of_y


@partial(jax.jit, static_argnames="batch")
def laws_of_each(
    decoder: Decoder, tokens_SxN: AnyArray, temperature: Number, top_p: Number, *, batch: int
) -> Array:
    """Laws of the next token after many sets of seeds [S, d], a batch of them at a time."""

    def one(tokens_N: Array) -> Array:
        return next_law(decoder, tokens_N[None], temperature=temperature, top_p=top_p)[0]

    return jax.lax.map(one, tokens_SxN, batch_size=batch)


@partial(jax.jit, static_argnames="options")
def pair_tables_of_each(
    decoder: Decoder,
    symbols_SxL: AnyArray,
    temperature: Number,
    top_p: Number,
    options: tuple[int, int],
) -> Array:
    """Tables of many sets of seeds [S, d, K]; ``options`` are how many tokens, and the batch."""
    n_tokens, batch = options

    def one(symbols_L: Array) -> Array:
        return pair_table(decoder, symbols_L[None], n_tokens, temperature, top_p)[0]

    return jax.lax.map(one, symbols_SxL, batch_size=batch)
