"""Training of a generator: AdamW on batches that depend on the step alone.

The same configurations give the same parameters bit for bit, however often the run was killed.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from opal.draws import as_key, named
from opal.synthesis.transformer.checkpoint import Checkpoints
from opal.synthesis.transformer.config import ModelConfig, TrainConfig
from opal.synthesis.transformer.model import Decoder
from opal.synthesis.transformer.progress import Report, reported
from opal.synthesis.transformer.streams import Batch, Stream, cross_entropy

__all__ = ["State", "TrainConfig", "Trained", "Trainer", "identity", "train"]
_SECONDS = 2.0  # between two reports


class Trained(NamedTuple):
    """A trained decoder and its loss at each step [steps], in nats a symbol."""

    decoder: Decoder
    losses: np.ndarray


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


class Trainer:
    """The steps of a training: what ``train`` takes between its checkpoints.

    Everything is float32 whatever the caller's precision is, and the same bits.

    Args:
        model: sizes and kinds; its ``vocab`` must be the stream's.
        config: how it is trained.
        stream: what it is trained on.

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
        self._optimiser = _optimiser(config)
        self._compiled = jax.jit(self._advance, donate_argnums=0)

    def start(self) -> State:
        """Initial parameters, and no step."""
        with jax.enable_x64(False):
            decoder = Decoder(self.model, key=named(as_key(self.config.seed), "parameters"))
            losses = jnp.zeros(self.config.steps, jnp.float32)
            memory = self._optimiser.init(decoder)
            return State(decoder, memory, losses, jnp.zeros((), jnp.int32))

    def advance(self, state: State, stop: int) -> State:
        """Go on until ``stop`` steps were taken; ``state`` is used up.

        The first call compiles; that serves all that follow.
        """
        with jax.enable_x64(False):
            return self._compiled(state, jnp.asarray(stop, jnp.int32))

    def _advance(self, state: State, stop: Array) -> State:
        config, length = self.config, self.model.context
        key = named(as_key(config.seed), "batches")

        def step(_: Array, state: State) -> State:
            batch = self.stream.batch(state.step, config.batch, length, key=key)
            value, slopes = _mean_gradient(state.decoder, batch, config.batch // config.slice)
            change, memory = self._optimiser.update(slopes, state.optimiser, state.decoder)
            decoder = optax.apply_updates(state.decoder, change)
            losses = state.losses.at[state.step].set(value)
            return State(decoder, memory, losses, state.step + np.int32(1))

        return jax.lax.fori_loop(state.step, stop, step, state)


def identity(model: ModelConfig, config: TrainConfig, stream: Stream) -> dict[str, Any]:
    """What a run depends on, as JSON-able fields; float32 goes without saying."""
    of_model = asdict(model)
    if model.dtype == "float32":
        del of_model["dtype"]
    return {"model": of_model, "train": asdict(config), "stream": stream.identity()}


def train(
    model: ModelConfig,
    config: TrainConfig,
    stream: Stream,
    *,
    folder: Path | None = None,
    progress: bool = True,
    reference: np.ndarray | None = None,
) -> Trained:
    """Train a decoder, or go on where the checkpoints of a folder end.

    Processes that ask for the same folder at once wait for the first, and find its work done.

    Args:
        model: sizes and kinds; its ``vocab`` must be the stream's.
        config: how it is trained.
        stream: what it is trained on.
        folder: of checkpoints; none are written without it.
        progress: show a bar on standard error.
        reference: mean KL of the best estimate after 0, 1, … symbols [context], such as that of
            the posterior predictive law (:func:`opal.theory.generator.bayes`); the bar then shows
            the regret too.

    Raises:
        ValueError: another ``vocab`` or length of the reference, a loss that is no number, or
            checkpoints that are damaged or of another run.
        OSError: the folder cannot be written, or its disk is full.
    """
    trainer = Trainer(model, config, stream)
    _check(model, reference)
    saved = Checkpoints(folder, identity(model, config, stream)) if folder else None
    waiting = saved.alone(config.steps) if saved else nullcontext()
    with waiting, jax.enable_x64(False):
        state = trainer.start()
        if saved:
            state = saved.latest(state) or state
        with reported(model, config, stream, reference, enabled=progress) as report:
            state = _run(trainer, state, saved, report)
    return Trained(state.decoder, np.asarray(state.losses))


def _check(model: ModelConfig, reference: np.ndarray | None) -> None:
    if reference is not None and np.shape(reference) != (model.context,):
        raise ValueError(
            f"the reference needs a KL for each of the {model.context} positions; got shape "
            f"{np.shape(reference)}."
        )


def _optimiser(config: TrainConfig) -> optax.GradientTransformation:
    rate = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, config.warm_up, config.steps
    )

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


def _run(trainer: Trainer, state: State, saved: Checkpoints | None, report: Report) -> State:
    """Stretches of about two seconds, each no further than the next checkpoint."""
    config, stretch, step = trainer.config, 4, int(state.step)
    report(step, state.decoder)
    while step < config.steps:
        start = time.perf_counter()
        stop = min(step + stretch, step - step % config.save_every + config.save_every)
        stop = min(stop, config.steps)
        state = trainer.advance(state, stop)
        loss = float(state.losses[stop - 1])
        if not np.isfinite(loss):
            raise ValueError(
                f"the loss must stay finite; it is {loss} at step {stop}. Lower learning_rate "
                f"(now {config.learning_rate:g}) or raise warm_up (now {config.warm_up})."
            )
        pace = (time.perf_counter() - start) / (stop - step)
        stretch, step = max(1, min(4 * stretch, int(_SECONDS / pace))), stop
        if saved and (step % config.save_every == 0 or step == config.steps):
            saved.save(step, state)
        report(step, state.decoder)
    return state
