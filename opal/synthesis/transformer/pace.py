"""How fast a generator learns: rates that rise in a line and fall along a cosine."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from opal.synthesis.transformer.config import TrainConfig


class Pace(NamedTuple):
    """The learning rates of a training, as numbers that compiled code takes.

    They are those of ``optax.warmup_cosine_decay_schedule``, which must know its lengths when it is
    compiled. Divisions are done once, on the host, as XLA does them for lengths that it knows.

    Attributes:
        up: steps in which the rate rises.
        down: steps in which it falls.
        rise: 1 / up.
        turn: π / down.
    """

    up: np.float32 | Array
    down: np.float32 | Array
    rise: np.float32 | Array
    turn: np.float32 | Array

    @classmethod
    def of(cls, config: TrainConfig) -> Pace:
        """That of a training."""
        one, up = np.float32(1), np.float32(config.warm_up)
        down = np.float32(config.steps - config.warm_up)
        return cls(up, down, one / np.maximum(up, one), np.float32(np.pi) * (one / down))

    def rate(self, count: Int[Array, ""], highest: float) -> Float[Array, ""]:
        """Learning rate after ``count`` steps."""
        step, most = count.astype(jnp.float32), np.float32(highest)
        rising = most - most * (1 - jnp.minimum(step, self.up) * self.rise)
        falling = most * (0.5 * (1 + jnp.cos(jnp.minimum(step - self.up, self.down) * self.turn)))
        return jnp.where(step < self.up, rising, falling)
