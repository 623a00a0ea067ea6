"""How often rows of a generator are tokens among its seeds, or equal to one another."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from opal.draws import as_key, named, replicate_keys
from opal.synthesis.transformer.model import Decoder
from opal.synthesis.transformer.sample import branches, law_of, sample

_AT_ONCE = 64


def copied(laws: np.ndarray, counts: np.ndarray, *, once: bool = False) -> np.ndarray:
    """Probability that a row is a token among the seeds [...].

    Args:
        laws: of the row [..., d].
        counts: how often each token is among the seeds [..., d].
        once: of those seen once alone.
    """
    seen = counts == 1 if once else counts > 0
    found: np.ndarray = (laws * seen).sum(axis=-1)
    return found


def expected_copies(laws: np.ndarray, n: int) -> np.ndarray:
    """That probability for fresh rows of the truth, over all draws of n seeds: exact [...].

    Args:
        laws: of the subjects [..., d].
        n: seeds.
    """
    found: np.ndarray = (laws * -np.expm1(n * np.log1p(-laws))).sum(axis=-1)
    return found


def equal(rows: np.ndarray, n_tokens: int) -> np.ndarray:
    """Share of the pairs of m rows that are equal [...].

    Args:
        rows: tokens [..., m], at least two.
        n_tokens: of the alphabet.
    """
    m = rows.shape[-1]
    counts = (rows[..., None] == np.arange(n_tokens)).sum(axis=-2)
    found: np.ndarray = (counts * (counts - 1)).sum(axis=-1) / (m * (m - 1))
    return found


def streams(
    decoder: Decoder,
    seeds: np.ndarray,
    length: int,
    *,
    key: int,
    temperature: float,
    n_streams: int,
) -> np.ndarray:
    """Streams of rows after the seeds of each subject, each row given all before it [S, R, m].

    Args:
        decoder: that is drawn from.
        seeds: tokens of each subject [S, n].
        length: rows m of a stream.
        key: of the draws; a stream depends on it, its subject and its number alone.
        temperature: of every row.
        n_streams: R, for each subject.
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

    found: Array = jax.lax.map(one, (seeds, keys), batch_size=_AT_ONCE)
    return found


def first_two(
    decoder: Decoder, seeds: np.ndarray, *, temperature: float
) -> tuple[np.ndarray, np.ndarray]:
    """Law of the first row of a stream [S, d], and that of the same token next [S, d]: exact.

    The second is ``Q(x | seeds, x)`` at each x, so that two rows are equal with probability
    ``Σ_x Q(x | seeds) Q(x | seeds, x)``.

    Args:
        decoder: that is drawn from.
        seeds: tokens of each subject [S, n].
        temperature: of both rows.
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

    found: tuple[Array, Array] = jax.lax.map(one, seeds, batch_size=_AT_ONCE)
    return found
