"""How often a generator repeats its seeds, or itself, beside the true law.

A synthetic row may be a token that is among the seeds: on a finite alphabet a fresh row of the true
law may be, too. What counts is the excess over that, an exact sum for each subject and its seeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opal.checks import Check, at_most, beyond_chance, refused, within_standard_errors
from opal.cli import run_study
from opal.runner import Cell

from . import _config
from ._config import HeldOut
from ._rows import BAYES, COUNTS, TRANSFORMER, Row, mean, of_subjects, renamed, row, z_of

if TYPE_CHECKING:
    import pandas as pd

    from ._generators import Subjects

TRUTH, DUPLICATION = "truth", "duplication"
STREAM, INDEPENDENT = "stream", "independent rows"
FEW = 0.02  # difference from Bayes or the truth that is called small, a probability


@dataclass(frozen=True)
class Config(_config.Generator):
    """An alphabet, a generator, and the seeds that it is shown."""

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
        **_config.TINY,
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
class Streams:
    """Rows of streams, each given all before it."""

    config: Config
    n: int


def cells(config: Config) -> list[Cell]:
    """One cell for the exact sums, and one for the streams after each number of seeds."""
    _check(config)
    return [
        Cell(measure_copies, HeldOut(config), "copies of seeds"),
        *(Cell(measure_streams, Streams(config, n), f"streams, n {n}") for n in config.n_before),
    ]


def _check(config: Config) -> None:
    _config.require_counts(config, n_draws=1, n_before=1, n_streams=1, n_subjects=2, length=2)
    _config.require_seeds(config, least=1)
    if max(config.n_before) + config.length > config.context:
        raise ValueError(
            f"the beginning, n_before seeds and all of a stream but its last row must fit the "
            f"context of {config.context}; got {max(config.n_before)} seeds and length "
            f"{config.length}. Lower one, or raise context."
        )
    _config.require_plain(config)
    config.check()


def held_out(config: Config) -> Subjects:
    """Subjects and their seeds, the same for all cells."""
    from ._generators import subjects

    return subjects(
        config.stream(), config.context - 1, key=config.seed, n_subjects=config.n_subjects
    )


def measure_copies(at: HeldOut) -> pd.DataFrame:
    """Probability that a row is among the seeds, by every estimate, and paired differences."""
    return _records(at.config, _of_copies(at.config, held_out(at.config)))


def measure_streams(at: Streams) -> pd.DataFrame:
    """Equal rows of streams and of independent rows, and counted rows beside exact laws."""
    return _records(at.config, _of_streams(at, held_out(at.config)))


def _records(config: Config, rows: Iterator[Row]) -> pd.DataFrame:
    synthesizers = {STREAM: TRANSFORMER, INDEPENDENT: TRANSFORMER, TRUTH: "none"}
    return of_subjects(
        *(rows, "generator_copies", config.setting, config.n_subjects),
        synthesizer=lambda f: f["arm"].replace(synthesizers),
    ).assign(steps=config.steps)


def copied(laws: np.ndarray, counts: np.ndarray, *, once: bool = False) -> np.ndarray:
    """Probability [...] that a row of a law [..., d] is among the seeds, of these counts [..., d].

    ``once`` is of tokens that were seen once alone.
    """
    seen = counts == 1 if once else counts > 0
    return np.asarray((laws * seen).sum(axis=-1))


def expected_copies(laws: np.ndarray, n: int) -> np.ndarray:
    """That probability for fresh rows of subjects' laws [..., d], over all draws of n seeds."""
    return np.asarray((laws * -np.expm1(n * np.log1p(-laws))).sum(axis=-1))


def equal(rows: np.ndarray, n_tokens: int) -> np.ndarray:
    """Share of the pairs of m ≥ 2 rows, tokens [..., m], that are equal [...]."""
    m = rows.shape[-1]
    counts = (rows[..., None] == np.arange(n_tokens)).sum(axis=-2)
    return np.asarray((counts * (counts - 1)).sum(axis=-1) / (m * (m - 1)))


def _of_copies(config: Config, held: Subjects) -> Iterator[Row]:
    """Records of every estimate after each number of seeds."""
    counts = held.counts(config.n_seeds)
    for n, seen, laws in zip(config.n_seeds, counts, _laws(config, held), strict=True):
        fresh = {"copy": copied(held.laws, seen), "copy_once": copied(held.laws, seen, once=True)}
        over_seeds = expected_copies(held.laws, n)
        yield _row(TRUTH, n, 1.0, "copy", fresh["copy"])
        yield _row(TRUTH, n, 1.0, "expected", over_seeds)
        yield _row(TRUTH, n, 1.0, "copy minus expected", fresh["copy"] - over_seeds)
        yield _row(DUPLICATION, n, 1.0, "copy", 0 * over_seeds + 1)
        yield _row(DUPLICATION, n, 1.0, "copy minus truth", 1 - fresh["copy"])
        yield from _of_laws(n, seen, laws, fresh)


def _of_laws(
    n: int,
    seen: np.ndarray,
    laws: dict[tuple[str, float], np.ndarray],
    fresh: dict[str, np.ndarray],
) -> Iterator[Row]:
    """Copies by each estimate and temperature, minus those of truth, of Bayes and of no heat."""
    for (arm, temperature), law in laws.items():
        values = {"copy": copied(law, seen), "copy_once": copied(law, seen, once=True)}
        yield _row(arm, n, temperature, "copy", values["copy"])
        for name, value in values.items():
            yield _row(arm, n, temperature, f"{name} minus truth", value - fresh[name])
        if temperature != 1:
            plain = copied(laws[arm, 1.0], seen)
            yield _row(arm, n, temperature, "copy minus plain", values["copy"] - plain)
        if arm != BAYES:
            best = copied(laws[BAYES, temperature], seen)
            yield _row(arm, n, temperature, "copy minus Bayes", values["copy"] - best)


def _laws(config: Config, held: Subjects) -> list[dict[tuple[str, float], np.ndarray]]:
    """Laws of the next row by estimate and temperature [S, d], for each number of seeds."""
    from opal.theory.generator import add_half

    from ._generators import log_laws, sampled

    options = {"key": config.seed, "n_draws": config.n_draws}
    scores = log_laws(config.stream(), config.decoder(), held, config.n_seeds, **options)
    ways = [(temperature, 1.0) for temperature in config.temperatures]
    laws = {
        (arm, temperature): law
        for arm, values in scores.items()
        for temperature, law in zip(config.temperatures, sampled(values, ways), strict=True)
    }
    laws[COUNTS, 1.0] = np.asarray(add_half(held.counts(config.n_seeds)))
    return [{key: law[i] for key, law in laws.items()} for i in range(len(config.n_seeds))]


def _of_streams(at: Streams, held: Subjects) -> Iterator[Row]:
    """Records after n seeds, at each temperature."""
    from opal.synthesis.transformer.sample import first_two, streams

    config, n, made = at.config, at.n, at.config.decoder()
    seeds, seen = held.inputs[:, 1 : n + 1], held.counts([n])[0]
    truth = (held.laws**2).sum(axis=1)
    laws = {t: first_two(made, seeds, temperature=t) for t in config.temperatures}
    yield _row(TRUTH, n, 1.0, "equal", truth)
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
            yield _row(arm, n, temperature, "equal", values)
            yield _row(arm, n, temperature, "equal minus truth", values - truth)
        in_seeds = np.take_along_axis(seen > 0, drawn[:, :, 0], axis=1).mean(axis=1)
        twice = (drawn[:, :, 0] == drawn[:, :, 1]).mean(axis=1)
        for name, value in (
            ("equal minus independent", repeated - alone),
            ("copied", in_seeds),
            ("copied minus exact", in_seeds - copied(first, seen)),
            ("copied minus plain", in_seeds - copied(laws[1.0][0], seen)),
            ("twice", twice),
            ("twice minus exact", twice - (first * again).sum(axis=1)),
        ):
            yield _row(STREAM, n, temperature, name, value)


def _row(arm: str, n: int, temperature: float, metric: str, values: np.ndarray) -> Row:
    simulated = (TRANSFORMER, STREAM, INDEPENDENT)
    return row(arm, n, metric, *mean(values), simulated=simulated) | {"temperature": temperature}


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
    return _table(records, names)


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
    return _table(records, names)


def _table(records: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    rows = records[records["metric"].isin(names)]
    return renamed(rows, ["arm", "temperature", "n_real"], names).reset_index()


def checks(records: pd.DataFrame) -> list[Check]:
    """Bayes and truth copy equally often; counts do not; rows drawn are those of the laws."""
    checks = (_of_estimates, _of_diversity, _of_draws)
    return [check for of in checks for check in of(records, records[records["temperature"] == 1])]


def _z(records: pd.DataFrame, arm: str, *metrics: str) -> pd.DataFrame:
    rows = records[(records["arm"] == arm) & records["metric"].isin(metrics)]
    return rows.assign(z=z_of(rows))


def _small(name: str, rows: pd.DataFrame, where: str, more: str = "") -> Check:
    detail = f"largest difference at temperature 1{where} standard error at most "
    detail += f"{rows['std_error'].max():.4f}{more}"
    return at_most(name, rows["value"].abs(), FEW, detail)


def _of_estimates(records: pd.DataFrame, plain: pd.DataFrame) -> Iterator[Check]:
    """Bayes and truth copy equally often, the transformer nearly; counts do not."""
    yield within_standard_errors(
        "seeds are those of the truth", _z(plain, TRUTH, "copy minus expected")["z"]
    )
    both = ("copy minus truth", "copy_once minus truth")
    yield within_standard_errors("Bayes copies as often as the truth", _z(plain, BAYES, *both)["z"])
    yield refused(
        "counts do not",
        _z(plain, COUNTS, "copy minus truth")["z"],
        "add-½ counts at each n, which must fail",
    )
    own = _z(plain, TRANSFORMER, "copy minus Bayes")
    yield _small("the transformer copies as often as Bayes", own, f" and {len(own)} n;")
    apart = _z(records, TRANSFORMER, "copy minus plain")
    yield beyond_chance(
        "cold rows copy more and hot ones less",
        apart["z"] * (1 - 2 * (apart["temperature"] > 1)),
        f"least paired z of {len(apart)} temperatures and n against temperature 1",
    )


def _of_diversity(records: pd.DataFrame, plain: pd.DataFrame) -> Iterator[Check]:
    """Streams are as diverse as the truth, independent rows more."""
    alone = _z(plain, INDEPENDENT, "equal minus truth")["z"]
    yield beyond_chance(
        "independent rows are equal less often than true ones",
        -alone,
        f"least z at temperature 1, {len(alone)} n (docs/theory.md, 13.43)",
    )
    own = _z(plain, STREAM, "equal minus truth")
    largest = f"; largest |z| {own['z'].abs().max():.1f}"
    yield _small("rows of a stream are equal as often as true ones", own, ",", largest)
    wrong = _z(records, STREAM, "equal minus independent")
    yield refused(
        "rows of a stream are not independent",
        wrong["z"][wrong["n_real"] == wrong["n_real"].min()],
        "equal rows against independent ones after the fewest seeds, where rows of a stream teach "
        "each other most, at every temperature; they must fail",
        least=0.5,
    )


def _of_draws(records: pd.DataFrame, plain: pd.DataFrame) -> Iterator[Check]:
    """Rows drawn have the exact laws, and not those of a wrong theory."""
    exact = _z(records, STREAM, "copied minus exact", "twice minus exact")
    yield within_standard_errors("rows drawn have the exact law", exact["z"])
    wrong = _z(records.drop(plain.index), STREAM, "copied minus plain")["z"].abs()
    yield beyond_chance(
        "the temperature is not ignored",
        wrong,
        f"least |z| of copies at {len(wrong)} temperatures and n against the law at temperature 1, "
        "which must fail",
    )


if __name__ == "__main__":
    run_study("generator_copies")
