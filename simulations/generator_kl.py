"""KL of a transformer's law against its seeds n, beside Bayes, counts and the published bound.

All estimates read the same seeds of the same held-out subjects, whose laws are known, so that KL is
a finite sum for each subject.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opal.runner import Cell

if TYPE_CHECKING:
    import pandas as pd

    from opal.checks import Check
    from opal.synthesis.transformer.streams import TokenStream
    from opal.theory.generator import Bound

TRANSFORMER, BAYES, LAPLACE = "transformer", "Bayes", "Laplace"
LIKELIHOOD, COUNTS = "maximum likelihood", "add-½ counts"
SETTING = ("n_tokens", "rank", "eta")
FEW = 8  # seeds up to which the constants of the bound are fitted; it must hold for more


@dataclass(frozen=True)
class Config:
    """Alphabets, a transformer for each, and the subjects that it is asked about."""

    alphabets: tuple[tuple[int, int, float], ...] = ((32, 4, 0.5), (96, 2, 1.0), (256, 4, 0.5))
    """Tokens d, latent dimensions r and temperature η, one cell each."""
    width: int = 64
    """Width of the transformer."""
    depth: int = 2
    """Its blocks."""
    context: int = 65
    """Its positions: one more than the most seeds."""
    steps: tuple[int, ...] = (1800, 1800, 3600)
    """Steps of the training for each alphabet, on subjects with standard normal coordinates."""
    batch: int = 128
    """Sequences of a step."""
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
        alphabets=((8, 2, 0.5),),
        width=16,
        depth=1,
        context=9,
        steps=(40,),
        batch=32,
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
class Tokens:
    """One alphabet."""

    config: Config
    n_tokens: int
    rank: int
    eta: float
    steps: int


def cells(config: Config) -> list[Cell]:
    """One cell for each alphabet.

    Raises:
        ValueError: a cell could not be computed.
    """
    _check(config)
    at = _points(config)
    return [Cell(measure, one, f"d {one.n_tokens}, r {one.rank}, eta {one.eta:g}") for one in at]


def _check(config: Config) -> None:
    from simulations import _fields, _trainable

    _fields.require_counts(config, "width", "depth", "steps", "batch", "n_draws", minimum=1)
    _fields.require_counts(config, "n_seeds", minimum=0)
    _fields.require_counts(config, "n_subjects", minimum=2)
    _fields.require_counts(config, "context", minimum=max(config.n_seeds) + 1)
    _fields.require_counts(config, "n_more", minimum=max(config.n_seeds) + 1)
    _fields.require_counts(config, "n_slope", minimum=1)
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
        size = (config.width, config.depth)
        _trainable.require(stream(at).vocab, config.context, [size], [at.steps], config.batch)


def _points(config: Config) -> list[Tokens]:
    pairs = zip(config.alphabets, config.steps, strict=True)
    return [Tokens(config, *alphabet, steps) for alphabet, steps in pairs]


def stream(at: Tokens) -> TokenStream:
    """What the transformer is trained on, and where held-out subjects come from."""
    from opal.settings.tokens import Alphabet
    from opal.synthesis.transformer.streams import TokenStream

    return TokenStream(Alphabet.random(at.n_tokens, at.rank, eta=at.eta, key=0))


def measure(at: Tokens) -> pd.DataFrame:
    """Mean KL of every estimate after each number of seeds, and what is paired with Bayes."""
    import pandas as pd

    from opal import records
    from simulations._generator_kl import rows_of
    from simulations._generators import generator, kl_after_seeds, subjects

    config, source = at.config, stream(at)
    n_seeds = (*config.n_seeds, *config.n_more)
    held = subjects(source, max(n_seeds), key=config.seed, n_subjects=config.n_subjects)
    decoder = generator(
        *(source, config.context, config.width, config.depth, at.steps, config.batch)
    )
    made = kl_after_seeds(decoder, held)[:, list(config.n_seeds)].T
    rows = list(rows_of(at, held, made, n_seeds))
    setting = f"tokens(d={at.n_tokens}, r={at.rank}, eta={at.eta:g})"
    frame = pd.DataFrame(rows).assign(
        study="generator_kl", setting=setting, n_replicates=config.n_subjects
    )
    frame = frame.assign(n_min=frame["n_real"], n_max=frame["n_real"])
    return records.validate(frame).assign(
        n_tokens=at.n_tokens, rank=at.rank, eta=at.eta, steps=at.steps
    )


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
    for metric, name in (("kl_over_bayes", "ratio"), ("kl_minus_bayes", "gap")):
        rows = records[(records["metric"] == metric) & (records["arm"] == TRANSFORMER)]
        rows = rows.set_index(on)
        table[name], table[f"std_error_{name}"] = rows["value"], rows["std_error"]
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
    from simulations import _generator_kl_checks as claims

    table = comparison(records)
    return [
        *claims.near_bayes(table),
        *claims.of_bound(records, table),
        *claims.of_references(records),
    ]


if __name__ == "__main__":
    from opal.cli import run_study

    run_study("generator_kl")
