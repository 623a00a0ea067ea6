"""What imputation trains: a linear rule on features, or any classifier of texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from opal.bridge.text import features
from opal.bridge.text.classifiers import Classifier, ridge
from opal.bridge.text.encoders import Encoder
from opal.estimators.wide import fit_wide

STRENGTH = 10.0
"""C of the linear rule's penalty."""
_TOLERANCE = 1e-4


class Fit(Protocol):
    """A rule on all texts of a data set, trained on some of them."""

    def __call__(
        self, rows: np.ndarray, y: np.ndarray, weights: np.ndarray, tested: np.ndarray, seed: int
    ) -> np.ndarray:
        """Predicted classes of the tested texts, after training on ``rows`` with labels y."""
        ...


Learner = Callable[[Sequence[str], int], Fit]
"""From all texts of a data set and the number of classes to what is trained on some of them."""


def linear(chosen: Encoder, strength: float = STRENGTH) -> Learner:
    """Weighted logistic regression on features; ``λ = 1/(2 C n_eff)`` for weights of sum one."""

    def of(said: Sequence[str], n_classes: int) -> Fit:
        given = features.of(chosen, said)

        def fit(
            rows: np.ndarray, y: np.ndarray, weights: np.ndarray, tested: np.ndarray, seed: int
        ) -> np.ndarray:
            del seed
            x = given.given(rows)
            penalty = ridge(weights, strength)
            rule = fit_wide(
                x[rows], y, weights, n_classes=n_classes, ridge=penalty, tolerance=_TOLERANCE
            )
            predicted: np.ndarray = rule.scores(x[tested]).argmax(axis=1)
            return predicted

        return fit

    return of


def trained(classifier: Classifier) -> Learner:
    """Any classifier of texts, as a fine-tuned encoder."""

    def of(said: Sequence[str], n_classes: int) -> Fit:
        def fit(
            rows: np.ndarray, y: np.ndarray, weights: np.ndarray, tested: np.ndarray, seed: int
        ) -> np.ndarray:
            own = [said[i] for i in rows]
            rule = classifier.fit(own, y, weights, n_classes=n_classes, seed=seed)
            return rule.probabilities([said[i] for i in tested]).argmax(axis=1)

        return fit

    return of
