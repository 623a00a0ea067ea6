"""Generations of a generator in many replicates: their laws measured, and rules trained on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from opal.chunks import map_in_chunks
from opal.draws import as_key, named, replicate_keys
from opal.objective import Design
from opal.settings.finite import FiniteLaw
from opal.settings.gaussian import GaussianLaw
from opal.settings.groups import Group, Sample
from opal.settings.law import Law
from opal.simulation import fit
from opal.synthesis.generations import Generations
from opal.training_rows import Fitted, generator_rows

_AT_ONCE, _FITTED_AT_ONCE = 256, 16
Metrics = dict[str, Float[Array, ""]]


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
        measure: of the truth and of a generation's law.
        key: seed of the replicates.
        n_replicates: R.
    """
    counts = (n_seeds,) * len(truth.groups)
    found: list[dict[str, np.ndarray]] = []
    with jax.enable_x64(True):
        for keys in _chunks(key, n_replicates):
            seeds, _ = _rows(truth, counts, None, keys)
            laws = _laws(generations, seeds, truth.groups, keys)
            each = jax.device_get([_measured(truth, law, measure) for law in laws])
            found.append({name: np.stack([e[name] for e in each], axis=1) for name in each[0]})
    return {k: np.concatenate([part[k] for part in found])[:n_replicates] for k in found[0]}


def _chunks(key: int, n_replicates: int) -> Iterator[Key[Array, " r"]]:
    """Keys of the replicates and of a few more, in chunks of one size: compiled once for all."""
    n_chunks = -(-n_replicates // _AT_ONCE)
    size = -(-n_replicates // (n_chunks * _FITTED_AT_ONCE)) * _FITTED_AT_ONCE
    for chunk in range(n_chunks):
        yield replicate_keys(as_key(key), jnp.arange(chunk * size, (chunk + 1) * size))


@partial(jax.jit, static_argnames=("counts", "fitted"))
def _rows(
    law: Any, counts: tuple[int, ...], fitted: Fitted | None, keys: Key[Array, " r"]
) -> tuple[Sample, Sample]:
    """Real rows, and those that generation 1 is fitted to, of all replicates."""

    def replicate(key: Key[Array, ""]) -> tuple[Sample, Sample]:
        real = law.sample(counts, key=named(key, "real"))
        return real, generator_rows(law, real, fitted, key=key)

    found: tuple[Sample, Sample] = jax.vmap(replicate)(keys)
    return found


def _laws(
    generations: Generations, seeds: Sample, groups: tuple[Group, ...], keys: Key[Array, " r"]
) -> tuple[Law, ...]:
    """The laws of all generations, each of all replicates; not compiled as one."""

    def replicate(seeds: Sample, key: Key[Array, ""]) -> tuple[Law, ...]:
        return generations.laws(seeds, groups, key=named(key, "fit"))

    found: tuple[Law, ...] = jax.vmap(replicate)(seeds, keys)
    return found


@partial(jax.jit, static_argnames="measure")
def _measured(truth: Any, laws: Any, measure: Callable[[Any, Any], Metrics]) -> Metrics:
    return jax.vmap(measure, in_axes=(None, 0))(truth, laws)


def of_gaussians(truth: GaussianLaw, made: GaussianLaw) -> Metrics:
    """Errors of mean and covariance, log volume, and KL(P‖Q) of a fitted Gaussian.

    In the coordinates in which the truth of each group is standard normal.
    """
    d = truth.dim
    root = jnp.linalg.cholesky(jnp.asarray(truth.covariances)[:, 0])
    whiten = jax.vmap(partial(jax.scipy.linalg.solve_triangular, lower=True))
    apart = whiten(root, (made.means - truth.means).swapaxes(1, 2))
    factor = whiten(root, jnp.linalg.cholesky(made.covariances[:, 0]))  # of the whitened covariance
    unit = jnp.broadcast_to(jnp.eye(d), factor.shape)
    inverse = whiten(factor, jnp.concatenate([unit, apart], axis=2))
    volume = 2 * jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
    return {
        "mean_error": jnp.mean(apart**2),
        "covariance": jnp.sum(factor**2, axis=(1, 2)).mean() / d,
        "log_volume": volume.mean(),
        "kl": (jnp.sum(inverse**2, axis=(1, 2)) - d + volume).mean() / 2,
    }


def of_tokens(truth: FiniteLaw, made: FiniteLaw) -> Metrics:
    """Of a law of tokens: how equal two draws are, how far from the truth, what is lost.

    Of the divergences, KL(P‖Q) is infinite where a token has no probability.
    """
    p, q = jnp.asarray(truth.table).sum(axis=2), made.table.sum(axis=2)
    return {
        "sum_of_squares": jnp.sum(q**2, axis=1).mean(),
        "chi_square": jnp.sum((q - p) ** 2 / p, axis=1).mean(),
        "kl": jnp.sum(p * jnp.log(p / q), axis=1).mean(),
        "lost": jnp.mean(q == 0),
    }


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
    fitted, weights = (design.n_fitted, design.n_in_training), _weights(design, alphas)
    found = []
    with jax.enable_x64(True):
        least = law.group_risk(law.optimum(design.loss), design.loss).mean()
        for keys in _chunks(key, n_replicates):
            real, seeds = _rows(law, design.counts, fitted, keys)
            laws = _laws(generations, seeds, law.groups, keys)
            risks = [
                _risks(law, laws[k - 1], real, weights, keys, n_augmented=design.n_augmented)
                for k in which
            ]
            found.append(np.stack([risk - least for risk in risks], axis=1))
    return np.concatenate(found)[:n_replicates]


@partial(jax.jit, static_argnames="n_augmented")
def _risks(
    law: GaussianLaw,
    made: Any,
    real: Sample,
    weights: Float[Array, "a n"],
    keys: Key[Array, " r"],
    *,
    n_augmented: int,
) -> Float[Array, "r a"]:
    """Balanced logistic risks of rules on real rows and on rows of a generation."""

    def replicate(given: tuple[Any, Sample, Key[Array, ""]]) -> Float[Array, " a"]:
        made, real, key = given
        rows = made.sample((n_augmented,) * len(law.groups), key=named(key, "augment"))
        x, y = jnp.concatenate([real.x, rows.x]), jnp.concatenate([real.y, rows.y])

        def risk(each: Float[Array, " n"]) -> Float[Array, ""]:
            theta, _ = fit(
                *(Sample(x, y, (len(x),)), each),
                n_classes=law.n_classes,
                ridge=np.zeros(()),
                loss="logistic",
                balanced=False,
            )
            return law.group_risk(theta).mean()

        return jax.lax.map(risk, weights)

    found: Float[Array, "r a"] = map_in_chunks(replicate, (made, real, keys), _FITTED_AT_ONCE)
    return found


def _weights(design: Design, alphas: Sequence[float]) -> np.ndarray:
    """Weight of each real and each augmented row, for every α [A, n]."""
    each = [design.with_(alpha=alpha).row_weights() for alpha in alphas]
    real = [np.repeat(weights.real, design.counts) for weights in each]
    augmented = [np.repeat(weights.augmented, design.n_augmented) for weights in each]
    return np.concatenate([real, augmented], axis=1)
