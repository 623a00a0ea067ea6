"""A decoder's law after some seeds, sampled at several temperatures and top-p, and its bias."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from opal import losses
from opal.draws import as_key, named, replicate_keys
from opal.objective import Design
from opal.settings import TokenSetting
from opal.settings.finite import FiniteLaw
from opal.settings.tokens import Alphabet
from opal.synthesis.transformer.model import Decoder
from opal.synthesis.transformer.sample import law_of
from opal.theory.end_to_end import excess_of_seeds
from simulations._generators import Subjects

Sampling = tuple[float, float]  # temperature, top_p
PLAIN: Sampling = (1.0, 1.0)
_AT_ONCE = 64


def scores_after(decoder: Decoder, held: Subjects, n_seeds: Sequence[int]) -> np.ndarray:
    """Scores of the next token after the first n seeds of each subject [N, S, d], float64."""
    length = decoder.config.context
    with jax.enable_x64(True):
        scores = _scores(decoder, jnp.asarray(held.inputs[:, :length]))
        return np.asarray(scores, float)[:, list(n_seeds)].swapaxes(0, 1)


@jax.jit
def _scores(decoder: Decoder, symbols: Array) -> Array:
    def one(sequence: Array) -> Array:
        return decoder(sequence[None])[0][0]

    scores: Array = jax.lax.map(one, symbols, batch_size=_AT_ONCE)
    return scores


def sampled(scores: np.ndarray, samplings: Sequence[Sampling]) -> np.ndarray:
    """The laws that rows are drawn from under each sampling [T, ..., d].

    Args:
        scores: logarithms of the law at temperature 1, up to a constant [..., d].
        samplings: temperature and top-p of each.
    """
    with jax.enable_x64(True):
        return np.stack([np.asarray(_law_of(scores, *sampling)) for sampling in samplings])


_law_of = jax.jit(law_of)


def first_rows(
    law: FiniteLaw, length: int, *, key: int | Key[Array, ""], n_replicates: int
) -> Subjects:
    """The first real rows of each group of each replicate, as subjects [R · G].

    They are those of :func:`simulations._end_to_end.after_seeds` under the same key.

    Args:
        law: the truth.
        length: rows of each group.
        key: of the replicates.
        n_replicates: R.
    """
    with jax.enable_x64(True):
        keys = replicate_keys(as_key(key), jnp.arange(n_replicates))
        tokens = np.asarray(_first_tokens(law, keys, length=length)).reshape(-1, length)
        inputs = np.insert(tokens, 0, law.n_tokens, axis=1).astype(np.int32)
        return Subjects(inputs, np.tile(law.table.sum(axis=2), (n_replicates, 1)))


@partial(jax.jit, static_argnames="length")
def _first_tokens(law: FiniteLaw, keys: Key[Array, " r"], *, length: int) -> Array:
    def replicate(key: Key[Array, ""]) -> Array:
        return law.tokens(law.sample((length,) * len(law.groups), key=named(key, "real")).x)

    found: Array = jax.lax.map(replicate, keys, batch_size=_AT_ONCE)
    return found


class Pairs(NamedTuple):
    """Classes P, two subjects each, and the losses ℓ of the best rule θ* on their rows.

    Attributes:
        laws: P_g(x) [P, 2, d].
        losses: ℓ(θ*; u_x, g) [P, 2, d].
    """

    laws: np.ndarray
    losses: np.ndarray


def pairs(alphabet: Alphabet, laws: np.ndarray) -> Pairs:
    """Pair subject 2i with 2i + 1, and find the best rule of each pair.

    Args:
        alphabet: its embeddings are the features.
        laws: of the subjects, an even number [S, d].
    """
    with jax.enable_x64(True):
        pair = laws.reshape(-1, 2, laws.shape[-1])
        return Pairs(pair, np.asarray(_losses(_blank(alphabet), jnp.asarray(pair))))


def _blank(alphabet: Alphabet) -> FiniteLaw:
    """Two classes of the alphabet, whatever their subjects."""
    return TokenSetting(alphabet, np.zeros((2, alphabet.rank))).law


def tables(tokens: np.ndarray) -> np.ndarray:
    """Laws of tokens of two classes [..., 2, d] as tables, the label being the class's own."""
    found: np.ndarray = tokens[..., None] * np.eye(2)[:, None, :]
    return found


@jax.jit
def _losses(law: FiniteLaw, pairs: Array) -> Array:
    def one(tokens: Array) -> Array:
        pair = law.with_table(tokens[..., None] * np.eye(2)[:, None, :])
        w, b = losses.weights_and_intercepts(pair.optimum(), law.dim)
        scores = jnp.asarray(law.features) @ w.T + b[None, :]
        return losses.values(scores, 2, "logistic").T

    found: Array = jax.lax.map(one, pairs, batch_size=_AT_ONCE)
    return found


def biases(at: Pairs, made: np.ndarray) -> np.ndarray:
    """``b_g = E_Q ℓ − E_P ℓ`` of each class at the best rule [..., P, 2].

    Args:
        at: the classes.
        made: laws of the generator's rows [..., P, 2, d].
    """
    found: np.ndarray = ((made - at.laws) * at.losses).sum(axis=-1)
    return found


def expected_excess(
    alphabet: Alphabet, at: Pairs, design: Design, seen: np.ndarray, made: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Expected excess balanced risk, and its floor, of each pair given its seeds [T, P] each.

    Args:
        alphabet: its embeddings are the features.
        at: the classes.
        design: how to train.
        seen: how often each token is among the seeds [P, 2, d].
        made: laws of the generator's rows under each sampling [T, P, 2, d].
    """
    law, found = _blank(alphabet), []
    for pair, seeds, each in zip(at.laws, tables(seen), tables(made).swapaxes(0, 1), strict=True):
        every = np.broadcast_to(seeds, each.shape)
        excess = excess_of_seeds(law.with_table(tables(pair)), design, every, each)
        found.append((excess.total, excess.floor))
    total, floor = np.stack(found, axis=-1)
    return total, floor
