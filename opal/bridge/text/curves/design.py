"""What an evaluation of texts trains on: the texts of one seed, and the arms.

A seed draws a share of the base texts: the data that a user has. Synthetic texts are at hand only
if all the texts that they were made from were drawn. Added texts have one random order a seed, in
which groups take turns, so that the first N are nested in the first 2N and as balanced as the
writer allows.

n_g real texts of group g are at hand, and N_g of the N added ones are of it. Weights are those of
:class:`opal.objective.Design`; the penalty of all arms is ``λ = 1/(2 C n_eff)`` for weights of sum
one, with ``n_eff = (Σω)²/Σω²``, which is n for equal weights and does not jump when a weight
leaves zero.

=================== ============================================================================
raw                 the real texts
threshold           the same rule, its probabilities moved to where classes are equally frequent
weighting           the real texts, each group with the same total weight
duplication         real texts drawn again until every group is as large as the largest
synthetic           + N texts, each with the weight of a real one
synthetic_weighting the same texts, each group with the same total weight
synthetic_alpha     weighting with weight 1 − α, and α on the added texts of each group;
                    ``α(N) = ρN/(n + ρN)``, where ρ is what an added text weighs in real ones
synthetic_corrected the same, and the share λ of the weight of all added texts moves from those of
                    the largest group to its real ones, which subtracts what the writer gets wrong
                    there (:func:`opal.objective.corrected`)
=================== ============================================================================
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Array, Key

from opal import names
from opal.bridge.resampling import deal, lineages
from opal.bridge.text.classifiers import STRENGTH, ridge
from opal.bridge.text.corpus import ATTRIBUTE, HUMAN, TextCorpus, leaks, made_from, stacked
from opal.draws import as_key, named, on_host
from opal.estimators.wide import WideFit, fit_wide
from opal.objective import Design, RowCounts, RowWeights, corrected
from opal.synthesis.resample import Duplication

SHARE = 0.5
MOST_TEST = 2000
BLOCKS = 200
"""Blocks of test texts at most, whose influences records keep: enough to know a variance by."""
BASELINES = ("raw", "threshold", "weighting", "duplication")
CORRECTED = "synthetic_corrected"
ADDING = ("synthetic", "synthetic_weighting", "synthetic_alpha", CORRECTED)
REFERENCE = "weighting"
RATIOS = (0.0, 0.1, 0.3, 1.0, 3.0)
"""ρ that are tried."""
CORRECTIONS = (0.0, 0.3, 1.0)
"""λ that are tried with each ρ."""


@dataclass(frozen=True, eq=False)
class SplitData:
    """The texts of one seed."""

    labels: tuple[str, ...]  # names of the K classes
    groups: tuple[str, ...]  # of the groups: classes, or (class, attribute) where all have one
    frame: pd.DataFrame  # all texts, in the order base, sources, test
    y: np.ndarray  # class of each text [n]
    group: np.ndarray  # group of each text [n]
    base: np.ndarray  # rows of the base texts that were drawn
    added: Mapping[str, np.ndarray]  # rows of each source, in the order in which they are added
    test: np.ndarray  # rows of the test texts
    block: np.ndarray  # of each test text: blocks are drawn at random, the same for all seeds


@dataclass(frozen=True, eq=False)
class TuningFold:
    """A fold of the base texts, as rows of the split's frame."""

    base: np.ndarray  # base texts to train on
    added: Mapping[str, np.ndarray]  # texts of each source to train on with them, in their order
    held_out: np.ndarray  # base texts to test on


def sources(corpus: TextCorpus) -> tuple[str, ...]:
    """Everything that can be added to a corpus: its generators, and fresh human texts."""
    generators = tuple(name for name, frame in corpus.synthetic.items() if len(frame))
    return (*generators, *((HUMAN,) if len(corpus.human) else ()))


def split_data(
    corpus: TextCorpus,
    seed: int,
    *,
    chosen: Collection[str] = (),
    share: float = SHARE,
    most_test: int = MOST_TEST,
) -> SplitData:
    """The texts of a seed. The test texts are the same for all seeds.

    Args:
        corpus: what leaks is taken out of it first.
        seed: decides which base texts are drawn and in which order texts are added.
        chosen: of :func:`sources`; all of them by default.
        share: in (0, 1], of the base texts that are drawn, of each class; at least one text.
        most_test: test texts beyond these are left out at random.

    Raises:
        ValueError: a source that is not there, a class without a base text, no test text.
    """
    corpus = corpus.apart()
    names.check("source", chosen, sources(corpus))
    key = as_key(seed)
    base = _drawn(corpus.base, share, named(key, "base"))
    test = corpus.test
    if test.empty:
        raise ValueError("an evaluation needs texts to test on; the corpus has none. Add some.")
    if len(test) > most_test:
        rows = on_host(named(as_key(0), "test")).choice(len(test), most_test, replace=False)
        test = test.iloc[np.sort(rows)]
    return _stacked(corpus, base, _added(corpus, base, chosen or sources(corpus), key), test)


def training_data(corpus: TextCorpus, seed: int, *, chosen: Collection[str] = ()) -> SplitData:
    """All base texts, and those of ``chosen`` sources whose seeds are at hand; no test text.

    Raises:
        ValueError: a source that is not there, or a class without a base text.
    """
    corpus = replace(corpus, test=corpus.test[:0]).apart()
    names.check("source", chosen, sources(corpus))
    added = _added(corpus, corpus.base, chosen, as_key(seed))
    return _stacked(corpus, corpus.base, added, corpus.test)


def usable(
    frame: pd.DataFrame, at_hand: Collection[str], held_out: Collection[str] = ()
) -> np.ndarray:
    """Which texts may be trained on [n]: all seeds are at hand, and nothing of them is held out.

    ``at_hand`` are ids of the base texts that are trained on, ``held_out`` those tested on.
    """
    return made_from(frame, at_hand) & ~leaks(frame, held_out)


def folds(data: SplitData, n_folds: int, seed: int) -> Iterator[TuningFold]:
    """Folds of the base texts by lineage; equal texts share one, classes are spread evenly.

    Raises:
        ValueError: fewer different base texts than folds, or fewer than two folds.
    """
    ids = data.frame["id"].to_numpy()
    base = ids[data.base]
    different = len(np.unique(base))
    if not 2 <= n_folds <= different:
        raise ValueError(
            f"--folds must be 2 to {different}, the number of different base texts; got {n_folds}."
        )
    draw = int(on_host(named(as_key(seed), "folds")).integers(2**32))
    fold = deal(lineages(base), data.y[data.base], n_folds, seed=draw)
    for k in range(n_folds):
        train, held_out = data.base[fold != k], data.base[fold == k]
        sides = ids[train], ids[held_out]
        added = {
            name: rows[usable(data.frame.iloc[rows], *sides)] for name, rows in data.added.items()
        }
        yield TuningFold(train, added, held_out)


@dataclass(frozen=True, eq=False)
class WeightedRows:
    """What a rule is trained on."""

    rows: np.ndarray  # of the split's frame; a row may be there several times [n]
    weights: np.ndarray  # ω [n], not 0; those of added texts may be negative with a correction
    alpha: float = 0.0  # share of the weight that the objective's augmented part has
    correction: float = 0.0  # λ


def baseline(arm: str, data: SplitData, base: np.ndarray, rng: np.random.Generator) -> WeightedRows:
    """An arm of :data:`BASELINES`; ``threshold`` trains what ``raw`` does.

    ``base`` are the rows of the real texts, and ``rng`` draws the duplicates.
    """
    if arm == "weighting":
        return WeightedRows(base, even(data.group[base]))
    if arm == "duplication":
        counts = np.bincount(data.group[base])
        lacking = np.where(counts > 0, counts.max() - counts, 0)
        again = [rng.choice(base[data.group[base] == g], m) for g, m in enumerate(lacking) if m]
        base = np.concatenate([base, *again])
    return WeightedRows(base, np.ones(len(base)))


def adding(
    arm: str,
    data: SplitData,
    base: np.ndarray,
    added: np.ndarray,
    ratio: float = 1.0,
    correction: float = 0.0,
) -> WeightedRows:
    """An arm of :data:`ADDING` with base texts [n] and added ones [N].

    ``ratio`` is the ρ of ``synthetic_alpha`` and ``synthetic_corrected``, and ``correction`` the λ
    of the latter.
    """
    rows = np.concatenate([base, added])
    if arm == "synthetic":
        return WeightedRows(rows, np.ones(len(rows)))
    if arm == "synthetic_weighting":
        return WeightedRows(rows, even(data.group[rows]))
    alpha = ratio * len(added) / (len(base) + ratio * len(added))
    return mixture(data, base, added, alpha, correction)


def mixture(
    data: SplitData, base: np.ndarray, added: np.ndarray, alpha: float, correction: float = 0.0
) -> WeightedRows:
    """The objective of group weighting with α on the added texts, and a correction λ of them."""
    rows = np.concatenate([base, added])
    weights = mixed(data.group[base], data.group[added], alpha, correction)
    return WeightedRows(rows[weights != 0], weights[weights != 0], alpha, correction)


def has_yardstick(data: SplitData, base: np.ndarray, added: np.ndarray) -> bool:
    """Whether added texts are of the largest group too, where a correction sees their bias."""
    return bool(np.isin(np.bincount(data.group[base]).argmax(), data.group[added]))


def even(group: np.ndarray) -> np.ndarray:
    """Weights of sum one under which all groups that are present weigh the same [n]."""
    return mixed(group, np.empty(0, dtype=int), 0.0)


def mixed(real: np.ndarray, added: np.ndarray, alpha: float, correction: float = 0.0) -> np.ndarray:
    """The objective's weights of real texts, then of added ones, of sum one [n + N].

    Every group that is present weighs the same; in it, real texts have 1 − α and added texts α of
    the weight, before the correction λ moves some of it in the largest one. Where a group lacks one
    kind, the other has all of it. ``real`` and ``added`` are the groups of the texts [n], [N].

    Raises:
        ValueError: λ > 0, and no added text is of the largest group.
    """
    n_groups = 1 + int(max(real.max(initial=0), added.max(initial=0)))
    n, m = (np.bincount(each, minlength=n_groups) for each in (real, added))
    n_present = int(np.count_nonzero(n + m))
    weights = np.zeros((2, n_groups))
    for g in np.flatnonzero(n + m):
        share = alpha if n[g] and m[g] else float(n[g] == 0)
        weights[:, g] = _of_group(max(int(n[g]), 1), int(m[g]), share, n_present)
    if correction:
        none = np.zeros(n_groups)
        rows = RowCounts(n.astype(float), none, m.astype(float))
        weights = np.array(corrected(rows, RowWeights(weights[0], none, weights[1]), correction))
        weights = weights[[0, 2]]
    return np.concatenate([weights[0][real], weights[1][added]])


def fit_rule(
    data: SplitData,
    x: Any,
    training: WeightedRows,
    *,
    strength: float = STRENGTH,
    start: WideFit | None = None,
) -> WideFit:
    """Fit a weighted logistic rule on features of all texts [n, d].

    ``strength`` is C, and ``start`` a rule to begin with.
    """
    weights = training.weights / training.weights.sum()
    penalty = ridge(weights, strength)
    y, k = data.y[training.rows], len(data.labels)
    return fit_wide(x[training.rows], y, weights, n_classes=k, ridge=penalty, start=start)


def moved(rule: WideFit, y: np.ndarray) -> WideFit:
    """The rule as it would be if classes were equally frequent: ``b_k − log n_k``.

    It was trained on texts of equal weight, of classes ``y`` [n].
    """
    counts = np.bincount(y, minlength=len(rule.b))
    return replace(rule, b=rule.b - np.log(np.maximum(counts, 1)))


def _of_group(n: int, m: int, alpha: float, n_groups: int) -> tuple[float, float]:
    """What the objective gives a real and an added text of a group with n and m of them."""
    design = Design(
        (n,) * n_groups,
        Duplication(),  # stands for whoever wrote the added texts
        n_augmented=m,
        alpha=alpha,
        oversample="none",
        weighting="group",
    )
    weights = design.row_weights()
    return float(weights.real[0]), float(weights.augmented[0])


def _drawn(base: pd.DataFrame, share: float, key: Key[Array, ""]) -> pd.DataFrame:
    """A share of each class's different texts, with all their repetitions."""
    rng, chosen = on_host(key), []
    for _, ids in base.drop_duplicates("id").groupby("label")["id"]:
        size = max(1, round(share * len(ids)))
        chosen.append(rng.choice(ids.to_numpy(), size, replace=False))
    drawn = np.concatenate(chosen) if chosen else np.empty(0, dtype=object)
    return base[base["id"].isin(drawn)]


def _added(
    corpus: TextCorpus, base: pd.DataFrame, chosen: Iterable[str], key: Key[Array, ""]
) -> dict[str, pd.DataFrame]:
    """The texts of each source whose seeds are base texts, in the order in which they are added."""
    added = {}
    for name in chosen:
        pool = corpus.human if name == HUMAN else corpus.synthetic[name]
        added[name] = _in_turns(pool[usable(pool, base["id"])], named(key, f"order {name}"))
    return added


def _in_turns(frame: pd.DataFrame, key: Key[Array, ""]) -> pd.DataFrame:
    """The texts in a random order in which groups take turns, as long as they have any."""
    rng = on_host(key)
    mixed = frame.iloc[rng.permutation(len(frame))]
    columns = [name for name in ("label", ATTRIBUTE) if name in mixed]
    turn = mixed.groupby(columns).cumcount().to_numpy()
    return mixed.iloc[np.lexsort((rng.random(len(mixed)), turn))]


def _stacked(
    corpus: TextCorpus, base: pd.DataFrame, added: Mapping[str, pd.DataFrame], test: pd.DataFrame
) -> SplitData:
    tables = {"": base, **added, " ": test}  # no source has a blank name
    frame, rows = stacked(tables)
    y = np.array([corpus.labels.index(label) for label in frame["label"]])
    group, groups = y, corpus.labels
    if all(ATTRIBUTE in table for table in tables.values()):
        pairs = frame["label"] + ", " + frame[ATTRIBUTE]
        groups = tuple(sorted(pairs.unique()))
        group = np.array([groups.index(pair) for pair in pairs])
    absent = [label for label in corpus.labels if label not in set(base["label"])]
    if absent:
        raise ValueError(
            f"every class needs a base text of its own; {absent[0]!r} has none. Add texts of it, "
            "or leave the class out."
        )
    own = {name: rows[name] for name in added}
    block = blocks(test["id"].to_numpy())
    return SplitData(corpus.labels, groups, frame, y, group, rows[""], own, rows[" "], block)


def blocks(ids: np.ndarray) -> np.ndarray:
    """A block of each test text, of their ids [n]; equal texts are in one, and all are as even."""
    different, place = np.unique(ids, return_inverse=True)
    turns = np.arange(len(different)) % min(BLOCKS, len(different))
    block: np.ndarray = on_host(named(as_key(0), "blocks")).permutation(turns)[place]
    return block
