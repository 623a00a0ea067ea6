"""Subjects that a generator has not met, and its KL after each number of their seeds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from opal.draws import as_key, named
from opal.synthesis.transformer.model import Decoder, ModelConfig
from opal.synthesis.transformer.streams import TokenStream, divergence
from opal.synthesis.transformer.train import TrainConfig

if TYPE_CHECKING:
    from jaxtyping import Array

_SUBJECTS_AT_ONCE = 64


class Subjects(NamedTuple):
    """Held-out subjects S.

    Attributes:
        inputs: the beginning, then the seeds [S, L].
        laws: P_t [S, d], in float64.
    """

    inputs: np.ndarray
    laws: np.ndarray

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
    steps = np.arange(-(-n_subjects // _SUBJECTS_AT_ONCE))
    with jax.enable_x64(True):
        of = named(as_key(key), "held out")
        inputs, laws = _drawn(jnp.asarray(steps), of, stream=stream, length=n_seeds + 1)
        exact = np.asarray(laws, float).reshape(-1, laws.shape[-1])[:n_subjects]
        seeds = np.asarray(inputs).reshape(-1, n_seeds + 1)[:n_subjects]
    return Subjects(seeds, exact / exact.sum(axis=1, keepdims=True))


@partial(jax.jit, static_argnames=("stream", "length"))
def _drawn(steps: Array, key: Array, *, stream: TokenStream, length: int) -> tuple[Array, Array]:
    def some(step: Array) -> tuple[Array, Array]:
        batch = stream.batch(step, _SUBJECTS_AT_ONCE, length, key=key)
        return batch.inputs, batch.laws[:, 0]

    found: tuple[Array, Array] = jax.lax.map(some, steps)
    return found


def kl_after_seeds(decoder: Decoder, held: Subjects) -> np.ndarray:
    """KL(P_t‖Q) of the decoder after 0, 1, … seeds, a finite sum in float64 [S, context]."""
    length = decoder.config.context
    with jax.enable_x64(True):
        inputs, laws = jnp.asarray(held.inputs[:, :length]), jnp.asarray(held.laws)
        return np.asarray(_kl_after_seeds(decoder, inputs, laws))


@jax.jit
def _kl_after_seeds(decoder: Decoder, inputs: Array, laws: Array) -> Array:
    def one(subject: tuple[Array, Array]) -> Array:
        symbols, law = subject
        scores = decoder(symbols[None])[0].astype(float)
        return divergence(law[None, None, :], scores)[0]

    found: Array = jax.lax.map(one, (inputs, laws), batch_size=_SUBJECTS_AT_ONCE)
    return found


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
    from opal.synthesis.transformer.cached import trained

    model = ModelConfig(stream.vocab, context, width, depth)
    warm_up = min(TrainConfig.warm_up, steps // 2)
    training = TrainConfig(steps, batch, batch // 4 or 1, warm_up=warm_up, seed=seed)
    return trained(model, training, stream).decoder
