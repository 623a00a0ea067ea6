"""Real rows as the seeds that a decoder reads: which are read, and what they must be."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from opal.settings.finite import FiniteLaw
from opal.settings.groups import Group, Sample, validate_count
from opal.synthesis.transformer.model import Decoder
from opal.synthesis.transformer.prompt import check_sampling

_NEAR = 1e-4  # distance from a token's features, in units of the largest feature


def tables_given(
    rows_TxP: Int[Array, "t p"],
    counts: tuple[int, ...],
    n_context: int | None,
    tables: Callable[[Array], Array],
) -> Array:
    """What ``tables`` makes of each group's seeds [G, …].

    Args:
        rows_TxP: symbols of all rows, group after group.
        counts: rows of each group.
        n_context: rows of each group that are read; None for all.
        tables: from sequences of one length [B, L] to arrays [B, …]. Groups that have equally
            many seeds are read together.
    """
    read = [count if n_context is None else min(count, n_context) for count in counts]
    starts = np.cumsum([0, *counts[:-1]])
    found: dict[int, Array] = {}
    for n in sorted(set(read)):
        same = [g for g, count in enumerate(read) if count == n]
        prompts = jnp.stack([rows_TxP[starts[g] : starts[g] + n].reshape(-1) for g in same])
        found |= dict(zip(same, tables(prompts), strict=True))
    return jnp.stack([found[g] for g in range(len(counts))])


def seed_tokens(law: FiniteLaw, seeds: Sample) -> Int[Array, " n"]:
    """The token of each seed [n].

    Raises:
        ValueError: another number of features; features of no token, where they are known.
    """
    features = np.asarray(law.features)
    if seeds.x.shape[1] != features.shape[1]:
        raise ValueError(
            f"seeds must have the {features.shape[1]} features of the alphabet; got "
            f"{seeds.x.shape[1]}. Take the generator of this setting's alphabet."
        )
    tokens = law.tokens(seeds.x).astype(jnp.int32)
    if not isinstance(tokens, jax.core.Tracer):
        apart = np.abs(np.asarray(seeds.x) - features[np.asarray(tokens)]).max(axis=1, initial=0)
        wrong = np.flatnonzero(~(apart <= _NEAR * np.abs(features).max()))
        if wrong.size:
            row = np.asarray(seeds.x)[wrong[0]].tolist()
            raise ValueError(
                f"seeds must be tokens of the alphabet: row {wrong[0]} with the features {row} is "
                "none. Take the generator of this setting's alphabet, or the nearest tokens."
            )
    return tokens


def n_labels_of(decoder: Decoder, n_tokens: int) -> int:
    """Labels K that a decoder of pairs knows.

    Raises:
        ValueError: fewer than two.
    """
    n_labels = decoder.config.outputs - n_tokens
    if n_labels < 2:
        raise ValueError(
            f"a decoder of pairs has at least {n_tokens + 3} symbols for {n_tokens} tokens, two "
            f"labels and the beginning; this one has {decoder.config.vocab}. Take the alphabet "
            "that it was trained on, or a TokenGenerator."
        )
    return n_labels


def check_labels(y: Array, groups: tuple[Group, ...], n_labels: int) -> None:
    """Check the labels of seeds, where they are known, and of groups.

    Raises:
        ValueError: one is not among those that the decoder knows.
    """
    known = [] if isinstance(y, jax.core.Tracer) else np.asarray(y).tolist()
    labels = [*known, *(group.label for group in groups)]
    wrong = [label for label in labels if not 0 <= label < n_labels]
    if wrong:
        raise ValueError(
            f"labels must lie in 0 … {n_labels - 1}, those that the decoder knows; got {wrong[0]}. "
            "Train it with more labels."
        )


def check_generator(
    decoder: object, temperature: object, top_p: object, n_context: int | None
) -> None:
    """Check a generator's fields; JAX rebuilds it with other things than numbers, which pass.

    Raises:
        ValueError: a number out of range.
    """
    check_sampling(temperature, top_p)
    if n_context is not None:
        validate_count(n_context, "n_context", minimum=0)
    if isinstance(decoder, Decoder) and n_context is not None:
        longest = decoder.config.context - 1
        if n_context > longest:
            raise ValueError(
                f"n_context must be at most {longest}, what the model's context of "
                f"{longest + 1} positions holds after the beginning; got {n_context}. Lower it, "
                "or train a model with a longer context."
            )
