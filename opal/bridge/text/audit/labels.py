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

from opal.bridge.resampling import Folds, clustered_error, z_score
from opal.bridge.text.audit.tables import ALL, FOLDS, AuditData, by_class, family, folds_of
from opal.bridge.text.audit.variety import LEAST
from opal.bridge.text.classifiers import STRENGTH
from opal.bridge.text.curves.design import even
from opal.estimators.wide import fit_wide

_TOLERANCE = 1e-3


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
        return self._probabilities(self.data.label[self.rows])

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
    """Share of texts that a classifier of real texts gives their own class, class by class.

    ``agree`` is that of the synthetic texts, ``real_agree`` that of real texts it was not trained
    on, in the synthetic texts' mix of classes and attributes, and ``z`` their difference over its
    error, in which texts of the same seed count as one. ``confidence`` is the mean probability of
    the own class. ``instead`` is the class most often seen instead, with its share, and
    ``real_instead`` the share of real texts of the class in which it is seen.
    """
    data = seen.data
    own = data.label[seen.rows]
    said, agree = seen.label.argmax(axis=1), seen.label.argmax(axis=1) == own
    sure = seen.label[np.arange(len(own)), own]
    known = np.isfinite(seen.label[:, 0])
    made, real = seen.of(writer), seen.real
    found = []
    for name, inside in by_class(data, seen.rows, data.labels):
        a, b = inside & made & known, inside & real & known
        if not (inside & made).any():
            continue
        row: dict[str, Any] = {"class": name, "n": int(a.sum()), "n_real": int(b.sum())}
        few = min(row["n"], row["n_real"]) < LEAST
        row["reason"] = f"needs {LEAST} texts of each kind" if few else None
        if not few:
            row |= _agreement(seen, agree, a, b) | {"instead": None}
            wrong = said[a][said[a] != own[a]]
            if name != ALL and len(wrong):
                other = int(np.bincount(wrong).argmax())
                row["instead"] = data.labels[other]
                row["instead_share"] = float(np.mean(said[a] == other))
                row["real_instead"] = float(np.mean(said[b] == other))
            row |= {"confidence": float(sure[a].mean()), "real_confidence": float(sure[b].mean())}
        found.append(row)
    return found


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


def _agreement(seen: Seen, agree: np.ndarray, made: np.ndarray, real: np.ndarray) -> dict[str, Any]:
    """Agreement on synthetic texts, and on as many real ones of each class and attribute."""
    data = seen.data
    group = data.group[seen.rows]
    size = int(group.max()) + 1
    counts = np.bincount(group[real], minlength=size)
    made = made & (counts > 0)[group]
    mix = np.bincount(group[made], minlength=size) / made.sum()
    rate = np.bincount(group[real], agree[real], minlength=size) / np.maximum(counts, 1)
    variance = float(np.sum(mix**2 * rate * (1 - rate) / np.maximum(counts, 1)))
    values = agree[made].astype(float) - rate[group[made]]
    error = clustered_error(values, family(data, seen.rows[made]))
    z = z_score(float(values.mean()), error, float(np.sqrt(variance)))
    return {"agree": float(agree[made].mean()), "real_agree": float(mix @ rate), "z": z}


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
