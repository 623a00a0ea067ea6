"""A causal language model with random weights, and rows for it to learn."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

CRAFT = ("X1", "X2", "X3", "X4", "X5", "X6", "X7", "X8", "X9", "Target")
_END = "<|endoftext|>"


def craft(n: int, seed: int) -> np.ndarray:
    """Rows of the table `craft` of arXiv 2406.03628, drawn from its law: [n, 10].

    A label's threshold is the median of these rows.
    """
    rng = np.random.default_rng(seed)
    x1, x2, x7 = rng.normal(size=(3, n)).round(1)
    x3 = (0.5 * x1 + 0.3 * x2 + rng.normal(size=n, scale=0.5)).round(1)
    x4, x5 = (rng.normal(size=n) * x1).round(1), (rng.normal(size=n) + 0.5 * x3).round(1)
    x6, x8, x9 = rng.choice([-1.0, 1.0], size=n), (x2 * x3).round(1), (x1 * x2).round(1)
    score = 0.7 * x1 - 0.6 * x2 + 0.8 * x3 + 0.4 * x9 + rng.normal(size=n)
    label = (score > np.median(score)).astype(float)
    return np.stack([x1, x2, x3, x4, x5, x6, x7, x8, x9, label], axis=1)


def saved(
    folder: Path, lines: Iterable[str], *, tokens: int, words: bool = True, **shape: Any
) -> Path:
    """Write a GPT-2 of a shape of its own with byte pairs learnt from lines.

    Args:
        folder: where to; made if it does not exist.
        lines: that the tokenizer learns from.
        tokens: of the tokenizer, at most.
        words: no token goes beyond a word, as in GPT-2.
        shape: fields of ``GPT2Config``.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    pairs = Tokenizer(models.BPE())
    pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=words)
    pairs.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=tokens,
        special_tokens=[_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pairs.train_from_iterator(lines, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pairs, eos_token=_END, bos_token=_END)
    torch.manual_seed(0)
    known = {"vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    model = GPT2LMHeadModel(GPT2Config(**{**known, **shape}))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
