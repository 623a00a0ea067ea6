"""How a language model is fine-tuned on a table, and loaded for it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opal import validation

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WORK = Path("results/fine-tuned")


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


def load(tuning: RowTuning) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model that is to be fine-tuned, on its device, and its tokenizer.

    Raises:
        ImportError: the extra ``text`` is not installed.
        ValueError: there is no such device or model, or its tokenizer cannot end a text.
    """
    validation.require_installed("text", "torch", "transformers")
    import os

    import torch
    from transformers.utils.logging import disable_progress_bar

    from opal.bridge.llm.local import loaded
    from opal.bridge.llm.request import FatalError

    if tuning.device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"torch finds no GPU for --device {tuning.device}; leave it out.")
    torch.set_num_threads(tuning.threads or max(1, (os.cpu_count() or 1) // 2))
    disable_progress_bar()
    try:
        model, tokenizer = loaded(tuning.model, tuning.device)
    except FatalError as error:
        raise FatalError(
            f"{error} Fetch it where there is a network (`hf download {tuning.model} --local-dir "
            "FOLDER`), and name that folder with --fine-tune."
        ) from error
    if tokenizer.eos_token_id is None:
        raise ValueError(
            f"the tokenizer of {tuning.model!r} must have an end-of-text token, which ends a row; "
            "it has none: name another model."
        )
    return model.float(), tokenizer


def fingerprint(model: Any) -> str:
    """A digest of all weights: a changed model is another one, whatever it is called."""
    found = hashlib.sha256()
    for name, weights in model.state_dict().items():
        found.update(name.encode())
        found.update(weights.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]
