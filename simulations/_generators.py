"""What a generator says after the seeds of subjects that it has not met, and rows drawn from it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from opal.draws import as_key, named, replicate_keys
from opal.settings.finite import FiniteLaw
from opal.synthesis.transformer.cached import trained
from opal.synthesis.transformer.model import Decoder, ModelConfig
from opal.synthesis.transformer.sample import law_of
from opal.synthesis.transformer.streams import TokenStream, divergence
from opal.synthesis.transformer.train import TrainConfig
from opal.theory.generator import bayes
from opal.training_rows import Fitted, generator_rows

from ._rows import BAYES, TRANSFORMER

Sampling = tuple[float, float]  # temperature, top_p
_AT_ONCE = 64  # sequences in the decoder: what they leave behind stays in a core's cache


def generator(
    stream: TokenStream,
    context: int,
    width: int,
    depth: int,
    steps: int,
    batch: int,
    *,
    seed: int = 0,
) -> Decoder:
    """A decoder trained on the stream, unless it was before."""
    model = ModelConfig(stream.vocab, context, width, depth)
    warm_up = min(TrainConfig.warm_up, steps // 2)
    training = TrainConfig(steps, batch, batch // 4 or 1, warm_up=warm_up, seed=seed)
    return trained(model, training, stream).decoder


class Subjects(NamedTuple):
    """Held-out subjects S."""

    inputs: np.ndarray  # the beginning, then the seeds [S, L]
    laws: np.ndarray  # P_t [S, d], in float64

    def counts(self, n_seeds: Sequence[int]) -> np.ndarray:
        """How often each token is among the first n seeds [N, S, d], float64."""
        tokens, d = self.inputs[:, 1:], self.laws.shape[1]
        seen = [np.eye(d)[tokens[:, :0]].sum(axis=1)]
        ends = sorted({0, *n_seeds})
        for start, stop in pairwise(ends):
            cells = tokens[:, start:stop] + d * np.arange(len(tokens))[:, None]
            more = np.bincount(cells.ravel(), minlength=self.laws.size)
            seen.append(seen[-1] + more.reshape(self.laws.shape))
        return np.stack([seen[ends.index(n)] for n in n_seeds])


def subjects(stream: TokenStream, n_seeds: int, *, key: int, n_subjects: int) -> Subjects:
    """Draw subjects and their seeds; no training under the same seed draws them too."""
    steps = np.arange(-(-n_subjects // _AT_ONCE))
    with jax.enable_x64(True):
        of = named(as_key(key), "held out")
        inputs, laws = _drawn(jnp.asarray(steps), of, stream=stream, length=n_seeds + 1)
        exact = np.asarray(laws, float).reshape(-1, laws.shape[-1])[:n_subjects]
        seeds = np.asarray(inputs).reshape(-1, n_seeds + 1)[:n_subjects]
    return Subjects(seeds, exact / exact.sum(axis=1, keepdims=True))


@partial(jax.jit, static_argnames=("stream", "length"))
def _drawn(steps: Array, key: Array, *, stream: TokenStream, length: int) -> tuple[Array, Array]:
    def some(step: Array) -> tuple[Array, Array]:
        batch = stream.batch(step, _AT_ONCE, length, key=key)
        return batch.inputs, batch.laws[:, 0]

    found: tuple[Array, Array] = jax.lax.map(some, steps)
    return found


class SeededLaws(NamedTuple):
    """What a generator read in each replicate, and its exact law after that."""

    seen: np.ndarray  # [R, ...]
    made: np.ndarray  # [R, G, ...]


def first_rows(
    law: FiniteLaw,
    length: int,
    shared: Sequence[int] | None = None,
    *,
    key: int | Key[Array, ""],
    n_replicates: int,
) -> Subjects:
    """The first rows that a generator sees of each group of each replicate, as subjects [R · G].

    They are those of :func:`opal.training_rows.training_rows` under the same key: of each group as
    many real rows as are ``shared``, or all if None, then the generator's own.
    """
    most = (length,) * len(law.groups)
    counts = most if shared is None else tuple(min(n, length) for n in shared)
    with jax.enable_x64(True):
        keys = replicate_keys(as_key(key), jnp.arange(n_replicates))
        tokens = np.asarray(_first_tokens(law, keys, fitted=(most, counts))).reshape(-1, length)
        inputs = np.insert(tokens, 0, law.n_tokens, axis=1).astype(np.int32)
        return Subjects(inputs, np.tile(law.table.sum(axis=2), (n_replicates, 1)))


@partial(jax.jit, static_argnames="fitted")
def _first_tokens(law: FiniteLaw, keys: Key[Array, " r"], *, fitted: Fitted) -> Array:
    def replicate(key: Key[Array, ""]) -> Array:
        real = law.sample(fitted[0], key=named(key, "real"))
        return law.tokens(generator_rows(law, real, fitted, key=key).x)

    found: Array = jax.lax.map(replicate, keys, batch_size=_AT_ONCE)
    return found


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


def kl_after_seeds(decoder: Decoder, held: Subjects) -> np.ndarray:
    """KL(P_t‖Q) of the decoder after 0, 1, … seeds, a finite sum in float64 [S, context]."""
    with jax.enable_x64(True):
        scores = scores_after(decoder, held, range(decoder.config.context)).swapaxes(0, 1)
        return np.asarray(_divergence(jnp.asarray(held.laws)[:, None], jnp.asarray(scores)))


_divergence = jax.jit(divergence)


def sampled(scores: np.ndarray, samplings: Sequence[Sampling]) -> np.ndarray:
    """Laws [T, ..., d] of rows under each sampling, from logarithms of the law at temperature 1."""
    with jax.enable_x64(True):
        return np.stack([np.asarray(_law_of(scores, *sampling)) for sampling in samplings])


_law_of = jax.jit(law_of)


def log_laws(
    stream: TokenStream,
    decoder: Decoder,
    held: Subjects,
    n_seeds: Sequence[int],
    *,
    key: int,
    n_draws: int,
) -> dict[str, np.ndarray]:
    """Logarithms of the next token's law, up to a constant, by decoder and Bayes [N, S, d]."""
    best = bayes(stream.alphabet, held.counts(n_seeds), stream.prior, key=key, n_draws=n_draws)
    scores = scores_after(decoder, held, n_seeds)
    return {TRANSFORMER: scores, BAYES: np.log(np.asarray(best.law))}
