"""Excess risk against N for functions of known smoothness: slopes 2s/(2s + 1) and floors.

Training is on synthetic rows alone (α = 1). The estimator is ridge regression with the bandwidth
that theory says is best at each N, in the Gaussian sequence model over decades of N and on random
rows for moderate N. All N of a curve share their draws; slopes and floors have standard errors that
know it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opal.checks import Check, at_most, beyond_chance, control, within_standard_errors, z_threshold
from opal.cli import run_study
from opal.runner import Cell

from . import _config
from ._rows import EXCESS, z_of

if TYPE_CHECKING:
    import pandas as pd

    from opal.objective import Design
    from opal.settings.sequence import SobolevRegression

SEQUENCE, KERNEL = "sequence model", "random rows"


@dataclass(frozen=True)
class Config:
    """Two groups of equal smoothness; the generator's functions are off by a wave."""

    smoothness: tuple[int, ...] = (1, 2, 3)
    """Smoothness s, also the order of the penalty; one cell of either kind each."""
    bias: tuple[float, ...] = (0.0, 0.01, 0.03)
    """Norms of the generator's error in the sequence model; 0 is one of them."""
    n_augmented: tuple[int, int] = (1000, 1_000_000)
    """Least and largest N in the sequence model."""
    n_sizes: int = 13
    """Values of N in the sequence model."""
    n_frequencies: int = 4096
    """Frequencies of the functions in the sequence model."""
    n_replicates: int = 2000
    """Replicates in the sequence model."""
    kernel_bias: tuple[float, ...] = (0.0, 0.1)
    """Norms of the generator's error on random rows."""
    kernel_augmented: tuple[int, ...] = (64, 256, 1024)
    """Values of N on random rows."""
    kernel_frequencies: int = 64
    """Frequencies of the functions on random rows."""
    noise: float = 0.5
    """Standard deviation of a response."""
    kernel_spread: float = 0.2
    """How far the functions of the two groups are apart on random rows, in units of their size."""
    kernel_replicates: int = 300
    """Replicates on random rows."""
    seed: int = 11
    """Seed of signs and replicates."""


PRESETS = {
    "tiny": Config(
        bias=(0.0, 0.03),
        n_sizes=5,
        n_frequencies=512,
        n_replicates=60,
        kernel_augmented=(32, 64),
        kernel_frequencies=16,
        kernel_replicates=20,
    ),
    "quick": Config(n_replicates=1000, kernel_replicates=60),
    "full": Config(n_replicates=4000, n_sizes=25),
}


@dataclass(frozen=True)
class Smoothness:
    """One smoothness."""

    config: Config
    s: int


def cells(config: Config) -> list[Cell]:
    """One cell of either kind for each smoothness."""
    _check(config)
    at = [Smoothness(config, s) for s in config.smoothness]
    return [
        *(Cell(measure_sequence, point, f"{SEQUENCE}, s = {point.s}") for point in at),
        *(Cell(measure_kernel, point, f"{KERNEL}, s = {point.s}") for point in at),
    ]


def _check(config: Config) -> None:
    _config.require_counts(config, smoothness=1, n_frequencies=1, kernel_frequencies=1)
    _config.require_counts(config, kernel_augmented=1, n_replicates=2, kernel_replicates=2)
    _config.require_counts(config, n_sizes=4)  # a floor has three parameters
    _config.require_range("n_augmented", config.n_augmented)
    _config.require_numbers(config, "bias", "kernel_bias", "kernel_spread")
    _config.require_numbers(config, "noise", least=1e-6)
    if 0.0 not in config.bias or len(set(config.bias)) < 2:
        raise ValueError(
            f"bias needs 0, for the slope, and at least one other, for a floor; got {config.bias}."
        )


def measure_sequence(at: Smoothness) -> pd.DataFrame:
    """Curves in N of every bias in the sequence model, with their slopes and floors."""
    import pandas as pd

    from opal.settings.sequence import SobolevRegression

    from ._curves import curve, summary, trained

    config = at.config
    truth = SobolevRegression.of_smoothness(
        float(at.s), n_frequencies=config.n_frequencies, noise=config.noise, key=config.seed
    )
    sizes = np.geomspace(*config.n_augmented, config.n_sizes).round().astype(int)
    options = {"order": at.s, "key": config.seed, "n_replicates": config.n_replicates}
    frames = []
    for bias in config.bias:
        maker = truth.biased(bias)
        designs = [synthetic_only(maker, int(size)) for size in sizes]
        excess, _, exact = trained(truth, maker, designs, random_rows=False, **options)
        rows = curve(truth, designs, excess, exact, "scaling")
        found = _summaries(at.s, sizes, excess, exact, bias)
        rows += [summary(truth, designs[-1], *row, study="scaling") for row in found]
        frames.append(pd.concat(rows).assign(bias=bias))
    return pd.concat(frames, ignore_index=True).assign(smoothness=at.s, face=SEQUENCE)


def measure_kernel(at: Smoothness) -> pd.DataFrame:
    """Kernel ridge regression on random rows, and what both theories say of it."""
    import pandas as pd

    from opal.settings.sequence import SobolevRegression
    from opal.theory.random_design import random_design_excess

    from ._curves import curve, summary, trained

    config = at.config
    truth = SobolevRegression.of_smoothness(
        float(at.s),
        n_frequencies=config.kernel_frequencies,
        spread=config.kernel_spread,
        noise=config.noise,
        key=config.seed,
    )
    options = {"order": at.s, "key": config.seed, "n_replicates": config.kernel_replicates}
    frames = []
    for bias in config.kernel_bias:
        maker = truth.biased(bias)
        designs = [synthetic_only(maker, size) for size in config.kernel_augmented]
        excess, ridges, even = trained(truth, maker, designs, random_rows=True, **options)
        exact = [
            random_design_excess(truth, maker, design, order=at.s, ridge=ridge).total
            for design, ridge in zip(designs, ridges, strict=True)
        ]
        rows = curve(truth, designs, excess, np.array(exact), "scaling")
        rows += [
            summary(truth, design, "theory", "excess_sequence", value, study="scaling")
            for design, value in zip(designs, even, strict=True)
        ]
        frames.append(pd.concat(rows).assign(bias=bias))
    return pd.concat(frames, ignore_index=True).assign(smoothness=at.s, face=KERNEL)


def synthetic_only(maker: SobolevRegression, size: int) -> Design:
    """All weight on ``size`` synthetic rows of each group."""
    from opal.objective import Design
    from opal.synthesis.function_oracle import FunctionOracle

    counts = (1,) * len(maker.coefficients)
    return Design(counts, FunctionOracle(maker), n_augmented=size, alpha=1.0)


def _summaries(
    s: int, sizes: np.ndarray, excess: np.ndarray, exact: np.ndarray, bias: float
) -> list[tuple[str, str, float, float]]:
    """Slope of the curve without bias, floor of a biased one.

    As measured, as predicted, and of theory's own curve over the same N, which tells whether the
    sizes are large enough.
    """
    from opal.theory.rates import exponent

    from ._curves import floor, slope

    name, measure, limit = (
        ("floor", floor, bias**2) if bias else ("slope", slope, exponent(float(s)))
    )
    value, error = measure(sizes, excess)
    return [
        ("simulation", name, value, error),
        ("theory", name, limit, float("nan")),
        ("theory", f"{name}_of_curve", measure(sizes, exact[None, :])[0], float("nan")),
    ]


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each slope and floor: the 95 % interval, the prediction, theory's own curve."""
    import pandas as pd

    rows = []
    for (s, bias), points in records[records["face"] == SEQUENCE].groupby(["smoothness", "bias"]):
        name = "floor" if bias else "slope"
        chosen = points[points["metric"] == name].set_index("source")
        value, error = chosen.loc["simulation", ["value", "std_error"]]
        predicted = chosen.loc["theory", "value"]
        rows.append(
            {
                "metric": name,
                "smoothness": s,
                "bias": bias,
                "value": value,
                "low": value - 1.96 * error,
                "high": value + 1.96 * error,
                "predicted": predicted,
                "of_curve": points.loc[points["metric"] == f"{name}_of_curve", "value"].iloc[0],
                "std_error": error,
                "z": (value - predicted) / error,
            }
        )
    return pd.DataFrame(rows)


def checks(records: pd.DataFrame) -> list[Check]:
    """Slopes with narrow intervals, floors, both theories, and three that must fail."""
    from opal.theory.rates import exponent

    table = comparison(records)
    slopes, floors = table[table["metric"] == "slope"], table[table["metric"] == "floor"]
    half = z_threshold(len(slopes), level=0.05)
    smooth = slopes["smoothness"]
    others = (smooth / (smooth + 1), (smooth + 1.0).map(exponent))  # 2s/(2s + 2), that of s + 1
    wrong = [z for other in others for z in (slopes["value"] - other).abs() / slopes["std_error"]]
    return [
        within_standard_errors("slopes are 2s/(2s + 1)", slopes["z"], level=0.05),
        at_most(
            "slopes are sharp",
            2 * half * slopes["std_error"],
            0.05,
            f"widest of {len(slopes)} intervals that hold together in 95 %",
        ),
        beyond_chance(
            "wrong exponents are rejected",
            wrong,
            "least |z| of slopes against 2s/(2s + 2) and against smoothness s + 1",
        ),
        at_most(
            "floors are the squared bias",
            floors["z"].abs(),
            3.0,
            f"largest |z| of {len(floors)} fitted floors",
        ),
        beyond_chance(
            "floors are not zero", z_of(floors), "least z of a floor against none, which must fail"
        ),
        *_agreement(records),
    ]


def _agreement(records: pd.DataFrame) -> list[Check]:
    """Every point against its theory, and random rows against the sequence model."""
    from opal.plotting import agreement

    on = ("face", "smoothness", "bias", "n_augmented")
    table = agreement(records, EXCESS, on)
    even = records[records["metric"] == "excess_sequence"].rename(columns={"value": "predicted"})
    return [
        *(
            within_standard_errors(f"theory along the curves, {face}", rows["z"])
            for face, rows in table.groupby("face")
        ),
        control(
            "random rows are not an even grid",
            table[table["face"] == KERNEL],
            even,
            on[1:],
            "random rows against the sequence model, which must fail",
        ),
    ]


if __name__ == "__main__":
    run_study("scaling")
