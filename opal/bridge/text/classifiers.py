"""Classifiers of texts, all with a weight for each text: what an arm trains.

``fit(texts, y, weights)`` minimises ``Σ ω_i ℓ_i`` with the weights of :mod:`opal.objective`, so
that α means what it means in simulation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from opal.bridge.text.encoders import Encoder, TfIdf
from opal.bridge.text.finetune import FineTuning, fine_tune
from opal.estimators.wide import WideFit, fit_wide

STRENGTHS = (0.1, 1.0, 10.0, 100.0)
_FOLDS = 5


class Rule(Protocol):
    """A trained classifier."""

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities of the classes [n, K]."""
        ...


class Classifier(Protocol):
    """A way to train one."""

    @property
    def name(self) -> str:
        """Used in records."""
        ...

    def fit(
        self,
        texts: Sequence[str],
        y: np.ndarray,
        weights: np.ndarray,
        *,
        n_classes: int,
        seed: int = 0,
    ) -> Rule:
        """Train on texts with labels in 0 … K−1 and weights ω ≥ 0."""
        ...


@dataclass(frozen=True)
class LinearRule:
    """A linear rule on features.

    Attributes:
        encoder: what makes the features.
        fit: the rule.
    """

    encoder: Encoder
    fit: WideFit

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities of the classes [n, K]."""
        return self.fit.probabilities(self.encoder.transform(texts))


@dataclass(frozen=True)
class Linear:
    """Weighted logistic regression on features of the texts.

    Attributes:
        encoder: what makes the features.
        strength: C; the penalty of n texts, for weights of sum one, is ``λ = 1/(2 C n)``.
    """

    encoder: Encoder = field(default_factory=TfIdf)
    strength: float = 10.0

    @property
    def name(self) -> str:
        """Of the encoder."""
        return self.encoder.name

    def fit(
        self,
        texts: Sequence[str],
        y: np.ndarray,
        weights: np.ndarray,
        *,
        n_classes: int,
        seed: int = 0,
    ) -> LinearRule:
        """Train; the same whatever the seed."""
        del seed
        used = weights > 0
        encoder = self.encoder.fit([text for text, kept in zip(texts, used, strict=True) if kept])
        x = encoder.transform(texts)
        fit = _fit(x, y, weights, n_classes, self.strength)
        return LinearRule(encoder, fit)


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned encoder (:mod:`opal.bridge.text.finetune`)."""

    settings: FineTuning = field(default_factory=FineTuning)

    @property
    def name(self) -> str:
        """The model's name."""
        return f"fine-tuned {self.settings.model.rsplit('/', 1)[-1]}"

    def fit(
        self,
        texts: Sequence[str],
        y: np.ndarray,
        weights: np.ndarray,
        *,
        n_classes: int,
        seed: int = 0,
    ) -> Rule:
        """Train; the seed draws the head and the order of the texts."""
        return fine_tune(texts, y, weights, n_classes=n_classes, settings=self.settings, seed=seed)


def choose_strength(
    encoder: Encoder,
    texts: Sequence[str],
    y: np.ndarray,
    *,
    n_classes: int,
    seed: int = 0,
    strengths: Sequence[float] = STRENGTHS,
) -> float:
    """The C of least mean class-balanced log loss in five-fold cross-validation.

    Equal texts stay in one fold.

    Raises:
        ValueError: fewer than five different texts.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    groups = np.unique(np.asarray(texts, dtype=object).astype(str), return_inverse=True)[1]
    if len(np.unique(groups)) < _FOLDS:
        raise ValueError(
            f"cross-validation needs at least {_FOLDS} different texts; got "
            f"{len(np.unique(groups))}. Give more, or name the strength C."
        )
    weights = _balanced(y, n_classes)
    loss = dict.fromkeys(strengths, 0.0)
    split = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
    for train, test in split.split(groups, y, groups):
        fitted = encoder.fit([texts[i] for i in train])
        x, held_out = (fitted.transform([texts[i] for i in rows]) for rows in (train, test))
        for strength in strengths:
            fit = _fit(x, y[train], weights[train], n_classes, strength)
            p = fit.probabilities(held_out)[np.arange(len(test)), y[test]]
            loss[strength] -= float(weights[test] @ np.log(np.maximum(p, 1e-300)))
    return min(loss, key=lambda strength: (loss[strength], strength))


def _fit(x: Any, y: np.ndarray, weights: np.ndarray, n_classes: int, strength: float) -> WideFit:
    ridge = float(weights.sum()) / (2 * strength * int(np.count_nonzero(weights)))
    return fit_wide(x, y, weights, n_classes=n_classes, ridge=ridge)


def _balanced(y: np.ndarray, n_classes: int) -> np.ndarray:
    """Weights of sum one under which all classes that are present weigh the same."""
    counts = np.bincount(y, minlength=n_classes)
    each = np.divide(1.0, counts, out=np.zeros(n_classes), where=counts > 0)[y]
    return each / each.sum()
