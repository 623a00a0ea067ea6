"""Whether synthetic texts are of the class, and have the attribute, that they are said to have.

A model that was asked for texts of a class and an attribute may write those of the attribute that
usually goes with the class: the stated attribute does not show it, but a classifier of real texts
does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from opal.bridge.label_noise import (
    WrongLabels,
    described,
    wrong_labels,
)
from opal.bridge.label_scores import MADE, RIGHT, WRONG
from opal.bridge.resampling import Folds, clustered_error, z_score
from opal.bridge.text.audit.tables import ALL, FOLDS, AuditData, family, folds_of
from opal.bridge.text.audit.variety import LEAST
from opal.bridge.text.classifiers import STRENGTH
from opal.bridge.text.curves.design import even
from opal.estimators.wide import fit_wide

_TOLERANCE = 1e-3
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Seen:
    """What a classifier of real texts sees in texts that are no relatives of its own."""

    data: AuditData  # of the texts
    seed: int  # of the folds

    @cached_property
    def rows(self) -> np.ndarray:
        """All synthetic texts, then each real one (test texts aside) once."""
        real = self.data.known()
        _, first = np.unique(self.data.key[real], return_index=True)
        return np.concatenate([*self.data.made.values(), real[np.sort(first)]])

    @cached_property
    def real(self) -> np.ndarray:
        """Which rows are real texts [n]."""
        return np.isin(self.rows, self.data.known())

    def of(self, writer: str) -> np.ndarray:
        """Which rows are texts of a writer [n]."""
        return np.isin(self.rows, self.data.made[writer])

    @cached_property
    def _folds(self) -> Folds:
        # Real texts are dealt out class by class, so that each fold has some of each.
        kind = self.real * (1 + self.data.label[self.rows])
        return folds_of(self.data, self.rows, kind, self.seed)

    @cached_property
    def label(self) -> np.ndarray:
        """Probability of each class [n, K]."""
        return self._probabilities(self.own)

    @cached_property
    def known(self) -> np.ndarray:
        """Which rows the classifier was asked about [n]."""
        return np.isfinite(self.label[:, 0])

    @cached_property
    def own(self) -> np.ndarray:
        """Class of each row, a number [n]."""
        return self.data.label[self.rows]

    @cached_property
    def family(self) -> np.ndarray:
        """What rows share that are no independent draws [n]."""
        return family(self.data, self.rows)

    def odds(self, number: int) -> np.ndarray:
        """Log odds of a class against the others, in their mix among real texts [n]."""
        counts = np.bincount(self.own[self.real], minlength=self.label.shape[1]).astype(float)
        counts[number] = 0.0
        others = self.label @ (counts / max(counts.sum(), 1.0))
        return np.log(np.maximum(self.label[:, number], _TINY) / np.maximum(others, _TINY))

    @cached_property
    def attribute(self) -> np.ndarray:
        """Probability of each attribute [n, A]."""
        return self._probabilities(self.stated)

    @cached_property
    def stated(self) -> np.ndarray:
        """Stated attribute of each text, a number [n]."""
        return self.data.attribute[self.rows]

    def _probabilities(self, y: np.ndarray) -> np.ndarray:
        """By a rule of real texts; groups are classes, or (class, attribute) where there is one.

        With groups that weigh the same, what goes along with a class is no evidence for it.
        """
        group = self.data.group[self.rows]
        return out_of_fold(self.data, self.rows, y, group, self._folds, trained=self.real)


def labels(seen: Seen, writer: str) -> list[dict[str, Any]]:
    """What share of the labels is wrong, class by class (:mod:`opal.bridge.label_noise`).

    - ``wrong`` and ``std_error``: the share of texts that read like texts of the other classes
      instead of their own, by a classifier of real texts that saw no relative of theirs; texts of
      the same seed count as one. ``z`` is the share over the error of its test;
    - ``auc``: how well the classifier tells real texts of the class from those of the others;
    - ``detectable``: the share of wrong labels that would be a finding with probability .8;
    - ``between``: z of how much more the readings vary than right and wrong labels mixed would;
    - ``agree``: share of texts that are given their own class, and ``real_agree`` that of real
      texts in the same mix of attributes;
    - ``instead``: the class most often seen instead, with its share, and ``real_instead`` the share
      of real texts of the class in which it is seen.

    ``reason`` says why the share cannot be told; agreement is told where there are enough texts.
    """
    numbers = np.unique(seen.data.label[seen.data.made[writer]])
    return described([_class(seen, writer, each) for each in numbers], seen.family, ALL)


def _class(seen: Seen, writer: str, number: int) -> tuple[dict[str, Any], WrongLabels | str]:
    """Counts and agreement of a class, and its share of wrong labels."""
    mine = seen.known & (seen.own == number)
    made, real = mine & seen.of(writer), mine & seen.real
    row: dict[str, Any] = {"class": seen.data.labels[number]}
    row |= {"n": int(made.sum()), "n_real": int(real.sum())}
    if min(row["n"], row["n_real"]) >= LEAST:
        row |= _agreement(seen, made, real)
    kind = np.where(made, MADE, np.where(real, RIGHT, np.where(seen.real, WRONG, -1)))
    return row, wrong_labels(seen.odds(number), kind, seen.stated, seen.family)


def composition(seen: Seen, writer: str) -> dict[str, Any] | None:
    """Counts by class and attribute; None where some table has no attribute.

    ``groups``: how many texts of each (class, attribute) each table has.

    ``seen``: for each class and attribute, the share of the class's synthetic texts that are said
    to have it (``stated``), the share in which a classifier of real texts sees it (``seen``), and
    the share in which it would see it if all were as they are said to be (``expected``, from what
    it sees in real texts of the same class and attribute that it was not trained on). ``z`` is the
    difference of the last two over its error. ``real`` is the share among base texts: a z of the
    sign of ``real`` minus ``stated`` is a correlation that the model rebuilt.
    """
    data = seen.data
    if not data.attributes:
        return None
    tables = {**data.real, writer: data.made[writer]}
    groups = []
    for c, label in enumerate(data.labels):
        for a, value in enumerate(data.attributes):
            row: dict[str, Any] = {"class": label, "attribute": value}
            inside = (data.label == c) & (data.attribute == a)
            groups.append(row | {name: int(inside[rows].sum()) for name, rows in tables.items()})
    return {"tables": list(tables), "groups": groups, "seen": _seen(seen, writer)}


def out_of_fold(
    data: AuditData,
    rows: np.ndarray,
    y: np.ndarray,
    group: np.ndarray,
    folds: Folds,
    *,
    trained: np.ndarray,
) -> np.ndarray:
    """Probabilities of the classes by a linear rule that has seen no relative of a text [n, K].

    The rule learns ``y``, 0 … K−1 [n], from the texts of the mask ``trained`` [n]; groups weigh the
    same [n].
    """
    n_classes = int(y.max()) + 1
    p = np.full((len(rows), n_classes), np.nan)
    features = data.features(rows)
    for k in range(FOLDS):
        train, test = np.flatnonzero(trained & ~folds.barred[k]), folds.home == k
        if not test.any() or not len(train):
            continue
        x = features.given(train)
        if not isinstance(x, np.ndarray):
            x = x[:, np.flatnonzero(x[train].getnnz(axis=0))]  # without words that no one has
        ridge = 1 / (2 * STRENGTH * len(train))
        options: dict[str, Any] = {"ridge": ridge, "tolerance": _TOLERANCE}
        fit = fit_wide(x[train], y[train], even(group[train]), n_classes=n_classes, **options)
        p[test] = fit.probabilities(x[test])
    return p


def _agreement(seen: Seen, made: np.ndarray, real: np.ndarray) -> dict[str, Any]:
    """Agreement on synthetic texts, and on real ones in the same mix of attributes."""
    said, number = seen.label.argmax(axis=1), seen.own[made][0]
    values = np.unique(seen.stated[real])
    made = made & np.isin(seen.stated, values)
    agree = np.array([np.mean(said[real & (seen.stated == a)] == number) for a in values])
    mix = np.array([np.mean(seen.stated[made] == a) for a in values])
    row: dict[str, Any] = {
        "agree": float(np.mean(said[made] == number)),
        "real_agree": float(mix @ agree),
    }
    wrong = said[made][said[made] != number]
    if not len(wrong):
        return row | {"instead": None}
    other = int(np.bincount(wrong).argmax())
    row |= {
        "instead": seen.data.labels[other],
        "instead_share": float(np.mean(said[made] == other)),
    }
    return row | {"real_instead": float(np.mean(said[real] == other))}


def _seen(seen: Seen, writer: str) -> list[dict[str, Any]]:
    data, made = seen.data, seen.of(writer)
    own, said = data.label[seen.rows], seen.attribute.argmax(axis=1)
    known = np.isfinite(seen.attribute[:, 0])
    rows = []
    for c, label in enumerate(data.labels):
        ours = made & known & (own == c)
        base = data.real["base"][data.label[data.real["base"]] == c]
        if not ours.any():
            continue
        for a, value in enumerate(data.attributes):
            row: dict[str, Any] = {"class": label, "attribute": value, "n": int(ours.sum())}
            row["stated"] = float(np.mean(seen.stated[ours] == a))
            row["seen"] = float(np.mean(said[ours] == a))
            row["real"] = float(np.mean(data.attribute[base] == a)) if len(base) else None
            rows.append(row | _expected(seen, ours, known & seen.real & (own == c), said == a))
    return rows


def _expected(seen: Seen, ours: np.ndarray, real: np.ndarray, hit: np.ndarray) -> dict[str, Any]:
    """What would be seen if the texts were as stated, and how far what is seen is from that."""
    expected, variance = 0.0, 0.0
    rate = np.zeros(len(seen.data.attributes))
    for a in np.unique(seen.stated[ours]):
        like = real & (seen.stated == a)
        if like.sum() < LEAST:
            return {"expected": None, "z": None}
        share, rate[a] = float(np.mean(seen.stated[ours] == a)), float(hit[like].mean())
        expected += share * rate[a]
        variance += share**2 * rate[a] * (1 - rate[a]) / int(like.sum())
    values = hit[ours] - rate[seen.stated[ours]]
    error = clustered_error(values, family(seen.data, seen.rows[ours]))
    return {
        "expected": expected,
        "z": z_score(float(values.mean()), error, float(np.sqrt(variance))),
    }
