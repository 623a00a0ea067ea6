r"""Weighted kernel ridge regression on the periodic Sobolev space, and its Gaussian sequence model.

Both minimise the OPAL objective ``Σ_i ω_i (y_i − f(x_i))² + λ‖f‖²`` with the norm of
:func:`opal.settings.sequence.penalties`: from rows, exactly (:func:`fit_kernel_ridge`) or on
finitely many frequencies (:func:`fit_fourier_ridge`), and from the coefficients that rows are
idealised to (:func:`sequence_excess`; docs/theory.md, section 10).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from scipy.special import bernoulli

from opal.arrays import AnyArray
from opal.draws import as_key, named, replicate_keys, standard_normal
from opal.objective import Design
from opal.settings.groups import validate_count, validate_counts
from opal.settings.sequence import SobolevRegression, draw_places, fourier_features, penalties

KINDS = ("real", "oversample", "augment")
_CHUNK_NUMBERS = 200_000  # of a chunk: they should stay in a core's cache


def sobolev_kernel(
    x: Float[AnyArray, " n"], centres: Float[AnyArray, " m"], *, order: int
) -> Float[Array, "n m"]:
    r"""Reproducing kernel ``1 + (−1)^{m−1} B_{2m}({x − x'}) / (2m)!`` at all pairs [n, m].

    ``B`` is the Bernoulli polynomial: the second term is ``Σ_j 2cos(2πj(x − x'))/(2πj)^{2m}``
    (Wahba 1990, section 2.1).
    """
    degree = 2 * order
    numbers = bernoulli(degree)
    polynomial = [math.comb(degree, power) * numbers[power] for power in range(degree + 1)]
    apart = jnp.mod(jnp.asarray(x)[:, None] - jnp.asarray(centres)[None, :], 1.0)
    scale = (-1) ** (order - 1) / math.factorial(degree)
    return 1.0 + scale * jnp.polyval(jnp.asarray(polynomial), apart)


def fit_kernel_ridge(
    x: Float[AnyArray, " n"],
    y: Float[AnyArray, " n"],
    weights: Float[AnyArray, " n"],
    *,
    order: int,
    ridge: float,
) -> Float[Array, " n"]:
    """Coefficients c [n] of the minimiser ``f = Σ_i c_i k(·, x_i)``, by Cholesky.

    Rows of weight zero get coefficient zero.
    """
    root = jnp.sqrt(jnp.asarray(weights))
    kernel = root[:, None] * sobolev_kernel(x, x, order=order) * root[None, :]
    factor = jax.scipy.linalg.cho_factor(kernel + ridge * jnp.eye(len(root)))
    return root * jax.scipy.linalg.cho_solve(factor, root * jnp.asarray(y))


def fit_fourier_ridge(
    x: Float[AnyArray, " n"],
    y: Float[AnyArray, " n"],
    weights: Float[AnyArray, " n"],
    *,
    dim: int,
    order: int,
    ridge: Float[AnyArray, ""] | float,
) -> Float[Array, " d"]:
    """Fourier coefficients [D] of the minimiser among functions of (D − 1)/2 frequencies."""
    penalty = ridge * jnp.asarray(penalties(dim, order))
    return _solve(fourier_features(x, dim), jnp.asarray(y), weights, penalty)


def _solve(
    features: Float[Array, "n d"],
    y: Float[Array, " n"],
    weights: Float[AnyArray, " n"],
    penalty: Float[AnyArray, " d"],
) -> Float[Array, " d"]:
    weighted = features * jnp.asarray(weights)[:, None]
    gram = weighted.T @ features + jnp.diag(jnp.asarray(penalty))
    # In units of the diagonal: penalties span many orders of magnitude.
    scale = 1 / jnp.sqrt(jnp.diag(gram))
    factor = jax.scipy.linalg.cho_factor(scale[:, None] * gram * scale[None, :])
    return scale * jax.scipy.linalg.cho_solve(factor, scale * (weighted.T @ y))


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
        return jnp.sum((_solve(features, y, weights[kind], penalty) - optimum) ** 2)

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
    validate_counts(design.counts, len(truth.coefficients), what="counts", minimum=1)
    if synthetic.coefficients.shape != truth.coefficients.shape:
        raise ValueError(
            "truth and synthetic law must have the same groups and frequencies; got coefficients "
            f"of shape {truth.coefficients.shape} and {synthetic.coefficients.shape}."
        )
