"""Whether synthetic texts are of the class, and have the attribute, that they are said to have."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from opal.bridge.text.audit import rules
from opal.bridge.text.audit.errors import clustered, ratio
from opal.bridge.text.audit.folds import Folds
from opal.bridge.text.audit.seeds import family
from opal.bridge.text.audit.splits import LEAST
from opal.bridge.text.audit.stock import ALL, Stock, by_class


@dataclass(frozen=True, eq=False)
class Seen:
    """What a classifier of real texts sees in texts that are no relatives of its own.

    Attributes:
        stock: of the texts.
        seed: of the folds.
    """

    stock: Stock
    seed: int

    @cached_property
    def rows(self) -> np.ndarray:
        """All synthetic texts, then each real one (test texts aside) once."""
        real = self.stock.known()
        _, first = np.unique(self.stock.key[real], return_index=True)
        return np.concatenate([*self.stock.made.values(), real[np.sort(first)]])

    @cached_property
    def real(self) -> np.ndarray:
        """Which rows are real texts [n]."""
        return np.isin(self.rows, self.stock.known())

    def of(self, source: str) -> np.ndarray:
        """Which rows are texts of a source [n]."""
        return np.isin(self.rows, self.stock.made[source])

    @cached_property
    def _folds(self) -> Folds:
        # Real texts are dealt out class by class, so that each fold has some of each.
        kind = self.real * (1 + self.stock.label[self.rows])
        return Folds.of(self.stock, self.rows, kind, self.seed)

    @cached_property
    def label(self) -> np.ndarray:
        """Probability of each class [n, K]."""
        return self._probabilities(self.stock.label[self.rows])

    @cached_property
    def attribute(self) -> np.ndarray:
        """Probability of each attribute [n, A]."""
        return self._probabilities(self.stated)

    @cached_property
    def stated(self) -> np.ndarray:
        """Stated attribute of each text, a number [n]."""
        return self.stock.attribute[self.rows]

    def _probabilities(self, y: np.ndarray) -> np.ndarray:
        """By a rule of real texts; groups are classes, or (class, attribute) where there is one.

        With groups that weigh the same, what goes along with a class is no evidence for it.
        """
        n_values = max(len(self.stock.attributes), 1)
        group = self.stock.label[self.rows] * n_values + self.stated
        return rules.out_of_fold(self.stock, self.rows, y, group, self._folds, trained=self.real)


def report(seen: Seen, source: str) -> list[dict[str, Any]]:
    """Share of texts that a classifier of real texts gives their own class, class by class.

    ``agree`` is that of the synthetic texts, ``real_agree`` that of real texts it was not trained
    on, in the synthetic texts' mix of classes and attributes, and ``z`` their difference over its
    error, in which texts of the same seed count as one. ``confidence`` is the mean probability of
    the own class. ``instead`` is the class most often seen instead, with its share, and
    ``real_instead`` the share of real texts of the class in which it is seen.
    """
    stock = seen.stock
    own = stock.label[seen.rows]
    said, agree = seen.label.argmax(axis=1), seen.label.argmax(axis=1) == own
    sure = seen.label[np.arange(len(own)), own]
    known = np.isfinite(seen.label[:, 0])
    made, real = seen.of(source), seen.real
    found = []
    for name, inside in by_class(stock, seen.rows, stock.labels):
        a, b = inside & made & known, inside & real & known
        if not (inside & made).any():
            continue
        row: dict[str, Any] = {"class": name, "n": int(a.sum()), "n_real": int(b.sum())}
        few = min(row["n"], row["n_real"]) < LEAST
        row["reason"] = f"needs {LEAST} texts of each kind" if few else None
        if not few:
            row |= _agreement(seen, agree, a, b)
            row["instead"] = None
            if name != ALL:
                row |= _instead(stock, said[a], said[b], own[a][0])
            row |= {"confidence": float(sure[a].mean()), "real_confidence": float(sure[b].mean())}
        found.append(row)
    return found


def _agreement(seen: Seen, agree: np.ndarray, made: np.ndarray, real: np.ndarray) -> dict[str, Any]:
    """Agreement on synthetic texts, and on as many real ones of each class and attribute."""
    stock = seen.stock
    group = stock.label[seen.rows] * max(len(stock.attributes), 1) + seen.stated
    size = int(group.max()) + 1
    counts = np.bincount(group[real], minlength=size)
    made = made & (counts > 0)[group]
    mix = np.bincount(group[made], minlength=size) / made.sum()
    rate = np.bincount(group[real], agree[real], minlength=size) / np.maximum(counts, 1)
    variance = float(np.sum(mix**2 * rate * (1 - rate) / np.maximum(counts, 1)))
    values = agree[made].astype(float) - rate[group[made]]
    error = clustered(values, family(stock, seen.rows[made]))
    z = ratio(float(values.mean()), error, float(np.sqrt(variance)))
    return {"agree": float(agree[made].mean()), "real_agree": float(mix @ rate), "z": z}


def _instead(stock: Stock, said: np.ndarray, real_said: np.ndarray, own: int) -> dict[str, Any]:
    wrong = said[said != own]
    if not len(wrong):
        return {"instead": None}
    other = int(np.bincount(wrong).argmax())
    return {
        "instead": stock.labels[other],
        "instead_share": float(np.mean(said == other)),
        "real_instead": float(np.mean(real_said == other)),
    }
