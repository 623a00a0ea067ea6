"""Decoders like opal's: in eager PyTorch as a user would write one, and Hugging Face's GPT-2.

PyTorch and transformers are imported where they are used: they come with the extra ``text``.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from opal.synthesis.transformer.attention import angles
from opal.synthesis.transformer.config import ModelConfig, TrainConfig
from opal.synthesis.transformer.model import Decoder
from opal.synthesis.transformer.streams import Batch


def missing(*packages: str) -> list[str]:
    """Those of the packages that are not installed."""
    return [name for name in packages if importlib.util.find_spec(name) is None]


def training_steps(
    ours: Decoder, config: TrainConfig, batch: Batch, n: int, *, fused: bool, threads: int
) -> Callable[[], float]:
    """A function that takes n steps of AdamW in PyTorch; it returns the last loss.

    Args:
        ours: whose parameters the decoder starts from.
        config: rates and the largest norm of the gradient.
        batch: the same at each step: no time goes into drawing data.
        n: steps of a call.
        fused: whether AdamW is PyTorch's fused one, or its default.
        threads: of PyTorch.

    Raises:
        RuntimeError: for the same parameters the decoder's scores are not opal's.
    """
    torch, functional = _torch()
    model = _decoder(ours)
    inputs, targets = (_tensor(part) for part in (batch.inputs, batch.targets))
    with torch.no_grad():
        apart = float((model(inputs) - _tensor(ours(batch.inputs)[0])).abs().max())
    if not apart < 1e-3:
        raise RuntimeError(f"The decoders differ: scores are up to {apart:g} apart.")
    rates = {"lr": 1e-3, "weight_decay": config.weight_decay}
    optimiser = torch.optim.AdamW(model.parameters(), fused=fused or None, **rates)

    def steps() -> float:
        torch.set_num_threads(threads)
        for _ in range(n):
            optimiser.zero_grad()
            scores = model(inputs)
            loss = functional.cross_entropy(scores.flatten(0, 1), targets.flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimiser.step()
        return loss.item()

    return steps


def generate(
    config: ModelConfig, n_sequences: int, n: int, *, draw: bool, threads: int
) -> Callable[[], Any]:
    """A function that lets a GPT-2 of the same size write n tokens after the beginning.

    Keys and values are cached. Its law is not cut (``top_k=0``), so that it does no more than
    opal does; it has intercepts, which opal's decoder has not.

    Args:
        config: sizes; positions are learned, the norm is LayerNorm, the activation GELU.
        n_sequences: that are written at once.
        n: tokens of each.
        draw: tokens are drawn; the most probable ones are taken otherwise.
        threads: of PyTorch; so little work is often done faster by one.
    """
    torch, _ = _torch()
    transformers: Any = importlib.import_module("transformers")
    begin = config.vocab - 1
    sizes = transformers.GPT2Config(
        vocab_size=config.vocab,
        n_positions=config.context,
        n_embd=config.width,
        n_layer=config.depth,
        n_head=config.heads,
        n_inner=config.mlp_ratio * config.width,
        bos_token_id=begin,
        eos_token_id=None,
    )
    model = transformers.GPT2LMHeadModel(sizes).eval()
    start = torch.full((n_sequences, 1), begin)
    lengths = {"min_new_tokens": n, "max_new_tokens": n}
    options = {**lengths, "do_sample": draw, "use_cache": True}
    if draw:
        options["top_k"] = 0

    def run() -> Any:
        torch.set_num_threads(threads)
        return model.generate(start, attention_mask=torch.ones_like(start), **options)

    return run


def _torch() -> tuple[Any, Any]:
    """PyTorch with a thread for each core, as XLA has them."""
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(0)
    return torch, torch.nn.functional


def _tensor(array: Any) -> Any:
    """A copy; what JAX counts in 32 bits is an index here."""
    torch, _ = _torch()
    values = np.array(array)
    return torch.from_numpy(values.astype(np.int64) if values.dtype == np.int32 else values)


def _decoder(ours: Decoder) -> Any:
    """The same architecture with the same parameters."""
    torch, _ = _torch()
    nn: Any = torch.nn

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding.from_pretrained(_tensor(ours.embed.embedding[...]), False)
            self.positions = None
            if ours.positions is not None:
                self.positions = nn.Parameter(_tensor(ours.positions.embedding[...]))
            self.blocks = nn.ModuleList(_block(block, ours.config) for block in ours.blocks)
            self.norm, self.head = _norm(ours.config), _linear(ours.head)

        def forward(self, tokens: Any) -> Any:
            x = self.embed(tokens)
            if self.positions is not None:
                x = x + self.positions
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x))

    return Model()


def _block(of: Any, config: ModelConfig) -> Any:
    torch, functional = _torch()
    nn: Any = torch.nn
    size = config.head_size

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm_attention, self.norm_mlp = _norm(config), _norm(config)
            self.qkv, self.out = _linear(of.qkv), _linear(of.out)
            self.up, self.down = _linear(of.up), _linear(of.down)
            for name, table in zip(("c", "s"), angles(config.context, size), strict=True):
                self.register_buffer(name, _tensor(table).repeat(1, 2))

        def forward(self, x: Any) -> Any:
            x = x + self.attention(self.norm_attention(x))
            h = self.up(self.norm_mlp(x))
            relu = config.activation == "relu"
            return x + self.down(h.relu() if relu else functional.gelu(h, approximate="tanh"))

        def attention(self, x: Any) -> Any:
            parts = self.qkv(x).unflatten(-1, (3, config.heads, size))
            q, k, v = parts.permute(2, 0, 3, 1, 4)
            if config.positions == "rotary":
                q, k = self.rotate(q), self.rotate(k)
            o = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.out(o.transpose(1, 2).flatten(2))

        def rotate(self, x: Any) -> Any:
            first, second = x.chunk(2, dim=-1)
            return x * self.c + torch.cat([-second, first], dim=-1) * self.s

    return Block()


def _linear(of: Any) -> Any:
    nn: Any = _torch()[0].nn
    matrix = _tensor(of.kernel[...])
    layer = nn.Linear(*matrix.shape, bias=False)
    layer.weight = nn.Parameter(matrix.T.contiguous())
    return layer


def _norm(config: ModelConfig) -> Any:
    nn: Any = _torch()[0].nn
    return (nn.RMSNorm if config.norm == "rms" else nn.LayerNorm)(config.width, eps=1e-6)
