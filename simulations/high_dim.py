"""Exact high-dimensional errors against training at d = 400, on designs drawn at random.

Imbalance, the synthetic law (rotated, shifted, shrunk, or copies of the seeds), N, α, λ and the
loss are drawn. Two deliberately wrong theories go through the same comparison. Curves in α for
generators of three qualities stand beside the designs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opal.checks import Check, at_least, share
from opal.cli import run_study
from opal.runner import Cell

from . import _config
from ._config import DrawnDesign
from ._rows import wrong_is_caught

if TYPE_CHECKING:
    import pandas as pd

    from opal.theory.high_dim.margins import MarginLoss

    from ._high_dim import TwoGroupProblem

CONTROLS = ("truth_for_synthetic", "equal_weights")
METRICS = ("balanced_error", "worst_error", "balanced_risk")
BIASED = ("rotated", "shifted", "shrunk", "all")
QUALITIES = ("exact", "rotated", "shrunk")


@dataclass(frozen=True)
class Config:
    """Designs are drawn at random; curves are at fixed densities."""

    dim: int = 400
    """Dimension d."""
    n_ridge: int = 60
    """Designs with squared loss, one cell each."""
    n_logistic: int = 40
    """Designs with logistic loss."""
    n_hinge: int = 6
    """Designs with hinge loss."""
    max_imbalance: float = 20.0
    """Largest ratio of the largest to the smallest group."""
    n_replicates: int = 40
    """Replicates of each design; of each point of a curve as well."""
    n_alphas: int = 7
    """Points of each curve in α."""
    n_predicted: int = 41
    """Points of each line of theory."""
    seed: int = 11
    """Seed of designs and replicates."""


PRESETS = {
    "tiny": Config(
        dim=40, n_ridge=2, n_logistic=1, n_hinge=0, n_replicates=8, n_alphas=2, n_predicted=9
    ),
    "quick": Config(dim=200, n_ridge=6, n_logistic=2, n_hinge=1, n_replicates=8, n_alphas=3),
    "full": Config(),
}


@dataclass(frozen=True)
class Curve:
    """One generator and loss, at every α."""

    config: Config
    quality: str
    loss: MarginLoss


def cells(config: Config) -> list[Cell]:
    """A cell for each design, and one for each curve."""
    designs = {"n_ridge": 0, "n_logistic": 0, "n_hinge": 0}
    points = {"n_replicates": 2, "n_alphas": 1, "n_predicted": 2}
    _config.require_counts(config, dim=8, **designs, **points)
    n_designs = config.n_ridge + config.n_logistic + config.n_hinge
    draws = [DrawnDesign(config, index) for index in range(n_designs)]
    losses: tuple[MarginLoss, ...] = ("squared", "logistic")
    curves = [Curve(config, quality, loss) for loss in losses for quality in QUALITIES]
    return [
        *(Cell(measure_design, draw, f"design {draw.index}") for draw in draws),
        *(Cell(measure_curve, curve, f"{curve.loss} {curve.quality}") for curve in curves),
    ]


def measure_design(draw: DrawnDesign) -> pd.DataFrame:
    """One random design: simulated, predicted rightly once and wrongly twice."""
    import pandas as pd

    from . import _high_dim

    problem = drawn_problem(draw)
    theory = _high_dim.predicted(problem)
    wrong = [_high_dim.predicted(problem, mistake=name).assign(arm=name) for name in CONTROLS]
    simulated = _high_dim.simulated(problem, key=draw.key, n_replicates=draw.config.n_replicates)
    frame = pd.concat([simulated, theory, *wrong], ignore_index=True)
    return frame.assign(part="designs", design=draw.index, is_optimum=False)


def drawn_problem(draw: DrawnDesign) -> TwoGroupProblem:
    """The design that this index stands for."""
    from opal.theory.high_dim.margins import MARGIN_LOSSES

    from . import _high_dim

    config = draw.config
    numbers = (config.n_ridge, config.n_logistic, config.n_hinge)
    losses = [loss for loss, n in zip(MARGIN_LOSSES, numbers, strict=True) for _ in range(n)]
    return _high_dim.drawn(
        draw.rng(), losses[draw.index], dim=config.dim, max_imbalance=config.max_imbalance
    )


def measure_curve(curve: Curve) -> pd.DataFrame:
    """Error against α for one generator, with the α of least error that theory finds."""
    import pandas as pd

    from . import _high_dim

    config = curve.config
    problem = _high_dim.of_quality(curve.quality, curve.loss, dim=config.dim)
    best = _high_dim.best_alpha(problem)
    frames = []
    for alpha in (*np.linspace(0.05, 0.95, config.n_alphas), best):
        at = problem.with_alpha(float(alpha))
        simulated = _high_dim.simulated(at, key=config.seed, n_replicates=config.n_replicates)
        both = (simulated, _high_dim.predicted(at))
        frames += [frame.assign(is_optimum=alpha == best) for frame in both]
    for alpha in np.linspace(0.02, 0.98, config.n_predicted):
        line = _high_dim.predicted(problem.with_alpha(float(alpha)))
        frames.append(line.assign(is_optimum=False))
    frame = pd.concat(frames, ignore_index=True)
    return frame.assign(part="curves", design=-1, quality=curve.quality)


def checks(records: pd.DataFrame) -> list[Check]:
    """Agreement within 3 standard errors in 97 % of designs, and the two controls."""
    table = comparison(records)
    found = []
    for loss, rows in table.groupby("loss"):
        detail = f"share of {len(rows)} errors and risks within 3 standard errors"
        within = share(rows["z"].abs() <= 3)
        found.append(at_least(f"theory holds, {loss}", within, 0.97, detail))
    errors = table[table["metric"] != "balanced_risk"]
    for name in CONTROLS:
        # Copies come from the truth, and so do exact rows: there is no mistake to be caught.
        matters = errors if name == "equal_weights" else errors[errors["kind"].isin(BIASED)]
        found.append(wrong_is_caught(matters, name, "balanced and worst errors"))
    return found


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """A row for each design and metric: simulated, predicted, relative difference and z-score.

    The worst group is the one that theory says is the worst: the mean of each replicate's worst is
    another number, which tends to the same limit.
    """
    rows = records[(records["part"] == "designs") & records["metric"].isin(METRICS)]
    on = ["design", "metric"]
    simulated = rows[rows["source"] == "simulation"].set_index(on)
    facts = ["loss", "kind", "n_min", "n_max", "n_augmented", "alpha", "ridge"]
    table = simulated[facts].assign(simulated=simulated["value"], std_error=simulated["std_error"])
    theory = rows[rows["source"] == "theory"]
    for name in ("predicted", *CONTROLS):
        chosen = theory["arm"] == name if name in CONTROLS else ~theory["arm"].isin(CONTROLS)
        table[name] = theory[chosen].set_index(on)["value"]
    gap = table["simulated"] - table["predicted"]
    table = table.assign(relative=gap / table["predicted"], z=gap / table["std_error"])
    return table.reset_index()


if __name__ == "__main__":
    run_study("high_dim")
