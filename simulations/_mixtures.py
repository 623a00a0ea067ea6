"""Scenarios of real rows mixed with synthetic ones, simulated at many sizes and weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from opal.objective import Design
    from opal.settings import GaussianMixture
    from opal.settings.sequence import SobolevRegression
    from opal.synthesis import Oracle
    from opal.synthesis.function_oracle import FunctionOracle


@dataclass(frozen=True)
class Scenario:
    """A truth, a generator, and who the real rows are; n is the size of the largest group.

    Attributes:
        name: what it is called.
        kind: ``gaussian`` (logistic regression), ``sequence`` or ``rows`` (ridge regression of
            functions).
        bias: shift of the minority in standard deviations, or norm of the functions' error.
        small: size of the second group as a share of the first.
        weighted: whether the real groups are weighted; otherwise they are filled up.
        smoothness: s of the functions.
        noise: standard deviation of synthetic responses; it is ½ for real ones.
        holds: whether the mixture law's assumptions hold.
    """

    name: str
    kind: str
    bias: float = 0.0
    small: float = 1.0
    weighted: bool = False
    smoothness: int = 2
    noise: float = 0.5
    holds: bool = True


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
    """One scenario at sizes (n, N) and weights α.

    Attributes:
        scenario: what is simulated.
        sizes: pairs (n, N).
        alphas: weights, the same at each pair.
        n_replicates: of each design.
        n_frequencies: of functions.
        seed: shared by all designs.
    """

    scenario: Scenario
    sizes: tuple[tuple[int, int], ...]
    alphas: tuple[float, ...]
    n_replicates: int
    n_frequencies: int
    seed: int


def simulate(sweep: Sweep) -> pd.DataFrame:
    """Records of the simulated excess at every size and weight."""
    if sweep.scenario.kind == "gaussian":
        return _simulate_gaussian(sweep)
    return _simulate_functions(sweep)


def _simulate_gaussian(sweep: Sweep) -> pd.DataFrame:
    """Logistic regression in two Gaussian classes; all α of a pair of sizes share a compilation."""
    import pandas as pd

    from opal import records, risk
    from opal.simulate import replicate_metrics
    from simulations._curves import EXCESS

    setting, maker = _gaussian(sweep.scenario)
    n_replicates = sweep.n_replicates
    frames = []
    for design in _designs(sweep, maker):
        values = replicate_metrics(
            setting, design, key=sweep.seed, n_replicates=n_replicates, calibration=False
        )
        rows = {(EXCESS, "all"): risk.mean_and_std_error(values[EXCESS])}
        frames.append(records.of_design(setting, design, rows, study="", n_replicates=n_replicates))
    return pd.concat(frames, ignore_index=True)


def _gaussian(scenario: Scenario) -> tuple[GaussianMixture, Oracle]:
    """Two classes in five dimensions, and an oracle that moves the second towards the first."""
    import numpy as np

    from opal.settings import GaussianMixture
    from opal.synthesis import Bias, Oracle

    axis = np.full(5, 1 / np.sqrt(5))
    setting = GaussianMixture(np.outer([-1.0, 1.0], axis))
    shift = Bias(mean_shift=[0 * axis, -scenario.bias * axis])
    return setting, Oracle.biased(setting.law, shift)


def _simulate_functions(sweep: Sweep) -> pd.DataFrame:
    """Ridge regression of functions, in the sequence model or on random rows."""
    import numpy as np
    import pandas as pd

    from opal.theory.rates import Smoother, best_bandwidth
    from simulations._curves import curve

    truth, maker = _functions(sweep)
    smoother = Smoother("ridge", sweep.scenario.smoothness)
    designs = _designs(sweep, maker)
    best = [best_bandwidth(truth, maker.law, design, smoother) for design in designs]
    ridges = [smoother.ridge(optimum.bandwidth) for optimum in best]
    excess = _excess(sweep, truth, maker, designs, ridges)
    rows = curve(truth, designs, excess, np.array([optimum.excess for optimum in best]))
    frame = pd.DataFrame(rows)
    return frame[frame["source"] == "simulation"]


def _functions(sweep: Sweep) -> tuple[SobolevRegression, FunctionOracle]:
    """Functions of two groups that differ, and an oracle whose functions are off by a wave."""
    from dataclasses import replace

    from opal.settings.sequence import SobolevRegression
    from opal.synthesis.function_oracle import FunctionOracle

    truth = SobolevRegression.of_smoothness(
        float(sweep.scenario.smoothness),
        n_frequencies=sweep.n_frequencies,
        noise=0.5,
        spread=0.3,
        key=sweep.seed,
    )
    law = replace(truth.biased(sweep.scenario.bias), noise=sweep.scenario.noise)
    return truth, FunctionOracle(law, "biased oracle")


def _excess(
    sweep: Sweep,
    truth: SobolevRegression,
    maker: FunctionOracle,
    designs: list[Design],
    ridges: list[float],
) -> np.ndarray:
    """Excess of each replicate and design [R, S]."""
    import numpy as np

    from opal.regression import kernel_ridge_excess, sequence_excess

    order, key, n_replicates = sweep.scenario.smoothness, sweep.seed, sweep.n_replicates
    if sweep.scenario.kind == "sequence":
        return sequence_excess(
            truth, maker.law, designs, ridges, order=order, key=key, n_replicates=n_replicates
        )
    columns = [
        kernel_ridge_excess(
            truth, maker.law, design, order=order, ridge=ridge, key=key, n_replicates=n_replicates
        )
        for design, ridge in zip(designs, ridges, strict=True)
    ]
    return np.stack(columns, axis=1)


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
