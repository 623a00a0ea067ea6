"""Excess risk against the weight α of augmented samples, for generators of growing bias.

The optimum α* of theory is simulated as well, on the same draws as the grid.
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
    from opal.settings import GaussianMixture


@dataclass(frozen=True)
class Config:
    """Two Gaussian classes; the generator shifts the minority towards the majority."""

    dim: int = 5
    """Dimension d."""
    distance: float = 2.0
    """Distance between the class means, in standard deviations."""
    counts: tuple[int, int] = (1000, 500)
    """Real rows of each class. Theory is of order 1/n: what it leaves out of weighting's excess is
    1.5 % at 200 rows of the small class, and halves as they double."""
    n_augmented: int = 5000
    """N, augmented rows of each class."""
    shift: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2, 0.4)
    """Shift of synthetic rows in standard deviations, one cell each."""
    n_alphas: int = 21
    """Simulated points of the grid of α in [0, 1]."""
    n_predicted: int = 41
    """Predicted points of that grid, which make the lines."""
    n_replicates: int = 4000
    """Replicates of each α."""
    seed: int = 3
    """Seed, shared by all α and shifts."""


PRESETS = {
    "tiny": Config(
        counts=(60, 20),
        n_augmented=50,
        shift=(0.0, 0.2),
        n_alphas=3,
        n_predicted=5,
        n_replicates=20,
    ),
    "quick": Config(
        counts=(400, 200),
        n_augmented=2000,
        shift=(0.0, 0.1, 0.2, 0.4),
        n_alphas=9,
        n_replicates=700,
    ),
    "full": Config(),
}


@dataclass(frozen=True)
class Shift:
    """One generator."""

    config: Config
    shift: float


def cells(config: Config) -> list[Cell]:
    """One cell for each bias."""
    least = {"dim": 1, "n_augmented": 1, "n_replicates": 1, "n_alphas": 2, "n_predicted": 2}
    _config.require_counts(config, **least)
    _config.require_numbers(config, "distance", "shift")
    shifts = [Shift(config, s) for s in config.shift]
    for at in shifts:
        augmented(at)
    return [Cell(measure_shift, at, f"shift {at.shift}") for at in shifts]


def measure_shift(at: Shift) -> pd.DataFrame:
    """The curve in α for one generator, simulated and predicted, with the predicted optimum."""
    import pandas as pd

    from opal.simulation import simulate
    from opal.theory.optimal import weight_curve
    from opal.theory.predict import predict

    config = at.config
    setting, design = augmented(at)
    best = weight_curve(setting, design).best_alpha
    frames = []
    for alpha in (*np.linspace(0, 1, config.n_alphas), best):
        weighted = design.with_(alpha=float(alpha))
        simulated = simulate(
            setting, weighted, key=config.seed, n_replicates=config.n_replicates, study="alpha"
        )
        frames.append(simulated.assign(is_optimum=alpha == best))
    for alpha in np.linspace(0, 1, config.n_predicted):
        predicted = predict(setting, design.with_(alpha=float(alpha)), study="alpha")
        frames.append(predicted.assign(is_optimum=False))
    return pd.concat(frames, ignore_index=True).assign(shift=at.shift, best_alpha=best)


def augmented(at: Shift) -> tuple[GaussianMixture, Design]:
    """The two classes, and a design whose augmented rows come from one generator."""
    from opal.objective import Design

    from ._arms import shifted_second, two_classes

    config = at.config
    setting, axis = two_classes(config.dim, config.distance)
    maker = shifted_second(setting, axis, at.shift)
    design = Design(config.counts, maker, n_augmented=config.n_augmented, name=f"{at.shift:g}")
    return setting, design


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """Simulated and predicted excess risk of each shift and each α of the simulated grid."""
    from opal.plotting import agreement

    records = records.assign(alpha=records["alpha"].round(9))
    return agreement(records, "excess_balanced_risk", ("shift", "alpha"))


if __name__ == "__main__":
    run_study("alpha")
