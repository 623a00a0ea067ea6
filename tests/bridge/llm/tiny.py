"""A causal language model of 0.1 million weights, built and trained in seconds.

Its chat template keeps of a prompt only the first line of the user's message, which names the
class: a model this small cannot read more. It answers with a text of that class as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CONTEXT = 256
PAD, END = "<pad>", "</s>"
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ message['content'].split('\n')[0] + '\n' }}"
    "{% endif %}{% endfor %}"
)


def causal(
    folder: Path,
    texts: Sequence[tuple[str, str]],
    *,
    steps: int = 200,
    template: str | None = TEMPLATE,
) -> Path:
    """Train on (label, text) pairs and save model and tokenizer.

    Args:
        folder: where to; made if it does not exist.
        texts: what it learns to answer with.
        steps: of AdamW, 32 texts each.
        template: chat template; None for a model without one.
    """
    lines = [f"Class: {json.dumps(label)}\n" + _answer(text) for label, text in texts]
    words = tokenizer(lines, template)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        pad_token_id=words.pad_token_id,
        eos_token_id=words.eos_token_id,
        bos_token_id=None,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    _train(model, words, lines, steps)
    if model.generation_config is not None:
        model.generation_config.do_sample = True  # or a server would always take the likeliest
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def tokenizer(lines: Sequence[str], template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """Byte pairs learnt from lines: every text can be written in them."""
    pairs = Tokenizer(models.BPE())
    pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pairs.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=[PAD, END], initial_alphabet=alphabet, show_progress=False
    )
    pairs.train_from_iterator(lines, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=pairs,
        pad_token=PAD,
        eos_token=END,
        chat_template=template,
        model_max_length=CONTEXT,
    )


def _answer(text: str) -> str:
    return json.dumps({"text": text}, ensure_ascii=False) + END


def _train(
    model: LlamaForCausalLM, words: PreTrainedTokenizerFast, lines: Sequence[str], steps: int
) -> None:
    batch = words(list(lines), return_tensors="pt", padding=True)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    labels = ids.masked_fill(mask == 0, -100)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, total_steps=steps)
    draws = torch.Generator().manual_seed(0)
    for _ in range(steps):
        rows = torch.randint(len(lines), (32,), generator=draws)
        loss = model(ids[rows], attention_mask=mask[rows], labels=labels[rows]).loss
        loss.backward()
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
