"""A masked language model of 0.1 million weights, built and trained in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import BatchEncoding, BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from tests.bridge.llm import tiny

MASK = "<mask>"


def masked(folder: Path, lines: Sequence[str], *, steps: int = 150, rate: float = 0.3) -> Path:
    """Train on lines, a share of each one's tokens masked anew in each step, and save.

    Args:
        folder: where to.
        lines: of about equal length.
        steps: of AdamW, 32 lines each.
        rate: of masking.
    """
    words = tiny.tokenizer(lines)
    words.add_special_tokens({"mask_token": MASK})
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=tiny.CONTEXT,
        pad_token_id=words.pad_token_id,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertForMaskedLM(config)
        _train(model, words(list(lines), return_tensors="pt", padding=True), words, steps, rate)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def _train(
    model: BertForMaskedLM,
    batch: BatchEncoding,
    words: PreTrainedTokenizerFast,
    steps: int,
    rate: float,
) -> None:
    ids, seen = batch["input_ids"], batch["attention_mask"]
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    for _ in range(steps):
        rows = torch.randint(len(ids), (32,))
        hidden = (torch.rand(ids[rows].shape) < rate) & (seen[rows] == 1)
        given = ids[rows].masked_fill(hidden, words.mask_token_id)
        labels = ids[rows].masked_fill(~hidden, -100)
        loss = model(given, attention_mask=seen[rows], labels=labels).loss
        loss.backward()
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
