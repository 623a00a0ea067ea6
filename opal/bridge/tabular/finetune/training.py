"""Fine-tuning with a checkpoint from which a run that was killed goes on exactly.

All randomness is a function of the seed and of the place in the training: the orders of rows and
columns of the epoch, dropout of the step. What a checkpoint must hold is therefore the weights, the
optimiser's moments and the number of the step, and on one machine's CPU a resumed training equals
one that never stopped, bit for bit.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from opal import validation
from opal.bridge.tabular.finetune.rows import RowTexts
from opal.files import write_atomically

WORK = Path("results/fine-tuned")
LEAST_SECONDS = 5.0
"""Between two checkpoints."""
_SHARE = 20  # times as long as a checkpoint takes, the training goes on before the next
_IGNORED = -100  # label of a place that has no loss
_STALE = 3600.0  # seconds after which no one is writing a checkpoint any more


@dataclass(frozen=True, kw_only=True)
class RowTuning:
    """Settings of :func:`opal.bridge.tabular.finetune.generate.fine_tune_rows`.

    The defaults are for ``model="gpt2"``: those of GReaT's package (arXiv 2210.06280), and 32 rows
    a step as in its examples.
    """

    model: str  # folder of a causal model of `transformers`, or its name on the Hub
    epochs: int = 100
    batch: int = 32  # rows of a step
    learning_rate: float = 5e-5  # of the first step; it falls linearly to 0
    temperature: float = 0.7  # of the draws of tokens: 1 is the learnt law, 0 the likeliest token
    max_tokens: int = 512  # of a row, at most
    patience: int = 20  # batches of a group in a row that may give no row
    seed: int = 0  # of dropout, of the orders of rows and columns, and of the draws
    device: str = "cpu"
    threads: int | None = None  # of torch on the CPU; half of the cores by default
    work: Path = WORK  # folder for checkpoints and draws, from which a stopped run goes on
    out: Path = Path("samples.jsonl")  # the rows, one a line
    quiet: bool = False  # show no progress

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "max_tokens", "patience"):
            validation.require_at_least(name, getattr(self, name), 1)
        if not 0 <= self.temperature < math.inf:
            raise ValueError(
                f"--temperature must be at least 0, and finite; got {self.temperature}."
            )
        validation.require_seed(self.seed)
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"--learning-rate must be in (0, 1); got {self.learning_rate}.")


def train(
    model: Any,
    rows: RowTexts,
    tuning: RowTuning,
    checkpoint: Path,
    told: Callable[[int, int, float], None],
) -> list[float]:
    """Fine-tune a model in place on all rows, from the checkpoint if there is one.

    AdamW without decay, gradients cut to norm 1 and a rate that falls linearly to 0, as GReaT has
    them; products in bfloat16 on a GPU.

    Args:
        model: causal, of `transformers`.
        rows: every one of them is seen once an epoch, its columns in a new random order.
        tuning: epochs, batch, learning rate and seed.
        checkpoint: file of weights, moments and step; at the end of weights alone.
        told: of each step's number, the number of all of them, and its loss.

    Returns:
        Mean loss [nats a token] of each epoch.

    Raises:
        ValueError: the checkpoint cannot be read, or the training diverges.
    """
    import torch

    n_rows = len(rows.values)
    a_epoch = -(-n_rows // tuning.batch)
    n_steps = a_epoch * tuning.epochs
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=tuning.learning_rate, weight_decay=0.0, fused=True
    )
    _remove_stale(checkpoint)
    step, losses = _restored(checkpoint, model, optimiser, tuning.epochs)
    saved, cost = time.monotonic(), 0.0
    with torch.random.fork_rng():
        for epoch in range(step // a_epoch, tuning.epochs):
            of_rows, of_columns = _orders(rows.values.shape, tuning.seed, epoch)
            for place in range(step % a_epoch, a_epoch):
                chosen = of_rows[place * tuning.batch : (place + 1) * tuning.batch]
                texts = [rows.tokens(row, of_columns[row]) for row in chosen]
                torch.manual_seed(tuning.seed * n_steps + step)
                rate = tuning.learning_rate * (1 - step / n_steps)
                loss = _descend(model, optimiser, texts, rows.end, rate)
                if not math.isfinite(loss):
                    raise ValueError(
                        f"the loss must stay finite; it is {loss} after {step} steps: lower "
                        "--learning-rate."
                    )
                losses[epoch] += loss * len(texts) / n_rows
                step += 1
                told(step, n_steps, loss)
                last, now = step == n_steps, time.monotonic()
                if last or now - saved > max(LEAST_SECONDS, _SHARE * cost):
                    _save(checkpoint, model, None if last else optimiser, step, losses)
                    saved = time.monotonic()
                    cost = saved - now
    return losses


def _orders(shape: tuple[int, int], seed: int, epoch: int) -> tuple[list[int], list[list[int]]]:
    """Of the rows of an epoch, and of the columns of each row."""
    rng = np.random.default_rng([seed, epoch])
    n, d = shape
    of_columns = rng.permuted(np.tile(np.arange(d), (n, 1)), axis=1)
    return rng.permutation(n).tolist(), of_columns.tolist()


def _descend(model: Any, optimiser: Any, texts: list[list[int]], pad: int, rate: float) -> float:
    import torch

    width, device = max(map(len, texts)), model.device
    tokens = torch.tensor([text + [pad] * (width - len(text)) for text in texts], device=device)
    lengths = torch.tensor([len(text) for text in texts], device=device)
    # What fills the rows up comes after them, where a causal model does not see it.
    seen = torch.arange(width, device=device) < lengths[:, None]
    labels = tokens.masked_fill(~seen, _IGNORED)[:, 1:].flatten()
    for group in optimiser.param_groups:
        group["lr"] = rate
    model.train()
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        scores = model(input_ids=tokens, attention_mask=seen.long()).logits[:, :-1]
    loss = torch.nn.functional.cross_entropy(scores.float().flatten(0, 1), labels)
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach())


def _save(path: Path, model: Any, optimiser: Any, step: int, losses: list[float]) -> None:
    import torch

    moments = None if optimiser is None else optimiser.state_dict()
    state = {"model": model.state_dict(), "moments": moments, "step": step, "losses": losses}
    write_atomically(path, lambda temporary: torch.save(state, temporary))


def _restored(path: Path, model: Any, optimiser: Any, epochs: int) -> tuple[int, list[float]]:
    """The steps that are done and the losses of epochs; weights and moments are put in place."""
    import torch

    if not path.is_file():
        return 0, [0.0] * epochs
    try:
        state = torch.load(path, map_location=model.device, weights_only=True)
        model.load_state_dict(state["model"])
        if state["moments"] is not None:
            optimiser.load_state_dict(state["moments"])
        return state["step"], state["losses"]
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a spoiled file may raise any
        raise ValueError(
            f"the checkpoint {path} cannot be read ({type(error).__name__}): delete it, and the "
            "training begins anew."
        ) from error


def _remove_stale(checkpoint: Path) -> None:
    """Remove what runs left that were killed while they wrote a checkpoint."""
    for path in checkpoint.parent.glob(f".{checkpoint.name}.*"):
        with contextlib.suppress(FileNotFoundError):  # another run may have renamed it
            if time.time() - path.stat().st_mtime > _STALE:
                path.unlink()
