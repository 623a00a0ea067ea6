"""Classifiers of texts, all with a weight for each text: what an arm trains.

``fit(texts, y, weights)`` minimises ``Σ ω_i ℓ_i`` with the weights of :mod:`opal.objective`, so
that α means what it means in simulation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from opal.bridge.text.encoders import Encoder, TfIdf
from opal.bridge.text.training.finetune import FineTuning, fine_tune
from opal.estimators.wide import WideFit, fit_wide

STRENGTHS = (0.1, 1.0, 10.0, 100.0)


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
        strength: C of the penalty (:func:`ridge`).
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
        penalty = ridge(weights, self.strength)
        return LinearRule(encoder, fit_wide(x, y, weights, n_classes=n_classes, ridge=penalty))


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned encoder (:mod:`opal.bridge.text.training.finetune`)."""

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


def ridge(weights: np.ndarray, strength: float) -> float:
    """λ for weights of any sum: ``1/(2 C n_eff)`` of it, with ``n_eff = (Σω)²/Σω²`` texts.

    It does not jump where a weight leaves zero, as a count of texts would.
    """
    return float((weights**2).sum() / weights.sum()) / (2 * strength)
