"""Steps of training a torch model on encoded texts with weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def encoded(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> Any:
    """Token numbers of texts, padded to the longest of them."""
    return tokenizer(
        list(texts), truncation=True, max_length=max_tokens, padding=True, return_tensors="pt"
    )


def logits(model: Any, given: Any, *, half: bool) -> Any:
    """Scores of the classes [n, K]; ``half`` multiplies matrices in 16 bits."""
    import torch

    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        return model(**given).logits.float()


def trained(
    model: Any,
    steps: Sequence[tuple[Any, np.ndarray, np.ndarray]],
    optimiser: Any,
    schedule: Any,
    *,
    half: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Train; the weighted loss of each step, and the share of its texts that were right before it.

    Args:
        model: a torch model with a head of K classes.
        steps: encoded texts, labels and weights of each.
        optimiser: of the model's parameters.
        schedule: of the learning rate.
        half: matrices are multiplied in 16 bits.
        progress: told after each step how many are done, and of how many.
    """
    import torch

    losses, accuracies = [], []
    for step, (given, labels, weights) in enumerate(steps, start=1):
        scores, y = logits(model, given, half=half), torch.as_tensor(labels)
        each = torch.nn.functional.cross_entropy(scores, y, reduction="none")
        loss = (each * torch.as_tensor(weights, dtype=each.dtype)).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        accuracies.append(float((scores.detach().argmax(dim=1) == y).double().mean()))
        if progress is not None:
            progress(step, len(steps))
    return tuple(losses), tuple(accuracies)
