"""What cross-validation on the base texts decides: the penalty, and what an added text weighs.

Folds are by lineage (:func:`opal.bridge.text.curves.material.folds`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from opal.bridge.text.classifiers import STRENGTHS
from opal.bridge.text.curves import arms
from opal.bridge.text.curves.material import Fold, Material, folds
from opal.bridge.text.curves.measures import measures
from opal.bridge.text.features import Features
from opal.estimators.wide import WideFit

FOLDS = 3
MOST_ADDED = 1000
"""Added texts beyond these are left out where ρ is chosen."""


def strength(
    data: Material,
    features: Features,
    seed: int,
    *,
    n_folds: int = FOLDS,
    strengths: Sequence[float] = STRENGTHS,
) -> float:
    """The C of least balanced log loss of group weighting on held-out base texts.

    Raises:
        ValueError: too few base texts for the folds.
    """
    losses = np.zeros(len(strengths))
    for fold in folds(data, n_folds, seed):
        training = arms.Training(fold.base, arms.even(data.group[fold.base]))
        x = features.given(training.rows)
        rule: WideFit | None = None
        for index, each in enumerate(strengths):
            rule = arms.train(data, x, training, strength=each, start=rule)
            losses[index] += _risk(data, x, fold, rule)
    return float(strengths[int(np.argmin(losses))])


def choose(
    data: Material,
    features: Features,
    seed: int,
    *,
    n_folds: int = FOLDS,
    most_added: int = MOST_ADDED,
    ratios: Sequence[float] = arms.RATIOS,
    strength: float = arms.STRENGTH,
) -> Mapping[str, float]:
    """The ρ of least balanced log loss on held-out base texts, for each source.

    A text that was made from a held-out one, or equals it, is not trained on.

    Args:
        data: the texts of a seed.
        features: of all of them.
        seed: deals the folds.
        n_folds: number of folds.
        most_added: how many texts of a source are added at most.
        ratios: that are tried; ρ = 0 is weighting.
        strength: C of the penalty.

    Raises:
        ValueError: too few base texts for the folds.
    """
    losses = {name: np.zeros(len(ratios)) for name in data.added}
    for fold in folds(data, n_folds, seed):
        alone = None
        for name in data.added:
            at_hand = np.isin(data.added[name][:most_added], fold.added[name])
            added = data.added[name][:most_added][at_hand]
            rule: WideFit | None = None
            for index, ratio in enumerate(ratios):
                if ratio == 0 and alone is not None:
                    losses[name][index] += alone
                    continue
                training = arms.adding("synthetic_alpha", data, fold.base, added, ratio)
                x = features.given(training.rows)
                rule = arms.train(data, x, training, strength=strength, start=rule)
                risk = _risk(data, x, fold, rule)
                losses[name][index] += risk
                alone = risk if ratio == 0 else alone
    return {name: float(ratios[int(np.argmin(loss))]) for name, loss in losses.items()}


def _risk(data: Material, x: Any, fold: Fold, rule: WideFit) -> float:
    """Balanced log loss on held-out texts of the classes that a fold leaves some of to train on."""
    known = np.isin(data.y[fold.held_out], data.y[fold.base])
    rows = fold.held_out[known]
    p = rule.probabilities(x[rows])
    return measures(p, data.y[rows], data.group[rows])["balanced_risk"].value
