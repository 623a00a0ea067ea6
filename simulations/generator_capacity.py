"""Regret of transformers to Bayes against width, depth and training tokens, and a law of it.

Regret is KL minus that of the posterior predictive law on the same seeds. A generator whose regret
exceeds r/2n stops to gain from seeds: the law, fitted to the smaller ones, says where.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opal.checks import Check, at_least, at_most, share
from opal.cli import run_study
from opal.runner import Cell

from . import _config
from ._rows import BAYES, TRANSFORMER, Row, mean, of_subjects, row, z_of

if TYPE_CHECKING:
    import pandas as pd

    from opal.scaling.fit import Fit

RUN = ("width", "depth", "params", "tokens")
COLUMNS = {"x1": "width", "x2": "depth", "x3": "tokens"}
FACTOR = 1.5  # within which a held-out regret is predicted
FLAT = -0.25  # slope of log KL in log n on a plateau; that of Bayes is near −1


@dataclass(frozen=True)
class Config(_config.Tokens):
    """An alphabet, and transformers of growing size that are trained for longer and longer."""

    sizes: tuple[tuple[int, int], ...] = ((16, 1), (16, 2), (32, 1), (32, 2), (64, 1), (64, 2))
    """Width and depth of each transformer, the largest last."""
    context: int = 65
    """Positions: one more than the most seeds."""
    steps: tuple[int, ...] = (200, 400, 800, 1600, 3200)
    """Steps of training, one transformer each."""
    batch: int = 32
    """Sequences of a step."""
    n_trainings: int = 2
    """Trainings of each size and number of steps, of which the law sees the mean; the longest,
    which it does not see, is done once."""
    n_seeds: tuple[int, ...] = (0, 1, 2, 4, 8, 16, 32, 64)
    """Seeds at which regret is measured; the law is of the last."""
    n_subjects: int = 2048
    """Held-out subjects."""
    n_draws: int = 1000
    """Draws of each posterior."""
    seed: int = 7
    """Seed of subjects and draws."""


PRESETS = {
    "tiny": Config(
        **_config.TINY_TOKENS,
        sizes=((8, 1), (16, 1), (16, 2)),
        steps=(8, 20, 40),
        n_seeds=(0, 1, 4, 8),
        n_subjects=64,
        n_draws=100,
    ),
    "quick": Config(
        sizes=((16, 1), (32, 1), (32, 2)), steps=(100, 200, 400, 800), n_subjects=1024, n_draws=200
    ),
    "full": Config(),
}


@dataclass(frozen=True)
class Architecture:
    """One architecture."""

    config: Config
    width: int
    depth: int


def cells(config: Config) -> list[Cell]:
    """One cell for each architecture, with all its trainings."""
    _check(config)
    at = [Architecture(config, *size) for size in config.sizes]
    return [Cell(measure, one, f"width {one.width}, depth {one.depth}") for one in at]


def _check(config: Config) -> None:
    _config.require_counts(config, n_draws=1, n_trainings=2, n_subjects=2)
    _config.require_seeds(config, least=0)
    sizes = (config.context, config.sizes, config.steps, config.batch)
    _config.require_decoders(config.alphabet(), *sizes)
    # A level, and an exponent for each of width and depth.
    shapes = [(1.0, *np.log(size)) for size in config.sizes]
    if np.linalg.matrix_rank(shapes) < 3 or len(set(config.steps)) < 3:
        raise ValueError(
            "a law of width, depth and training needs sizes that differ in both, at least three, "
            "and three numbers of steps, the largest of which is held out; got "
            f"{config.sizes} and {config.steps}."
        )


def measure(at: Architecture) -> pd.DataFrame:
    """Mean KL and regret of one architecture after each number of steps, and of Bayes."""
    import jax
    import pandas as pd

    from opal.theory.generator import bayes, kl

    from ._generators import generator, kl_after_seeds, subjects

    config, source = at.config, at.config.stream()
    held = subjects(source, max(config.n_seeds), key=config.seed, n_subjects=config.n_subjects)
    counts = held.counts(config.n_seeds)
    with jax.enable_x64(True):
        options = {"key": config.seed, "n_draws": config.n_draws}
        best = bayes(source.alphabet, counts, source.prior, **options)
        least = np.asarray(kl(np.broadcast_to(held.laws, counts.shape), best.law))
    frames = []
    for steps in config.steps:
        shape = (config.context, at.width, at.depth, steps, config.batch)
        n_trainings = 1 if steps == max(config.steps) else config.n_trainings
        decoders = [generator(source, *shape, seed=seed) for seed in range(n_trainings)]
        made = np.stack([kl_after_seeds(decoder, held) for decoder in decoders])
        made = np.moveaxis(made[:, :, list(config.n_seeds)], 2, 1)
        frame = of_subjects(
            *(_rows(config.n_seeds, made, least), "generator_capacity", config.setting),
            config.n_subjects,
            synthesizer=lambda f: f["arm"],
        )
        # Numbers in a decoder.
        params = sum(leaf.size for leaf in jax.tree.leaves(decoders[0]))
        size = {"params": params, "tokens": steps * config.batch * config.context}
        frames.append(frame.assign(**size, steps=steps, trainings=n_trainings))
    return pd.concat(frames, ignore_index=True).assign(
        width=at.width, depth=at.depth, rank=config.rank, found=float(np.asarray(best.found).mean())
    )


def _rows(n_seeds: tuple[int, ...], made: np.ndarray, least: np.ndarray) -> Iterator[Row]:
    """Records of one number of steps: KL of each training [T, n, S], beside Bayes [n, S]."""
    for n, each, best in zip(n_seeds, made.mean(axis=0), least, strict=True):
        yield row(TRANSFORMER, n, "kl", *mean(each))
        yield row(TRANSFORMER, n, "regret", *mean(each - best))
        yield row(BAYES, n, "kl", *mean(best))
    if len(made) > 1:
        last = (made[:, -1] - least[-1]).mean(axis=1)
        spread = float(last.std(ddof=1) / last.mean())
        yield row(TRANSFORMER, n_seeds[-1], "spread_of_trainings", spread)


def regrets(records: pd.DataFrame) -> pd.DataFrame:
    """Regret of each number of steps after the most seeds; ``held_out`` if the law has not seen it.

    Held out is the longest training of every size.
    """
    rows = records[records["metric"] == "regret"]
    rows = rows[rows["n_real"] == rows["n_real"].max()]
    table = rows[[*RUN, "steps", "trainings", "rank", "n_real", "value", "std_error"]]
    held_out = table["steps"] == table["steps"].max()
    table = table.assign(held_out=held_out).rename(columns={"value": "regret"})
    return table.sort_values(["params", "tokens"], ignore_index=True)


def between(records: pd.DataFrame) -> float:
    """Relative standard deviation of regret between trainings that differ in their seed alone."""
    spread = records.loc[records["metric"] == "spread_of_trainings", "value"]
    return float((spread**2).mean() ** 0.5)


def capacity(records: pd.DataFrame) -> Fit:
    """The law of regret in width, depth and tokens, fitted to all but what is held out.

    It has no floor, since the law of Bayes is reached as size and training grow. It is fitted to
    logarithms, whose scatter about it is more of the law's making than of subjects and trainings.
    """
    from opal.scaling.fit import fit

    from ._curves import product_law

    table = regrets(records)
    seen = table[~table["held_out"]]
    return fit(product_law(), seen, x=COLUMNS, y="regret", loss="huber-log")


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each training: regret, the law's, 95 % intervals if held out, and the plateau.

    ``plateau`` is the n at which r/2n is the regret, from which on more seeds gain little.
    """
    table, law = regrets(records), capacity(records)
    x = {variable: table[column].to_numpy(float) for variable, column in COLUMNS.items()}
    held = table["held_out"].to_numpy()
    ends = law.predict_interval({variable: values[held] for variable, values in x.items()})
    table = table.assign(predicted=law.predict(x))
    table.loc[held, ["low", "high"]] = np.stack(ends, axis=1)
    table["ratio"] = table["predicted"] / table["regret"]
    table["plateau"] = table["rank"] / (2 * table["regret"])
    table["plateau_predicted"] = table["rank"] / (2 * table["predicted"])
    # Of the same size after the training before: what a law that knows no growth would say.
    before = table[~table["held_out"]].groupby("params")["regret"].last()
    table["last_seen"] = table["params"].map(before)
    return table


def steepness(records: pd.DataFrame) -> pd.DataFrame:
    """Slope of log KL in log n between the last two n, of each training and of Bayes."""
    kl = records[records["metric"] == "kl"]
    *_, first, last = sorted(kl["n_real"].unique())
    wide = kl.pivot(index=[*RUN], columns=["arm", "n_real"], values="value")
    table = wide.index.to_frame(index=False)
    for arm in (TRANSFORMER, BAYES):
        fall = np.log(wide[arm, last] / wide[arm, first]) / np.log(last / first)
        table[arm] = fall.to_numpy()
    return table


def checks(records: pd.DataFrame) -> list[Check]:
    """Short trainings plateau, the law says where longer ones do, and no growth is a wrong law."""
    return [*_of_plateaus(steepness(records)), *_of_law(records), *_of_bayes(records)]


def _of_plateaus(slopes: pd.DataFrame) -> Iterator[Check]:
    """The shortest trainings gain nothing from more seeds; Bayes does."""
    shortest = slopes[slopes["tokens"] == slopes["tokens"].min()]
    yield at_least(
        "too few tokens give a plateau",
        float(shortest[TRANSFORMER].max()),
        FLAT,
        f"slope of log KL in log n at the most seeds, smallest model after "
        f"{shortest['tokens'].min():,} tokens; that of Bayes is {slopes[BAYES].max():.2f}",
    )
    yield at_most(
        "Bayes has none", slopes[BAYES], 2 * FLAT, "the same slope of the posterior predictive law"
    )


def _of_law(records: pd.DataFrame) -> Iterator[Check]:
    """The law predicts the longest trainings; what was last seen does not."""
    table, law = comparison(records), capacity(records)
    held = table[table["held_out"]]
    apart = np.log(held["ratio"]).abs()
    given = ", ".join(f"{name} = {found.estimate:.3g}" for name, found in law.params.items())
    yield at_most(
        "the law predicts held-out regret",
        np.exp(apart),
        FACTOR,
        f"largest factor between predicted and measured at {len(held)} held-out trainings; "
        f"{int(held['regret'].between(held['low'], held['high']).sum())} lie within the 95 % "
        f"interval of the curve; {law.law.equation} with {given}; trainings differ by "
        f"{between(records):.0%}",
    )
    unchanged = np.log(held["last_seen"] / held["regret"]).abs()
    nearer = unchanged > apart
    yield at_least(
        "regret is not what it was",
        share(nearer),
        0.5,
        f"{int(nearer.sum())} of {len(held)} held-out trainings are farther from the longest "
        f"training that the law has seen, by a factor of up to {np.exp(unchanged.max()):.3g}, than "
        "from the law",
    )


def _of_bayes(records: pd.DataFrame) -> Iterator[Check]:
    """Nothing beats Bayes, which is found everywhere."""
    regret = records[records["metric"] == "regret"]
    yield at_least(
        "Bayes is not beaten", z_of(regret), -4.0, f"least paired z of {len(regret)} regrets"
    )
    yield at_least(
        "every posterior is found", records["found"], 1.0, "least share of subjects and n"
    )


if __name__ == "__main__":
    run_study("generator_capacity")
