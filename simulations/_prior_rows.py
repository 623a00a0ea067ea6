"""Records of one prior, from the KL and the weight of the prior of every estimate."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from opal.risk import mean_and_std_error
from opal.settings.tokens import Prior
from simulations import _prior
from simulations._prior import Weight
from simulations.generator_kl import BAYES, COUNTS, TRANSFORMER
from simulations.generator_prior import (
    ENDS,
    EXPANSION,
    EXPANSION_MATCHED,
    MATCHED,
    Config,
    Subjects,
    alphabet,
)

Row = dict[str, object]


def rows_of(
    at: Subjects,
    truth: np.ndarray,
    laws: dict[str, np.ndarray],
    divergence: dict[str, np.ndarray],
    found: float,
) -> Iterator[Row]:
    """All records of a prior.

    Args:
        at: the prior.
        truth: P_t of its subjects [S, d].
        laws: of each arm after each number of seeds [N, S, d].
        divergence: KL of each arm [N, S].
        found: least share of posteriors that were.
    """
    config = at.config
    weight, expected, known = _theory(at, truth, laws)
    kl = divergence | expected
    yield from _of_kl(config.n_seeds, kl)
    yield from _of_weight(config.n_seeds[1:], weight)
    yield from _of_seeds(config, kl, weight)
    yield _row(EXPANSION, 0, "found", min(found, known))


def _theory(
    at: Subjects, truth: np.ndarray, laws: dict[str, np.ndarray]
) -> tuple[dict[str, Weight], dict[str, np.ndarray], float]:
    """Weights for n ≥ 1, measured and expected; expected KL; and whether all was found."""
    tokens, n_seeds = alphabet(at.config), at.config.n_seeds
    features = truth @ tokens.embeddings
    weight, kl, found = {}, {}, []
    for arm in (TRANSFORMER, BAYES, COUNTS):
        made = laws[arm] @ tokens.embeddings
        weight[arm] = _prior.Weight.of(features - made[1:], features - made[0])
    way = features - laws[BAYES][0] @ tokens.embeddings
    beliefs = {EXPANSION: Prior(), EXPANSION_MATCHED: Prior(at.scale, at.mean)}
    for arm, prior in beliefs.items():
        expected = _prior.expansion(tokens, truth, prior, n_seeds)
        found.append(float(expected.found.mean()))
        kl[arm] = expected.kl
        for name, subject in ((arm, expected.posterior_mean), (f"{arm}, mode", expected.mode)):
            left = _prior.pull(subject[1:], prior, n_seeds[1:], tokens.eta)
            weight[name] = _prior.Weight.of(left, way)
    return weight, kl, min(found)


def _of_kl(n_seeds: tuple[int, ...], kl: dict[str, np.ndarray]) -> Iterator[Row]:
    """Mean KL of each arm, and what is paired with the two kinds of Bayes."""
    price = kl[BAYES] - kl[MATCHED]
    paired = {
        "kl_minus_bayes": {TRANSFORMER: kl[TRANSFORMER] - kl[BAYES]},
        "kl_minus_matched": {arm: kl[arm] - kl[MATCHED] for arm in (TRANSFORMER, BAYES, COUNTS)},
        "price": {BAYES: price, EXPANSION: kl[EXPANSION] - kl[EXPANSION_MATCHED]},
        "kl_minus_theory": {
            BAYES: kl[BAYES] - kl[EXPANSION],
            MATCHED: kl[MATCHED] - kl[EXPANSION_MATCHED],
        },
        "price_minus_theory": {BAYES: price - kl[EXPANSION] + kl[EXPANSION_MATCHED]},
    }
    for metric, tables in {"kl": kl, **paired}.items():
        for arm, table in tables.items():
            for n, each in zip(n_seeds, table, strict=True):
                yield _row(arm, n, metric, *_mean(each))
    for n, each, best in zip(n_seeds, kl[TRANSFORMER], kl[BAYES], strict=True):
        ratio = each.mean() / best.mean()
        error = _mean((each - ratio * best) / best.mean())[1]
        yield _row(TRANSFORMER, n, "kl_over_bayes", ratio, error)


def _of_weight(n_seeds: tuple[int, ...], weight: dict[str, Weight]) -> Iterator[Row]:
    """The weight of the prior for each arm, and how far theories are from that of Bayes."""
    measured = weight[BAYES]
    apart = {
        arm: Weight(measured.along - weight[arm].along, measured.whole)
        for arm in (EXPANSION, EXPANSION_MATCHED)
    }
    for metric, of in (("weight", weight), ("weight_apart", apart)):
        for arm, one in of.items():
            numbers = zip(n_seeds, one.mean(), one.std_error(), strict=True)
            for n, value, error in numbers:
                yield _row(arm, n, metric, value, error)


def _of_seeds(
    config: Config, kl: dict[str, np.ndarray], weight: dict[str, Weight]
) -> Iterator[Row]:
    """Seeds after which the prior weighs a half, and from which counts are better."""
    n_seeds = np.array(config.n_seeds[1:])
    for arm in (TRANSFORMER, BAYES, COUNTS, EXPANSION):
        half = _prior.seeds_to_half(n_seeds, weight[arm], key=config.seed)
        yield from _of_interval(config, arm, "n_half", half)
    for arm in (TRANSFORMER, BAYES, MATCHED):
        passed = _prior.seeds_to_overtake(n_seeds, kl[COUNTS][1:], kl[arm][1:], key=config.seed)
        yield from _of_interval(config, arm, "n_overtaken", passed)


def _of_interval(config: Config, arm: str, metric: str, seeds: tuple[float, ...]) -> Iterator[Row]:
    for suffix, value in zip(ENDS, seeds, strict=True):
        yield _row(arm, max(config.n_seeds), metric + suffix, value)


def _row(arm: str, n: int, metric: str, value: float, error: float = float("nan")) -> Row:
    source = "simulation" if arm == TRANSFORMER else "theory"
    numbers = {"value": float(value), "std_error": float(error)}
    return {"source": source, "arm": arm, "n_real": n, "metric": metric, **numbers}


def _mean(values: np.ndarray) -> tuple[float, float]:
    mean, error = mean_and_std_error(values)
    return float(mean), float(error)
