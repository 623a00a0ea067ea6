r"""Excess risk of a rule trained on real rows, and on rows of a generator that saw some of them.

The seeds S are real rows that the generator saw, some of them, all or none in the training set.
Given S the generator's law Q_S is known exactly, and all rows that are not seeds are independent
draws of known laws: section 2 of docs/theory.md applies as it stands, around the minimiser of the
mean objective given S. The mean over S is one over draws of seeds (section 13.4). Nothing is
fitted, and no classifier is trained.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from opal.arrays import AnyArray
from opal.draws import as_key, replicate_keys
from opal.objective import Design, RowCounts, RowWeights
from opal.settings.finite import FiniteLaw
from opal.settings.groups import validate_count, validate_counts
from opal.theory import pseudo_target
from opal.theory.pseudo_target import independent
from opal.theory.seeds import shares, squared_weights

_SEEDS_AT_ONCE = 32


class ExcessGivenSeeds(NamedTuple):
    """Expected excess balanced risk given the seeds [S], and its parts.

    Not a number where the seeds and the laws of the other rows leave no minimiser.

    Attributes:
        total: floor and spread.
        floor: excess at θ_S, the minimiser of the objective's mean given the seeds.
        spread: what the randomness of all other rows adds, to first order in their weights.
    """

    total: Float[np.ndarray, " s"]
    floor: Float[np.ndarray, " s"]
    spread: Float[np.ndarray, " s"]


class FirstOrder(NamedTuple):
    """Excess balanced risk by one expansion around the mean of everything, and its parts.

    Attributes:
        bias: excess at the minimiser for the generator's mean law.
        drift: mean of the estimator, times the gradient of the risk; vanishes with the bias.
        real: from the noise of the real rows.
        synthetic: from the noise of synthetic rows around the generator's law.
        generator: from the noise of that law, as the seeds vary.
        shared: from its covariance with the real rows: seeds are both.
    """

    bias: float
    drift: float
    real: float
    synthetic: float
    generator: float
    shared: float

    @property
    def total(self) -> float:
        """The sum of all parts."""
        return sum(self)


def draw_seeds(
    law: FiniteLaw, counts: tuple[int, ...], *, key: int | Key[Array, ""], n_draws: int
) -> Float[np.ndarray, "s g d k"]:
    """Seeds of every group, as counts of each token and label [S, G, d, K].

    Args:
        law: the truth.
        counts: seeds of each group, zero or more.
        key: of the draws.
        n_draws: S.

    Raises:
        ValueError: a count is negative, or their number is not that of the groups.
    """
    sizes = validate_counts(counts, len(law.groups), what="seeds", minimum=0)
    validate_count(n_draws, "n_draws", minimum=1)

    @jax.jit
    def drawn(keys: Key[Array, " s"]) -> Float[Array, "s g d k"]:
        return jax.lax.map(
            lambda k: law.tally(law.sample(sizes, key=k)), keys, batch_size=_SEEDS_AT_ONCE
        )

    with jax.enable_x64(True):
        return np.asarray(drawn(replicate_keys(as_key(key), jnp.arange(n_draws))))


def excess_of_seeds(
    law: FiniteLaw,
    design: Design,
    seen: AnyArray,
    made: AnyArray,
) -> ExcessGivenSeeds:
    """Expected excess balanced risk given each draw of the seeds [S].

    Args:
        law: the truth.
        design: counts, oversampling, N, α and weighting; logistic loss.
        seen: seeds in the training set, of each token and label, of every group [S, G, d, K]: not
            more than the design shares with its generator, and in some groups perhaps none.
        made: law of the generator's rows after these seeds [S, G, d, K].

    Raises:
        ValueError: shapes that do not fit, more seeds than real rows, another loss or threshold.
    """
    _check(law, design, seen, made)
    with jax.enable_x64(True):
        seeds = (jnp.asarray(seen, float), jnp.asarray(made, float))
        found = _excess(law, design.row_counts(), design.row_weights(), *seeds)
        return ExcessGivenSeeds(*(np.asarray(part) for part in found))


def first_order(
    law: FiniteLaw,
    design: Design,
    seen: AnyArray,
    made: AnyArray,
) -> FirstOrder:
    """Expected excess balanced risk by (2.4), with a random generator; docs/theory.md, 13.4.

    Enough where the generator's law varies little around its mean, as it does with many seeds;
    with few, the average of :func:`excess_of_seeds`, which expands around each law, is.

    Args:
        law: the truth.
        design: counts, oversampling, N, α and weighting; logistic loss.
        seen: draws of the seeds, at least two [S, G, d, K]; see :func:`excess_of_seeds`.
        made: law of the generator's rows after each [S, G, d, K].

    Raises:
        ValueError: a single draw; otherwise as :func:`excess_of_seeds`.
    """
    _check(law, design, seen, made)
    if len(seen) < 2:
        raise ValueError("the generator's variance needs at least two draws of seeds; got 1.")
    with jax.enable_x64(True):
        seeds = (jnp.asarray(seen, float), jnp.asarray(made, float))
        found = _first_order(law, design.row_counts(), design.row_weights(), *seeds)
        return FirstOrder(*(float(part) for part in found))


def _check(law: FiniteLaw, design: Design, seen: AnyArray, made: AnyArray) -> None:
    shape = law.table.shape
    for name, values in (("seen", seen), ("made", made)):
        if values.shape[1:] != shape or len(values) != len(seen):
            raise ValueError(
                f"{name} must be [S, G, d, K] with {shape} after S; got shape {values.shape}."
            )
    validate_counts(design.counts, len(law.groups), what="counts", minimum=1)
    most = np.asarray(seen).sum(axis=(2, 3)).max(axis=0)
    if np.any(most > np.asarray(design.n_in_training)):
        got, shared = ", ".join(f"{n:g}" for n in most), list(design.n_in_training)
        raise ValueError(f"seeds that are training rows are at most {shared}; got [{got}].")
    if design.loss != "logistic" or design.threshold != "fitted" or design.ridge:
        raise ValueError(
            "the expansion is of a logistic rule without penalty and with its own threshold; got "
            f"loss {design.loss!r}, ridge {design.ridge}, threshold {design.threshold!r}."
        )


@jax.jit
def _excess(
    law: FiniteLaw, rows: RowCounts, weights: RowWeights, seen: Array, made: Array
) -> tuple[Array, ...]:
    best = law.optimum()
    synthetic, squares = shares(rows, weights)[1], squared_weights(rows, weights)

    def given(seeds: tuple[Array, Array]) -> tuple[Array, ...]:
        seen, made = seeds
        others = jnp.asarray(rows.real) - seen.sum(axis=(1, 2))
        real = seen + others[:, None, None] * law.table
        table = jnp.einsum("g,gxk->xk", weights.real, real)
        rule = pseudo_target.around(law, best, table + jnp.einsum("g,gxk->xk", synthetic, made))

        def noise(at: Array) -> Array:
            return independent(
                law, others * weights.real**2, jnp.asarray(law.table), at
            ) + independent(law, squares, made, at)

        spread = rule.variance(noise(rule.theta)) + rule.drift_risk(noise)
        return rule.excess + spread, rule.excess, spread

    found: tuple[Array, ...] = jax.lax.map(given, (seen, made), batch_size=_SEEDS_AT_ONCE)
    return found


@jax.jit
def _first_order(
    law: FiniteLaw, rows: RowCounts, weights: RowWeights, seen: Array, made: Array
) -> tuple[Array, ...]:
    (real, synthetic), squares = shares(rows, weights), squared_weights(rows, weights)
    mean = jnp.einsum("g,gxk->xk", real, law.table)
    mean += jnp.einsum("g,sgxk->xk", synthetic, made) / len(made)
    rule = pseudo_target.around(law, law.optimum(), mean)

    def noises(at: Array) -> tuple[Array, ...]:
        score = law.score_table(at)
        of_seeds = _centred(jnp.einsum("g,sgxk,xkp->sp", weights.real, seen, score))
        of_laws = _centred(jnp.einsum("g,sgxk,xkp->sp", synthetic, made, score))
        cross = of_seeds.T @ of_laws / (len(made) - 1)
        within = jax.lax.map(
            lambda table: independent(law, squares, table, at), made, batch_size=_SEEDS_AT_ONCE
        )
        return (
            independent(law, real * weights.real, jnp.asarray(law.table), at),
            within.mean(axis=0),
            of_laws.T @ of_laws / (len(made) - 1),
            cross + cross.T,
        )

    def noise(at: Array) -> Array:
        return jnp.stack(noises(at)).sum(axis=0)

    parts = [rule.variance(part) for part in noises(rule.theta)]
    return rule.excess, rule.drift_risk(noise), *parts


def _centred(values: Float[Array, "s p"]) -> Float[Array, "s p"]:
    return values - values.mean(axis=0, keepdims=True)
