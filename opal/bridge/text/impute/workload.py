"""How much fine-tuning an imputation asks for, and about how long it takes on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np

from opal.bridge.text.classifiers import FineTuning, device_of, fine_tune
from opal.bridge.text.embeddings import model_path
from opal.bridge.text.impute import evaluate
from opal.bridge.text.impute.evaluate import Fit, Rule, Trial
from opal.bridge.text.impute.task import Task

_TIMED = 2  # steps after the first
_OF_A_STEP = 1 / 3  # what a text costs that is only read: no gradient is computed


@dataclass(frozen=True)
class Workload:
    """Trainings of an encoder.

    Attributes:
        settings: of each.
        trainings: how many.
        steps: of all of them together, at most: some may stop early.
        tested: texts that the trained encoders read.
        cut: training texts longer than the encoder is shown.
        texts: training texts.
    """

    settings: FineTuning
    trainings: int
    steps: int
    tested: int
    cut: int
    texts: int

    def seconds(self, texts: Sequence[str]) -> float:
        """About how long it takes, by a training of few steps that is timed here."""
        some = list(texts[: 4 * self.settings.batch])
        labels, even = np.arange(len(some)) % 2, np.ones(len(some))

        def timed(steps: int) -> float:
            short = replace(self.settings, most_steps=steps, stop_f1=1.0)
            start = time.perf_counter()
            fine_tune(some, labels, even, n_classes=2, settings=short)
            return time.perf_counter() - start

        first, more = timed(1), timed(1 + _TIMED)
        step = max(more - first, 0.0) / _TIMED
        begin = max(first - step, 0.0)
        reading = _OF_A_STEP * step * self.tested / self.settings.batch
        return self.trainings * begin + self.steps * step + reading

    def told(self, seconds: float) -> Iterator[str]:
        """What is said before it starts, a line for each."""
        settings, about = self.settings, timedelta(seconds=round(seconds))
        yield (
            f"{self.trainings:,} trainings of {settings.model} with {self.steps:,} steps of "
            f"{settings.batch} texts: about {about} (h:mm:ss) on {device_of(settings)}, by a few "
            "steps timed now. Each finished fold is kept."
        )
        if self.cut:
            yield (
                f"warning: {self.cut:,} of {self.texts:,} texts have more than "
                f"{settings.max_tokens} tokens, and what is beyond them is not read."
            )


def workload(task: Task, trial: Trial, settings: FineTuning, n_folds: int) -> Workload:
    """That of so many folds of a trial, by counting what the first one asks for.

    Raises:
        ValueError: task and trial do not fit.
    """
    sizes: list[int] = []
    tested: list[int] = []
    said: list[str] = []

    def counting(texts: Sequence[str], n_classes: int) -> Fit:
        said.extend(texts)

        def fit(rows: np.ndarray, y: np.ndarray, weights: np.ndarray, seed: int) -> Rule:
            del rows, y, seed
            sizes.append(int(np.count_nonzero(weights)))

            def rule(asked: np.ndarray) -> np.ndarray:
                tested.append(len(asked))
                return np.full((len(asked), n_classes), 1 / n_classes)

            return rule

        return fit

    list(evaluate.repeated(task, trial, counting, 0, fold=0))
    steps = [settings.epochs * -(-size // settings.batch) for size in sizes]
    most = [min(n, settings.most_steps or n) for n in steps]
    lengths = _lengths(settings, said)
    return Workload(
        settings,
        n_folds * len(sizes),
        n_folds * sum(most),
        n_folds * sum(tested),
        int((lengths > settings.max_tokens).sum()),
        len(said),
    )


def _lengths(settings: FineTuning, texts: Sequence[str]) -> np.ndarray:
    """Tokens of each text."""
    from transformers import AutoTokenizer
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()  # that a text is longer than the model reads is told here
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(model_path(settings.model))
        return np.array([len(tokens) for tokens in tokenizer(list(texts))["input_ids"]])
    finally:
        logging.set_verbosity(level)
