"""Simulated over predicted excess risk on designs drawn at random.

Dimension, minority size, imbalance, N, α, the setting and every dial of the generator's bias are
drawn; the table shows every design as it is. Two deliberately wrong theories go through the same
comparison.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opal.checks import Check, agrees, at_least, share
from opal.cli import run_study
from opal.runner import Cell

from . import _config
from ._config import DrawnDesign
from ._rows import EXCESS, wrong_is_caught

if TYPE_CHECKING:
    import pandas as pd

    from opal.objective import Design
    from opal.settings import GaussianLaw
    from opal.settings.setting import GaussianSetting
    from opal.synthesis import Bias

CONTROLS = ("wrong_variance", "wrong_bias")


@dataclass(frozen=True)
class Config:
    """The range that designs are drawn from."""

    n_designs: int = 60
    """Designs, one cell each."""
    n_min: tuple[int, int] = (20, 500)
    """Smallest and largest minority size."""
    max_imbalance: float = 50.0
    """Largest ratio of the largest to the smallest group."""
    max_dim: int = 20
    """Largest dimension."""
    max_augmented: float = 10.0
    """Largest N, as a multiple of the largest group."""
    max_rows: int = 100_000
    """Most rows in all; a design with more is drawn anew."""
    n_replicates: int = 2000
    """Replicates of each design."""
    seed: int = 4
    """Seed of designs and replicates."""


PRESETS = {
    "tiny": Config(n_designs=2, n_min=(20, 60), max_imbalance=2, max_dim=3, n_replicates=20),
    "quick": Config(n_designs=16, max_imbalance=10, max_augmented=2, n_replicates=1000),
    "full": Config(),
}


def cells(config: Config) -> list[Cell]:
    """Two cells for each design: its simulation, and what theories say of it."""
    _check(config)
    draws = [DrawnDesign(config, index) for index in range(config.n_designs)]
    simulated = [Cell(simulate_draw, draw, f"design {draw.index}") for draw in draws]
    return simulated + [Cell(predict_draw, draw, f"theory {draw.index}") for draw in draws]


def _check(config: Config) -> None:
    _config.require_counts(config, n_designs=1, n_replicates=1, max_dim=2, seed=0)
    _config.require_range("n_min", config.n_min)
    _config.require_numbers(config, "max_imbalance", least=1.0)
    _config.require_numbers(config, "max_augmented", least=0.14)  # N starts at exp(-2) n_max
    least = 4 * config.n_min[1]
    if config.max_rows < least:
        raise ValueError(
            f"max_rows must hold four groups of the largest n_min, {least} rows; "
            f"got {config.max_rows}. Raise --max-rows or lower --n-min."
        )


def simulate_draw(draw: DrawnDesign) -> pd.DataFrame:
    """The excess risk of one design, simulated."""
    from opal.simulation import simulate

    setting, _, kind, design = draw_design(draw.config, draw.rng())
    size = draw.config.n_replicates
    frame = simulate(setting, design, key=draw.key, n_replicates=size, study="asymptotics_grid")
    kept = frame[frame["metric"].isin([EXCESS, "separated"])]
    return kept.assign(design=draw.index, dim=setting.law.dim, bias_kind=kind)


def predict_draw(draw: DrawnDesign) -> pd.DataFrame:
    """The excess risk of one design, predicted rightly once and wrongly twice."""
    import pandas as pd

    from opal.theory.predict import predict

    setting, law, kind, design = draw_design(draw.config, draw.rng())
    theory = predict(setting, design, study="asymptotics_grid")
    row = theory[theory["metric"] == EXCESS]
    wrong = wrong_theories(setting, law, design)
    controls = [row.assign(metric=name, value=value) for name, value in wrong.items()]
    return pd.concat([theory, *controls], ignore_index=True).assign(
        design=draw.index, dim=setting.law.dim, bias_kind=kind
    )


def draw_setting(
    config: Config, rng: np.random.Generator
) -> tuple[GaussianSetting, tuple[int, ...]]:
    """A setting of either kind and its group counts."""
    from opal.settings import GaussianMixture, SpuriousCorrelation

    n_min = round(np.exp(rng.uniform(*np.log(config.n_min))))
    n_max = round(n_min * np.exp(rng.uniform(0, np.log(config.max_imbalance))))
    dim = int(rng.integers(2, config.max_dim + 1))
    if rng.random() < 0.5:
        core = int(rng.integers(1, dim))
        spurious = int(rng.integers(1, dim - core + 1))
        signals = rng.uniform(0.5, 1.5, size=2)
        setting = SpuriousCorrelation(
            core, spurious, dim - core - spurious, float(signals[0]), float(signals[1])
        )
        return setting, (n_max, n_min, n_min, n_max)
    direction = rng.normal(size=(2, 2, dim))
    unit = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    class_mean = rng.uniform(0.5, 1.0) * unit[0, 0] * np.array([[[-1.0]], [[1.0]]])
    modes = rng.uniform(0, 0.8) * unit[1][:, None, :] * np.array([[-1.0], [1.0]])
    root = rng.normal(size=(2, 1, dim, dim)) / np.sqrt(dim)
    covariances = 0.5 * np.eye(dim) + 0.5 * root @ root.swapaxes(-1, -2)
    mixture = GaussianMixture(
        class_mean + modes,
        np.broadcast_to(covariances, (2, 2, dim, dim)),
        name=f"two modes, d={dim}",
    )
    return mixture, (n_max, n_min)


def draw_bias(setting: GaussianSetting, rng: np.random.Generator) -> tuple[str, Bias]:
    """One kind of bias, or all at once, or none."""
    from opal.synthesis import Bias

    n_groups, d = len(setting.groups), setting.law.dim
    weights = rng.dirichlet(np.ones(setting.law.n_modes), size=n_groups)
    dials = {
        "mean shift": {"mean_shift": rng.normal(size=(n_groups, d)) * 0.3 / np.sqrt(d)},
        "covariance scale": {"covariance_scale": rng.uniform(0.5, 1.5, n_groups)},
        "rotation": {"rotation": rng.uniform(-1, 1, n_groups)},
        "label flips": {"label_flip": rng.uniform(0, 0.1, n_groups)},
        "mode weights": {"mode_weights": weights},
    }
    kind = str(rng.choice([*dials, "none", "all"]))
    chosen = dials.get(kind, {})
    if kind == "all":
        chosen = {name: value for dial in dials.values() for name, value in dial.items()}
    return kind, Bias(**chosen)


def draw_design(
    config: Config, rng: np.random.Generator
) -> tuple[GaussianSetting, GaussianLaw, str, Design]:
    """A setting, a synthetic law, its kind of bias, and a design with any N and α."""
    from opal.objective import Design
    from opal.synthesis import Oracle

    setting, counts = draw_setting(config, rng)
    kind, bias = draw_bias(setting, rng)
    augmented = round(max(counts) * np.exp(rng.uniform(-2, np.log(config.max_augmented))))
    augmented *= rng.random() > 0.15
    if (max(counts) + augmented) * len(counts) > config.max_rows:
        return draw_design(config, rng)
    maker = Oracle.biased(setting.law, bias)
    alpha = float(rng.uniform()) if augmented else 0.0
    return setting, maker.law, kind, Design(counts, maker, n_augmented=int(augmented), alpha=alpha)


def wrong_theories(
    setting: GaussianSetting, synthetic: GaussianLaw, design: Design
) -> dict[str, float]:
    """Predictions that the comparison must reject.

    ``wrong_variance`` takes synthetic rows for copies of the seeds instead of new draws;
    ``wrong_bias`` takes the generator for unbiased.
    """
    import jax

    from opal.theory.asymptotics import asymptotics
    from opal.theory.estimator import expand

    with jax.enable_x64(True):
        right = expand(setting, design)
        rows = (design.row_counts(), design.row_weights())
        copies = asymptotics(setting.law, synthetic, *rows, seed_use="copy in turn")
    return {
        "wrong_variance": float(right.bias + right.drift_risk + copies.variance),
        "wrong_bias": float(right.variance),
    }


def checks(records: pd.DataFrame) -> list[Check]:
    """Agreement within 2 % or 3 standard errors where n_min ≥ 200, and the two controls."""
    table = comparison(records)
    large = table[table["n_min"] >= 200]
    detail = f"share of {len(large)} designs with n_min ≥ 200 within 2 % or 3 standard errors"
    near = agrees(large["z"], large["ratio"], relative=0.02)
    found = [at_least("theory holds", share(near), 0.95, detail)]
    return found + [wrong_is_caught(large, name, "designs with n_min ≥ 200") for name in CONTROLS]


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each design: simulated and predicted excess, ratio and z-score."""
    excess = records[records["metric"] == EXCESS]
    simulated = excess[excess["source"] == "simulation"].set_index("design")
    table = simulated[
        ["setting", "dim", "bias_kind", "n_min", "n_max", "n_augmented", "alpha"]
    ].assign(simulated=simulated["value"], std_error=simulated["std_error"])
    theory = excess[excess["source"] == "theory"].set_index("design")["value"]
    table["predicted"] = theory
    for name in (*CONTROLS, "first_order"):
        metric = "excess_first_order" if name == "first_order" else name
        table[name] = records[records["metric"] == metric].set_index("design")["value"]
    table["ratio"] = table["simulated"] / table["predicted"]
    table["z"] = (table["simulated"] - table["predicted"]) / table["std_error"]
    return table.sort_values("n_min").reset_index()


if __name__ == "__main__":
    run_study("asymptotics_grid")
