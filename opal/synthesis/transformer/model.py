"""A small decoder: which token comes next, given those before.

Parameters are float32 whatever ``jax_enable_x64`` says, and so is arithmetic but for products in
bfloat16 where the configuration asks for them. Names carry shapes: B sequences, L positions, D
numbers (the width), H heads, E = D/H, V symbols.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from opal.draws import as_key
from opal.synthesis.transformer.block import Block, Past, embedding, linear, norm
from opal.synthesis.transformer.config import ModelConfig

__all__ = ["Cache", "Decoder", "ModelConfig"]


class Cache(NamedTuple):
    """Keys and values of the positions that were read.

    Attributes:
        keys: of each block [B, H, E, context].
        values: of each block [B, H, context, E].
        length: positions read.
    """

    keys: tuple[Float[Array, "b h e c"], ...]
    values: tuple[Float[Array, "b h c e"], ...]
    length: Int[Array, ""]


class Decoder(nnx.Module):
    """A causal transformer with norms before each half of a block (arXiv 2002.04745).

    The head has weights of its own: the alphabets are small, and tying would save few parameters
    and bind the law of the next token to what tokens mean as evidence. There are no intercepts.

    Args:
        config: sizes and kinds.
        key: of the initial parameters.
    """

    def __init__(self, config: ModelConfig, *, key: int | Key[Array, ""]) -> None:
        rngs = nnx.Rngs(as_key(key))
        self.config = config
        d = config.width
        self.embed = embedding(config.vocab, d, rngs)
        learned = config.positions == "learned"
        self.positions = embedding(config.context, d, rngs) if learned else None
        self.blocks = nnx.List([Block(config, rngs) for _ in range(config.depth)])
        self.norm = norm(config, rngs)
        self.head = linear(d, config.outputs, rngs)

    def __call__(
        self, tokens_BxL: Int[Array, "b l"], cache: Cache | None = None
    ) -> tuple[Float[Array, "b l v"], Cache | None]:
        """Scores of the token after each position, and the cache with these positions read.

        Args:
            tokens_BxL: the sequences from their beginning or, with a cache, what follows in them.
            cache: what was read before; scores are NaN where it has no room for the rest.

        Raises:
            ValueError: more positions than the context.
        """
        config = self.config
        b, n = tokens_BxL.shape
        if n > config.context:
            raise ValueError(
                f"the context has {config.context} positions, the beginning included; got {n}. "
                "Use fewer seeds, or train a model with a longer context."
            )
        start: int | Int[Array, ""] = 0 if cache is None else cache.length
        x_BxLxD = self.embed(tokens_BxL)
        if self.positions is not None:
            table = self.positions.embedding[...]
            x_BxLxD += jax.lax.dynamic_slice_in_dim(table, start, n)[None]
        x_NxD = x_BxLxD.reshape(b * n, config.width)
        pasts: list[Past] = []
        for index, block in enumerate(self.blocks):
            before = None if cache is None else (cache.keys[index], cache.values[index])
            x_NxD, past = block(x_NxD, n, start, before)
            pasts += [] if past is None else [past]
        scores_BxLxV = self.head(self.norm(x_NxD)).reshape(b, n, config.outputs)
        if cache is None:
            return scores_BxLxV, None
        keys, values = zip(*pasts, strict=True)
        length = cache.length + np.int32(n)
        scores_BxLxV = jnp.where(length <= config.context, scores_BxLxV, np.float32(np.nan))
        return scores_BxLxV, Cache(keys, values, length)

    def empty_cache(self, n_sequences: int) -> Cache:
        """A cache in which nothing was read."""
        c = self.config
        sizes = (c.head_size, c.context), (c.context, c.head_size)
        keys, values = (
            tuple(jnp.zeros((n_sequences, c.heads, *size), c.dtype) for _ in range(c.depth))
            for size in sizes
        )
        return Cache(keys, values, jnp.zeros((), jnp.int32))
