"""Seeds against a wrong prior: how many a generator needs for its examples to win.

A transformer learnt from subjects t ~ N(0, I) and is asked about subjects of other priors. It is
held beside Bayes under its prior, Bayes under the right one, and counts, on the same seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opal.runner import Cell
from simulations.generator_kl import BAYES, COUNTS, TRANSFORMER

if TYPE_CHECKING:
    import pandas as pd

    from opal.checks import Check
    from opal.settings.tokens import Alphabet

MATCHED = "Bayes, right prior"
EXPANSION, EXPANSION_MATCHED = "expansion", "expansion, right prior"
TRAINED = (1.0, 0.0)  # scale and mean of the prior of the training
PRIOR = ["scale", "mean"]
ENDS = ("", "_low", "_high")  # of an interval


@dataclass(frozen=True)
class Config:
    """One transformer, and the priors of the subjects that it is asked about."""

    n_tokens: int = 32
    """Tokens d of the alphabet."""
    rank: int = 4
    """Latent dimensions r."""
    eta: float = 0.5
    """Temperature η of the subjects."""
    priors: tuple[tuple[float, float], ...] = (
        *((1.0, 0.0), (1.0, 0.5), (1.0, 1.0), (1.0, 2.0)),
        *((0.5, 0.0), (1.5, 0.0), (2.0, 0.0), (2.0, 1.0)),
    )
    """Scale and mean of the subjects' coordinates, one cell each; (1, 0) in the training."""
    width: int = 64
    """Width of the transformer."""
    depth: int = 2
    """Its blocks."""
    context: int = 65
    """Its positions: one more than the most seeds."""
    steps: int = 1800
    """Steps of its training."""
    batch: int = 128
    """Sequences of a step."""
    n_seeds: tuple[int, ...] = (0, 1, 2, 4, 8, 16, 32, 64)
    """Seeds in the context, increasing from 0, the prior predictive."""
    n_subjects: int = 2048
    """Held-out subjects of each prior."""
    n_draws: int = 2000
    """Draws of each posterior."""
    seed: int = 7
    """Seed of subjects and draws."""


PRESETS = {
    "tiny": Config(
        n_tokens=8,
        rank=2,
        priors=((1.0, 0.0), (1.0, 2.0)),
        width=16,
        depth=1,
        context=9,
        steps=40,
        batch=32,
        n_seeds=(0, 1, 4, 8),
        n_subjects=64,
        n_draws=100,
    ),
    "quick": Config(
        priors=((1.0, 0.0), (1.0, 1.0), (2.0, 0.0)), steps=700, n_subjects=1024, n_draws=1000
    ),
    "full": Config(),
}


@dataclass(frozen=True)
class Subjects:
    """All subjects of a prior."""

    config: Config
    scale: float
    mean: float


def cells(config: Config) -> list[Cell]:
    """One cell for each prior.

    Raises:
        ValueError: a cell could not be computed.
    """
    _check(config)
    at = [Subjects(config, *prior) for prior in config.priors]
    return [Cell(measure, one, f"scale {one.scale:g}, mean {one.mean:g}") for one in at]


def _check(config: Config) -> None:
    from opal.settings.tokens import Prior
    from simulations import _fields, _trainable

    _fields.require_counts(config, "steps", "batch", "n_draws", minimum=1)
    _fields.require_counts(config, "n_seeds", minimum=0)
    _fields.require_counts(config, "n_subjects", minimum=2)
    _fields.require_counts(config, "context", minimum=max(config.n_seeds) + 1)
    increasing = sorted({0, *config.n_seeds})
    if list(config.n_seeds) != increasing or len(increasing) < 3:
        raise ValueError(
            "n_seeds must increase from 0, the prior predictive, with two numbers after it to "
            f"interpolate between; got {config.n_seeds}."
        )
    if len(set(config.priors)) < len(config.priors) or TRAINED not in config.priors:
        raise ValueError(
            f"priors must be different, with {TRAINED} of the training among them to compare "
            f"with; got {config.priors}."
        )
    for prior in config.priors:
        Prior(*prior)
    size = (config.width, config.depth)
    vocab = alphabet(config).n_tokens + 1
    _trainable.require(vocab, config.context, [size], [config.steps], config.batch)


def alphabet(config: Config) -> Alphabet:
    """The tokens, the same for all subjects."""
    from opal.settings.tokens import Alphabet

    return Alphabet.random(config.n_tokens, config.rank, eta=config.eta, key=0)


def measure(at: Subjects) -> pd.DataFrame:
    """KL and the weight of the prior of every estimate after each number of seeds."""
    import jax
    import numpy as np
    import pandas as pd

    from opal import records
    from opal.settings.tokens import Prior
    from opal.synthesis.transformer.streams import TokenStream
    from opal.theory.generator import add_half, bayes, kl
    from simulations import _prior
    from simulations._generators import generator, subjects
    from simulations._prior_rows import rows_of

    config, tokens, right = at.config, alphabet(at.config), Prior(at.scale, at.mean)
    sizes = (config.context, config.width, config.depth, config.steps, config.batch)
    decoder = generator(TokenStream(tokens), *sizes)
    held = subjects(
        TokenStream(tokens, right),
        max(config.n_seeds),
        key=config.seed,
        n_subjects=config.n_subjects,
    )
    counts = held.counts(config.n_seeds)
    drawn = {"key": config.seed, "n_draws": config.n_draws}
    beliefs = {BAYES: Prior(), MATCHED: right}
    believed = {arm: bayes(tokens, counts, prior, **drawn) for arm, prior in beliefs.items()}
    laws = {arm: np.asarray(estimate.law) for arm, estimate in believed.items()}
    laws[TRANSFORMER] = _prior.laws_after_seeds(decoder, held, config.n_seeds)
    with jax.enable_x64(True):
        laws[COUNTS] = np.asarray(add_half(counts))
        divergence = {
            arm: np.asarray(kl(np.broadcast_to(held.laws, law.shape), law))
            for arm, law in laws.items()
        }
    found = min(float(estimate.found.mean()) for estimate in believed.values())
    rows = list(rows_of(at, held.laws, laws, divergence, found))
    setting = f"tokens(d={config.n_tokens}, r={config.rank}, eta={config.eta:g})"
    frame = pd.DataFrame(rows).assign(
        study="generator_prior", setting=setting, n_replicates=config.n_subjects
    )
    frame = frame.assign(n_min=frame["n_real"], n_max=frame["n_real"])
    return records.validate(frame).assign(
        scale=at.scale, mean=at.mean, n_tokens=config.n_tokens, steps=config.steps
    )


def curves(records: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row for each prior and n, with a column for each arm's ``metric``."""
    rows = records[records["metric"] == metric]
    return rows.pivot(index=[*PRIOR, "n_real"], columns="arm", values="value").reset_index()


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each prior and generator, of whom counts and the right prior are better or not.

    ``n_half`` with its 95 % interval is the seeds after which the prior weighs a half, and
    ``expected`` that of the expansion; from ``overtaken`` seeds on counts have a smaller KL.
    ``ratio`` is mean KL over that of Bayes under the training's prior and ``matched`` over that
    under the right one, after the most seeds.
    """
    import numpy as np
    import pandas as pd

    last = records["n_real"].max()
    values = (
        records[records["n_real"] == last]
        .set_index([*PRIOR, "arm", "metric"])["value"]
        .sort_index()
    )
    rows = []
    for scale, mean in records[PRIOR].drop_duplicates().itertuples(index=False):
        of = values[scale, mean]
        for arm in (TRANSFORMER, BAYES):
            row = {"scale": scale, "mean": mean, "arm": arm}
            row |= {name: of[arm, name] for name in ("n_half", "n_half_low", "n_half_high")}
            crossing = [of[arm, f"n_overtaken{end}"] for end in ENDS]
            row["overtaken"] = "{:.3g} ({:.3g} to {:.3g})".format(*crossing)
            if not np.isfinite(crossing[0]):
                row["overtaken"] = f"none up to {last}"
            row["expected"] = of[EXPANSION, "n_half"]
            row["ratio"] = of[arm, "kl"] / of[BAYES, "kl"]
            row["matched"] = of[arm, "kl"] / of[MATCHED, "kl"]
            rows.append(row)
    return pd.DataFrame(rows)


def checks(records: pd.DataFrame) -> list[Check]:
    """Theory says what the prior weighs and costs, that of another prior does not."""
    from simulations import _prior_checks

    return [
        *_prior_checks.of_theory(records),
        *_prior_checks.of_transformer(records),
        *_prior_checks.of_references(records),
    ]


if __name__ == "__main__":
    from opal.cli import run_study

    run_study("generator_prior")
