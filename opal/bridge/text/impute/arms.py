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

Arms of :data:`MOVED` stand twice: ``raw_threshold`` is the rule of ``raw`` with a moved threshold
(:mod:`opal.bridge.text.impute.f1_threshold`), which costs nothing.

A synthetic text belongs to the held-out side of a fold if any of its seeds does: a rule that has
seen one of two texts with a common seed has seen part of the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Array, Key

from opal.bridge.text.corpus import leaks, made_from
from opal.bridge.text.impute.task import Task
from opal.draws import named, on_host

BASELINES = ("raw", "weighting", "duplication")
WRITTEN = ("synthetic", "fixed_seeds", "drawn_seeds", "ssmba", "naive_folds")
ALL_REAL = "all_real"
MOVED = ("raw", "weighting", "synthetic", ALL_REAL)
"""Arms that also have a moved threshold."""
THRESHOLD = "_threshold"
ARMS = tuple(
    name
    for arm in (*BASELINES, *WRITTEN, ALL_REAL)
    for name in ((arm, f"{arm}{THRESHOLD}") if arm in MOVED else (arm,))
)
N_FIXED = 5
NONE = "none"


@dataclass(frozen=True, eq=False)
class Pool:
    """Synthetic texts of one writer, made from the originals at hand."""

    frame: pd.DataFrame  # each text once, in the order in which they are used
    rows: np.ndarray  # of these texts among all texts of a data set
    naive: np.ndarray  # a fold of each that knows no lineage


Pools = dict[int, dict[str, dict[str, Pool]]]
"""Pools by number of originals, by the arm that uses them, by writer."""


@dataclass(frozen=True, eq=False)
class Fold:
    """One fold of a data set with n originals at hand; all texts are rows of it."""

    number: int  # of the fold
    ids: np.ndarray  # of all rows
    held_out: np.ndarray  # original texts to test on
    others: np.ndarray  # of other classes, to train on
    own: np.ndarray  # originals at hand, to train on, in order
    real: np.ndarray  # of the class, to train on: ``own`` and what would have to be labelled
    m: int  # texts of the class when it is filled
    fill: int  # synthetic texts of the naive arm, over all folds


@dataclass(frozen=True, eq=False)
class ArmData:
    """What an arm trains on."""

    arm: str  # its name
    writer: str  # of its synthetic texts, or ``none``
    rows: np.ndarray  # of the data set; a row may be there several times [k]
    weights: np.ndarray  # ω > 0 [k]
    tests: Mapping[str, np.ndarray]  # by writer: texts not trained on that have a seed held out
    n_category: int  # texts of the class among ``rows``
    shared: float | None = None  # of ``drawn_seeds``: share of texts that ``fixed_seeds`` has too


def trainings(
    fold: Fold,
    pools: Mapping[str, Mapping[str, Pool]],
    arms: tuple[str, ...],
    rng: np.random.Generator,
) -> Iterator[ArmData]:
    """What each arm trains on in this fold, those without texts left out.

    ``arms`` are without those of a moved threshold. ``pools`` are texts by writer, for the arms
    ``synthetic``, ``fixed_seeds`` (where texts were written from fixed seeds) and ``ssmba``;
    ``rng`` draws the duplicates.
    """
    written = pools.get("synthetic", {})
    for arm in (each for each in BASELINES if each in arms):
        yield _baseline(arm, fold, written, rng)
    if ALL_REAL in arms and len(fold.real) > len(fold.own):
        yield _training(ALL_REAL, NONE, fold, fold.real, written)
    for writer, pool in written.items():
        if "synthetic" in arms:
            added = pool.rows[_free(fold, pool)]
            yield _training("synthetic", writer, fold, _filled(fold, added), {writer: pool})
        if "naive_folds" in arms:
            yield _naive(fold, writer, pool)
        if writer not in pools.get("fixed_seeds", {}):
            yield from _few(fold, writer, pool, arms)
    for arm in ("fixed_seeds", "ssmba"):
        for writer, pool in pools.get(arm, {}).items() if arm in arms else ():
            added = pool.rows[_free(fold, pool)]
            yield _training(arm, writer, fold, _filled(fold, added), {writer: pool})
    for writer, pool in pools.get("ssmba", {}).items() if "naive_folds" in arms else ():
        yield _naive(fold, writer, pool)


def pools(
    task: Task, drawn: pd.DataFrame, n_originals: tuple[int, ...], n_folds: int, key: Key[Array, ""]
) -> tuple[Pools, pd.DataFrame]:
    """Pools for each number of originals, and all texts of the data set, synthetic ones too.

    ``drawn`` and ``key`` are those of the data set, and ``n_folds`` that of the folds that know no
    lineage.
    """
    kinds: dict[str, Mapping[str, pd.DataFrame]] = {
        "synthetic": task.synthetic,
        "fixed_seeds": task.fixed,
        "ssmba": {} if task.ssmba is None else {str(task.ssmba["source"].iloc[0]): task.ssmba},
    }
    parts, end = [drawn], len(drawn)
    found: Pools = {n: {kind: {} for kind in kinds} for n in n_originals}
    for kind, writer, whole in [(k, s, w) for k, by in kinds.items() for s, w in by.items()]:
        rng = on_host(named(key, f"{kind} {writer}"))
        made = _in_turn(whole, frozenset(drawn["id"][: max(n_originals)]), rng)
        rows = np.arange(end, end + len(made))
        for n in n_originals:
            here = made_from(made, frozenset(drawn["id"][:n]))
            if here.any():
                naive = rng.permutation(np.arange(here.sum()) % n_folds)
                pool = Pool(made[here].reset_index(drop=True), rows[here], naive)
                found[n][kind][writer] = pool
        parts.append(made)
        end += len(made)
    return found, pd.concat(parts, ignore_index=True)


def testable(
    synthetic: pd.DataFrame, held_out: Collection[str], trained: Collection[str]
) -> np.ndarray:
    """Which synthetic texts may be tested on [n]: a seed is held out, and none was trained on.

    ``held_out`` and ``trained`` are ids.
    """
    hidden = frozenset(held_out)
    made = np.array([not hidden.isdisjoint(seeds) for seeds in synthetic["seeds"]], dtype=bool)
    return made & ~synthetic["id"].isin(frozenset(trained)).to_numpy(dtype=bool)


def _baseline(
    arm: str, fold: Fold, written: Mapping[str, Pool], rng: np.random.Generator
) -> ArmData:
    weight = fold.m / len(fold.own) if arm == "weighting" else 1.0
    missing = max(fold.m - len(fold.own), 0) if arm == "duplication" else 0
    category = np.concatenate([fold.own, rng.choice(fold.own, missing)])
    return _training(arm, NONE, fold, category, written, weight)


def _training(
    arm: str,
    writer: str,
    fold: Fold,
    category: np.ndarray,
    pools: Mapping[str, Pool],
    weight: float = 1.0,
) -> ArmData:
    rows = np.concatenate([fold.others, category])
    weights = np.concatenate([np.ones(len(fold.others)), np.full(len(category), weight)])
    sides = fold.ids[fold.held_out], fold.ids[rows]
    tests = {name: pool.rows[testable(pool.frame, *sides)] for name, pool in pools.items()}
    return ArmData(arm, writer, rows, weights, tests, len(category))


def _free(fold: Fold, pool: Pool) -> np.ndarray:
    """Which texts may be trained on: nothing of them is held out [n]."""
    return ~leaks(pool.frame, fold.ids[fold.held_out])


def _filled(fold: Fold, added: np.ndarray) -> np.ndarray:
    return np.concatenate([fold.own, added[: max(fold.m - len(fold.own), 0)]])


def _few(fold: Fold, writer: str, pool: Pool, arms: tuple[str, ...]) -> Iterator[ArmData]:
    """Texts at hand of five seeds, and as many of any seeds."""
    fixed = _few_seeds(fold, pool)
    drawn = pool.rows[_free(fold, pool)][: len(fixed)]
    shared = float(np.isin(drawn, fixed).mean()) if len(drawn) else None
    for arm, added, common in (("fixed_seeds", fixed, None), ("drawn_seeds", drawn, shared)):
        if arm in arms and len(added):
            repeated = np.resize(added, max(fold.m - len(fold.own), len(added)))
            found = _training(arm, writer, fold, _filled(fold, repeated), {writer: pool})
            yield replace(found, shared=common)


def _few_seeds(fold: Fold, pool: Pool) -> np.ndarray:
    """Texts of the first five originals that have any of their own."""
    free = _free(fold, pool)
    there = {id_ for seeds in pool.frame["seeds"][free] if len(seeds) == 1 for id_ in seeds}
    few = frozenset([id_ for id_ in fold.ids[fold.own] if id_ in there][:N_FIXED])
    return pool.rows[free & made_from(pool.frame, few)]


def _naive(fold: Fold, writer: str, pool: Pool) -> ArmData:
    """Folds of synthetic texts by themselves: their seeds may be on the other side."""
    chosen, number = pool.rows[: fold.fill], pool.naive[: fold.fill]
    category = np.concatenate([fold.own, chosen[number != fold.number]])
    plain = _training("naive_folds", writer, fold, category, {})
    tests = {writer: chosen[number == fold.number]}
    return replace(plain, tests=tests)


def _in_turn(
    synthetic: pd.DataFrame, originals: frozenset[str], rng: np.random.Generator
) -> pd.DataFrame:
    """Synthetic texts made from these originals alone, each once, their first seeds taking turns.

    A text that was written several times has the seeds of all times: it is held out with each.
    """
    seeds: dict[str, tuple[str, ...]] = {}
    for id_, each in zip(synthetic["id"], synthetic["seeds"], strict=True):
        seeds[id_] = tuple(dict.fromkeys((*seeds.get(id_, ()), *each)))
    once = synthetic.drop_duplicates("id")
    once = once.assign(seeds=[seeds[id_] for id_ in once["id"]])
    known = once[made_from(once, originals) & once["seeds"].map(bool).to_numpy(dtype=bool)]
    shuffled = known.iloc[rng.permutation(len(known))]
    turn = shuffled.groupby(shuffled["seeds"].str[0]).cumcount()
    return shuffled.iloc[np.argsort(turn.to_numpy(), kind="stable")].reset_index(drop=True)
