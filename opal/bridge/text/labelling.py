"""Labels for a corpus, by the rule of an arm of ``opal text evaluate`` that all human texts train.

Nothing is held out: how good such a rule is, evaluate says, and human labels of a random part of
the corpus (docs/infer.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from opal import names
from opal.bridge.text.corpus import TextCorpus, training_corpus
from opal.bridge.text.curves import design, train
from opal.bridge.text.curves.design import (
    ADDING,
    BASELINES,
    CORRECTED,
    REFERENCE,
    SplitData,
    TuningFold,
    WeightedRows,
)
from opal.bridge.text.curves.train import Trainer, TunedWeights
from opal.bridge.text.encoders import TFIDF, Embedding, Features, encoder
from opal.draws import as_key, named, on_host
from opal.estimators.wide import WideFit
from opal.spelling import folded

ARMS = (*BASELINES, *ADDING)
TUNED = ("synthetic_alpha", CORRECTED)
"""Arms whose weights are chosen by cross-validation."""
_AT_ONCE = 512  # texts between two steps of the progress
_NONE = np.empty(0, dtype=int)


@dataclass(frozen=True, eq=False)
class Labelled:
    """The labels of a corpus, and what gave them.

    Attributes:
        labels: the K classes, sorted.
        probabilities: of each text and class [n, K].
        trained_on: whether the rule was trained on the text, be it but for case, marks and spelling
            [n].
        arm: of ``opal text evaluate``.
        source: who wrote the texts that were added; empty where none were.
        n_real: human texts of each class that were trained on [K].
        n_added: added texts of each class [K].
        strength: C of the penalty.
        ratio: ρ, what an added text weighs in human ones; not a number for other arms.
        correction: λ.
        lost: whether λ > 0 was chosen, and given up for a fit without a minimum.
        recall: share of each class's human texts that the rule calls so when they are held out, by
            folds [K]; penalty and weights were chosen on the same folds.
        n_unused: texts of the source that are left out, as they were made from texts that are not
            trained on.
        seeds_known: whether any text of the source says what it was made from; if none does, texts
            that were made from a held-out one are trained on beside it.
    """

    labels: tuple[str, ...]
    probabilities: np.ndarray
    trained_on: np.ndarray
    arm: str
    source: str
    n_real: np.ndarray
    n_added: np.ndarray
    strength: float
    ratio: float
    correction: float
    lost: bool
    recall: np.ndarray
    n_unused: int
    seeds_known: bool

    @property
    def predicted(self) -> np.ndarray:
        """The likeliest class of each text [n]."""
        return np.array(self.labels, dtype=object)[self.probabilities.argmax(axis=1)]

    def columns(self) -> dict[str, Any]:
        """What a table of the corpus is extended by: label, probabilities, whether trained on."""
        made = (self.predicted, *self.probabilities.T, self.trained_on.astype(int))
        return dict(zip(column_names(self.labels), made, strict=True))


def label_texts(
    texts: Sequence[str],
    frame: pd.DataFrame,
    *,
    arm: str | None = None,
    source: str | None = None,
    features: str = TFIDF,
    folds: int = train.FOLDS,
    seed: int = 0,
    progress: Callable[[str], object] = lambda step: None,
) -> Labelled:
    """Train a rule on all human texts of a table, and label other texts with it.

    Args:
        texts: n texts to label.
        frame: labelled texts of humans, and of generators where the arm adds some.
        arm: of :data:`ARMS`; by default ``synthetic_alpha`` where there are texts of a generator,
            and ``weighting`` otherwise.
        source: the generator whose texts are added; the only one by default.
        features: an encoder, as for :func:`opal.bridge.text.encoders.encoder`.
        folds: that choose the penalty and the weight of added texts.
        seed: of folds, duplicates and the order of added texts.
        progress: called with what is done, :func:`steps` times.

    Raises:
        UnknownNameError: there is no such arm, source or encoder.
        ValueError: no text to label; a class with fewer than two different human texts; an arm
            that adds texts where there are none that could be, or several sources and none named.
    """
    if not len(texts):
        raise ValueError("a corpus needs texts to label; it has none. Give some.")
    corpus, data, arm, source = _prepared(frame, arm, source, folds, seed)
    known = _read([*data.frame["text"], *texts], features, progress)
    with threadpool_limits(1):  # small matrices: threads wait longer than they work
        progress("choosing the penalty")
        strength = train.tune_strength(data, known, seed, n_folds=folds)
        progress("choosing weights")
        tuned = TunedWeights(np.nan, np.nan, 0.0)
        if arm in TUNED:
            found = train.tune_weights(data, known, seed, n_folds=folds, strength=strength)
            tuned = found[source]
        trained = _Arm(Trainer(data, known, seed, strength), arm, source, tuned)
        progress("labelling")
        rule, training, x = trained.fitted()
        lost = bool(training.correction) and rule.lost
        if lost:
            trained = replace(trained, arm="synthetic_alpha")
            rule, training, x = trained.fitted()
        chances = rule.probabilities(x[len(data.frame) :])
        recall = trained.recall(folds)
    is_real = np.isin(training.rows, data.base)
    seen = {folded(text) for text in data.frame["text"].iloc[training.rows]}
    pool = corpus.synthetic[source] if source else data.frame[:0]
    return Labelled(
        labels=data.labels,
        probabilities=chances,
        trained_on=np.array([folded(text) in seen for text in texts]),
        arm=arm,
        source=source,
        n_real=_counts(data, training.rows[is_real]),
        n_added=_counts(data, training.rows[~is_real]),
        strength=strength,
        ratio=trained.ratio,
        correction=training.correction,
        lost=lost,
        recall=recall,
        n_unused=len(pool) - len(data.added.get(source, _NONE)),
        seeds_known=bool(pool["seeds"].map(len).any()) or pool.empty,
    )


def require_trainable(
    frame: pd.DataFrame, *, arm: str | None, source: str | None, folds: int, seed: int = 0
) -> None:
    """Refuse texts to train on, an arm or a source that :func:`label_texts` would refuse.

    Raises:
        UnknownNameError: there is no such arm or source.
        ValueError: the rules of :func:`label_texts`.
    """
    _prepared(frame, arm, source, folds, seed)


def _prepared(
    frame: pd.DataFrame, arm: str | None, source: str | None, folds: int, seed: int
) -> tuple[TextCorpus, SplitData, str, str]:
    """Texts to train on, of which there are enough for the folds, with arm and source."""
    corpus = training_corpus(frame)
    arm, source = _chosen(corpus, arm, source)
    data = _data(corpus, arm, source, seed)
    next(design.folds(data, folds, seed))
    return corpus, data, arm, source


def _data(corpus: TextCorpus, arm: str, source: str, seed: int) -> SplitData:
    """All that an arm may train on."""
    data = design.training_data(corpus, seed, chosen=(source,) if source else ())
    if source and not len(data.added[source]):
        raise ValueError(
            f"no text of {source!r} was made from human texts that are trained on. Give the texts "
            "that they were made from, or choose an arm that adds none: " + ", ".join(BASELINES)
        )
    if arm == CORRECTED and not design.has_yardstick(data, data.base, data.added[source]):
        raise ValueError(
            f"{CORRECTED} needs added texts of the largest class, where alone there are human ones "
            f"enough to see a bias; {source!r} has none. Write some, or choose another arm."
        )
    return data


def _read(texts: Sequence[str], features: str, progress: Callable[[str], object]) -> Features:
    """Features of all texts, embeddings some at a time."""
    found = encoder(features)
    for start in range(0, len(texts), _AT_ONCE):
        if isinstance(found, Embedding):  # which keeps the vectors
            found.transform(texts[start : start + _AT_ONCE])
        progress("reading texts")
    return found.features(texts)


@dataclass(frozen=True, eq=False)
class _Arm:
    """Trains an arm with the weights that were chosen for it."""

    trainer: Trainer
    arm: str
    source: str  # whose texts it adds; empty if none
    tuned: TunedWeights

    @property
    def ratio(self) -> float:
        """ρ."""
        return self.tuned.corrected_ratio if self.arm == CORRECTED else self.tuned.ratio

    def fitted(self, fold: TuningFold | None = None) -> tuple[WideFit, WeightedRows, Any]:
        """The rule of all texts or of a fold's, its rows, and the features that it reads."""
        data = self.trainer.data
        base, added = (data.base, data.added) if fold is None else (fold.base, fold.added)
        if not self.source:
            rng = on_host(named(as_key(self.trainer.seed), "duplicates"))
            training = design.baseline(self.arm, data, base, rng)
        else:
            correction = self.tuned.correction if self.arm == CORRECTED else 0.0
            training = design.adding(
                self.arm, data, base, added[self.source], self.ratio, correction
            )
        rule, x = self.trainer.fitted(self.arm, training)
        return rule, training, x

    def recall(self, n_folds: int) -> np.ndarray:
        """The share of each class's base texts that is called so when it is held out [K]."""
        data = self.trainer.data
        right = np.zeros(len(data.labels))
        for fold in design.folds(data, n_folds, self.trainer.seed):
            rule, _, x = self.fitted(fold)
            called = rule.scores(x[fold.held_out]).argmax(axis=1)
            right += _counts(data, fold.held_out[called == data.y[fold.held_out]])
        return right / _counts(data, data.base)


def _counts(data: SplitData, rows: np.ndarray) -> np.ndarray:
    """Rows of each class [K]; one that is there several times counts once."""
    return np.bincount(data.y[np.unique(rows)], minlength=len(data.labels))


def column_names(labels: Sequence[str]) -> list[str]:
    """Those that a labelled corpus gets: label, probabilities, whether it was trained on."""
    return ["predicted", *(f"probability of {label}" for label in labels), "trained_on"]


def steps(frame: pd.DataFrame, n_texts: int) -> int:
    """How often :func:`label_texts` tells its progress."""
    return -(-(len(frame) + n_texts) // _AT_ONCE) + 3


def _chosen(corpus: TextCorpus, arm: str | None, source: str | None) -> tuple[str, str]:
    """The arm, and the source that it adds; empty where it adds none."""
    there = tuple(corpus.synthetic)
    chosen = arm or ("synthetic_alpha" if there else REFERENCE)
    names.check("arm", [chosen], ARMS)
    if chosen not in ADDING:
        if source is not None:
            raise ValueError(
                f"{chosen!r} adds no texts; got the source {source!r}. Leave it out, or choose an "
                f"arm that adds some: {', '.join(ADDING)}."
            )
        return chosen, ""
    if not there:
        raise ValueError(
            f"{chosen!r} adds texts of a model, and there are none. Give them (--synthetic), or "
            f"choose an arm that adds none: {', '.join(BASELINES)}."
        )
    if source is None and len(there) > 1:
        raise ValueError(
            f"one source of texts is added; there are {', '.join(there)}. Name one (--source)."
        )
    names.check("source", [source or there[0]], there)
    return chosen, source or there[0]
