"""Training of a generator: AdamW on batches that depend on the step alone.

The same configurations give the same parameters bit for bit, however often the run was killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from opal.draws import as_key, named
from opal.progress import bar
from opal.synthesis.transformer.checkpoint import Checkpoints
from opal.synthesis.transformer.config import ModelConfig, TrainConfig
from opal.synthesis.transformer.model import Decoder
from opal.synthesis.transformer.streams import Stream, divergence
from opal.synthesis.transformer.trainer import DecoderTrainer, State

__all__ = ["DecoderTrainer", "State", "TrainConfig", "TrainedDecoder", "identity", "train"]
_Report = Callable[[int, Decoder], None]
_SECONDS = 2.0  # between two reports
_HELD_OUT = 256  # sequences, behind the KL of a report


class TrainedDecoder(NamedTuple):
    """A trained decoder and its loss at each step [steps], in nats a symbol."""

    decoder: Decoder
    losses: np.ndarray


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
) -> TrainedDecoder:
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
    trainer = DecoderTrainer(model, config, stream)
    _check(model, reference)
    saved = Checkpoints(folder, identity(model, config, stream)) if folder else None
    waiting = saved.alone(config.steps) if saved else nullcontext()
    with waiting, jax.enable_x64(False):
        state = trainer.start()
        if saved:
            state = saved.latest(state) or state
        with _reported(model, config, stream, reference, enabled=progress) as report:
            state = _run(trainer, state, saved, report)
    return TrainedDecoder(state.decoder, np.asarray(state.losses))


def _check(model: ModelConfig, reference: np.ndarray | None) -> None:
    if reference is not None and np.shape(reference) != (model.context,):
        raise ValueError(
            f"the reference needs a KL for each of the {model.context} positions; got shape "
            f"{np.shape(reference)}."
        )


def _run(
    trainer: DecoderTrainer, state: State, saved: Checkpoints | None, report: _Report
) -> State:
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


@contextmanager
def _reported(
    model: ModelConfig,
    config: TrainConfig,
    stream: Stream,
    reference: np.ndarray | None,
    *,
    enabled: bool,
) -> Iterator[_Report]:
    """A function of the step and the decoder that moves a bar on standard error.

    KL and regret are means over all positions of 256 held-out sequences; tokens a second those
    since the first stretch, checkpoints included.
    """
    if not enabled:
        yield lambda step, decoder: None
        return
    key = named(as_key(config.seed), "held-out")
    batch = jax.jit(lambda: stream.batch(0, _HELD_OUT, model.context, key=key))()
    kl = jax.jit(lambda decoder: divergence(batch.laws, decoder(batch.inputs)[0]).mean(axis=0))
    with bar("training", config.steps, stays=True) as shown:
        since: list[tuple[int, float]] = []

        def report(step: int, decoder: Decoder) -> None:
            now = time.perf_counter()
            if len(since) < 2:  # the first stretch is mostly compilation
                since.append((step, now))
            done, spent = step - since[-1][0], now - since[-1][1]
            at = np.asarray(kl(decoder))
            words = f"KL {at.mean():.4f}"
            if reference is not None:
                words += f", regret {np.mean(at - reference):+.4f}"
            if done:
                words += f", {done * config.batch * model.context / spent:,.0f} tokens/s"
            shown.update(step, doing=words)

        yield report
