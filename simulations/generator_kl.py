"""KL of a transformer's law against its seeds n, beside Bayes, counts and the published bound.

All estimates read the same seeds of the same held-out subjects, whose laws are known, so that KL is
a finite sum for each subject.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from opal.checks import Check, at_least, at_most, beyond_chance
from opal.cli import run_study
from opal.runner import Cell

from . import _config
from ._rows import BAYES, COUNTS, TRANSFORMER, Row, mean, of_subjects, ratio, renamed, row, z_of

if TYPE_CHECKING:
    import pandas as pd

    from opal.theory.generator import Bound

    from ._generators import Subjects

LAPLACE, LIKELIHOOD = "Laplace", "maximum likelihood"
SETTING = ("n_tokens", "rank", "eta")
FEW = 8  # seeds up to which the constants of the bound are fitted; it must hold for more
ENOUGH_STEPS = 1800
MARGIN, MARGIN_LONG, LONG = 0.10, 0.15, 64  # over Bayes, after ENOUGH_STEPS; up to LONG seeds
NEAR = 0.1  # of Bayes to its limit, to which it tends with 1/n
SLACK = 2.0  # in units of that margin, for a shorter training


@dataclass(frozen=True)
class Config(_config.Blocks):
    """Alphabets, a transformer for each, and the subjects that it is asked about."""

    alphabets: tuple[tuple[int, int, float], ...] = ((32, 4, 0.5), (96, 2, 1.0), (256, 4, 0.5))
    """Tokens d, latent dimensions r and temperature η, one cell each."""
    context: int = 65
    """Its positions: one more than the most seeds."""
    steps: tuple[int, ...] = (1800, 1800, 3600)
    """Steps of the training for each alphabet, on subjects with standard normal coordinates."""
    n_seeds: tuple[int, ...] = (0, 1, 2, 4, 8, 16, 32, 64)
    """Seeds in the context; 0 is the prior predictive."""
    n_more: tuple[int, ...] = (128, 256, 512)
    """Seeds beyond the context, for Bayes alone."""
    n_slope: int = 16
    """Least n of the slopes."""
    n_subjects: int = 2048
    """Held-out subjects."""
    n_draws: int = 2000
    """Draws of each posterior."""
    seed: int = 7
    """Seed of subjects and draws."""


PRESETS = {
    "tiny": Config(
        **_config.TINY_BLOCKS,
        alphabets=((8, 2, 0.5),),
        context=9,
        steps=(40,),
        n_seeds=(0, 1, 4, 8),
        n_more=(16, 32),
        n_slope=4,
        n_subjects=64,
        n_draws=200,
    ),
    "quick": Config(alphabets=((32, 4, 0.5),), steps=(700,), n_subjects=1024, n_draws=500),
    "full": Config(),
}


@dataclass(frozen=True)
class TrainedAlphabet(_config.Tokens):
    """One alphabet, and the steps of its transformer's training."""

    config: Config = field(kw_only=True)
    steps: int = field(kw_only=True)


def cells(config: Config) -> list[Cell]:
    """One cell for each alphabet."""
    _check(config)
    at = _points(config)
    return [Cell(measure, one, f"d {one.n_tokens}, r {one.rank}, eta {one.eta:g}") for one in at]


def _check(config: Config) -> None:
    _config.require_counts(config, n_draws=1, n_slope=1, n_subjects=2)
    _config.require_seeds(config, least=0)
    _config.require_counts(config, n_more=max(config.n_seeds) + 1)
    sloped = [n for n in config.n_seeds if n >= config.n_slope]
    if len(sloped) < 2 or not any(0 < n <= FEW for n in config.n_seeds):
        raise ValueError(
            f"n_seeds needs two numbers of at least n_slope = {config.n_slope}, for a slope, and "
            f"one of 1 … {FEW}, for the bound; got {config.n_seeds}."
        )
    if not config.alphabets:
        raise ValueError("alphabets needs at least one (tokens, rank, eta); got none.")
    if len(config.steps) != len(config.alphabets):
        raise ValueError(
            f"steps needs a number for each of the {len(config.alphabets)} alphabets; got "
            f"{config.steps}."
        )
    for at in _points(config):
        size, tokens = (config.width, config.depth), at.alphabet()
        _config.require_decoders(tokens, config.context, [size], [at.steps], config.batch)


def _points(config: Config) -> list[TrainedAlphabet]:
    pairs = zip(config.alphabets, config.steps, strict=True)
    return [TrainedAlphabet(*alphabet, config=config, steps=steps) for alphabet, steps in pairs]


def measure(at: TrainedAlphabet) -> pd.DataFrame:
    """Mean KL of every estimate after each number of seeds, and what is paired with Bayes."""
    from ._generators import generator, kl_after_seeds, subjects

    config, stream = at.config, at.stream()
    n_seeds = (*config.n_seeds, *config.n_more)
    held = subjects(stream, max(n_seeds), key=config.seed, n_subjects=config.n_subjects)
    sizes = (config.context, config.width, config.depth, at.steps, config.batch)
    decoder = generator(stream, *sizes)
    made = kl_after_seeds(decoder, held)[:, list(config.n_seeds)].T
    return of_subjects(
        *(_rows(at, held, made, n_seeds), "generator_kl", at.setting, config.n_subjects)
    ).assign(n_tokens=at.n_tokens, rank=at.rank, eta=at.eta, steps=at.steps)


def _rows(
    at: TrainedAlphabet, held: Subjects, made: np.ndarray, n_seeds: tuple[int, ...]
) -> Iterator[Row]:
    """Records of one alphabet, from the transformer's KL [n, S]."""
    within = len(at.config.n_seeds)
    values = {TRANSFORMER: made}
    for arm, (divergence, found, ess) in _references(at, held, n_seeds).items():
        for n, share, least in zip(n_seeds, found.mean(axis=1), ess.min(axis=1), strict=False):
            yield row(arm, n, "found", share)
            yield row(arm, n, "least_ess", least)
        values[arm] = np.where(found, divergence, np.nan)
    for arm, table in values.items():
        for n, each in zip(n_seeds, table, strict=False):
            known = each[np.isfinite(each)]
            if len(known) > 1:
                yield row(arm, n, "kl", *mean(known))
        if arm != LIKELIHOOD:
            yield from _slopes(arm, np.array(n_seeds), table, at.config)
    for arm in (TRANSFORMER, LAPLACE, COUNTS):
        for n, each, best in zip(n_seeds[:within], values[arm], values[BAYES], strict=False):
            yield row(arm, n, "kl_over_bayes", *ratio(each, best))
            yield row(arm, n, "kl_minus_bayes", *mean(each - best))


def _references(
    at: TrainedAlphabet, held: Subjects, n_seeds: tuple[int, ...]
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """KL of each reference [n, S], whether its law was found, and the effective draws.

    Only Bayes is asked for what the context does not hold.
    """
    import jax
    import jax.numpy as jnp

    from opal.theory.generator import LawEstimate, add_half, bayes, kl, laplace, maximum_likelihood

    source, options = at.stream(), {"key": at.config.seed, "n_draws": at.config.n_draws}
    every = held.counts(n_seeds)
    counts = every[: len(at.config.n_seeds)]
    with jax.enable_x64(True):
        one = jnp.ones(counts.shape[:2])
        laws: dict[str, LawEstimate] = {
            BAYES: bayes(source.alphabet, every, source.prior, **options),
            LAPLACE: laplace(source.alphabet, counts, source.prior, **options),
            LIKELIHOOD: maximum_likelihood(source.alphabet, counts),
            COUNTS: LawEstimate(add_half(counts), one > 0, one),
        }
        return {
            arm: (
                np.asarray(kl(np.broadcast_to(held.laws, law.shape), law)),
                *(np.asarray(found), np.asarray(ess)),
            )
            for arm, (law, found, ess) in laws.items()
        }


def _slopes(arm: str, n_seeds: np.ndarray, table: np.ndarray, config: Config) -> Iterator[Row]:
    """Slope of log mean KL against log n from ``n_slope`` on: in the context, and beyond it."""
    from ._curves import slope

    n_seeds = n_seeds[: len(table)]
    inside = (n_seeds >= config.n_slope) & (n_seeds <= max(config.n_seeds))
    beyond = n_seeds >= max(config.n_seeds)
    for metric, chosen in (("slope", inside), ("slope_beyond", beyond)):
        if chosen.sum() > 1:
            value, error = slope(n_seeds[chosen], table[chosen].T)
            yield row(arm, int(n_seeds[chosen].max()), metric, -value, error)


def bound(records: pd.DataFrame) -> Bound:
    """The published bound: one pair of constants for all alphabets, fitted to few seeds.

    It is the lowest that holds two standard errors above the transformer's mean KL up to
    :data:`FEW` seeds, so that what it says of more is a prediction.
    """
    from opal.theory.generator import tightest_bound

    rows = kl_of(records, TRANSFORMER)
    rows = rows[rows["n_real"].between(1, FEW)]
    height = rows["value"] + 2 * rows["std_error"]
    return tightest_bound(rows["n_tokens"], rows["n_real"], height)


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each alphabet and n: the transformer, its ratio to Bayes, the references."""
    on = [*SETTING, "n_real"]
    table = kl_of(records, TRANSFORMER).set_index(on)[["steps", "value", "std_error"]]
    table = table.rename(columns={"value": TRANSFORMER})
    own = records[records["arm"] == TRANSFORMER]
    table = table.join(renamed(own, on, {"kl_over_bayes": "ratio", "kl_minus_bayes": "gap"}))
    for arm in (BAYES, LAPLACE, LIKELIHOOD, COUNTS):
        table[arm] = kl_of(records, arm).set_index(on)["value"]
    table = table.reset_index()
    seeds = table["n_real"].where(table["n_real"] > 0)
    table["r/2n"] = table["rank"] / (2 * seeds)
    table["bound"] = bound(records).at(table["n_tokens"], seeds)
    return table


def slopes(records: pd.DataFrame) -> pd.DataFrame:
    """Slopes of log KL in log n with 95 % intervals; ``slope_beyond`` is beyond the context."""
    rows = records[records["metric"].isin(["slope", "slope_beyond"])]
    rows = rows[[*SETTING, "arm", "metric", "value", "std_error"]]
    half = 1.96 * rows["std_error"]
    return rows.assign(low=rows["value"] - half, high=rows["value"] + half)


def kl_of(records: pd.DataFrame, arm: str) -> pd.DataFrame:
    """Mean KL of an arm after each number of seeds."""
    return records[(records["metric"] == "kl") & (records["arm"] == arm)]


def checks(records: pd.DataFrame) -> list[Check]:
    """The transformer is near Bayes and never better, the bound holds, and counts are neither."""
    table = comparison(records)
    return [*_near_bayes(table), *_of_bound(records, table), *_of_references(records)]


def _near_bayes(table: pd.DataFrame) -> Iterator[Check]:
    """The transformer's ratio to Bayes, from above and from below."""
    steps = int(table["steps"].min())
    slack = 1.0 if steps >= ENOUGH_STEPS else SLACK
    for name, rows, margin in (
        (f"n below {LONG}", table[table["n_real"].between(4, LONG - 1)], MARGIN),
        (f"n = {LONG}", table[table["n_real"] == LONG], MARGIN_LONG),
    ):
        errors = rows["std_error_ratio"][rows["ratio"] == rows["ratio"].max()]
        yield at_most(
            f"near Bayes, {name}",
            rows["ratio"],
            1 + slack * margin,
            f"largest mean KL over that of Bayes from 4 seeds on, after {steps} steps; standard "
            f"error {errors.max():.3f}",
        )
    yield at_least(
        "Bayes is not beaten",
        table["gap"] / table["std_error_gap"],
        -3.0,
        f"least paired z of {len(table)} points, the prior predictive among them",
    )


def _of_bound(records: pd.DataFrame, table: pd.DataFrame) -> Iterator[Check]:
    """The bound holds for more seeds than it was fitted to, and is not how KL falls."""
    found, seen = bound(records), table[table["n_real"] > 0]
    height = seen[TRANSFORMER] / seen["bound"]
    yield at_most(
        "the bound holds",
        height,
        1.0,
        f"largest KL over {found.first:.3g}/√d + {found.second:.3g} log d/√n at {len(seen)} "
        f"points; {height[seen['n_real'] > FEW].max():.2f} at those with n > {FEW}, which its "
        "constants have not seen",
    )
    steepness = _slope(records, "slope", TRANSFORMER)
    yield at_least(
        "KL falls faster than the bound",
        (-0.5 - steepness["value"]) / steepness["std_error"],
        3.0,
        f"least z of the transformer's slopes, {_listed(steepness)}, against −½, which must fail",
    )


def _of_references(records: pd.DataFrame) -> Iterator[Check]:
    """Bayes is found, has its rate, and add-½ counts are another estimate."""
    of_bayes = records[records["arm"] == BAYES]
    ess = of_bayes.loc[of_bayes["metric"] == "least_ess", "value"].min()
    yield at_least(
        "every posterior is found",
        of_bayes.loc[of_bayes["metric"] == "found", "value"],
        1.0,
        f"least share of subjects; least share of effective draws {ess:.2f}",
    )
    beyond = _slope(records, "slope_beyond", BAYES)
    yield at_most(
        "Bayes falls as 1/n",
        (beyond["value"] + 1).abs(),
        NEAR,
        f"largest distance from −1 of its slopes beyond the context, {_listed(beyond)}",
    )
    rows = kl_of(records, BAYES)
    rows = rows[rows["n_real"] == rows["n_real"].max()]
    limit = rows["value"] * 2 * rows["n_real"] / rows["rank"]
    yield at_most(
        "r/2n is approached",
        (limit - 1).abs(),
        NEAR + 3 * float((limit * rows["std_error"] / rows["value"]).max()),
        f"KL of Bayes over r/2n at n = {rows['n_real'].max()} is "
        f"{', '.join(f'{value:.3f}' for value in limit)}; what is left of the prior, and 3 "
        "standard errors",
    )
    counted = records[(records["metric"] == "kl_minus_bayes") & (records["arm"] == COUNTS)]
    yield beyond_chance(
        "counts are not Bayes",
        z_of(counted),
        f"least paired z of add-½ counts against Bayes at {len(counted)} points, which must fail",
    )


def _slope(records: pd.DataFrame, metric: str, arm: str) -> pd.DataFrame:
    table = slopes(records)
    return table[(table["metric"] == metric) & (table["arm"] == arm)]


def _listed(rows: pd.DataFrame) -> str:
    return ", ".join(
        f"{value:.2f} ± {1.96 * error:.2f}"
        for value, error in zip(rows["value"], rows["std_error"], strict=True)
    )


if __name__ == "__main__":
    run_study("generator_kl")
