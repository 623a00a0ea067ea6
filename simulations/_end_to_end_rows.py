"""Records of the study end_to_end: one design simulated and predicted, and the worth of seeds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Array, Key

from opal.objective import Design
from opal.risk import mean_and_std_error
from opal.settings import TokenSetting
from opal.theory.end_to_end import excess_of_seeds
from simulations._end_to_end import Seeds, trained_excess
from simulations._seed_multiplier import Worth
from simulations.end_to_end import EXCESS, THEORIES

Rows = dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]


def compare(
    setting: TokenSetting,
    design: Design,
    seeds: Seeds,
    *,
    key: Key[Array, ""],
    most: tuple[int, int],
) -> tuple[Rows, Rows]:
    """Simulation and theories of one design, and the paired differences of the two."""
    simulated, separated = trained_excess(setting.law, design, seeds.made, key=key, most=most)
    predicted = excess_of_seeds(setting.law, design, seeds.seen, seeds.made)
    # Each replicate's real rows beside the generator that saw the seeds of the one before it.
    own = excess_of_seeds(setting.law, design, seeds.seen, np.roll(seeds.made, 1, axis=0))
    values = dict(zip(THEORIES, (predicted.total, own.total, predicted.floor), strict=True))
    apart = {f"{EXCESS} minus {name}": simulated - value for name, value in values.items()}
    measured = {EXCESS: simulated, "separated": separated.astype(float), **apart}
    return (
        {(name, "all"): mean_and_std_error(value) for name, value in measured.items()},
        {(name, "all"): mean_and_std_error(value) for name, value in values.items()},
    )


def rows_of_worth(worth: Worth) -> Iterator[dict[str, object]]:
    """KL of the generator and of the references, and in how many of their seeds a seed is paid."""
    for arm, metric, (value, error) in (
        ("transformer", "kl", worth.generator),
        ("add-½ counts", "kl", worth.counts),
        ("transformer", "seed_multiplier", worth.multiplier),
        ("maximum likelihood", "found", worth.found),
        ("transformer", "seed_multiplier_likelihood", worth.likelihood),
    ):
        numbers = {"value": float(value), "std_error": float(error)}
        sizes = dict.fromkeys(("n_real", "n_min", "n_max"), worth.n)
        yield {**sizes, "arm": arm, "metric": metric, **numbers}
