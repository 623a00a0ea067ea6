"""Fine-tuning a causal language model on rows, and rows from it, as `--fine-tune` does it.

The model is a GPT-2 with random weights, for weights are not fetched here: `gpt2` has the size of
the published one (124 million), `tiny` shows that everything runs. It learns rows of the law of the
table `craft` of arXiv 2406.03628, drawn here, whose tokens are as many as those of GPT-2's own
tokenizer. Printed are rows a second of the training and of the sampling, the loss of the first and
of the last steps, and the share of the texts that are rows: that of a model that has learnt
to write only here is lower than that of one that has read.

Run ``python benchmarks/fine_tune.py --size gpt2 --device cuda``. It needs NumPy, torch and
transformers alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._causal import CRAFT, craft, saved
from opal.bridge.tabular.finetune.model import load
from opal.bridge.tabular.finetune.rows import RowTexts
from opal.bridge.tabular.finetune.sampling import RowWriter
from opal.bridge.tabular.finetune.training import RowTuning, train

SIZES: dict[str, dict[str, Any]] = {
    "gpt2": {"vocab_size": 50257},
    "tiny": {
        "n_embd": 64,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 128,
        "initializer_range": 0.06,
    },
}
_AT_ONCE = 256  # texts of a batch of the sampling
_ENDS = 20  # steps whose loss is told


def options() -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rows", type=int, default=2000, help="that it is fine-tuned on")
    parser.add_argument("--steps", type=int, default=1500, help="of the fine-tuning, 32 rows each")
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--texts", type=int, default=4096, help="to be sampled")
    parser.add_argument("--temperature", type=float, default=0.7)
    return parser.parse_args()


def measured(flags: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Fine-tune, and sample; files go to a folder."""
    values = craft(flags.rows, seed=0)
    lines = [", ".join(f"{c} is {v}" for c, v in zip(CRAFT, row, strict=True)) for row in values]
    path = saved(folder / "model", lines, tokens=400, **SIZES[flags.size])
    tuning = RowTuning(
        model=str(path),
        epochs=max(1, flags.steps * 32 // flags.rows),
        learning_rate=flags.learning_rate,
        temperature=flags.temperature,
        device=flags.device,
    )
    model, tokenizer = load(tuning)
    rows = RowTexts(CRAFT, values, tokenizer)
    return {
        "size": flags.size,
        "weights": sum(each.numel() for each in model.parameters()),
        "device": _name(model),
        "tokens_of_a_row": rows.longest,
        **_trained(model, rows, tuning, folder / "checkpoint.pt"),
        **_sampled(
            RowWriter(model, rows, tuning, folder / "draws", most=rows.longest), flags.texts
        ),
    }


def _trained(model: Any, rows: RowTexts, tuning: RowTuning, checkpoint: Path) -> dict[str, Any]:
    losses, times = [], []

    def told(step: int, n_steps: int, loss: float) -> None:
        losses.append(loss)
        times.append(time.perf_counter())

    train(model, rows, tuning, checkpoint, told)
    taken = float(np.median(np.diff(times)))  # a few are longer: they write a checkpoint
    return {
        "steps": len(losses),
        "training_rows_per_s": tuning.batch / taken,
        "loss_start": float(np.mean(losses[:_ENDS])),
        "loss_end": float(np.mean(losses[-_ENDS:])),
    }


def _sampled(writer: RowWriter, n: int) -> dict[str, Any]:
    group = [(CRAFT.index("Target"), 1.0), (CRAFT.index("X6"), -1.0)]
    draw = partial(writer.draw, "g", group)
    draw(range(8))  # warm
    begun, texts = time.perf_counter(), []
    for first in range(0, n, _AT_ONCE):
        texts += draw(range(first, min(first + _AT_ONCE, n)))
    seconds = time.perf_counter() - begun
    right = sum(writer.read(*each).row is not None for each in texts)
    return {
        "texts": n,
        "texts_per_s": n / seconds,
        "rows_per_s": right / seconds,
        "share_of_rows": right / n,
        "example": texts[0][0],
    }


def _name(model: Any) -> str:
    import torch

    on_gpu = model.device.type == "cuda"
    return torch.cuda.get_device_name(model.device) if on_gpu else str(model.device)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        print(json.dumps(measured(options(), Path(place)), indent=2))
