"""A small decoder: which token comes next, given those before.

Parameters and arithmetic are float32 whatever ``jax_enable_x64`` says. Names carry shapes: B
sequences, L positions, D numbers (the width), H heads, E = D/H, V symbols.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from opal import names
from opal.draws import as_key
from opal.settings.groups import validate_count
from opal.synthesis.transformer.attention import angles, attend, causal_mask, rotate

Positions = Literal["rotary", "learned"]
Norm = Literal["rms", "layer"]
Activation = Literal["relu", "gelu"]
_CHOICES = {
    "positions": ("rotary", "learned"),
    "norm": ("rms", "layer"),
    "activation": ("relu", "gelu"),
}


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and kinds of a decoder.

    Attributes:
        vocab: symbols V; the last one begins each sequence and is never predicted.
        context: most positions, that of the beginning among them: one more than the seeds.
        width: numbers D at each position.
        depth: blocks of attention and perceptron.
        heads: of attention; they share the width.
        positions: rotary turns queries and keys; learned adds a vector to each position.
        norm: RMSNorm or LayerNorm, before each half of a block.
        mlp_ratio: width of the perceptron's hidden layer, in units of D.
        activation: of the perceptron.

    Raises:
        ValueError: a number that is not whole or too small, a choice that does not exist, heads
            that do not divide the width, an odd number of numbers a head with rotary positions.
    """

    vocab: int
    context: int = 65
    width: int = 64
    depth: int = 2
    heads: int = 2
    positions: Positions = "rotary"
    norm: Norm = "rms"
    mlp_ratio: int = 4
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        """Check the numbers and the choices."""
        for name, least in (("vocab", 3), ("context", 2), ("mlp_ratio", 1)):
            validate_count(getattr(self, name), name, minimum=least)
        for name in ("width", "depth", "heads"):
            validate_count(getattr(self, name), name, minimum=1)
        for name, known in _CHOICES.items():
            names.check(name, [getattr(self, name)], known)
        if self.width % self.heads:
            raise ValueError(
                f"heads must divide the width; got {self.heads} heads and width {self.width}."
            )
        if self.positions == "rotary" and self.head_size % 2:
            raise ValueError(
                "rotary positions turn pairs, and need an even number of numbers a head; got "
                f"{self.head_size}. Change width or heads, or take learned positions."
            )

    @property
    def head_size(self) -> int:
        """Numbers a head E."""
        return self.width // self.heads

    @property
    def outputs(self) -> int:
        """Symbols that can be predicted: all but the last."""
        return self.vocab - 1


class Cache(NamedTuple):
    """Keys and values of the positions that were read.

    Attributes:
        keys: of each block [B, H, context, E].
        values: of each block [B, H, context, E].
        length: positions read.
    """

    keys: tuple[Float[Array, "b h c e"], ...]
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
        self.embed = _embedding(config.vocab, d, rngs)
        learned = config.positions == "learned"
        self.positions = _embedding(config.context, d, rngs) if learned else None
        self.blocks = nnx.List([Block(config, rngs) for _ in range(config.depth)])
        self.norm = _norm(config, rngs)
        self.head = _linear(d, config.outputs, rngs)

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
        n = tokens_BxL.shape[1]
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
        keys, values = [], []
        for index, block in enumerate(self.blocks):
            past = None if cache is None else (cache.keys[index], cache.values[index])
            x_BxLxD, (k, v) = block(x_BxLxD, start, past)
            keys.append(k)
            values.append(v)
        scores_BxLxV = self.head(self.norm(x_BxLxD))
        if cache is None:
            return scores_BxLxV, None
        length = cache.length + np.int32(n)
        scores_BxLxV = jnp.where(length <= config.context, scores_BxLxV, np.float32(np.nan))
        return scores_BxLxV, Cache(tuple(keys), tuple(values), length)

    def empty_cache(self, n_sequences: int) -> Cache:
        """A cache in which nothing was read."""
        c = self.config
        shape = (n_sequences, c.heads, c.context, c.head_size)
        empty = tuple(jnp.zeros(shape, jnp.float32) for _ in range(c.depth))
        return Cache(empty, empty, jnp.zeros((), jnp.int32))


class Block(nnx.Module):
    """Attention, then a perceptron at each position; each adds to what it reads."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs) -> None:
        d, hidden = config.width, config.mlp_ratio * config.width
        shrink = 1 / (2 * config.depth)  # variance, so that the sum over all halves is of order 1
        self.config = config
        self.norm_attention, self.norm_mlp = _norm(config, rngs), _norm(config, rngs)
        self.qkv = _linear(d, 3 * d, rngs)
        self.out = _linear(d, d, rngs, shrink)
        self.up = _linear(d, hidden, rngs)
        self.down = _linear(hidden, d, rngs, shrink)

    def __call__(
        self,
        x_BxLxD: Float[Array, "b l d"],
        start: int | Int[Array, ""],
        past: tuple[Array, Array] | None,
    ) -> tuple[Float[Array, "b l d"], tuple[Array, Array]]:
        """What the block makes of positions start, start + 1, …; and all keys and values."""
        b, n, d = x_BxLxD.shape
        heads_BxLx3xHxE = self.qkv(self.norm_attention(x_BxLxD)).reshape(
            b, n, 3, self.config.heads, self.config.head_size
        )
        q_BxHxLxE, k_BxHxLxE, v_BxHxLxE = heads_BxLx3xHxE.transpose(2, 0, 3, 1, 4)
        if self.config.positions == "rotary":
            cos, sin = (
                jax.lax.dynamic_slice_in_dim(jnp.asarray(table), start, n)
                for table in angles(self.config.context, self.config.head_size)
            )
            q_BxHxLxE, k_BxHxLxE = rotate(q_BxHxLxE, cos, sin), rotate(k_BxHxLxE, cos, sin)
        k_BxHxKxE, v_BxHxKxE = k_BxHxLxE, v_BxHxLxE
        if past is not None:
            k_BxHxKxE, v_BxHxKxE = (
                jax.lax.dynamic_update_slice_in_dim(old, fresh, start, axis=2)
                for old, fresh in zip(past, (k_BxHxLxE, v_BxHxLxE), strict=True)
            )
        mask_KxL = causal_mask(n, k_BxHxKxE.shape[2], start)
        o_BxHxLxE = attend(q_BxHxLxE, k_BxHxKxE, v_BxHxKxE, mask_KxL)
        x_BxLxD += self.out(o_BxHxLxE.transpose(0, 2, 1, 3).reshape(b, n, d))
        act = jax.nn.relu if self.config.activation == "relu" else jax.nn.gelu
        x_BxLxD += self.down(act(self.up(self.norm_mlp(x_BxLxD))))
        return x_BxLxD, (k_BxHxKxE, v_BxHxKxE)


def _embedding(n: int, width: int, rngs: nnx.Rngs) -> nnx.Embed:
    start = nnx.initializers.normal(1.0)
    f32 = jnp.float32
    return nnx.Embed(n, width, embedding_init=start, dtype=f32, param_dtype=f32, rngs=rngs)


def _linear(rows: int, columns: int, rngs: nnx.Rngs, variance: float = 1.0) -> nnx.Linear:
    start = nnx.initializers.variance_scaling(variance, "fan_in", "normal")
    f32 = jnp.float32
    return nnx.Linear(
        rows, columns, use_bias=False, kernel_init=start, dtype=f32, param_dtype=f32, rngs=rngs
    )


def _norm(config: ModelConfig, rngs: nnx.Rngs) -> nnx.RMSNorm | nnx.LayerNorm:
    kind = nnx.RMSNorm if config.norm == "rms" else nnx.LayerNorm
    return kind(config.width, dtype=jnp.float32, param_dtype=jnp.float32, rngs=rngs)
