r"""Trained decoders as synthesizers of tokens and of labelled pairs.

The real rows of a group are its seeds. Given them, the law Q of the next token is known exactly: a
finite table. Synthetic rows are independent draws of it, as answers to one prompt are. A group
without seeds gets the prior predictive law. On a finite alphabet a synthetic token may well be one
that was seen: "new rows only" is no property of these generators.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from opal.arrays import AnyArray
from opal.settings.finite import FiniteLaw
from opal.settings.groups import Group, Sample, validate_count
from opal.settings.law import Law
from opal.settings.tokens import Alphabet
from opal.synthesis.synthesizer import require_group_labels
from opal.synthesis.transformer.model import Decoder
from opal.synthesis.transformer.prompt import check_sampling, check_symbols
from opal.synthesis.transformer.sample import Number, next_law
from opal.synthesis.transformer.seeds import (
    check_generator,
    check_labels,
    n_labels_of,
    seed_tokens,
    tables_given,
)
from opal.synthesis.transformer.tables import laws_of_each, pair_table, pair_tables_of_each


@dataclass(frozen=True)
class _Reader:
    """What generators of a finite alphabet share.

    Attributes:
        decoder: trained on sequences of the alphabet.
        alphabet: its embeddings are the features of the rows (static).
        temperature: divides the scores.
        top_p: mass of the most probable symbols that are kept.
        n_context: seeds of each group that are read, the first ones; None for all (static).
    """

    decoder: Decoder
    alphabet: Alphabet = field(metadata={"static": True})
    temperature: Number = 1.0
    top_p: Number = 1.0
    n_context: int | None = field(default=None, metadata={"static": True})

    @property
    def min_seeds(self) -> int:
        """None are needed: without seeds the law is the prior predictive."""
        return 0

    def population(self, truth: Law) -> None:
        """None: :mod:`opal.theory.end_to_end` takes the exact law of each set of seeds."""
        del truth


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TokenGenerator(_Reader):
    """A decoder of ``[BOS, x1, x2, …]``; every row carries its group's label.

    Attributes:
        decoder: of d + 1 symbols, trained on a :class:`~.streams.TokenStream` of the alphabet.
        alphabet: its embeddings are the features of the rows (static).
        temperature: divides the scores of tokens.
        top_p: mass of the most probable tokens that are kept.
        n_context: seeds of each group that are read, the first ones; None for all (static).
        name: used in records (static).

    Raises:
        ValueError: a decoder of another alphabet, a number out of range.
    """

    name: str = field(default="transformer", metadata={"static": True})

    def __post_init__(self) -> None:
        """Check what is known on the host."""
        check_generator(self.decoder, self.temperature, self.top_p, self.n_context)
        d = self.alphabet.n_tokens
        if isinstance(self.decoder, Decoder) and self.decoder.config.vocab != d + 1:
            raise ValueError(
                f"a decoder for {d} tokens has {d + 1} symbols, the beginning included; this one "
                f"has {self.decoder.config.vocab}. Take the alphabet that it was trained on."
            )

    def fit(self, seeds: Sample, groups: tuple[Group, ...], *, key: Key[Array, ""]) -> FiniteLaw:
        """The law of the next token given each group's seeds; exact, so the key is not used.

        Seeds inside ``jit`` count as the token with the nearest features.

        Raises:
            ValueError: more seeds than the context holds, a group of mixed labels, seeds with
                other features than any token's (where they are known on the host).
        """
        del key
        require_group_labels(groups, self.name)
        n_labels = 1 + max(group.label for group in groups)
        law = _blank(self.alphabet, groups, n_labels)
        rows = seed_tokens(law, seeds)[:, None]

        def laws(symbols_BxL: Array) -> Array:
            options = {"temperature": self.temperature, "top_p": self.top_p}
            return next_law(self.decoder, symbols_BxL, **options)

        laws_GxD = tables_given(rows, seeds.counts, self.n_context, laws)
        own = np.eye(n_labels)[[group.label for group in groups]]
        return law.with_table(laws_GxD[:, :, None] * own[:, None, :])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PairGenerator(_Reader):
    """A decoder of ``[BOS, x1, y1, x2, y2, …]``: ``Q(x, y) = Q(x | S) Q(y | S, x)``.

    Where a token is due only tokens are drawn, and where a label is due only labels; temperature
    and ``top_p`` apply to each of the two laws.

    Attributes:
        decoder: of d + K + 1 symbols, trained on a :class:`~.streams.PairStream` of the alphabet.
        alphabet: its embeddings are the features of the rows (static).
        temperature: divides the scores.
        top_p: mass of the most probable symbols that are kept.
        n_context: seeds (pairs) of each group that are read, the first ones; None for all (static).
        name: used in records (static).

    Raises:
        ValueError: a decoder with fewer than two labels, a number out of range.
    """

    name: str = field(default="pair transformer", metadata={"static": True})

    def __post_init__(self) -> None:
        """Check what is known on the host."""
        check_generator(self.decoder, self.temperature, self.top_p, self.n_context)
        if isinstance(self.decoder, Decoder):
            n_labels_of(self.decoder, self.alphabet.n_tokens)

    def fit(self, seeds: Sample, groups: tuple[Group, ...], *, key: Key[Array, ""]) -> FiniteLaw:
        """The law of the next pair given each group's seeds; exact, so the key is not used.

        Seeds inside ``jit`` count as the token with the nearest features.

        Raises:
            ValueError: more seeds than the context holds, a label that the decoder does not know,
                seeds with other features than any token's (where they are known on the host).
        """
        del key
        d = self.alphabet.n_tokens
        n_labels = n_labels_of(self.decoder, d)
        check_labels(seeds.y, groups, n_labels)
        law = _blank(self.alphabet, groups, n_labels)
        rows = jnp.stack([seed_tokens(law, seeds), d + seeds.y.astype(jnp.int32)], axis=1)

        def tables(symbols_BxL: Array) -> Array:
            return pair_table(self.decoder, symbols_BxL, d, self.temperature, self.top_p)

        return law.with_table(tables_given(rows, seeds.counts, self.n_context, tables))


def laws_after(
    decoder: Decoder,
    tokens_SxN: Int[AnyArray, "s n"],
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
    batch: int = 256,
) -> np.ndarray:
    """Laws of the next token after many sets of seeds [S, d], in float64, a batch at a time.

    Raises:
        ValueError: seeds that are no symbols or more than the context holds, a number out of range.
    """
    check_sampling(temperature, top_p)
    validate_count(batch, "batch", minimum=1)
    check_symbols(decoder, tokens_SxN)
    with jax.enable_x64(True):
        tokens = np.asarray(tokens_SxN, np.int32)
        return np.asarray(laws_of_each(decoder, tokens, temperature, top_p, batch=batch))


def pair_laws_after(
    decoder: Decoder,
    symbols_SxL: Int[AnyArray, "s l"],
    n_tokens: int,
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
    batch: int = 64,
) -> np.ndarray:
    """Laws of the next pair after many sets of seeds ``x1, d + y1, …`` [S, d, K], in float64.

    Raises:
        ValueError: as for :func:`laws_after`.
    """
    check_sampling(temperature, top_p)
    validate_count(batch, "batch", minimum=1)
    check_symbols(decoder, symbols_SxL, 1)
    n_labels_of(decoder, n_tokens)
    with jax.enable_x64(True):
        symbols, options = np.asarray(symbols_SxL, np.int32), (n_tokens, batch)
        return np.asarray(pair_tables_of_each(decoder, symbols, temperature, top_p, options))


def _blank(alphabet: Alphabet, groups: tuple[Group, ...], n_labels: int) -> FiniteLaw:
    """The alphabet's tokens before their probabilities are known."""
    empty = np.zeros((len(groups), alphabet.n_tokens, n_labels))
    return FiniteLaw(empty, alphabet.embeddings, groups)
