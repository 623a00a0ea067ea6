"""Synthetic texts of one data set of a task, for each number of originals at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Array, Key

from opal.bridge.text.impute.imputation import Drawn, Task
from opal.draws import named, on_host


@dataclass(frozen=True, eq=False)
class Pool:
    """Synthetic texts of one source, made from the originals at hand.

    Attributes:
        frame: each text once, in the order in which they are used.
        rows: of these texts among all texts of a data set.
        naive: a fold of each that knows no lineage.
    """

    frame: pd.DataFrame
    rows: np.ndarray
    naive: np.ndarray


Stock = dict[int, dict[str, dict[str, Pool]]]
"""Pools by number of originals, by the arm that uses them, by source."""


def stock(
    task: Task,
    drawn: Drawn,
    n_originals: tuple[int, ...],
    n_folds: int,
    *,
    key: Key[Array, ""],
) -> tuple[Stock, pd.DataFrame]:
    """Pools for each number of originals, and all texts of the data set.

    Args:
        task: with its synthetic texts.
        drawn: the data set.
        n_originals: numbers of originals at hand.
        n_folds: of the folds that know no lineage.
        key: of the data set.
    """
    kinds: dict[str, Mapping[str, pd.DataFrame]] = {
        "synthetic": task.synthetic,
        "fixed_seeds": task.fixed,
        "ssmba": {} if task.ssmba is None else {str(task.ssmba["source"].iloc[0]): task.ssmba},
    }
    mine = drawn.frame["id"][: drawn.n_category]
    parts, end = [drawn.frame], len(drawn.frame)
    found: Stock = {n: {kind: {} for kind in kinds} for n in n_originals}
    for kind, source, whole in [(k, s, w) for k, by in kinds.items() for s, w in by.items()]:
        rng = on_host(named(key, f"{kind} {source}"))
        made = in_turn(whole, frozenset(mine[: max(n_originals)]), rng)
        rows = np.arange(end, end + len(made))
        for n in n_originals:
            here = made_from(made, frozenset(mine[:n]))
            if here.any():
                naive = rng.permutation(np.arange(here.sum()) % n_folds)
                pool = Pool(made[here].reset_index(drop=True), rows[here], naive)
                found[n][kind][source] = pool
        parts.append(made)
        end += len(made)
    return found, pd.concat(parts, ignore_index=True)


def in_turn(
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
    known = once[made_from(once, originals)]
    shuffled = known.iloc[rng.permutation(len(known))]
    turn = shuffled.groupby(shuffled["seeds"].str[0]).cumcount()
    return shuffled.iloc[np.argsort(turn.to_numpy(), kind="stable")].reset_index(drop=True)


def made_from(synthetic: pd.DataFrame, originals: frozenset[str]) -> np.ndarray:
    """Which texts were made from these originals and no others [n]."""
    made = [originals.issuperset(seeds) and bool(seeds) for seeds in synthetic["seeds"]]
    return np.array(made, dtype=bool)
