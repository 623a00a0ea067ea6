"""Replicates of a regression design: draw, weigh, fit, and take the exact excess risk.

Groups are functions of :class:`opal.settings.sequence.SobolevRegression`. The estimator minimises
the OPAL objective on random rows (:func:`kernel_ridge_excess`), or in the Gaussian sequence model
that rows are idealised to (:func:`sequence_excess`; docs/theory.md, section 10).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from opal import memory
from opal.arrays import AnyArray
from opal.draws import as_key, named, replicate_keys, standard_normal
from opal.estimators.kernel_ridge import fit_features
from opal.objective import Design
from opal.settings.groups import validate_count, validate_counts
from opal.settings.sequence import SobolevRegression, draw_places, fourier_features, penalties

KINDS = ("real", "oversample", "augment")
_CHUNK_NUMBERS = 200_000  # of a chunk: they should stay in a core's cache


def kernel_ridge_excess(
    truth: SobolevRegression,
    synthetic: SobolevRegression,
    design: Design,
    *,
    order: int,
    ridge: float,
    key: int | Key[Array, ""],
    n_replicates: int,
) -> Float[np.ndarray, " r"]:
    """Excess balanced risk of kernel ridge regression on random rows, for each replicate [R].

    Rows of weight zero are not drawn. Replicate r depends on ``key`` and r alone, and designs that
    share a key share their rows: more rows of a kind extend fewer.

    Args:
        truth: where real rows come from; its D coefficients are also what is estimated.
        synthetic: where oversampled and augmented rows come from.
        design: numbers of rows and their weights.
        order: m of the norm.
        ridge: λ > 0.
        key: seed or key.
        n_replicates: R.

    Raises:
        ValueError: the laws or the design do not fit each other, λ is not positive, or R < 1.
    """
    _check(truth, synthetic, design, n_replicates)
    validate_count(order, "order", minimum=1)
    if not ridge > 0:
        raise ValueError(f"ridge must be positive: the kernel may be singular; got {ridge}.")
    weights = design.row_weights()
    sizes = tuple(
        tuple(int(n) for n in np.where(w > 0, c, 0))
        for c, w in zip(design.row_counts(), weights, strict=True)
    )
    with jax.enable_x64(True):
        keys = replicate_keys(as_key(key), jnp.arange(n_replicates))
        values = _kernel_ridge_excess(
            jnp.asarray(
                np.concatenate([law.coefficients for law in (truth, synthetic, synthetic)])
            ),
            np.repeat([truth.noise, synthetic.noise, synthetic.noise], design.n_groups),
            np.concatenate(list(weights)),
            ridge * penalties(truth.coefficients.shape[1], order),
            truth.optimum(),
            keys,
            sizes=sizes,
        )
        return np.asarray(values)


@partial(jax.jit, static_argnames=("sizes",))
def _kernel_ridge_excess(
    functions: Float[AnyArray, "kinds d"],
    noises: Float[AnyArray, " kinds"],
    weights: Float[AnyArray, " kinds"],
    penalty: Float[AnyArray, " d"],
    optimum: Float[AnyArray, " d"],
    keys: Key[Array, " r"],
    *,
    sizes: tuple[tuple[int, ...], ...],
) -> Float[Array, " r"]:
    """Excess of each replicate; functions, noises and weights are of each kind and group [3·G]."""
    flat = tuple(count for counts in sizes for count in counts)
    kind = np.repeat(np.arange(len(flat)), flat)

    def replicate(key: Key[Array, ""]) -> Array:
        parts = [
            draw_places(counts, key=named(key, name))
            for counts, name in zip(sizes, KINDS, strict=True)
        ]
        x, error = (jnp.concatenate(column) for column in zip(*parts, strict=True))
        features = fourier_features(x, len(optimum))
        heights = features @ functions.T
        y = heights[np.arange(len(kind)), kind] + noises[kind] * error
        return jnp.sum((fit_features(features, y, weights[kind], penalty) - optimum) ** 2)

    return jax.lax.map(replicate, keys)


def sequence_excess(
    truth: SobolevRegression,
    synthetic: SobolevRegression,
    designs: Sequence[Design],
    ridges: Sequence[float],
    *,
    order: int,
    key: int | Key[Array, ""],
    n_replicates: int,
    chunk_size: int | None = None,
) -> Float[np.ndarray, "r s"]:
    """Excess balanced risk in the Gaussian sequence model, for each replicate and design [R, S].

    The rows of a kind in a group are one noisy look at its D coefficients, with standard deviation
    ``σ/√rows``; the estimator is ridge regression on the weighted mean of these. All designs see
    the same noise in units of its standard deviation: common random numbers.

    Args:
        truth: what real rows show.
        synthetic: what oversampled and augmented rows show.
        designs: numbers of rows and their weights.
        ridges: λ ≥ 0 of each design.
        order: m of the norm.
        key: seed or key.
        n_replicates: R.
        chunk_size: replicates computed at once; changes nothing but the time.

    Raises:
        ValueError: the laws or a design do not fit each other, λ is negative, or R < 1.
    """
    if len(ridges) != len(designs) or not all(ridge >= 0 for ridge in ridges):
        raise ValueError(
            f"ridges needs a number of at least 0 for each of {len(designs)} designs; "
            f"got {list(ridges)}."
        )
    for design in designs:
        _check(truth, synthetic, design, n_replicates)
    d = truth.coefficients.shape[1]
    shrinkage = 1 / (1 + np.outer(ridges, penalties(d, order)))
    means, scales = zip(*(_moments(truth, synthetic, design) for design in designs), strict=True)
    with jax.enable_x64(True):
        chunk = chunk_size or int(np.clip(_CHUNK_NUMBERS // (len(designs) * d), 1, n_replicates))
        run = partial(
            _sequence_excess,
            jnp.asarray(shrinkage * np.stack(means) - truth.optimum()),
            jnp.asarray(shrinkage),
            jnp.asarray(np.stack(scales)),
            as_key(key),
            chunk=chunk,
        )
        indices = jnp.arange(-(-n_replicates // chunk) * chunk)
        return np.asarray(run(indices))[:n_replicates]


def _moments(
    truth: SobolevRegression, synthetic: SobolevRegression, design: Design
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the weighted mean [D], and what multiplies the noise of each kind and group [3·G]."""
    laws = (truth, synthetic, synthetic)
    mean = np.zeros(truth.coefficients.shape[1])
    scales = []
    for law, counts, weights in zip(laws, design.row_counts(), design.row_weights(), strict=True):
        mean += (counts * weights) @ law.coefficients
        scales.append(law.noise * np.sqrt(counts) * weights)
    return mean, np.concatenate(scales)


@partial(jax.jit, static_argnames=("chunk",))
def _sequence_excess(
    centred: Float[Array, "s d"],
    shrinkage: Float[Array, "s d"],
    scales: Float[Array, "s kinds"],
    key: Key[Array, ""],
    indices: Array,
    *,
    chunk: int,
) -> Float[Array, "r s"]:
    def replicate(key: Key[Array, ""]) -> Array:
        n_groups = scales.shape[1] // len(KINDS)
        looks = [standard_normal(named(key, kind), n_groups, centred.shape[1]) for kind in KINDS]
        error = centred + shrinkage * (scales @ jnp.concatenate(looks))
        return jnp.sum(error**2, axis=1)

    keys = replicate_keys(key, indices)
    return jax.lax.map(replicate, keys, batch_size=chunk if chunk > 1 else None)


def _check(
    truth: SobolevRegression, synthetic: SobolevRegression, design: Design, n_replicates: int
) -> None:
    """Check that truth, synthetic law and design speak of the same groups and coefficients."""
    validate_count(n_replicates, "n_replicates", minimum=1)
    memory.require(
        8.0 * n_replicates,
        f"{n_replicates:.3g} replicates",
        "Lower n_replicates",
    )
    validate_counts(design.counts, len(truth.coefficients), what="counts", minimum=1)
    if synthetic.coefficients.shape != truth.coefficients.shape:
        raise ValueError(
            "truth and synthetic law must have the same groups and frequencies; got coefficients "
            f"of shape {truth.coefficients.shape} and {synthetic.coefficients.shape}."
        )
