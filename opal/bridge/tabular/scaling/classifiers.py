"""The classifiers of the published scaling-law experiments, as they come, on raw columns."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from opal.bridge.tabular.splits import TableRows

CLASSIFIERS = ("logistic", "forest", "xgboost")
N_TREES = 100
MAX_ITERATIONS = 1000
TOLERANCE = 1e-4
"""Largest entry of the mean loss's gradient at which lbfgs stops of itself."""


def probabilities(
    classifier: str,
    rows: TableRows,
    weight: np.ndarray | None,
    x: np.ndarray,
    *,
    seed: int,
    criterion: str = "entropy",
) -> np.ndarray:
    """Probabilities ``(n, 2)`` of the classes of new rows, in the classifier's own precision.

    Args:
        classifier: one of :data:`CLASSIFIERS`.
        rows: to fit to.
        weight: of each of them; None where the published call gave none.
        x: features ``(n, d)`` of the new rows.
        seed: of the classifier.
        criterion: of a forest's splits, ``entropy`` or ``gini``.
    """
    if classifier == "forest":
        return _forest(rows, weight, x, seed, criterion)
    if classifier == "xgboost":
        from xgboost import XGBClassifier

        boosted = XGBClassifier(random_state=seed, n_jobs=1)
        return np.asarray(boosted.fit(rows.x, rows.y, sample_weight=weight).predict_proba(x))
    return np.asarray(logistic(rows, weight).predict_proba(x))


def log_loss(y: np.ndarray, p: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Weighted mean of −log p(y), p clipped by its own precision and then taken in float64.

    (scikit-learn's own takes logarithms in the precision of p, and so moves with its version.)
    """
    tiny = np.finfo(p.dtype).eps
    clipped = np.clip(p, tiny, 1 - tiny)[np.arange(len(y)), y].astype(float)
    return -float(np.average(np.log(clipped), weights=weight))


def logistic(rows: TableRows, weight: np.ndarray | None, *, exact: bool = False) -> Any:
    """scikit-learn's logistic regression, wherever lbfgs stops: on raw columns often too early.

    With ``exact`` Newton's method finds the minimum of the same objective.
    """
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=MAX_ITERATIONS, tol=TOLERANCE)
    if exact:
        model.set_params(solver="newton-cholesky", tol=1e-8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `gradient_at` tells what the warning would
        return model.fit(rows.x, rows.y, sample_weight=weight)


def gradient_at(model: Any, rows: TableRows, weight: np.ndarray | None) -> float:
    """Largest entry of the mean loss's gradient where a logistic regression stopped."""
    w = np.ones(len(rows)) if weight is None else weight
    residual = w * (model.predict_proba(rows.x)[:, 1] - rows.y)
    slope = rows.x.T @ residual + model.coef_[0]  # the penalty is ½‖β‖² beside the summed loss
    return float(np.abs(np.append(slope, residual.sum())).max() / w.sum())


def _forest(
    rows: TableRows, weight: np.ndarray | None, x: np.ndarray, seed: int, criterion: str
) -> np.ndarray:
    """A random forest as scikit-learn grew it before version 1.9.

    Each tree sees a bootstrap sample drawn with equal probabilities, and a row's weight multiplies
    how often it was drawn. Since version 1.9 rows are drawn in proportion to their weights instead.
    """
    from sklearn.tree import DecisionTreeClassifier

    n = len(rows)
    known, new = rows.x.astype(np.float32), x.astype(np.float32)
    total = np.zeros((len(new), 2))
    stream = np.random.RandomState(seed)
    for tree_seed in [stream.randint(np.iinfo(np.int32).max) for _ in range(N_TREES)]:
        drawn = np.random.RandomState(tree_seed).randint(0, n, n, dtype=np.int32)
        times = np.bincount(drawn, minlength=n).astype(float)
        tree = DecisionTreeClassifier(
            criterion=criterion, max_features="sqrt", random_state=tree_seed
        )
        tree.fit(known, rows.y, times if weight is None else times * weight, check_input=False)
        total += tree.predict_proba(new, check_input=False)
    return total / N_TREES
