"""A prior against seeds: what is expected of Bayes before its seeds are drawn.

The expansions of docs/theory.md, section 13.5; they read laws and priors, no draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from opal import newton
from opal.settings.tokens import Alphabet, Prior

_TOLERANCE = 1e-10  # of the gradient, in units of its own size


class Expansion(NamedTuple):
    """What is expected of Bayes before its seeds are drawn.

    Attributes:
        kl: expected KL(P_t‖Q) (13.16) [N, S].
        posterior_mean: expected posterior mean of t (13.15) [N, S, r].
        mode: where it is expanded, t_n (13.13) [N, S, r].
        found: whether the optima behind both were found [N, S].
    """

    kl: np.ndarray
    posterior_mean: np.ndarray
    mode: np.ndarray
    found: np.ndarray


def expansion(
    alphabet: Alphabet, laws: np.ndarray, prior: Prior, n_seeds: Sequence[int]
) -> Expansion:
    """Bayes under a prior, expected over the seeds of given subjects, to one loop.

    Args:
        alphabet: tokens and temperature.
        laws: P_t of the subjects [S, d].
        prior: that Bayes believes in; subjects may come from another.
        n_seeds: how many [N].
    """
    with jax.enable_x64(True):
        n = jnp.asarray(n_seeds, float)[:, None]
        numbers = (jnp.float64(prior.mean), jnp.float64(prior.scale) ** -2)
        u, known = jnp.asarray(alphabet.embeddings / alphabet.eta), jnp.asarray(laws)
        found = [_expand(u, known, n + more, *numbers) for more in (0, 1)]
        (now, mean, mode, converged), (later, _, _, too) = (map(np.asarray, f) for f in found)
        return Expansion(later - now, mean, mode, converged & too)


@jax.jit
def _expand(
    u: Array, laws: Array, n: Array, mean: Array, precision: Array
) -> tuple[Float[Array, "n s"], Float[Array, "n s r"], Float[Array, "n s r"], Array]:
    of_one = partial(_expand_one, u, mean, precision)
    return jax.vmap(jax.vmap(of_one, (0, None)), (None, 0))(laws, n[:, 0])


def _expand_one(
    u: Array, mean: Array, precision: Array, law: Array, n: Array
) -> tuple[Array, Array, Array, Array]:
    """Redundancy (13.14), expected posterior mean (13.15) and mode (13.13) of one subject."""
    r, truth, size = u.shape[1], law @ u, n + precision

    def covariance(p: Array) -> Array:
        centred = u - (p @ u)[None, :]
        return (p[:, None] * centred).T @ centred

    def derivatives(subject: Array) -> tuple[Array, Array]:
        p = jax.nn.softmax(u @ subject)
        gradient = n * (p @ u - truth) + precision * (subject - mean)
        return gradient / size, (n * covariance(p) + precision * jnp.eye(r)) / size

    best = newton.minimise(derivatives, jnp.full(r, mean), tolerance=_TOLERANCE)
    factor = jax.scipy.linalg.cho_factor(derivatives(best.theta)[1] * size)
    spread, noise = jax.scipy.linalg.cho_solve(factor, jnp.eye(r)), n * covariance(law)
    log_p = jax.nn.log_softmax(u @ best.theta)
    divergence = jnp.sum(jax.scipy.special.xlogy(law, law)) - law @ log_p
    redundancy = (
        n * divergence
        + 0.5 * precision * jnp.sum((best.theta - mean) ** 2)
        + jnp.sum(jnp.log(jnp.diagonal(factor[0])))
        - 0.5 * r * jnp.log(precision)
        - 0.5 * jnp.sum(noise * spread)
    )
    p = jnp.exp(log_p)
    centred = u - (p @ u)[None, :]
    widths = jnp.sum(centred @ (spread + spread @ noise @ spread) * centred, axis=1)
    skew = (p * widths) @ centred
    return redundancy, best.theta - 0.5 * n * spread @ skew, best.theta, best.converged


def pull(
    posterior_mean: np.ndarray, prior: Prior, n_seeds: Sequence[int], eta: float
) -> np.ndarray:
    """``E_P u − E_Q u`` of Bayes after n ≥ 1 seeds (13.12), expected over them [N, S, r]."""
    n = np.asarray(n_seeds, float)[:, None, None]
    return np.asarray(eta / n * (posterior_mean - prior.mean) / prior.scale**2)
