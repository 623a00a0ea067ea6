"""Excess risk of bias-corrected training against the size of the generator's bias, by its kind.

Two Gaussian classes; the generator is wrong in both of them, or in the minority alone. In one kind
there is no generator, but a model that labels further real rows, and errs. Weights are those that
theory finds best, and every arm of a cell shares its labelled rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from opal.checks import Check, agrees, at_least, at_most, control, refuted, share, z_threshold
from opal.cli import run_study
from opal.runner import Cell

from . import _config
from ._rows import EXCESS

if TYPE_CHECKING:
    import pandas as pd

    from opal.settings import GaussianMixture
    from opal.simulation import AnyDesign

BESIDE = "beside weighting"  # an arm that is weighting at α = 0, and how its corrected one begins
POWERED = "prediction-powered"
CORRECTED = ", corrected"  # end of an arm that has a correction
LEFT_OUT = ", left out"  # end of an arm whose theory leaves its correction out
ON = ("kind", "size", "arm")
LABELS = "label errors"
KINDS = ("shifted", "shifted minority", "shrunk", "rotated", LABELS)


@dataclass(frozen=True)
class Config:
    """Two classes at a distance, of one covariance that is longer in one direction."""

    dim: int = 4
    """Dimension d."""
    distance: float = 2.0
    """Distance between the class means, in standard deviations of most directions."""
    stretch: float = 2.0
    """Variance of the first coordinate, and one over that of the second."""
    counts: tuple[int, int] = (4000, 400)
    """Real rows of each class, the larger one first; for a quarter of them theory, which is of
    order 1/n, falls short."""
    n_augmented: int = 4000
    """N, augmented rows of each class."""
    unlabelled: int = 10
    """Rows without a label for each labelled one, which a model labels."""
    size: tuple[float, ...] = (0.025, 0.05, 0.1, 0.2, 0.3)
    """Bias: a shift in standard deviations, a share of the variance that is lost, radians, or
    ten times the share of wrong labels."""
    n_replicates: int = 4000
    """Replicates of each arm."""
    seed: int = 17
    """Seed, shared by all arms and cells."""


PRESETS = {
    "tiny": Config(counts=(60, 20), n_augmented=60, size=(0.2,), n_replicates=20),
    "quick": Config(size=(0.05, 0.1, 0.2), n_replicates=400),
    "full": Config(),
}


@dataclass(frozen=True)
class BiasSize:
    """One generator."""

    config: Config
    kind: str
    size: float


def cells(config: Config) -> list[Cell]:
    """One cell for each kind and size of bias, and one for a generator that has none."""
    _config.require_counts(config, dim=2, n_augmented=1, unlabelled=1, n_replicates=1)
    _config.require_numbers(config, "distance", "size")
    _config.require_numbers(config, "stretch", least=1.0)
    many, few = config.counts
    if many <= few:
        raise ValueError(
            "counts must have the larger class first, whose bias is the yardstick; got "
            f"{many} and {few}. Write --counts {few} {many}, not equal ones."
        )
    biases = [BiasSize(config, "none", 0.0)]
    biases += [
        BiasSize(config, kind, size / 10 if kind == LABELS else size)
        for kind in KINDS
        for size in config.size
    ]
    for at in biases:
        arms_of(at)
    return [Cell(measure_bias, at, f"{at.kind} {at.size:g}") for at in biases]


def classes(config: Config) -> tuple[GaussianMixture, np.ndarray]:
    """The two classes, and the direction between their means [d]."""
    from ._arms import two_classes

    variances = np.ones(config.dim)
    variances[:2] = config.stretch, 1 / config.stretch
    return two_classes(config.dim, config.distance, variances)


def arms_of(at: BiasSize) -> tuple[GaussianMixture, dict[str, AnyDesign]]:
    """Weighting, and the ways to use what a model adds, at weights that are yet to be found.

    ``OPAL`` fills the minority up and augments; ``beside weighting`` augments where all real rows
    weigh as in weighting, which is one of its weights. Both stand with and without correction.

    Raises:
        ValueError: a bias is out of range.
    """
    from opal.objective import Design, PredictionPowered, baselines
    from opal.synthesis import Bias, Oracle

    config = at.config
    setting, axis = classes(config)
    found: dict[str, AnyDesign] = {"weighting": baselines(config.counts)["weighting"]}
    if at.kind == LABELS:
        confusion = ((1 - at.size, at.size), (at.size, 1 - at.size))
        others = tuple(config.unlabelled * n for n in config.counts)
        return setting, {**found, POWERED: PredictionPowered(config.counts, others, confusion)}
    turned: dict[str, dict[str, Any]] = {
        "none": {},
        "shifted": {"mean_shift": -at.size * axis},
        "shifted minority": {"mean_shift": [0 * axis, -at.size * axis]},
        "shrunk": {"covariance_scale": 1 - at.size},
        "rotated": {"rotation": at.size},
    }
    maker = Oracle.biased(setting.law, Bias(**turned[at.kind]), name=at.kind)
    filled = Design(config.counts, maker, n_augmented=config.n_augmented)
    beside = filled.with_(oversample="none", weighting="group")
    for arm, design in (("OPAL", filled), (BESIDE, beside)):
        found |= {arm: design.with_(name=arm), arm + CORRECTED: design.with_(name=arm + CORRECTED)}
    return setting, found


def best(setting: GaussianMixture, arm: str, design: AnyDesign) -> AnyDesign:
    """A design at the weights at which theory finds the least excess."""
    from opal.objective import PredictionPowered
    from opal.theory.optimal import best_weights
    from opal.theory.prediction_powered import power_curve

    if isinstance(design, PredictionPowered):
        return design.with_(power=power_curve(setting, design).best_power)
    if design.synthesizer is None:
        return design
    found = best_weights(setting, design, correction=None if arm.endswith(CORRECTED) else 0.0)
    return design.with_(alpha=found.alpha, correction=found.correction)


def measure_bias(at: BiasSize) -> pd.DataFrame:
    """Every arm at one bias, simulated and predicted; and theory without what sets it apart."""
    import pandas as pd

    from opal.theory.predict import predict

    from ._arms import measure

    setting, found = arms_of(at)
    designs = {arm: best(setting, arm, design) for arm, design in found.items()}
    tuned = {arm: "power" if arm == POWERED else "correction" for arm in designs}
    lambdas = {arm: getattr(design, tuned[arm]) for arm, design in designs.items()}
    left_out = [
        predict(setting, designs[arm].with_(**{tuned[arm]: 0.0}, name=arm + LEFT_OUT))
        for arm, value in lambdas.items()
        if value > 0
    ]
    frame = pd.concat(
        [measure(setting, designs, at.config, "correction"), *left_out], ignore_index=True
    )
    correction = frame["arm"].map(lambdas).fillna(0.0)
    return frame.assign(study="correction", correction=correction, kind=at.kind, size=at.size)


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """Simulated and predicted excess risk by kind and size of bias and by arm."""
    from opal.plotting import agreement

    return agreement(records, EXCESS, ON)


def gains(records: pd.DataFrame) -> pd.DataFrame:
    """For each bias, the corrected arm of least predicted excess over the uncorrected one of least.

    Columns ``kind``, ``size``, both arms (``corrected``, ``uncorrected``), the ``predicted`` ratio
    of their excess, and the simulated ``ratio`` with its ``std_error``, which leaves out that they
    share their real rows: it is too large.
    """
    import pandas as pd

    rows = []
    for (kind, size), table in comparison(records).groupby(["kind", "size"]):
        corrected = _corrected(table["arm"])
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
    distinct = table.drop_duplicates(["simulated", "predicted"])  # weighting is one at every bias
    loss = records[records["metric"] == f"{EXCESS} minus weighting"]
    loss = loss[loss["arm"].str.startswith((BESIDE, POWERED))]
    weighting = table.loc[table["arm"] == "weighting", "simulated"].mean()
    gained = gains(records)
    return [
        at_least(
            "theory holds",
            share(
                agrees(distinct["z"], distinct["predicted"] / distinct["simulated"], relative=0.02)
            ),
            0.95,
            f"share of {len(distinct)} cells within 2 % or 3 standard errors",
        ),
        at_most(
            "never much worse than weighting",
            (loss["value"] - 0.02 * weighting) / loss["std_error"],
            z_threshold(len(loss)),
            "largest excess over 1.02 of weighting's, in paired standard errors, of the arms of "
            "which weighting is one weight",
        ),
        refuted(
            "correction gains where theory says so",
            ((gained["ratio"] - 1) / gained["std_error"]).clip(upper=0.0),  # a loss refuses nothing
            (gained["predicted"] - 1) / gained["std_error"],
            "biases, each against no gain over the best arm without",
        ),
        control(
            "a correction is not ignored",
            table[_corrected(table["arm"])],
            _left_out(records),
            ON,
            "corrected arms against the theory of the same weights uncorrected, which must fail",
        ),
    ]


def _corrected(arms: pd.Series) -> pd.Series:
    """Which arms remove a bias."""
    return arms.str.endswith(CORRECTED) | (arms == POWERED)


def _left_out(records: pd.DataFrame) -> pd.DataFrame:
    """Predicted excess of corrected arms at λ = 0, under the names of the arms."""
    rows = records[(records["metric"] == EXCESS) & records["arm"].str.endswith(LEFT_OUT)]
    names = rows["arm"].str.removesuffix(LEFT_OUT)
    return rows.assign(arm=names).rename(columns={"value": "predicted"})[[*ON, "predicted"]]


if __name__ == "__main__":
    run_study("correction")
