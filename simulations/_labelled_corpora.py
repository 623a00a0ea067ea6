"""Published human texts, labelled by classifiers that GPT-4's texts helped to train.

A classifier is trained on base texts, whose rarer class may be filled with texts that GPT-4 made of
them. The human texts that nothing was made from are a finite corpus: the truth is the regression on
all of their human labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import expit

from opal.bridge.downstream import Regression
from opal.bridge.text import published
from opal.bridge.text.corpus import leaks, made_from
from opal.bridge.text.encoders import encoder
from opal.bridge.text.impute.evaluate import Fit, linear
from opal.theory.misclassification import naive_coefficients, target

from ._labelled_texts import RAW, SYNTHETIC, THRESHOLD, TOLERANCE, WEIGHTING, Training, labels

CLASSES: Mapping[str, str] = {"sentiment": "negative", "hate-speech": "OFF"}
"""The class of each corpus that is told from the others: the rarest."""
WRITER = "gpt-4"
COVARIATES = ("words", "exclamation")
"""What a text itself shows: the logarithm of its number of words, in standard deviations, and
whether it has an exclamation mark."""
MOST_ROWS = 2000
SHARE = 0.8  # of the base texts, that a classifier is trained on


@dataclass(frozen=True, eq=False)
class FiniteCorpus:
    """Human texts with labels and covariates, and those that classifiers are trained on."""

    label: np.ndarray  # 1 for the class, 0 for all others [n]
    covariates: np.ndarray  # [n, 2]
    base: pd.DataFrame
    made: pd.DataFrame  # texts of the class
    own: np.ndarray  # whether a base text is of the class
    fit: Fit  # of texts: the corpus, then base, then made ones

    @classmethod
    def load(cls, name: str, features: str) -> FiniteCorpus:
        """The corpus of a name of :data:`CLASSES`, of at most 2,000 texts that are drawn once.

        ``features`` name an encoder.
        """
        corpus, category = published.load_corpus(name).apart(), CLASSES[name]
        base = _clear(corpus.base)
        texts = _clear(pd.concat([corpus.human, corpus.test], ignore_index=True))
        texts = texts[~texts["id"].isin(set(base["id"]))].reset_index(drop=True)
        order = np.random.default_rng(0).permutation(len(texts))[:MOST_ROWS]
        texts = texts.iloc[np.sort(order)].reset_index(drop=True)
        made = corpus.synthetic[WRITER].drop_duplicates("id")
        made = made[(made["label"] == category) & ~leaks(made, set(texts["id"]))]
        words = np.log(texts["text"].str.split().str.len().to_numpy(float))
        mark = texts["text"].str.contains("!", regex=False).to_numpy(float)
        covariates = np.column_stack([(words - words.mean()) / words.std(), mark])
        said = [*texts["text"], *base["text"], *made["text"]]
        fit = linear(encoder(features), tolerance=TOLERANCE)(said, 2)
        return cls(
            (texts["label"] == category).to_numpy(float),
            covariates,
            base.reset_index(drop=True),
            made.reset_index(drop=True),
            (base["label"] == category).to_numpy(),
            fit,
        )

    def classifiers(self, rng: np.random.Generator) -> Iterator[tuple[Training, int, np.ndarray]]:
        """Classifiers on a random share of the base texts: how trained, on how many, and labels."""
        n = len(self.label)
        kept = [rng.permutation(np.flatnonzero(self.own == y)) for y in (False, True)]
        kept = [rows[: round(SHARE * len(rows))] for rows in kept]
        usable = made_from(self.made, set(self.base["id"].iloc[np.concatenate(kept)]))
        others, rare = (n + rows for rows in kept)
        made = n + len(self.base) + rng.permutation(np.flatnonzero(usable))
        y = np.concatenate([self.label, self.own, np.ones(len(self.made))]).astype(int)
        share = float(self.label.mean())
        trainings = [
            Training.of(arm, others, rare, share=share) for arm in (RAW, WEIGHTING, THRESHOLD)
        ]
        added = made[: max(len(others) - len(rare), 0)]
        trainings.append(Training.of(SYNTHETIC, others, rare, added=added, writer=WRITER))
        seed = int(rng.integers(2**31))
        for training in trainings:
            yield training, len(rare), labels(self.fit, y, training, np.arange(n), seed=seed)

    def regression(self, said: np.ndarray, human: np.ndarray, role: str) -> Regression:
        """Of the label on both covariates, or of the number of words on label and mark."""
        given = np.full(len(said), np.nan)
        given[human] = self.label[human]
        whole = Regression(given, said, self.covariates, COVARIATES)
        if role == "outcome":
            return whole
        words, mark = self.covariates.T
        return replace(
            whole, covariates=mark[:, None], names=COVARIATES[1:], outcome=words, model="linear"
        )

    def truth(self, role: str) -> np.ndarray:
        """Coefficients by all human labels."""
        rows, mass = self._rows(role)
        if role == "outcome":
            return target(rows, mass, self.label, logistic=True)
        with_label = np.insert(rows, 1, self.label, axis=1)
        return target(with_label, mass, self.covariates[:, 0], logistic=False)

    def naive(self, role: str, said: np.ndarray) -> np.ndarray:
        """Where labels with these error rates would lead, if errors were alike in each class.

        P(class) is that of the logistic regression on the same rows.
        """
        errors = float(said[self.label == 0].mean()), 1 - float(said[self.label == 1].mean())
        rows, mass = self._rows(role)
        p = expit(rows @ target(rows, mass, self.label, logistic=True))
        beta = self.truth(role) if role == "covariate" else None
        return naive_coefficients(rows, mass, p, errors, beta)

    def _rows(self, role: str) -> tuple[np.ndarray, np.ndarray]:
        n = len(self.label)
        x = self.covariates if role == "outcome" else self.covariates[:, 1:]
        return np.column_stack([np.ones(n), x]), np.full(n, 1 / n)


def _clear(frame: pd.DataFrame) -> pd.DataFrame:
    """Each text once, without those that have two labels."""
    clear = frame.groupby("id")["label"].transform("nunique") == 1
    return frame[clear].drop_duplicates("id")
