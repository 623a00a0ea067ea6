r"""What a generator with n seeds in its context can be compared with (docs/theory.md, section 13).

Subjects are those of :mod:`opal.settings.tokens`; a reference maps how often each token was seen,
``counts`` [..., d], to an estimate of the law of the next token [..., d].
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key
from numpy.typing import ArrayLike

from opal import newton
from opal.arrays import AnyArray
from opal.draws import as_key, named, standard_normal
from opal.settings.groups import validate_count
from opal.settings.tokens import Alphabet, Prior

_TOLERANCE = 1e-10  # of the gradient of a mean log likelihood
_WIDER = 1.2  # the proposal's standard deviation, in units of the Laplace approximation's
_DEGREES = 8  # of freedom of the proposal: its tails are heavier than a posterior's
_LEAST_SAMPLE = 0.1  # share of the draws that must be effective
_SUBJECTS_AT_ONCE = 16


def kl(p: Float[AnyArray, "*#b d"], q: Float[AnyArray, "*#b d"]) -> Float[Array, "..."]:
    """KL(p‖q) in nats over the last axis, the others broadcast.

    Terms with p = 0 count zero; it is infinite where only q is zero.
    """
    p, q = jnp.asarray(p), jnp.asarray(q)
    ratio = jnp.log(jnp.where(p > 0, p, 1.0)) - jnp.log(jnp.where(p > 0, q, 1.0))
    return jnp.sum(p * ratio, axis=-1)


def total_variation(p: Float[AnyArray, "*b d"], q: Float[AnyArray, "*b d"]) -> Float[Array, "*b"]:
    """Half the absolute differences over the last axis."""
    return 0.5 * jnp.sum(jnp.abs(jnp.asarray(p) - jnp.asarray(q)), axis=-1)


def add_half(counts: Float[AnyArray, "*b d"]) -> Float[Array, "*b d"]:
    """Krichevsky and Trofimov's ``(c_x + ½)/(n + d/2)``, which knows no subjects."""
    raised = jnp.asarray(counts) + 0.5
    return raised / jnp.sum(raised, axis=-1, keepdims=True)


class Estimate(NamedTuple):
    """Laws of the next token, and how they were found.

    Attributes:
        law: [..., d].
        found: whether to trust it: the optimum behind it exists and was found, and enough of the
            draws are effective [...].
        ess: effective sample size as a share of the draws [...]; 1 where draws have equal weights.
    """

    law: Float[Array, "*b d"]
    found: Bool[Array, "*b"]
    ess: Float[Array, "*b"]


def maximum_likelihood(alphabet: Alphabet, counts: Float[AnyArray, "*b d"]) -> Estimate:
    """The law of the subject that makes the seeds most likely.

    It exists if the mean embedding of the seeds lies inside the convex hull of all embeddings,
    which that of few seeds seldom does. Otherwise ``found`` is false and the law is close to the
    limit of ever more likely ones, which gives some tokens no probability.

    Args:
        alphabet: tokens and temperature.
        counts: how often each token was seen.

    Raises:
        ValueError: counts of another alphabet.
    """
    return _for_all(_most_likely, alphabet, counts)


def laplace(
    alphabet: Alphabet,
    counts: Float[AnyArray, "*b d"],
    prior: Prior,
    *,
    key: int | Key[Array, ""],
    n_draws: int = 2000,
) -> Estimate:
    """:func:`bayes` with the posterior replaced by a Gaussian: its mode, and the curvature there.

    Raises:
        ValueError: counts of another alphabet, no draw.
    """
    return _predictive(alphabet, counts, prior, key, n_draws, exact=False)


def bayes(
    alphabet: Alphabet,
    counts: Float[AnyArray, "*b d"],
    prior: Prior,
    *,
    key: int | Key[Array, ""],
    n_draws: int = 2000,
) -> Estimate:
    """The posterior predictive law: no estimate has less expected KL under the prior.

    By importance sampling from a multivariate t around the posterior mode; the same draws serve
    all subjects. Laws with less than a tenth of the draws effective are flagged by ``found``.

    Args:
        alphabet: tokens and temperature.
        counts: how often each token was seen; none at all gives the prior predictive.
        prior: of the subjects.
        key: of the draws.
        n_draws: draws of each posterior.

    Raises:
        ValueError: counts of another alphabet, no draw.
    """
    return _predictive(alphabet, counts, prior, key, n_draws, exact=True)


def _predictive(
    alphabet: Alphabet,
    counts: Float[AnyArray, "*b d"],
    prior: Prior,
    key: int | Key[Array, ""],
    n_draws: int,
    *,
    exact: bool,
) -> Estimate:
    validate_count(n_draws, "n_draws", minimum=1)
    of_all = partial(_posterior_mean, n_draws=n_draws, exact=exact)
    with jax.enable_x64(True):
        numbers = (np.float64(prior.mean), np.float64(prior.scale), as_key(key))
        return _for_all(of_all, alphabet, counts, *numbers)


def _for_all(
    of_all: Callable[..., Estimate], alphabet: Alphabet, counts: AnyArray, *numbers: object
) -> Estimate:
    """An estimate for each set of seeds, whatever the leading axes, in float64."""
    if counts.ndim < 1 or counts.shape[-1] != alphabet.n_tokens:
        raise ValueError(
            f"counts must be [..., {alphabet.n_tokens}], one number for each token of the "
            f"alphabet; got shape {counts.shape}."
        )
    with jax.enable_x64(True):
        flat = jnp.asarray(counts, float).reshape(-1, alphabet.n_tokens)
        found = of_all(alphabet.embeddings / alphabet.eta, flat, *numbers)
        shape = counts.shape[:-1]
        return Estimate(*(part.reshape(*shape, *part.shape[1:]) for part in found))


@jax.jit
def _most_likely(u: Float[AnyArray, "d r"], counts: Float[Array, "s d"]) -> Estimate:
    def one(seen: Array) -> Estimate:
        gradient_and_hessian = partial(_derivatives, u, seen, 0.0, 0.0)
        best = newton.minimise(gradient_and_hessian, jnp.zeros(u.shape[1]), tolerance=_TOLERANCE)
        # Along a direction in which scores differ by at most M, |f'''| <= M f'': a Newton step that
        # moves scores by less than 1 has a minimum ahead, one on the way to infinity never does.
        gradient, hessian = gradient_and_hessian(best.theta)
        step = jnp.asarray(u) @ newton.factorise(hessian)(gradient)
        exists = (jnp.ptp(step) < 0.5) & (seen.sum() > 0)
        return Estimate(_law(u, best.theta), best.converged & exists, jnp.ones(()))

    return jax.lax.map(one, counts, batch_size=_SUBJECTS_AT_ONCE)


@partial(jax.jit, static_argnames=("n_draws", "exact"))
def _posterior_mean(
    u: Float[AnyArray, "d r"],
    counts: Float[Array, "s d"],
    mean: Float[AnyArray, ""],
    scale: Float[AnyArray, ""],
    key: Key[Array, ""],
    *,
    n_draws: int,
    exact: bool,
) -> Estimate:
    """Mean of P_t over the posterior of t, or over its Laplace approximation."""
    steps, log_density = _steps(key, n_draws, u.shape[1], exact)

    def one(seen: Array) -> Estimate:
        derivatives = partial(_derivatives, u, seen, mean, scale**-2)
        best = newton.minimise(derivatives, jnp.full(u.shape[1], mean), tolerance=_TOLERANCE)
        _, hessian = derivatives(best.theta)
        root = jnp.linalg.cholesky((seen.sum() + scale**-2) * hessian)
        moves = jax.scipy.linalg.solve_triangular(root.T, steps.T, lower=False).T
        subjects = best.theta[None, :] + moves
        log_laws = jax.nn.log_softmax(subjects @ jnp.asarray(u).T, axis=-1)
        log_prior = -0.5 * jnp.sum(((subjects - mean) / scale) ** 2, axis=1)
        log_weight = log_laws @ seen + log_prior - log_density if exact else jnp.zeros(n_draws)
        weight = jax.nn.softmax(log_weight)
        ess = 1 / jnp.sum(weight**2) / n_draws
        found = best.converged & (ess >= _LEAST_SAMPLE)
        return Estimate(weight @ jnp.exp(log_laws), found, ess)

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


class Bound(NamedTuple):
    """The published bound ``KL ≤ first/√d + second · log d/√n`` (arXiv 2406.03628)."""

    first: float
    second: float

    def at(self, d: float | ArrayLike, n: float | ArrayLike) -> np.ndarray:
        """The bound for d tokens and n seeds."""
        d, n = np.asarray(d, float), np.asarray(n, float)
        return np.asarray(self.first / np.sqrt(d) + self.second * np.log(d) / np.sqrt(n))


def tightest_bound(d: ArrayLike, n: ArrayLike, divergence: ArrayLike) -> Bound:
    """The constants of the lowest bound that holds at all points: a linear programme.

    "Lowest" is by the mean ratio of the bound to the divergence, so that it touches two points
    (one, if a constant is zero).

    Args:
        d: tokens at each point [P].
        n: seeds at each point, at least one [P].
        divergence: mean KL there, positive [P].

    Raises:
        ValueError: a number is out of range, or the lengths differ.
    """
    from scipy.optimize import linprog

    d, n, divergence = (np.asarray(values, float) for values in (d, n, divergence))
    if d.ndim != 1 or not len(d) or d.shape != n.shape or d.shape != divergence.shape:
        raise ValueError(
            "the bound needs as many d as n and KL, at least one; got shapes "
            f"{d.shape}, {n.shape} and {divergence.shape}."
        )
    positive = np.isfinite(divergence) & (divergence > 0)
    if not (np.all(d >= 2) and np.all(n >= 1) and np.all(positive)):
        raise ValueError(
            "the bound is for at least 2 tokens, 1 seed and a KL that is finite and positive; got "
            f"d = {d.tolist()}, n = {n.tolist()}, KL = {divergence.tolist()}."
        )
    parts = np.stack([1 / np.sqrt(d), np.log(d) / np.sqrt(n)], axis=1)
    relative = parts / divergence[:, None]
    found = linprog(relative.mean(axis=0), A_ub=-relative, b_ub=-np.ones(len(d)))
    return Bound(*(float(value) for value in found.x))


def risk_bound(
    losses: Float[AnyArray, "*b d"], divergence: Float[AnyArray, "*b"]
) -> Float[Array, "*b"]:
    """Largest bias ``|E_Q ℓ − E_P ℓ|`` for a KL: ``osc(ℓ) √(KL/2)`` by Pinsker's inequality.

    Args:
        losses: ℓ at each token (and label) [..., d].
        divergence: KL(P‖Q) in nats [...].
    """
    values = jnp.asarray(losses)
    return jnp.ptp(values, axis=-1) * jnp.sqrt(jnp.asarray(divergence) / 2)
