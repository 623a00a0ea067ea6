"""A moved threshold: P(class) above which a text is said to be of the class.

It is chosen by cross-validation within the training texts of a fold. Held out are original texts
alone, by lineage; a synthetic text is trained on if none of its seeds is held out. Of the texts of
the class that are left, originals and synthetic ones have the shares that they have in the whole:
texts of several seeds seldom have none held out, and those that do then weigh more.

The threshold is the one of greatest F1 on all held-out parts together, in the class mix of the
texts that it is tested on: where some originals of the class are not at hand, those that are count
for them too. It lies in the middle between the two probabilities that it parts, and of equally
good ones it is the highest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Array, Key

from opal.bridge.resampling import deal, lineages
from opal.bridge.text.corpus import leaks
from opal.draws import on_host

N_PARTS = 3
_UNKNOWN = 0.5  # where no text of the class is held out


@dataclass(frozen=True, eq=False)
class Parts:
    """Parts of a fold's original training texts, each of which is held out once."""

    held_out: np.ndarray  # original texts of each part [K, n]
    barred: np.ndarray  # texts not to be trained on meanwhile [K, n]
    made: np.ndarray  # synthetic texts [n]

    @classmethod
    def of(
        cls,
        frame: pd.DataFrame,
        train: np.ndarray,
        *,
        key: Key[Array, ""],
        together: Collection[Collection[str]] = (),
        used: int = N_PARTS,
    ) -> Parts:
        """Deal the original training texts ``train``, rows of all texts, out to three parts.

        Ids that belong ``together`` are in one part. The first ``used`` parts are held out.
        """
        ids = frame["id"].to_numpy(dtype=object)
        seed = int(on_host(key).integers(2**32))
        kind = frame["label"].to_numpy()[train]
        part = np.full(len(frame), -1)
        part[train] = deal(lineages(ids[train], together), kind, N_PARTS, seed=seed)
        held_out = np.stack([part == k for k in range(used)])
        barred = np.stack([leaks(frame, ids[inside]) for inside in held_out])
        return cls(held_out, barred, frame["seeds"].map(bool).to_numpy(dtype=bool))

    def splits(
        self, rows: np.ndarray, weights: np.ndarray, own: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """What is trained on, its weights, and what is held out, part by part.

        Args:
            rows: of what an arm trains on; a row may be there several times [k].
            weights: ω > 0 [k].
            own: whether a row is of the class [k].
        """
        made = self.made[rows]
        for held_out, barred in zip(self.held_out, self.barred, strict=True):
            kept, out = ~barred[rows], np.unique(rows[held_out[rows]])
            scaled = weights.copy()
            if (made & kept).any():
                share = weights[own & ~made & kept].sum() / weights[own & ~made].sum()
                scaled[made] *= share * weights[made].sum() / weights[made & kept].sum()
            # A class without any original to train on leaves its synthetic texts no weight.
            kept &= scaled > 0
            if len(out) and kept.any():
                yield rows[kept], scaled[kept], out


def best(p: np.ndarray, true: np.ndarray, weight: float = 1.0) -> float:
    """The threshold of greatest F1, if texts with ``p`` above it are said to be of the class.

    Args:
        p: P(class) of each text [n].
        true: whether it is of the class [n].
        weight: what a text of the class counts, one of another counting 1.
    """
    if not true.any():
        return _UNKNOWN
    order = np.argsort(-p, kind="stable")
    counts = np.where(true[order], weight, 1.0)
    found, said = np.cumsum(counts * true[order]), np.cumsum(counts)
    lower = np.append(p[order][1:], 0.0)  # the next probability, which is not above the threshold
    parted = p[order] > lower
    if not parted.any():
        return _UNKNOWN
    f1 = np.where(parted, 2 * found / (said + weight * true.sum()), -1.0)
    at = int(np.argmax(f1))
    return float((p[order][at] + lower[at]) / 2)
