"""Temperature and top-p of a generator: what they do to its law, its bias, and a classifier.

Each subject's law is known, so that KL, total variation and the bias of a classifier are finite
sums; the excess risk of training on the rows is predicted from them, and simulated beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opal.runner import Cell

if TYPE_CHECKING:
    import pandas as pd

    from opal.checks import Check
    from opal.objective import Design
    from opal.settings import TokenSetting
    from opal.synthesis.transformer.model import Decoder
    from opal.synthesis.transformer.streams import TokenStream
    from simulations._temperature import Sampling

TRANSFORMER, BAYES = "transformer", "Bayes"


@dataclass(frozen=True)
class Config:
    """An alphabet, a generator, and the ways to draw from it."""

    n_tokens: int = 32
    """Tokens d of the alphabet."""
    rank: int = 4
    """Latent dimensions r."""
    eta: float = 0.5
    """Temperature η of the subjects."""
    width: int = 64
    """Width of the transformer."""
    depth: int = 2
    """Its blocks."""
    context: int = 65
    """Its positions: one more than the most seeds."""
    steps: int = 1800
    """Steps of its training, on subjects with standard normal coordinates."""
    batch: int = 128
    """Sequences of a step."""
    n_seeds: tuple[int, ...] = (4, 16, 64)
    """Rows of each class that the generator sees; the small class has no others."""
    temperatures: tuple[float, ...] = (0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.35, 1.5)
    """Temperatures τ, all at top-p 1; 1 is among them."""
    top_ps: tuple[float, ...] = (0.95, 0.9, 0.8, 0.5)
    """Masses kept at temperature 1, below 1."""
    n_subjects: int = 4096
    """Held-out subjects; two make a pair of classes."""
    n_draws: int = 1000
    """Draws of each posterior."""
    n_majority: int = 400
    """Rows of the large class."""
    n_augmented: int = 500
    """Augmented rows N of each class."""
    alpha: float = 0.4
    """Their weight α."""
    n_pairs: int = 4
    """Pairs of subjects on whose rows a classifier is trained."""
    n_replicates: int = 1024
    """Replicates of that training."""
    seed: int = 12
    """Seed of subjects and replicates."""


PRESETS = {
    "tiny": Config(
        n_tokens=8,
        rank=2,
        width=16,
        depth=1,
        context=9,
        steps=40,
        batch=32,
        n_seeds=(4, 8),
        temperatures=(0.5, 1.0, 1.5),
        top_ps=(0.8,),
        n_subjects=64,
        n_draws=100,
        n_majority=60,
        n_augmented=60,
        n_pairs=1,
        n_replicates=4,  # as many as samplings: their theory compiles once
    ),
    "quick": Config(
        steps=700,
        temperatures=(0.5, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5),
        top_ps=(0.9, 0.5),
        n_subjects=1024,
        n_draws=300,
        n_pairs=1,
        n_replicates=256,
    ),
    "full": Config(),
}


@dataclass(frozen=True)
class Laws:
    """Exact sums over all held-out subjects."""

    config: Config


@dataclass(frozen=True)
class Training:
    """A classifier trained on the rows of one pair of subjects."""

    config: Config
    pair: int


def cells(config: Config) -> list[Cell]:
    """One cell for the exact sums, and one for each pair on whose rows is trained.

    Raises:
        ValueError: a cell could not be computed.
    """
    _check(config)
    training = [Training(config, pair) for pair in range(config.n_pairs)]
    return [
        Cell(measure_laws, Laws(config), "held-out subjects"),
        *(Cell(measure_training, at, f"training, pair {at.pair}") for at in training),
    ]


def _check(config: Config) -> None:
    from opal.synthesis.transformer.prompt import check_sampling
    from simulations import _fields

    _fields.require_counts(config, "width", "depth", "steps", "batch", "n_draws", minimum=1)
    _fields.require_counts(config, "n_seeds", "n_pairs", minimum=1)
    _fields.require_counts(config, "n_replicates", minimum=2)
    _fields.require_counts(config, "n_subjects", minimum=8)
    _fields.require_counts(config, "context", minimum=max(config.n_seeds) + 1)
    _fields.require_counts(config, "n_majority", minimum=max(config.n_seeds))
    if config.n_subjects % 4:
        raise ValueError(
            "n_subjects must be a multiple of 4, for two halves of pairs: one chooses a "
            f"temperature, the other judges it; got {config.n_subjects}."
        )
    if 1.0 not in config.temperatures:
        raise ValueError(
            f"temperatures needs 1, which the others are compared with; got {config.temperatures}."
        )
    for temperature, top_p in samplings(config):
        check_sampling(temperature, top_p)
    if 1.0 in config.top_ps:
        raise ValueError(f"top_ps are below 1, temperatures have top-p 1; got {config.top_ps}.")
    stream(config)
    designs(config)


def samplings(config: Config) -> list[Sampling]:
    """Temperature and top-p of each way to draw."""
    return [(t, 1.0) for t in config.temperatures] + [(1.0, p) for p in config.top_ps]


def stream(config: Config) -> TokenStream:
    """What the transformer is trained on, and where held-out subjects come from."""
    from opal.settings.tokens import Alphabet
    from opal.synthesis.transformer.streams import TokenStream

    return TokenStream(Alphabet.random(config.n_tokens, config.rank, eta=config.eta, key=0))


def decoder(config: Config) -> Decoder:
    """The transformer, trained unless it was before."""
    from simulations._generators import generator

    sizes = (config.context, config.width, config.depth, config.steps, config.batch)
    return generator(stream(config), *sizes)


def classes(config: Config, pair: int) -> TokenSetting:
    """A large and a small class."""
    from opal.settings import TokenSetting

    key = config.seed * 100_003 + pair
    return TokenSetting.drawn(stream(config).alphabet, key=key)


def designs(config: Config) -> list[Design]:
    """How to train after each number of seeds."""
    from opal.objective import Design
    from opal.synthesis import Oracle

    maker = Oracle(classes(config, 0).law, name=TRANSFORMER)
    return [
        Design((config.n_majority, n), maker, config.n_augmented, config.alpha)
        for n in config.n_seeds
    ]


def measure_laws(at: Laws) -> pd.DataFrame:
    """Divergences, biases and expected excess of every sampling, paired with temperature 1."""
    import pandas as pd

    from opal import records
    from simulations._temperature_cells import of_laws

    config = at.config
    frame = pd.DataFrame(of_laws(config)).assign(
        study="generator_temperature",
        setting=f"tokens(d={config.n_tokens}, r={config.rank}, eta={config.eta:g})",
        synthesizer=lambda f: f["arm"],
        source=_source,
        n_min=lambda f: f["n_real"],
        n_max=lambda f: f["n_real"],
        n_replicates=config.n_subjects // 2,
    )
    return records.validate(frame).assign(pair=-1, steps=config.steps)


def _source(rows: pd.DataFrame) -> pd.Series:
    """Excess and floor are predicted, whoever makes the rows."""
    predicted = rows["metric"].str.contains("excess|floor") | (rows["arm"] == BAYES)
    return predicted.map({True: "theory", False: "simulation"})


def measure_training(at: Training) -> pd.DataFrame:
    """Every sampling after the same seeds: trained, predicted, and predicted wrongly."""
    import numpy as np
    import pandas as pd

    from simulations._temperature_cells import of_training

    joined = pd.concat(of_training(at), ignore_index=True)
    return joined.assign(pair=np.int64(at.pair), steps=at.config.steps)


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each estimate, n and sampling: means over all pairs of held-out subjects.

    KL is infinite where top-p leaves tokens out. ``excess`` is predicted; it is not a number where
    some pair has no rule to expand around, which has the largest value in the median.
    """
    from simulations._temperature_checks import AT, every_number

    table = every_number(records)
    numbers = ["kl", "total_variation", "bias", "bias_rms", "floor", "excess", "median_excess"]
    return table[["arm", *AT, *numbers]]


def checks(records: pd.DataFrame) -> list[Check]:
    """Theory agrees with training, biases keep their bound, and 1 is the temperature for KL."""
    from simulations import _temperature_checks as of

    table = of.every_number(records)
    training = of.of_training(of.trained(records))
    return [*training, *of.of_bound(table), *of.of_temperature(table)]


if __name__ == "__main__":
    from opal.cli import run_study

    run_study("generator_temperature")
