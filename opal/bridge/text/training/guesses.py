"""What a masked language model makes of hidden tokens, and how often it is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from opal.bridge.text.training.masking import Corrupted, Masking

_RATE = 0.15  # that of SSMBA
_SMALLEST_COUNT = 0.1  # of a token that occurs in no training text
_AT_ONCE = 64


class Skill(NamedTuple):
    """Loss [nats] and share of right guesses of hidden tokens of texts that were held out."""

    loss: float
    accuracy: float


def frequencies(tokens: Sequence[Sequence[int]], words: Any) -> np.ndarray:
    """Logarithm of the share of each token; special ones count as absent [V]."""
    counts = np.bincount(np.concatenate(tokens), minlength=len(words)).astype(float)
    counts[words.all_special_ids] = 0
    return np.log((counts + _SMALLEST_COUNT) / (counts + _SMALLEST_COUNT).sum())


def logits(model: Any, words: Any, some: Sequence[Corrupted], *, bfloat16: bool) -> Any:
    """Of the hidden tokens alone, text after text [k, V]; those of all would cost as much again."""
    import torch

    padded = words.pad({"input_ids": [each.tokens.tolist() for each in some]})
    given = {name: torch.as_tensor(padded[name]) for name in ("input_ids", "attention_mask")}
    text = np.repeat(np.arange(len(some)), [len(each.at) for each in some])
    place = np.concatenate([each.at for each in some])
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        states = model.bert(**given).last_hidden_state
        return model.cls(states[torch.as_tensor(text), torch.as_tensor(place)]).float()


def hidden(tokens: Sequence[Sequence[int]], some: Sequence[Corrupted]) -> np.ndarray:
    """The tokens that are to be guessed, text after text [k]."""
    pairs = zip(tokens, some, strict=True)
    return np.concatenate([np.array(each)[corrupted.at] for each, corrupted in pairs])


def skills(
    model: Any,
    words: Any,
    tokens: Sequence[Sequence[int]],
    log_p: np.ndarray,
    *,
    bfloat16: bool,
) -> tuple[Skill, Skill]:
    """Of the model, and of frequencies, on the same hidden tokens."""
    import torch

    masking, rng = Masking(words, _RATE), np.random.default_rng(0)
    loss, right = 0.0, 0
    found: list[np.ndarray] = []
    ordered = sorted(tokens, key=len)
    with torch.inference_mode():
        for start in range(0, len(ordered), _AT_ONCE):
            part = ordered[start : start + _AT_ONCE]
            some = [masking.corrupted(each, rng) for each in part]
            guess = logits(model, words, some, bfloat16=bfloat16)
            found.append(hidden(part, some))
            true = torch.as_tensor(found[-1])
            loss += float(torch.nn.functional.cross_entropy(guess, true, reduction="sum"))
            right += int((guess.argmax(dim=1) == true).sum())
    every = np.concatenate(found)
    unigram = Skill(float(-log_p[every].mean()), float((every == log_p.argmax()).mean()))
    return Skill(loss / len(every), right / len(every)), unigram
