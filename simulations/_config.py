"""What configs share: fields of a generator, and checks that cost nothing.

A study refuses before its first cell what no cell could compute: all checks raise a ValueError that
names the field.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from opal.settings.tokens import Alphabet, Prior
    from opal.synthesis.transformer.model import Decoder
    from opal.synthesis.transformer.streams import TokenStream

# A generator of eight seeds that trains in a second, for tiny presets.
TINY_TOKENS: dict[str, Any] = {"n_tokens": 8, "rank": 2, "context": 9, "batch": 32}
TINY_BLOCKS: dict[str, Any] = {"width": 16, "depth": 1, "batch": 32}
TINY: dict[str, Any] = {**TINY_TOKENS, **TINY_BLOCKS, "steps": 40}


@dataclass(frozen=True)
class Tokens:
    """The alphabet that subjects draw from."""

    n_tokens: int = 32
    """Tokens d of the alphabet."""
    rank: int = 4
    """Latent dimensions r."""
    eta: float = 0.5
    """Temperature η of the subjects."""

    @property
    def setting(self) -> str:
        """What records call it."""
        return f"tokens(d={self.n_tokens}, r={self.rank}, eta={self.eta:g})"

    def alphabet(self) -> Alphabet:
        """The tokens, the same for all subjects."""
        return alphabet(self.n_tokens, self.rank, self.eta)

    def stream(self, prior: Prior | None = None) -> TokenStream:
        """Subjects of a prior; of the transformer's training if none is named."""
        from opal.settings.tokens import Prior
        from opal.synthesis.transformer.streams import TokenStream

        return TokenStream(self.alphabet(), prior or Prior())


@dataclass(frozen=True)
class Blocks:
    """A transformer's blocks, and the sequences of a step of its training."""

    width: int = 64
    """Width of the transformer."""
    depth: int = 2
    """Its blocks."""
    batch: int = 128
    """Sequences of a step."""


@dataclass(frozen=True)
class Generator(Tokens, Blocks):
    """A transformer, and the alphabet that it is trained on."""

    context: int = 65
    """Its positions: one more than the most seeds."""
    steps: int = 1800
    """Steps of its training, on subjects with standard normal coordinates."""

    def decoder(self) -> Decoder:
        """The transformer, trained unless it was before."""
        from ._generators import generator

        sizes = (self.context, self.width, self.depth, self.steps, self.batch)
        return generator(self.stream(), *sizes)

    def check(self) -> None:
        """Refuse an alphabet that cannot be, or a training."""
        require_counts(self, n_tokens=2)
        sizes = [(self.width, self.depth)]
        require_decoders(self.alphabet(), self.context, sizes, [self.steps], self.batch)


@dataclass(frozen=True)
class DrawnDesign:
    """One design of a study, drawn from its seed and an index."""

    config: Any
    index: int

    @property
    def key(self) -> int:
        """Seed of its replicates."""
        return int(self.config.seed * 100_003 + self.index)

    def rng(self) -> np.random.Generator:
        """What it is drawn with."""
        return np.random.default_rng((self.config.seed, self.index))


@dataclass(frozen=True)
class HeldOut:
    """All held-out subjects of a study."""

    config: Any


@dataclass(frozen=True)
class PriorSubjects(HeldOut):
    """All held-out subjects of one prior."""

    scale: float
    mean: float

    def prior(self) -> Prior:
        """Where their coordinates come from."""
        from opal.settings.tokens import Prior

        return Prior(self.scale, self.mean)


@cache  # what is compiled for its embeddings serves all cells
def alphabet(n_tokens: int, rank: int, eta: float) -> Alphabet:
    """An alphabet, the same for all seeds of a study."""
    from opal.settings.tokens import Alphabet

    return Alphabet.random(n_tokens, rank, eta=eta, key=0)


def require_decoders(
    tokens: Alphabet,
    context: int,
    sizes: Sequence[tuple[int, int]],
    steps: Sequence[int],
    batch: int,
) -> None:
    """Check what :func:`simulations._generators.generator` is to be given."""
    from opal.synthesis.transformer.config import ModelConfig, TrainConfig

    for width, depth in sizes:
        ModelConfig(tokens.n_tokens + 1, context, width, depth)
    if batch % (batch // 4 or 1):
        raise ValueError(
            f"batch must be a multiple of 4, or below 8, as it is trained in slices; got {batch}."
        )
    for number in steps:
        warm_up = min(TrainConfig.warm_up, max(number, 0) // 2)
        TrainConfig(number, batch, batch // 4 or 1, warm_up=warm_up)


def require_seeds(config: Any, *, least: int) -> None:
    """Check that n_seeds are enough, and that the context holds them."""
    require_counts(config, n_seeds=least)
    require_counts(config, context=max(config.n_seeds) + 1)


def require_plain(config: Any) -> None:
    """Check that temperatures are some, and 1 among them."""
    from opal.synthesis.transformer.prompt import check_sampling

    if 1.0 not in config.temperatures:
        raise ValueError(
            f"temperatures needs 1, which the others are compared with; got {config.temperatures}."
        )
    for temperature in config.temperatures:
        check_sampling(temperature, 1.0)


def require_counts(config: object, **least: int) -> None:
    """Check fields that hold a whole number of at least so many, or one for each cell."""
    from opal.settings.groups import validate_count

    for name, minimum in least.items():
        for value in _each(config, name):
            validate_count(value, name, minimum=minimum)


def require_numbers(config: object, *names: str, least: float = -math.inf) -> None:
    """Check fields that hold a finite number, or one for each cell."""
    from opal.settings.groups import validate_number

    bound = "" if least == -math.inf else f" of at least {least:g}"
    for name in names:
        for value in _each(config, name):
            validate_number(value, f"{name} must be a finite number{bound}", least=least)


def require_range(name: str, ends: tuple[int, int]) -> None:
    """Check a range of whole numbers."""
    smallest, largest = ends
    if not 1 <= smallest <= largest:
        raise ValueError(
            f"{name} must be (smallest, largest) with 1 <= smallest <= largest; got {ends}."
        )


def _each(config: object, name: str) -> tuple[object, ...]:
    value = getattr(config, name)
    if value == ():
        raise ValueError(f"{name} needs at least one value; got none. Name one.")
    return value if isinstance(value, tuple) else (value,)
