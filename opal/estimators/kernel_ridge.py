r"""Weighted kernel ridge regression on the periodic Sobolev space.

The OPAL objective ``Σ_i ω_i (y_i − f(x_i))² + λ‖f‖²`` with the norm of
:func:`opal.settings.sequence.penalties` is minimised exactly (:func:`fit_kernel_ridge`), or over
functions of finitely many frequencies (:func:`fit_fourier_ridge`).
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from scipy.special import bernoulli

from opal.arrays import AnyArray
from opal.settings.sequence import fourier_features, penalties


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
    return fit_features(fourier_features(x, dim), jnp.asarray(y), weights, penalty)


def fit_features(
    features: Float[Array, "n d"],
    y: Float[Array, " n"],
    weights: Float[AnyArray, " n"],
    penalty: Float[AnyArray, " d"],
) -> Float[Array, " d"]:
    """Coefficients [d] of given features, each with a penalty of its own."""
    weighted = features * jnp.asarray(weights)[:, None]
    gram = weighted.T @ features + jnp.diag(jnp.asarray(penalty))
    # In units of the diagonal: penalties span many orders of magnitude.
    scale = 1 / jnp.sqrt(jnp.diag(gram))
    factor = jax.scipy.linalg.cho_factor(scale[:, None] * gram * scale[None, :])
    return scale * jax.scipy.linalg.cho_solve(factor, scale * (weighted.T @ y))
