"""Generations of a generator in many replicates: their laws measured, and rules trained on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from opal.draws import as_key, named, replicate_keys
from opal.objective import Design
from opal.settings.finite import FiniteLaw
from opal.settings.gaussian import GaussianLaw
from opal.settings.groups import Sample
from opal.simulation import fit, generator_rows, map_in_chunks
from opal.synthesis.generations import Generations

_AT_ONCE = 32
Metrics = dict[str, Float[Array, " k"]]


def measured(
    truth: Any,
    generations: Generations,
    n_seeds: int,
    measure: Callable[[Any, Any], Metrics],
    *,
    key: int,
    n_replicates: int,
) -> dict[str, np.ndarray]:
    """Metrics of all generations in every replicate [R, K], means over the groups.

    Args:
        truth: law of the seeds.
        generations: what is fitted to them.
        n_seeds: real rows of each group, of which the first generation sees the first ones.
        measure: of the truth and of the laws of K generations, whose leaves are stacked.
        key: seed of the replicates.
        n_replicates: R.
    """

    @jax.jit
    def of_replicates(keys: Key[Array, " r"]) -> Metrics:
        def replicate(key: Key[Array, ""]) -> Metrics:
            seeds = truth.sample((n_seeds,) * len(truth.groups), key=named(key, "real"))
            return measure(truth, _stacked(generations, seeds, truth.groups, key=key))

        found: Metrics = map_in_chunks(replicate, keys, _AT_ONCE)
        return found

    with jax.enable_x64(True):
        found = of_replicates(replicate_keys(as_key(key), jnp.arange(n_replicates)))
        return {name: np.asarray(values) for name, values in found.items()}


def _stacked(generations: Generations, seeds: Sample, groups: Any, *, key: Key[Array, ""]) -> Any:
    """The laws of all generations as one, whose leaves have an axis more [K, …]."""
    laws = generations.laws(seeds, groups, key=named(key, "fit"))
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *laws)


def of_gaussians(truth: GaussianLaw, made: GaussianLaw) -> Metrics:
    """Errors of means, covariances, volumes, and KL(P‖Q) of fitted Gaussians [K] each.

    In the coordinates in which the truth of each group is standard normal.
    """
    d = truth.dim
    whiten = np.linalg.inv(np.linalg.cholesky(np.asarray(truth.covariances)[:, 0]))
    apart = jnp.einsum("gij,kgj->kgi", whiten, made.means[:, :, 0] - truth.means[None, :, 0])
    spread = jnp.einsum("gij,kgjl,gml->kgim", whiten, made.covariances[:, :, 0], whiten)
    factor = jnp.linalg.cholesky(spread)
    both = jnp.concatenate([jnp.broadcast_to(jnp.eye(d), spread.shape), apart[..., None]], axis=-1)
    squares = jnp.sum(jax.scipy.linalg.solve_triangular(factor, both, lower=True) ** 2, axis=(2, 3))
    volume = 2 * jnp.log(jnp.diagonal(factor, axis1=2, axis2=3)).sum(axis=2)
    metrics = {
        "mean_error": jnp.sum(apart**2, axis=2) / d,
        "covariance": jnp.trace(spread, axis1=2, axis2=3) / d,
        "log_volume": volume,
        "kl": (squares - d + volume) / 2,
    }
    return {name: values.mean(axis=1) for name, values in metrics.items()}


def of_tokens(truth: FiniteLaw, made: FiniteLaw) -> Metrics:
    """Of laws of tokens [K] each: how equal two draws are, how far from the truth, what is lost.

    Of the divergences, KL(P‖Q) is infinite where a token has no probability.
    """
    p, q = jnp.asarray(truth.table).sum(axis=2)[None], made.table.sum(axis=3)
    metrics = {
        "sum_of_squares": jnp.sum(q**2, axis=2),
        "chi_square": jnp.sum((q - p) ** 2 / p, axis=2),
        "kl": jnp.sum(p * jnp.log(p / q), axis=2),
        "lost": jnp.mean(q == 0, axis=2),
    }
    return {name: values.mean(axis=1) for name, values in metrics.items()}


def trained_excess(
    law: GaussianLaw,
    design: Design,
    alphas: Sequence[float],
    which: Sequence[int],
    *,
    key: int,
    n_replicates: int,
) -> np.ndarray:
    """Excess balanced risk of rules trained on rows of K generations at A weights [R, K, A].

    Rows are those of :func:`opal.simulation.simulate` with the design of the last generation, under
    the same key: training rows, and ``n_augmented`` rows of each group that a generation made.

    Args:
        law: the truth.
        design: its synthesizer is :class:`opal.synthesis.generations.Generations`.
        alphas: the A weights of the augmented rows, in place of the design's.
        which: the K generations, from 1.
        key: seed of the replicates.
        n_replicates: R.
    """
    generations = design.synthesizer
    assert isinstance(generations, Generations)
    weights = _weights(design, alphas)
    with jax.enable_x64(True):
        least = law.group_risk(law.optimum(design.loss), design.loss).mean()

    def replicate(key: Key[Array, ""]) -> Float[Array, "k a"]:
        real = law.sample(design.counts, key=named(key, "real"))
        seeds = generator_rows(law, real, (design.n_fitted, design.n_in_training), key=key)
        made = _stacked(generations, seeds, law.groups, key=key)
        chosen = jax.tree.map(lambda leaf: leaf[np.array(which) - 1], made)

        def of_generation(one: GaussianLaw) -> Float[Array, " a"]:
            rows = one.sample((design.n_augmented,) * design.n_groups, key=named(key, "augment"))
            x, y = jnp.concatenate([real.x, rows.x]), jnp.concatenate([real.y, rows.y])
            both = Sample(x, y, (len(x),))

            def of_weights(each: Float[Array, " n"]) -> Float[Array, ""]:
                theta, _ = fit(
                    *(both, each),
                    n_classes=law.n_classes,
                    ridge=np.zeros(()),
                    loss=design.loss,
                    balanced=False,
                )
                return law.group_risk(theta, design.loss).mean() - least

            return jax.lax.map(of_weights, weights)

        found: Float[Array, "k a"] = jax.lax.map(of_generation, chosen)
        return found

    @jax.jit
    def of_replicates(keys: Key[Array, " r"]) -> Float[Array, "r k a"]:
        found: Float[Array, "r k a"] = map_in_chunks(replicate, keys, _AT_ONCE)
        return found

    with jax.enable_x64(True):
        return np.asarray(of_replicates(replicate_keys(as_key(key), jnp.arange(n_replicates))))


def _weights(design: Design, alphas: Sequence[float]) -> np.ndarray:
    """Weight of each real and each augmented row, for every α [A, n]."""
    numbers = (design.counts, (design.n_augmented,) * design.n_groups)
    each = [design.with_(alpha=alpha).row_weights() for alpha in alphas]
    kinds = [(weights.real, weights.augmented) for weights in each]
    return np.stack(
        [np.concatenate([np.repeat(w, n) for w, n in zip(k, numbers, strict=True)]) for k in kinds]
    )
