"""What a generator is trained on: sequences of subjects that are drawn on the fly.

Symbols 0 … d−1 are tokens x, d … d+K−1 labels y, and d+K begins a sequence. A batch depends on its
key and step alone: a run that was killed sees the same batches again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from opal.draws import named, pick, uniform
from opal.settings.groups import validate_count
from opal.settings.tokens import Alphabet, Prior


class Batch(NamedTuple):
    """Sequences and the laws that they were drawn from.

    Attributes:
        inputs: the beginning, then all symbols but the last [B, L].
        targets: the symbol after each input [B, L].
        laws: probabilities of each target's position [B, L, V−1]; [B, 1, V−1] if all are equal.
    """

    inputs: Int[Array, "b l"]
    targets: Int[Array, "b l"]
    laws: Float[Array, "b m v"]


class Stream(Protocol):
    """Sequences to be trained on."""

    @property
    def vocab(self) -> int:
        """Symbols, the beginning among them."""
        ...

    def batch(
        self, step: int | Int[Array, ""], size: int, length: int, *, key: Key[Array, ""]
    ) -> Batch:
        """Batch number ``step`` of the stream ``key``."""
        ...

    def identity(self) -> dict[str, Any]:
        """JSON-able fields that tell this stream from others."""
        ...


@dataclass(frozen=True)
class TokenStream:
    """``[BOS, x1, x2, …]``: each sequence is of one subject.

    Attributes:
        alphabet: tokens and temperature.
        prior: of the subjects.
    """

    alphabet: Alphabet
    prior: Prior = field(default_factory=Prior)

    @property
    def vocab(self) -> int:
        """The tokens and the beginning: d + 1."""
        return self.alphabet.n_tokens + 1

    def batch(
        self, step: int | Int[Array, ""], size: int, length: int, *, key: Key[Array, ""]
    ) -> Batch:
        """Batch number ``step``: its first sequences do not depend on ``size``."""
        k = jax.random.fold_in(key, step)
        subjects_BxR = self.prior.draw(named(k, "subjects"), size, self.alphabet.rank)
        laws_BxD = jnp.exp(self.alphabet.log_law(subjects_BxR)).astype(jnp.float32)
        x_BxL = pick(laws_BxD[:, None, :], _uniforms(k, "tokens", size, length))
        return _batch(x_BxL, self.vocab, laws_BxD[:, None, :])

    def identity(self) -> dict[str, Any]:
        """The alphabet and the prior."""
        return {"stream": "tokens", **_identity(self.alphabet, self.prior)}


@dataclass(frozen=True)
class PairStream:
    """``[BOS, x1, y1, x2, y2, …]``: each sequence is of one subject and its label latents.

    Attributes:
        alphabet: tokens and temperature.
        n_labels: labels K.
        prior: of subjects and label latents.

    Raises:
        ValueError: fewer than two labels.
    """

    alphabet: Alphabet
    n_labels: int = 2
    prior: Prior = field(default_factory=Prior)

    def __post_init__(self) -> None:
        """Check the number of labels."""
        validate_count(self.n_labels, "n_labels", minimum=2)

    @property
    def vocab(self) -> int:
        """The tokens, the labels and the beginning: d + K + 1."""
        return self.alphabet.n_tokens + self.n_labels + 1

    def batch(
        self, step: int | Int[Array, ""], size: int, length: int, *, key: Key[Array, ""]
    ) -> Batch:
        """Batch number ``step``: its first sequences do not depend on ``size``."""
        k = jax.random.fold_in(key, step)
        d, n_labels, rank = self.alphabet.n_tokens, self.n_labels, self.alphabet.rank
        n = (length + 1) // 2  # pairs
        subjects_BxR = self.prior.draw(named(k, "subjects"), size, rank)
        latents_BKxR = self.prior.draw(named(k, "labels"), size * n_labels, rank)
        tokens_BxD = jnp.exp(self.alphabet.log_law(subjects_BxR)).astype(jnp.float32)
        log_labels_BxDxK = self.alphabet.log_labels(latents_BKxR.reshape(size, n_labels, rank))
        labels_BxDxK = jnp.exp(log_labels_BxDxK).astype(jnp.float32)
        x_BxN = pick(tokens_BxD[:, None, :], _uniforms(k, "tokens", size, n))
        given_BxNxK = jnp.take_along_axis(labels_BxDxK, x_BxN[:, :, None], axis=1)
        y_BxN = pick(given_BxNxK, _uniforms(k, "given", size, n))
        symbols_BxL = jnp.stack([x_BxN, d + y_BxN], axis=2).reshape(size, -1)[:, :length]
        of_x = jnp.pad(tokens_BxD, ((0, 0), (0, n_labels)))
        of_y = jnp.pad(given_BxNxK, ((0, 0), (0, 0), (d, 0)))
        of_pairs = jnp.stack([jnp.broadcast_to(of_x[:, None, :], of_y.shape), of_y], axis=2)
        laws = of_pairs.reshape(size, 2 * n, d + n_labels)[:, :length]
        return _batch(symbols_BxL, self.vocab, laws)

    def identity(self) -> dict[str, Any]:
        """The alphabet, the number of labels and the prior."""
        return {
            "stream": "pairs",
            "n_labels": self.n_labels,
            **_identity(self.alphabet, self.prior),
        }


def cross_entropy(
    scores_BxLxV: Float[Array, "b l v"], targets_BxL: Int[Array, "b l"]
) -> Float[Array, ""]:
    """Mean of −log q(target) in nats."""
    hits = jax.nn.one_hot(targets_BxL, scores_BxLxV.shape[-1], dtype=scores_BxLxV.dtype)
    return -jnp.sum(jax.nn.log_softmax(scores_BxLxV) * hits) / np.float32(targets_BxL.size)


def divergence(
    laws_BxMxV: Float[Array, "b m v"], scores_BxLxV: Float[Array, "b l v"]
) -> Float[Array, "b l"]:
    """KL(law ‖ softmax(scores)) in nats at each position: a finite sum [B, L]."""
    held = laws_BxMxV > 0
    entropy_BxM = jnp.sum(laws_BxMxV * jnp.log(jnp.where(held, laws_BxMxV, 1)), axis=-1)
    crossed_BxL = jnp.sum(laws_BxMxV * jax.nn.log_softmax(scores_BxLxV), axis=-1)
    return entropy_BxM - crossed_BxL


def _uniforms(key: Key[Array, ""], name: str, size: int, n: int) -> Float[Array, "b n"]:
    """In float32, as the laws are, so that draws do not depend on ``jax_enable_x64``."""
    return uniform(named(key, name), size, n).astype(jnp.float32)


def _batch(symbols_BxL: Array, vocab: int, laws: Array) -> Batch:
    begin = jnp.full((symbols_BxL.shape[0], 1), vocab - 1, jnp.int32)
    inputs_BxL = jnp.concatenate([begin, symbols_BxL[:, :-1]], axis=1)
    return Batch(inputs_BxL, symbols_BxL, laws)


def _identity(alphabet: Alphabet, prior: Prior) -> dict[str, Any]:
    embeddings = np.ascontiguousarray(alphabet.embeddings)
    return {
        "n_tokens": alphabet.n_tokens,
        "rank": alphabet.rank,
        "eta": alphabet.eta,
        "embeddings_sha256": hashlib.sha256(embeddings.tobytes()).hexdigest(),
        "prior": {"scale": prior.scale, "mean": prior.mean},
    }
