"""The classifiers of the sound evaluation: class-1 probabilities of the test rows of one arm.

All features are used. The logistic regression is standardised and ridge-penalised; its penalty is
chosen by cross-validation inside the training set. Folds are cut from real rows and hold out real
rows only; the arm is made anew from what remains, so that no duplicate, SMOTE row or recited copy
of a held-out row is trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from opal import names, validation
from opal.bridge import resampling
from opal.bridge.tabular import arms
from opal.bridge.tabular.arms import TrainingRows
from opal.bridge.tabular.splits import SplitArrays

CLASSIFIERS = ("logistic", "forest", "catboost")
PENALTIES = tuple(float(c) for c in np.logspace(-3, 2, 8))


@dataclass(frozen=True)
class SoundSettings:
    """How hard the sound evaluation works.

    Raises:
        ValueError: a number is too small to mean anything; the message names its flag.
    """

    folds: int = 5
    """Folds of the cross-validation that chooses the logistic penalty."""
    trees: int = 300
    """Trees of the random forest."""
    draws: int = 3
    """Draws of duplication, SMOTE and fresh real rows; their errors are averaged."""
    seed: int = 0
    """Seed of draws, folds and forests."""

    def __post_init__(self) -> None:
        validation.require_at_least("folds", self.folds, 2)
        validation.require_at_least("trees", self.trees, 1)
        validation.require_at_least("draws", self.draws, 1)
        validation.require_seed(self.seed)


def require_packages(classifiers: Iterable[str]) -> None:
    """Check that the packages of a sound evaluation with these classifiers are installed.

    Raises:
        ImportError: one is not.
    """
    chosen = set(classifiers)
    packages = [*({"catboost"} & chosen), *(["imblearn"] if chosen else [])]
    validation.require_installed("tabular", *packages)


def probabilities(
    classifier: str, arm: str, data: SplitArrays, key: tuple[int, ...], settings: SoundSettings
) -> tuple[np.ndarray, TrainingRows]:
    """P(class 1) of the test rows, ``(n_test,)``, and what was trained on.

    ``key`` are integers that name this draw: equal keys give equal results.

    Raises:
        UnknownNameError: the classifier is unknown.
    """
    names.check("classifier", [classifier], CLASSIFIERS)
    training = arms.build(arm, data, np.arange(len(data.train)), _rng(settings, key, 0))
    if classifier == "logistic":
        penalty = choose_penalty(arm, data, key, settings)
        scores = logistic_scores(training, len(data.train), [penalty])
        return expit(scores(data.test.x)[0]), training
    model = _forest(settings) if classifier == "forest" else catboost(settings.seed)
    model.fit(training.rows.x, training.rows.y, sample_weight=training.weight)
    return np.asarray(model.predict_proba(data.test.x))[:, 1], training


def _rng(settings: SoundSettings, key: tuple[int, ...], purpose: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, *key, purpose])


def choose_penalty(
    arm: str, data: SplitArrays, key: tuple[int, ...], settings: SoundSettings
) -> float:
    """The inverse penalty of :data:`PENALTIES` with the least log loss on held-out real rows.

    Arms that aim at balance are judged by the mean of the group losses; ``raw`` and ``threshold``
    by the plain mean, which is what they fit. Ties go to the stronger penalty.
    """
    fold = folds(data.train.group, settings)
    loss = np.zeros((len(PENALTIES), len(data.train)))
    for k in range(settings.folds):
        held_out = np.flatnonzero(fold == k)
        if not held_out.size:
            continue
        part = arms.build(arm, data, np.flatnonzero(fold != k), _rng(settings, key, 2 + k))
        rows = data.train.take(held_out)
        scores = logistic_scores(part, int((fold != k).sum()), PENALTIES)(rows.x)
        loss[:, held_out] = np.logaddexp(0.0, np.where(rows.y == 1, -scores, scores))
    judged = fold >= 0
    weight = np.ones(int(judged.sum()))
    if arm not in ("raw", "threshold"):
        weight = arms.balancing(data.train.group[judged], len(data.group_names))
    return PENALTIES[int(np.argmin(loss[:, judged] @ weight))]


def folds(group: np.ndarray, settings: SoundSettings) -> np.ndarray:
    """Fold of each row, ``(n,)``: each group is dealt out evenly.

    A group with a single row is never held out (−1): its model would know nothing of the group.
    """
    seed = int(_rng(settings, (), 1).integers(2**32))
    fold = resampling.deal(np.arange(len(group)), group, settings.folds, seed=seed)
    return np.where(np.bincount(group)[group] > 1, fold, -1)


def logistic_scores(
    training: TrainingRows, n_real: int, penalties: Sequence[float]
) -> Callable[[np.ndarray], np.ndarray]:
    """Linear scores ``(penalties, n)`` of new rows under weighted, standardised ridge fits.

    Weights are scaled to sum to the number of real rows: one penalty then means the same whether
    or not an arm adds rows.
    """
    x, w = training.rows.x, training.weight
    centre = np.average(x, axis=0, weights=w)
    scale = np.sqrt(np.average((x - centre) ** 2, axis=0, weights=w))
    scale[scale < 1e-12 * np.maximum(1.0, np.abs(centre))] = 1.0
    fits = ridge_path((x - centre) / scale, training.rows.y, w * (n_real / w.sum()), penalties)
    return lambda new: fits[:, :1] + fits[:, 1:] @ ((new - centre) / scale).T


def ridge_path(
    x: np.ndarray, y: np.ndarray, weight: np.ndarray, penalties: Sequence[float]
) -> np.ndarray:
    """Minimise ``C Σ w_i log(1 + exp(−s_i(b + x_i β))) + ½‖β‖²`` for each C, ``s = ±1``.

    Args:
        x: features ``(n, d)``, of similar scale.
        y: labels ``(n,)`` in {0, 1}; both occur.
        weight: positive weights ``(n,)``.
        penalties: inverse penalties C, ascending for the best starts.

    Returns:
        ``(len(penalties), 1 + d)``: intercept, which is not penalised, and coefficients.
    """
    from sklearn import config_context
    from sklearn.linear_model import LogisticRegression

    found = []
    model = LogisticRegression(solver="newton-cholesky", tol=1e-8, max_iter=200, warm_start=True)
    with config_context(assume_finite=True, skip_parameter_validation=True):
        for penalty in penalties:
            model.set_params(C=penalty).fit(x, y, sample_weight=weight)
            found.append(np.append(model.intercept_, model.coef_))
    return np.stack(found)


def _forest(settings: SoundSettings) -> Any:
    """Probability forest; leaves of at least 5 rows, so that row weights reach the predictions."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(
        settings.trees, min_samples_leaf=5, random_state=settings.seed, n_jobs=1
    )


def catboost(seed: int) -> Any:
    """Boosted trees with the settings of arXiv 2406.03628."""
    from catboost import CatBoostClassifier

    return CatBoostClassifier(
        iterations=200,
        learning_rate=0.05,
        depth=6,
        random_state=seed,
        thread_count=1,
        verbose=0,
        allow_writing_files=False,
    )
