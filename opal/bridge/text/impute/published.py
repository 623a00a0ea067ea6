"""The protocol of arXiv 2504.15160 as its public scripts have it: folds that know no lineage.

https://github.com/joantimoneda/synthetic-imputation-LLMs-PA-2026. Each arm's texts, original and
synthetic ones alike, are shuffled and cut into K parts (``KFold``), each held out once: neither by
class nor by seeds. So most synthetic texts are tested by a rule that was trained on their seeds,
or on other texts of these, and F1 looks too good. Each arm is tested on texts of its own: where it
has more texts of the class, more of them are held out.

============= ========================================================================
raw           the n originals at hand
synthetic     the same, filled with synthetic texts
ssmba         the same, filled with neighbours of the originals
all_real      as many original texts
============= ========================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Array, Key

from opal.bridge.text.impute.arms import ALL_REAL, NONE, ArmData, Pools
from opal.draws import named, on_host

SOUND, PUBLISHED = "sound", "published"
ARMS = ("raw", "synthetic", "ssmba", ALL_REAL)
FIXED: dict[str, Any] = {
    "encoder": None,
    "classifier": PUBLISHED,  # of :data:`opal.bridge.text.classifiers.PRESETS`
    "temperature": 0.7,
    "top_p": 1.0,
    "fixed_seeds": False,
}
"""What flags of the command have to be."""
NOTE = (
    "published protocol: folds know no lineage, so that synthetic texts are tested by rules that "
    "have seen their seeds, and F1 and claims look too good; --protocol sound judges"
)


@dataclass(frozen=True, eq=False)
class ArmTexts:
    """All texts of an arm: those that it is trained on in one fold are tested on in another."""

    arm: str
    writer: str  # of its synthetic texts, or ``none``
    cases: tuple[int, ...]  # numbers of originals at hand that it stands for
    real: np.ndarray  # rows of its original texts, those of other classes in front
    made: np.ndarray  # rows of its synthetic texts
    n_others: int  # original texts of other classes

    def folds(self, n_folds: int, key: Key[Array, ""]) -> Iterator[tuple[ArmData, np.ndarray]]:
        """What is trained on in each fold, with its tests, and the originals that are held out."""
        rows = np.concatenate([self.real, self.made])
        rng = on_host(named(key, f"published {self.arm} {self.writer} {self.cases}"))
        fold_of = rng.permutation(np.arange(len(rows)) % n_folds)
        original = np.arange(len(rows)) < len(self.real)
        for number in range(n_folds):
            out = fold_of == number
            tests = {self.writer: rows[out & ~original]} if len(self.made) else {}
            n_category = int((~out[self.n_others :]).sum())
            weights = np.ones(int((~out).sum()))
            yield (
                ArmData(self.arm, self.writer, rows[~out], weights, tests, n_category),
                rows[out & original],
            )


def arm_texts(
    pools: Pools, arms: tuple[str, ...], *, n_texts: int, n_category: int, fill_to: int
) -> Iterator[ArmTexts]:
    """The arms that there are texts for.

    Args:
        pools: synthetic texts.
        arms: of :data:`ARMS`.
        n_texts: original texts of a data set.
        n_category: those of the class, in front.
        fill_to: texts of the class when it is filled.
    """
    others = np.arange(n_category, n_texts)

    def texts(arm: str, writer: str, cases: tuple[int, ...], made: np.ndarray, n: int) -> ArmTexts:
        return ArmTexts(arm, writer, cases, np.append(others, np.arange(n)), made, len(others))

    none = np.array([], dtype=int)
    for n, kinds in pools.items():
        if "raw" in arms:
            yield texts("raw", NONE, (n,), none, n)
        for arm in ("synthetic", "ssmba"):
            for writer, pool in kinds.get(arm, {}).items() if arm in arms else ():
                yield texts(arm, writer, (n,), pool.rows[: fill_to - n], n)
    short = tuple(n for n in pools if n < n_category)
    if ALL_REAL in arms and short:
        yield texts(ALL_REAL, NONE, short, none, n_category)
