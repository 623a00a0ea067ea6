r"""Texts of the grammar with a covariate each, and classifiers that label them.

The class of a text goes with a drawn covariate z, and its attribute a with the class alone:

.. math:: P(y = 1 | z) = σ(θ_0 + θ_z z), \qquad P(a = y | y) = ρ .

Hence the regressions on z, and on a and z, are both logistic, the latter with
``θ₀ + log((1 − ρ)/ρ)`` and ``θ_a = 2 log(ρ/(1 − ρ))``. What a text says depends on class and
attribute: a classifier's error rates depend on z no further than through y, but on a they do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from opal.bridge.downstream import Regression
from opal.bridge.text.encoders import TFIDF, encoder
from opal.bridge.text.impute import f1_threshold
from opal.bridge.text.impute.evaluate import Fit, linear
from opal.bridge.text.published import GRAMMAR, WRITERS
from opal.settings.quadrature import gaussian_nodes
from opal.theory.misclassification import Rate, naive_coefficients

from .downstream import TRUTH

DRAWN, BOTH = "drawn", "attribute and drawn"
COVARIATES: Mapping[str, tuple[str, ...]] = {DRAWN: ("drawn",), BOTH: ("attribute", "drawn")}
"""What is regressed on, besides the label where it is a covariate."""
CLASS = (-1.2, 0.8)  # θ₀ and θ_z
LINEAR = dict(zip(("intercept", "label", "attribute", "drawn"), TRUTH["covariate"], strict=True))
"""Coefficients of an outcome with normal noise of variance one, in which the label is a covariate;
without the attribute among them where it is not regressed on."""
RAW, WEIGHTING, THRESHOLD, SYNTHETIC = "raw", "weighting", "raw_threshold", "synthetic"
N_FOLDS = 3  # a threshold is chosen by
TOLERANCE = 1e-3  # of training: any classifier will do, as its own error rates are measured


class CorpusRows(NamedTuple):
    """Class, attribute and drawn covariate of texts [n]."""

    label: np.ndarray
    attribute: np.ndarray
    drawn: np.ndarray

    @property
    def group(self) -> np.ndarray:
        """Of the grammar [n]."""
        return 2 * self.label + self.attribute


@dataclass(frozen=True)
class CorpusLaw:
    """Where corpora come from."""

    rho: float  # ρ

    def link(self, label: int) -> np.ndarray:
        """P(a | y) [2]."""
        return GRAMMAR.link(label, self.rho)

    def draw(self, n: int, rng: np.random.Generator) -> CorpusRows:
        """A corpus of n texts, without what they say."""
        drawn = rng.normal(size=n)
        label = (rng.uniform(size=n) < expit(CLASS[0] + CLASS[1] * drawn)).astype(int)
        return CorpusRows(label, self.attributes(label, rng), drawn)

    def attributes(self, label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Attributes of texts of these classes [n]."""
        chance = np.array([self.link(0)[1], self.link(1)[1]])
        return (rng.uniform(size=len(label)) < chance[label]).astype(int)

    def rare(self) -> float:
        """P(y = 1)."""
        nodes, mass = gaussian_nodes(1)
        return float(mass @ expit(CLASS[0] + CLASS[1] * nodes[:, 0]))

    def truth(self, role: str, covariates: str) -> dict[str, float]:
        """The coefficients of true labels, by term."""
        if role == "covariate":
            return {k: v for k, v in LINEAR.items() if k != "attribute" or covariates == BOTH}
        if covariates == DRAWN:
            return {"intercept": CLASS[0], "drawn": CLASS[1]}
        odds = float(logit(self.rho))
        return {"intercept": CLASS[0] - odds, "attribute": 2 * odds, "drawn": CLASS[1]}

    def naive(
        self, role: str, covariates: str, said: np.ndarray, *, differential: bool
    ) -> np.ndarray:
        """Where a classifier's labels lead, in the order of :meth:`truth`.

        ``said`` is P(said positive | y, a) [2, 2]. The simple theory takes the mean over attributes
        of each class; with ``differential`` each attribute has its own error rates.
        """
        nodes, weight = gaussian_nodes(1)
        z, p = nodes[:, 0], expit(CLASS[0] + CLASS[1] * nodes[:, 0])
        truth = [*self.truth(role, covariates).values()]
        beta = np.array(truth) if role == "covariate" else None
        overall = [float(self.link(y) @ said[y]) for y in (0, 1)]
        errors: tuple[Rate, Rate] = (overall[0], 1 - overall[1])
        if covariates == DRAWN:
            return naive_coefficients(np.column_stack([z**0, z]), weight, p, errors, beta)
        positive = [p * self.link(1)[a] for a in (0, 1)]
        share = [positive[a] + (1 - p) * self.link(0)[a] for a in (0, 1)]  # P(a | z)
        rows = np.vstack([np.column_stack([z**0, 0 * z + a, z]) for a in (0, 1)])
        mass = np.concatenate([weight * each for each in share])
        p = np.concatenate([positive[a] / share[a] for a in (0, 1)])
        if differential:
            of_row = np.repeat([0, 1], len(z))
            errors = (said[0][of_row], 1 - said[1][of_row])
        return naive_coefficients(rows, mass, p, errors, beta)


def regression(
    rows: CorpusRows,
    said: np.ndarray,
    human: np.ndarray,
    role: str,
    covariates: str,
    noise: np.ndarray,
) -> Regression:
    """A regression on labels ``said`` [n], of which people checked the rows ``human``.

    ``noise`` is that of a linear outcome [n].
    """
    given = np.full(len(said), np.nan)
    given[human] = rows.label[human]
    names = COVARIATES[covariates]
    x = np.column_stack([getattr(rows, name) for name in names]).astype(float)
    if role == "outcome":
        return Regression(given, said, x, names)
    beta = [LINEAR[name] for name in names]
    outcome = LINEAR["intercept"] + LINEAR["label"] * rows.label + x @ beta + noise
    return Regression(given, said, x, names, outcome, "linear")


@dataclass(frozen=True, eq=False)
class Training:
    """What a classifier is trained on: rows among all texts, their weights, and its threshold."""

    arm: str
    rows: np.ndarray
    weights: np.ndarray
    writer: str = "none"
    n_added: int = 0
    odds: float | None = None  # of the rare class, where its threshold is chosen for them

    @classmethod
    def of(
        cls,
        arm: str,
        others: np.ndarray,
        rare: np.ndarray,
        *,
        added: np.ndarray | None = None,
        writer: str = "none",
        share: float = 0.5,
    ) -> Training:
        """An arm of :data:`RAW` and the others, on texts of both classes and ``added`` ones.

        ``share`` is that of the rare class where a threshold is to be good.
        """
        more = np.empty(0, dtype=int) if added is None else added
        rows = np.concatenate([others, rare, more])
        weights = np.ones(len(rows))
        if arm == WEIGHTING:
            weights[len(others) : len(others) + len(rare)] = len(others) / len(rare)
        odds = share / (1 - share) if arm == THRESHOLD else None
        return cls(arm, rows, weights, writer, len(more), odds)

    @property
    def n_real(self) -> int:
        """Texts that nobody added."""
        return len(self.rows) - self.n_added


def labels(
    fit: Fit, y: np.ndarray, training: Training, tested: np.ndarray, *, seed: int
) -> np.ndarray:
    """What a trained classifier says of the texts ``tested``: 0 or 1 [n]."""
    rule = fit(training.rows, y[training.rows], training.weights, seed)
    cut = 0.5 if training.odds is None else _threshold(fit, y, training, seed)
    return np.asarray(rule(tested)[:, 1] > cut, dtype=float)


def _threshold(fit: Fit, y: np.ndarray, training: Training, seed: int) -> float:
    """Of greatest F1 by cross-validation, at the odds of the rare class that the training names."""
    own = y[training.rows]
    fold, p = np.empty(len(own), dtype=int), np.empty(len(own))
    for label in (0, 1):  # texts of a class are alike: their order is as random as any
        fold[own == label] = np.arange((own == label).sum()) % N_FOLDS
    for number in range(N_FOLDS):
        inside = fold == number
        rows = training.rows[~inside]
        rule = fit(rows, y[rows], training.weights[~inside], seed)
        p[inside] = rule(training.rows[inside])[:, 1]
    assert training.odds is not None
    weight = training.odds * (own == 0).sum() / (own == 1).sum()
    return f1_threshold.best(p, own == 1, weight)


@dataclass(frozen=True, eq=False)
class Replicate:
    """All texts of one replicate: nothing of them is of another one."""

    corpus: CorpusRows  # the first texts
    noise: np.ndarray  # of a linear outcome [n]
    human: np.ndarray  # rows of the corpus, in the order in which people label them
    known: np.ndarray  # texts that a classifier's error rates are measured on
    trainings: Sequence[Training]
    texts: _Texts  # all
    fit: Fit  # of them

    @property
    def y(self) -> np.ndarray:
        """Labels that classifiers are trained on, of all texts."""
        return self.texts.group // 2

    def said(self, training: Training) -> tuple[np.ndarray, np.ndarray]:
        """Labels of the corpus [n], and P(said positive | y, a) on other texts [2, 2]."""
        n = len(self.corpus.label)
        tested = np.concatenate([np.arange(n), self.known])
        said = labels(self.fit, self.y, training, tested, seed=self.texts.seed)
        group = self.texts.group[self.known]
        counts = np.maximum(np.bincount(group, minlength=4), 1)
        rates = np.bincount(group, said[n:], minlength=4) / counts
        return said[:n], rates.reshape(2, 2)


def filled(
    law: CorpusLaw,
    sizes: tuple[int, int, int],
    n_originals: Sequence[int],
    added: Sequence[int],
    rng: np.random.Generator,
) -> Replicate:
    """A corpus, and classifiers trained on other texts: few of the rare class, and some added.

    Args:
        law: of the corpus, and of the originals.
        sizes: texts of the corpus, of each group to measure error rates on, and of the other class.
        n_originals: texts of the rare class; few are the first of many.
        added: synthetic texts of it, written from these originals by each writer.
        rng: draws all of it.
    """
    n, n_known, n_others = sizes
    corpus, noise, human = law.draw(n, rng), rng.normal(size=n), rng.permutation(n)
    classes = np.repeat([0, 1], [n_others, max(n_originals)])
    attributes = law.attributes(classes, rng)
    known = np.repeat(np.arange(GRAMMAR.n_groups), n_known)
    group = np.concatenate([corpus.group, known, 2 * classes + attributes])
    seed = int(rng.integers(2**31))
    texts = _Texts.drawn(group, seed)
    first = n + len(known)
    others, rare = first + np.arange(n_others), first + n_others + np.arange(max(n_originals))
    trainings = []
    for size in n_originals:
        few, share = rare[:size], law.rare()
        trainings += [
            Training.of(arm, others, few, share=share) for arm in (RAW, WEIGHTING, THRESHOLD)
        ]
        for writer in WRITERS:
            made, texts = texts.written(writer, few, max(added, default=0), rng)
            trainings += [
                Training.of(SYNTHETIC, others, few, added=made[:k], writer=writer) for k in added
            ]
    known = n + np.arange(len(known))
    return Replicate(corpus, noise, human, known, trainings, texts, texts.fit())


def split(
    law: CorpusLaw, n: int, budget: int, shares: Sequence[float], rng: np.random.Generator
) -> Replicate:
    """A corpus, and classifiers trained on a share of the texts of it that people labelled.

    Of each share there are two, with their own texts alone and with as many faithful ones of the
    rarer class as balance it.
    """
    corpus, noise, human = law.draw(n, rng), rng.normal(size=n), rng.permutation(n)
    texts = _Texts.drawn(corpus.group, int(rng.integers(2**31)))
    trainings = []
    for share in shares:
        own = human[: round(share * budget)]
        if not 0 < corpus.label[own].sum() < len(own):
            continue
        others, rare = (own[corpus.label[own] == y] for y in (0, 1))
        trainings.append(Training.of(RAW, others, rare))
        n_added = max(len(others) - len(rare), 0)
        made, texts = texts.written("faithful", rare, n_added, rng)
        trainings.append(Training.of(SYNTHETIC, others, rare, added=made, writer="faithful"))
    known = np.empty(0, dtype=int)
    return Replicate(corpus, noise, human, known, trainings, texts, texts.fit())


@dataclass(frozen=True, eq=False)
class _Texts:
    """Meanings and groups of texts; sentences are made of all of them at once."""

    meaning: np.ndarray
    group: np.ndarray
    seed: int

    @classmethod
    def drawn(cls, group: np.ndarray, seed: int) -> _Texts:
        meaning = np.empty(len(group), dtype=int)
        counts = np.bincount(group, minlength=GRAMMAR.n_groups)
        meaning[np.argsort(group, kind="stable")] = GRAMMAR.draw(counts.tolist(), key=seed)
        return cls(meaning, group, seed)

    def written(
        self, writer: str, rare: np.ndarray, n: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, _Texts]:
        """Rows of n texts that a writer makes of rare ones, and all texts with them."""
        seeds = rare[rng.integers(len(rare), size=n)]
        own, key = self.group[seeds], int(rng.integers(2**31))
        made = WRITERS[writer].rewrite(GRAMMAR, self.meaning[seeds], own, key=key)
        more = _Texts(np.append(self.meaning, made), np.append(self.group, own), self.seed)
        return len(self.meaning) + np.arange(n), more

    def fit(self) -> Fit:
        """What trains classifiers on their sentences."""
        said = GRAMMAR.sentences(self.meaning, key=self.seed)
        return linear(encoder(TFIDF), tolerance=TOLERANCE)(said, 2)
