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

from opal.arrays import AnyArray
from opal.draws import as_key
from opal.settings.groups import validate_count
from opal.settings.tokens import Alphabet, Prior
from opal.theory import posterior


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


class LawEstimate(NamedTuple):
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


def maximum_likelihood(alphabet: Alphabet, counts: Float[AnyArray, "*b d"]) -> LawEstimate:
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
    return _for_all(posterior.most_likely, alphabet, counts)


def laplace(
    alphabet: Alphabet,
    counts: Float[AnyArray, "*b d"],
    prior: Prior,
    *,
    key: int | Key[Array, ""],
    n_draws: int = 2000,
) -> LawEstimate:
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
) -> LawEstimate:
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
) -> LawEstimate:
    validate_count(n_draws, "n_draws", minimum=1)
    of_all = partial(posterior.mean_law, n_draws=n_draws, exact=exact)
    with jax.enable_x64(True):
        numbers = (np.float64(prior.mean), np.float64(prior.scale), as_key(key))
        return _for_all(of_all, alphabet, counts, *numbers)


def _for_all(
    of_all: Callable[..., posterior.Found], alphabet: Alphabet, counts: AnyArray, *numbers: object
) -> LawEstimate:
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
        return LawEstimate(*(part.reshape(*shape, *part.shape[1:]) for part in found))


class Bound(NamedTuple):
    """The published bound ``KL ≤ first/√d + second · log d/√n`` (arXiv 2406.03628)."""

    first: float
    second: float

    def at(self, d: int | float | ArrayLike, n: int | float | ArrayLike) -> np.ndarray:
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
