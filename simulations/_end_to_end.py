"""Training on the rows that a decoder makes after some seeds: simulated, and expected exactly."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from opal import losses
from opal.arrays import AnyArray
from opal.chunks import map_in_chunks
from opal.draws import as_key, named, replicate_keys
from opal.objective import Design
from opal.settings import TokenSetting
from opal.settings.finite import FiniteLaw
from opal.settings.groups import Sample
from opal.settings.tokens import Alphabet
from opal.simulation import fit
from opal.synthesis.transformer.model import Decoder
from opal.theory.end_to_end import excess_of_seeds

from ._generators import SeededLaws, first_rows, scores_after

_REPLICATES_AT_ONCE = 16
_SEQUENCES_AT_ONCE = 64  # in the decoder: what they leave behind stays in a core's cache


def after_seeds(
    decoder: Decoder,
    law: FiniteLaw,
    shown: tuple[int, ...],
    *,
    key: int | Key[Array, ""],
    n_replicates: int,
    shared: tuple[int, ...] | None = None,
) -> SeededLaws:
    """Show rows of each group to the generator, in every replicate.

    The first ``shared`` ones are the first real rows of the group in
    :func:`opal.simulation.replicate_metrics` under the same key (all, if None), and the others the
    generator's own. Each group is a class, and is shown fewer rows than the decoder's context. Seen
    are the shared rows, as numbers of each token and label, and laws have such tables too, the
    label being the group's [R, G, d, K].
    """
    length = decoder.config.context - 1
    held = first_rows(law, length, shared, key=key, n_replicates=n_replicates)
    shape = (len(shown), n_replicates, *law.table.shape[:2])
    scores = scores_after(decoder, held, shown).reshape(shape)
    each = held.counts(shown if shared is None else shared).reshape(shape)
    own = np.arange(len(shown))  # each group after as many seeds as it is shown
    with jax.enable_x64(True):
        tokens = np.asarray(jax.nn.softmax(scores[own, :, own].swapaxes(0, 1), axis=-1))
    label = np.eye(law.n_classes)[[group.label for group in law.groups]][None, :, None, :]
    seen = each[own, :, own].swapaxes(0, 1)
    return SeededLaws(seen[..., None] * label, tokens[..., None] * label)


class RowKind(NamedTuple):
    """Rows of one kind in each group, and the weight of each row [G]."""

    number: AnyArray
    weight: AnyArray


def trained_excess(
    law: FiniteLaw,
    design: Design,
    made: np.ndarray,
    *,
    key: int | Key[Array, ""],
    most: tuple[int, ...],
) -> tuple[np.ndarray, np.ndarray]:
    """Excess balanced risk of whole replicates, each with a generator's law of its own.

    They train on the rows of :func:`opal.training_rows.training_rows` under the same key; ``made``
    is the law of their synthetic rows [R, G, d, K], whatever the design's synthesizer is. Designs
    of at ``most`` so many real rows of each group [G] share a compilation. Returned are the excess,
    exact given the rule, and whether the rows were separable [R].
    """
    sizes = (most, (max(most),) * len(most), (design.n_augmented,) * len(most))
    kinds = zip(design.row_counts(), design.row_weights(), strict=True)
    with jax.enable_x64(True):
        keys = replicate_keys(as_key(key), jnp.arange(len(made)))
        rows = tuple(RowKind(*kind) for kind in kinds)
        excess, separated = _trained(law, rows, keys, jnp.asarray(made), sizes=sizes)
        return np.asarray(excess), np.asarray(separated)


@partial(jax.jit, static_argnames="sizes")
def _trained(
    law: FiniteLaw,
    rows: tuple[RowKind, ...],
    keys: Key[Array, " r"],
    made: Float[Array, "r g d k"],
    *,
    sizes: tuple[tuple[int, ...], ...],
) -> tuple[Float[Array, " r"], Array]:
    least = law.group_risk(law.optimum()).mean()
    d, n_classes = law.n_tokens, law.n_classes
    cells = Sample(
        jnp.repeat(jnp.asarray(law.features), n_classes, axis=0),
        jnp.tile(jnp.arange(n_classes), d),
        (d * n_classes,),
    )

    def replicate(one: tuple[Array, Array]) -> tuple[Array, Array]:
        key, table = one
        weights = _weights(law, law.with_table(table), rows, sizes, key=key)
        theta, separated = fit(
            *(cells, weights.ravel()),
            n_classes=n_classes,
            ridge=np.zeros(()),
            loss="logistic",
            balanced=False,
        )
        return law.group_risk(theta).mean() - least, separated

    found: tuple[Array, Array] = map_in_chunks(replicate, (keys, made), _REPLICATES_AT_ONCE)
    return found


def _weights(
    law: FiniteLaw,
    synthetic: FiniteLaw,
    rows: tuple[RowKind, ...],
    sizes: tuple[tuple[int, ...], ...],
    *,
    key: Key[Array, ""],
) -> Float[Array, "d k"]:
    """Summed weight of the training rows of each token and label.

    Rows that a design does not have are drawn and weigh nothing: the first ones of a group do not
    depend on how many there are.
    """
    whole = jnp.zeros(law.table.shape[1:])
    kinds = zip((law, synthetic, synthetic), ("real", "oversample", "augment"), strict=True)
    for (source, stream), kind, size in zip(kinds, rows, sizes, strict=True):
        drawn = source.sample(size, key=named(key, stream))
        place = jnp.asarray(np.concatenate([np.arange(n) for n in size]))
        has = place < jnp.asarray(kind.number)[drawn.group]
        weight = jnp.where(has, jnp.asarray(kind.weight)[drawn.group], 0.0)
        whole = whole.at[law.tokens(drawn.x), drawn.y].add(weight)
    return whole


class Pairs(NamedTuple):
    """Classes P, two subjects each, and the losses ℓ of the best rule θ* on their rows."""

    laws: np.ndarray  # P_g(x) [P, 2, d]
    losses: np.ndarray  # ℓ(θ*; u_x, g) [P, 2, d]


def pairs(alphabet: Alphabet, laws: np.ndarray) -> Pairs:
    """Pair subject 2i with 2i + 1, of laws [S, d], and find the best rule of each pair."""
    with jax.enable_x64(True):
        pair = laws.reshape(-1, 2, laws.shape[-1])
        return Pairs(pair, np.asarray(_losses(_blank(alphabet), jnp.asarray(pair))))


def _blank(alphabet: Alphabet) -> FiniteLaw:
    """Two classes of the alphabet, whatever their subjects."""
    return TokenSetting(alphabet, np.zeros((2, alphabet.rank))).law


def tables(tokens: np.ndarray) -> np.ndarray:
    """Laws of tokens of two classes [..., 2, d] as tables, the label being the class's own."""
    return np.asarray(tokens[..., None] * np.eye(2)[:, None, :])


@jax.jit
def _losses(law: FiniteLaw, pairs: Array) -> Array:
    def one(tokens: Array) -> Array:
        pair = law.with_table(tokens[..., None] * np.eye(2)[:, None, :])
        w, b = losses.weights_and_intercepts(pair.optimum(), law.dim)
        scores = jnp.asarray(law.features) @ w.T + b[None, :]
        return losses.values(scores, 2, "logistic").T

    found: Array = jax.lax.map(one, pairs, batch_size=_SEQUENCES_AT_ONCE)
    return found


def biases(at: Pairs, made: np.ndarray) -> np.ndarray:
    """``b_g = E_Q ℓ − E_P ℓ`` of each class at the best rule, of laws Q [..., P, 2, d]."""
    return np.asarray(((made - at.laws) * at.losses).sum(axis=-1))


def expected_excess(
    alphabet: Alphabet, at: Pairs, design: Design, seen: np.ndarray, made: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Expected excess balanced risk, and its floor, of each pair given its seeds [T, P] each.

    ``seen`` is how often each token is among the seeds [P, 2, d], ``made`` the laws of the
    generator's rows under each sampling [T, P, 2, d].
    """
    law, found = _blank(alphabet), []
    for pair, seeds, each in zip(at.laws, tables(seen), tables(made).swapaxes(0, 1), strict=True):
        every = np.broadcast_to(seeds, each.shape)
        excess = excess_of_seeds(law.with_table(tables(pair)), design, every, each)
        found.append((excess.total, excess.floor))
    total, floor = np.stack(found, axis=-1)
    return total, floor
