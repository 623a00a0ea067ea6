"""References for generators: against quadrature, a linear programme, hand counts and each other."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.special import log_softmax

from opal import checks
from opal.settings import Alphabet, Prior
from opal.theory import generator

D, SUBJECTS, DRAWS = 5, 400, 500
ALPHABETS = {r: Alphabet.random(D, r, eta=0.5, key=r) for r in (1, 2)}
PRIOR = Prior(scale=0.7, mean=0.3)
WRONG = Prior(scale=0.6, mean=3.0)


def seeds_of(n: int, rank: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """True laws of subjects of the prior, and counts of n seeds of each; [S, d] both."""
    rng = np.random.default_rng(n)
    subjects = PRIOR.mean + PRIOR.scale * rng.normal(size=(SUBJECTS, rank))
    laws = np.exp(np.asarray(ALPHABETS[rank].log_law(subjects)))
    return laws, rng.multinomial(n, laws).astype(float)


def by_quadrature(alphabet: Alphabet, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean of P_t and its spread, on a grid of subjects."""
    axis = PRIOR.mean + PRIOR.scale * np.linspace(-7, 7, 201)
    grid = np.stack(np.meshgrid(*[axis] * alphabet.rank), axis=-1).reshape(-1, alphabet.rank)
    log_laws = log_softmax(grid @ np.asarray(alphabet.embeddings).T / alphabet.eta, axis=1)
    log_prior = -0.5 * np.sum(((grid - PRIOR.mean) / PRIOR.scale) ** 2, axis=1)
    weight = np.exp(log_prior + log_laws @ counts - np.max(log_prior + log_laws @ counts))
    weight /= weight.sum()
    laws = np.exp(log_laws)
    mean = weight @ laws
    return mean, np.sqrt(weight @ (laws - mean) ** 2)


bayes = partial(generator.bayes, n_draws=DRAWS)
laplace = partial(generator.laplace, n_draws=DRAWS)
SEEN = np.array([[0, 0, 0, 0, 0], [3, 0, 0, 0, 0], [1, 0, 2, 0, 1], [4, 9, 2, 30, 1]], float)


@pytest.mark.parametrize("rank", [1, 2])
def test_bayes_is_the_posterior_mean_on_a_grid(rank: int) -> None:
    found = bayes(ALPHABETS[rank], SEEN, PRIOR, key=0)
    assert np.asarray(found.found).all()
    assert np.asarray(found.ess).min() > 0.5
    z = []
    for seen, law, ess in zip(SEEN, found.law, found.ess, strict=True):
        mean, spread = by_quadrature(ALPHABETS[rank], seen)
        z += list((np.asarray(law) - mean) / (spread / np.sqrt(DRAWS * float(ess))))
    check = checks.within_standard_errors("bayes", z)
    assert check.passed, check
    np.testing.assert_allclose(np.asarray(found.law).sum(axis=1), 1, rtol=1e-12)


def test_the_grid_tells_another_prior_apart() -> None:
    """Negative control of the test above."""
    found = bayes(ALPHABETS[2], SEEN, WRONG, key=0)
    for seen, law in zip(SEEN, found.law, strict=True):
        mean, spread = by_quadrature(ALPHABETS[2], seen)
        assert np.abs((np.asarray(law) - mean) / (spread / np.sqrt(DRAWS))).max() > 10


def test_laplace_without_seeds_is_the_prior_and_with_many_is_bayes() -> None:
    laws, counts = seeds_of(4000)
    counts[0] = 0
    gaussian, exact = (of(ALPHABETS[2], counts, PRIOR, key=0).law for of in (laplace, bayes))
    mean, spread = by_quadrature(ALPHABETS[2], counts[0])
    assert np.abs((np.asarray(gaussian[0]) - mean) / (spread / np.sqrt(DRAWS))).max() < 4
    apart = np.asarray(generator.kl(exact, gaussian))[1:].mean()
    assert apart < 0.02 * np.asarray(generator.kl(laws, exact))[1:].mean()


def test_few_draws_far_from_the_posterior_are_flagged() -> None:
    """With a handful of draws one of them may carry all weight."""
    found = bayes(ALPHABETS[2], SEEN, PRIOR, key=0, n_draws=12)
    ess = np.asarray(found.ess)
    np.testing.assert_array_equal(found.found, ess >= 0.1)
    assert ((ess > 0) & (ess <= 1)).all()


def test_bayes_loses_half_a_nat_for_each_dimension_and_seed() -> None:
    n, rank = 4000, 2
    laws, counts = seeds_of(n)
    divergence = np.asarray(generator.kl(laws, bayes(ALPHABETS[rank], counts, PRIOR, key=0).law))
    error = divergence.std() / np.sqrt(SUBJECTS)
    assert abs(divergence.mean() - rank / (2 * n)) < 3 * error
    assert abs(divergence.mean() - D / (2 * n)) > 6 * error  # one dimension for each token


@pytest.mark.parametrize("n", [2, 16])
def test_no_reference_beats_bayes_under_its_prior(n: int) -> None:
    laws, counts = seeds_of(n)
    alphabet = ALPHABETS[2]
    best = np.asarray(generator.kl(laws, bayes(alphabet, counts, PRIOR, key=0).law))
    likely = generator.maximum_likelihood(alphabet, counts)
    others = {
        "add half": generator.add_half(counts),
        "wrong prior": bayes(alphabet, counts, WRONG, key=0).law,
        "prior": bayes(alphabet, 0 * counts, PRIOR, key=0).law,
        "maximum likelihood": likely.law,
    }
    for name, law in others.items():
        # Which seeds have a most likely subject depends on the seeds alone, so Bayes is best there.
        kept = np.asarray(likely.found) if name == "maximum likelihood" else slice(None)
        gap = (np.asarray(generator.kl(laws, law)) - best)[kept]
        if name != "maximum likelihood" or len(gap) > 30:
            assert gap.mean() > 3 * gap.std() / np.sqrt(len(gap)), name


def test_counts_beat_a_wrong_prior_until_the_seeds_overrule_it() -> None:
    gaps = {}
    for n in (2, 4000):
        laws, counts = seeds_of(n)
        wrong = bayes(ALPHABETS[2], counts, WRONG, key=0).law
        gap = np.asarray(generator.kl(laws, wrong) - generator.kl(laws, generator.add_half(counts)))
        gaps[n] = gap.mean() / (gap.std() / np.sqrt(SUBJECTS))
    assert gaps[2] > 4
    assert gaps[4000] < -4


def interior(alphabet: Alphabet, counts: np.ndarray) -> bool:
    """Whether the mean embedding is in the hull with positive weights on all tokens."""
    u = np.asarray(alphabet.embeddings)
    equal = np.block([[u.T, np.zeros((u.shape[1], 1))], [np.ones(D), np.zeros(1)]])
    right = np.append(counts @ u / counts.sum(), 1)
    at_least = np.hstack([-np.eye(D), np.ones((D, 1))])
    found = linprog(
        np.append(np.zeros(D), -1), at_least, np.zeros(D), equal, right, bounds=(None, None)
    )
    return bool(-found.fun > 1e-9)


@pytest.mark.parametrize("rank", [1, 2])
def test_maximum_likelihood_exists_inside_the_hull(rank: int) -> None:
    rng = np.random.default_rng(rank)
    counts = np.stack([rng.multinomial(n, np.full(D, 1 / D)) for n in rng.integers(1, 4, SUBJECTS)])
    counts = counts.astype(float)
    found = generator.maximum_likelihood(ALPHABETS[rank], counts)
    expected = [interior(ALPHABETS[rank], seen) for seen in counts]
    assert 0.05 < np.mean(expected) < 0.95
    np.testing.assert_array_equal(found.found, expected)
    # There the fitted mean embedding is that of the seeds.
    u = np.asarray(ALPHABETS[rank].embeddings)
    seen = counts @ u / counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose((np.asarray(found.law) @ u)[expected], seen[expected], atol=1e-8)
    assert not generator.maximum_likelihood(ALPHABETS[rank], np.zeros((SUBJECTS, D))).found.any()


def test_add_half_by_hand() -> None:
    found = generator.add_half(np.array([[0.0, 0, 0], [2, 0, 1]]))
    np.testing.assert_allclose(found, [[1 / 3] * 3, [2.5 / 4.5, 0.5 / 4.5, 1.5 / 4.5]])


def test_divergences_by_hand() -> None:
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.25, 0.5])
    assert float(generator.kl(p, q)) == pytest.approx(np.log(2))
    assert float(generator.kl(q, p)) == np.inf
    assert float(generator.kl(p, p)) == 0
    assert float(generator.total_variation(p, q)) == pytest.approx(0.5)


def test_pinsker_bounds_distance_and_bias() -> None:
    rng = np.random.default_rng(0)
    p, q = (rng.dirichlet(np.full(D, 0.4), size=500) for _ in range(2))
    loss = rng.normal(size=(500, D))
    divergence = np.asarray(generator.kl(p, q))
    assert (np.asarray(generator.total_variation(p, q)) <= np.sqrt(divergence / 2)).all()
    bias = np.abs(np.sum((q - p) * loss, axis=1))
    bound = np.asarray(generator.risk_bound(loss, divergence))
    assert (bias <= bound).all()
    assert (bias > 0.25 * bound).any()  # it is not idle
    assert (bias > generator.risk_bound(loss, divergence / 16)).any()


def test_pinsker_is_tight_for_two_tokens_of_almost_equal_chance() -> None:
    """``KL = 2ε² + O(ε⁴)`` and the bias is ε of the oscillation: no constant can be spared."""
    p, q = np.array([0.5, 0.5]), np.array([0.52, 0.48])
    loss = np.array([1.0, -2.0])
    bias = abs((q - p) @ loss)
    bound = float(generator.risk_bound(loss, generator.kl(p, q)))
    assert bias <= bound <= 1.001 * bias


def test_the_tightest_bound_holds_and_touches() -> None:
    d, n = (a.ravel() for a in np.meshgrid([32.0, 64, 256], [4.0, 16, 64]))
    divergence = 0.2 / np.sqrt(d) + 0.1 * np.log(d) / np.sqrt(n)
    exact = generator.tightest_bound(d, n, divergence)
    np.testing.assert_allclose(exact, (0.2, 0.1), rtol=1e-8)
    decaying = 4 / (2 * n) * (1 + 0.1 * np.log(d))
    bound = generator.tightest_bound(d, n, decaying)
    slack = bound.at(d, n) / decaying - 1
    assert slack.min() > -1e-9
    assert np.sum(slack < 1e-9) >= (2 if min(bound) > 0 else 1)
    lower = generator.Bound(0.99 * bound.first, 0.99 * bound.second)
    assert (lower.at(d, n) < decaying).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: bayes(ALPHABETS[2], np.zeros((1, 4)), PRIOR, key=0),
            "counts must be [..., 5], one number for each token of the alphabet; got shape (1, 4)",
        ),
        (
            lambda: laplace(ALPHABETS[2], SEEN, PRIOR, key=0, n_draws=0),
            "n_draws must be a whole number of at least 1; got 0",
        ),
        (
            lambda: generator.tightest_bound([32], [4, 8], [0.1, 0.2]),
            "the bound needs as many d as n and KL, at least one; got shapes (1,), (2,) and (2,)",
        ),
        (
            lambda: generator.tightest_bound([32], [0], [0.1]),
            "the bound is for at least 2 tokens, 1 seed and a KL that is finite and positive; got",
        ),
        (lambda: generator.tightest_bound([32], [4], [np.inf]), "KL = [inf]"),
        (lambda: generator.tightest_bound([32], [4], [0.0]), "KL = [0.0]"),
    ],
)
def test_bad_input_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_leading_axes_and_precision_are_kept() -> None:
    with jax.enable_x64(False):
        found = bayes(ALPHABETS[2], SEEN.reshape(2, 2, D), PRIOR, key=0)
    assert found.law.shape == (2, 2, D)
    assert found.found.shape == found.ess.shape == (2, 2)
    assert found.law.dtype == "float64"
    flat = bayes(ALPHABETS[2], jnp.asarray(SEEN), PRIOR, key=jax.random.key(0)).law
    np.testing.assert_array_equal(found.law.reshape(-1, D), flat)
