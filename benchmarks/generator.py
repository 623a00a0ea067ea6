"""Training and sampling of opal's decoder against PyTorch, Hugging Face, and no cache.

Training: two layers of width 64, batches of 128 sequences of 64 tokens, float32. Opal draws its
batches; the peer, the same architecture in eager PyTorch with opal's initial parameters (scores
are compared first), finds its batch ready, and has one thread or all and
PyTorch's default AdamW or its fused one, whichever is fastest.

Sampling: 256 tokens after the beginning, from a decoder with random parameters, cached. Peers are
``sample(cached=False)``, which reads all positions for each token, and ``generate`` of a GPT-2 of
the same size with its cache, drawing or taking the most probable token, with one thread or all,
whichever is faster.

All is warm, on the CPU, and takes turns in one process; each time is the least of several. CPU
time is that of all threads: where others use the machine it says more than time on the wall.
If JAX has a GPU, model FLOP utilisation of training is measured there too.

Run ``python benchmarks/generator.py``, or with ``--json``: seconds are per step and per sample.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks import _torch_decoder
from opal.draws import as_key
from opal.settings.tokens import Alphabet
from opal.synthesis.transformer import train as training
from opal.synthesis.transformer.config import ModelConfig, TrainConfig
from opal.synthesis.transformer.model import Decoder
from opal.synthesis.transformer.sample import sample
from opal.synthesis.transformer.streams import TokenStream

_ASKED = {"PyTorch": 1, "uncached": 10, "generate, greedy": 5, "generate, drawn": 5}
_STREAM = TokenStream(Alphabet.random(32, 4, key=0))
_STEPS = 1_000_000  # of the schedule of learning rates: more than are ever taken


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


_SMALL = ModelConfig(_STREAM.vocab, context=64)
_SAMPLER = ModelConfig(
    _STREAM.vocab, context=257, positions="learned", norm="layer", activation="gelu"
)
FULL = Sizes(
    (
        _SMALL,
        replace(_SMALL, activation="gelu"),
        replace(_SMALL, positions="learned"),
        replace(_SMALL, heads=4),
        replace(_SMALL, heads=4, activation="gelu", positions="learned"),
    ),
    *(128, 4, _SAMPLER, (1, 16)),
)
_TINY = replace(_SMALL, context=9, width=8, depth=1, heads=1)
TINY = Sizes((_TINY,), 4, 1, _TINY, (2,))
_LARGE = replace(_SMALL, context=128, width=1024, depth=8, heads=16)


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
    repeats: int = 8
    """Turns of each side; the fastest counts."""
    device: bool = True
    """Measure model FLOP utilisation too, if JAX has a GPU."""
    peak_tflops: float = 989.0
    """What the GPU can do at most in bf16, dense (H100 and H200: 989; A100: 312)."""


def main(options: Options) -> None:
    """Measure everything; print each line as it comes unless JSON is asked for."""
    say: Callable[[str], None] = (lambda _: None) if options.json else _say
    results: dict[str, Any] = {"training": [], "sampling": [], "device": [], "left_out": []}
    sizes = TINY if options.tiny else FULL
    for part, names in (("training", ("torch",)), ("generate", ("torch", "transformers"))):
        if absent := _torch_decoder.missing(*names):
            note = f"{part}: {' and '.join(absent)} not installed; pip install 'opal-scaling[text]'"
            results["left_out"].append(note)
    with jax.enable_x64(False), jax.default_device(jax.local_devices(backend="cpu")[0]):
        for model in sizes.models:
            results["training"].append(_training(model, sizes, options.repeats))
            say(_line(results["training"][-1]))
        for n_sequences in sizes.sequences:
            for entry in _sampling(sizes.sampler, n_sequences, options.repeats):
                results["sampling"].append(entry)
                say(_line(entry))
    if not options.device:
        results["left_out"].append("device: not asked for")
    elif jax.default_backend() != "gpu":
        results["left_out"].append("device: JAX has no GPU here; install jax[cuda13] where one is")
    else:
        with jax.enable_x64(False):
            results["device"].append(utilisation(_LARGE, 256, 10, options.peak_tflops))
        say(json.dumps(results["device"][-1]))
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
    asked = f"{entry['ratio']:.2f}x {entry['peer']} (asked {_ASKED[entry['peer']]}x)"
    return f"{ours}, {asked}: {times} against {theirs}; CPU {entry['cpu_ratio']:.2f}x"


def _training(model: ModelConfig, sizes: Sizes, repeats: int) -> dict[str, Any]:
    """Steps of training on both sides."""
    config = TrainConfig(steps=_STEPS, batch=sizes.batch, slice=min(32, sizes.batch))
    ours, peer = _our_steps(model, config, sizes.steps), None
    if not _torch_decoder.missing("torch"):
        batch = _STREAM.batch(0, sizes.batch, model.context, key=as_key(0))
        decoder = Decoder(model, key=0)
        kinds = [
            _torch_decoder.training_steps(
                decoder, config, batch, sizes.steps, fused=fused, threads=threads
            )
            for fused in (False, True)
            for threads in {1, os.cpu_count() or 1}
        ]
        peer = min(kinds, key=lambda kind: min(_times(kind)[0] for _ in range(4)))
    case = f"{model.heads} heads, {model.activation}, {model.positions}"
    n_tokens = sizes.batch * model.context
    return {"case": case, **_compare(ours, peer, "PyTorch", sizes.steps, n_tokens, repeats)}


def _our_steps(model: ModelConfig, config: TrainConfig, n: int) -> Callable[[], object]:
    """A function that goes on with opal's training for n steps.

    These are the parts of ``train``, which compiles whenever it is called.
    """
    optimiser = training._optimiser(config)
    state = training._start(model, config, optimiser)
    step = training._advance(model, config, _STREAM, optimiser)
    advance = jax.jit(step, donate_argnums=0)

    def steps() -> float:
        nonlocal state
        stop = int(state.step) + n
        state = advance(state, jnp.asarray(stop, jnp.int32))
        return float(state.losses[stop - 1])

    return steps


def _sampling(model: ModelConfig, n_sequences: int, repeats: int) -> list[dict[str, Any]]:
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
        {"case": case, **_compare(partial(drawn, True), peer, name, 1, n_tokens, repeats)}
        for name, peer in peers.items()
    ]


def _generate(model: ModelConfig, n_sequences: int, draw: bool) -> Callable[[], object]:
    """Hugging Face with one thread or with all: whichever writes a few tokens faster."""
    n = model.context - 1

    def seconds(threads: int) -> float:
        few = _torch_decoder.generate(model, n_sequences, min(n, 16), draw=draw, threads=threads)
        return min(_times(few)[0] for _ in range(4))

    threads = min({1, os.cpu_count() or 1}, key=seconds)
    return _torch_decoder.generate(model, n_sequences, n, draw=draw, threads=threads)


def _compare(
    ours: Callable[[], object],
    peer: Callable[[], object] | None,
    name: str,
    calls: int,
    n_tokens: int,
    repeats: int,
) -> dict[str, Any]:
    """Least seconds of each side, which take turns; the peer's are None if there is none."""
    sides = [side for side in (ours, peer) if side is not None]
    for side in sides:
        side()  # warm
    turns = np.array([[_times(side) for side in sides] for _ in range(repeats)])
    least = (turns.min(axis=0) / calls).tolist()
    (seconds, cpu), (peer_seconds, peer_cpu) = least[0], [*least, [None, None]][1]
    return {
        "peer": name,
        "ratio": peer_seconds and peer_seconds / seconds,
        "cpu_ratio": peer_cpu and peer_cpu / cpu,
        "seconds": seconds,
        "peer_seconds": peer_seconds,
        "cpu_seconds": cpu,
        "peer_cpu_seconds": peer_cpu,
        "tokens_per_s": n_tokens / seconds,
        "peer_tokens_per_s": peer_seconds and n_tokens / peer_seconds,
    }


def _times(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of one call: on the wall, and of all threads."""
    start, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - cpu


def utilisation(model: ModelConfig, batch: int, steps: int, peak_tflops: float) -> dict[str, Any]:
    """Share of the GPU's peak that training uses: products in bf16, parameters in float32.

    A token costs ``6·P + 12·depth·L·D`` FLOP, P the entries of the matrices it is multiplied by
    (arXiv 2204.02311, appendix B).
    """
    config = TrainConfig(steps=_STEPS, batch=batch, slice=batch)
    with jax.default_matmul_precision("BF16_BF16_F32"):
        work = _our_steps(model, config, steps)
        work()
        seconds = min(_times(work)[0] for _ in range(5)) / steps
    d, tokens_per_s = model.width, batch * model.context / seconds
    entries = model.depth * (4 + 2 * model.mlp_ratio) * d**2 + d * model.outputs
    flop = 6 * entries + 12 * model.depth * model.context * d
    return {
        "device": jax.devices()[0].device_kind,
        "width": d,
        "depth": model.depth,
        "batch": batch,
        "context": model.context,
        "seconds": seconds,
        "tokens_per_s": tokens_per_s,
        "tflops": tokens_per_s * flop / 1e12,
        "utilisation": tokens_per_s * flop / 1e12 / peak_tflops,
    }


if __name__ == "__main__":
    main(tyro.cli(Options, description=Options.__doc__))
