"""How often a generator repeats its seeds, or itself, beside the true law.

A synthetic row may be a token that is among the seeds: on a finite alphabet a fresh row of the true
law may be, too. What counts is the excess over that, an exact sum for each subject and its seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opal.runner import Cell

if TYPE_CHECKING:
    import pandas as pd

    from opal.checks import Check
    from opal.synthesis.transformer.model import Decoder
    from opal.synthesis.transformer.streams import TokenStream
    from simulations._generators import Subjects

TRANSFORMER, BAYES, COUNTS = "transformer", "Bayes", "add-½ counts"
TRUTH, DUPLICATION = "truth", "duplication"
STREAM, INDEPENDENT = "stream", "independent rows"


@dataclass(frozen=True)
class Config:
    """An alphabet, a generator, and the seeds that it is shown."""

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
    n_seeds: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    """Seeds in the context."""
    temperatures: tuple[float, ...] = (0.7, 1.0, 1.3)
    """Temperatures that rows are drawn at; 1 is among them."""
    n_before: tuple[int, ...] = (4, 16, 48)
    """Seeds before a stream of rows."""
    length: int = 16
    """Rows m of a stream."""
    n_streams: int = 4
    """Streams of each subject."""
    n_subjects: int = 4096
    """Held-out subjects."""
    n_draws: int = 1000
    """Draws of each posterior."""
    seed: int = 17
    """Seed of subjects and rows."""


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
        n_before=(4,),
        length=4,
        n_streams=2,
        n_subjects=64,
        n_draws=100,
    ),
    "quick": Config(
        steps=700,
        n_seeds=(1, 4, 16, 64),
        n_before=(4, 16),
        n_streams=2,
        n_subjects=1024,
        n_draws=300,
    ),
    "full": Config(),
}


@dataclass(frozen=True)
class Copies:
    """Exact probabilities of rows that are drawn independently given the seeds."""

    config: Config


@dataclass(frozen=True)
class Streams:
    """Rows of streams, each given all before it."""

    config: Config
    n: int


def cells(config: Config) -> list[Cell]:
    """One cell for the exact sums, and one for the streams after each number of seeds.

    Raises:
        ValueError: a cell could not be computed.
    """
    _check(config)
    return [
        Cell(measure_copies, Copies(config), "copies of seeds"),
        *(Cell(measure_streams, Streams(config, n), f"streams, n {n}") for n in config.n_before),
    ]


def _check(config: Config) -> None:
    from opal.synthesis.transformer.prompt import check_sampling
    from simulations import _fields

    _fields.require_counts(config, "width", "depth", "steps", "batch", "n_draws", minimum=1)
    _fields.require_counts(config, "n_seeds", "n_before", "n_streams", minimum=1)
    _fields.require_counts(config, "n_subjects", "length", minimum=2)
    _fields.require_counts(config, "context", minimum=max(config.n_seeds) + 1)
    if max(config.n_before) + config.length > config.context:
        raise ValueError(
            f"the beginning, n_before seeds and all of a stream but its last row must fit the "
            f"context of {config.context}; got {max(config.n_before)} seeds and length "
            f"{config.length}. Lower one, or raise context."
        )
    if 1.0 not in config.temperatures:
        raise ValueError(
            f"temperatures needs 1, which the others are compared with; got {config.temperatures}."
        )
    for temperature in config.temperatures:
        check_sampling(temperature, 1.0)
    stream(config)


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


def held_out(config: Config) -> Subjects:
    """Subjects and their seeds, the same for all cells."""
    from simulations._generators import subjects

    return subjects(
        stream(config), config.context - 1, key=config.seed, n_subjects=config.n_subjects
    )


def measure_copies(at: Copies) -> pd.DataFrame:
    """Probability that a row is among the seeds, by every estimate, and paired differences."""
    from simulations._copies_rows import of_copies

    rows = list(of_copies(at.config, held_out(at.config)))
    return _records(at.config, rows)


def measure_streams(at: Streams) -> pd.DataFrame:
    """Equal rows of streams and of independent rows, and counted rows beside exact laws."""
    from simulations._copies_rows import of_streams

    rows = [{"n_real": at.n, **row} for row in of_streams(at, held_out(at.config))]
    return _records(at.config, rows)


def _records(config: Config, rows: list[dict[str, object]]) -> pd.DataFrame:
    import pandas as pd

    from opal import records

    frame = pd.DataFrame(rows).assign(
        study="generator_copies",
        setting=f"tokens(d={config.n_tokens}, r={config.rank}, eta={config.eta:g})",
        n_min=lambda f: f["n_real"],
        n_max=lambda f: f["n_real"],
        n_replicates=config.n_subjects,
    )
    synthesizers = {STREAM: TRANSFORMER, INDEPENDENT: TRANSFORMER, TRUTH: "none"}
    frame = frame.assign(synthesizer=frame["arm"].replace(synthesizers))
    return records.validate(frame).assign(steps=config.steps)


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each estimate, temperature and n: copies of seeds, and their excess.

    ``excess`` is over fresh rows of the truth and ``over_bayes`` over Bayes at the same
    temperature, paired on seeds; ``once`` is the excess of tokens that were seen once.
    """
    names = {
        "copy": "copy",
        "copy minus truth": "excess",
        "copy minus Bayes": "over_bayes",
        "copy_once minus truth": "once",
    }
    from simulations._copies_checks import table

    return table(records, names, ["arm", "temperature", "n_real"])


def streams(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each temperature and n: equal pairs of rows in streams and otherwise.

    ``excess`` is over independent rows of the truth, ``over_independent`` over independent rows
    given the seeds, paired on subjects.
    """
    names = {
        "equal": "equal",
        "equal minus truth": "excess",
        "equal minus independent": "over_independent",
    }
    from simulations._copies_checks import table

    return table(records, names, ["arm", "temperature", "n_real"])


def checks(records: pd.DataFrame) -> list[Check]:
    """Bayes and truth copy equally often; counts do not; rows drawn are those of the laws."""
    from simulations import _copies_checks as of

    return [*of.of_copies(records), *of.of_streams(records), *of.of_draws(records)]


if __name__ == "__main__":
    from opal.cli import run_study

    run_study("generator_copies")
