"""Decoders as synthesizers: the contract of every synthesizer, and the exact law given seeds."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opal import checks, losses
from opal.arrays import AnyArray
from opal.losses import LOSSES
from opal.objective import Design
from opal.settings import FiniteLaw, Sample
from opal.settings.groups import Group
from opal.settings.tokens import Alphabet, TokenSetting
from opal.simulation import replicate_metrics, simulate
from opal.synthesis import Law, Synthesizer
from opal.synthesis.transformer.generator import (
    PairGenerator,
    TokenGenerator,
    laws_after,
    pair_laws_after,
)
from opal.synthesis.transformer.model import Decoder, ModelConfig
from opal.synthesis.transformer.sample import laws_along

D, K, CONTEXT = 5, 2, 17
ALPHABET = Alphabet.random(D, 2, key=0)
Generator = TokenGenerator | PairGenerator


@jax.jit
def decoders() -> tuple[Decoder, Decoder]:
    sizes = [ModelConfig(vocab, CONTEXT, 16, 1, 2, mlp_ratio=2) for vocab in (D + 1, D + K + 1)]
    return Decoder(sizes[0], key=1), Decoder(sizes[1], key=2)


OF_TOKENS, OF_PAIRS = decoders()
# Any parameters will do: what is said about the law given seeds holds for all of them.
GENERATORS: dict[str, Generator] = {
    "transformer": TokenGenerator(OF_TOKENS, ALPHABET, temperature=0.8, n_context=6),
    "pair transformer": PairGenerator(OF_PAIRS, ALPHABET, top_p=0.95, n_context=6),
}
SETTINGS = {
    "transformer": TokenSetting.drawn(ALPHABET, 2, key=3),
    "pair transformer": TokenSetting.drawn(ALPHABET, 2, n_labels=K, key=3),
}
COUNTS, MANY = (7, 25), 200_000
SEED_COUNTS = (10, 4)
THETA = jnp.array([1.1, -0.4, -0.15])  # some tokens on either side


class Made(NamedTuple):
    """What a generator makes of the seeds under a key, small and large, and what its law says."""

    few: Sample
    again: Sample
    other: Sample
    many: Sample
    law: FiniteLaw
    said: dict[str, tuple[np.ndarray, np.ndarray]]


def seeds_of(name: str, seed: int = 0) -> Sample:
    return SETTINGS[name].sample(SEED_COUNTS, key=seed)


@partial(jax.jit, static_argnames="groups")
def fitted(generator: Generator, seeds: Sample, groups: tuple[Group, ...]) -> FiniteLaw:
    return generator.fit(seeds, groups, key=jax.random.key(1))


@partial(jax.jit, static_argnames="counts")
def draw(law: FiniteLaw, counts: tuple[int, ...], seed: int) -> Sample:
    return law.sample(counts, key=jax.random.key(seed))


@jax.jit
def law_says(law: FiniteLaw, theta: jax.Array) -> dict[str, tuple[jax.Array, jax.Array]]:
    return {loss: (law.group_risk(theta, loss), law.group_error(theta, loss)) for loss in LOSSES}


@pytest.fixture(scope="module", params=GENERATORS)
def made(request: pytest.FixtureRequest) -> tuple[str, Made]:
    name = request.param
    law = fitted(GENERATORS[name], seeds_of(name), SETTINGS[name].groups)
    # Names of groups decide nothing here, and both laws share what is compiled.
    plain = replace(law, groups=SETTINGS["transformer"].groups)
    few, again, other = (draw(plain, COUNTS, seed) for seed in (2, 2, 3))
    said = {loss: (np.asarray(r), np.asarray(e)) for loss, (r, e) in law_says(plain, THETA).items()}
    return name, Made(few, again, other, draw(plain, (MANY, MANY), 4), law, said)


def test_it_is_a_synthesizer(made: tuple[str, Made]) -> None:
    name, out = made
    assert isinstance(GENERATORS[name], Synthesizer)
    assert GENERATORS[name].name == name
    assert isinstance(out.law, Law)
    table = np.asarray(out.law.table)
    assert table.dtype == np.float64
    assert table.min() >= 0
    np.testing.assert_allclose(table.sum(axis=(1, 2)), 1, atol=1e-12)


def test_counts_and_types_are_exact(made: tuple[str, Made]) -> None:
    few = made[1].few
    assert few.counts == COUNTS
    assert few.x.shape == (sum(COUNTS), 2)
    assert few.x.dtype == "float64"
    assert few.y.shape == (sum(COUNTS),)
    assert np.issubdtype(few.y.dtype, np.integer)


def test_rows_are_tokens_of_the_alphabet(made: tuple[str, Made]) -> None:
    """All rows are: on a finite alphabet a drawn token may be one that was seen."""
    known = {tuple(row) for row in ALPHABET.embeddings.tolist()}
    assert {tuple(row) for row in np.asarray(made[1].few.x).tolist()} <= known


def test_labels(made: tuple[str, Made]) -> None:
    name, out = made
    if name == "transformer":
        np.testing.assert_array_equal(out.few.y, np.repeat([0, 1], COUNTS))
    else:
        assert set(np.asarray(out.many.y).tolist()) == {0, 1}


def test_the_key_decides(made: tuple[str, Made]) -> None:
    _, out = made
    np.testing.assert_array_equal(out.few.x, out.again.x)
    np.testing.assert_array_equal(out.few.y, out.again.y)
    assert not np.array_equal(out.few.x, out.other.x)


def test_its_law_has_the_risks_and_errors_of_its_rows(made: tuple[str, Made]) -> None:
    name, out = made
    scores = out.many.x @ THETA[:2, None] + THETA[2]
    z_scores = []
    for loss in LOSSES:
        labels = out.many.y[:, None]
        risk = jnp.take_along_axis(losses.values(scores, 2, loss), labels, axis=1)[:, 0]
        wrong = losses.predictions(scores, 2, loss) != out.many.y
        for sampled, said in zip((risk, wrong.astype(float)), out.said[loss], strict=True):
            groups = np.asarray(sampled).reshape(2, MANY)
            error = groups.std(axis=1) / np.sqrt(MANY)
            z_scores += list((groups.mean(axis=1) - said) / error)
    check = checks.within_standard_errors(f"law of {name}", z_scores)
    assert check.passed, check


def test_the_law_is_the_decoders_given_the_first_seeds(made: tuple[str, Made]) -> None:
    """Read again without a cache: groups with 6 (of 10) and 4 seeds."""
    name, out = made
    seeds, generator = seeds_of(name), GENERATORS[name]
    tokens = np.asarray(out.law.tokens(seeds.x))
    for g, n in enumerate((6, 4)):
        x = tokens[seeds.rows(g)][:n]
        if name == "transformer":
            law = laws_along(generator.decoder, x[None], temperature=0.8)[0, -1]
            expected = np.outer(law, np.eye(2)[g])
        else:
            pairs = np.stack([x, D + np.asarray(seeds.y)[seeds.rows(g)][:n]], axis=1).ravel()
            expected = pair_law_by_hand(pairs)
        np.testing.assert_allclose(out.law.table[g], expected, atol=1e-6)


def pair_law_by_hand(pairs: np.ndarray) -> np.ndarray:
    longer = np.array([[*pairs, x] for x in range(D)])
    laws = np.asarray(laws_along(OF_PAIRS, longer))

    def cut(law: np.ndarray) -> np.ndarray:
        law, order = law / law.sum(), np.argsort(-law)
        kept = order[: 1 + int((np.cumsum(law[order]) < 0.95).sum())]
        return np.where(np.isin(np.arange(len(law)), kept), law, 0) / law[kept].sum()

    given = np.stack([cut(laws[x, -1, D:]) for x in range(D)])
    return cut(laws[0, -2, :D])[:, None] * given


def test_later_rows_are_not_read(made: tuple[str, Made]) -> None:
    name, out = made
    seeds, groups = seeds_of(name), SETTINGS[name].groups
    table = np.asarray(out.law.table)
    unread = replace(seeds, x=seeds.x.at[6:10].set(seeds.x[0]), y=seeds.y.at[6:10].set(0))
    np.testing.assert_array_equal(fitted(GENERATORS[name], unread, groups).table, table)
    other = jnp.where(seeds.x[5] == seeds.x[0], seeds.x[1], seeds.x[0])
    read = fitted(GENERATORS[name], replace(seeds, x=seeds.x.at[5].set(other)), groups).table
    assert np.abs(np.asarray(read) - table)[0].max() > 1e-4
    np.testing.assert_allclose(read[1], table[1], atol=1e-7)


@pytest.mark.parametrize("name", GENERATORS)
def test_without_seeds_the_law_is_the_prior_predictive(name: str) -> None:
    groups, generator = SETTINGS[name].groups, GENERATORS[name]
    one_group = Sample(seeds_of(name).x[:4], seeds_of(name).y[:4], (0, 4))
    unread = replace(generator, n_context=0)

    @jax.jit
    def tables(seeds: Sample) -> list[AnyArray]:
        fits = ((generator, one_group), (unread, seeds))
        return [g.fit(rows, groups, key=jax.random.key(0)).table for g, rows in fits]

    table, both = (np.asarray(found) for found in tables(seeds_of(name)))
    np.testing.assert_allclose(both[0], table[0], atol=1e-6)
    np.testing.assert_allclose(both[1].sum(axis=1), both[0].sum(axis=1), atol=1e-7)
    nothing = Sample(jnp.zeros((0, 2)), jnp.zeros(0, int), (0, 0))
    shape = jax.eval_shape(partial(generator.fit, groups=groups, key=jax.random.key(0)), nothing)
    assert shape.table.shape == both.shape
    assert np.abs(table[1].sum(axis=1) - table[0].sum(axis=1)).max() > 1e-3
    if name == "transformer":
        law = laws_along(OF_TOKENS, np.zeros((1, 0), np.int32), temperature=0.8)[0, 0]
        np.testing.assert_allclose(both[0, :, 0], law, atol=1e-6)
        assert (both[0, :, 1] == 0).all()


@pytest.mark.parametrize("name", GENERATORS)
def test_replicates_are_mapped(name: str) -> None:
    """Inside ``jit`` and ``vmap`` each replicate gets what it gets on its own."""
    generator, setting = GENERATORS[name], SETTINGS[name]

    @jax.jit
    @jax.vmap
    def tables(seeds: jax.Array) -> tuple[Sample, AnyArray]:
        drawn = setting.law.sample(SEED_COUNTS, key=jax.random.key(seeds))
        return drawn, generator.fit(drawn, setting.groups, key=jax.random.key(0)).table

    rows, batch = tables(jnp.arange(3))
    for r in range(3):
        alone = fitted(generator, Sample(rows.x[r], rows.y[r], SEED_COUNTS), setting.groups)
        np.testing.assert_allclose(batch[r], alone.table, atol=1e-6)
    assert not np.allclose(batch[0], batch[1], atol=1e-3)


def test_classifiers_are_trained_on_what_it_makes() -> None:
    name = "transformer"
    design = Design(SEED_COUNTS, GENERATORS[name], n_augmented=8, alpha=0.5)
    metrics = replicate_metrics(SETTINGS[name], design, key=0, n_replicates=4, calibration=False)
    assert all(np.isfinite(values).all() for values in metrics.values())
    assert metrics["excess_balanced_risk"].shape == (4,)
    assert (metrics["excess_balanced_risk"] > 0).all()


def test_many_sets_of_seeds_at_once() -> None:
    tokens = np.random.default_rng(0).integers(0, D, (5, 6))
    laws = laws_after(OF_TOKENS, tokens, temperature=0.8, batch=2)
    assert laws.shape == (5, D)
    assert laws.dtype == np.float64
    right = laws_along(OF_TOKENS, tokens, temperature=0.8)[:, -1]
    np.testing.assert_allclose(laws, right, atol=1e-6)
    labels = np.random.default_rng(1).integers(D, D + K, (5, 6))
    pairs = np.stack([tokens, labels], axis=2).reshape(5, 12)
    tables = pair_laws_after(OF_PAIRS, pairs, D, top_p=0.95)
    assert tables.shape == (5, D, K)
    for table, symbols in zip(tables, pairs, strict=True):
        np.testing.assert_allclose(table, pair_law_by_hand(symbols), atol=1e-6)


def test_seeds_off_the_alphabet() -> None:
    """Refused where they are known; inside ``jit`` they are the nearest token."""
    name = "transformer"
    generator, groups, seeds = GENERATORS[name], SETTINGS[name].groups, seeds_of(name)
    moved = replace(seeds, x=seeds.x.at[2].add(1e-3))
    message = "seeds must be tokens of the alphabet: row 2 with the features ["
    with pytest.raises(ValueError, match=re.escape(message)):
        generator.fit(moved, groups, key=jax.random.key(0))
    near, right = (fitted(generator, rows, groups).table for rows in (moved, seeds))
    np.testing.assert_array_equal(near, right)
    wide = replace(seeds, x=jnp.zeros((14, 3)))
    with pytest.raises(ValueError, match=r"must have the 2 features of the alphabet; got 3\. Take"):
        generator.fit(wide, groups, key=jax.random.key(0))
    lost = replace(seeds, x=seeds.x.at[1, 0].set(jnp.nan))
    with pytest.raises(ValueError, match="row 1 with the features"):
        generator.fit(lost, groups, key=jax.random.key(0))


def test_more_seeds_than_the_context_holds_are_refused_before_work_starts() -> None:
    for generator, setting, most in (
        (TokenGenerator(OF_TOKENS, ALPHABET), SETTINGS["transformer"], CONTEXT - 1),
        (PairGenerator(OF_PAIRS, ALPHABET), SETTINGS["pair transformer"], (CONTEXT - 2) // 2),
    ):
        design = Design((most + 1, 4), generator)
        message = f"must fit the model's context of {CONTEXT} positions; got {CONTEXT + 1}"
        if generator.name == "pair transformer":
            message = message.replace(str(CONTEXT + 1), str(2 * most + 4))
        with pytest.raises(ValueError, match=re.escape(message)):
            simulate(setting, design, key=0, n_replicates=2)


def test_pairs_need_labels_that_the_decoder_knows() -> None:
    name = "pair transformer"
    generator, groups, seeds = GENERATORS[name], SETTINGS[name].groups, seeds_of(name)
    wrong = replace(seeds, y=seeds.y.at[3].set(2))
    with pytest.raises(ValueError, match=r"labels must lie in 0 … 1, those that .* got 2\. Train"):
        generator.fit(wrong, groups, key=jax.random.key(0))
    third = (groups[0], groups[1]._replace(label=2))
    with pytest.raises(ValueError, match="labels must lie in 0 … 1"):
        generator.fit(seeds, third, key=jax.random.key(0))


def test_tokens_need_groups_of_one_label() -> None:
    name = "pair transformer"
    with pytest.raises(ValueError, match="rows of group 'subject 0' have several labels"):
        GENERATORS["transformer"].fit(seeds_of(name), SETTINGS[name].groups, key=jax.random.key(0))


def test_a_generator_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"for 5 tokens has 6 symbols, .* this one has 8\. Take"):
        TokenGenerator(OF_PAIRS, ALPHABET)
    with pytest.raises(ValueError, match=r"at least 8 symbols for 5 tokens, .* has 6\. Take"):
        PairGenerator(OF_TOKENS, ALPHABET)
    with pytest.raises(ValueError, match=r"n_context must be at most 16, .* got 17\. Lower it"):
        TokenGenerator(OF_TOKENS, ALPHABET, n_context=17)
    with pytest.raises(ValueError, match="n_context must be a whole number of at least 0; got -1"):
        TokenGenerator(OF_TOKENS, ALPHABET, n_context=-1)
    with pytest.raises(ValueError, match="temperature must be a finite number"):
        TokenGenerator(OF_TOKENS, ALPHABET, temperature=0.0)
    with pytest.raises(ValueError, match="top_p must be a probability"):
        PairGenerator(OF_PAIRS, ALPHABET, top_p=2.0)


def test_generators_know_no_gaussian_limit() -> None:
    from opal.settings import GaussianMixture

    truth = GaussianMixture([[-0.5, 0.0], [0.5, 0.0]]).law
    for generator in GENERATORS.values():
        assert generator.population(truth) is None
        assert generator.min_seeds == 0
