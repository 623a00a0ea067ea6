"""Records of quantised rows: the transformer's law beside Bayes, and classifiers beside theory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from opal.objective import Design
from opal.risk import mean_and_std_error
from opal.synthesis.transformer.gaussian_generator import GaussianGenerator
from simulations import _gaussian
from simulations._gaussian import Subjects
from simulations._gaussian_arms import replicates, setting
from simulations._gaussian_excess import after_seeds, excess_of_seeds
from simulations._gaussian_maker import generator
from simulations.generator_gaussian import (
    BEATS,
    EXCESS,
    FIT,
    MEDIAN,
    OF_BINS,
    OF_VALUES,
    PRIOR,
    THEORIES,
    TRANSFORMER,
    WORST,
    Config,
    Point,
    stream,
)

Row = dict[str, object]
Found = dict[tuple[str, str], tuple[float, float]]
Values = Mapping[str, np.ndarray]


def of_kl(config: Config, held: Subjects) -> Iterator[Row]:
    """KL of every estimate after each number of seeds, and what is paired with Bayes of bins."""
    maker, source = generator(config), stream(config)
    law, nothing = _gaussian.truth(source, held), _gaussian.made_cells(maker, held, 0)
    for n in config.n_seeds:
        best = _gaussian.kl(law, _gaussian.bayes_of_bins(source, held, n))
        estimates = {
            OF_BINS: best,
            OF_VALUES: _gaussian.kl(law, _gaussian.bayes_of_values(source, held, n)),
            TRANSFORMER: _gaussian.kl(law, _gaussian.made_cells(maker, held, n)),
            PRIOR: _gaussian.kl(law, nothing),
        }
        for arm, each in estimates.items():
            yield _row(arm, n, "kl", *_mean(each))
            yield _row(arm, n, "kl_minus_bayes", *_mean(each - best))
            ratio = each.mean() / best.mean()
            error = _mean((each - ratio * best) / best.mean())[1]
            yield _row(arm, n, "kl_over_bayes", ratio, error)


def of_distortion(config: Config, held: Subjects) -> Iterator[Row]:
    """What bins lose, whoever estimates their probabilities."""
    for metric, each in _gaussian.distortion(stream(config), held)._asdict().items():
        yield _row("bins", 0, metric, *_mean(each))


def _row(arm: str, n: int, metric: str, value: float, error: float) -> Row:
    source = "simulation" if arm in (TRANSFORMER, PRIOR) else "theory"
    numbers = {"value": float(value), "std_error": float(error)}
    return {"source": source, "arm": arm, "n_real": n, "metric": metric, **numbers}


def _mean(values: np.ndarray) -> tuple[float, float]:
    mean, error = mean_and_std_error(values)
    return float(mean), float(error)


def of_simulation(arm: str, metrics: Mapping[str, Values], theory: Values) -> Found:
    """Records of one arm, its differences from others and from theories paired on replicates.

    Args:
        arm: which one.
        metrics: of every arm, in each replicate [R].
        theory: excess of this arm given the seeds of each replicate [R]; none if it has none.
    """
    excess, of_fit = metrics[arm][EXCESS], metrics[FIT][EXCESS]
    values = {name: metrics[arm][name] for name in (EXCESS, WORST, "separated")}
    for other in (TRANSFORMER, FIT):
        values[f"{EXCESS} minus {other}"] = excess - metrics[other][EXCESS]
    for name, each in theory.items():
        values[f"{EXCESS} minus {name}"] = excess - each
    values[BEATS] = (excess < of_fit).astype(float)
    return means(values) | {(MEDIAN, "all"): (float(np.median(excess)), float("nan"))}


def means(values: Values) -> Found:
    """Mean and standard error of each metric."""
    return {(metric, "all"): _mean(each) for metric, each in values.items()}


def theories(
    at: Point, maker: GaussianGenerator, arms: dict[str, Design]
) -> dict[str, dict[str, np.ndarray]]:
    """Excess of each arm given the seeds of each replicate [R]: predicted, and wrongly so."""
    law, found = setting(at.case).law, {}
    counts = next(iter(arms.values())).counts
    seeds = after_seeds(maker, law, counts, key=replicates(at), n_replicates=at.config.n_replicates)
    # Each replicate's real rows beside the generator that read those of the one before it, and
    # beside one that makes rows of the mean law whatever it reads.
    rolled, mean = np.roll(seeds.tables, 1, axis=0), seeds.tables.mean(axis=0)
    wrong = [rolled, np.broadcast_to(mean, rolled.shape)]
    for arm, design in arms.items():
        right, own, fixed = (
            excess_of_seeds(law, design, maker, seeds._replace(tables=tables))
            for tables in (seeds.tables, *wrong)
        )
        each = (right.total, own.total, fixed.total, right.floor)
        found[arm] = dict(zip(THEORIES, each, strict=True))
    return found
