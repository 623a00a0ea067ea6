"""Rules that are trained on some folds and asked about another."""

from __future__ import annotations

from typing import Any

import numpy as np

from opal.bridge.text.audit.folds import FOLDS, Folds
from opal.bridge.text.audit.stock import Stock
from opal.estimators.wide import fit_wide

STRENGTH = 10.0
_TOLERANCE = 1e-3


def out_of_fold(
    stock: Stock,
    rows: np.ndarray,
    y: np.ndarray,
    group: np.ndarray,
    folds: Folds,
    *,
    trained: np.ndarray,
) -> np.ndarray:
    """Probabilities of the classes by a linear rule that has seen no relative of a text [n, K].

    Args:
        stock: of the texts.
        rows: n texts.
        y: what is learned, 0 … K−1 [n].
        group: groups weigh the same in training [n].
        folds: of the texts.
        trained: a mask of the texts that may be trained on [n].
    """
    n_classes = int(y.max()) + 1
    p = np.full((len(rows), n_classes), np.nan)
    features = stock.features(rows)
    for k in range(FOLDS):
        train, test = np.flatnonzero(trained & ~folds.barred[k]), folds.home == k
        if not test.any() or not len(train):
            continue
        x = _occurring(features.given(train), train)
        ridge = 1 / (2 * STRENGTH * len(train))
        weights, tolerance = _even(group[train]), _TOLERANCE
        fit = fit_wide(
            x[train], y[train], weights, n_classes=n_classes, ridge=ridge, tolerance=tolerance
        )
        p[test] = fit.probabilities(x[test])
    return p


def _occurring(x: Any, train: np.ndarray) -> Any:
    """Features without those that no training text has; dense ones as they are."""
    if isinstance(x, np.ndarray):
        return x
    return x[:, np.flatnonzero(x[train].getnnz(axis=0))]


def _even(group: np.ndarray) -> np.ndarray:
    """Weights of sum one under which all groups that are present weigh the same."""
    _, place, counts = np.unique(group, return_inverse=True, return_counts=True)
    return 1 / (len(counts) * counts[place])
