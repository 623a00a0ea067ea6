"""One contract for every synthesizer (DESIGN, section 3)."""

from __future__ import annotations

import re
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opal import checks, losses
from opal.losses import LOSSES
from opal.settings import Alphabet, FiniteLaw, GaussianLaw, GaussianMixture, Sample
from opal.synthesis import (
    Adasyn,
    Bias,
    Duplication,
    GaussianFit,
    Law,
    Oracle,
    Smote,
    Synthesizer,
)
from opal.synthesis.generations import Generations
from opal.synthesis.token_counts import TokenCounts
from opal.synthesis.transformer.gaussian_generator import GaussianGenerator
from opal.synthesis.transformer.generator import TokenGenerator
from opal.synthesis.transformer.model import Decoder, ModelConfig
from opal.synthesis.transformer.quantise import Quantiser

SETTING = GaussianMixture(
    [[-0.6, 0.0], [0.6, 0.3]], [[[1.0, 0.3], [0.3, 1.0]], [[1.0, 0.0], [0.0, 1.0]]]
)
LAW = SETTING.law
BIAS = Bias(mean_shift=0.4, covariance_scale=[1.0, 0.5], rotation=0.5, label_flip=0.2)
# Tokens at five places, of which each class has a table.
TABLE = FiniteLaw(
    np.stack([np.outer([0.1, 0.2, 0.3, 0.2, 0.2], y) for y in np.eye(2)]),
    np.array([[0.0, 1.0], [1.0, 0.5], [-1.0, 0.0], [0.3, -0.7], [2.0, 0.1]]),
    SETTING.groups,
)
# Of four bins, and of the five tokens; they have learnt nothing, but follow what they read.
BINS, TOKENS = (Decoder(ModelConfig(vocab, 13, 16, 1, 2, mlp_ratio=2), key=0) for vocab in (5, 6))
SYNTHESIZERS: dict[str, Synthesizer] = {
    "oracle": Oracle(LAW),
    "biased oracle": Oracle.biased(LAW, BIAS),
    "duplication": Duplication(),
    "random duplication": Duplication(in_turn=False),
    "smote": Smote(3),
    "adasyn": Adasyn(3),
    "gaussian fit": GaussianFit(),
    "shrunk gaussian fit": GaussianFit(0.3),
    "oracle of tokens": Oracle(TABLE),
    "token counts": TokenCounts(TABLE.features),
    "generations of gaussian fits": Generations(GaussianFit(), 4, 9, n_fresh=1),
    "quantised transformer": GaussianGenerator(BINS, 2, Quantiser(4), n_context=5),
    "transformer": TokenGenerator(TOKENS, Alphabet(np.asarray(TABLE.features)), n_context=5),
}
COPIES = {"duplication", "random duplication"}
FLIPS = {"biased oracle"}
NO_POPULATION = {
    *("smote", "adasyn", "token counts", "generations of gaussian fits"),
    *("quantised transformer", "transformer"),
}
SEEDS = SETTING.sample((30, 12), key=0)
COUNTS = (7, 25)
MANY = 20_000


class Made(NamedTuple):
    """What a synthesizer makes of the seeds under a key, small and large, and what its law says."""

    few: Sample
    again: Sample
    other: Sample
    many: Sample
    risks: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]


def fitted(synthesizer: Synthesizer, seeds: Sample) -> Law:
    return synthesizer.fit(seeds, SETTING.groups, key=jax.random.key(1))


def traced(synthesizer: Synthesizer, seeds: Sample) -> Law:
    """The fitted law without its numbers: checks on the host run, nothing is compiled."""
    law: Law = jax.eval_shape(partial(fitted, synthesizer), seeds)
    return law


@jax.jit
def risk_of(law: GaussianLaw) -> jax.Array:
    return law.group_risk(THETA)


@partial(jax.jit, static_argnames="counts")
def draw(synthesizer: Synthesizer, seeds: Sample, counts: tuple[int, ...], seed: int) -> Sample:
    return fitted(synthesizer, seeds).sample(counts, key=jax.random.key(seed))


@jax.jit
def law_says(
    synthesizer: Synthesizer, seeds: Sample, theta: jax.Array
) -> dict[str, tuple[jax.Array, jax.Array]]:
    law = fitted(synthesizer, seeds)
    return {loss: (law.group_risk(theta, loss), law.group_error(theta, loss)) for loss in LOSSES}


THETA = jnp.array([1.1, -0.4, 0.2])


@pytest.fixture(scope="module", params=SYNTHESIZERS)
def made(request: pytest.FixtureRequest) -> tuple[str, Made]:
    synthesizer = SYNTHESIZERS[request.param]
    few, again, other = (draw(synthesizer, SEEDS, COUNTS, seed) for seed in (2, 2, 3))
    many = draw(synthesizer, SEEDS, (MANY, MANY), 4)
    said = law_says(synthesizer, SEEDS, THETA)
    risks = {loss: np.asarray(risk) for loss, (risk, _) in said.items()}
    errors = {loss: np.asarray(error) for loss, (_, error) in said.items()}
    return request.param, Made(few, again, other, many, risks, errors)


def test_it_is_a_synthesizer() -> None:
    for synthesizer in SYNTHESIZERS.values():
        assert isinstance(synthesizer, Synthesizer)
        assert isinstance(traced(synthesizer, SEEDS), Law)
    assert len({synthesizer.name for synthesizer in SYNTHESIZERS.values()}) >= 7


def test_counts_and_types_are_exact(made: tuple[str, Made]) -> None:
    few = made[1].few
    assert few.counts == COUNTS
    assert few.x.shape == (sum(COUNTS), 2)
    assert few.x.dtype == SEEDS.x.dtype == "float64"
    assert few.y.shape == (sum(COUNTS),)
    assert np.issubdtype(few.y.dtype, np.integer)
    assert np.isfinite(few.x).all()


def test_labels_are_the_groups_own(made: tuple[str, Made]) -> None:
    name, out = made
    if name in FLIPS:
        wrong = np.asarray(out.many.y != jnp.repeat(jnp.arange(2), MANY)).reshape(2, -1)
        z = (wrong.mean(axis=1) - 0.2) / np.sqrt(0.2 * 0.8 / MANY)
        assert np.abs(z).max() < checks.z_threshold(2)
    else:
        np.testing.assert_array_equal(out.few.y, np.repeat([0, 1], COUNTS))


def test_the_key_decides(made: tuple[str, Made]) -> None:
    name, out = made
    np.testing.assert_array_equal(out.few.x, out.again.x)
    np.testing.assert_array_equal(out.few.y, out.again.y)
    if name != "duplication":  # copies in turn have no randomness
        assert not np.array_equal(out.few.x, out.other.x)


def test_real_rows_are_returned_by_duplication_only(made: tuple[str, Made]) -> None:
    name, out = made
    real = {tuple(row) for row in np.asarray(SEEDS.x).tolist()}
    copies = [tuple(row) in real for row in np.asarray(out.many.x).tolist()]
    assert all(copies) if name in COPIES else not any(copies)


def test_its_law_has_the_risks_and_errors_of_its_rows(made: tuple[str, Made]) -> None:
    name, out = made
    scores = out.many.x @ THETA[:2, None] + THETA[2]
    z_scores = []
    for loss in LOSSES:
        labels = out.many.y[:, None]
        risk = jnp.take_along_axis(losses.values(scores, 2, loss), labels, axis=1)[:, 0]
        wrong = losses.predictions(scores, 2, loss) != out.many.y
        for sampled, said in ((risk, out.risks[loss]), (wrong.astype(float), out.errors[loss])):
            groups = np.asarray(sampled).reshape(2, MANY)
            error = groups.std(axis=1) / np.sqrt(MANY)
            z_scores += list((groups.mean(axis=1) - said) / error)
    level = 0.01 / len(SYNTHESIZERS)  # of a false alarm in any of them
    check = checks.within_standard_errors(f"law of {name}", z_scores, level=level)
    assert check.passed, check


@pytest.mark.parametrize("name", SYNTHESIZERS)
def test_replicates_are_mapped(name: str) -> None:
    """Inside ``jit`` and ``vmap`` each replicate gets what it gets on its own."""
    synthesizer = SYNTHESIZERS[name]

    @jax.jit
    @jax.vmap
    def replicate(seed: jax.Array) -> jax.Array:
        seeds = LAW.sample((9, 6), key=jax.random.key(seed))
        return fitted(synthesizer, seeds).sample((2, 5), key=jax.random.key(seed + 100)).x

    batch = replicate(jnp.arange(3))
    assert batch.shape == (3, 7, 2)
    np.testing.assert_allclose(batch[1:2], replicate(jnp.arange(1, 2)), atol=1e-12)
    assert not np.allclose(batch[0], batch[1])


@pytest.mark.parametrize(
    ("name", "least", "remedy"),
    [
        ("duplication", 1, ""),
        ("random duplication", 1, ""),
        ("smote", 4, "lower n_neighbours (k of them need k + 1 seeds), "),
        ("adasyn", 4, "lower n_neighbours (k of them need k + 1 seeds), "),
        ("gaussian fit", 3, "set shrinkage > 0 (then 2 are enough), "),  # d + 1
        ("shrunk gaussian fit", 2, ""),
        ("generations of gaussian fits", 6, "lower n_fresh, "),  # three are kept back
    ],
)
def test_too_few_seeds_are_refused(name: str, least: int, remedy: str) -> None:
    synthesizer = SYNTHESIZERS[name]
    enough, seeds = (
        Sample(
            jnp.ones((least + 3 + n, 2)),
            jnp.repeat(jnp.arange(2), jnp.array([least + 3, n])),
            (least + 3, n),
        )
        for n in (least, least - 1)
    )
    traced(synthesizer, enough)
    message = (
        f"{synthesizer.name} needs at least {least} {'seed' if least == 1 else 'seeds'} in every "
        f"group; group 'class 1' has {least - 1}. Collect more, {remedy}or leave"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        traced(synthesizer, seeds)


def test_oracles_need_no_seeds() -> None:
    nothing = Sample(jnp.zeros((0, 2)), jnp.zeros(0, int), (0, 0))
    assert fitted(Oracle(TABLE), nothing) is TABLE
    assert fitted(Oracle(LAW), nothing) is LAW


@pytest.mark.parametrize("name", SYNTHESIZERS)
def test_a_population_law_is_where_large_fits_end_up(name: str) -> None:
    synthesizer = SYNTHESIZERS[name]
    population = synthesizer.population(LAW)
    if name == "oracle of tokens":
        assert population is not None
        assert population.law is TABLE  # of rows of its own
        return
    if name in NO_POPULATION:
        assert population is None
        return
    assert population is not None
    n = MANY
    seeds = draw(Oracle(LAW), SEEDS, (n, n), 8)
    risks = law_says(synthesizer, seeds, THETA)["logistic"][0]
    # Of a sample of n rows, however it is used: at most the error of a mean of n losses.
    scores = seeds.x @ THETA[:2, None] + THETA[2]
    loss = jnp.take_along_axis(losses.values(scores, 2, "logistic"), seeds.y[:, None], axis=1)
    error = np.asarray(loss).reshape(2, n).std(axis=1) / np.sqrt(n)
    z = (np.asarray(risks) - np.asarray(risk_of(population.law))) / error
    assert np.abs(z).max() < checks.z_threshold(2)
    if name == "shrunk gaussian fit":
        moved = np.abs(population.law.covariances - LAW.covariances).max()
        assert moved == pytest.approx(0.3 * 0.3)  # off-diagonal entries shrink by γ


def test_there_is_no_gaussian_limit_for_groups_of_several_modes() -> None:
    two_modes = GaussianMixture(np.zeros((2, 2, 2))).law
    assert GaussianFit().population(two_modes) is None
    flipped = LAW.biased(Bias(label_flip=0.1))
    assert GaussianFit().population(flipped) is None
