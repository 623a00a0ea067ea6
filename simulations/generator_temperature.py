"""Temperature and top-p of a generator: what they do to its law, its bias, and a classifier.

Each subject's law is known, so that KL, total variation and the bias of a classifier are finite
sums; the excess risk of training on the rows is predicted from them, and simulated beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opal.checks import Check, at_least, at_most, beyond_chance, misses, share
from opal.cli import run_study
from opal.runner import Cell

from . import _config, _rows
from ._config import HeldOut
from ._rows import BAYES, EXCESS, PLAIN, TRANSFORMER, Found, Row, mean, means, of_subjects

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Array, Key

    from opal.objective import Design
    from opal.settings import TokenSetting
    from opal.settings.tokens import Alphabet

    from ._end_to_end import Pairs
    from ._generators import Sampling

Values = dict[str, "np.ndarray"]

COMPARED = ("kl", "total_variation", "bias_square", "floor", "excess")
AT = ("n_real", "temperature", "top_p")
DESIGN = ("pair", "n_min", "temperature", "top_p")
# Change of the prediction from which simulation should tell it from another, and the same in
# standard errors: nearly separable rows have tails so heavy that a simulation tells little.
MATTERS, TELLING = 0.1, 4.0
NEAR = 0.05  # of KL and excess at temperature 1 to the least on the grid


@dataclass(frozen=True)
class Config(_config.Generator):
    """An alphabet, a generator, and the ways to draw from it."""

    n_seeds: tuple[int, ...] = (4, 16, 64)
    """Rows of each class that the generator sees; the small class has no others."""
    temperatures: tuple[float, ...] = (0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.35, 1.5)
    """Temperatures τ, all at top-p 1; 1 is among them."""
    top_ps: tuple[float, ...] = (0.95, 0.9, 0.8, 0.5)
    """Masses kept at temperature 1, below 1."""
    n_subjects: int = 4096
    """Held-out subjects; two make a pair of classes."""
    n_draws: int = 1000
    """Draws of each posterior."""
    n_majority: int = 400
    """Rows of the large class."""
    n_augmented: int = 500
    """Augmented rows N of each class."""
    alpha: float = 0.4
    """Their weight α."""
    n_pairs: int = 4
    """Pairs of subjects on whose rows a classifier is trained."""
    n_replicates: int = 1024
    """Replicates of that training."""
    seed: int = 12
    """Seed of subjects and replicates."""


PRESETS = {
    "tiny": Config(
        **_config.TINY,
        n_seeds=(4, 8),
        temperatures=(0.5, 1.0, 1.5),
        top_ps=(0.8,),
        n_subjects=64,
        n_draws=100,
        n_majority=60,
        n_augmented=60,
        n_pairs=1,
        n_replicates=4,  # as many as samplings: their theory compiles once
    ),
    "quick": Config(
        steps=700,
        temperatures=(0.5, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5),
        top_ps=(0.9, 0.5),
        n_subjects=1024,
        n_draws=300,
        n_pairs=1,
        n_replicates=256,
    ),
    "full": Config(),
}


@dataclass(frozen=True)
class PairTraining:
    """A classifier trained on the rows of one pair of subjects."""

    config: Config
    pair: int


def cells(config: Config) -> list[Cell]:
    """One cell for the exact sums, and one for each pair on whose rows is trained."""
    _check(config)
    training = [PairTraining(config, pair) for pair in range(config.n_pairs)]
    return [
        Cell(measure_laws, HeldOut(config), "held-out subjects"),
        *(Cell(measure_training, at, f"training, pair {at.pair}") for at in training),
    ]


def _check(config: Config) -> None:
    from opal.synthesis.transformer.prompt import check_sampling

    _config.require_counts(config, n_draws=1, n_pairs=1, n_replicates=2, n_subjects=8)
    _config.require_seeds(config, least=1)
    _config.require_counts(config, n_majority=max(config.n_seeds))
    if config.n_subjects % 4:
        raise ValueError(
            "n_subjects must be a multiple of 4, for two halves of pairs: one chooses a "
            f"temperature, the other judges it; got {config.n_subjects}."
        )
    _config.require_plain(config)
    for top_p in config.top_ps:
        check_sampling(1.0, top_p)
    if 1.0 in config.top_ps:
        raise ValueError(f"top_ps are below 1, temperatures have top-p 1; got {config.top_ps}.")
    config.check()
    designs(config)


def samplings(config: Config) -> list[Sampling]:
    """Temperature and top-p of each way to draw."""
    return [(t, 1.0) for t in config.temperatures] + [(1.0, p) for p in config.top_ps]


def classes(config: Config, pair: int) -> TokenSetting:
    """A large and a small class."""
    from opal.settings import TokenSetting

    key = config.seed * 100_003 + pair
    return TokenSetting.drawn(config.alphabet(), key=key)


def designs(config: Config) -> list[Design]:
    """How to train after each number of seeds."""
    from opal.objective import Design
    from opal.synthesis import Oracle

    maker = Oracle(classes(config, 0).law, name=TRANSFORMER)
    return [
        Design((config.n_majority, n), maker, config.n_augmented, config.alpha)
        for n in config.n_seeds
    ]


def measure_laws(at: HeldOut) -> pd.DataFrame:
    """Divergences, biases and expected excess of every sampling, paired with temperature 1."""
    config = at.config
    return of_subjects(
        *(_of_laws(config), "generator_temperature", config.setting, config.n_subjects // 2),
        synthesizer=lambda f: f["arm"],
        source=_source,
    ).assign(pair=-1, steps=config.steps)


def _source(rows: pd.DataFrame) -> pd.Series:
    """Excess and floor are predicted, whoever makes the rows."""
    predicted = rows["metric"].str.contains("excess|floor") | (rows["arm"] == BAYES)
    return predicted.map({True: "theory", False: "simulation"})


def _of_laws(config: Config) -> Iterator[Row]:
    """Records of every estimate after each number of seeds, over all held-out subjects."""
    from ._end_to_end import pairs
    from ._generators import log_laws, subjects

    ways, source = samplings(config), config.stream()
    held = subjects(source, config.context - 1, key=config.seed, n_subjects=config.n_subjects)
    pair, counts = pairs(source.alphabet, held.laws), held.counts(config.n_seeds)
    options = {"key": config.seed, "n_draws": config.n_draws}
    arms = log_laws(source, config.decoder(), held, config.n_seeds, **options)
    for arm, scores in arms.items():
        for n, seen, each, design in zip(
            config.n_seeds, counts, scores, designs(config), strict=True
        ):
            values = _measured(source.alphabet, pair, design, seen, each, ways)
            for row in _of_samplings(values, ways):
                yield {"arm": arm, "n_real": n, **row}


def _measured(
    alphabet: Alphabet,
    pair: Pairs,
    design: Design,
    seen: np.ndarray,
    scores: np.ndarray,
    ways: Sequence[Sampling],
) -> Values:
    """What is measured after some seeds, for each sampling and pair of classes [T, P].

    Of each subject are given how often each token was ``seen`` and ``scores`` of the next [S, d].
    """
    import jax

    from opal.theory.generator import kl, total_variation

    from ._end_to_end import biases, expected_excess
    from ._generators import sampled

    made = sampled(scores, ways).reshape(-1, *pair.laws.shape)
    with jax.enable_x64(True):
        divergence = np.asarray(kl(pair.laws[None], made))
        apart = np.asarray(total_variation(np.broadcast_to(pair.laws, made.shape), made))
    bias, range_ = np.abs(each := biases(pair, made)), np.ptp(pair.losses, axis=-1)
    seeds = seen.reshape(pair.laws.shape)
    total, floor = expected_excess(alphabet, pair, design, seeds, made)
    plain = ways.index(PLAIN)
    return {
        "kl": divergence.mean(axis=-1),
        "total_variation": apart.mean(axis=-1),
        "bias": each.mean(axis=-1),
        "bias_square": each.mean(axis=-1) ** 2,
        "bound": (bias / (range_ * apart)).max(axis=-1),
        "bound_at_plain": (bias / (range_ * apart[plain])).max(axis=-1),
        "excess": total,
        "floor": floor,
    }


def _of_samplings(values: Values, ways: Sequence[Sampling]) -> Iterator[Row]:
    """Records of one estimate and number of seeds."""
    plain = ways.index(PLAIN)
    for k, way in enumerate(ways):
        here = {metric: each[k] for metric, each in values.items()}
        found: dict[str, tuple[float, ...]] = {
            **{metric: (here[metric].max(),) for metric in ("bound", "bound_at_plain")},
            "undefined": (np.isnan(here["excess"]).mean(),),
            "median_excess": (np.median(np.nan_to_num(here["excess"], nan=np.inf)),),
            **{metric: mean(here[metric]) for metric in ("bias", *COMPARED)},
        }
        for metric in [name for name in COMPARED if way[1] == 1 or name != "kl"]:
            found[f"{metric} minus plain"] = mean(here[metric] - values[metric][plain])
        for metric, number in found.items():
            yield _row(way, metric, *number)
    for metric in COMPARED:
        yield best_of(metric, values[metric], ways)


def best_of(metric: str, values: np.ndarray, ways: Sequence[Sampling]) -> Row:
    """The temperature that half of the pairs choose, and what it gains on the other half."""
    at = [k for k, (_, top_p) in enumerate(ways) if top_p == 1]
    chosen, judged = values[:, ::2], values[:, 1::2]
    best = at[int(chosen[at].mean(axis=1).argmin())]
    return _row(ways[best], f"best {metric}", *mean(judged[best] - judged[ways.index(PLAIN)]))


def _row(way: Sampling, metric: str, value: float, error: float = float("nan")) -> Row:
    where = dict(zip(("temperature", "top_p"), way, strict=True))
    return {**where, "metric": metric, "value": value, "std_error": error}


def measure_training(at: PairTraining) -> pd.DataFrame:
    """Every sampling after the same seeds: trained, predicted, and predicted wrongly."""
    import pandas as pd

    joined = pd.concat(_of_training(at), ignore_index=True)
    return joined.assign(pair=np.int64(at.pair), steps=at.config.steps)


def _of_training(at: PairTraining) -> Iterator[pd.DataFrame]:
    """Records of one pair of classes after each number of seeds."""
    from opal.draws import as_key, named

    from ._end_to_end import tables
    from ._generators import first_rows, sampled, scores_after

    config, setting, ways = at.config, classes(at.config, at.pair), samplings(at.config)
    key, size = named(as_key(config.seed), f"pair {at.pair}"), config.n_replicates
    held = first_rows(setting.law, config.context - 1, key=key, n_replicates=size)
    scores = scores_after(config.decoder(), held, config.n_seeds)
    shape, most = (len(ways), size, *setting.law.table.shape[:2]), max(config.n_seeds)
    for design, seen, each in zip(
        designs(config), held.counts(config.n_seeds), scores, strict=True
    ):
        made = tables(sampled(each, ways).reshape(shape))
        seeds = tables(seen.reshape(shape[1:]))
        found = _trained(
            *(setting, design, seeds, made, ways), key=key, most=(config.n_majority, most)
        )
        for (temperature, top_p), rows in zip(ways, found, strict=True):
            frame = _rows.of_design(setting, design, *rows, "generator_temperature", size)
            shown = seeds[0].sum()
            yield frame.assign(temperature=temperature, top_p=top_p, n_generator=shown)


def _trained(
    setting: TokenSetting,
    design: Design,
    seen: np.ndarray,
    made: np.ndarray,
    ways: Sequence[Sampling],
    *,
    key: Key[Array, ""],
    most: tuple[int, int],
) -> list[tuple[Found, Found]]:
    """Simulation and theories of each sampling, after seeds of each token and label [R, G, d, K].

    ``made`` are the laws of the generator's rows under each sampling [T, R, G, d, K]. Designs of at
    ``most`` so many real rows of each class share a compilation.
    """
    from opal.theory.end_to_end import excess_of_seeds

    from ._end_to_end import trained_excess

    law, plain, found = setting.law, ways.index(PLAIN), []
    predicted = [excess_of_seeds(law, design, seen, each) for each in made]
    simulated = [trained_excess(law, design, each, key=key, most=most) for each in made]
    for theory, (excess, separated) in zip(predicted, simulated, strict=True):
        values = {"predicted": theory.total, "at_plain": predicted[plain].total}
        apart = {f"{EXCESS} minus {name}": excess - value for name, value in values.items()}
        apart[f"{EXCESS} minus plain"] = excess - simulated[plain][0]
        rows = {EXCESS: excess, "separated": separated.astype(float), **apart}
        values |= {"floor": theory.floor, "undefined": np.isnan(theory.total).astype(float)}
        found.append((means(rows), means(values)))
    return found


def every_number(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each estimate, n and sampling, with paired differences and standard errors."""
    rows = records[(records["pair"] < 0) & ~records["metric"].str.startswith("best ")]
    on = ["arm", *AT]
    table = rows.pivot(index=on, columns="metric", values="value")
    errors = rows.pivot(index=on, columns="metric", values="std_error").dropna(axis=1, how="all")
    table = table.join(errors.add_prefix("std_error "))
    table["bias_rms"] = np.sqrt(table["bias_square"])
    table["std_error bias_rms"] = table["std_error bias_square"] / (2 * table["bias_rms"])
    return table.reset_index()


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each estimate, n and sampling: means over all pairs of held-out subjects.

    KL is infinite where top-p leaves tokens out. ``excess`` is predicted; it is not a number where
    some pair has no rule to expand around, which has the largest value in the median.
    """
    table = every_number(records)
    numbers = ["kl", "total_variation", "bias", "bias_rms", "floor", "excess", "median_excess"]
    return table[["arm", *AT, *numbers]]


def best(records: pd.DataFrame) -> pd.DataFrame:
    """The temperature that one half of the pairs choose, and 95 % of its gain on the other half.

    ``gain`` is the mean at that temperature minus the mean at 1, and negative if it is better.
    """
    rows = records[records["metric"].str.startswith("best ")]
    half = 1.96 * rows["std_error"]
    table = rows.assign(
        metric=rows["metric"].str.removeprefix("best "),
        gain=rows["value"],
        low=rows["value"] - half,
        high=rows["value"] + half,
    )
    return table[["arm", "metric", "n_real", "temperature", "gain", "low", "high"]]


def trained(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each pair, n and sampling: simulated and predicted excess risk.

    ``std_error`` and ``z`` are those of the paired difference; ``at_plain`` predicts as if rows
    were drawn at temperature 1.
    """
    values, errors = _rows.wide(records[records["pair"] >= 0], DESIGN)
    table = values["theory"][["predicted", "at_plain", "floor", "undefined"]].copy()
    table["simulated"] = values["simulation", EXCESS]
    table["ratio"] = table["predicted"] / table["simulated"]
    for name, suffix in (("predicted", ""), ("at_plain", "_at_plain")):
        apart = ("simulation", f"{EXCESS} minus {name}")
        table[f"std_error{suffix}"] = errors[apart]
        table[f"z{suffix}"] = values[apart] / errors[apart]
    table["minus_plain"] = values["simulation", f"{EXCESS} minus plain"]
    table["std_error_minus_plain"] = errors["simulation", f"{EXCESS} minus plain"]
    table["separated"] = values["simulation", "separated"]
    return table.reset_index()


def has_rules(table: pd.DataFrame) -> pd.Series:
    """Cells in which every replicate has a rule, and theory one to expand around.

    Elsewhere a line separates some replicate's rows, or all that they are drawn from.
    """
    return (table["separated"] == 0) & (table["undefined"] == 0)


def checks(records: pd.DataFrame) -> list[Check]:
    """Theory agrees with training, biases keep their bound, and 1 is the temperature for KL."""
    table = every_number(records)
    return [*_of_theory(trained(records)), *_of_bound(table), *_of_temperature(table)]


def _of_theory(table: pd.DataFrame) -> Iterator[Check]:
    """Predictions agree where there are rules; those at another temperature do not."""
    known = table[has_rules(table)]
    left = table[~has_rules(table)]
    ways = sorted({f"{t:g}/{p:g}" for t, p in zip(left["temperature"], left["top_p"], strict=True)})
    more = f"; {len(left)} cells have replicates without a rule (temperature/top-p "
    more += f"{', '.join(ways) or 'none'})"
    yield _rows.predicted_is_simulated(known["z"], known["ratio"], "cells", more)
    apart = (known["at_plain"] - known["predicted"]).abs()
    telling = apart > TELLING * known["std_error_at_plain"]
    matters = known[(apart > MATTERS * known["predicted"]) & telling]
    yield at_least(
        "the temperature is not ignored",
        share(misses(matters["z_at_plain"], matters["at_plain"] / matters["simulated"])),
        0.95,
        f"share of the {len(matters)} cells in which the prediction at temperature 1 differs by "
        f"more than {MATTERS:.0%} and {TELLING:g} standard errors; there it must miss by 3 of them "
        "and 3 %",
    )


def _ends(table: pd.DataFrame) -> pd.DataFrame:
    """The lowest and the highest temperature after the most seeds."""
    most = table[(table["n_real"] == table["n_real"].max()) & (table["top_p"] == 1)]
    at = most["temperature"]
    return most[at.isin([at.min(), at.max()]) & (at != 1)]


def _of_bound(table: pd.DataFrame) -> Iterator[Check]:
    """No bias exceeds its bound; that of another temperature does not hold."""
    yield at_most(
        "the bound holds",
        table["bound"],
        1.0,
        f"largest |b_g| over osc(ℓ) TV of any class, in {len(table)} estimates",
    )
    wrong = table["bound_at_plain"] > 1
    ends = wrong[_ends(table).index]
    yield at_least(
        "the bound is of this sampling",
        share(ends),
        0.75,
        f"share of the {len(ends)} estimates at the ends of the grid of temperatures, after the "
        "most seeds, that exceed the same with the total variation at temperature 1, which must "
        f"fail; {int(wrong.sum())} of all do",
    )


def _of_temperature(table: pd.DataFrame) -> Iterator[Check]:
    """Temperature 1 is best or near it, others stay wrong, and there the mean bias is positive."""
    hot = table[(table["top_p"] == 1) & (table["temperature"] != 1)]
    z = hot["kl minus plain"] / hot["std_error kl minus plain"]
    yield at_least(
        "Bayes has the least KL at temperature 1",
        z[hot["arm"] == BAYES],
        -3.0,
        "least paired z of other temperatures against 1",
    )
    own = table[(table["arm"] == TRANSFORMER) & (table["top_p"] == 1)]
    for metric in ("kl", "excess"):
        plain = own[own["temperature"] == 1].set_index("n_real")[metric]
        ratio = (plain / own.groupby("n_real")[metric].min()).dropna()
        yield at_most(
            f"1 is near the best temperature for {metric}",
            ratio,
            1 + NEAR,
            f"largest mean at temperature 1 over the least of all temperatures, {len(ratio)} n",
        )
    ends = _ends(own)
    known = (ends["excess minus plain"] / ends["std_error excess minus plain"]).dropna()
    yield beyond_chance(
        "a wrong temperature is not made good by seeds",
        known,
        f"least paired z of the excess at the ends of the grid, n = {ends['n_real'].max()}, at "
        f"{len(known)} of which all pairs have a rule",
    )
    bias = table[(table["temperature"] == 1) & (table["top_p"] == 1)]
    yield beyond_chance(
        "the best rule looks worse than it is",
        bias["bias"] / bias["std_error bias"],
        f"least z of the mean bias at temperature 1, {len(bias)} estimates (docs/theory.md, 13.31)",
    )


if __name__ == "__main__":
    run_study("generator_temperature")
