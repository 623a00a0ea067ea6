"""Repeated cross-validation of imputation: F1 of the class on original and on synthetic texts.

All arms of a fold are tested on the same held-out original texts, of which P are of the class:
``F1 = 2 TP/(2 TP + FP + FN)``. On synthetic texts F1 is what it would be if the P were synthetic:
with the recall r of the synthetic texts that were not trained on and have a seed held out, and the
same false positives, ``F1 = 2rP/(rP + FP + P)``. The gap between the two, the paper's overfitting,
is thus one of recall alone, whatever the number of synthetic texts.

What is trained is a :data:`Learner`: a linear rule on features, or an encoder. It says the most
probable class, or, with a moved threshold, the class of interest wherever its probability is above
it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Array, Key
from threadpoolctl import threadpool_limits

from opal import names
from opal.bridge.resampling import deal, lineages
from opal.bridge.text.classifiers import STRENGTH, FineTuning, fine_tune, ridge
from opal.bridge.text.encoders import Encoder
from opal.bridge.text.impute import arms, f1_threshold, published
from opal.bridge.text.impute.arms import THRESHOLD, ArmData, Fold, Pools
from opal.bridge.text.impute.f1_threshold import Parts
from opal.bridge.text.impute.measures import f1_mixed, measures
from opal.bridge.text.impute.published import PUBLISHED, SOUND
from opal.bridge.text.impute.task import Task, draw
from opal.draws import as_key, named, on_host
from opal.estimators.wide import fit_wide

_TOLERANCE = 1e-4
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Trial:
    """What is done."""

    n_originals: tuple[int, ...]  # texts of the class that are at hand, each a case of its own
    fill_to: int = 200  # originals and added texts together
    n_folds: int = 10  # of a repeat
    n_repeats: int = 10  # of the cross-validation, each with a draw of the data set
    arms: tuple[str, ...] = arms.ARMS  # of :data:`opal.bridge.text.impute.arms.ARMS`
    seed: int = 0  # of all draws
    n_held_out: int = f1_threshold.N_PARTS  # of as many parts, those a threshold is chosen on
    protocol: str = SOUND  # or that of :mod:`opal.bridge.text.impute.published`

    def __post_init__(self) -> None:
        names.check("protocol", [self.protocol], (SOUND, PUBLISHED))
        names.check("arm", self.arms, published.ARMS if self.is_published else arms.ARMS)
        if self.n_repeats < 1:
            raise ValueError(f"repeats must be at least 1; got {self.n_repeats}.")

    @property
    def is_published(self) -> bool:
        """Whether folds know no lineage."""
        return self.protocol == PUBLISHED

    def key(self, name: str, repeat: int) -> Key[Array, ""]:
        """Of all draws of a repeat of the task of that name."""
        return named(as_key(self.seed), f"imputation {name} {repeat}")


Rule = Callable[[np.ndarray], np.ndarray]
"""Of rows, the probabilities of all classes [n, K]."""
Fit = Callable[[np.ndarray, np.ndarray, np.ndarray, int], Rule]
"""Of rows, their labels, their weights and a seed."""
Learner = Callable[[Sequence[str], int], Fit]
"""From all texts of a data set and the number of classes to what is trained on some of them."""


def evaluate(
    task: Task, trial: Trial, learner: Learner, progress: Progress | None = None
) -> pd.DataFrame:
    """The results of each fold; ``progress`` is told how many folds are done, and of how many.

    Returns:
        Columns ``repeat``, ``fold``, ``n_original``, ``arm``, ``synthesizer``, ``tested`` (whose
        texts stand in for the class, or ``human``), ``metric``, ``value``. ``all_real`` is there
        once for every ``n_original``, with the same F1 on original texts.

    Raises:
        ValueError: task and trial do not fit.
    """
    task.check(trial.n_originals, trial.fill_to, trial.n_folds)
    rows = []
    for repeat in range(trial.n_repeats):
        done = repeat * trial.n_folds
        for row in repeated(task, trial, learner, repeat):
            rows.append(row)
            if progress is not None:
                progress(done + row["fold"] + 1, trial.n_repeats * trial.n_folds)
    return pd.DataFrame(rows)


def repeated(
    task: Task, trial: Trial, learner: Learner, repeat: int, *, fold: int | None = None
) -> Iterator[dict[str, Any]]:
    """Rows of :func:`evaluate` of one repeat, or of one fold of it: no other has a part in it."""
    # The matrices are small: threads wait for each other longer than they work.
    with threadpool_limits(1):
        key = trial.key(task.name, repeat)
        of_folds = _published if trial.is_published else _sound
        numbers = range(trial.n_folds) if fold is None else [fold]
        parts = of_folds(task, trial, learner, key, numbers)
        for number, found in zip(numbers, parts, strict=True):
            yield from ({"repeat": repeat, "fold": number, **each} for each in found)


def split(
    frame: pd.DataFrame,
    n_folds: int,
    *,
    key: Key[Array, ""],
    together: Iterable[Collection[str]] = (),
) -> np.ndarray:
    """The fold 0 … K−1 of each original text [n].

    Every class has as many texts in each fold as in any other, up to one. Equal texts are in one
    fold, and so are those of ids that belong ``together``, such as those that one text was made
    from. Another key gives another split: repeat it.

    Raises:
        ValueError: K is below 2 or above the number of different texts, or a text was made from
            others.
    """
    made, different = sum(bool(seeds) for seeds in frame["seeds"]), frame["id"].nunique()
    if made:
        raise ValueError(
            f"folds are of original texts; {made} of {len(frame)} were made from others. Leave "
            "them out: what may be trained on follows from their seeds."
        )
    if not 2 <= n_folds <= different:
        raise ValueError(
            f"folds must be at least 2, and at most the number of different texts, {different}; "
            f"got {n_folds}."
        )
    seed = int(on_host(key).integers(2**32))
    return deal(lineages(frame["id"], together), frame["label"].to_numpy(), n_folds, seed=seed)


def linear(
    chosen: Encoder, strength: float = STRENGTH, *, tolerance: float = _TOLERANCE
) -> Learner:
    """Weighted logistic regression on features; ``λ = 1/(2 C n_eff)`` for weights of sum one."""

    def of(said: Sequence[str], n_classes: int) -> Fit:
        given = chosen.features(said)

        def fit(rows: np.ndarray, y: np.ndarray, weights: np.ndarray, seed: int) -> Rule:
            del seed
            x = given.given(rows)
            penalty = ridge(weights, strength)
            options: dict[str, Any] = {"ridge": penalty, "tolerance": tolerance}
            rule = fit_wide(x[rows], y, weights, n_classes=n_classes, **options)
            return lambda tested: rule.probabilities(x[tested])

        return fit

    return of


def fine_tuned(settings: FineTuning) -> Learner:
    """An encoder that is trained anew in each fold."""

    def of(said: Sequence[str], n_classes: int) -> Fit:
        def fit(rows: np.ndarray, y: np.ndarray, weights: np.ndarray, seed: int) -> Rule:
            own = [said[i] for i in rows]
            rule = fine_tune(own, y, weights, n_classes=n_classes, settings=settings, seed=seed)
            return lambda tested: rule.probabilities([said[i] for i in tested])

        return fit

    return of


@dataclass(frozen=True, eq=False)
class _DataSet:
    """The texts of a repeat."""

    frame: pd.DataFrame  # original texts, those of the class in front, then synthetic ones
    n_texts: int  # original ones
    n_category: int  # those of the class
    pools: Pools
    y: np.ndarray  # labels of all texts [n]
    target: int  # the class that is filled
    fit: Fit

    @classmethod
    def of(cls, task: Task, trial: Trial, learner: Learner, key: Key[Array, ""]) -> _DataSet:
        drawn, n_category = draw(task, trial.fill_to, key=key)
        pools, frame = arms.pools(task, drawn, trial.n_originals, trial.n_folds, key)
        known = {label: k for k, label in enumerate(task.labels)}
        y = frame["label"].map(known).to_numpy()
        fit = learner(frame["text"].tolist(), len(known))
        return cls(frame, len(drawn), n_category, pools, y, known[task.category], fit)


def _seed(key: Key[Array, ""], number: int) -> int:
    return int(on_host(named(key, f"fit {number}")).integers(2**31))


def _published(
    task: Task, trial: Trial, learner: Learner, key: Key[Array, ""], numbers: Collection[int]
) -> Iterator[list[dict[str, Any]]]:
    data = _DataSet.of(task, trial, learner, key)
    arms_texts = list(
        published.arm_texts(
            data.pools,
            trial.arms,
            n_texts=data.n_texts,
            n_category=data.n_category,
            fill_to=trial.fill_to,
        )
    )
    folds = [each.folds(trial.n_folds, key) for each in arms_texts]
    for number, trainings in enumerate(zip(*folds, strict=True)):
        if number not in numbers:
            continue
        found: list[dict[str, Any]] = []
        for texts, (training, held_out) in zip(arms_texts, trainings, strict=True):
            labels = data.y[training.rows]
            rule = data.fit(training.rows, labels, training.weights, _seed(key, number))
            about = {"synthesizer": texts.writer, "arm": texts.arm}
            result = list(_mixed(training, held_out, rule, data))
            found += [{"n_original": n} | about | each for n in texts.cases for each in result]
        yield found


def _mixed(
    training: ArmData, held_out: np.ndarray, rule: Rule, data: _DataSet
) -> Iterator[dict[str, Any]]:
    """Measures of a fold that was not dealt by class: without a text of it there are none."""
    tests = {writer: rows for writer, rows in training.tests.items() if len(rows)}
    rows, n = np.concatenate([held_out, *tests.values()]), len(held_out)
    true = data.y[rows] == data.target
    said = rule(rows).argmax(axis=1) == data.target
    if true[:n].any():
        yield from measures(training, said, true[:n], tests)
    if true.any():
        yield f1_mixed(said, true)


def _sound(
    task: Task, trial: Trial, learner: Learner, key: Key[Array, ""], numbers: Collection[int]
) -> Iterator[list[dict[str, Any]]]:
    together = [seeds for each in task.fixed.values() for seeds in each["seeds"]]
    data = _DataSet.of(task, trial, learner, key)
    frame, n_category = data.frame, data.n_category
    drawn = frame[: data.n_texts]
    fold_of = split(drawn, trial.n_folds, key=named(key, "folds"), together=together)
    bases = tuple(dict.fromkeys(arm.removesuffix(THRESHOLD) for arm in trial.arms))
    for number in numbers:
        found: list[dict[str, Any]] = []
        held_out = np.flatnonzero(fold_of == number)
        train = np.flatnonzero(fold_of != number)
        inner, used = named(key, f"parts {number}"), trial.n_held_out
        parts = Parts.of(frame, train, key=inner, together=together, used=used)
        trainer = _Trainer(data.fit, data.y, data.target, parts, _seed(key, number))
        for n in trial.n_originals:
            real = train[train < n_category]
            fold = Fold(
                number,
                frame["id"].to_numpy(dtype=object),
                held_out,
                train[train >= n_category],
                real[real < n],
                real,
                round(trial.fill_to * len(real) / n_category),
                trial.fill_to - n,
            )
            rng = on_host(named(key, f"duplication {n} {number}"))
            for training in arms.trainings(fold, data.pools[n], bases, rng):
                about = {"n_original": n, "synthesizer": training.writer}
                result = _result(training, fold, trainer, trial.arms)
                found += [about | each for each in result]
        yield found


@dataclass(frozen=True, eq=False)
class _Trainer:
    """Trains what the arms of a fold ask for: the same rows once, for all numbers of originals."""

    fit: Fit
    y: np.ndarray  # labels of all texts [n]
    target: int  # the class that is filled
    parts: Parts
    seed: int
    rules: dict[bytes, Rule] = field(default_factory=dict)
    cuts: dict[bytes, float] = field(default_factory=dict)

    def rule(self, training: ArmData) -> Rule:
        key = training.rows.tobytes() + training.weights.tobytes()
        if key not in self.rules:
            labels = self.y[training.rows]
            self.rules[key] = self.fit(training.rows, labels, training.weights, self.seed)
        return self.rules[key]

    def threshold(self, training: ArmData, weight: float) -> float:
        key = training.rows.tobytes() + training.weights.tobytes()
        if key not in self.cuts:
            self.cuts[key] = self._threshold(training, weight)
        return self.cuts[key]

    def _threshold(self, training: ArmData, weight: float) -> float:
        p, true = [], []
        own = self.y[training.rows] == self.target
        for rows, weights, held_out in self.parts.splits(training.rows, training.weights, own):
            rule = self.fit(rows, self.y[rows], weights, self.seed)
            p.append(rule(held_out)[:, self.target])
            true.append(self.y[held_out] == self.target)
        return f1_threshold.best(np.concatenate(p), np.concatenate(true), weight)


def _result(
    training: ArmData, fold: Fold, trainer: _Trainer, asked: Collection[str]
) -> Iterator[dict[str, Any]]:
    """Measures of one trained arm, as it is and with a moved threshold, where these are asked."""
    tests = {writer: rows for writer, rows in training.tests.items() if len(rows)}
    p = trainer.rule(training)(np.concatenate([fold.held_out, *tests.values()]))
    true = trainer.y[fold.held_out] == trainer.target
    arm, moved = training.arm, f"{training.arm}{THRESHOLD}"
    if arm in asked:
        said = p.argmax(axis=1) == trainer.target
        yield from ({"arm": arm} | each for each in measures(training, said, true, tests))
    if moved in asked:
        # Texts of the class in a test, over those that a rule of them may be tried on.
        weight = 1.0 if arm == arms.ALL_REAL else len(fold.real) / len(fold.own)
        cut = trainer.threshold(training, weight)
        said = p[:, trainer.target] > cut
        yield from ({"arm": moved} | each for each in measures(training, said, true, tests))
        yield {"arm": moved, "tested": "human", "metric": "threshold", "value": cut}
