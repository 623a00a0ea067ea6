"""Tuned learners with calibrated probabilities: a rule is fitted, and says log odds of new rows.

A training set is made anew for each fold: real rows are held out, synthetic ones never are, since
it is real rows that a rule is for. A generator may have seen the rows that are held out; nothing
done with the training set can undo that, and what is chosen so leans towards its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from opal.bridge.tabular.arms import TrainingRows, balancing
from opal.bridge.tabular.classifiers import PENALTIES, logistic_scores
from opal.bridge.tabular.splits import TableRows

LEARNERS = ("logistic", "forest", "boosting")
_CHOICES: Mapping[str, Sequence[float]] = {
    "logistic": PENALTIES,
    "forest": (2, 5, 20),  # least rows of a leaf
    "boosting": (1, 2, 4),  # depth
}
_LEAST_P = 1e-3  # of a class: trees may say 0

Scores = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class TrainingTable:
    """Rows to train on, real ones first, and the weight of each."""

    rows: TableRows
    weight: np.ndarray
    group: np.ndarray  # of each real row (n_real,)
    balanced: bool = True  # whether groups weigh alike where the rule is judged on held-out rows

    @property
    def n_real(self) -> int:
        """Number of real rows."""
        return len(self.group)

    @property
    def judged(self) -> np.ndarray:
        """Weight of each real row where it is held out (n_real,)."""
        if not self.balanced:
            return np.ones(self.n_real)
        return balancing(self.group, int(self.group.max()) + 1)

    def without(self, held_out: np.ndarray) -> TrainingTable:
        """The same less some real rows, by their index."""
        kept = np.setdiff1d(np.arange(len(self.rows)), held_out)
        group = np.delete(self.group, held_out)
        return TrainingTable(self.rows.take(kept), self.weight[kept], group, self.balanced)


@dataclass(frozen=True)
class Learner:
    """A kind of rule with its setting: the inverse penalty, the size of a leaf, or the depth.

    The kind ``xgboost`` is XGBoost as it comes, without a setting.
    """

    kind: str
    setting: float
    seed: int

    def fit(self, training: TrainingTable) -> Scores:
        """Log odds of new rows ``(n, d) → (n,)``, not calibrated."""
        scores = _fitted([self], training)
        return lambda x: scores(x)[0]


def _fitted(learners: Sequence[Learner], training: TrainingTable) -> Scores:
    """Log odds of new rows ``(n, d) → (len(learners), n)``, of learners of one kind."""
    rows, weight = training.rows, training.weight / training.weight.mean()
    if learners[0].kind == "logistic":
        table = TrainingRows(rows, weight, np.zeros(0))
        return logistic_scores(table, training.n_real, [learner.setting for learner in learners])
    models = [_trees(each).fit(rows.x, rows.y, sample_weight=weight) for each in learners]
    return lambda x: np.stack([_log_odds(model.predict_proba(x)[:, 1]) for model in models])


def _trees(learner: Learner) -> Any:
    if learner.kind == "forest":
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(
            100, min_samples_leaf=int(learner.setting), random_state=learner.seed
        )
    from xgboost import XGBClassifier

    if learner.kind == "xgboost":
        return XGBClassifier(random_state=learner.seed, n_jobs=1)
    return XGBClassifier(
        n_estimators=100,
        learning_rate=0.1,
        max_depth=int(learner.setting),
        random_state=learner.seed,
        n_jobs=1,
    )


def _log_odds(p: np.ndarray) -> np.ndarray:
    p = np.clip(p.astype(float), _LEAST_P, 1 - _LEAST_P)
    return np.log(p / (1 - p))


@dataclass(frozen=True)
class HeldOutScores:
    """Log odds of the real rows while they were held out, and the weight of each."""

    scores: np.ndarray
    y: np.ndarray
    weight: np.ndarray

    def loss(self) -> float:
        """Mean log loss."""
        signed = np.where(self.y == 1, -self.scores, self.scores)
        return float(np.average(np.logaddexp(0.0, signed), weights=self.weight))

    def calibration(self) -> tuple[float, float]:
        """Slope and intercept of the logistic regression of the label on the score (Platt 1999)."""
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=1.0).fit(
            self.scores[:, None], self.y, sample_weight=self.weight
        )
        return float(model.coef_[0, 0]), float(model.intercept_[0])


def hold_out(learner: Learner, training: TrainingTable, folds: int) -> HeldOutScores:
    """Scores of the real rows by rules not fitted to them; groups are dealt out evenly."""
    return _held_out([learner], training, folds)[0]


def _held_out(
    learners: Sequence[Learner], training: TrainingTable, folds: int
) -> list[HeldOutScores]:
    from sklearn.model_selection import StratifiedKFold

    splitter = StratifiedKFold(folds, shuffle=True, random_state=learners[0].seed)
    scores = np.empty((len(learners), training.n_real))
    for _, held_out in splitter.split(training.group, training.group):
        fitted = _fitted(learners, training.without(held_out))
        scores[:, held_out] = fitted(training.rows.x[held_out])
    y, weight = training.rows.y[: training.n_real], training.judged
    return [HeldOutScores(mine, y, weight) for mine in scores]


def tuned(kind: str, training: TrainingTable, *, folds: int, seed: int) -> Learner:
    """The learner whose setting has the least held-out loss on a training set.

    Args:
        kind: one of :data:`LEARNERS`.
        training: the training set.
        folds: number of folds.
        seed: of the learner and the folds.
    """
    several = [Learner(kind, setting, seed) for setting in _CHOICES[kind]]
    held_out = _held_out(several, training, folds)
    return several[int(np.argmin([_calibrated(each, kind).loss() for each in held_out]))]


def held_out_loss(learner: Learner, training: TrainingTable, folds: int) -> float:
    """Mean loss of held-out real rows, after calibration."""
    return _calibrated(hold_out(learner, training, folds), learner.kind).loss()


def calibrated(learner: Learner, training: TrainingTable, folds: int) -> Scores:
    """A rule whose log odds are calibrated on held-out real rows; a logistic one stays as it is."""
    scores = learner.fit(training)
    if learner.kind == "logistic":
        return scores
    slope, intercept = hold_out(learner, training, folds).calibration()
    return lambda x: slope * scores(x) + intercept


def _calibrated(held_out: HeldOutScores, kind: str) -> HeldOutScores:
    if kind == "logistic":
        return held_out
    slope, intercept = held_out.calibration()
    return HeldOutScores(slope * held_out.scores + intercept, held_out.y, held_out.weight)
