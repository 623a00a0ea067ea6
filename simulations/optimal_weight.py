"""What the predicted weight α*, minority size ñ* and correction λ* cost against a grid's best.

Designs with a small bias are drawn at random. All points of a design share their draws, so that
the ratio of the excess at the predicted optimum to the least on the grid is a paired comparison.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from opal.checks import Check, at_least, share
from opal.cli import run_study
from opal.runner import Cell

from . import _config
from ._config import DrawnDesign
from ._rows import EXCESS

if TYPE_CHECKING:
    import pandas as pd

    from opal.objective import Design
    from opal.settings import GaussianMixture


@dataclass(frozen=True)
class Config:
    """The range that designs are drawn from."""

    n_designs: int = 40
    """Designs for α*, one cell each."""
    n_sizes: int = 12
    """Designs for ñ*, one cell each."""
    n_corrections: int = 20
    """Designs for λ*, one cell each."""
    n_min: tuple[int, int] = (100, 400)
    """Smallest and largest minority size."""
    max_imbalance: float = 8.0
    """Largest ratio of the groups."""
    max_dim: int = 8
    """Largest dimension."""
    n_alphas: int = 21
    """Points of the grids of α and λ in [0, 1]."""
    n_replicates: int = 2000
    """Replicates of each point."""
    seed: int = 5
    """Seed of designs and replicates."""


PRESETS = {
    "tiny": Config(1, 1, 1, n_min=(30, 40), n_alphas=3, n_replicates=20),
    "quick": Config(8, 2, 4, n_alphas=11, n_replicates=500),
    "full": Config(),
}


def cells(config: Config) -> list[Cell]:
    """One cell for each design of each question."""
    _check(config)
    numbers = (config.n_designs, config.n_sizes, config.n_corrections)
    indices = iter(range(sum(numbers)))
    weights, sizes, shares = ([DrawnDesign(config, i) for i in islice(indices, n)] for n in numbers)
    return [
        *(Cell(measure_weights, draw, f"α, design {draw.index}") for draw in weights),
        *(Cell(measure_sizes, draw, f"ñ, design {draw.index}") for draw in sizes),
        *(Cell(measure_corrections, draw, f"λ, design {draw.index}") for draw in shares),
    ]


def _check(config: Config) -> None:
    _config.require_counts(config, n_designs=0, n_replicates=1, n_sizes=0, n_corrections=0, seed=0)
    _config.require_counts(config, max_dim=2, n_alphas=3)
    _config.require_range("n_min", config.n_min)
    _config.require_numbers(config, "max_imbalance", least=1.5)  # the ratio starts there


def draw_design(draw: DrawnDesign, *, alike: bool = False) -> tuple[GaussianMixture, Design]:
    """Two Gaussian classes and a generator that is wrong by a little in every way.

    Where it is wrong alike, its errors are the same in both classes, and three times as large: a
    correction has something to remove.
    """
    from opal.objective import Design
    from opal.settings import GaussianMixture
    from opal.synthesis import Bias, Oracle

    config, rng = draw.config, draw.rng()
    dim = int(rng.integers(2, config.max_dim + 1))
    few = round(np.exp(rng.uniform(*np.log(config.n_min))))
    many = round(few * np.exp(rng.uniform(np.log(1.5), np.log(config.max_imbalance))))
    axis = rng.normal(size=dim)
    axis *= rng.uniform(0.6, 1.2) / np.linalg.norm(axis)
    root = rng.normal(size=(2, dim, dim)) / np.sqrt(dim)
    covariances = 0.6 * np.eye(dim) + 0.4 * root @ root.swapaxes(-1, -2)
    setting = GaussianMixture(np.stack([-axis, axis]), covariances)
    n, size = (1, 3) if alike else (2, 1)
    bias = Bias(
        mean_shift=size * rng.normal(size=(n, dim)) * rng.uniform(0, 0.15) / np.sqrt(dim),
        covariance_scale=(1 + size * rng.uniform(-0.1, 0.1, n)) * np.ones(2),
        rotation=size * rng.uniform(-0.1, 0.1, n) * np.ones(2),
        label_flip=rng.uniform(0, 0.01, n) * np.ones(2),
    )
    augmented = round(many * np.exp(rng.uniform(np.log(0.2), np.log(4))))
    maker = Oracle.biased(setting.law, bias)
    return setting, Design((many, few), maker, n_augmented=augmented)


def measure_weights(draw: DrawnDesign) -> pd.DataFrame:
    """Simulated excess on the grid of α and at the predicted α*."""
    from opal.theory.optimal import weight_curve

    setting, design = draw_design(draw)
    best = weight_curve(setting, design).best_alpha
    grid = np.linspace(0, 1, draw.config.n_alphas)
    designs = [design.with_(alpha=float(alpha)) for alpha in (*grid, best)]
    return _simulate(draw, setting, designs, question="weight")


def measure_sizes(draw: DrawnDesign) -> pd.DataFrame:
    """Simulated excess for several numbers of minority samples and at the predicted ñ*."""
    from opal.theory.optimal import best_minority_size

    setting, design = draw_design(draw)
    design = design.with_(n_augmented=0)
    many, few = design.counts
    best = min(best_minority_size(setting, design), 10.0 * many)
    sizes = [round(share * (many - few)) for share in (0, 0.5, 0.75, 1, 1.25, 1.5, 2)]
    designs = [design.with_(oversample=(0, size)) for size in (*sizes, round(best))]
    return _simulate(draw, setting, designs, question="size")


def measure_corrections(draw: DrawnDesign) -> pd.DataFrame:
    """Simulated excess on the grid of λ and at the predicted λ*, half the weight augmented."""
    from opal.theory.optimal import best_weights

    setting, design = draw_design(draw, alike=True)
    design = design.with_(alpha=0.5)
    best = best_weights(setting, design, alpha=design.alpha).correction
    grid = np.linspace(0, 1, draw.config.n_alphas)
    designs = [design.with_(correction=float(share)) for share in (*grid, best)]
    return _simulate(draw, setting, designs, question="correction")


def _simulate(
    draw: DrawnDesign, setting: GaussianMixture, designs: list[Design], *, question: str
) -> pd.DataFrame:
    """Excess of each design on the same draws; the last one is the predicted optimum."""
    import pandas as pd

    from opal.simulation import simulate

    size, last, frames = draw.config.n_replicates, len(designs) - 1, []
    for index, design in enumerate(designs):
        frame = simulate(setting, design, key=draw.key, n_replicates=size, study="optimal_weight")
        rows = frame[frame["metric"] == EXCESS]
        frames.append(rows.assign(is_optimum=index == last, correction=design.correction))
    joined = pd.concat(frames, ignore_index=True)
    return joined.assign(question=question, design=draw.index, dim=setting.law.dim)


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each design: the predicted optimum, the grid's, and the ratio of their excess.

    The excess at both ends of the grid is in the same ratio (``regret_low``, ``regret_high``).
    """
    import pandas as pd

    rows = []
    for (question, design), points in records.groupby(["question", "design"]):
        chosen = points[points["is_optimum"]].iloc[0]
        grid = points[~points["is_optimum"]]
        best = grid.loc[grid["value"].idxmin()]
        where = {"weight": "alpha", "size": "n_oversampled"}.get(question, question)
        rows.append(
            {
                "question": question,
                "design": design,
                **{name: chosen[name] for name in ("dim", "n_min", "n_max", "n_augmented")},
                "predicted": chosen[where],
                "best_on_grid": best[where],
                "excess": chosen["value"],
                "std_error": chosen["std_error"],
                "regret": chosen["value"] / best["value"],
                "regret_low": grid["value"].iloc[0] / best["value"],
                "regret_high": grid["value"].iloc[-1] / best["value"],
            }
        )
    return pd.DataFrame(rows)


def checks(records: pd.DataFrame) -> list[Check]:
    """The share of designs in which the predicted optimum is within 2 % of the grid's best.

    Most ends of the grids must not be: or 2 % would tell nothing.
    """
    import pandas as pd

    found = []
    for question, rows in comparison(records).groupby("question"):
        ends = pd.concat([rows["regret_low"], rows["regret_high"]])
        largest = f"largest ratio {rows['regret'].max():.3f}"
        found += [
            at_least(
                f"predicted {question} is near the best",
                share(rows["regret"] <= 1.02),
                0.95,
                f"share of {len(rows)} designs within 2 %; {largest}",
            ),
            at_least(
                f"control: {question} at an end of the grid",
                share(ends > 1.02),
                0.5,
                f"share of {len(ends)} ends that are not within 2 %",
            ),
        ]
    return found


if __name__ == "__main__":
    run_study("optimal_weight")
