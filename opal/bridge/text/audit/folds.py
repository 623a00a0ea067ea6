"""Which texts are tested on together, and which must not be trained on then.

Equal texts (case, marks and spacing aside) share a fold, and a synthetic text is in that of its
first seed, together with all families that equal texts join. While a fold is held out, nothing is
trained on that equals one of its texts or was made from one, from whichever of its seeds: for texts
of one seed each these are the families of the seeds; for texts of several seeds a family of all of
them would soon be everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from opal.bridge.text.audit.stock import Stock

FOLDS = 5


@dataclass(frozen=True, eq=False)
class Folds:
    """Folds of some texts.

    Attributes:
        home: fold in which a text is tested on [n].
        barred: whether a text must not be trained on while a fold is held out [FOLDS, n].
    """

    home: np.ndarray
    barred: np.ndarray

    @classmethod
    def of(cls, stock: Stock, rows: np.ndarray, kind: np.ndarray, seed: int) -> Folds:
        """Deal texts out.

        Args:
            stock: that they are in.
            rows: n texts.
            kind: of each text; texts of a kind are dealt out evenly [n].
            seed: of the draw.
        """
        rng = np.random.default_rng(seed)
        key, seeds = stock.key[rows].tolist(), [stock.seed_keys[row] for row in rows]
        root: dict[int, int] = {}
        for own, made_from in zip(key, seeds, strict=True):
            # Equal texts may have different seeds, whose families are then one.
            if made_from and (head := _top(root, own)) != (other := _top(root, made_from[0])):
                root[head] = other
        fold: dict[int, int] = {}
        for one in np.unique(kind):
            _deal([_top(root, key[i]) for i in np.flatnonzero(kind == one)], fold, rng)
        _deal([_top(root, s) for each in seeds for s in each], fold, rng)
        home = np.array([fold[_top(root, k)] for k in key])
        barred = np.zeros((FOLDS, len(rows)), dtype=bool)
        barred[home, np.arange(len(rows))] = True
        for i, each in enumerate(seeds):
            barred[[fold[_top(root, s)] for s in each], i] = True
        return cls(home, barred)


def _deal(members: Iterable[int], fold: dict[int, int], rng: np.random.Generator) -> None:
    """Give families that have no fold yet one, large ones first, to the emptiest fold."""
    sizes, load = Counter(members), [0] * FOLDS
    for each, size in sizes.items():
        if each in fold:
            load[fold[each]] += size
    fresh = [each for each in sizes if each not in fold]
    shuffled = [fresh[j] for j in rng.permutation(len(fresh))]
    for each in sorted(shuffled, key=lambda one: -sizes[one]):
        fold[each] = load.index(min(load))
        load[fold[each]] += sizes[each]


def _top(root: dict[int, int], key: int) -> int:
    """What stands for a family."""
    while key in root:
        key = root[key]
    return key
