"""A prediction's estimate of its own error, held against simulation.

Designs are drawn at random: nearly separated classes, ordinary ones, three classes with few rows,
and hardly more rows than parameters. The simulated excess is that of every replicate, less what its
gradient at the pseudo-target explains of it, whose mean is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opal.checks import Check, at_least, at_most, share
from opal.cli import run_study
from opal.runner import Cell

from . import _config
from ._config import DrawnDesign
from ._rows import EXCESS

if TYPE_CHECKING:
    import pandas as pd

    from opal.objective import Design
    from opal.settings import GaussianMixture

    Drawn = tuple[GaussianMixture, Design]

LIMIT = 0.02  # share of the predicted excess
KINDS = ("near", "plain", "three classes", "near", "plain", "few rows")


@dataclass(frozen=True)
class Config:
    """What designs are drawn from."""

    n_designs: int = 60
    """Designs, one cell each; every sixth has three classes, and every sixth few rows."""
    dims: tuple[int, ...] = (2, 4, 8)
    """Dimensions d; few rows are d + 1 and more of each group, in the largest."""
    max_rows: int = 2000
    """Most rows of the smallest group."""
    n_replicates: int = 2000
    """Replicates of each design."""
    seed: int = 15
    """Seed of designs and replicates."""


PRESETS = {
    "tiny": Config(n_designs=2, dims=(2,), max_rows=60, n_replicates=40),
    "quick": Config(n_designs=3, dims=(2,), n_replicates=1000),
    "full": Config(),
}


def cells(config: Config) -> list[Cell]:
    """One cell for each design."""
    _config.require_counts(config, n_designs=1, dims=2, n_replicates=20, max_rows=50, seed=0)
    draws = [DrawnDesign(config, index) for index in range(config.n_designs)]
    return [Cell(measure, draw, f"design {draw.index}") for draw in draws]


def measure(draw: DrawnDesign) -> pd.DataFrame:
    """The excess of one design, simulated and predicted."""
    import pandas as pd

    from opal import records
    from opal.theory.predict import predict

    from ._control_variates import simulated_excess

    setting, design = draw_design(draw)
    n = draw.config.n_replicates
    found = {(EXCESS, "all"): simulated_excess(setting, design, draw.key, n)}
    options = {"study": "prediction_limits", "n_replicates": n}
    simulated = records.of_design(setting, design, found, **options)
    frames = [simulated, predict(setting, design, study="prediction_limits")]
    kind = KINDS[draw.index % len(KINDS)]
    return pd.concat(frames, ignore_index=True).assign(design=draw.index, kind=kind)


def draw_design(draw: DrawnDesign) -> Drawn:
    """A design of its kind."""
    config, rng = draw.config, draw.rng()
    kind, dim = KINDS[draw.index % len(KINDS)], int(rng.choice(config.dims))
    if kind == "three classes":
        return _three_classes(min(config.dims), rng)
    if kind == "few rows":
        return _few_rows(max(config.dims), rng)
    farthest, most = (4.0, 6.0) if kind == "near" else (2.5, 4.0)
    setting = _two_classes(dim, float(rng.uniform(1.0, farthest)), rng)
    n_min = _log_uniform(rng, 50, config.max_rows)
    counts = (round(n_min * np.exp(rng.uniform(0, np.log(most)))), n_min)
    return setting, _way_to_train(setting, counts, rng)


def _way_to_train(
    setting: GaussianMixture, counts: tuple[int, int], rng: np.random.Generator
) -> Design:
    from opal.objective import Design, baselines
    from opal.synthesis import Bias, Duplication, Oracle

    ways = baselines(counts)
    ways["duplication"] = Design(counts, Duplication())
    alpha = float(rng.uniform(0.1, 0.8))
    ways["oracle"] = Design(counts, Oracle(setting.law), n_augmented=counts[1], alpha=alpha)
    biased = Oracle.biased(setting.law, Bias(label_flip=0.05, mean_shift=0.1))
    ways["biased oracle"] = Design(counts, biased, n_augmented=counts[1], alpha=alpha)
    return ways[str(rng.choice(list(ways)))]


def _two_classes(dim: int, distance: float, rng: np.random.Generator) -> GaussianMixture:
    from opal.settings import GaussianMixture

    axis = rng.normal(size=dim)
    return GaussianMixture(np.outer([-0.5, 0.5], distance * axis / np.linalg.norm(axis)))


def _three_classes(dim: int, rng: np.random.Generator) -> Drawn:
    """30 rows of three classes, or up to 900."""
    from opal.objective import Design
    from opal.settings import GaussianMixture

    angles = 2 * np.pi * np.arange(3) / 3 + rng.uniform(0, 0.5, size=3)
    means = np.zeros((3, dim))
    means[:, 0], means[:, 1] = np.cos(angles), np.sin(angles)
    n = 10 if rng.random() < 0.5 else _log_uniform(rng, 30, 300)
    return GaussianMixture(rng.uniform(0.7, 1.5) * means), Design((n, n, n), weighting="group")


def _few_rows(dim: int, rng: np.random.Generator) -> Drawn:
    from opal.objective import Design

    n = _log_uniform(rng, dim + 1, 5 * dim)
    setting = _two_classes(dim, float(rng.uniform(0.8, 2.0)), rng)
    return setting, Design((n, n), weighting="group")


def _log_uniform(rng: np.random.Generator, least: int, most: int) -> int:
    return round(np.exp(rng.uniform(np.log(least), np.log(most))))


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each design: simulated and predicted excess, and the estimate of the error.

    ``off`` and ``sound`` are designs of which two standard errors leave no doubt that they are
    more, or less, than :data:`LIMIT` from the prediction; ``flagged`` those whose estimate exceeds
    it. An estimate that is not a number is infinite; designs without a prediction are neither.
    """
    import pandas as pd

    on = ["design", "metric"]
    theory = records[(records["source"] == "theory") & (records["group"] == "all")]
    values = theory.set_index(on)["value"].unstack()
    errors = theory.set_index(on)["std_error"].unstack()
    simulated = records[records["source"] == "simulation"].set_index("design")
    table = pd.DataFrame(
        {
            "kind": simulated["kind"],
            "simulated": simulated["value"],
            "std_error": simulated["std_error"],
            "predicted": values[EXCESS],
            "estimate": (values["excess_neglected"] / values[EXCESS]).abs().fillna(np.inf),
            "std_error_estimate": errors["excess_neglected"] / values[EXCESS],
            "parameters_per_row": values["parameters_per_row"],
        }
    )
    error = (table["simulated"] / table["predicted"] - 1).abs()
    noise = 2 * table["std_error"] / table["predicted"]
    return table.assign(
        error=error,
        covered=error <= table["estimate"] + np.hypot(noise, 2 * table["std_error_estimate"]),
        off=error - noise > LIMIT,
        sound=error + noise < LIMIT,
        flagged=table["estimate"] > LIMIT,
    )


def checks(records: pd.DataFrame) -> list[Check]:
    """Errors are covered, designs that are off are flagged, sound ones are not, and a control."""
    table = comparison(records)
    known = table[np.isfinite(table["estimate"])]
    off, sound = table[table["off"]], table[table["sound"]]
    rolled = np.roll(known["estimate"], 1)
    noise = 2 * np.hypot(known["std_error"] / known["predicted"], known["std_error_estimate"])
    return [
        at_least(
            "its own error covers the difference",
            share(known["covered"]),
            0.9,
            f"share of {len(known)} designs whose difference to simulation is at most the estimate "
            f"and two standard errors of both; {len(table) - len(known)} more have no estimate",
        ),
        at_least(
            "designs that are off are flagged",
            share(off["flagged"]),
            0.9,
            f"share of {len(off)} designs that are off by more than {LIMIT:.0%}",
        ),
        at_most(
            "sound designs are not flagged",
            share(sound["flagged"]),
            0.05,
            f"share of {len(sound)} designs that are off by less than {LIMIT:.0%}",
        ),
        at_most(
            "the estimate is that of the design",
            share(known["error"] <= rolled + noise),
            0.8,
            "share that another design's estimate covers; it must fail",
        ),
    ]


if __name__ == "__main__":
    run_study("prediction_limits")
