"""The classifiers of the sound evaluation: class-1 probabilities of the test rows of one arm.

All features are used. The logistic regression is standardised and ridge-penalised; its penalty is
chosen by cross-validation inside the training set, and so is the share of a bias that an arm
subtracts. Folds are cut from real rows and hold out real rows only; the arm is made anew from what
remains, so that no duplicate, SMOTE row or recited copy of a held-out row is trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit

from opal import names, validation
from opal.bridge import resampling
from opal.bridge.tabular import arms
from opal.bridge.tabular.arms import TrainingRows
from opal.bridge.tabular.splits import SplitArrays
from opal.estimators.wide import fit_wide

CLASSIFIERS = ("logistic", "forest", "catboost")
PENALTIES = tuple(float(c) for c in np.logspace(-3, 2, 8))
_TOLERANCE = 1e-7  # of the gradient, for weights of sum one, where some are negative


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
    if classifier == "logistic":
        penalty, correction = choose_weights(arm, data, key, settings)
        p, training = _logistic(arm, data, key, settings, penalty, correction)
        if correction and np.isnan(p).any():  # on all rows, the fit has no minimum
            penalty = choose_penalty(arm, data, key, settings)
            p, training = _logistic(arm, data, key, settings, penalty)
            training = replace(training, lost=True)
        return p, training
    training = arms.build(arm, data, np.arange(len(data.train)), _rng(settings, key, 0))
    model = _forest(settings) if classifier == "forest" else catboost(settings.seed)
    model.fit(training.rows.x, training.rows.y, sample_weight=training.weight)
    return np.asarray(model.predict_proba(data.test.x))[:, 1], training


def _logistic(
    arm: str,
    data: SplitArrays,
    key: tuple[int, ...],
    settings: SoundSettings,
    penalty: float,
    correction: float = 0.0,
) -> tuple[np.ndarray, TrainingRows]:
    everything, rng = np.arange(len(data.train)), _rng(settings, key, 0)
    training = arms.build(arm, data, everything, rng, correction)
    return expit(logistic_scores(training, len(everything), [penalty])(data.test.x)[0]), training


def _rng(settings: SoundSettings, key: tuple[int, ...], purpose: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, *key, purpose])


def choose_penalty(
    arm: str, data: SplitArrays, key: tuple[int, ...], settings: SoundSettings
) -> float:
    """The inverse penalty of :data:`PENALTIES` with the least log loss on held-out real rows.

    Arms that aim at balance are judged by the mean of the group losses; ``raw`` and ``threshold``
    by the plain mean, which is what they fit. Ties go to the stronger penalty.
    """
    return PENALTIES[int(np.argmin(_held_out_losses(arm, data, key, settings)))]


def choose_weights(
    arm: str, data: SplitArrays, key: tuple[int, ...], settings: SoundSettings
) -> tuple[float, float]:
    """The inverse penalty and the correction of the least log loss on held-out real rows.

    The correction is one of :data:`opal.bridge.tabular.arms.CORRECTIONS` for the corrected arm, and
    0 for all others. One whose fit loses its minimum in a fold is not chosen.
    """
    tried = arms.CORRECTIONS if arm == arms.CORRECTED else (0.0,)
    losses = np.stack([_held_out_losses(arm, data, key, settings, each) for each in tried])
    correction, penalty = np.unravel_index(np.argmin(losses), losses.shape)
    return PENALTIES[int(penalty)], tried[int(correction)]


def _held_out_losses(
    arm: str,
    data: SplitArrays,
    key: tuple[int, ...],
    settings: SoundSettings,
    correction: float = 0.0,
) -> np.ndarray:
    """The log loss of each penalty, ``(penalties,)``; infinite where a fit has no minimum."""
    fold = folds(data.train.group, settings)
    loss = np.zeros((len(PENALTIES), len(data.train)))
    for k in range(settings.folds):
        held_out = np.flatnonzero(fold == k)
        if not held_out.size:
            continue
        kept, rng = np.flatnonzero(fold != k), _rng(settings, key, 2 + k)
        part = arms.build(arm, data, kept, rng, correction)
        rows = data.train.take(held_out)
        scores = logistic_scores(part, len(kept), PENALTIES)(rows.x)
        lost, scores = np.isnan(scores), np.nan_to_num(scores)
        losses = np.logaddexp(0.0, np.where(rows.y == 1, -scores, scores))
        loss[:, held_out] = np.where(lost, np.inf, losses)
    judged = fold >= 0
    weight = np.ones(int(judged.sum()))
    if arm not in ("raw", "threshold"):
        weight = arms.balancing(data.train.group[judged], len(data.group_names))
    held: np.ndarray = loss[:, judged] @ weight
    return held


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
    or not an arm adds rows. Scores are not numbers where a fit has no minimum. Rows of negative
    weight are left out where columns are standardised.
    """
    x, w = training.rows.x, training.weight
    seen = np.maximum(w, 0.0)
    centre = np.average(x, axis=0, weights=seen)
    scale = np.sqrt(np.average((x - centre) ** 2, axis=0, weights=seen))
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
        weight: weights ``(n,)``; some may be negative, those of each label have a positive sum.
        penalties: inverse penalties C, ascending for the best starts.

    Returns:
        ``(len(penalties), 1 + d)``: intercept, which is not penalised, and coefficients; not
        numbers where weights are negative and the fit has no minimum
        (:attr:`opal.estimators.wide.WideFit.lost`).
    """
    if (weight < 0).any():
        return _signed_path(x, y, weight, penalties)
    from sklearn import config_context
    from sklearn.linear_model import LogisticRegression

    found = []
    model = LogisticRegression(solver="newton-cholesky", tol=1e-8, max_iter=200, warm_start=True)
    with config_context(assume_finite=True, skip_parameter_validation=True):
        for penalty in penalties:
            model.set_params(C=penalty).fit(x, y, sample_weight=weight)
            found.append(np.append(model.intercept_, model.coef_))
    return np.stack(found)


def _signed_path(
    x: np.ndarray, y: np.ndarray, weight: np.ndarray, penalties: Sequence[float]
) -> np.ndarray:
    """The same with negative weights, of which scikit-learn's solver takes no account.

    Each fit begins at that of the stronger penalty, the first one at no coefficients.
    """
    fit, found = None, []
    for penalty in penalties:
        ridge = 1 / (penalty * weight.sum())
        fit = fit_wide(
            x, y, weight / weight.sum(), n_classes=2, ridge=ridge, start=fit, tolerance=_TOLERANCE
        )
        theta = np.append(fit.b[1] - fit.b[0], fit.w[:, 1] - fit.w[:, 0])
        found.append(np.full_like(theta, np.nan) if fit.lost else theta)
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
