"""A block of a decoder, and the layers that it is made of, without intercepts.

Parameters are float32; the products of a block are of the dtype that the configuration names.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from opal.synthesis.transformer.attention import angles, attend, attend_cached, causal_mask, rotate
from opal.synthesis.transformer.config import ModelConfig

Past = tuple[Float[Array, "b h e k"], Float[Array, "b h k e"]]  # keys and values


class Block(nnx.Module):
    """Attention, then a perceptron at each position; each adds to what it reads.

    Positions of all sequences are rows N = B·L of one matrix: XLA on the CPU is a quarter faster
    with products and their slopes in two axes than in three.
    """

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs) -> None:
        d, hidden = config.width, config.mlp_ratio * config.width
        shrink = 1 / (2 * config.depth)  # variance, so that the sum over all halves is of order 1
        self.config = config
        self.norm_attention, self.norm_mlp = norm(config, rngs), norm(config, rngs)
        dtype = jnp.dtype(config.dtype)
        self.qkv = linear(d, 3 * d, rngs, dtype=dtype)
        self.out = linear(d, d, rngs, shrink, dtype=dtype)
        self.up = linear(d, hidden, rngs, dtype=dtype)
        self.down = linear(hidden, d, rngs, shrink, dtype=dtype)

    def __call__(
        self,
        x_NxD: Float[Array, "n d"],
        length: int,
        start: int | Int[Array, ""],
        past: Past | None,
    ) -> tuple[Float[Array, "n d"], Past | None]:
        """What the block makes of positions start, start + 1, …; and ``past`` with these.

        Args:
            x_NxD: the positions of the first sequence, then of the second, ….
            length: positions L of each sequence.
            start: where they begin.
            past: keys and values of earlier positions, with room for these.
        """
        change_NxD, past = self._attention(self.norm_attention(x_NxD), length, start, past)
        x_NxD += change_NxD
        act = jax.nn.relu if self.config.activation == "relu" else jax.nn.gelu
        return x_NxD + self.down(act(self.up(self.norm_mlp(x_NxD)))), past

    def _attention(
        self, x_NxD: Array, length: int, start: int | Array, past: Past | None
    ) -> tuple[Array, Past | None]:
        heads, size = self.config.heads, self.config.head_size
        qkv_BxLx3xHxE = self.qkv(x_NxD).reshape(-1, length, 3, heads, size)
        q_BxHxLxE, k_BxHxLxE, v_BxHxLxE = qkv_BxLx3xHxE.transpose(2, 0, 3, 1, 4)
        if self.config.positions == "rotary":
            cos_LxF, sin_LxF = (
                jax.lax.dynamic_slice_in_dim(jnp.asarray(table), start, length)
                for table in angles(self.config.context, size)
            )
            q_BxHxLxE = rotate(q_BxHxLxE, cos_LxF, sin_LxF)
            k_BxHxLxE = rotate(k_BxHxLxE, cos_LxF, sin_LxF)
        if past is None:
            mask_LxL = causal_mask(length, length, start)
            o_BxHxLxE = attend(q_BxHxLxE, k_BxHxLxE, v_BxHxLxE, mask_LxL)
        else:
            put = jax.lax.dynamic_update_slice_in_dim
            k_BxHxExK = put(past[0], k_BxHxLxE.swapaxes(2, 3), start, axis=3)
            v_BxHxKxE = put(past[1], v_BxHxLxE, start, axis=2)
            past = k_BxHxExK, v_BxHxKxE
            mask_KxL = causal_mask(length, v_BxHxKxE.shape[2], start)
            o_BxHxLxE = attend_cached(q_BxHxLxE, k_BxHxExK, v_BxHxKxE, mask_KxL)
        o_NxD = o_BxHxLxE.transpose(0, 2, 1, 3).reshape(x_NxD.shape)
        return self.out(o_NxD), past


def embedding(n: int, width: int, rngs: nnx.Rngs) -> nnx.Embed:
    """A vector for each of n symbols, of variance one."""
    start = nnx.initializers.normal(1.0)
    f32 = jnp.float32
    return nnx.Embed(n, width, embedding_init=start, dtype=f32, param_dtype=f32, rngs=rngs)


def linear(
    rows: int,
    columns: int,
    rngs: nnx.Rngs,
    variance: float = 1.0,
    *,
    dtype: DTypeLike = jnp.float32,
) -> nnx.Linear:
    """A matrix, of ``variance`` over the number of rows; what it gives is of ``dtype``."""
    start = nnx.initializers.variance_scaling(variance, "fan_in", "normal")
    kinds = {"dtype": dtype, "param_dtype": jnp.float32}
    return nnx.Linear(rows, columns, use_bias=False, kernel_init=start, rngs=rngs, **kinds)


def norm(config: ModelConfig, rngs: nnx.Rngs) -> nnx.RMSNorm | nnx.LayerNorm:
    """The norm that the configuration names."""
    kind = nnx.RMSNorm if config.norm == "rms" else nnx.LayerNorm
    return kind(config.width, dtype=jnp.float32, param_dtype=jnp.float32, rngs=rngs)
