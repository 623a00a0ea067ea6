"""Keys and standard normal draws: the one place where integers become randomness.

Streams are named, so that adding a draw somewhere never shifts the draws elsewhere, and two arms
that use the same name under the same key see the same real data.
"""

from __future__ import annotations

import math
import zlib

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

# Coefficients in the square of the angle, highest power first.
_COSINE = [(-1) ** k / math.factorial(2 * k) for k in range(6, -1, -1)]
_SINE = [(-1) ** k / math.factorial(2 * k + 1) for k in range(5, -1, -1)]


def as_key(seed: int | Key[Array, ""]) -> Key[Array, ""]:
    """Turn an integer seed into a key; a key is passed through."""
    return jax.random.key(seed) if isinstance(seed, int) else seed


def named(key: Key[Array, ""], name: str) -> Key[Array, ""]:
    """The stream ``name`` of ``key``."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def replicate_keys(key: Key[Array, ""], indices: Array) -> Key[Array, " r"]:
    """One key for each replicate index [r]: replicate 7 is the same in every chunking."""
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, indices)


def standard_normal(key: Key[Array, ""], n: int, dim: int) -> Float[Array, "n dim"]:
    """Standard normal draws [n, dim], two from each 64-bit word (Box and Muller 1958).

    ``jax.random.normal`` spends a whole Threefry block and an inverse error function on each
    number; this halves the blocks. Uniforms have 32 bits, so the tails reach 6.7 standard
    deviations and the spacing is that of float32. The first rows do not depend on ``n``: draws
    for a larger sample extend those for a smaller one.
    """
    # Each pair of coordinates has a stream of its own, so that loops run along the long axis.
    streams = jax.random.split(key, (dim + 1) // 2)
    first, second = jax.vmap(lambda stream: _uniform_pairs(stream, n))(streams)
    radius = jnp.sqrt(-2.0 * jnp.log(first))
    cosine, sine = _circle(second - jnp.float32(0.5))
    # Without the barrier XLA would draw the words once for each half of the result.
    halves = jax.lax.optimization_barrier((radius * cosine, radius * sine))
    return jnp.concatenate(halves)[:dim].astype(jnp.zeros(()).dtype).T


def _circle(turns: Float[Array, "h n"]) -> tuple[Float[Array, "h n"], Float[Array, "h n"]]:
    """Cosine and sine of 2π·turns, |turns| ≤ ½, to 4e-7: Taylor series at half the angle.

    XLA calls a scalar function for each sine; polynomials are vectorised, and 15 times faster.
    """
    angle = turns * jnp.float32(math.pi)
    square = angle * angle
    cosine = jnp.polyval(jnp.asarray(_COSINE, jnp.float32), square)
    sine = angle * jnp.polyval(jnp.asarray(_SINE, jnp.float32), square)
    return cosine * cosine - sine * sine, 2 * sine * cosine


def _uniform_pairs(key: Key[Array, ""], n: int) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Two uniforms in (0, 1] with 32 bits each; one block for both where 64-bit words exist."""
    if jax.dtypes.canonicalize_dtype(np.uint64) == np.uint64:
        words = jax.random.bits(key, (n,), jnp.uint64)
        high, low = words >> 32, words & 0xFFFFFFFF
    else:
        pairs = jax.random.bits(key, (n, 2), jnp.uint32)
        high, low = pairs[:, 0], pairs[:, 1]
    return _uniform(high), _uniform(low)


def _uniform(integers: Array) -> Float[Array, " n"]:
    """Midpoints of the 2³² cells, so that zero (an infinite normal) cannot occur."""
    floats = integers.astype(jnp.uint32).astype(jnp.float32)
    return (floats + jnp.float32(0.5)) * jnp.float32(2.0**-32)
