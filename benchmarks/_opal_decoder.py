"""Steps of opal's training, to be timed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import jax

from opal.settings.tokens import Alphabet
from opal.synthesis.transformer.config import ModelConfig, TrainConfig
from opal.synthesis.transformer.streams import TokenStream
from opal.synthesis.transformer.train import DecoderTrainer

STREAM = TokenStream(Alphabet.random(32, 4, key=0))
STEPS = 1_000_000  # of the schedule of learning rates: more than are ever taken


def on_the_cpu() -> AbstractContextManager[object]:
    """What is made inside is on the CPU, whatever else there is."""
    return jax.default_device(jax.local_devices(backend="cpu")[0])


def training_steps(model: ModelConfig, config: TrainConfig, n: int) -> Callable[[], object]:
    """A function that goes on with opal's training for n steps."""
    trainer = DecoderTrainer(model, config, STREAM)
    state = trainer.start()

    def steps() -> float:
        nonlocal state
        stop = int(state.step) + n
        state = trainer.advance(state, stop)
        return float(state.losses[stop - 1])

    return steps
