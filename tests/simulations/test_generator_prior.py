"""The study of a wrong prior: theory against Bayes, weights and crossings against hand counts."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from opal.checks import z_threshold
from opal.cli import main
from opal.records import read
from opal.risk import mean_and_std_error
from opal.settings import Alphabet, Prior
from opal.theory import prior as of_prior
from opal.theory.generator import bayes as posterior
from opal.theory.generator import kl
from simulations import _prior
from simulations import generator_prior as study

ALPHABET = Alphabet.random(8, 2, eta=1.0, key=3)
SUBJECTS, N = 512, (1, 4, 16, 64)
LEARNT, RIGHT = Prior(), Prior(0.5, 1.5)


def laws_and_counts() -> tuple[np.ndarray, np.ndarray]:
    """P_t of subjects of the right prior [S, d], and their first n seeds [N, S, d]."""
    rng = np.random.default_rng(0)
    subjects = RIGHT.mean + RIGHT.scale * rng.normal(size=(SUBJECTS, 2))
    laws = np.exp(np.asarray(ALPHABET.log_law(subjects)))
    more = np.diff([0, *N])
    return laws, np.cumsum([rng.multinomial(n, laws) for n in more], axis=0).astype(float)


SWAPPED = {
    study.EXPANSION: study.EXPANSION_MATCHED,
    study.EXPANSION_MATCHED: study.EXPANSION,
    f"{study.EXPANSION}, mode": f"{study.EXPANSION_MATCHED}, mode",
    f"{study.EXPANSION_MATCHED}, mode": f"{study.EXPANSION}, mode",
}
LAWS, COUNTS = laws_and_counts()


@pytest.fixture(scope="module")
def bayes() -> dict[Prior, np.ndarray]:
    # All subjects share the draws, so their number must be large beside that of the subjects.
    made = {p: posterior(ALPHABET, COUNTS, p, key=0, n_draws=3200) for p in (LEARNT, RIGHT)}
    assert all(estimate.found.all() for estimate in made.values())
    return {prior: np.asarray(estimate.law) for prior, estimate in made.items()}


def expected(prior: Prior) -> of_prior.Expansion:
    return of_prior.expansion(ALPHABET, LAWS, prior, N)


def divergence(laws: np.ndarray) -> np.ndarray:
    return np.asarray(kl(np.broadcast_to(LAWS, laws.shape), laws))


def z_of(differences: np.ndarray) -> np.ndarray:
    """Mean over standard error for each n."""
    mean, error = mean_and_std_error(differences.T)
    return np.asarray(mean / error)


def test_the_price_of_a_wrong_prior_is_as_expected(bayes: dict[Prior, np.ndarray]) -> None:
    paid = divergence(bayes[LEARNT]) - divergence(bayes[RIGHT])
    theory = expected(LEARNT).kl - expected(RIGHT).kl
    assert np.abs(z_of(paid - theory)).max() < z_threshold(len(N))
    assert (z_of(paid)[:3] > 5).all()  # the right prior's theory, which expects no price


def test_the_pull_of_the_prior_is_as_expected(bayes: dict[Prior, np.ndarray]) -> None:
    """For each feature, beyond the square of the loop's share; and not that of the right prior."""
    left = (LAWS - bayes[LEARNT]) @ ALPHABET.embeddings
    z = {}
    for prior in (LEARNT, RIGHT):
        theory = expected(prior)
        pulled, of_mode = (
            of_prior.pull(subject, prior, N, ALPHABET.eta)
            for subject in (theory.posterior_mean, theory.mode)
        )
        mean, error = mean_and_std_error(np.moveaxis(left - pulled, 1, 0))
        expects = pulled.mean(axis=1)
        order = (expects - of_mode.mean(axis=1)) ** 2 / np.abs(expects)
        z[prior] = np.clip(np.abs(mean) - order, 0, None) / error
    assert z[LEARNT].max() < z_threshold(z[LEARNT].size)
    assert (z[RIGHT].max(axis=1) > z_threshold(z[RIGHT].size)).all()


def test_expected_kl_is_r_over_2n_and_what_the_prior_adds() -> None:
    """(13.17), by sums over tokens."""
    n, r = 4000, 2
    gap = {p: of_prior.expansion(ALPHABET, LAWS, p, (n,)).kl[0] for p in (LEARNT, RIGHT)}
    u = ALPHABET.embeddings
    centred = u[None] - (LAWS @ u)[:, None]
    fisher = np.einsum("sd,sdi,sdj->sij", LAWS, centred, centred)
    third = np.einsum("sd,sdi,sdj,sdk->sijk", LAWS, centred, centred, centred)
    inverse = np.linalg.inv(fisher)
    tau = np.einsum("sij,sjkl,skl->si", inverse, third, inverse)
    score = np.linalg.lstsq(u - u.mean(axis=0), _centred_logs(), rcond=None)[0].T

    def second(prior: Prior) -> np.ndarray:
        slope = -(score - prior.mean) / prior.scale**2
        bent = 0.5 * np.einsum("si,sij,sj->s", slope, inverse, slope)
        narrow = np.trace(inverse, axis1=1, axis2=2) / prior.scale**2
        return np.asarray(bent - narrow - np.sum(slope * tau, axis=1)) / n**2

    for prior, other in ((LEARNT, RIGHT), (RIGHT, LEARNT)):
        beyond = gap[prior] - r / 2 * np.log1p(1 / n)
        size = np.abs(second(prior)).mean()
        assert np.abs(beyond - second(prior)).mean() < 0.05 * size
        assert np.abs(beyond - second(other)).mean() > 0.5 * size


def _centred_logs() -> np.ndarray:
    logs = np.log(LAWS)
    return np.asarray((logs - logs.mean(axis=1, keepdims=True)).T)


def test_without_seeds_nothing_is_redundant() -> None:
    """So that KL without seeds is the redundancy of one."""
    with jax.enable_x64(True):
        numbers = (jax.numpy.asarray(each) for each in (0.0, 1.0, LAWS[0], 0.0))
        u = jax.numpy.asarray(ALPHABET.embeddings)
        redundancy, mean, mode, _ = of_prior._expand_one(u, *numbers)
    np.testing.assert_allclose(redundancy, 0, atol=1e-12)
    np.testing.assert_allclose([mean, mode], 0, atol=1e-12)


def test_the_weight_is_a_ratio_of_means() -> None:
    rng = np.random.default_rng(1)
    whole = rng.normal(size=(4000, 3)) * rng.exponential(size=(4000, 1))
    share = np.array([0.6, 0.3])[:, None, None]
    weight = _prior.Weight.of(share * whole + rng.normal(size=(2, 4000, 3)), whole)
    assert np.abs((weight.mean() - [0.6, 0.3]) / weight.std_error()).max() < 4
    assert (weight.std_error() < 0.03).all()


def test_seeds_to_half_are_where_the_odds_are_even() -> None:
    """Odds proportional to n, inside the n and before them; and a prior that stays."""
    n, whole = np.array([1, 2, 4, 8]), np.ones(20)
    for half in (3.0, 0.4):
        weight = _prior.Weight(np.outer(1 / (1 + n / half), whole), whole)
        found = _prior.seeds_to_half(n, weight, key=0)
        assert found == pytest.approx((half, half, half))
    stays = _prior.Weight(np.outer(np.full(4, 0.9), whole), whole)
    assert _prior.seeds_to_half(n, stays, key=0) == (np.inf, np.inf, np.inf)


def test_seeds_to_overtake() -> None:
    n, each = np.array([1, 2, 4, 8]), np.ones((1, 20))
    counts = np.array([[8.0], [4.0], [2.0], [1.0]]) @ each
    assert _prior.seeds_to_overtake(n, counts, 4 * each[[0] * 4], key=0).value == pytest.approx(2)
    assert _prior.seeds_to_overtake(n, counts, 9 * each[[0] * 4], key=0).value == 0
    assert _prior.seeds_to_overtake(n, counts, 0.9 * counts, key=0).value == np.inf
    noisy = 3 * np.random.default_rng(0).uniform(0.5, 1.5, (1, 20)) * np.ones((4, 1))
    found = _prior.seeds_to_overtake(n, counts, noisy, key=0)
    assert 2 < found.low < found.value < found.high < 4


@pytest.mark.slow
def test_the_study_compares_and_checks_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "generator_prior", "--preset", "tiny", "--json", "--out", str(tmp_path)]
    assert main(words) == 0
    records = read(Path(json.loads(capsys.readouterr().out)["records"]))
    table = study.comparison(records).set_index(["mean", "arm"])
    assert len(table) == 2 * len(study.PRESETS["tiny"].priors)
    assert ((table["n_half_low"] <= table["n_half"]) & (table["n_half"] > 0)).all()
    assert (table["n_half"] <= table["n_half_high"]).all()
    assert (table.xs("Bayes", level="arm")["ratio"] == 1).all()
    assert table.loc[(0.0, "Bayes"), "matched"] == 1 < table.loc[(2.0, "Bayes"), "matched"]
    verdicts = {check.name: check.passed for check in study.checks(records)}
    assert verdicts["counts carry d/2 seeds"]
    assert verdicts["the prior weighs what it should"]
    swapped = records.assign(arm=records["arm"].replace(SWAPPED))
    refused = {check.name for check in study.checks(swapped) if not check.passed}
    assert {"the prior weighs what it should", "the right prior does not say it"} <= refused


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_seeds": (1, 4, 8)}, "n_seeds must increase from 0, the prior predictive"),
        ({"n_seeds": (0, 8, 4)}, "interpolate between; got (0, 8, 4)."),
        ({"n_seeds": (0, 4)}, "with two numbers after it to interpolate between; got (0, 4)."),
        ({"n_seeds": ()}, "n_seeds needs at least one value"),
        ({"n_seeds": (0, 4, 9)}, "context must be a whole number of at least 10; got 9."),
        ({"priors": ((1.0, 1.0),)}, "with (1.0, 0.0) of the training among them"),
        ({"priors": ((1.0, 0.0), (1.0, 0.0))}, "priors must be different"),
        ({"priors": ((1.0, 0.0), (0.0, 0.0))}, "scale must be a finite number of at least 1e-6"),
        ({"eta": 0.0}, "eta must be a finite number of at least 1e-3; got 0.0."),
        ({"n_subjects": 1}, "n_subjects must be a whole number of at least 2; got 1."),
        ({"n_draws": 0}, "n_draws must be a whole number of at least 1; got 0."),
        ({"depth": 0}, "depth must be a whole number of at least 1; got 0."),
    ],
)
def test_what_cannot_be_computed_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        study.cells(replace(study.PRESETS["tiny"], **fields))
