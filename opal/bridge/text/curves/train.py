"""The rules of one seed, and what cross-validation decides of them.

- Arms that add nothing (:func:`alone`), and arms that add texts, at every size (:func:`grown`).
- The pilot, from which a plan of how many texts to buy is made. It knows the base texts and half of
  the largest size of a writer; what larger sizes are worth is a prediction
  (:mod:`opal.bridge.text.curves.plan`).
- Purchases that a plan may recommend, really trained: what it promises is held against them. Their
  sizes lie beyond the pilot's, at weights between which a plan may choose.
- The penalty, what an added text weighs, and the share of its writer's bias that is subtracted, by
  folds of the base texts (:func:`opal.bridge.text.curves.design.folds`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from opal.bridge.text.classifiers import STRENGTHS
from opal.bridge.text.corpus import HUMAN
from opal.bridge.text.curves import design
from opal.bridge.text.curves.design import (
    ADDING,
    BASELINES,
    CORRECTED,
    CORRECTIONS,
    RATIOS,
    SplitData,
    TuningFold,
    WeightedRows,
    folds,
)
from opal.bridge.text.curves.measures import METRICS, Measure, measures
from opal.bridge.text.encoders import Features
from opal.draws import as_key, named, on_host
from opal.estimators.wide import WideFit

PILOT = "pilot"
REAL = (0.25, 0.5, 0.75)
"""Shares of the base texts that the pilot trains on alone; all of them are ``weighting``."""
SYNTHETIC = (0.125, 0.25, 0.5)
"""Shares of a writer's largest size that it trains on alone."""
PILOT_WEIGHTS = (0.05, 0.2, 0.4, 0.6, 0.8)
"""α of its mixtures with the smallest and the largest of these shares."""
PURCHASE = "purchase"
BOUGHT = (0.75, 1.0)
"""Shares of a writer's largest size that are bought."""
PURCHASE_WEIGHTS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
"""α of purchases, of which each fit begins where that of the last one ended."""
FOLDS = 3
MOST_ADDED = 1000
"""Added texts beyond these are left out where ρ is chosen."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A rule of an arm, on the test texts."""

    arm: str  # its name
    writer: str  # of the added texts
    added: int  # N
    training: WeightedRows  # what it was trained on
    ratio: float  # ρ of its weights; not a number for other arms
    rule: WideFit  # the fitted rule
    measured: Mapping[str, Measure]  # every metric
    lost: bool = False  # whether λ > 0 was chosen, and given up for a fit without a minimum

    @classmethod
    def of(
        cls,
        data: SplitData,
        x: Any,
        arm: str,
        training: WeightedRows,
        rule: WideFit,
        writer: str = "none",
        added: int = 0,
        ratio: float = np.nan,
    ) -> Trained:
        """The rule, measured on the test texts.

        ``x`` are features of all texts [n, d]; ``added`` is N, and ``ratio`` is ρ.
        """
        p = rule.probabilities(x[data.test])
        found = measures(p, data.y[data.test], data.group[data.test])
        return cls(arm, writer, added, training, ratio, rule, found)

    def described(self, data: SplitData) -> dict[str, Any]:
        """The columns that say which rule a record is of.

        ``n_each`` is the harmonic mean of the groups' real texts, which a group counts for under
        group weighting; ``total`` is that of all texts, times the number of groups.
        """
        base = self.training.rows[np.isin(self.training.rows, data.base)]
        real = np.unique(base)
        counts = np.bincount(data.group[real], minlength=len(data.groups))
        present = counts[counts > 0]
        effective = [_harmonic(data.group[rows]) for rows in (real, self.training.rows)]
        filled = len(self.training.rows) - len(real) if self.training.alpha == 0 else 0
        return {
            "synthesizer": "duplicate" if self.arm == "duplication" else self.writer,
            "arm": self.arm,
            "n_real": int(counts.sum()),
            "n_min": int(present.min(initial=counts.sum())),
            "n_max": int(counts.max()),
            "n_oversampled": filled,
            "n_augmented": round(self.added / len(data.groups)) if not filled else 0,
            "alpha": self.training.alpha,
            "added": self.added,
            "rho": self.ratio,
            "correction": self.training.correction,
            "lost": self.lost,
            "n_each": effective[0],
            "total": effective[1] * len(np.unique(data.group[self.training.rows])),
        }

    def rows(
        self, data: SplitData, references: Mapping[str, Mapping[str, Measure]]
    ) -> Iterator[dict[str, Any]]:
        """Every metric, its difference to those of other rules, and the error of every group.

        ``references`` are what the other rules measure, by what a difference to them is called.
        """
        same = self.described(data) | {"source": "data"}
        for name, (value, influence) in self.measured.items():
            metric, _, group = name.partition(" ")
            own = same | {"group": data.groups[int(group)] if group else "all"}
            yield own | {"metric": metric, **Measure(value, influence).recorded(data.block)}
            if metric not in METRICS:
                continue
            for said, other in references.items():
                difference = Measure(value, influence).less(other[name])
                yield own | {"metric": f"{metric}_{said}", **difference.recorded(data.block)}


@dataclass(frozen=True, eq=False)
class Trainer:
    """Trains and tests the rules of one seed."""

    data: SplitData  # the texts
    features: Features  # of all of them
    seed: int  # of the duplicates, and of the parts of the base texts
    strength: float  # C of the penalty

    def rule(
        self,
        arm: str,
        training: WeightedRows,
        writer: str = "none",
        added: int = 0,
        *,
        ratio: float = np.nan,
        start: WideFit | None = None,
    ) -> Trained:
        """The rule of an arm, begun at another one, on the test texts."""
        rule, x = self.fitted(arm, training, start)
        return Trained.of(self.data, x, arm, training, rule, writer, added, ratio)

    def fitted(
        self, arm: str, training: WeightedRows, start: WideFit | None = None
    ) -> tuple[WideFit, Any]:
        """The rule of an arm, begun at another one, and the features of all texts that it reads."""
        x = self.features.given(training.rows)
        rule = design.fit_rule(self.data, x, training, strength=self.strength, start=start)
        if arm == "threshold":
            real = training.rows[np.isin(training.rows, self.data.base)]
            rule = design.moved(rule, self.data.y[real])
        return rule, x

    def mixture(
        self,
        arm: str,
        writer: str,
        added: np.ndarray,
        alpha: float,
        *,
        base: np.ndarray | None = None,
        start: WideFit | None = None,
    ) -> Trained:
        """The rule of base texts (all by default) and added ones with weight α."""
        real = self.data.base if base is None else base
        training = design.mixture(self.data, real, added, alpha)
        return self.rule(arm, training, writer, len(added), start=start)

    def sellers(self, sizes: Sequence[int]) -> Iterator[tuple[str, np.ndarray, int]]:
        """Each writer but people, its texts in their order, and its largest size."""
        for writer, order in self.data.added.items():
            fits = [size for size in sizes if size <= len(order)]
            if writer != HUMAN and fits:
                yield writer, order, max(fits)


def alone(trainer: Trainer) -> Iterator[Trained]:
    """The arms that add nothing."""
    rng = on_host(named(as_key(trainer.seed), "duplicates"))
    for arm in BASELINES:
        yield trainer.rule(arm, design.baseline(arm, trainer.data, trainer.data.base, rng))


class TunedWeights(NamedTuple):
    """What the texts of a writer weigh, by their least loss on held-out base texts."""

    ratio: float  # ρ without a correction
    corrected_ratio: float  # ρ with one
    correction: float  # its λ; 0 declines it, and both ρ are the same


def grown(
    trainer: Trainer, tuned: Mapping[str, TunedWeights], sizes: Sequence[int]
) -> Iterator[Trained]:
    """The arms that add texts, at every size; each fit begins where the last size's ended.

    ``tuned`` are the weights of each writer.
    """
    data = trainer.data
    for writer, order in data.added.items():
        own = tuned[writer]
        found: list[Trained] = []
        for arm in ADDING:
            if arm == CORRECTED:
                yield from _corrected(trainer, own, found) if writer != HUMAN else ()
                continue
            rule: WideFit | None = None
            found = []
            for size in sorted(set(sizes)):
                if size > len(order):
                    continue
                ratio = own.ratio if arm == "synthetic_alpha" else np.nan
                training = design.adding(arm, data, data.base, order[:size], ratio)
                start = rule if training.alpha or arm != "synthetic_alpha" else None
                each = trainer.rule(arm, training, writer, size, ratio=ratio, start=start)
                rule = each.rule
                found.append(each)
                yield each


def _corrected(
    trainer: Trainer, tuned: TunedWeights, plain: Sequence[Trained]
) -> Iterator[Trained]:
    """The corrected arm at the sizes of ``synthetic_alpha``, whose rules are given.

    It is theirs where the correction is declined, or leaves no minimum; and it does not exist where
    the writer has no texts of the largest group.
    """
    data = trainer.data
    for each in plain:
        added = data.added[each.writer][: each.added]
        if not design.has_yardstick(data, data.base, added):
            continue
        found = replace(each, arm=CORRECTED)
        if tuned.correction:
            weights = (tuned.corrected_ratio, tuned.correction)
            training = design.adding(CORRECTED, data, data.base, added, *weights)
            fitted = trainer.rule(
                CORRECTED, training, each.writer, each.added, ratio=weights[0], start=each.rule
            )
            found = replace(found, lost=True) if fitted.rule.lost else fitted
        yield found


def pilot(trainer: Trainer, sizes: Sequence[int]) -> Iterator[Trained]:
    """The pilot's rules; fresh human texts are no part of it."""
    none = np.empty(0, dtype=int)
    for share in REAL:
        part = _part(trainer.data, share, trainer.seed)
        yield trainer.mixture(PILOT, "none", none, 0.0, base=part)
    for writer, order, most in trainer.sellers(sizes):
        parts = [order[: round(share * most)] for share in SYNTHETIC]
        for added in parts:
            yield trainer.mixture(PILOT, writer, added, 1.0)
        for added in (parts[0], parts[-1]):
            for alpha in PILOT_WEIGHTS:
                yield trainer.mixture(PILOT, writer, added, alpha)


def purchases(trainer: Trainer, sizes: Sequence[int]) -> Iterator[Trained]:
    """The rules of all purchases; fresh human texts cannot be bought."""
    for writer, order, most in trainer.sellers(sizes):
        for share in BOUGHT:
            rule: WideFit | None = None
            for alpha in PURCHASE_WEIGHTS:
                added = order[: round(share * most)]
                found = trainer.mixture(PURCHASE, writer, added, alpha, start=rule)
                rule = found.rule
                yield found


def tune_strength(data: SplitData, features: Features, seed: int, *, n_folds: int) -> float:
    """The C of least balanced log loss of group weighting on held-out base texts.

    Raises:
        ValueError: too few base texts for the folds.
    """
    losses = np.zeros(len(STRENGTHS))
    for fold in folds(data, n_folds, seed):
        training = WeightedRows(fold.base, design.even(data.group[fold.base]))
        x = features.given(training.rows)
        rule: WideFit | None = None
        for index, each in enumerate(STRENGTHS):
            rule = design.fit_rule(data, x, training, strength=each, start=rule)
            losses[index] += _risk(data, x, fold, rule)
    return float(STRENGTHS[int(np.argmin(losses))])


def tune_weights(
    data: SplitData, features: Features, seed: int, *, n_folds: int, strength: float
) -> Mapping[str, TunedWeights]:
    """The ρ, and the ρ and λ, of least balanced log loss on held-out base texts, by writer.

    A text that was made from a held-out one, or equals it, is not trained on. At most
    :data:`MOST_ADDED` texts of a writer are added; ρ = 0 is weighting. A λ whose fit loses its
    minimum in a fold is not chosen.

    Raises:
        ValueError: too few base texts for the folds.
    """
    losses = {name: np.zeros((len(RATIOS), len(CORRECTIONS))) for name in data.added}
    for fold in folds(data, n_folds, seed):
        alone = None
        for name in data.added:
            most = data.added[name][:MOST_ADDED]
            added = most[np.isin(most, fold.added[name])]
            rule: WideFit | None = None
            for index, ratio in enumerate(RATIOS):
                if ratio == 0 and alone is not None:
                    losses[name][index] += [alone, *(np.inf for _ in CORRECTIONS[1:])]
                    continue
                training = design.adding("synthetic_alpha", data, fold.base, added, ratio)
                x = features.given(training.rows)
                rule = design.fit_rule(data, x, training, strength=strength, start=rule)
                risk = _risk(data, x, fold, rule)
                losses[name][index, 0] += risk
                alone = risk if ratio == 0 else alone
                losses[name][index, 1:] += (
                    _corrected_risks(data, x, fold, added, ratio, strength, rule)
                    if ratio and name != HUMAN
                    else np.inf
                )
    return {name: _least(loss) for name, loss in losses.items()}


def _corrected_risks(
    data: SplitData,
    x: Any,
    fold: TuningFold,
    added: np.ndarray,
    ratio: float,
    strength: float,
    start: WideFit,
) -> list[float]:
    """The held-out loss of each λ > 0; infinite where there is no yardstick or no minimum."""
    found = []
    for correction in CORRECTIONS[1:]:
        risk = np.inf
        if design.has_yardstick(data, fold.base, added):
            training = design.adding(CORRECTED, data, fold.base, added, ratio, correction)
            start = design.fit_rule(data, x, training, strength=strength, start=start)
            risk = np.inf if start.lost else _risk(data, x, fold, start)
        found.append(risk)
    return found


def _least(losses: np.ndarray) -> TunedWeights:
    """The weights of least loss, of each ρ and λ; of equal ones, the smallest."""
    ratio, correction = np.unravel_index(np.argmin(losses), losses.shape)
    plain = RATIOS[int(np.argmin(losses[:, 0]))]
    return TunedWeights(plain, RATIOS[int(ratio)], CORRECTIONS[int(correction)])


def _harmonic(group: np.ndarray) -> float:
    counts = np.bincount(group)
    counts = counts[counts > 0]
    return float(1 / np.mean(1 / counts)) if len(counts) else 0.0


def _part(data: SplitData, share: float, seed: int) -> np.ndarray:
    """A share of the base texts of each group, at least one."""
    mixed = on_host(named(as_key(seed), "pilot")).permutation(data.base)
    own = data.group[mixed]
    kept = [mixed[own == g][: max(1, round(share * np.sum(own == g)))] for g in np.unique(own)]
    return np.concatenate(kept)


def _risk(data: SplitData, x: Any, fold: TuningFold, rule: WideFit) -> float:
    """Balanced log loss on held-out texts of the classes that a fold leaves some of to train on."""
    known = np.isin(data.y[fold.held_out], data.y[fold.base])
    rows = fold.held_out[known]
    p = rule.probabilities(x[rows])
    return measures(p, data.y[rows], data.group[rows])["balanced_risk"].value
