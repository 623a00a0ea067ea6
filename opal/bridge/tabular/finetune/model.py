"""The causal language model that is fine-tuned: loaded, checked, and known by what it holds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opal import validation
from opal.bridge.tabular.finetune.training import RowTuning

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_NAMES = ("_name_or_path", "transformers_version")  # of a configuration, which change no output
_ROUNDING = 1e-3  # of logits, in their standard deviations


def load(tuning: RowTuning) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model that is to be fine-tuned, on its device, and its tokenizer.

    Raises:
        ImportError: the extra ``text`` is not installed.
        ValueError: there is no such device or model, it is not causal, or its tokenizer cannot end
            a text.
    """
    validation.require_installed("text", "torch", "transformers")
    import os

    import torch
    from transformers.utils.logging import disable_progress_bar

    from opal.bridge.llm.local import loaded
    from opal.bridge.llm.request import FatalError

    try:
        torch.ones(1, device=tuning.device).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(
            f"--device must be one on which torch computes here, such as cpu; {tuning.device!r} is "
            "none: leave it out."
        ) from error
    torch.set_num_threads(tuning.threads or max(1, (os.cpu_count() or 1) // 2))
    disable_progress_bar()
    try:
        model, tokenizer = loaded(tuning.model, tuning.device)
    except FatalError as error:
        if error.__cause__ is None:  # no name of the Hub either
            raise
        remedy = (
            "Write the folder anew with save_pretrained, or name another one."
            if Path(tuning.model).is_dir()
            else "Fetch it where there is a network (`hf download "
            f"{tuning.model} --local-dir FOLDER`), and name that folder with --fine-tune."
        )
        raise FatalError(f"{str(error).rstrip('.')}. {remedy}") from error
    if tokenizer.eos_token_id is None:
        raise ValueError(
            f"the tokenizer of {tuning.model!r} must have an end-of-text token, which ends a row; "
            "it has none: name another model."
        )
    if _sees_ahead(model.float()):
        raise ValueError(
            f"the model must be causal; {tuning.model!r} ({type(model).__name__}) sees the words "
            "that it is to write: name one such as gpt2."
        )
    return model, tokenizer


def _sees_ahead(model: Any) -> bool:
    """Whether what it says of a text's beginning depends on how the text goes on."""
    import torch

    tokens = torch.tensor([[0, 1, 2, 3], [0, 1, 4, 5]], device=model.device)
    with torch.no_grad():  # what a model keeps from it must serve the training
        found = model.eval()(input_ids=tokens, attention_mask=torch.ones_like(tokens))
    one, other = found.logits[:, :2]
    return bool((one - other).abs().max() > _ROUNDING * one.std())


def fingerprint(model: Any) -> str:
    """A digest of weights and configuration: a changed model is another one, whatever its name."""
    config = {k: v for k, v in model.config.to_dict().items() if k not in _NAMES}
    found = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, weights in model.state_dict().items():
        found.update(name.encode())
        found.update(weights.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]
