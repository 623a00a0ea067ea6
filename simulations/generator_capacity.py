"""Regret of transformers to Bayes against width, depth and training tokens, and a law of it.

Regret is KL minus that of the posterior predictive law on the same seeds. A generator whose regret
exceeds r/2n stops to gain from seeds: the law, fitted to the smaller ones, says where.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from opal.runner import Cell

if TYPE_CHECKING:
    import pandas as pd

    from opal.checks import Check
    from opal.scaling.fitted import Fit
    from opal.synthesis.transformer.streams import TokenStream

TRANSFORMER, BAYES = "transformer", "Bayes"
RUN = ("width", "depth", "params", "tokens")
COLUMNS = {"x1": "width", "x2": "depth", "x3": "tokens"}


@dataclass(frozen=True)
class Config:
    """An alphabet, and transformers of growing size that are trained for longer and longer."""

    n_tokens: int = 32
    """Tokens d of the alphabet."""
    rank: int = 4
    """Latent dimensions r."""
    eta: float = 0.5
    """Temperature η of the subjects."""
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
        n_tokens=8,
        rank=2,
        sizes=((8, 1), (16, 1), (16, 2)),
        context=9,
        steps=(8, 20, 40),
        batch=32,
        n_seeds=(0, 1, 4, 8),
        n_subjects=64,
        n_draws=100,
    ),
    "quick": Config(
        sizes=((16, 1), (32, 1), (32, 2)),
        steps=(100, 200, 400, 800),
        n_subjects=1024,
        n_draws=300,
    ),
    "full": Config(),
}


@dataclass(frozen=True)
class Size:
    """One architecture."""

    config: Config
    width: int
    depth: int


def cells(config: Config) -> list[Cell]:
    """One cell for each architecture, with all its trainings.

    Raises:
        ValueError: a cell could not be computed.
    """
    _check(config)
    at = [Size(config, *size) for size in config.sizes]
    return [Cell(measure, one, f"width {one.width}, depth {one.depth}") for one in at]


def _check(config: Config) -> None:
    import numpy as np

    from simulations import _fields, _trainable

    _fields.require_counts(config, "steps", "batch", "n_draws", minimum=1)
    _fields.require_counts(config, "n_trainings", minimum=2)
    _fields.require_counts(config, "n_seeds", minimum=0)
    _fields.require_counts(config, "n_subjects", minimum=2)
    _fields.require_counts(config, "context", minimum=max(config.n_seeds) + 1)
    sizes = (config.context, config.sizes, config.steps, config.batch)
    _trainable.require(stream(config).vocab, *sizes)
    # A level, and an exponent for each of width and depth.
    shapes = [(1.0, *np.log(size)) for size in config.sizes]
    if np.linalg.matrix_rank(shapes) < 3 or len(set(config.steps)) < 3:
        raise ValueError(
            "a law of width, depth and training needs sizes that differ in both, at least three, "
            "and three numbers of steps, the largest of which is held out; got "
            f"{config.sizes} and {config.steps}."
        )


@cache  # what is compiled for its alphabet serves all cells
def stream(config: Config) -> TokenStream:
    """What all transformers are trained on, and where held-out subjects come from."""
    from opal.settings.tokens import Alphabet
    from opal.synthesis.transformer.streams import TokenStream

    return TokenStream(Alphabet.random(config.n_tokens, config.rank, eta=config.eta, key=0))


def measure(at: Size) -> pd.DataFrame:
    """Mean KL and regret of one architecture after each number of steps, and of Bayes."""
    import jax
    import numpy as np
    import pandas as pd

    from opal import records
    from opal.theory.generator import bayes, kl
    from simulations._generator_capacity import rows_of, size_of
    from simulations._generators import generator, kl_after_seeds, subjects

    config, source = at.config, stream(at.config)
    held = subjects(source, max(config.n_seeds), key=config.seed, n_subjects=config.n_subjects)
    counts = held.counts(config.n_seeds)
    with jax.enable_x64(True):
        options = {"key": config.seed, "n_draws": config.n_draws}
        best = bayes(source.alphabet, counts, source.prior, **options)
        least = np.asarray(kl(np.broadcast_to(held.laws, counts.shape), best.law))
    found = float(np.asarray(best.found).mean())
    frames = []
    for steps in config.steps:
        shape = (config.context, at.width, at.depth, steps, config.batch)
        n_trainings = 1 if steps == max(config.steps) else config.n_trainings
        decoders = [generator(source, *shape, seed=seed) for seed in range(n_trainings)]
        made = np.stack([kl_after_seeds(decoder, held) for decoder in decoders])
        made = np.moveaxis(made[:, :, list(config.n_seeds)], 2, 1)
        frame = pd.DataFrame(list(rows_of(config.n_seeds, made, least)))
        size = {"params": size_of(decoders[0]), "tokens": steps * config.batch * config.context}
        frames.append(frame.assign(**size, steps=steps, trainings=n_trainings))
    setting = f"tokens(d={config.n_tokens}, r={config.rank}, eta={config.eta:g})"
    frame = pd.concat(frames, ignore_index=True).assign(
        study="generator_capacity", setting=setting, n_replicates=config.n_subjects
    )
    frame = frame.assign(n_min=frame["n_real"], n_max=frame["n_real"], arm=frame["synthesizer"])
    return records.validate(frame).assign(
        width=at.width, depth=at.depth, rank=config.rank, found=found
    )


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
    from simulations._product_law import product_law

    table = regrets(records)
    seen = table[~table["held_out"]]
    return fit(product_law(), seen, x=COLUMNS, y="regret", loss="huber-log")


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each training: regret, the law's, 95 % intervals if held out, and the plateau.

    ``plateau`` is the n at which r/2n is the regret, from which on more seeds gain little.
    """
    import numpy as np

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
    import numpy as np

    kl = records[records["metric"] == "kl"]
    *_, first, last = sorted(kl["n_real"].unique())
    wide = kl.pivot(index=[*RUN], columns=["arm", "n_real"], values="value")
    fall = {
        arm: np.log(wide[arm, last] / wide[arm, first]) / np.log(last / first)
        for arm in (TRANSFORMER, BAYES)
    }
    return wide.index.to_frame(index=False).assign(
        **{arm: values.to_numpy() for arm, values in fall.items()}
    )


def checks(records: pd.DataFrame) -> list[Check]:
    """Short trainings plateau, the law says where longer ones do, and no growth is a wrong law."""
    from simulations import _generator_capacity_checks as claims

    table = comparison(records)
    return [
        *claims.of_plateaus(steepness(records)),
        *claims.of_law(table, capacity(records), between(records)),
        *claims.of_bayes(records),
    ]


if __name__ == "__main__":
    from opal.cli import run_study

    run_study("generator_capacity")
