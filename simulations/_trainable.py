"""Whether decoders of a study can be trained, asked before its first cell."""

from __future__ import annotations

from collections.abc import Sequence

from opal.synthesis.transformer.config import ModelConfig, TrainConfig


def require(
    vocab: int, context: int, sizes: Sequence[tuple[int, int]], steps: Sequence[int], batch: int
) -> None:
    """Check what :func:`simulations._generators.generator` is to be given.

    Args:
        vocab: symbols, the beginning among them.
        context: positions.
        sizes: width and depth of each decoder.
        steps: of each training.
        batch: sequences a step.

    Raises:
        ValueError: a decoder that cannot be, or a training.
    """
    for width, depth in sizes:
        ModelConfig(vocab, context, width, depth)
    if batch % (batch // 4 or 1):
        raise ValueError(
            f"batch must be a multiple of 4, or below 8, as it is trained in slices; got {batch}."
        )
    for number in steps:
        TrainConfig(number, batch, batch // 4 or 1, warm_up=min(TrainConfig.warm_up, number // 2))
