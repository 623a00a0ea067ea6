"""The rows that a replicate of a design trains on, and the weight of each."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from opal.arrays import AnyArray
from opal.draws import named
from opal.objective import PoweredWeights, RowWeights
from opal.settings.groups import Sample, joined
from opal.settings.law import TrueLaw
from opal.synthesis.synthesizer import Synthesizer

Fitted = tuple[tuple[int, ...], tuple[int, ...]]  # rows that a generator saw, and shared ones


def training_rows(
    law: TrueLaw,
    synthesizer: Synthesizer | None,
    weights: RowWeights,
    counts: tuple[int, ...],
    sizes: tuple[tuple[int, ...], tuple[int, ...]],
    fitted: Fitted | None = None,
    *,
    key: Key[Array, ""],
) -> tuple[Sample, Float[Array, " n"]]:
    """Real, oversampled and augmented rows of one replicate, and the weight of each row.

    Args:
        law: the truth.
        synthesizer: what makes synthetic rows; None for none.
        weights: per kind and group.
        counts: real rows of each group.
        sizes: oversampled and augmented rows of each group.
        fitted: rows of each group that the synthesizer is fitted to, and how many of them are real
            rows of the sample; None for all real rows and no others.
        key: of the replicate; its stream ``"real"`` makes the real rows in every arm, and
            ``"generator"`` those that only the generator sees.

    Returns:
        Rows [n, d] in the order real, oversampled, augmented (each group after group), and their
        weights [n], of sum one.
    """
    parts = [law.sample(counts, key=named(key, "real"))]
    kinds = [weights.real]
    if synthesizer is not None and (any(sizes[0]) or any(sizes[1])):
        seeds = generator_rows(law, parts[0], fitted, key=key)
        synthetic = synthesizer.fit(seeds, law.groups, key=named(key, "fit"))
        parts.append(synthetic.sample(sizes[0], key=named(key, "oversample")))
        parts.append(synthetic.sample(sizes[1], key=named(key, "augment")))
        kinds += [weights.oversampled, weights.augmented]
    row_weights = [jnp.asarray(w)[part.group] for part, w in zip(parts, kinds, strict=True)]
    x, y = jnp.concatenate([p.x for p in parts]), jnp.concatenate([p.y for p in parts])
    return Sample(x, y, (len(x),)), jnp.concatenate(row_weights)


def generator_rows(
    law: TrueLaw, real: Sample, fitted: Fitted | None, *, key: Key[Array, ""]
) -> Sample:
    """Rows that a synthesizer is fitted to: the first real ones of each group, then its own.

    Args:
        law: the truth.
        real: training rows; not fewer of any group than are shared.
        fitted: rows of each group and how many of them are shared; None for all real rows.
        key: of the replicate; its stream ``"generator"`` makes the rows that are not shared, of
            which more extend fewer.
    """
    counts, shared = fitted or (real.counts, real.counts)
    if counts == shared == real.counts:
        return real
    unseen = tuple(n - k for n, k in zip(counts, shared, strict=True))
    own = law.sample(unseen, key=named(key, "generator"))
    return joined(real.within((0,) * len(shared), shared), own)


def powered_rows(
    law: TrueLaw,
    confusion: Float[AnyArray, "g k"],
    weights: PoweredWeights,
    counts: tuple[int, ...],
    n_unlabelled: tuple[int, ...],
    *,
    key: Key[Array, ""],
) -> tuple[Sample, Float[Array, " n"]]:
    """Rows of prediction-powered training of one replicate, and the weight of each row.

    Args:
        law: the truth.
        confusion: chances of each label that the model gives to rows of each group.
        weights: of labelled rows with their own label and with the model's, of unlabelled rows,
            and of the model's labels.
        counts: labelled rows of each group.
        n_unlabelled: rows of each group that the model alone labels.
        key: of the replicate; its stream ``"real"`` makes the labelled rows in every arm.

    Returns:
        Rows [n, d] in the order labelled, the same under the model's labels, unlabelled; and their
        weights [n].
    """
    real = law.sample(counts, key=named(key, "real"))
    others = law.sample(n_unlabelled, key=named(key, "unlabelled"))
    said_of_real = _said(real, confusion, key=named(key, "labels"))
    said_of_others = _said(others, confusion, key=named(key, "unlabelled labels"))
    row_weights: list[Array] = [
        jnp.asarray(weights.real)[real.group],
        jnp.asarray(weights.rectifying)[real.group] * jnp.asarray(weights.labels)[said_of_real],
        jnp.asarray(weights.unlabelled) * jnp.asarray(weights.labels)[said_of_others],
    ]
    x = jnp.concatenate([real.x, real.x, others.x])
    y = jnp.concatenate([real.y, said_of_real, said_of_others])
    return Sample(x, y, (len(x),)), jnp.concatenate(row_weights)


def _said(
    rows: Sample, confusion: Float[AnyArray, "g k"], *, key: Key[Array, ""]
) -> Int[Array, " n"]:
    """The label that a model gives to each row."""
    chance = jnp.asarray(confusion)[rows.group, 1]
    return (jax.random.uniform(key, chance.shape) < chance).astype(rows.y.dtype)
