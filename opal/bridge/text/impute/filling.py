"""The arms of imputation: what each trains on in one fold, and which synthetic texts test it.

m is the number of texts of the class among the fold's training texts of a full data set (.9 of what
it is filled to, in ten folds); n' are those of them that are at hand. All other classes are the
same in every arm, each of their texts with weight 1.

=============== ===============================================================================
raw             the n' originals
weighting       the same, with weight m/n' each
duplication     the same, and m − n' draws from them with replacement
synthetic       the same, and m − n' synthetic texts whose seeds are all trained on
fixed_seeds     the same, from five seeds alone; where none were written for it, the few texts at
                hand that have one of five originals as their only seed, repeated in turn
drawn_seeds     as many different texts as fixed_seeds has, likewise repeated, whatever their seeds:
                what it is compared with, for fewer texts may do worse whatever their seeds are
ssmba           the same, from neighbours of the originals
naive_folds     as synthetic or ssmba, but folds know no lineage: a control that must look too good
all_real        m original texts
=============== ===============================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from opal.bridge.text.impute import folds
from opal.bridge.text.impute.pools import Pool

BASELINES = ("raw", "weighting", "duplication")
WRITTEN = ("synthetic", "fixed_seeds", "drawn_seeds", "ssmba", "naive_folds")
ALL_REAL = "all_real"
ARMS = (*BASELINES, *WRITTEN, ALL_REAL)
N_FIXED = 5
NONE = "none"


@dataclass(frozen=True, eq=False)
class Fold:
    """One fold of a data set with n originals at hand; all texts are rows of it.

    Attributes:
        number: of the fold.
        ids: of all rows.
        held_out: original texts to test on.
        others: of other classes, to train on.
        own: originals at hand, to train on, in order.
        real: of the class, to train on: ``own`` and what would have to be labelled.
        m: texts of the class when it is filled.
        fill: synthetic texts of the naive arm, over all folds.
    """

    number: int
    ids: np.ndarray
    held_out: np.ndarray
    others: np.ndarray
    own: np.ndarray
    real: np.ndarray
    m: int
    fill: int


@dataclass(frozen=True, eq=False)
class Training:
    """What an arm trains on.

    Attributes:
        arm: its name.
        source: of its synthetic texts, or ``none``.
        rows: of the data set; a row may be there several times [k].
        weights: ω > 0 [k].
        tests: for each source, synthetic texts that were not trained on, and have a seed held out.
        n_category: texts of the class among ``rows``.
    """

    arm: str
    source: str
    rows: np.ndarray
    weights: np.ndarray
    tests: Mapping[str, np.ndarray]
    n_category: int


def trainings(
    fold: Fold,
    pools: Mapping[str, Mapping[str, Pool]],
    arms: tuple[str, ...],
    rng: np.random.Generator,
) -> Iterator[Training]:
    """What each arm trains on in this fold.

    Args:
        fold: with its originals.
        pools: for arms ``synthetic``, ``fixed_seeds`` (where texts were written from fixed seeds)
            and ``ssmba``: texts by source.
        arms: of :data:`ARMS`; those without texts are left out.
        rng: of the draws of duplication.
    """
    written = pools.get("synthetic", {})
    for arm in (each for each in BASELINES if each in arms):
        yield _baseline(arm, fold, written, rng)
    if ALL_REAL in arms and len(fold.real) > len(fold.own):
        yield _training(ALL_REAL, NONE, fold, fold.real, written)
    for source, pool in written.items():
        if "synthetic" in arms:
            added = _allowed(fold, pool)
            yield _training("synthetic", source, fold, _filled(fold, added), {source: pool})
        if "naive_folds" in arms:
            yield _naive(fold, source, pool)
        if source not in pools.get("fixed_seeds", {}):
            yield from _few(fold, source, pool, arms)
    for arm in ("fixed_seeds", "ssmba"):
        for source, pool in pools.get(arm, {}).items() if arm in arms else ():
            added = _allowed(fold, pool)
            yield _training(arm, source, fold, _filled(fold, added), {source: pool})
    for source, pool in pools.get("ssmba", {}).items() if "naive_folds" in arms else ():
        yield _naive(fold, source, pool)


def _baseline(
    arm: str, fold: Fold, written: Mapping[str, Pool], rng: np.random.Generator
) -> Training:
    if arm == "weighting":
        return _training(arm, NONE, fold, fold.own, written, fold.m / len(fold.own))
    missing = fold.m - len(fold.own) if arm == "duplication" else 0
    return _training(
        arm, NONE, fold, np.concatenate([fold.own, rng.choice(fold.own, max(missing, 0))]), written
    )


def _training(
    arm: str,
    source: str,
    fold: Fold,
    category: np.ndarray,
    pools: Mapping[str, Pool],
    weight: float = 1.0,
) -> Training:
    rows = np.concatenate([fold.others, category])
    weights = np.concatenate([np.ones(len(fold.others)), np.full(len(category), weight)])
    hidden, trained = frozenset(fold.ids[fold.held_out]), frozenset(fold.ids[rows])
    tests = {
        name: pool.rows[folds.testable(pool.frame, hidden, trained)] for name, pool in pools.items()
    }
    return Training(arm, source, rows, weights, tests, len(category))


def _allowed(fold: Fold, pool: Pool) -> np.ndarray:
    """Synthetic texts of which nothing is held out, and that are no copy of what is trained on."""
    free = folds.trainable(pool.frame, frozenset(fold.ids[fold.held_out]))
    return pool.rows[free]


def _filled(fold: Fold, added: np.ndarray) -> np.ndarray:
    return np.concatenate([fold.own, added[: max(fold.m - len(fold.own), 0)]])


def _few(fold: Fold, source: str, pool: Pool, arms: tuple[str, ...]) -> Iterator[Training]:
    """Texts at hand of five seeds, and as many of any seeds."""
    fixed = _few_seeds(fold, pool)
    drawn = _allowed(fold, pool)[: len(fixed)]
    for arm, added in (("fixed_seeds", fixed), ("drawn_seeds", drawn)):
        if arm in arms and len(added):
            repeated = np.resize(added, max(fold.m - len(fold.own), len(added)))
            yield _training(arm, source, fold, _filled(fold, repeated), {source: pool})


def _few_seeds(fold: Fold, pool: Pool) -> np.ndarray:
    """Texts of the first five originals that have any of their own."""
    free = folds.trainable(pool.frame, frozenset(fold.ids[fold.held_out]))
    there = {id_ for seeds in pool.frame["seeds"][free] if len(seeds) == 1 for id_ in seeds}
    few = frozenset([id_ for id_ in fold.ids[fold.own] if id_ in there][:N_FIXED])
    made = np.array([few.issuperset(seeds) for seeds in pool.frame["seeds"]], dtype=bool)
    return pool.rows[free & made]


def _naive(fold: Fold, source: str, pool: Pool) -> Training:
    """Folds of synthetic texts by themselves: their seeds may be on the other side."""
    chosen, number = pool.rows[: fold.fill], pool.naive[: fold.fill]
    category = np.concatenate([fold.own, chosen[number != fold.number]])
    plain = _training("naive_folds", source, fold, category, {})
    tests = {source: chosen[number == fold.number]}
    return replace(plain, tests=tests)
