"""Causal attention with a backward pass of its own, and rotary positions.

Shapes: B sequences, H heads, Q queries, K keys, E = width / H numbers a head. Scores are kept as
[B, H, K, Q]: sums over keys are then sums of whole vectors, which XLA's code for the CPU does
several times faster than sums along the last axis. The softmax is float32; products take and give
the dtype of queries, keys and values.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from opal.arrays import AnyArray

_HIDDEN = np.float32(-1e30)  # added to the score of a key that a query must not see


def causal_mask(n_queries: int, n_keys: int, start: int | Int[Array, ""]) -> Float[AnyArray, "k q"]:
    """0 where the key is not after the query, else a large negative number [K, Q].

    Args:
        n_queries: queries, at positions start, start + 1, ….
        n_keys: keys, at positions 0, 1, ….
        start: position of the first query; a constant mask if it is an ``int``.
    """
    if isinstance(start, int):
        unseen = np.arange(n_keys)[:, None] > np.arange(start, start + n_queries)[None, :]
        return np.where(unseen, _HIDDEN, np.float32(0))
    queries = start + jnp.arange(n_queries, dtype=jnp.int32)
    later = jnp.arange(n_keys, dtype=jnp.int32)[:, None] > queries[None, :]
    return jnp.where(later, _HIDDEN, np.float32(0))


@jax.custom_vjp
def attend(
    q_BxHxQxE: Float[Array, "b h q e"],
    k_BxHxKxE: Float[Array, "b h k e"],
    v_BxHxKxE: Float[Array, "b h k e"],
    mask_KxQ: Float[AnyArray, "k q"],
) -> Float[Array, "b h q e"]:
    """Values averaged with weights ``softmax(⟨q, k⟩/√E + mask)``.

    The backward pass reads the weights that the forward pass found, and takes the sum
    ``Σ_k p_k ∂p_k`` of the softmax's derivative from the output: it is ``⟨o, ∂o⟩``.
    """
    return _forward(q_BxHxQxE, k_BxHxKxE, v_BxHxKxE, mask_KxQ)[0]


Residuals = tuple[Array, Array, Array, Array, Array]


def _forward(q: Array, k: Array, v: Array, mask: AnyArray) -> tuple[Array, Residuals]:
    scores = _product("bhke,bhqe->bhkq", k, _scaled(q)) + jnp.asarray(mask)[None, None]
    raised = jnp.exp(scores - jnp.max(scores, axis=2, keepdims=True))
    weights = (raised * (1 / jnp.sum(raised, axis=2, keepdims=True))).astype(v.dtype)
    out = jnp.einsum("bhkq,bhke->bhqe", weights, v)
    return out, (q, k, v, weights, out)


def _backward(residuals: Residuals, slope: Array) -> tuple[Array, Array, Array, None]:
    q, k, v, weights, out = residuals
    mean = jnp.sum((slope * out).astype(jnp.float32), axis=-1)
    of_weights = _product("bhke,bhqe->bhkq", v, slope)
    of_scores = (weights * (of_weights - mean[:, :, None, :])).astype(q.dtype)
    of_q = jnp.einsum("bhkq,bhke->bhqe", of_scores, _scaled(k))
    of_k = jnp.einsum("bhkq,bhqe->bhke", of_scores, _scaled(q))
    return of_q, of_k, jnp.einsum("bhkq,bhqe->bhke", weights, slope), None


attend.defvjp(_forward, _backward)


def attend_cached(
    q_BxHxQxE: Float[Array, "b h q e"],
    k_BxHxExK: Float[Array, "b h e k"],
    v_BxHxKxE: Float[Array, "b h k e"],
    mask_KxQ: Float[AnyArray, "k q"],
) -> Float[Array, "b h q e"]:
    """The same for keys that run along memory, as one query a sequence reads them fastest."""
    scores = _product("bhqe,bhek->bhqk", _scaled(q_BxHxQxE), k_BxHxExK)
    weights = jax.nn.softmax(scores + jnp.asarray(mask_KxQ).T[None, None], axis=-1)
    return jnp.einsum("bhqk,bhke->bhqe", weights.astype(v_BxHxKxE.dtype), v_BxHxKxE)


def _scaled(x: Array) -> Array:
    """Divided by √E, in the dtype of ``x``."""
    return (x * np.float32(1 / math.sqrt(x.shape[-1]))).astype(x.dtype)


def _product(axes: str, a: Array, b: Array) -> Array:
    """A sum of products that is kept in float32, of whatever dtype its factors are."""
    return jnp.einsum(axes, a, b, preferred_element_type=jnp.float32)


def angles(n_positions: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of the rotary angles ``l · 10000^(−2i/E)`` [L, E/2] (arXiv 2104.09864)."""
    rates = 10_000.0 ** (-np.arange(0, size, 2) / size)
    turned = np.arange(n_positions)[:, None] * rates[None, :]
    return np.cos(turned).astype(np.float32), np.sin(turned).astype(np.float32)


def rotate(
    x_BxHxLxE: Float[Array, "b h l e"],
    cosines_LxF: Float[AnyArray, "l f"],
    sines_LxF: Float[AnyArray, "l f"],
) -> Float[Array, "b h l e"]:
    """Turn the pairs (i, i + E/2) by their angles, so that scores know distances only."""
    first, second = jnp.split(x_BxHxLxE, 2, axis=-1)
    c, s = jnp.asarray(cosines_LxF)[None, None], jnp.asarray(sines_LxF)[None, None]
    turned = jnp.concatenate([first * c - second * s, second * c + first * s], axis=-1)
    return turned.astype(x_BxHxLxE.dtype)
