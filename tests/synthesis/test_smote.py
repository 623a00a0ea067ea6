"""SMOTE and ADASYN against imbalanced-learn on the same seeds, and against their definitions."""

from __future__ import annotations

import re
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from opal.settings import GaussianMixture, Sample
from opal.synthesis import Adasyn, Smote
from opal.synthesis.smote import SegmentLaw

SETTING = GaussianMixture([[-0.7, 0.0, 0.0], [0.7, 0.4, 0.0]])
SEEDS = SETTING.sample((60, 25), key=4)
N, M, K = 25, 6000, 5
LEVEL = 1e-3


@partial(jax.jit, static_argnames="counts")
def draw(synthesizer: Smote, counts: tuple[int, int], seed: int) -> Sample:
    law = synthesizer.fit(SEEDS, SETTING.groups, key=jax.random.key(0))
    return law.sample(counts, key=jax.random.key(seed))


@jax.jit
def law_of(synthesizer: Smote, seeds: Sample) -> SegmentLaw:
    return synthesizer.fit(seeds, SETTING.groups, key=jax.random.key(0))


def ours(synthesizer: Smote, seed: int = 1) -> np.ndarray:
    return np.asarray(draw(synthesizer, (0, M), seed).x)


def theirs(name: str, k: int, seed: int = 0) -> np.ndarray:
    """The rows that imbalanced-learn adds to the minority."""
    package = pytest.importorskip("imblearn.over_sampling")
    x, y = np.asarray(SEEDS.x), np.asarray(SEEDS.y)
    wanted = {1: N + M}
    if name == "SMOTE":
        sampler = package.SMOTE(sampling_strategy=wanted, k_neighbors=k, random_state=seed)
    else:
        sampler = package.ADASYN(sampling_strategy=wanted, n_neighbors=k, random_state=seed)
    made, labels = sampler.fit_resample(x, y)
    assert (labels[len(x) :] == 1).all()
    return made[len(x) :]


def segments_of(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which pair of minority seeds each point lies between, and how far along."""
    seeds = np.asarray(SEEDS.x[60:])
    first, second = np.triu_indices(N, 1)
    along = seeds[second] - seeds[first]
    offset = points[:, None, :] - seeds[first][None]
    step = np.sum(offset * along, axis=2) / np.sum(along**2, axis=1)
    distance = np.linalg.norm(offset - step[..., None] * along, axis=2)
    distance[(step < -1e-9) | (step > 1 + 1e-9)] = np.inf
    nearest = distance.argmin(axis=1)
    rows = np.arange(len(points))
    assert distance[rows, nearest].max() < 1e-9  # every point lies on some segment
    return nearest, step[rows, nearest]


def p_values(left: np.ndarray, right: np.ndarray) -> list[float]:
    """Tests that two samples have one law: segments, place on the segment, and projections."""
    (pair_left, step_left), (pair_right, step_right) = segments_of(left), segments_of(right)
    used = np.union1d(pair_left, pair_right)
    table = [[np.sum(pair == u) for u in used] for pair in (pair_left, pair_right)]
    directions = np.random.default_rng(0).normal(size=(4, left.shape[1]))
    return [
        stats.chi2_contingency(np.array(table)).pvalue,
        stats.ks_2samp(step_left, step_right).pvalue,
        *(stats.ks_2samp(left @ v, right @ v).pvalue for v in directions),
    ]


@pytest.mark.parametrize(("name", "synthesizer"), [("SMOTE", Smote(K)), ("ADASYN", Adasyn(K))])
def test_rows_have_the_law_of_imbalanced_learn(name: str, synthesizer: Smote) -> None:
    values = p_values(ours(synthesizer), theirs(name, K))
    assert min(values) > LEVEL / len(values), values


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("SMOTE", Smote(K - 1)),
        ("SMOTE", Adasyn(K)),
        ("ADASYN", Adasyn(K + 1)),
        ("ADASYN", Smote(K)),  # shares that do not look at the other group
    ],
)
def test_another_law_is_told_from_imbalanced_learns(name: str, wrong: Smote) -> None:
    values = p_values(ours(wrong), theirs(name, K))
    assert min(values) < LEVEL / len(values), values


def test_steps_are_uniform_and_seeds_equally_likely() -> None:
    pairs, steps = segments_of(ours(Smote(K)))
    assert stats.kstest(steps, "uniform").pvalue > LEVEL
    _, near = NearestNeighbors(n_neighbors=K + 1).fit(SEEDS.x[60:]).kneighbors(SEEDS.x[60:])
    expected = np.zeros((N, N))
    for i, row in enumerate(near[:, 1:]):
        expected[i, row] += M / (N * K)
    first, second = np.triu_indices(N, 1)
    both = (expected + expected.T)[first, second]
    counted = np.bincount(pairs, minlength=len(both))
    assert (counted[both == 0] == 0).all()
    assert stats.chisquare(counted[both > 0], both[both > 0]).pvalue > LEVEL


def test_neighbours_are_the_nearest_and_never_the_seed_itself() -> None:
    law = law_of(Smote(K), SEEDS)
    for g, found in enumerate(law.neighbours):
        x = np.asarray(SEEDS.x[SEEDS.rows(g)])
        _, near = NearestNeighbors(n_neighbors=K + 1).fit(x).kneighbors(x)
        np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(near[:, 1:], axis=1))


def test_neighbours_of_data_far_from_the_origin_are_right() -> None:
    far = Sample(SEEDS.x + 1e5, SEEDS.y, SEEDS.counts)
    near, moved = (law_of(Smote(K), s).neighbours[1] for s in (SEEDS, far))
    np.testing.assert_array_equal(np.sort(near, axis=1), np.sort(moved, axis=1))


def test_a_repeated_row_is_its_twins_neighbour() -> None:
    x = jnp.array([[0.0], [5.0], [6.0], [2.0], [2.0], [3.0]])
    seeds = Sample(x, jnp.array([0, 0, 0, 1, 1, 1]), (3, 3))
    law = law_of(Smote(1), seeds)
    np.testing.assert_array_equal(law.neighbours[1][:2, 0], [1, 0])


def test_shares_are_the_fractions_of_strangers() -> None:
    law = law_of(Adasyn(K), SEEDS)
    x, group = np.asarray(SEEDS.x), SEEDS.group
    _, near = NearestNeighbors(n_neighbors=K + 1).fit(x).kneighbors(x)
    strangers = (group[near[:, 1:]] != group[:, None]).mean(axis=1)
    for g in (0, 1):
        expected = strangers[group == g] / strangers[group == g].sum()
        np.testing.assert_allclose(law.shares[g], expected, atol=1e-12)
        assert len(np.unique(expected)) > 2


def test_seeds_are_used_in_proportion_to_their_shares() -> None:
    # Neighbours far apart: each point betrays the seed it starts from by its nearest coordinate.
    law = law_of(Adasyn(K), SEEDS)
    shares = np.asarray(law.shares[1])
    pairs, _ = segments_of(ours(Adasyn(K)))
    first, second = np.triu_indices(N, 1)
    expected = np.zeros((N, N))
    for i, row in enumerate(np.asarray(law.neighbours[1])):
        expected[i, row] += M * shares[i] / K
    both = (expected + expected.T)[first, second]
    counted = np.bincount(pairs, minlength=len(both))
    assert (counted[both == 0] == 0).all()
    assert stats.chisquare(counted[both > 0], both[both > 0]).pvalue > LEVEL


def test_shares_are_equal_where_nobody_is_near() -> None:
    x = np.random.default_rng(0).normal(size=(14, 1)) + np.repeat([[-50.0], [50.0]], [8, 6], axis=0)
    law = law_of(
        Adasyn(3), Sample(jnp.asarray(x), jnp.repeat(jnp.arange(2), np.array([8, 6])), (8, 6))
    )
    np.testing.assert_allclose(law.shares[1], np.full(6, 1 / 6))


@pytest.mark.parametrize("m", [1, 2, 7, 24, 26, 1000])
def test_few_rows_are_shared_out_exactly(m: int) -> None:
    sample = draw(Adasyn(K), (0, m), 3)
    assert sample.x.shape == (m, 3)
    pairs, _ = segments_of(np.asarray(sample.x))
    assert len(pairs) == m


def test_points_stay_between_seeds() -> None:
    points = ours(Smote(K))
    seeds = np.asarray(SEEDS.x[60:])
    assert (points >= seeds.min(axis=0)).all()
    assert (points <= seeds.max(axis=0)).all()


def test_three_classes_have_an_exact_risk_but_no_exact_error() -> None:
    three = GaussianMixture([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    theta = jnp.array([1.0, 0.5, 0.2, -0.3, 0.4, 0.1])

    @jax.jit
    def made(key: jax.Array) -> tuple[SegmentLaw, jax.Array, Sample]:
        seeds = three.sample((6, 7, 8), key=key)
        law = Smote(2).fit(seeds, three.groups, key=key)
        return law, law.group_risk(theta), law.sample((4000,) * 3, key=key)

    law, risk, rows = made(jax.random.key(0))
    u = np.hstack([rows.x @ theta.reshape(2, 3)[:, :2].T + theta.reshape(2, 3)[:, 2][None, :]])
    logits = np.hstack([np.zeros((len(u), 1)), u])
    loss = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(u)), np.asarray(rows.y)]
    loss = loss.reshape(3, -1)
    z = (loss.mean(axis=1) - risk) / (loss.std(axis=1) / np.sqrt(4000))
    assert np.abs(z).max() < 4
    with pytest.raises(ValueError, match=re.escape("two classes; sample instead")):
        law.group_error(theta)


@pytest.mark.parametrize(("kind", "name"), [(Smote, "SMOTE"), (Adasyn, "ADASYN")])
@pytest.mark.parametrize("k", [0, 2.5])
def test_no_neighbours_are_refused(kind: type[Smote], name: str, k: Any) -> None:
    message = f"n_neighbours of {name} must be a whole number of at least 1; got {k}."
    with pytest.raises(ValueError, match=re.escape(message)):
        kind(k)


def test_distance_from_a_seed_grows_with_the_number_of_neighbours() -> None:
    seeds = np.asarray(SEEDS.x[60:])
    reach = [
        np.linalg.norm(ours(Smote(k))[:, None, :] - seeds[None], axis=2).min(axis=1).mean()
        for k in (1, 5, 20)
    ]
    assert all(a < b for a, b in pairwise(reach))
