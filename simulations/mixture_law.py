"""The mixture law, fitted to the two pure curves alone, against mixtures that it has not seen.

Pure curves are the excess at α = 0 against n and at α = 1 against N. Besides scenarios within the
law's assumptions there are some outside, where it must fail (docs/theory.md, section 10.5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from opal.checks import Check, at_least, at_most
from opal.cli import run_study
from opal.runner import Cell

from . import _config
from ._rows import EXCESS

if TYPE_CHECKING:
    import pandas as pd

    from opal.objective import Design
    from opal.synthesis import Oracle
    from opal.synthesis.function_oracle import FunctionOracle

LAW = "mixture_law"


@dataclass(frozen=True)
class Scenario:
    """A truth, a generator, and who the real rows are; n is the size of the largest group."""

    name: str
    kind: str  # gaussian (logistic regression); sequence or rows (ridge regression of functions)
    bias: float = 0.0  # shift of the minority in standard deviations, or norm of functions' error
    small: float = 1.0  # size of the second group as a share of the first
    weighted: bool = False  # real groups are weighted; otherwise they are filled up
    smoothness: int = 2  # s of the functions
    noise: float = 0.5  # standard deviation of synthetic responses; it is ½ for real ones
    holds: bool = True  # the mixture law's assumptions hold


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("Gaussian, no bias", "gaussian"),
        Scenario("Gaussian, shift 0.1", "gaussian", bias=0.1),
        Scenario("Gaussian, weighted 2:1, shift 0.1", "gaussian", 0.1, small=0.5, weighted=True),
        Scenario("sequence s = 1, bias 0.1", "sequence", bias=0.1, smoothness=1),
        Scenario("sequence s = 2, bias 0.1", "sequence", bias=0.1),
        Scenario("sequence s = 2, noisier rows", "sequence", bias=0.05, noise=1.5),
        Scenario("random rows s = 2, bias 0.1", "rows", bias=0.1),
        Scenario("Gaussian, shift 0.6", "gaussian", bias=0.6, holds=False),
        Scenario("Gaussian, filled 4:1, shift 0.6", "gaussian", 0.6, small=0.25, holds=False),
        Scenario("sequence, filled 4:1, bias 0.1", "sequence", 0.1, small=0.25, holds=False),
    )
}


@dataclass(frozen=True)
class Sweep:
    """One scenario at pairs of sizes (n, N) and the same weights α of each."""

    scenario: Scenario
    sizes: tuple[tuple[int, int], ...]
    alphas: tuple[float, ...]
    n_replicates: int
    n_frequencies: int
    seed: int


@dataclass(frozen=True)
class Config:
    """Which scenarios, at which sizes."""

    scenarios: tuple[str, ...] = tuple(SCENARIOS)
    """Names of scenarios, one cell each."""
    sizes: tuple[int, ...] = (100, 200, 400, 800, 1600)
    """Sizes n and N of Gaussian rows, each n with an N from the other end of the list."""
    sequence_sizes: tuple[int, ...] = (100, 316, 1000, 3162, 10000)
    """Sizes n and N in the sequence model, each n with each N."""
    row_sizes: tuple[int, ...] = (64, 128, 256, 512, 1024)
    """Sizes n and N of random rows, paired like Gaussian rows."""
    alphas: tuple[float, ...] = (0.2, 0.5, 0.8)
    """Weights of the mixtures."""
    shifted_pairs: bool = True
    """Whether each n also meets an N half way round the list."""
    n_replicates: int = 1500
    """Replicates of each Gaussian design."""
    sequence_replicates: int = 1000
    """Replicates of each design in the sequence model."""
    row_replicates: int = 400
    """Replicates of each design with random rows."""
    n_frequencies: int = 512
    """Frequencies of the functions in the sequence model."""
    row_frequencies: int = 32
    """Frequencies of the functions with random rows."""
    seed: int = 13
    """Seed, shared by all designs."""


PRESETS = {
    "tiny": Config(
        scenarios=("Gaussian, shift 0.1", "sequence s = 2, bias 0.1"),
        sizes=(20, 40, 80),
        sequence_sizes=(100, 1000, 10000),
        alphas=(0.5,),
        shifted_pairs=False,
        n_replicates=20,
        sequence_replicates=20,
        n_frequencies=64,
    ),
    "quick": Config(
        scenarios=tuple(
            name
            for name, scenario in SCENARIOS.items()
            if scenario.kind != "rows" and "filled 4:1, shift" not in name
        ),
        shifted_pairs=False,
        n_replicates=400,
        sequence_replicates=400,
    ),
    "full": Config(),
}


def cells(config: Config) -> list[Cell]:
    """One cell for each scenario."""
    _check(config)
    return [Cell(measure, sweep_of(config, SCENARIOS[name]), name) for name in config.scenarios]


def _check(config: Config) -> None:
    from opal.settings.groups import validate_number

    unknown = [name for name in config.scenarios if name not in SCENARIOS]
    if unknown:
        raise ValueError(f"scenarios must be among {list(SCENARIOS)}; got {unknown}.")
    for name in ("sizes", "sequence_sizes", "row_sizes"):
        _config.require_counts(config, **{name: 4})
        if len(set(getattr(config, name))) < 3:
            raise ValueError(
                f"{name} needs at least three sizes, for the law has five parameters on two "
                f"curves; got {getattr(config, name)}."
            )
    _config.require_counts(config, n_replicates=2, sequence_replicates=2, row_replicates=2)
    _config.require_counts(config, n_frequencies=1, row_frequencies=1)
    for alpha in config.alphas:
        validate_number(alpha, "alphas are weights in [0.02, 0.98]", least=0.02, most=0.98)


def sweep_of(config: Config, scenario: Scenario) -> Sweep:
    """The sizes, weights and replicates of one scenario."""
    along, n_replicates, n_frequencies = {
        "gaussian": (config.sizes, config.n_replicates, config.n_frequencies),
        "sequence": (config.sequence_sizes, config.sequence_replicates, config.n_frequencies),
        "rows": (config.row_sizes, config.row_replicates, config.row_frequencies),
    }[scenario.kind]
    every = tuple(product(along, along))
    sizes = every if scenario.kind == "sequence" else pairs(along, shifted=config.shifted_pairs)
    alphas = (0.0, *config.alphas, 1.0)
    return Sweep(scenario, sizes, alphas, n_replicates, n_frequencies, config.seed)


def measure(sweep: Sweep) -> pd.DataFrame:
    """Simulated pure curves and mixtures of one scenario, and the law fitted to the former."""
    import pandas as pd

    from opal import records

    scenario = sweep.scenario
    simulate = _simulate_gaussian if scenario.kind == "gaussian" else _simulate_functions
    simulated = simulate(sweep)
    frame = pd.concat([simulated, predict_from_pure(simulated)], ignore_index=True)
    return records.validate(frame.assign(study=LAW, scenario=scenario.name, holds=scenario.holds))


def _simulate_gaussian(sweep: Sweep) -> pd.DataFrame:
    """Logistic regression in two classes in five dimensions; the oracle moves the second class.

    All α of a pair of sizes share a compilation.
    """
    import pandas as pd

    from opal import records, risk
    from opal.simulation import replicate_metrics

    from ._arms import shifted_second, two_classes

    setting, axis = two_classes(5, 2.0)
    maker = shifted_second(setting, axis, sweep.scenario.bias)
    n_replicates = sweep.n_replicates
    frames = []
    for design in _designs(sweep, maker):
        values = replicate_metrics(
            setting, design, key=sweep.seed, n_replicates=n_replicates, calibration=False
        )
        rows = {(EXCESS, "all"): risk.mean_and_std_error(values[EXCESS])}
        frames.append(records.of_design(setting, design, rows, study="", n_replicates=n_replicates))
    return pd.concat(frames, ignore_index=True)


def _simulate_functions(sweep: Sweep) -> pd.DataFrame:
    """Ridge regression of two groups' functions; the generator's are off by a wave."""
    import pandas as pd

    from opal.settings.sequence import SobolevRegression
    from opal.synthesis.function_oracle import FunctionOracle

    from ._curves import curve, trained

    scenario = sweep.scenario
    truth = SobolevRegression.of_smoothness(
        float(scenario.smoothness),
        n_frequencies=sweep.n_frequencies,
        noise=0.5,
        spread=0.3,
        key=sweep.seed,
    )
    law = replace(truth.biased(scenario.bias), noise=scenario.noise)
    designs = _designs(sweep, FunctionOracle(law, "biased oracle"))
    excess, _, predicted = trained(
        *(truth, law, designs),
        order=scenario.smoothness,
        key=sweep.seed,
        n_replicates=sweep.n_replicates,
        random_rows=scenario.kind == "rows",
    )
    frame = pd.concat(curve(truth, designs, excess, predicted), ignore_index=True)
    return frame[frame["source"] == "simulation"]


def _designs(sweep: Sweep, maker: Oracle | FunctionOracle) -> list[Design]:
    """N synthetic rows of weight α beside real groups of n and fewer rows."""
    from opal.objective import Design

    scenario = sweep.scenario
    return [
        Design(
            (n, round(scenario.small * n)),
            maker,
            n_augmented=size,
            alpha=alpha,
            weighting="group" if scenario.weighted else "opal",
            oversample="none" if scenario.weighted else "balance",
        )
        for n, size in sweep.sizes
        for alpha in sweep.alphas
    ]


def pairs(sizes: tuple[int, ...], *, shifted: bool) -> tuple[tuple[int, int], ...]:
    """Sizes (n, N) that meet: each n an N from the other end and, if wanted, one half way round."""
    half = len(sizes) // 2
    crossed = list(zip(sizes, sizes[::-1], strict=True))
    around = list(zip(sizes, sizes[half:] + sizes[:half], strict=True))
    return tuple(dict.fromkeys(crossed + around * shifted))


def predict_from_pure(simulated: pd.DataFrame) -> pd.DataFrame:
    """The law's values for every pair of sizes and α, fitted to the rows with α = 0 and α = 1."""
    import pandas as pd

    from opal.scaling.fit import fit

    columns = {"n": "n_max", "N": "n_augmented", "alpha": "alpha"}
    at_ends = simulated[simulated["alpha"].isin((0.0, 1.0))]
    # A pure curve does not depend on the size that has no weight: one row for each size that has.
    size = np.where(at_ends["alpha"] == 0, at_ends["n_max"], at_ends["n_augmented"])
    pure = at_ends.assign(size=size).drop_duplicates(["alpha", "size"])
    fitted = fit("mixture", pure, x=columns, y="value", std_error="std_error")
    each = simulated.drop_duplicates(["n_max", "n_augmented"])
    grid = np.union1d(np.linspace(0, 1, 21), simulated["alpha"])
    wide = pd.concat([each.assign(alpha=float(alpha)) for alpha in grid], ignore_index=True)
    points = {name: wide[column].to_numpy(float) for name, column in columns.items()}
    wide = wide.assign(value=fitted.predict(points), metric=LAW)
    params = pd.concat([each[:1]] * len(fitted.params), ignore_index=True).assign(
        value=[estimate.estimate for estimate in fitted.params.values()],
        metric=[f"law_{name}" for name in fitted.params],
    )
    return pd.concat([wide, params]).assign(source="theory", std_error=np.nan, n_replicates=0)


def held_out(records: pd.DataFrame) -> pd.DataFrame:
    """Every mixture: simulated, predicted by the law, and by mixing the pure risks."""
    on = ["scenario", "holds", "n_max", "n_augmented"]
    rounded = records.assign(alpha=records["alpha"].round(9))
    law = rounded[rounded["metric"] == LAW]
    simulated = rounded[(rounded["metric"] == EXCESS) & rounded["alpha"].between(0.01, 0.99)]
    joined = simulated[[*on, "alpha", "value", "std_error"]].merge(
        law[[*on, "alpha", "value"]], on=[*on, "alpha"], suffixes=("", "_law")
    )
    for alpha, name in ((0.0, "real"), (1.0, "synthetic")):
        pure = law.loc[law["alpha"] == alpha, [*on, "value"]]
        joined = joined.merge(pure.rename(columns={"value": name}), on=on)
    blend = (1 - joined["alpha"]) * joined["real"] + joined["alpha"] * joined["synthetic"]
    return joined.assign(
        error=joined["value_law"] / joined["value"] - 1, blend_error=blend / joined["value"] - 1
    )


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each scenario: relative errors of held-out mixtures, and the law's parameters."""
    import pandas as pd

    rows = []
    for (scenario, holds), points in held_out(records).groupby(["scenario", "holds"], sort=False):
        chosen = records[records["scenario"] == scenario].set_index("metric")["value"]
        rows.append(
            {
                "scenario": scenario,
                "holds": holds,
                "n_points": len(points),
                "median_error": points["error"].abs().median(),
                "largest_error": points["error"].abs().max(),
                "blend_error": points["blend_error"].abs().median(),
                "noise": (points["std_error"] / points["value"]).median(),
                **{name: chosen[f"law_{name}"] for name in ("R_s", "A_s", "A_r", "beta")},
            }
        )
    return pd.DataFrame(rows)


def checks(records: pd.DataFrame) -> list[Check]:
    """Held-out mixtures within 5 % where the law's assumptions hold, and not where they do not."""
    table = comparison(records)
    within, outside = table[table["holds"]], table[~table["holds"]]
    hold = [
        at_most(
            f"mixtures: {row.scenario}",
            row.median_error,
            0.05,
            f"median relative error of {row.n_points} held-out mixtures; largest "
            f"{row.largest_error:.3f}, standard error of the simulation {row.noise:.3f}",
        )
        for row in within.itertuples()
    ]
    detail = "least median error over the same scenarios of α R(N) + (1 − α) R(n)"
    blended = at_least("mixing risks in proportion fails", within["blend_error"], 0.05, detail)
    fail = [
        at_least(
            f"fails: {row.scenario}",
            row.median_error,
            0.05,
            f"median relative error of {row.n_points} mixtures outside the law's assumptions",
        )
        for row in outside.itertuples()
    ]
    return [*hold, blended, *fail]


if __name__ == "__main__":
    run_study("mixture_law")
