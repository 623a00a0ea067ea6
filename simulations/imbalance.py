"""Excess balanced risk against minority size, for every way to fill the minority.

Two Gaussian classes, the majority of fixed size. All arms of a size share their real rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opal.cli import run_study
from opal.runner import Cell

from . import _config

if TYPE_CHECKING:
    import pandas as pd

    from opal.objective import Design
    from opal.settings import GaussianMixture


@dataclass(frozen=True)
class Config:
    """Two classes N(∓μ/2, I) in d dimensions at distance ‖μ‖."""

    dim: int = 5
    """Dimension d."""
    distance: float = 2.0
    """Distance between the class means, in standard deviations."""
    n_max: int = 1000
    """Rows of the majority."""
    n_min: tuple[int, ...] = (10, 20, 40, 100, 250, 500)
    """Rows of the minority, one cell each."""
    shift: float = 0.4
    """How far the biased oracle moves the minority towards the majority, in standard deviations."""
    n_neighbours: int = 5
    """Neighbours of SMOTE."""
    shrinkage: float = 0.1
    """Shrinkage of the fitted Gaussian's covariance."""
    n_replicates: int = 4000
    """Replicates of each arm."""
    seed: int = 1
    """Seed, shared by all arms."""


PRESETS = {
    "tiny": Config(n_max=60, n_min=(30,), n_replicates=20),
    "quick": Config(n_min=(10, 30, 100, 250, 500), n_replicates=700),
    "full": Config(n_replicates=10000),
}


@dataclass(frozen=True)
class MinoritySize:
    """One minority size."""

    config: Config
    n_min: int


def cells(config: Config) -> list[Cell]:
    """One cell for each minority size."""
    _config.require_counts(config, dim=1, n_max=1, n_min=1, n_replicates=1)
    _config.require_numbers(config, "distance", "shift")
    sizes = [MinoritySize(config, n) for n in config.n_min]
    for size in sizes:
        arms(size)
    return [Cell(measure_size, size, f"n_min = {size.n_min}") for size in sizes]


def measure_size(size: MinoritySize) -> pd.DataFrame:
    """Every arm at one minority size, simulated and predicted."""
    from ._arms import measure

    return measure(*arms(size), size.config, "imbalance")


def arms(size: MinoritySize) -> tuple[GaussianMixture, dict[str, Design]]:
    """The two classes, and every way to train at one minority size."""
    from ._arms import standard_arms, two_classes

    config = size.config
    setting, axis = two_classes(config.dim, config.distance)
    return setting, standard_arms(
        setting,
        (config.n_max, size.n_min),
        config,
        mean_shift=-config.shift * axis,
        where=f"--n-max {config.n_max} --n-min {size.n_min}",
    )


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """Simulated and predicted excess risk by arm and minority size, where theory has the arm."""
    from opal.plotting import agreement

    return agreement(records, "excess_balanced_risk", ("arm", "n_min"))


if __name__ == "__main__":
    run_study("imbalance")
