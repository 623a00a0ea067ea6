"""Training of a generator: AdamW on batches that depend on the step alone.

The same configurations give the same parameters bit for bit, however often the run was killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
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

__all__ = ["TrainConfig", "Trained", "identity", "train"]
_SECONDS = 2.0  # between two reports


class Trained(NamedTuple):
    """A trained decoder and its loss at each step [steps], in nats a symbol."""

    decoder: Decoder
    losses: np.ndarray


class _State(NamedTuple):
    decoder: Decoder
    optimiser: optax.OptState
    losses: Float[Array, " s"]
    step: Int[Array, ""]


def identity(model: ModelConfig, config: TrainConfig, stream: Stream) -> dict[str, Any]:
    """What a run depends on, as JSON-able fields."""
    return {"model": asdict(model), "train": asdict(config), "stream": stream.identity()}


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

    Args:
        model: sizes and kinds; its ``vocab`` must be the stream's.
        config: how it is trained.
        stream: what it is trained on.
        folder: of checkpoints; none are written without it.
        progress: show a bar on standard error.
        reference: mean KL of the best estimate after 0, 1, … symbols [context], such as that of
            the posterior predictive law; the bar then shows the regret too.

    Raises:
        ValueError: another ``vocab`` or length of the reference, a loss that is no number, or
            checkpoints that are damaged or of another run.
    """
    _check(model, stream, reference)
    saved = Checkpoints(folder, identity(model, config, stream)) if folder else None
    # Whatever the caller's precision is: float32 here, and the same bits.
    with jax.enable_x64(False):
        optimiser = _optimiser(config)
        state = _start(model, config, optimiser)
        if saved:
            state = saved.latest(state) or state
        advance = jax.jit(_advance(model, config, stream, optimiser), donate_argnums=0)
        with reported(model, config, stream, reference, enabled=progress) as report:
            state = _run(state, config, advance, saved, report)
    return Trained(state.decoder, np.asarray(state.losses))


def _check(model: ModelConfig, stream: Stream, reference: np.ndarray | None) -> None:
    if model.vocab != stream.vocab:
        raise ValueError(
            f"the model's vocab must be the stream's {stream.vocab} symbols, the beginning "
            f"included; got {model.vocab}."
        )
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


def _start(
    model: ModelConfig, config: TrainConfig, optimiser: optax.GradientTransformation
) -> _State:
    decoder = Decoder(model, key=named(as_key(config.seed), "parameters"))
    losses, step = jnp.zeros(config.steps, jnp.float32), jnp.zeros((), jnp.int32)
    return _State(decoder, optimiser.init(decoder), losses, step)


def _advance(
    model: ModelConfig,
    config: TrainConfig,
    stream: Stream,
    optimiser: optax.GradientTransformation,
) -> Callable[[_State, Array], _State]:
    """Steps until ``stop`` in one loop; one compiled function serves all stretches."""
    key = named(as_key(config.seed), "batches")

    def step(_: Array, state: _State) -> _State:
        batch = stream.batch(state.step, config.batch, model.context, key=key)
        value, slopes = _mean_gradient(state.decoder, batch, config.batch // config.slice)
        change, memory = optimiser.update(slopes, state.optimiser, state.decoder)
        decoder = optax.apply_updates(state.decoder, change)
        losses = state.losses.at[state.step].set(value)
        return _State(decoder, memory, losses, state.step + np.int32(1))

    def advance(state: _State, stop: Array) -> _State:
        return jax.lax.fori_loop(state.step, stop, step, state)

    return advance


def _mean_gradient(decoder: Decoder, batch: Batch, n_slices: int) -> tuple[Array, Decoder]:
    """Loss and gradient, slice after slice of the batch."""

    def loss(at: Decoder, inputs: Array, targets: Array) -> Array:
        return cross_entropy(at(inputs)[0], targets) / np.float32(n_slices)

    def add(total: tuple[Array, Decoder], part: tuple[Array, ...]) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, jax.value_and_grad(loss)(decoder, *part)), None

    parts = [x.reshape(n_slices, -1, x.shape[1]) for x in (batch.inputs, batch.targets)]
    none = (jnp.zeros((), jnp.float32), jax.tree.map(jnp.zeros_like, decoder))
    return jax.lax.scan(add, none, tuple(parts))[0]


def _run(
    state: _State,
    config: TrainConfig,
    advance: Callable[[_State, Array], _State],
    saved: Checkpoints | None,
    report: Report,
) -> _State:
    """Stretches of about two seconds, each no further than the next checkpoint."""
    stretch, step = 4, int(state.step)
    report(step, state.decoder)
    while step < config.steps:
        start = time.perf_counter()
        stop = min(step + stretch, step - step % config.save_every + config.save_every)
        stop = min(stop, config.steps)
        state = advance(state, jnp.asarray(stop, jnp.int32))
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
