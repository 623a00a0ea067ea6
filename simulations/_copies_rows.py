"""Records of the study of copies: tokens of the seeds among rows, and equal rows of streams."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from opal.risk import mean_and_std_error
from opal.theory.generator import add_half, bayes
from simulations._copies import copied, equal, expected_copies, first_two, streams
from simulations._generators import Subjects
from simulations._temperature import sampled, scores_after
from simulations.generator_copies import (
    BAYES,
    COUNTS,
    DUPLICATION,
    INDEPENDENT,
    STREAM,
    TRANSFORMER,
    TRUTH,
    Config,
    Streams,
    decoder,
    stream,
)

Row = dict[str, object]


def of_copies(config: Config, held: Subjects) -> Iterator[Row]:
    """Records of every estimate after each number of seeds."""
    counts = held.counts(config.n_seeds)
    for n, seen, laws in zip(config.n_seeds, counts, _laws(config, held), strict=True):
        for row in _of_copies(held.laws, seen, laws):
            yield {"n_real": n, **row}


def _laws(config: Config, held: Subjects) -> list[dict[tuple[str, float], np.ndarray]]:
    """Laws of the next row by estimate and temperature [S, d], for each number of seeds."""
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


def _of_copies(
    truth: np.ndarray, seen: np.ndarray, laws: dict[tuple[str, float], np.ndarray]
) -> Iterator[Row]:
    """Records of one number of seeds."""
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


def of_streams(at: Streams, held: Subjects) -> Iterator[Row]:
    """Records after n seeds, at each temperature."""
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
    source = "simulation" if arm in (TRANSFORMER, STREAM, INDEPENDENT) else "theory"
    value, error = (float(number) for number in mean_and_std_error(values))
    numbers = {"value": value, "std_error": error}
    return {"source": source, "arm": arm, "temperature": temperature, "metric": metric, **numbers}
