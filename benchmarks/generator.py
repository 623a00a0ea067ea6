"""Training and sampling of opal's decoder against PyTorch, Hugging Face, and no cache.

Training: two layers of width 64, batches of 128 sequences of 64 tokens, float32. Opal draws its
batches; the peer, the same architecture in eager PyTorch with opal's initial parameters (scores
are compared first), finds its batch ready, and has one thread or all and
PyTorch's default AdamW or its fused one, whichever is fastest.

Sampling: 256 tokens after the beginning, from a decoder with random parameters, cached. Peers are
``sample(cached=False)``, which reads all positions for each token, and ``generate`` of a GPT-2 of
the same size with its cache, drawing or taking the most probable token, with one thread or all,
whichever is faster.

All is warm, in one process on the CPU. The two sides take turns, and who begins changes from round
to round. A ratio is the median over rounds of that round's ratio, with the least and the largest:
other work on the machine then slows both sides alike. CPU time is that of all threads.

Run ``python benchmarks/generator.py``, or with ``--json``: seconds are per step and per sample.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import tyro

from benchmarks import _torch_decoder
from benchmarks._opal_decoder import STEPS, STREAM, on_the_cpu, training_steps
from benchmarks._turns import compare, times
from opal.draws import as_key
from opal.synthesis.transformer.config import ModelConfig, TrainConfig
from opal.synthesis.transformer.model import Decoder
from opal.synthesis.transformer.sample import sample

_ASKED = {"PyTorch": 1.5, "uncached": 10, "generate, greedy": 5, "generate, drawn": 5}


class Sizes(NamedTuple):
    """What is measured.

    Attributes:
        models: to be trained.
        batch: sequences of a training step.
        steps: of a turn.
        sampler: the decoder that is drawn from.
        sequences: drawn at once, one number after the other.
    """

    models: tuple[ModelConfig, ...]
    batch: int
    steps: int
    sampler: ModelConfig
    sequences: tuple[int, ...]


_SMALL = ModelConfig(STREAM.vocab, context=64)
_SAMPLER = ModelConfig(
    STREAM.vocab, context=257, positions="learned", norm="layer", activation="gelu"
)
FULL = Sizes(
    models=(
        _SMALL,
        replace(_SMALL, activation="gelu"),
        replace(_SMALL, heads=4, activation="gelu", positions="learned"),
    ),
    batch=128,
    steps=4,
    sampler=_SAMPLER,
    sequences=(1, 16),
)
_TINY = replace(_SMALL, context=9, width=8, depth=1, heads=1)
TINY = Sizes(
    models=(_TINY,),
    batch=4,
    steps=1,
    sampler=_TINY,
    sequences=(2,),
)


@dataclass(frozen=True)
class Options:
    """Compare training and sampling of a decoder with PyTorch and Hugging Face.

    Example:
        python benchmarks/generator.py --json
    """

    json: bool = False
    """Print JSON."""
    tiny: bool = False
    """One tiny decoder, to see that everything runs."""
    rounds: int = 10
    """Turns of each side."""


def main(options: Options) -> None:
    """Measure everything; print each line as it comes unless JSON is asked for."""
    say: Callable[[str], None] = (lambda _: None) if options.json else _say
    results: dict[str, Any] = {"training": [], "sampling": [], "left_out": []}
    sizes = TINY if options.tiny else FULL
    for part, names in (("training", ("torch",)), ("generate", ("torch", "transformers"))):
        if absent := _torch_decoder.missing(*names):
            note = f"{part}: {' and '.join(absent)} not installed; pip install 'opal-scaling[text]'"
            results["left_out"].append(note)
    with jax.enable_x64(False), on_the_cpu():
        for model in sizes.models:
            results["training"].append(_training(model, sizes, options.rounds))
            say(_line(results["training"][-1]))
        for n_sequences in sizes.sequences:
            for entry in _sampling(sizes.sampler, n_sequences, options.rounds):
                results["sampling"].append(entry)
                say(_line(entry))
    for note in results["left_out"]:
        say(f"left out, {note}")
    if options.json:
        print(json.dumps(results))


def _say(line: str) -> None:
    print(line, flush=True)


def _line(entry: dict[str, Any]) -> str:
    ours = f"{entry['case']}: {entry['tokens_per_s']:,.0f} tokens/s"
    times = f"{1e3 * entry['seconds']:.1f} ms, CPU {1e3 * entry['cpu_seconds']:.1f}"
    if entry["ratio"] is None:
        return f"{ours} ({times}); no {entry['peer']}"
    theirs = f"{1e3 * entry['peer_seconds']:.1f} ms, CPU {1e3 * entry['peer_cpu_seconds']:.1f}"
    ratio, cpu = (_span(entry[name], entry[f"{name}_range"]) for name in ("ratio", "cpu_ratio"))
    asked = f"{ratio} {entry['peer']} (asked {_ASKED[entry['peer']]}x)"
    return f"{ours}, {asked}, CPU {cpu}: {times} against {theirs}"


def _span(median: float, least_and_largest: tuple[float, float]) -> str:
    return "{:.2f}x [{:.2f}, {:.2f}]".format(median, *least_and_largest)


def _training(model: ModelConfig, sizes: Sizes, rounds: int) -> dict[str, Any]:
    """Steps of training on both sides."""
    config = TrainConfig(steps=STEPS, batch=sizes.batch, slice=min(32, sizes.batch))
    ours, peer = training_steps(model, config, sizes.steps), None
    if not _torch_decoder.missing("torch"):
        batch = STREAM.batch(0, sizes.batch, model.context, key=as_key(0))
        decoder = Decoder(model, key=0)
        kinds = [
            _torch_decoder.training_steps(
                decoder, config, batch, sizes.steps, fused=fused, threads=threads
            )
            for fused in (False, True)
            for threads in {1, os.cpu_count() or 1}
        ]
        peer = min(kinds, key=lambda kind: min(times(kind)[0] for _ in range(4)))
    case = f"{model.heads} heads, {model.activation}, {model.positions}"
    n_tokens = sizes.batch * model.context
    return {"case": case, **compare(ours, peer, "PyTorch", sizes.steps, n_tokens, rounds)}


def _sampling(model: ModelConfig, n_sequences: int, rounds: int) -> list[dict[str, Any]]:
    """Samples with the cache, against those without and against Hugging Face."""
    decoder, n = Decoder(model, key=0), model.context - 1
    nothing = np.zeros((n_sequences, 0), np.int32)

    def drawn(cached: bool) -> object:
        return jax.block_until_ready(sample(decoder, nothing, n, key=0, cached=cached))

    peers: dict[str, Callable[[], object] | None] = {"uncached": partial(drawn, False)}
    there = not _torch_decoder.missing("torch", "transformers")
    for name, draw in (("generate, greedy", False), ("generate, drawn", True)):
        peers[name] = _generate(model, n_sequences, draw) if there else None
    case, n_tokens = f"{n_sequences} x {n} tokens", n_sequences * n
    return [
        {"case": case, **compare(partial(drawn, True), peer, name, 1, n_tokens, rounds)}
        for name, peer in peers.items()
    ]


def _generate(model: ModelConfig, n_sequences: int, draw: bool) -> Callable[[], object]:
    """Hugging Face with one thread or with all: whichever writes a few tokens faster."""
    n = model.context - 1

    def seconds(threads: int) -> float:
        few = _torch_decoder.generate(model, n_sequences, min(n, 16), draw=draw, threads=threads)
        return min(times(few)[0] for _ in range(4))

    threads = min({1, os.cpu_count() or 1}, key=seconds)
    return _torch_decoder.generate(model, n_sequences, n, draw=draw, threads=threads)


if __name__ == "__main__":
    main(tyro.cli(Options, description=Options.__doc__))
