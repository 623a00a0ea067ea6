"""Does a generator repeat its seeds, or itself, more often than the true law would?

A synthetic row may be a token that is among the seeds: on a finite alphabet a fresh row of the true
law may be, too. What counts is the excess over that, an exact sum for each subject and its seeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opal.runner import Cell

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from opal.checks import Check
    from opal.synthesis.transformer.model import Decoder
    from opal.synthesis.transformer.streams import TokenStream
    from simulations._generators import Subjects

    Row = dict[str, object]

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
    held = held_out(at.config)
    counts = held.counts(at.config.n_seeds)
    rows = [
        {"n_real": n, **row}
        for n, seen, laws in zip(at.config.n_seeds, counts, _laws(at.config, held), strict=True)
        for row in _copies(held.laws, seen, laws)
    ]
    return _records(at.config, rows)


def _laws(config: Config, held: Subjects) -> list[dict[tuple[str, float], np.ndarray]]:
    """Laws of the next row by estimate and temperature [S, d], for each number of seeds."""
    import numpy as np

    from opal.theory.generator import add_half, bayes
    from simulations._temperature import sampled, scores_after

    source, counts = stream(config), held.counts(config.n_seeds)
    options = {"key": config.seed, "n_draws": config.n_draws}
    best = bayes(source.alphabet, counts, source.prior, **options)
    scores = {
        TRANSFORMER: scores_after(decoder(config), held, config.n_seeds),
        BAYES: np.log(np.asarray(best.law)),
    }
    ways = [(temperature, 1.0) for temperature in config.temperatures]
    laws = {
        (arm, temperature): law
        for arm, values in scores.items()
        for temperature, law in zip(config.temperatures, sampled(values, ways), strict=True)
    }
    laws[COUNTS, 1.0] = np.asarray(add_half(counts))
    return [{key: law[i] for key, law in laws.items()} for i in range(len(config.n_seeds))]


def _copies(
    truth: np.ndarray, seen: np.ndarray, laws: dict[tuple[str, float], np.ndarray]
) -> Iterator[Row]:
    """Records of one number of seeds."""
    from simulations._copies import copied, expected_copies

    fresh = {"copy": copied(truth, seen), "copy_once": copied(truth, seen, once=True)}
    n = round(float(seen[0].sum()))
    over_seeds = expected_copies(truth, n)
    yield _row(TRUTH, 1.0, "copy", fresh["copy"])
    yield _row(TRUTH, 1.0, "expected", over_seeds)
    yield _row(TRUTH, 1.0, "copy minus expected", fresh["copy"] - over_seeds)
    yield _row(DUPLICATION, 1.0, "copy", 0 * over_seeds + 1)
    yield _row(DUPLICATION, 1.0, "copy minus truth", 1 - fresh["copy"])
    plain = {arm: copied(law, seen) for (arm, temperature), law in laws.items() if temperature == 1}
    for (arm, temperature), law in laws.items():
        values = {"copy": copied(law, seen), "copy_once": copied(law, seen, once=True)}
        best = copied(laws[BAYES, temperature], seen)
        yield _row(arm, temperature, "copy", values["copy"])
        for name, value in values.items():
            yield _row(arm, temperature, f"{name} minus truth", value - fresh[name])
        if temperature != 1:
            yield _row(arm, temperature, "copy minus plain", values["copy"] - plain[arm])
        if arm != BAYES:
            yield _row(arm, temperature, "copy minus Bayes", values["copy"] - best)


def measure_streams(at: Streams) -> pd.DataFrame:
    """Equal rows of streams and of independent rows, and counted rows beside exact laws."""
    config, held = at.config, held_out(at.config)
    rows = [{"n_real": at.n, **row} for row in _streams(at, held)]
    return _records(config, rows)


def _streams(at: Streams, held: Subjects) -> Iterator[Row]:
    """Records after n seeds, at each temperature."""
    import numpy as np

    from simulations._copies import copied, equal, first_two, streams

    config, made = at.config, decoder(at.config)
    seeds, seen = held.inputs[:, 1 : at.n + 1], held.counts([at.n])[0]
    truth = (held.laws**2).sum(axis=1)
    laws = {t: first_two(made, seeds, temperature=t) for t in config.temperatures}
    yield _row(TRUTH, 1.0, "equal", truth)
    for place, (temperature, (first, again)) in enumerate(laws.items()):
        drawn = streams(
            *(made, seeds, config.length),
            key=config.seed + place,
            temperature=temperature,
            n_streams=config.n_streams,
        )
        repeated = equal(drawn, config.n_tokens).mean(axis=1)
        alone = (first**2).sum(axis=1)
        for arm, values in ((STREAM, repeated), (INDEPENDENT, alone)):
            yield _row(arm, temperature, "equal", values)
            yield _row(arm, temperature, "equal minus truth", values - truth)
        yield _row(STREAM, temperature, "equal minus independent", repeated - alone)
        in_seeds = np.take_along_axis(seen > 0, drawn[:, :, 0], axis=1).mean(axis=1)
        twice = (drawn[:, :, 0] == drawn[:, :, 1]).mean(axis=1)
        plain = copied(laws[1.0][0], seen)
        for name, value in (
            ("copied", in_seeds),
            ("copied minus exact", in_seeds - copied(first, seen)),
            ("copied minus plain", in_seeds - plain),
            ("twice", twice),
            ("twice minus exact", twice - (first * again).sum(axis=1)),
        ):
            yield _row(STREAM, temperature, name, value)


def _row(arm: str, temperature: float, metric: str, values: np.ndarray) -> Row:
    from opal.risk import mean_and_std_error

    source = "simulation" if arm in (TRANSFORMER, STREAM, INDEPENDENT) else "theory"
    value, error = (float(number) for number in mean_and_std_error(values))
    numbers = {"value": value, "std_error": error}
    return {"source": source, "arm": arm, "temperature": temperature, "metric": metric, **numbers}


def _records(config: Config, rows: list[Row]) -> pd.DataFrame:
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
