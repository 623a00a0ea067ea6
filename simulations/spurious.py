"""Worst-group error against the strength of a spurious correlation, for every arm.

Four groups (label, attribute); the stronger the correlation, the smaller the two groups in which
label and attribute disagree. All arms of a strength share their real rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opal.cli import run_study
from opal.runner import Cell

from . import _config

if TYPE_CHECKING:
    import pandas as pd

    from opal.objective import Design
    from opal.settings import SpuriousCorrelation


@dataclass(frozen=True)
class Config:
    """Core, spurious and noise coordinates with unit variance."""

    n: int = 2000
    """Real rows in all."""
    strength: tuple[float, ...] = (0.6, 0.75, 0.85, 0.9, 0.95, 0.98)
    """P(attribute = label), one cell each."""
    core_dim: int = 2
    """Core coordinates."""
    spurious_dim: int = 2
    """Spurious coordinates."""
    noise_dim: int = 4
    """Noise coordinates."""
    core_signal: float = 1.0
    """Distance of a class from the origin in the core coordinates."""
    spurious_signal: float = 1.5
    """Distance of an attribute from the origin in the spurious coordinates."""
    shift: float = 0.4
    """How far the biased oracle moves synthetic rows along the spurious direction, towards the
    attribute that goes with their label: a generator that rebuilds the correlation."""
    n_neighbours: int = 5
    """Neighbours of SMOTE."""
    shrinkage: float = 0.1
    """Shrinkage of the fitted Gaussian's covariance."""
    n_replicates: int = 4000
    """Replicates of each arm."""
    seed: int = 2
    """Seed, shared by all arms."""


PRESETS = {
    "tiny": Config(n=100, strength=(0.6,), noise_dim=0, n_replicates=20),
    "quick": Config(strength=(0.6, 0.85, 0.98), n_replicates=700),
    "full": Config(n_replicates=10000),
}


@dataclass(frozen=True)
class Strength:
    """One strength of the correlation."""

    config: Config
    strength: float


def cells(config: Config) -> list[Cell]:
    """One cell for each strength."""
    _config.require_counts(config, n_replicates=1)
    _config.require_numbers(config, "strength", "shift")
    strengths = [Strength(config, s) for s in config.strength]
    for at in strengths:
        arms(at)
    return [Cell(measure_strength, at, f"strength {at.strength}") for at in strengths]


def measure_strength(at: Strength) -> pd.DataFrame:
    """Every arm at one strength, simulated and predicted."""
    from ._arms import measure

    return measure(*arms(at), at.config, "spurious").assign(strength=at.strength)


def arms(at: Strength) -> tuple[SpuriousCorrelation, dict[str, Design]]:
    """The four groups, and every way to train at one strength."""
    from opal.settings import SpuriousCorrelation

    from ._arms import standard_arms

    config = at.config
    dims = (config.core_dim, config.spurious_dim, config.noise_dim)
    setting = SpuriousCorrelation(*dims, config.core_signal, config.spurious_signal)
    counts = setting.counts(config.n, at.strength)
    spurious = slice(config.core_dim, config.core_dim + config.spurious_dim)
    towards = np.array([2.0 * group.label - 1 for group in setting.groups])
    shift = np.zeros((len(towards), setting.law.dim))
    shift[:, spurious] = config.shift / np.sqrt(config.spurious_dim) * towards[:, None]
    return setting, standard_arms(
        setting,
        counts,
        config,
        mean_shift=shift,
        where=f"--n {config.n} --strength {at.strength}",
    )


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """Simulated and predicted excess risk by arm and strength, where theory has the arm."""
    from opal.plotting import agreement

    return agreement(records, "excess_balanced_risk", ("arm", "strength"))


if __name__ == "__main__":
    run_study("spurious")
