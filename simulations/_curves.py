"""Curves of excess risk: their records, their slopes and floors, and a law of three sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from opal import records
from opal.objective import Design
from opal.regression import kernel_ridge_excess, sequence_excess
from opal.risk import mean_and_std_error
from opal.scaling.scaling_law import Columns, ScalingLaw, in_order
from opal.settings.sequence import SobolevRegression
from opal.theory.rates import Smoother, best_bandwidth

from ._rows import EXCESS


class RidgeFits(NamedTuple):
    """Ridge regression at the bandwidth that theory says is best for each design."""

    excess: np.ndarray  # of each replicate and design [R, S]
    ridges: list[float]  # that make the bandwidths [S]
    predicted: np.ndarray  # least excess in the sequence model [S]


def trained(
    truth: SobolevRegression,
    maker: SobolevRegression,
    designs: Sequence[Design],
    *,
    order: int,
    key: int,
    n_replicates: int,
    random_rows: bool,
) -> RidgeFits:
    """Regression of the truth's functions with a penalty of an order, on rows of a maker too.

    In the Gaussian sequence model, or on random rows; all designs share their draws.
    """
    smoother = Smoother("ridge", order)
    best = [best_bandwidth(truth, maker, design, smoother) for design in designs]
    ridges = [smoother.ridge(optimum.bandwidth) for optimum in best]
    options = {"order": order, "key": key, "n_replicates": n_replicates}
    if random_rows:
        columns = [
            kernel_ridge_excess(truth, maker, design, ridge=ridge, **options)
            for design, ridge in zip(designs, ridges, strict=True)
        ]
        excess = np.stack(columns, axis=1)
    else:
        excess = sequence_excess(truth, maker, designs, ridges, **options)
    return RidgeFits(excess, ridges, np.array([optimum.excess for optimum in best]))


def curve(
    truth: SobolevRegression,
    designs: Sequence[Design],
    excess: np.ndarray,
    exact: np.ndarray,
    study: str = "",
) -> list[pd.DataFrame]:
    """Records of simulated means [R, S] and predicted values [S] of the designs."""
    rows = []
    for design, mean, error, value in zip(designs, *mean_and_std_error(excess), exact, strict=True):
        simulated = {(EXCESS, "all"): (mean, error)}
        rows.append(
            records.of_design(truth, design, simulated, study=study, n_replicates=len(excess))
        )
        rows.append(summary(truth, design, "theory", EXCESS, value, study=study))
    return rows


def summary(
    truth: SobolevRegression,
    design: Design,
    source: str,
    metric: str,
    value: float,
    std_error: float = float("nan"),
    *,
    study: str,
) -> pd.DataFrame:
    """One record of a design."""
    found = {(metric, "all"): (value, std_error)}
    return records.of_design(truth, design, found, study=study, source=source)


def slope(sizes: np.ndarray, excess: np.ndarray) -> tuple[float, float]:
    """Minus the slope of log mean excess [R, S] against log N, and its standard error.

    The line is that of least squares. The standard error is that of the linearised slope of each
    replicate, so it knows that the points of a replicate are correlated.
    """
    logs = np.log(sizes) - np.log(sizes).mean()
    mean = excess.mean(axis=0)
    coefficients = -logs / np.sum(logs**2)
    return float(coefficients @ np.log(mean)), _std_error((excess / mean) @ coefficients)


def floor(sizes: np.ndarray, excess: np.ndarray) -> tuple[float, float]:
    """E of ``E + A N^(−a)`` fitted to the mean excess [R, S], and its standard error.

    All three parameters are fitted, with weights 1/mean²; the standard error is linearised as in
    :func:`slope`, which a fit of means to a law of :mod:`opal.scaling` cannot know.
    """
    mean = excess.mean(axis=0)
    logs = np.log(sizes / sizes[0])

    def residuals(parameters: np.ndarray) -> np.ndarray:
        level, log_amplitude, power = parameters
        return (level + np.exp(log_amplitude - power * logs)) / mean - 1

    start = (mean[-1] / 2, np.log(mean[0]), 0.8)
    scale = (mean[-1], 1.0, 1.0)
    found = least_squares(residuals, start, x_scale=scale, xtol=1e-14, ftol=1e-14, gtol=1e-14)
    influence = np.linalg.pinv(found.jac * np.array(scale))[0] * scale[0]
    return float(found.x[0]), _std_error((excess / mean) @ influence)


def _std_error(values: np.ndarray) -> float:
    """Standard error of the mean [R]; not a number for a single value."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def product_law() -> ScalingLaw:
    """A x1^(-a) x2^(-b) x3^(-c): each size gains a share, whatever the others are.

    It has no floor: what it is of can be brought to nothing. The additive law of ``opal.scaling``
    adds what size and training lack, as near convergence.
    """
    sizes, names = ("x1", "x2", "x3"), ("a", "b", "c")

    def decay(exponents: np.ndarray, x: Columns) -> np.ndarray:
        powers = [x[size] ** -power for size, power in zip(sizes, exponents, strict=True)]
        return np.asarray(np.prod(np.stack(np.broadcast_arrays(*powers)), axis=0))

    def derivatives(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
        share = decay(values[1:], x)
        term = values[0] * share
        return term, np.stack([share, *(-term * np.log(x[size]) for size in sizes)], axis=-1)

    return ScalingLaw(
        name="product",
        equation="A x1^(-a) x2^(-b) x3^(-c)",
        variables=sizes,
        params=("A", *names),
        bounds={"A": (0.0, np.inf), **dict.fromkeys(names, (0.01, 5.0))},
        derivatives=derivatives,
        amplitudes=("A",),
        sizes=sizes,
        linear=("A",),
        nonlinear=names,
        columns=lambda nonlinear, x: decay(nonlinear, x)[:, None],
        assemble=in_order,
        grid=dict.fromkeys(names, (0.25, 0.5, 1.0, 2.0)),
        least_sizes=2,
    )
