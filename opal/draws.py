"""Keys and standard normal draws: the one place where integers become randomness.

Streams are named, so that adding a draw somewhere never shifts the draws elsewhere, and two arms
that use the same name under the same key see the same real data.
"""

from __future__ import annotations

import math
import zlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import threefry_2x32
from jaxtyping import Array, Float, Int, Key

from opal.arrays import AnyArray

Rows = int | tuple[int, ...]
_MOST_PAIRS = 2**16  # of columns, so that groups have counters of their own
# Coefficients in the square of the angle, highest power first.
_COSINE = [(-1) ** k / math.factorial(2 * k) for k in range(6, -1, -1)]
_SINE = [(-1) ** k / math.factorial(2 * k + 1) for k in range(5, -1, -1)]


def as_key(seed: int | Key[Array, ""]) -> Key[Array, ""]:
    """Turn an integer seed into a key; a key is passed through.

    Raises:
        ValueError: neither a whole number of 64 bits nor a key.
    """
    if isinstance(seed, jax.Array):
        return seed
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not whole or not -(2**63) <= seed < 2**63:
        raise ValueError(
            f"key must be a whole number of 64 bits or a key of jax.random.key; got {seed!r}."
        )
    return jax.random.key(int(seed))


def named(key: Key[Array, ""], name: str) -> Key[Array, ""]:
    """The stream ``name`` of ``key``."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def replicate_keys(key: Key[Array, ""], indices: Array) -> Key[Array, " r"]:
    """One key for each replicate index [r]: replicate 7 is the same in every chunking."""
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, indices)


@partial(jax.jit, static_argnames=("n", "dim"), inline=True)
def standard_normal(key: Key[Array, ""], n: Rows, dim: int) -> Float[Array, "n dim"]:
    """Standard normal draws [n, dim], two from each Threefry block (Box and Muller 1958).

    ``jax.random.normal`` spends a block and an inverse error function on each number. Uniforms have
    32 bits, so the tails reach 6.7 standard deviations and the spacing is that of float32.

    Args:
        key: of the draws.
        n: number of rows, or the rows of each group. The first rows of a group depend neither on
            how many rows it has nor on the other groups: more draws extend fewer.
        dim: columns.
    """
    first, second = _uniform_pairs(key, n, (dim + 1) // 2)
    radius = jnp.sqrt(-2.0 * jnp.log(first))
    cosine, sine = _circle(second - jnp.float32(0.5))
    # Without the barrier XLA would draw the words once for each half of the result.
    halves = jax.lax.optimization_barrier((radius * cosine, radius * sine))
    return jnp.concatenate(halves)[:dim].astype(jnp.zeros(()).dtype).T


@partial(jax.jit, static_argnames=("n", "dim"), inline=True)
def uniform(key: Key[Array, ""], n: Rows, dim: int) -> Float[Array, "n dim"]:
    """Uniform draws in (0, 1] with 32 bits [n, dim]; ``n`` as for :func:`standard_normal`."""
    pairs = jnp.concatenate(_uniform_pairs(key, n, (dim + 1) // 2))
    return pairs[:dim].astype(jnp.zeros(()).dtype).T


def on_host(key: Key[Array, ""]) -> np.random.Generator:
    """NumPy's generator of a key's stream: for texts, and all that no compiled function draws.

    ``uniform`` is compiled for each shape, which takes longer than to make a table of texts.
    """
    high, low = (int(word) for word in np.asarray(jax.random.key_data(key)))
    return np.random.Generator(np.random.Philox(key=high << 32 | low))


def one_of(uniforms: Float[Array, " n"], k: int) -> Int[Array, " n"]:
    """One of k equally likely indices for each uniform in (0, 1]."""
    return jnp.minimum(jnp.floor(uniforms * k), k - 1).astype(int)


def pick(
    law: Float[AnyArray, "*#b v"], uniforms: Float[Array, "*b"], *, scaled: bool = True
) -> Int[Array, "*b"]:
    """The index in whose interval of the cumulated law each uniform in (0, 1] lies.

    Args:
        law: probabilities of the indices, one law for each uniform or one [V] for all. One for all
            is searched, in log V steps; laws of their own are compared with, which is faster for
            small V.
        uniforms: one for each draw.
        scaled: multiply the uniforms by the sum of the law first, so that it need not be one.
    """
    upper = jnp.cumsum(jnp.asarray(law), axis=-1)
    heights = uniforms * upper[..., -1] if scaled else uniforms
    if upper.ndim == 1:
        return jnp.minimum(jnp.searchsorted(upper, heights), len(upper) - 1).astype(jnp.int32)
    return jnp.sum(upper[..., :-1] < heights[..., None], axis=-1, dtype=jnp.int32)


def _circle(turns: Float[Array, "h n"]) -> tuple[Float[Array, "h n"], Float[Array, "h n"]]:
    """Cosine and sine of 2π·turns, |turns| ≤ ½, to 4e-7: Taylor series at half the angle.

    XLA calls a scalar function for each sine; polynomials are vectorised, and 15 times faster.
    """
    angle = turns * jnp.float32(math.pi)
    square = angle * angle
    cosine = jnp.polyval(jnp.asarray(_COSINE, jnp.float32), square)
    sine = angle * jnp.polyval(jnp.asarray(_SINE, jnp.float32), square)
    return cosine * cosine - sine * sine, 2 * sine * cosine


def _uniform_pairs(
    key: Key[Array, ""], n: Rows, n_pairs: int
) -> tuple[Float[Array, "h n"], Float[Array, "h n"]]:
    """Two uniforms for each pair and row, from one Threefry call for all groups.

    The block's counter is (group and pair, row): what a row gets depends on these alone. One call
    also compiles several times faster than one for each group.
    """
    counts = (n,) if isinstance(n, int) else n
    group = np.repeat(np.arange(len(counts)), counts).astype(np.uint32)
    row = np.concatenate([np.arange(count) for count in counts]).astype(np.uint32)
    pair = jnp.arange(n_pairs, dtype=jnp.uint32)
    which = (group * np.uint32(_MOST_PAIRS))[None, :] + pair[:, None]
    counters = jnp.stack([which, jnp.broadcast_to(row[None, :], which.shape)])
    words = threefry_2x32(jax.random.key_data(key), counters)
    return _uniform(words[0]), _uniform(words[1])


def _uniform(integers: Array) -> Float[Array, "h n"]:
    """Midpoints of the 2³² cells, so that zero (an infinite normal) cannot occur."""
    floats = integers.astype(jnp.uint32).astype(jnp.float32)
    return (floats + jnp.float32(0.5)) * jnp.float32(2.0**-32)
