"""A classifier trained on the rows of a transformer: its excess risk, simulated and predicted.

The transformer sees real rows of each class, the seeds, and makes more. Its law after them is known
exactly, so that theory predicts the excess risk from the same seeds with nothing fitted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opal.runner import Cell

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Array, Key

    from opal.checks import Check
    from opal.objective import Design
    from opal.settings import TokenSetting
    from opal.settings.tokens import Alphabet
    from opal.synthesis.transformer.model import Decoder

EXCESS = "excess_balanced_risk"
# Wrong theories, and from which change of the prediction on simulation should tell: that without
# shared seeds is noisier, as its generator is not the one of the replicate.
CONTROLS = {"own_seeds": 0.1, "floor": 0.05}
THEORIES = ("predicted", *CONTROLS)
DESIGN = ("scale", "mean", "pair", "n_min", "weighting", "n_augmented", "alpha")


@dataclass(frozen=True)
class Config:
    """Two classes of tokens, a generator, and ways to train on what it makes."""

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
    n_seeds: tuple[int, ...] = (4, 8, 16, 32, 64)
    """Rows of the small class, all of them seeds."""
    n_majority: int = 400
    """Rows of the large class; the first ones, as many as the context holds, are seeds."""
    priors: tuple[tuple[float, float], ...] = ((1.0, 0.0), (1.5, 0.0), (1.0, 0.75))
    """Scale and mean of the subjects' coordinates; (1, 0) in the transformer's training."""
    n_pairs: int = 2
    """Pairs of subjects drawn from each prior."""
    mixes: tuple[tuple[int, float], ...] = ((500, 0.3), (2000, 0.7))
    """N and α, augmented rows of each class and their weight."""
    n_replicates: int = 1024
    """Replicates of each cell; multiples of 64 compile once."""
    n_subjects: int = 2048
    """Subjects for the KL behind the seed multiplier."""
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
        n_majority=60,
        priors=((1.0, 0.0), (1.5, 0.0)),
        n_pairs=1,
        mixes=((60, 0.5),),
        n_replicates=32,
        n_subjects=64,
    ),
    "quick": Config(
        width=32,
        steps=600,
        batch=64,
        n_seeds=(4, 16, 64),
        priors=((1.0, 0.0), (1.5, 0.0)),
        n_pairs=1,
        mixes=((500, 0.4),),
        n_subjects=1024,
    ),
    "full": Config(),
}


@dataclass(frozen=True)
class Point:
    """Seeds of one pair of subjects."""

    config: Config
    scale: float
    mean: float
    pair: int
    n: int


@dataclass(frozen=True)
class Subjects:
    """All subjects of a prior."""

    config: Config
    scale: float
    mean: float


def cells(config: Config) -> list[Cell]:
    """One cell for each pair and number of seeds, and one for each prior's seed multiplier.

    Raises:
        ValueError: a cell could not be computed.
    """
    _check(config)
    worths = [Subjects(config, *prior) for prior in config.priors]
    points = [
        Point(config, *prior, pair, n)
        for pair in range(config.n_pairs)
        for prior in config.priors
        for n in config.n_seeds
    ]
    return [
        *(Cell(measure_point, at, f"prior {at.scale:g}, {at.mean:g}, n {at.n}") for at in points),
        *(Cell(measure_worth, at, f"multiplier, prior {at.scale:g}, {at.mean:g}") for at in worths),
    ]


def _check(config: Config) -> None:
    from opal.settings.tokens import Prior
    from simulations import _fields, _trainable

    _fields.require_counts(config, "n_pairs", "n_seeds", "n_subjects", minimum=1)
    _fields.require_counts(config, "n_tokens", "n_replicates", minimum=2)
    _fields.require_counts(config, "rank", "width", "depth", "steps", "batch", minimum=1)
    _fields.require_counts(config, "n_majority", minimum=max(config.n_seeds))
    _fields.require_counts(config, "context", minimum=max(config.n_seeds) + 1)
    _fields.require_numbers(config, "eta", least=1e-3)
    for name in ("priors", "mixes"):
        if not getattr(config, name):
            raise ValueError(f"{name} needs at least one pair of numbers; got none.")
    for scale, mean in config.priors:
        Prior(scale, mean)
    size = (config.width, config.depth)
    vocab = config.n_tokens + 1
    _trainable.require(vocab, config.context, [size], [config.steps], config.batch)
    for point in [Point(config, *config.priors[0], 0, n) for n in config.n_seeds]:
        designs(point)


def alphabet(config: Config) -> Alphabet:
    """The tokens, the same for all subjects."""
    from opal.settings.tokens import Alphabet

    return Alphabet.random(config.n_tokens, config.rank, eta=config.eta, key=0)


def generator(config: Config) -> Decoder:
    """The transformer, trained on the standard prior unless it was before."""
    from opal.synthesis.transformer.streams import TokenStream
    from simulations._generators import generator as trained

    sizes = (config.context, config.width, config.depth, config.steps, config.batch)
    return trained(TokenStream(alphabet(config)), *sizes)


def classes(at: Point) -> TokenSetting:
    """A large and a small class; the same normal draws make a pair under every prior."""
    from opal.settings import TokenSetting
    from opal.settings.tokens import Prior

    key = at.config.seed * 100_003 + at.pair
    return TokenSetting.drawn(alphabet(at.config), prior=Prior(at.scale, at.mean), key=key)


def designs(at: Point) -> list[Design]:
    """Each weighting with each N and α."""
    from opal.objective import Design
    from opal.synthesis import Oracle

    counts = (at.config.n_majority, at.n)
    maker = Oracle(classes(at).law, name="transformer")
    opal = [Design(counts, maker, n, alpha) for n, alpha in at.config.mixes]
    return [*opal, *(design.with_(oversample="none", weighting="group") for design in opal)]


def replicates(at: Point) -> Key[Array, ""]:
    """Key of the replicates, which all designs share and no other point does."""
    from opal.draws import as_key, named

    return named(as_key(at.config.seed), f"{at.scale}, {at.mean}, {at.pair}, {at.n}")


def measure_point(at: Point) -> pd.DataFrame:
    """Every design on the same seeds: simulated, predicted, and predicted wrongly on purpose."""
    import pandas as pd

    from opal import records
    from simulations._end_to_end import after_seeds
    from simulations._end_to_end_rows import compare

    config, setting = at.config, classes(at)
    key, shown = replicates(at), (min(config.n_majority, config.context - 1), at.n)
    seeds = after_seeds(
        generator(config), setting.law, shown, key=key, n_replicates=config.n_replicates
    )
    frames = []
    for design in designs(at):
        most = (config.n_majority, max(config.n_seeds))
        simulated, theory = compare(setting, design, seeds, key=key, most=most)
        for source, rows in (("simulation", simulated), ("theory", theory)):
            frame = records.of_design(
                *(setting, design, rows),
                study="end_to_end",
                n_replicates=config.n_replicates,
                source=source,
            )
            frames.append(frame.assign(weighting=design.weighting))
    joined = pd.concat(frames, ignore_index=True)
    return joined.assign(scale=at.scale, mean=at.mean, pair=at.pair)


def measure_worth(at: Subjects) -> pd.DataFrame:
    """Mean KL of the generator and of add-½ counts, and what a seed is worth."""
    import pandas as pd

    from opal import records
    from opal.settings.tokens import Prior
    from opal.synthesis.transformer.streams import TokenStream
    from simulations._end_to_end_rows import rows_of_worth
    from simulations._seed_multiplier import worth_of_seeds

    config = at.config
    stream = TokenStream(alphabet(config), Prior(at.scale, at.mean))
    worths = worth_of_seeds(
        *(generator(config), stream, config.n_seeds), key=config.seed, n_subjects=config.n_subjects
    )
    rows = [row for worth in worths for row in rows_of_worth(worth)]
    setting = f"tokens(d={config.n_tokens}, r={config.rank})"
    frame = pd.DataFrame(rows).assign(
        study="end_to_end", source="simulation", setting=setting, n_replicates=config.n_subjects
    )
    return records.validate(frame).assign(weighting="", scale=at.scale, mean=at.mean, pair=-1)


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each cell: simulated, predicted, controls, and the worth of its seeds.

    ``std_error`` is that of the paired difference of predicted and simulated.
    """
    from simulations._end_to_end_table import every_number

    table = every_number(records).rename(
        columns={"std_error_predicted": "std_error", "z_predicted": "z"}
    )
    numbers = ["predicted", "simulated", "std_error", "ratio", "z"]
    controls = [f"{part}{name}" for name in THEORIES[1:] for part in ("", "z_")]
    return table[[*DESIGN, *numbers, *controls, "seed_multiplier"]]


def checks(records: pd.DataFrame) -> list[Check]:
    """Theory agrees; without the shared seeds, and without the spread, the same test fails."""
    from simulations import _end_to_end_table as claims

    return claims.checks(claims.every_number(records))


if __name__ == "__main__":
    from opal.cli import run_study

    run_study("end_to_end")
