"""Training of a large decoder where JAX has an accelerator: speed, and the loss of the CPU."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks._opal_decoder import STEPS, STREAM, on_the_cpu, training_steps
from benchmarks._turns import times
from opal.synthesis.transformer.config import ModelConfig, TrainConfig
from opal.synthesis.transformer.train import DecoderTrainer

_PEAKS = {"B200": 2250, "H200": 989, "H100": 989, "A100": 312}  # TFLOP/s in bf16, dense
_CALL = 10  # steps that are timed at once


class Sizes(NamedTuple):
    """What is measured.

    Attributes:
        large: the decoder whose speed is measured.
        batch: sequences of its training step.
        compared: the decoder that is trained here and on the CPU.
        config: of that training.
        seeds: trainings.
    """

    large: ModelConfig
    batch: int
    compared: ModelConfig
    config: TrainConfig
    seeds: int = 4


def measured(sizes: Sizes, rounds: int, peak_tflops: float | None) -> dict[str, Any]:
    """Training on JAX's default device: speed, share of its peak, and loss against the CPU's."""
    kind = jax.devices()[0].device_kind
    known = (peak for name, peak in _PEAKS.items() if name in kind)
    peak = peak_tflops or next(known, None)
    return {
        "device": kind,
        **_utilisation(sizes.large, sizes.batch, rounds, peak),
        **_losses(sizes.compared, sizes.config, sizes.seeds),
    }


def _utilisation(
    model: ModelConfig, batch: int, rounds: int, peak_tflops: float | None
) -> dict[str, Any]:
    """Share of the device's peak that training uses; None if the peak is not known.

    A token costs ``6·P + 12·depth·L·D`` FLOP, P the entries of the matrices it is multiplied by
    (arXiv 2204.02311, appendix B).
    """
    work = training_steps(model, TrainConfig(steps=STEPS, batch=batch, slice=batch), _CALL)
    work()  # warm
    seconds = float(np.median([times(work)[0] for _ in range(rounds)])) / _CALL
    d, tokens_per_s = model.width, batch * model.context / seconds
    entries = model.depth * (4 + 2 * model.mlp_ratio) * d**2 + d * model.outputs
    flop = 6 * entries + 12 * model.depth * model.context * d
    tflops = tokens_per_s * flop / 1e12
    return {
        "model": asdict(model),
        "batch": batch,
        "seconds": seconds,
        "tokens_per_s": tokens_per_s,
        "tflops": tflops,
        "utilisation": peak_tflops and tflops / peak_tflops,
    }


def _losses(model: ModelConfig, config: TrainConfig, seeds: int) -> dict[str, Any]:
    """Mean loss of the last quarter of a training here and, in float32, on the CPU.

    Both see the same batches from the same parameters. Noise is what another seed changes: the
    standard error of the CPU's mean over seeds.
    """

    def last(model: ModelConfig, seed: int) -> float:
        trainer = DecoderTrainer(model, replace(config, seed=seed), STREAM)
        losses = np.asarray(trainer.advance(trainer.start(), config.steps).losses)
        return float(losses[-(config.steps // 4) :].mean())

    here = np.array([last(model, seed) for seed in range(seeds)])
    with on_the_cpu():
        there = np.array([last(replace(model, dtype="float32"), seed) for seed in range(seeds)])
    root = np.sqrt(seeds)
    return {
        "compared": {**asdict(model), "batch": config.batch, "steps": config.steps},
        "loss": float(here.mean()),
        "cpu_loss": float(there.mean()),
        "difference": float((here - there).mean()),
        "difference_error": float((here - there).std(ddof=1) / root),
        "noise": float(there.std(ddof=1) / root),
    }


def line(entry: dict[str, Any]) -> str:
    """What was measured, for people."""
    model, share = entry["model"], entry["utilisation"]
    of_peak = "no peak known: give --peak-tflops"
    if share is not None:
        of_peak = f"{100 * share:.0f} % of the peak (asked 40 %)"
    return (
        f"{entry['device']}, width {model['width']}, depth {model['depth']}, {model['dtype']}: "
        f"{entry['tokens_per_s']:,.0f} tokens/s, {entry['tflops']:.0f} TFLOP/s, {of_peak}; "
        f"loss at width {entry['compared']['width']} {entry['loss']:.4f}, on "
        f"the CPU {entry['cpu_loss']:.4f}: {entry['difference']:+.4f} ± "
        f"{entry['difference_error']:.4f} (noise of seeds {entry['noise']:.4f})"
    )
