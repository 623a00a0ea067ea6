"""A classifier trained on the rows of a transformer: its excess risk, simulated and predicted.

The transformer sees real rows of each class, the seeds, and makes more. Its law after them is known
exactly, so that theory predicts the excess risk from the same seeds with nothing fitted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opal.checks import Check, at_least, at_most, misses, share
from opal.cli import run_study
from opal.runner import Cell

from . import _config, _rows
from ._config import PriorSubjects
from ._rows import COUNTS, EXCESS, TRANSFORMER, Found, Row, means, of_design, of_subjects, row, wide

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Array, Key

    from opal.objective import Design
    from opal.settings import TokenSetting

    from ._generators import SeededLaws
    from ._prior import SeedWorth

# Wrong theories, and from which change of the prediction on simulation should tell: that without
# shared seeds is noisier, as its generator is not the one of the replicate.
CONTROLS = {"own_seeds": 0.1, "floor": 0.05}
THEORIES = ("predicted", *CONTROLS)
DESIGN = ("scale", "mean", "pair", "n_min", "weighting", "n_augmented", "alpha")


@dataclass(frozen=True)
class Config(_config.Generator):
    """Two classes of tokens, a generator, and ways to train on what it makes."""

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
        **_config.TINY,
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
class SubjectPair(PriorSubjects):
    """Seeds of one pair of subjects."""

    pair: int
    n: int


def cells(config: Config) -> list[Cell]:
    """One cell for each pair and number of seeds, and one for each prior's seed multiplier."""
    _check(config)
    worths = [PriorSubjects(config, *prior) for prior in config.priors]
    points = [
        SubjectPair(config, *prior, pair, n)
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

    _config.require_counts(config, n_pairs=1, n_subjects=1, n_replicates=2)
    _config.require_seeds(config, least=1)
    _config.require_counts(config, n_majority=max(config.n_seeds))
    _config.require_numbers(config, "eta", least=1e-3)
    for name in ("priors", "mixes"):
        if not getattr(config, name):
            raise ValueError(f"{name} needs at least one pair of numbers; got none.")
    for prior in config.priors:
        Prior(*prior)
    config.check()
    for n in config.n_seeds:
        designs(SubjectPair(config, *config.priors[0], 0, n))


def classes(at: SubjectPair) -> TokenSetting:
    """A large and a small class; the same normal draws make a pair under every prior."""
    from opal.settings import TokenSetting

    key = at.config.seed * 100_003 + at.pair
    return TokenSetting.drawn(at.config.alphabet(), prior=at.prior(), key=key)


def designs(at: SubjectPair) -> list[Design]:
    """Each weighting with each N and α."""
    from opal.objective import Design
    from opal.synthesis import Oracle

    counts = (at.config.n_majority, at.n)
    maker = Oracle(classes(at).law, name=TRANSFORMER)
    opal = [Design(counts, maker, n, alpha) for n, alpha in at.config.mixes]
    return [*opal, *(design.with_(oversample="none", weighting="group") for design in opal)]


def replicates(at: SubjectPair) -> Key[Array, ""]:
    """Key of the replicates, which all designs share and no other point does."""
    from opal.draws import as_key, named

    return named(as_key(at.config.seed), f"{at.scale}, {at.mean}, {at.pair}, {at.n}")


def measure_point(at: SubjectPair) -> pd.DataFrame:
    """Every design on the same seeds: simulated, predicted, and predicted wrongly on purpose."""
    import pandas as pd

    from ._end_to_end import after_seeds

    config, setting, key = at.config, classes(at), replicates(at)
    shown = (min(config.n_majority, config.context - 1), at.n)
    size = config.n_replicates
    seeds = after_seeds(config.decoder(), setting.law, shown, key=key, n_replicates=size)
    most, frames = (config.n_majority, max(config.n_seeds)), []
    for design in designs(at):
        found = _compared(setting, design, seeds, key=key, most=most)
        frame = of_design(setting, design, *found, "end_to_end", size)
        frames.append(frame.assign(weighting=design.weighting, n_generator=float(sum(shown))))
    joined = pd.concat(frames, ignore_index=True)
    return joined.assign(scale=at.scale, mean=at.mean, pair=at.pair)


def _compared(
    setting: TokenSetting,
    design: Design,
    seeds: SeededLaws,
    *,
    key: Key[Array, ""],
    most: tuple[int, int],
) -> tuple[Found, Found]:
    """Simulation and theories of one design, and the paired differences of the two."""
    from opal.theory.end_to_end import excess_of_seeds

    from ._end_to_end import trained_excess

    simulated, separated = trained_excess(setting.law, design, seeds.made, key=key, most=most)
    predicted = excess_of_seeds(setting.law, design, seeds.seen, seeds.made)
    # Each replicate's real rows beside the generator that saw the seeds of the one before it.
    own = excess_of_seeds(setting.law, design, seeds.seen, np.roll(seeds.made, 1, axis=0))
    values = dict(zip(THEORIES, (predicted.total, own.total, predicted.floor), strict=True))
    apart = {f"{EXCESS} minus {name}": simulated - value for name, value in values.items()}
    measured = {EXCESS: simulated, "separated": separated.astype(float), **apart}
    return means(measured), means(values)


def measure_worth(at: PriorSubjects) -> pd.DataFrame:
    """Mean KL of the generator and of add-½ counts, and what a seed is worth."""
    from ._prior import worth_of_seeds

    config, stream = at.config, at.config.stream(at.prior())
    worths = worth_of_seeds(
        *(config.decoder(), stream, config.n_seeds), key=config.seed, n_subjects=config.n_subjects
    )
    rows = [each for worth in worths for each in _of_worth(worth)]
    setting = f"tokens(d={config.n_tokens}, r={config.rank})"
    frame = of_subjects(rows, "end_to_end", setting, config.n_subjects)
    return frame.assign(weighting="", scale=at.scale, mean=at.mean, pair=-1)


def _of_worth(worth: SeedWorth) -> Iterator[Row]:
    """KL of the generator and of the references, and in how many of their seeds a seed is paid."""
    for arm, metric, found in (
        (TRANSFORMER, "kl", worth.generator),
        (COUNTS, "kl", worth.counts),
        (TRANSFORMER, "seed_multiplier", worth.multiplier),
        ("maximum likelihood", "found", worth.found),
        (TRANSFORMER, "seed_multiplier_likelihood", worth.likelihood),
    ):
        yield row(arm, worth.n, metric, *(float(number) for number in found), simulated=(arm,))


def every_number(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each cell, with the standard errors of all differences."""
    values, errors = wide(records[records["weighting"] != ""], DESIGN)
    table = values["theory"][["predicted"]].copy()
    table["simulated"] = values["simulation", EXCESS]
    table["ratio"] = table["predicted"] / table["simulated"]
    for name in THEORIES:
        apart = ("simulation", f"{EXCESS} minus {name}")
        table[name] = values["theory", name]
        table[f"std_error_{name}"] = errors[apart]
        table[f"z_{name}"] = values[apart] / errors[apart]
    table["std_error_simulated"] = errors["simulation", EXCESS]
    table["separated"] = values["simulation", "separated"]
    worth = records[records["metric"] == "seed_multiplier"]
    worth = worth.set_index(["scale", "mean", "n_min"])["value"].rename("seed_multiplier")
    return table.join(worth.astype(np.float64)).reset_index()


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each cell: simulated, predicted, controls, and the worth of its seeds.

    ``std_error`` is that of the paired difference of predicted and simulated.
    """
    table = every_number(records).rename(
        columns={"std_error_predicted": "std_error", "z_predicted": "z"}
    )
    numbers = ["predicted", "simulated", "std_error", "ratio", "z"]
    controls = [f"{part}{name}" for name in THEORIES[1:] for part in ("", "z_")]
    return table[[*DESIGN, *numbers, *controls, "seed_multiplier"]]


def checks(records: pd.DataFrame) -> list[Check]:
    """Theory agrees; without the shared seeds, and without the spread, the same test fails."""
    table = every_number(records)
    return [
        _rows.predicted_is_simulated(table["z_predicted"], table["ratio"], "cells"),
        _caught(table, "own_seeds", "shared seeds are not ignored"),
        _caught(table, "floor", "the spread is not ignored"),
        at_most(
            "rows are not separable",
            table["separated"],
            0.0,
            "largest share of a cell's replicates in which a line separates the rows",
        ),
    ]


def matters(table: pd.DataFrame, name: str) -> pd.Series:
    """In which cells a wrong theory says something else, whatever was simulated."""
    return (table[name] / table["predicted"] - 1).abs() > CONTROLS[name]


def _caught(table: pd.DataFrame, name: str, claim: str) -> Check:
    """The share of cells in which simulation refuses a wrong theory where it matters."""
    chosen = table[matters(table, name)]
    return at_least(
        claim,
        share(misses(chosen[f"z_{name}"], chosen[name] / chosen["simulated"])),
        0.95,
        f"share of the {len(chosen)} cells in which leaving it out changes the prediction by more "
        f"than {CONTROLS[name]:.0%}; there it must miss by 3 standard errors and 3 %",
    )


if __name__ == "__main__":
    run_study("end_to_end")
