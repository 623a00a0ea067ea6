"""Curves of excess risk as records, and their slopes and floors with standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from opal.objective import Design
    from opal.settings.sequence import SobolevRegression

EXCESS = "excess_balanced_risk"


def curve(
    truth: SobolevRegression, designs: Sequence[Design], excess: np.ndarray, exact: np.ndarray
) -> list[dict[str, object]]:
    """Rows of simulated means [R, S] and predicted values [S] of the designs."""
    from opal.risk import mean_and_std_error

    means, errors = mean_and_std_error(excess)
    rows = []
    for design, mean, error, value in zip(designs, means, errors, exact, strict=True):
        simulated = summary_row(truth, design, "simulation", EXCESS, mean, error)
        rows.append({**simulated, "n_replicates": len(excess)})
        rows.append(summary_row(truth, design, "theory", EXCESS, value))
    return rows


def summary_row(
    truth: SobolevRegression,
    design: Design,
    source: str,
    metric: str,
    value: float,
    std_error: float = float("nan"),
) -> dict[str, object]:
    """One record of a design as a mapping."""
    return {
        "source": source,
        "setting": truth.name,
        "synthesizer": design.synthesizer.name if design.synthesizer else "none",
        "arm": design.arm,
        "n_real": sum(design.counts),
        "n_min": min(design.counts),
        "n_max": max(design.counts),
        "n_oversampled": sum(design.n_oversampled),
        "n_augmented": design.n_augmented,
        "alpha": design.alpha,
        "n_replicates": 0,
        "metric": metric,
        "value": float(value),
        "std_error": float(std_error),
    }


def slope(sizes: np.ndarray, excess: np.ndarray) -> tuple[float, float]:
    """Minus the slope of log mean excess [R, S] against log N, and its standard error.

    The line is that of least squares. The standard error is that of the linearised slope of each
    replicate, so it knows that the points of a replicate are correlated.
    """
    import numpy as np

    logs = np.log(sizes) - np.log(sizes).mean()
    mean = excess.mean(axis=0)
    coefficients = -logs / np.sum(logs**2)
    return float(coefficients @ np.log(mean)), _std_error((excess / mean) @ coefficients)


def floor(sizes: np.ndarray, excess: np.ndarray) -> tuple[float, float]:
    """E of ``E + A N^(−a)`` fitted to the mean excess [R, S], and its standard error.

    All three parameters are fitted, with weights 1/mean²; the standard error is linearised as in
    :func:`slope`.
    """
    import numpy as np
    from scipy.optimize import least_squares

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
    import numpy as np

    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
