"""The progress bar of a training run: tokens a second, KL to the subjects' laws, regret."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import jax
import numpy as np

from opal import progress
from opal.draws import as_key, named
from opal.synthesis.transformer.config import ModelConfig, TrainConfig
from opal.synthesis.transformer.model import Decoder
from opal.synthesis.transformer.streams import Stream, divergence

Report = Callable[[int, Decoder], None]
_HELD_OUT = 256  # sequences


@contextmanager
def reported(
    model: ModelConfig,
    config: TrainConfig,
    stream: Stream,
    reference: np.ndarray | None,
    *,
    enabled: bool,
) -> Iterator[Report]:
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
    with progress.bar("training", config.steps, stays=True) as shown:
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
