"""Steps of a training, compiled once for all lengths and seeds."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from opal.draws import as_key, named
from opal.synthesis.transformer.config import ModelConfig, TrainConfig
from opal.synthesis.transformer.model import Decoder
from opal.synthesis.transformer.pace import Pace
from opal.synthesis.transformer.streams import Batch, Stream, cross_entropy

_AT_ONCE = 1024  # steps of a call of what is compiled, at most


class State(NamedTuple):
    """What a training has come to.

    Attributes:
        decoder: its parameters.
        optimiser: what AdamW remembers.
        losses: of the steps that were taken [steps], in nats a symbol; 0 after them.
        step: number of steps taken.
    """

    decoder: Decoder
    optimiser: optax.OptState
    losses: Float[Array, " s"]
    step: Int[Array, ""]


class DecoderTrainer:
    """The steps of a training: what ``train`` takes between its checkpoints.

    Everything is float32 whatever the caller's precision is, and the same bits. Trainings that
    differ in seed and length alone share what is compiled.

    Args:
        model: sizes and kinds; its ``vocab`` must be the stream's.
        config: how it is trained.
        stream: what it is trained on; hashable.

    Raises:
        ValueError: another ``vocab``.
    """

    def __init__(self, model: ModelConfig, config: TrainConfig, stream: Stream) -> None:
        if model.vocab != stream.vocab:
            raise ValueError(
                f"the model's vocab must be the stream's {stream.vocab} symbols, the beginning "
                f"included; got {model.vocab}."
            )
        self.model, self.config, self.stream = model, config, stream
        self._pace = Pace.of(config)
        # Lengths and seed are arguments of what is compiled.
        self._kind = replace(config, steps=1, warm_up=0, seed=0, save_every=1)

    def start(self) -> State:
        """Initial parameters, and no step."""
        with jax.enable_x64(False):
            decoder = Decoder(self.model, key=named(as_key(self.config.seed), "parameters"))
            losses = jnp.zeros(self.config.steps, jnp.float32)
            memory = _optimiser(self.config, self._pace).init(decoder)
            return State(decoder, memory, losses, jnp.zeros((), jnp.int32))

    def advance(self, state: State, stop: int) -> State:
        """Go on until ``stop`` steps were taken; ``state`` is used up.

        The first call of any trainer of this kind compiles; that serves all that follow.
        """
        losses, step = np.array(state.losses), int(state.step)
        with jax.enable_x64(False):
            key = named(as_key(self.config.seed), "batches")
            while step < stop:
                end = min(stop, step + _AT_ONCE)
                state = state._replace(losses=jnp.zeros(_AT_ONCE, jnp.float32))
                given = (np.int32(end), key, self._pace)
                state = _advance(state, *given, stream=self.stream, config=self._kind)
                losses[step:end] = np.asarray(state.losses)[: end - step]
                step = end
            return state._replace(losses=jnp.asarray(losses))


@partial(jax.jit, static_argnames=("stream", "config"), donate_argnums=0)
def _advance(
    state: State,
    stop: Int[Array, ""],
    key: Key[Array, ""],
    pace: Pace,
    *,
    stream: Stream,
    config: TrainConfig,
) -> State:
    """Steps until ``stop``, with the losses of these steps alone [_AT_ONCE]."""
    start, length = state.step, state.decoder.config.context
    optimiser = _optimiser(config, pace)

    def step(_: Array, state: State) -> State:
        batch = stream.batch(state.step, config.batch, length, key=key)
        value, slopes = _mean_gradient(state.decoder, batch, config.batch // config.slice)
        change, memory = optimiser.update(slopes, state.optimiser, state.decoder)
        decoder = optax.apply_updates(state.decoder, change)
        losses = state.losses.at[state.step - start].set(value)
        return State(decoder, memory, losses, state.step + np.int32(1))

    return jax.lax.fori_loop(start, stop, step, state)


def _optimiser(config: TrainConfig, pace: Pace) -> optax.GradientTransformation:
    def rate(count: Array) -> Array:
        return pace.rate(count, config.learning_rate)

    def matrices(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.ndim > 1, tree)

    return optax.chain(
        optax.clip_by_global_norm(config.clip),
        optax.adamw(rate, weight_decay=config.weight_decay, mask=matrices),
    )


def _mean_gradient(decoder: Decoder, batch: Batch, n_slices: int) -> tuple[Array, Decoder]:
    """Loss and gradient, slice after slice of the batch."""

    def loss(at: Decoder, inputs: Array, targets: Array) -> Array:
        return cross_entropy(at(inputs)[0], targets) / np.float32(n_slices)

    def add(total: tuple[Array, Decoder], part: tuple[Array, ...]) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, jax.value_and_grad(loss)(decoder, *part)), None

    parts = [x.reshape(n_slices, -1, x.shape[1]) for x in (batch.inputs, batch.targets)]
    none = (jnp.zeros((), jnp.float32), jax.tree.map(jnp.zeros_like, decoder))
    return jax.lax.scan(add, none, tuple(parts))[0]
