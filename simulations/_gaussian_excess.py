"""Excess risk of training on cells that a generator makes, given the seeds that it read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from opal import newton
from opal.arrays import AnyArray
from opal.draws import as_key, named, replicate_keys
from opal.objective import Design, RowCounts, RowWeights
from opal.settings.finite import FiniteLaw
from opal.settings.gaussian import GaussianLaw
from opal.synthesis.transformer.gaussian_generator import GaussianGenerator
from opal.synthesis.transformer.quantise import Quantiser
from opal.synthesis.transformer.quantised_law import QuantisedLaw

_AT_ONCE = 16


class Seeds(NamedTuple):
    """What a generator reads in each replicate, and the law of its cells after that.

    Attributes:
        x: seeds, group after group [R, n, p].
        tables: probabilities of the cells [R, G, B^p].
    """

    x: np.ndarray
    tables: np.ndarray


class Excess(NamedTuple):
    """Expected excess balanced risk given the seeds [R]: floor, and spread of all other rows."""

    floor: np.ndarray
    spread: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """Floor and spread."""
        return self.floor + self.spread


def shown(generator: GaussianGenerator, counts: tuple[int, ...]) -> tuple[int, ...]:
    """Rows of each group that the generator reads [G]."""
    most = generator.n_context
    return counts if most is None else tuple(min(n, most) for n in counts)


def after_seeds(
    generator: GaussianGenerator,
    law: GaussianLaw,
    counts: tuple[int, ...],
    *,
    key: int | Key[Array, ""],
    n_replicates: int,
) -> Seeds:
    """Seeds and laws of the replicates of :func:`opal.simulate.simulate` under the same key."""
    with jax.enable_x64(True):
        keys = replicate_keys(as_key(key), jnp.arange(n_replicates))
        read = shown(generator, counts)
        return Seeds(*(np.asarray(v) for v in _after_seeds(generator, law, keys, counts=read)))


@partial(jax.jit, static_argnames="counts")
def _after_seeds(
    generator: GaussianGenerator, law: GaussianLaw, keys: Array, *, counts: tuple[int, ...]
) -> tuple[Array, AnyArray]:
    def replicate(key: Array) -> tuple[Array, AnyArray]:
        # The first rows of a group do not depend on how many there are.
        rows = law.sample(counts, key=named(key, "real"))
        return rows.x, generator.fit(rows, law.groups, key=named(key, "fit")).table

    found: tuple[Array, AnyArray] = jax.lax.map(replicate, keys, batch_size=_AT_ONCE)
    return found


def excess_of_seeds(
    law: GaussianLaw, design: Design, generator: GaussianGenerator, seeds: Seeds
) -> Excess:
    """Expected excess balanced risk of a logistic rule given each draw of the seeds (13.52)."""
    counts = shown(generator, design.counts)
    with jax.enable_x64(True):
        numbers = (design.row_counts(), design.row_weights())
        given = (jnp.asarray(seeds.x), jnp.asarray(seeds.tables, float))
        found = _excess(law, *numbers, *given, counts=counts, quantiser=generator.quantiser)
        return Excess(*(np.asarray(part) for part in found))


@partial(jax.jit, static_argnames=("counts", "quantiser"))
def _excess(
    law: GaussianLaw,
    rows: RowCounts,
    weights: RowWeights,
    seeds: Float[Array, "r n p"],
    tables: Float[Array, "r g c"],
    *,
    counts: tuple[int, ...],
    quantiser: Quantiser,
) -> tuple[Array, ...]:
    best, group = law.optimum(), np.repeat(np.arange(len(counts)), counts)
    own = np.eye(law.n_classes)[np.array([g.label for g in law.groups])[group]]
    others = jnp.asarray(rows.real) - jnp.asarray(counts)
    squares = jnp.asarray(
        rows.oversampled * weights.oversampled**2 + rows.augmented * weights.augmented**2
    )
    synthetic = jnp.asarray(
        rows.oversampled * weights.oversampled + rows.augmented * weights.augmented
    )

    def given(one: tuple[Array, Array]) -> tuple[Array, ...]:
        made = QuantisedLaw(one[1], quantiser, law.dim, law.groups)
        weight = jnp.asarray(weights.real)[group, None] * own
        read = FiniteLaw(weight[None], one[0], law.groups[:1])
        parts = ((others * weights.real, law), (synthetic, made), (jnp.ones(1), read))

        def slope(at: Array) -> Array:
            return jnp.stack([w @ part.group_gradient(at) for w, part in parts]).sum(axis=0)

        def bend(at: Array) -> Array:
            each = [jnp.einsum("g,gpq->pq", w, part.group_hessian(at)) for w, part in parts]
            return jnp.stack(each).sum(axis=0)

        def noise(at: Array) -> Array:
            real = jnp.asarray(weights.real) ** 2 * others
            covariance = jnp.einsum("g,gpq->pq", real, law.group_score_covariance(at))
            return covariance + jnp.einsum("g,gpq->pq", squares, made.group_score_covariance(at))

        theta = newton.minimise(lambda at: (slope(at), bend(at)), best, tolerance=1e-10).theta
        return (law.group_risk(theta) - law.group_risk(best)).mean(), _spread(
            law, theta, bend, noise
        )

    found: tuple[Array, ...] = jax.lax.map(given, (seeds, tables), batch_size=_AT_ONCE)
    return found


def _spread(
    law: GaussianLaw,
    theta: Float[Array, " p"],
    bend: Callable[[Array], Array],
    noise: Callable[[Array], Array],
) -> Float[Array, ""]:
    """What rows that are no seeds add, to first order in their weights (13.8)."""
    solve = newton.factorise(bend(theta))
    covariance = jax.vmap(solve)(jax.vmap(solve)(noise(theta)).T)

    def second_order(at: Array) -> Array:
        return jnp.trace(jax.vmap(solve)(noise(at))) - jnp.trace(bend(at) @ covariance)

    drift = solve(0.5 * jax.grad(second_order)(theta))
    hessian = law.group_hessian(theta).mean(axis=0)
    return 0.5 * jnp.trace(hessian @ covariance) + law.group_gradient(theta).mean(axis=0) @ drift
