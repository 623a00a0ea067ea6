"""What an accelerator makes of replicates, theory, the decoder and a fine-tuned encoder.

Four parts, each of which is printed as soon as it is measured, so that a stop loses no more than
one: `replicates` (a second, at two sizes), `high_dim` (solutions of the high-dimensional theory),
`decoder` (tokens a second, share of the device's peak, and the loss of the same training on the
CPU), and `texts` (a RoBERTa-large of random weights, fine-tuned and read as `opal text impute
--classifier` does it). The first two are computed again in a process of its own on the CPU: given
are the ratio of the times and the largest difference of the numbers, whose draws are the same.

Run ``python benchmarks/accelerator.py``; without an accelerator both sides are the CPU, which shows
that everything runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import tyro

from benchmarks import _decoder_training
from benchmarks._opal_decoder import STREAM
from benchmarks.replicates import Size
from opal import simulation
from opal.bridge.text.classifiers import FineTuning, device_of, fine_tune
from opal.synthesis.transformer.config import ModelConfig, TrainConfig
from opal.theory import high_dim

PARTS = ("replicates", "high_dim", "decoder", "texts")
_N_WORDS = 2000  # different ones


class Encoder(NamedTuple):
    """Shape of an encoder, and of what it is fine-tuned on."""

    hidden: int
    layers: int
    heads: int
    inner: int
    n_texts: int
    words: int  # of a text
    batch: int


class Sizes(NamedTuple):
    """What is measured."""

    replicates: tuple[Size, ...]
    high_dim: int  # solutions
    decoder: _decoder_training.Sizes
    encoder: Encoder


_LARGE = ModelConfig(STREAM.vocab, context=128, width=1024, depth=8, heads=16, dtype="bfloat16")
FULL = Sizes(
    replicates=(Size(1000, 20, 20_000, 0), Size(5000, 100, 400, 0)),
    high_dim=40,
    decoder=_decoder_training.Sizes(
        _LARGE,
        batch=256,
        compared=replace(_LARGE, context=32, depth=2),
        config=TrainConfig(steps=60, batch=16, slice=16, learning_rate=3e-4, warm_up=10),
    ),
    encoder=Encoder(1024, 24, 16, 4096, n_texts=640, words=60, batch=16),
)
_SMALL = ModelConfig(STREAM.vocab, context=9, width=8, depth=1, heads=1, dtype="bfloat16")
TINY = Sizes(
    replicates=(Size(100, 3, 20, 0),),
    high_dim=2,
    decoder=_decoder_training.Sizes(
        _SMALL,
        batch=4,
        compared=_SMALL,
        config=TrainConfig(steps=8, batch=4, slice=4, warm_up=2),
        seeds=2,
    ),
    encoder=Encoder(8, 1, 2, 8, n_texts=64, words=6, batch=4),
)


@dataclass(frozen=True)
class Options:
    """Measure opal on the accelerator that JAX and torch have.

    Example:
        python benchmarks/accelerator.py --parts replicates decoder
    """

    parts: tuple[str, ...] = PARTS
    """replicates, high_dim, decoder, texts."""
    tiny: bool = False
    """Tiny sizes, to see that everything runs."""
    rounds: int = 4
    """Times of each; the least counts."""
    peak_tflops: float | None = None
    """What the accelerator can do at most in bf16, dense; known for some NVIDIA GPUs."""
    reference: Path | None = None
    """Write numbers and times to this file instead of comparing them with the CPU's."""


def main(options: Options) -> None:
    """Measure each part that is asked for and print it, a line of JSON each."""
    sizes = TINY if options.tiny else FULL
    device = jax.devices()[0].device_kind
    measures: dict[str, Callable[[], dict[str, Any]]] = {
        "replicates": lambda: _compared("replicates", options),
        "high_dim": lambda: _compared("high_dim", options),
        "decoder": lambda: _decoder(sizes.decoder, options),
        "texts": lambda: texts(sizes.encoder),
    }
    if options.reference is not None:
        numbers = {name: _numbers(name, sizes, options.rounds) for name in options.parts}
        options.reference.write_text(json.dumps(numbers), encoding="utf-8")
        return
    for name in options.parts:
        start = time.perf_counter()
        try:
            found = measures[name]()
        except Exception as error:  # the other parts are worth having
            found = {"failed": f"{type(error).__name__}: {error}"}
        about = {"part": name, "device": device, "took_s": round(time.perf_counter() - start, 1)}
        print(json.dumps(about | found), flush=True)


def _decoder(sizes: _decoder_training.Sizes, options: Options) -> dict[str, Any]:
    with jax.enable_x64(False):
        entry = _decoder_training.measured(sizes, options.rounds, options.peak_tflops)
    return {**entry, "says": _decoder_training.line(entry)}


def _numbers(part: str, sizes: Sizes, rounds: int) -> dict[str, Any]:
    """Seconds and numbers of a part, on JAX's default device."""
    if part == "high_dim":
        return {"high_dim": _timed(lambda: _solutions(sizes.high_dim), sizes.high_dim, rounds)}
    return {
        f"{size.n} x {size.d}": _timed(partial(_risks, size), size.n_opal, rounds)
        for size in sizes.replicates
    }


def _timed(work: Callable[[], np.ndarray], n: int, rounds: int) -> dict[str, Any]:
    values = work()  # warm
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return {"seconds": min(times) / n, "values": values[:200].tolist()}


def _risks(size: Size) -> np.ndarray:
    found = simulation.replicate_metrics(
        size.setting, size.design, key=0, n_replicates=size.n_opal, calibration=False
    )
    return np.asarray(found["balanced_risk"])


def _solutions(n: int) -> np.ndarray:
    """Errors by the high-dimensional theory over ridges."""
    pair = high_dim.components([1.0, 0.1], [-1, 1], gram=[[1, -1], [-1, 1]])
    ridges = np.geomspace(0.01, 1.0, n)
    each = [high_dim.evaluate(pair, float(ridge), loss="logistic").error for ridge in ridges]
    return np.concatenate(each)


def _compared(part: str, options: Options) -> dict[str, Any]:
    """A part here and in a process that has only the CPU."""
    here = _numbers(part, TINY if options.tiny else FULL, options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reference.json"
        words = ["--parts", part, "--rounds", str(options.rounds), "--reference", str(path)]
        words += ["--tiny"] if options.tiny else []
        subprocess.run(
            [sys.executable, "-m", "benchmarks.accelerator", *words],
            check=True,
            cwd=Path(__file__).parents[1],
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
        )
        there = json.loads(path.read_text(encoding="utf-8"))[part]
    return {
        "sizes": {
            name: {
                "per_s": 1 / found["seconds"],
                "cpu_per_s": 1 / there[name]["seconds"],
                "ratio": there[name]["seconds"] / found["seconds"],
                "largest_difference": float(
                    np.abs(np.subtract(found["values"], there[name]["values"])).max()
                ),
            }
            for name, found in here.items()
        }
    }


def texts(shape: Encoder) -> dict[str, Any]:
    """Texts a second of an encoder that is fine-tuned, and of one that reads."""
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(_N_WORDS)]
    said = [" ".join(rng.choice(words, shape.words)) for _ in range(shape.n_texts)]
    y, even = rng.integers(2, size=len(said)), np.ones(len(said))
    with tempfile.TemporaryDirectory() as folder:
        _save(Path(folder), shape, words)
        settings = FineTuning(folder, epochs=2, batch=shape.batch, max_tokens=128)
        short = replace(settings, most_steps=2)
        for _ in range(2):  # the first is warm when it ends
            start = time.perf_counter()
            fine_tune(said, y, even, n_classes=2, settings=short)
            begin = time.perf_counter() - start
        start = time.perf_counter()
        rule = fine_tune(said, y, even, n_classes=2, settings=settings)
        train = time.perf_counter() - start - begin
        rule.probabilities(said)  # warm
        start = time.perf_counter()
        p = rule.probabilities(said)
        read = time.perf_counter() - start
    trained = settings.epochs * len(said) - short.most_steps * shape.batch
    return {
        "torch_device": str(device_of(settings)),
        "encoder": shape._asdict(),
        "trained_texts_per_s": trained / train,
        "read_texts_per_s": len(said) / read,
        "begin_s": begin,
        "sums_to_one": bool(np.allclose(p.sum(axis=1), 1)),
    }


def _save(folder: Path, shape: Encoder, words: list[str]) -> None:
    """A RoBERTa of random weights, with a tokenizer of whole words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    special = {"pad_token": "<pad>", "unk_token": "<unk>"}
    known = {word: i for i, word in enumerate([*special.values(), *words])}
    plain = Tokenizer(models.WordLevel(known, unk_token=special["unk_token"]))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=plain, **special).save_pretrained(folder)
    config = RobertaConfig(
        vocab_size=50265,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.inner,
        max_position_embeddings=514,
        pad_token_id=0,
    )
    RobertaModel(config).save_pretrained(folder)


if __name__ == "__main__":
    main(tyro.cli(Options, description=Options.__doc__))
