"""What a generator is and how it is trained, in numbers and choices that JSON can hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from opal import names
from opal.settings.groups import validate_count, validate_number

Positions = Literal["rotary", "learned"]
Norm = Literal["rms", "layer"]
Activation = Literal["relu", "gelu"]
Precision = Literal["float32", "bfloat16"]
_CHOICES = {
    "positions": ("rotary", "learned"),
    "norm": ("rms", "layer"),
    "activation": ("relu", "gelu"),
    "dtype": ("float32", "bfloat16"),
}


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and kinds of a decoder.

    Attributes:
        vocab: symbols V; the last one begins each sequence and is never predicted.
        context: most positions, that of the beginning among them: one more than the seeds.
        width: numbers D at each position.
        depth: blocks of attention and perceptron.
        heads: of attention; they share the width.
        positions: rotary turns queries and keys; learned adds a vector to each position.
        norm: RMSNorm or LayerNorm, before each half of a block.
        mlp_ratio: width of the perceptron's hidden layer, in units of D.
        activation: of the perceptron.
        dtype: of the blocks' products and of what they leave for the backward pass. Parameters,
            sums over blocks, norms, softmax, scores and loss are float32 with either.

    Raises:
        ValueError: a number that is not whole or too small, a choice that does not exist, heads
            that do not divide the width, an odd number of numbers a head with rotary positions.
    """

    vocab: int
    context: int = 65
    width: int = 64
    depth: int = 2
    heads: int = 2
    positions: Positions = "rotary"
    norm: Norm = "rms"
    mlp_ratio: int = 4
    activation: Activation = "relu"
    dtype: Precision = "float32"

    def __post_init__(self) -> None:
        """Check the numbers and the choices."""
        for name, least in (("vocab", 3), ("context", 2), ("mlp_ratio", 1)):
            validate_count(getattr(self, name), name, minimum=least)
        for name in ("width", "depth", "heads"):
            validate_count(getattr(self, name), name, minimum=1)
        for name, known in _CHOICES.items():
            names.check(name, [getattr(self, name)], known)
        if self.width % self.heads:
            raise ValueError(
                f"heads must divide the width; got {self.heads} heads and width {self.width}."
            )
        if self.positions == "rotary" and self.head_size % 2:
            raise ValueError(
                "rotary positions turn pairs, and need an even number of numbers a head; got "
                f"{self.head_size}. Change width or heads, or take learned positions."
            )

    @property
    def head_size(self) -> int:
        """Numbers a head E."""
        return self.width // self.heads

    @property
    def outputs(self) -> int:
        """Symbols that can be predicted: all but the last."""
        return self.vocab - 1


@dataclass(frozen=True)
class TrainConfig:
    """How a generator is trained.

    Attributes:
        steps: of the optimiser.
        batch: sequences a step, each as long as the model's context.
        slice: sequences that pass through the model at once; their gradients are averaged. On a
            CPU what few sequences leave behind stays in the cache; on a GPU take the whole batch.
        learning_rate: at its highest.
        warm_up: steps in which it rises from 0; then it falls to 0 along a cosine.
        weight_decay: of the matrices.
        clip: largest norm of the gradient.
        seed: of the initial parameters and of the batches.
        save_every: steps between checkpoints.

    Raises:
        ValueError: a number that is not whole or out of range.
    """

    steps: int = 1800
    batch: int = 128
    slice: int = 32
    learning_rate: float = 4e-3
    warm_up: int = 50
    weight_decay: float = 1e-2
    clip: float = 1.0
    seed: int = 0
    save_every: int = 500

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("steps", "batch", "slice", "save_every"):
            validate_count(getattr(self, name), name, minimum=1)
        if self.batch % self.slice:
            raise ValueError(
                f"slice must divide the batch of {self.batch} sequences; got {self.slice}."
            )
        for name in ("warm_up", "seed"):
            validate_count(getattr(self, name), name, minimum=0)
        if self.warm_up >= self.steps:
            raise ValueError(
                f"warm_up must end before the {self.steps} steps do; got {self.warm_up}."
            )
        for name in ("learning_rate", "clip"):
            rule = f"{name} must be a finite number of at least 1e-9"
            validate_number(getattr(self, name), rule, least=1e-9)
        validate_number(
            self.weight_decay, "weight_decay must be finite and not negative", least=0.0
        )
