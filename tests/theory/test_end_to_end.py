"""Risk predicted from a generator's exact laws, against training on what it makes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opal.draws import as_key, named, replicate_keys
from opal.newton import minimise
from opal.objective import Design
from opal.settings import Alphabet, FiniteLaw, Group, Sample, TokenSetting
from opal.simulation import replicate_metrics
from opal.theory.end_to_end import ExcessGivenSeeds, draw_seeds, excess_of_seeds, first_order
from opal.training_rows import Fitted, generator_rows

D, R, REPLICATES = 12, 2, 600
ALPHABET = Alphabet.random(D, R, eta=0.7, key=3)
PAIRS = TokenSetting.drawn(ALPHABET, n_labels=2, key=6)


@dataclass(frozen=True)
class Described:
    """A law with a name, which is all that a simulation asks of a setting."""

    law: FiniteLaw
    name: str


# The names of its groups are those of the pairs, so that both share what is compiled.
CLASSES = Described(
    replace(TokenSetting.drawn(ALPHABET, key=5).law, groups=PAIRS.groups), "classes"
)
COUNTS, N_AUGMENTED = (300, 40), 300


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Smoothed:
    """A generator that adds its first seeds to what it expected: ``(seen + strength Q) / sum``.

    Attributes:
        expected: Q, known before any seed.
        n_seeds: seeds that it is shown of each group [G]; its context is full then.
        strength: how many seeds its expectation is worth.
    """

    expected: FiniteLaw
    n_seeds: np.ndarray
    strength: np.ndarray | np.float64
    name: str = field(default="smoothed", metadata={"static": True})
    min_seeds: int = field(default=1, metadata={"static": True})

    def seen(self, rows: Sample) -> jax.Array:
        """Counts of the seeds [G, d, K]."""
        place = np.concatenate([np.arange(n) for n in rows.counts])
        shown = jnp.asarray(place) < jnp.asarray(self.n_seeds)[rows.group]
        none = jnp.zeros(self.expected.table.shape)
        tokens = self.expected.tokens(rows.x)
        return none.at[rows.group, tokens, rows.y].add(shown.astype(float))

    def made(self, seen: jax.Array) -> jax.Array:
        """Its law after seeds [..., G, d, K]."""
        raised = seen + self.strength * jnp.broadcast_to(self.expected.table, seen.shape)
        return raised / raised.sum(axis=(-2, -1), keepdims=True)

    def fit(self, seeds: Sample, groups: tuple[Group, ...], *, key: jax.Array) -> FiniteLaw:
        """Its law after the seeds."""
        del groups, key
        return self.expected.with_table(self.made(self.seen(seeds)))

    def population(self, truth: object) -> None:
        """Not known to the theory of Gaussian groups."""
        del truth


def off(law: FiniteLaw) -> FiniteLaw:
    """What a generator expects whose idea of the tokens is blurred."""
    blurred = 0.6 * law.table + 0.4 * law.table.mean(axis=1, keepdims=True)
    return law.with_table(blurred)


class Cell(NamedTuple):
    setting: Described | TokenSetting
    alpha: float
    n_seeds: tuple[int, int]
    strength: float
    n_shared: tuple[int, int] | None = (
        None  # of the seeds, in training; the first rows of it if None
    )


# Balanced weights: the objective is the same for every cell of a setting but for numbers.
CELLS = {
    "classes, few seeds": Cell(CLASSES, 0.5, (4, 4), 10.0),
    "classes, the whole small group": Cell(CLASSES, 0.4, (300, 40), 10.0),
    "classes, mostly synthetic": Cell(CLASSES, 0.9, (20, 20), 30.0),
    "pairs, none of one group": Cell(PAIRS, 0.5, (0, 16), 20.0),
    "pairs, the whole small group": Cell(PAIRS, 0.4, (40, 40), 4.0),
    "pairs, rows of its own": Cell(PAIRS, 0.4, (40, 40), 4.0, (0, 0)),
    "pairs, more than training": Cell(PAIRS, 0.4, (40, 90), 4.0, (40, 40)),
}
SHARED = "pairs, the whole small group"


def designed(cell: Cell) -> tuple[Smoothed, Design]:
    shown, strength = np.array(cell.n_seeds, float), np.float64(cell.strength)
    maker = Smoothed(off(cell.setting.law), shown, strength)
    design = Design(COUNTS, maker, N_AUGMENTED, cell.alpha, "none", "group")
    if cell.n_shared is not None:
        design = design.with_(n_generator=cell.n_seeds, n_shared=cell.n_shared)
    return maker, design


class Outcome(NamedTuple):
    simulated: np.ndarray  # [R]
    seen: np.ndarray  # in training
    shown: np.ndarray  # in training or not
    made: np.ndarray
    predicted: ExcessGivenSeeds  # from the same seeds


@partial(jax.jit, static_argnames="fitted")
def seeds_of_replicates(
    law: FiniteLaw, maker: Smoothed, keys: jax.Array, fitted: Fitted
) -> tuple[jax.Array, jax.Array]:
    """Seeds that are in training, and all."""
    fewer: Any = jnp.minimum(maker.n_seeds, jnp.array(fitted[1], float))
    most = replace(maker, n_seeds=fewer)

    def of_replicate(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        real = law.sample(COUNTS, key=named(key, "real"))
        return most.seen(real), maker.seen(generator_rows(law, real, fitted, key=key))

    return jax.lax.map(of_replicate, keys)


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """Whole replicates of every cell, beside what is predicted from their seeds."""
    found = {}
    for name, cell in CELLS.items():
        maker, design = designed(cell)
        law, key = cell.setting.law, as_key(11)
        metrics = replicate_metrics(
            cell.setting, design, key=key, n_replicates=REPLICATES, calibration=False
        )
        assert metrics["separated"].max() == 0
        keys = replicate_keys(key, jnp.arange(REPLICATES))
        fitted = (design.n_fitted, design.n_in_training)
        seen, every = map(np.asarray, seeds_of_replicates(law, maker, keys, fitted))
        made = np.asarray(maker.made(jnp.asarray(every)))
        predicted = excess_of_seeds(law, design, seen, made)
        found[name] = Outcome(metrics["excess_balanced_risk"], seen, every, made, predicted)
    return found


def gap(simulated: np.ndarray, predicted: np.ndarray) -> tuple[float, float]:
    """Relative difference of the means, and its z-score over replicates."""
    apart = simulated - predicted
    z = apart.mean() / (apart.std() / np.sqrt(len(apart)))
    return float(abs(apart.mean()) / simulated.mean()), float(abs(z))


def agrees(simulated: np.ndarray, predicted: np.ndarray) -> bool:
    """Within 3 standard errors or 3 %."""
    relative, z = gap(simulated, predicted)
    return relative < 0.03 or z < 3


@pytest.mark.parametrize("name", CELLS)
def test_predicted_is_simulated(name: str, outcomes: dict[str, Outcome]) -> None:
    simulated, predicted = outcomes[name].simulated, outcomes[name].predicted
    assert agrees(simulated, predicted.total), gap(simulated, predicted.total)
    np.testing.assert_allclose(predicted.total, predicted.floor + predicted.spread)


@pytest.mark.parametrize("name", CELLS)
def test_leaving_out_the_spread_is_caught(name: str, outcomes: dict[str, Outcome]) -> None:
    simulated, predicted = outcomes[name].simulated, outcomes[name].predicted
    assert not agrees(simulated, predicted.floor), gap(simulated, predicted.floor)


def test_seeds_of_its_own_are_caught(outcomes: dict[str, Outcome]) -> None:
    """A generator with other seeds than the training set's: the shared covariance is left out."""
    simulated, seen, _, made, _ = outcomes[SHARED]
    other = excess_of_seeds(PAIRS.law, designed(CELLS[SHARED])[1], seen, np.roll(made, 1, axis=0))
    assert not agrees(simulated, other.total), gap(simulated, other.total)


def test_taking_other_seeds_for_training_rows_is_caught(outcomes: dict[str, Outcome]) -> None:
    """Seeds of its own are no training rows, and training rows that it saw are seeds."""
    own, more = (outcomes[f"pairs, {name}"] for name in ("rows of its own", "more than training"))
    for outcome, seen in ((own, own.shown), (more, np.zeros_like(more.seen))):
        wrong = excess_of_seeds(PAIRS.law, designed(CELLS[SHARED])[1], seen, outcome.made)
        assert not agrees(outcome.simulated, wrong.total), gap(outcome.simulated, wrong.total)


def test_fresh_seeds_predict_as_well(outcomes: dict[str, Outcome]) -> None:
    """No replicate is looked at: seeds are drawn by the theory."""
    name = "pairs, none of one group"
    cell = CELLS[name]
    maker, design = designed(cell)
    seen = draw_seeds(PAIRS.law, cell.n_seeds, key=5, n_draws=REPLICATES)
    np.testing.assert_array_equal(seen.sum(axis=(0, 2, 3)), REPLICATES * np.array(cell.n_seeds))
    made = np.asarray(maker.made(jnp.asarray(seen)))
    predicted = excess_of_seeds(PAIRS.law, design, seen, made).total
    simulated = outcomes[name].simulated
    error = np.hypot(simulated.std(), predicted.std()) / np.sqrt(REPLICATES)
    assert abs(simulated.mean() - predicted.mean()) < 4 * error


def test_first_order_parts_add_up_to_the_simulation(outcomes: dict[str, Outcome]) -> None:
    """With the whole small group as seeds the law varies little, and one expansion is enough."""
    simulated, seen, _, made, _ = outcomes[SHARED]
    design = designed(CELLS[SHARED])[1]
    parts = first_order(PAIRS.law, design, seen, made)
    error = simulated.std() / np.sqrt(REPLICATES)
    assert abs(parts.total - simulated.mean()) < max(3 * error, 0.03 * parts.total)
    assert abs(parts.total - parts.shared - simulated.mean()) > 3 * error
    assert parts.total == pytest.approx(sum(parts))
    assert min(parts.bias, parts.real, parts.synthetic, parts.generator, parts.shared) > 0
    own = first_order(PAIRS.law, design, seen, np.roll(made, 1, axis=0))
    assert abs(own.shared) < 0.2 * parts.shared
    assert own.generator == pytest.approx(parts.generator)


def test_a_fixed_generator_has_no_noise_of_its_own() -> None:
    seen = draw_seeds(PAIRS.law, (0, 0), key=1, n_draws=REPLICATES)
    made = np.broadcast_to(off(PAIRS.law).table, seen.shape)
    design = designed(CELLS[SHARED])[1]
    parts = first_order(PAIRS.law, design, seen, made)
    assert parts.generator == pytest.approx(0, abs=1e-15)
    assert parts.shared == 0
    given = excess_of_seeds(PAIRS.law, design, seen, made)
    np.testing.assert_allclose(given.total, parts.total, rtol=1e-8)
    np.testing.assert_allclose(given.floor, parts.bias, rtol=1e-8)


def test_the_expansion_is_that_of_the_map_from_tables_to_risks() -> None:
    """Against second differences of table ↦ excess risk, with the covariance of the table."""
    cell = CELLS["classes, few seeds"]
    maker, design = designed(cell)
    law, (rows, weights) = CLASSES.law, (design.row_counts(), design.row_weights())
    seen = draw_seeds(law, cell.n_seeds, key=2, n_draws=2)
    made = np.asarray(maker.made(jnp.asarray(seen)))
    others = rows.real - seen[0].sum(axis=(1, 2))
    best = law.optimum()

    @jax.jit
    @jax.vmap
    def excess(table: jax.Array) -> jax.Array:
        whole = law.with_table(table.reshape(1, D, 2))
        theta = minimise(
            lambda at: (whole.group_gradient(at)[0], whole.group_hessian(at)[0]),
            best,
            tolerance=1e-13,
        ).theta
        return law.group_risk(theta).mean() - law.group_risk(best).mean()

    mean, covariance = np.zeros(2 * D), np.zeros((2 * D, 2 * D))
    for g in range(2):
        real, fake = law.table[g].ravel(), made[0, g].ravel()
        mean += weights.real[g] * (seen[0, g].ravel() + others[g] * real)
        mean += weights.augmented[g] * N_AUGMENTED * fake
        for n, w, p in (
            (others[g], weights.real[g], real),
            (N_AUGMENTED, weights.augmented[g], fake),
        ):
            covariance += n * w**2 * (np.diag(p) - np.outer(p, p))
    sizes, directions = np.linalg.eigh(covariance)
    steps = 0.02 * np.sqrt(np.clip(sizes, 0, None)) * directions
    # Fourth-order second differences along the covariance's axes, and the middle.
    tables = np.stack([mean + k * step for step in steps.T for k in (-2, -1, 0, 1, 2)])
    values = np.asarray(excess(jnp.asarray(tables))).reshape(-1, 5)
    bends = values @ np.array([-1, 16, -30, 16, -1]) / 12 / 0.02**2
    said = excess_of_seeds(law, design, seen, made)
    np.testing.assert_allclose(said.floor[0], values[0, 2], rtol=1e-9)
    np.testing.assert_allclose(said.spread[0], 0.5 * bends.sum(), rtol=1e-4)


def test_no_minimiser_is_no_number() -> None:
    """Seeds that are all the rows, and that a line separates."""
    law = CLASSES.law
    design = Design((2, 2))
    seen = np.zeros((2, *law.table.shape))
    ends = np.argsort(np.asarray(ALPHABET.embeddings)[:, 0])[[0, -1]]
    seen[:, [0, 1], ends, [0, 1]] = 2
    made = np.broadcast_to(law.table, seen.shape)
    assert np.isnan(excess_of_seeds(law, design, seen, made).total).all()


def test_what_does_not_fit_is_refused() -> None:
    maker, design = designed(CELLS[SHARED])
    law = PAIRS.law
    seen = draw_seeds(law, (3, 3), key=0, n_draws=2)
    made = np.asarray(maker.made(jnp.asarray(seen)))
    cases: list[tuple[Callable[[], object], str]] = [
        (
            lambda: excess_of_seeds(law, design, seen[:, :, 1:], made),
            "seen must be [S, G, d, K] with (2, 12, 2) after S; got shape (2, 2, 11, 2)",
        ),
        (lambda: excess_of_seeds(law, design, seen, made[:1]), "made must be [S, G, d, K]"),
        (
            lambda: excess_of_seeds(law, replace(design, counts=(2, 9)), seen, made),
            "seeds that are training rows are at most [2, 9]; got [3, 3]",
        ),
        (
            lambda: excess_of_seeds(law, replace(design, counts=(9, 9, 9)), seen, made),
            "counts needs one number for each of the 2 groups",
        ),
        (
            lambda: first_order(law, replace(design, loss="squared"), seen, made),
            "with its own threshold; got loss 'squared', ridge 0.0, threshold 'fitted'",
        ),
        (
            lambda: first_order(law, design, seen[:1], made[:1]),
            "at least two draws of seeds; got 1",
        ),
        (lambda: draw_seeds(law, (3, -1), key=0, n_draws=2), "group 1 has -1"),
        (lambda: draw_seeds(law, (3, 1), key=0, n_draws=0), "n_draws must be a whole number"),
    ]
    for make, message in cases:
        with pytest.raises(ValueError, match=re.escape(message)):
            make()
