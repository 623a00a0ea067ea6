"""Tokens drawn from a causal model for several prompts at once, each with draws of its own.

A batch shares the model's work and nothing else: what a prompt is answered depends on its own key,
temperature and top-p, not on what stands beside it. The draw is an argmax: with Gumbel noise G,
argmax(s/T + G) is distributed as softmax(s/T), and it changes only where two sums tie to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_TINY = 1e-20  # a uniform draw of 0 would give an infinite Gumbel


@dataclass(frozen=True)
class Draw:
    """How one prompt is continued.

    Attributes:
        tokens: the prompt's.
        seed: of its draws.
        temperature: divides the scores; 0 takes the likeliest token.
        top_p: only the likeliest tokens that have this probability together are drawn.
        max_tokens: to be written.
    """

    tokens: tuple[int, ...]
    seed: int
    temperature: float
    top_p: float
    max_tokens: int


@dataclass(frozen=True)
class Continuation:
    """Written tokens without the one that ends them, and whether there was one."""

    tokens: tuple[int, ...]
    ended: bool


def continued(
    model: PreTrainedModel, draws: Sequence[Draw], *, ends: frozenset[int], pad: int
) -> list[Continuation]:
    """Continue all prompts in one batch.

    Args:
        model: on its device, in evaluation mode.
        draws: one for each prompt.
        ends: tokens that end an answer.
        pad: token that fills shorter prompts from the left.
    """
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    width = max(len(draw.tokens) for draw in draws)
    rows = [(pad,) * (width - len(draw.tokens)) + draw.tokens for draw in draws]
    seen = [[0] * (width - len(draw.tokens)) + [1] * len(draw.tokens) for draw in draws]
    # Sampling is the processor's work; what is left to `generate` is the argmax.
    config = GenerationConfig(
        do_sample=False,
        max_new_tokens=max(draw.max_tokens for draw in draws),
        eos_token_id=sorted(ends) or None,
        pad_token_id=pad,
    )
    with torch.inference_mode():
        generate = cast("Callable[..., torch.Tensor]", model.generate)
        written = generate(
            torch.tensor(rows, device=model.device),
            attention_mask=torch.tensor(seen, device=model.device),
            generation_config=config,
            logits_processor=LogitsProcessorList([_Drawn(draws)]),
        )
    found = written[:, width:].tolist()
    return [_cut(row, draw, ends) for row, draw in zip(found, draws, strict=True)]


def _cut(row: Sequence[int], draw: Draw, ends: frozenset[int]) -> Continuation:
    """What one prompt was answered: up to its end, and no more tokens than asked for."""
    own = row[: draw.max_tokens]
    end = next((place for place, token in enumerate(own) if token in ends), None)
    return Continuation(tuple(own[:end]), end is not None)


class _Drawn:
    """Scores [batch, vocabulary] in which the largest is the token drawn."""

    def __init__(self, draws: Sequence[Draw]) -> None:
        import torch

        self._draws = draws
        self._sources = [torch.Generator().manual_seed(draw.seed) for draw in draws]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        rows = zip(scores.float(), self._draws, self._sources, strict=True)
        return torch.stack([_noisy(*row) for row in rows])


def _noisy(scores: torch.Tensor, draw: Draw, source: torch.Generator) -> torch.Tensor:
    import torch

    if draw.temperature == 0:
        return scores
    tempered = scores / draw.temperature
    if draw.top_p < 1:
        tempered = _likeliest(tempered, draw.top_p)
    uniform = torch.rand(len(scores), generator=source).clamp(min=_TINY).to(scores.device)
    return tempered - torch.log(-torch.log(uniform))


def _likeliest(scores: torch.Tensor, top_p: float) -> torch.Tensor:
    """The scores of the fewest tokens that have probability ``top_p``; -inf for the others."""
    ordered, places = scores.sort(descending=True)
    share = ordered.softmax(0)
    before = share.cumsum(0) - share
    return scores.scatter(0, places, ordered.masked_fill(before >= top_p, float("-inf")))
