"""Excess risk of bias-corrected training against the size of the generator's bias, by its kind.

Two Gaussian classes; the generator is wrong in both of them, or in the minority alone. Weights are
those that theory finds best, and every arm of a cell shares its real rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opal.checks import (
    Check,
    agrees,
    at_least,
    at_most,
    beyond_chance,
    control,
    share,
    z_threshold,
)
from opal.cli import run_study
from opal.runner import Cell

from . import _config
from ._rows import EXCESS

if TYPE_CHECKING:
    import pandas as pd

    from opal.objective import Design
    from opal.settings import GaussianMixture
    from opal.synthesis import Oracle

BESIDE = "beside weighting"  # arm, or begin of the arm, of which weighting is one weight
CORRECTED = ", corrected"  # end of an arm that has a correction
LEFT_OUT = ", left out"  # end of an arm whose theory leaves its correction out
ON = ("kind", "size", "arm")
MUCH = 0.85  # ratio of excess risks at which a gain should be seen
KINDS = ("shifted", "shifted minority", "shrunk", "rotated")


@dataclass(frozen=True)
class Config:
    """Two classes at a distance, of one covariance that is longer in one direction."""

    dim: int = 4
    """Dimension d."""
    distance: float = 2.0
    """Distance between the class means, in standard deviations of most directions."""
    stretch: float = 2.0
    """Variance of the first coordinate, and one over that of the second."""
    counts: tuple[int, int] = (1000, 100)
    """Real rows of each class, the larger one first."""
    n_augmented: int = 1000
    """N, augmented rows of each class."""
    size: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4, 0.6)
    """Bias: a shift in standard deviations, a share of the variance that is lost, or radians."""
    n_replicates: int = 4000
    """Replicates of each arm."""
    seed: int = 17
    """Seed, shared by all arms and cells."""


PRESETS = {
    "tiny": Config(counts=(60, 20), n_augmented=60, size=(0.2,), n_replicates=20),
    "quick": Config(size=(0.1, 0.2, 0.4), n_replicates=400),
    "full": Config(n_replicates=10000),
}


@dataclass(frozen=True)
class BiasSize:
    """One generator."""

    config: Config
    kind: str
    size: float


def cells(config: Config) -> list[Cell]:
    """One cell for each kind and size of bias, and one for a generator that has none."""
    least = {"dim": 2, "n_augmented": 1, "n_replicates": 1}
    _config.require_counts(config, **least)
    _config.require_numbers(config, "distance", "size")
    _config.require_numbers(config, "stretch", least=1.0)
    few = tuple(config.counts)
    if few[0] <= few[1]:
        raise ValueError(
            "counts must have the larger class first, whose bias is the yardstick; got "
            f"{few[0]} and {few[1]}. Write --counts {max(few)} {min(few)}, not equal ones."
        )
    biases = [BiasSize(config, "none", 0.0)]
    biases += [BiasSize(config, kind, size) for kind in KINDS for size in config.size]
    for at in biases:
        generator(at)
    return [Cell(measure_bias, at, f"{at.kind} {at.size:g}") for at in biases]


def generator(at: BiasSize) -> tuple[GaussianMixture, Oracle]:
    """The two classes, and a generator that is wrong about them in one way."""
    from opal.settings import GaussianMixture
    from opal.synthesis import Bias, Oracle

    config = at.config
    axis = np.full(config.dim, 1 / np.sqrt(config.dim))
    variances = np.ones(config.dim)
    variances[:2] = config.stretch, 1 / config.stretch
    covariances = np.broadcast_to(np.diag(variances), (2, config.dim, config.dim))
    setting = GaussianMixture(np.outer([-0.5, 0.5], config.distance * axis), covariances)
    dials = {
        "none": {},
        "shifted": {"mean_shift": -at.size * axis},
        "shifted minority": {"mean_shift": [0 * axis, -at.size * axis]},
        "shrunk": {"covariance_scale": 1 - at.size},
        "rotated": {"rotation": at.size},
    }[at.kind]
    return setting, Oracle.biased(setting.law, Bias(**dials), name=at.kind)


def arms(at: BiasSize) -> tuple[GaussianMixture, dict[str, Design]]:
    """Weighting, and the ways to use the generator's rows at the weights that theory finds best.

    ``OPAL`` fills the minority up and augments; ``beside weighting`` augments where all real rows
    weigh as in weighting, which is one of its weights. Both stand with and without correction.
    """
    from opal.objective import Design, baselines
    from opal.theory.optimal import best_weights

    setting, maker = generator(at)
    filled = Design(at.config.counts, maker, n_augmented=at.config.n_augmented)
    beside = filled.with_(oversample="none", weighting="group")
    found = {"weighting": baselines(at.config.counts)["weighting"]}
    for arm, design in (("OPAL", filled), (BESIDE, beside)):
        for name, correction in ((arm, 0.0), (arm + CORRECTED, None)):
            best = best_weights(setting, design, correction=correction)
            weights = {"alpha": best.alpha, "correction": best.correction}
            found[name] = design.with_(name=name, **weights)
    return setting, found


def measure_bias(at: BiasSize) -> pd.DataFrame:
    """Every arm under one generator, simulated and predicted; and theory without its correction."""
    import pandas as pd

    from opal.theory.predict import predict

    from ._arms import measure

    setting, designs = arms(at)
    left_out = [
        predict(setting, design.with_(correction=0.0, name=f"{arm}{LEFT_OUT}"), study="correction")
        for arm, design in designs.items()
        if design.correction > 0
    ]
    found = pd.concat([measure(setting, designs, at.config, "correction"), *left_out])
    shares = {arm: design.correction for arm, design in designs.items()}
    found = found.assign(correction=found["arm"].map(shares).fillna(0.0))
    return found.assign(kind=at.kind, size=at.size).reset_index(drop=True)


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """Simulated and predicted excess risk by kind and size of bias and by arm."""
    from opal.plotting import agreement

    return agreement(records, EXCESS, ON)


def gains(records: pd.DataFrame) -> pd.DataFrame:
    """For each bias, the corrected arm of least predicted excess over the uncorrected one of least.

    Columns ``kind``, ``size``, both arms, and the ``ratio`` of their simulated excess with its
    ``std_error``, which leaves out that they share their real rows: it is too large.
    """
    import pandas as pd

    rows = []
    for (kind, size), table in comparison(records).groupby(["kind", "size"]):
        corrected = table["arm"].str.endswith(CORRECTED)
        one, other = (
            part.loc[part["predicted"].idxmin()] for part in (table[corrected], table[~corrected])
        )
        ratio = one["simulated"] / other["simulated"]
        relative = np.hypot(*(each["std_error"] / each["simulated"] for each in (one, other)))
        rows.append(
            {
                "kind": kind,
                "size": size,
                "corrected": one["arm"],
                "uncorrected": other["arm"],
                "predicted": one["predicted"] / other["predicted"],
                "ratio": ratio,
                "std_error": ratio * relative,
            }
        )
    return pd.DataFrame(rows)


def checks(records: pd.DataFrame) -> list[Check]:
    """Theory in all cells, weighting as the most that may be lost, the gain, and a control."""
    table = comparison(records)
    loss = records[records["metric"] == f"{EXCESS} minus weighting"]
    loss = loss[loss["arm"].str.startswith(BESIDE)]
    weighting = table.loc[table["arm"] == "weighting", "simulated"].mean()
    gained = gains(records)
    gained = gained[gained["predicted"] < MUCH]
    return [
        at_least(
            "theory holds",
            share(agrees(table["z"], table["predicted"] / table["simulated"], relative=0.02)),
            0.95,
            f"share of {len(table)} cells within 2 % or 3 standard errors",
        ),
        at_most(
            "never much worse than weighting",
            (loss["value"] - 0.02 * weighting) / loss["std_error"],
            z_threshold(len(loss)),
            "largest excess over 1.02 of weighting's, in paired standard errors, of the arms "
            "beside weighting",
        ),
        beyond_chance(
            "correction gains where theory says so",
            (1 - gained["ratio"]) / gained["std_error"],
            f"biases for which the predicted excess falls to less than {MUCH:g} of the best arm "
            "without",
        ),
        control(
            "a correction is not ignored",
            table[table["arm"].str.endswith(CORRECTED)],
            _left_out(records),
            ON,
            "corrected arms against the theory of the same weights uncorrected, which must fail",
        ),
    ]


def _left_out(records: pd.DataFrame) -> pd.DataFrame:
    """Predicted excess of corrected arms at λ = 0, under the names of the arms."""
    rows = records[(records["metric"] == EXCESS) & records["arm"].str.endswith(LEFT_OUT)]
    names = rows["arm"].str.removesuffix(LEFT_OUT)
    return rows.assign(arm=names).rename(columns={"value": "predicted"})[[*ON, "predicted"]]


if __name__ == "__main__":
    run_study("correction")
