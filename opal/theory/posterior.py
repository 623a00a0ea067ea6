"""A subject given its seeds: the most likely one, and the mean law over its posterior.

What :mod:`opal.theory.generator` computes, for subjects [S] whose tokens were counted [S, d];
docs/theory.md, section 13.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from opal import newton
from opal.arrays import AnyArray
from opal.draws import named, standard_normal

_TOLERANCE = 1e-10  # of the gradient of a mean log likelihood
_WIDER = 1.2  # the proposal's standard deviation, in units of the Laplace approximation's
_DEGREES = 8  # of freedom of the proposal: its tails are heavier than a posterior's
_LEAST_SAMPLE = 0.1  # share of the draws that must be effective
_SUBJECTS_AT_ONCE = 16

Found = tuple[Array, Array, Array]  # laws [S, d], whether to trust them [S], effective draws [S]


@jax.jit
def most_likely(u: Float[AnyArray, "d r"], counts: Float[Array, "s d"]) -> Found:
    """Law of the subject that makes the seeds most likely; found where there is one.

    Args:
        u: embeddings over η.
        counts: of each token, for each subject.
    """

    def one(seen: Array) -> Found:
        gradient_and_hessian = partial(_derivatives, u, seen, 0.0, 0.0)
        best = newton.minimise(gradient_and_hessian, jnp.zeros(u.shape[1]), tolerance=_TOLERANCE)
        # Along a direction in which scores differ by at most M, |f'''| <= M f'': a Newton step that
        # moves scores by less than 1 has a minimum ahead, one on the way to infinity never does.
        gradient, hessian = gradient_and_hessian(best.theta)
        step = jnp.asarray(u) @ newton.factorise(hessian)(gradient)
        exists = (jnp.ptp(step) < 0.5) & (seen.sum() > 0)
        return _law(u, best.theta), best.converged & exists, jnp.ones(())

    return jax.lax.map(one, counts, batch_size=_SUBJECTS_AT_ONCE)


@partial(jax.jit, static_argnames=("n_draws", "exact"))
def mean_law(
    u: Float[AnyArray, "d r"],
    counts: Float[Array, "s d"],
    mean: Float[AnyArray, ""],
    scale: Float[AnyArray, ""],
    key: Key[Array, ""],
    *,
    n_draws: int,
    exact: bool,
) -> Found:
    """Mean of P_t over the posterior of t, or over its Laplace approximation.

    Args:
        u: embeddings over η.
        counts: of each token, for each subject.
        mean: of each coordinate under the prior.
        scale: standard deviation of each coordinate under the prior.
        key: of the draws.
        n_draws: the same ones for all subjects.
        exact: the posterior by importance sampling, or its Laplace approximation.
    """
    steps, log_density = _steps(key, n_draws, u.shape[1], exact)

    def one(seen: Array) -> Found:
        derivatives = partial(_derivatives, u, seen, mean, scale**-2)
        best = newton.minimise(derivatives, jnp.full(u.shape[1], mean), tolerance=_TOLERANCE)
        _, hessian = derivatives(best.theta)
        root = jnp.linalg.cholesky((seen.sum() + scale**-2) * hessian)
        # A small inverse and a product: XLA solves for hundreds of steps forty times slower.
        inverse = jax.scipy.linalg.solve_triangular(root, jnp.eye(len(root)), lower=True)
        subjects = best.theta[None, :] + steps @ inverse
        log_laws = jax.nn.log_softmax(subjects @ jnp.asarray(u).T, axis=-1)
        log_prior = -0.5 * jnp.sum(((subjects - mean) / scale) ** 2, axis=1)
        log_weight = log_laws @ seen + log_prior - log_density if exact else jnp.zeros(n_draws)
        weight = jax.nn.softmax(log_weight)
        ess = 1 / jnp.sum(weight**2) / n_draws
        found = best.converged & (ess >= _LEAST_SAMPLE)
        return weight @ jnp.exp(log_laws), found, ess

    return jax.lax.map(one, counts, batch_size=_SUBJECTS_AT_ONCE)


def _steps(
    key: Key[Array, ""], n: int, rank: int, exact: bool
) -> tuple[Float[Array, "n r"], Float[Array, " n"]]:
    """Standard normal steps; if exact, stretched to a multivariate t, with its log density."""
    steps = standard_normal(named(key, "steps"), n, rank)
    if not exact:
        return steps, -0.5 * jnp.sum(steps**2, axis=1)
    chi2 = jnp.sum(standard_normal(named(key, "stretch"), n, _DEGREES) ** 2, axis=1)
    steps = _WIDER * steps / jnp.sqrt(chi2 / _DEGREES)[:, None]
    square = jnp.sum((steps / _WIDER) ** 2, axis=1)
    return steps, -0.5 * (_DEGREES + rank) * jnp.log1p(square / _DEGREES)


def _law(u: Float[AnyArray, "d r"], subject: Float[Array, " r"]) -> Float[Array, " d"]:
    return jax.nn.softmax(jnp.asarray(u) @ subject)


def _derivatives(
    u: AnyArray, seen: Array, mean: AnyArray | float, precision: AnyArray | float, subject: Array
) -> tuple[Float[Array, " r"], Float[Array, "r r"]]:
    """Gradient and Hessian of ``(−Σ_x c_x log P_t(x) + precision ‖t − mean‖²/2)/(n + precision)``.

    Convex in t. Divided by its own size, so that one tolerance serves any number of seeds.
    """
    n, law = seen.sum(), _law(u, subject)
    size = jnp.maximum(n + precision, 1e-300)
    centred = jnp.asarray(u) - (law @ u)[None, :]
    gradient = n * (law @ u) - seen @ u + precision * (subject - mean)
    hessian = n * (law[:, None] * centred).T @ centred + precision * jnp.eye(len(subject))
    return gradient / size, hessian / size
