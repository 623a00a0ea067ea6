"""Laws of one size: a power, with and without a floor, shifted, broken; an exponential."""

from __future__ import annotations

import numpy as np
from scipy import special

from opal.scaling.scaling_law import (
    EXPONENT,
    EXPONENT_STARTS,
    POSITIVE,
    Columns,
    ScalingLaw,
    in_order,
    last_is_log,
)


def _power(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
    """E + A n^(−a)."""
    floor, amplitude, exponent = values
    log_n = np.log(x["n"])
    decay = np.exp(-exponent * log_n)
    term = amplitude * decay
    return floor + term, np.stack([np.ones_like(decay), decay, -term * log_n], axis=-1)


def _power_columns(nonlinear: np.ndarray, x: Columns) -> np.ndarray:
    """Columns of E and A, given a."""
    return np.stack([np.ones_like(x["n"]), x["n"] ** -nonlinear[0]], axis=-1)


POWER = ScalingLaw(
    name="power",
    equation="E + A n^(-a)",
    variables=("n",),
    params=("E", "A", "a"),
    bounds={"E": POSITIVE, "A": POSITIVE, "a": EXPONENT},
    derivatives=_power,
    amplitudes=("A",),
    sizes=("n",),
    linear=("E", "A"),
    nonlinear=("a",),
    columns=_power_columns,
    assemble=in_order,
    grid={"a": EXPONENT_STARTS},
)


def _no_floor(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
    """A n^(−a)."""
    f, slopes = _power(np.array([0.0, *values]), x)
    return f, slopes[:, 1:]


def _no_floor_columns(nonlinear: np.ndarray, x: Columns) -> np.ndarray:
    """Column of A, given a."""
    return _power_columns(nonlinear, x)[:, 1:]


# Viering and Loog 2021 (arXiv 2103.10948) list one-size laws; this is their POW2, the power POW3.
POWER_NO_FLOOR = ScalingLaw(
    name="power-no-floor",
    equation="A n^(-a)",
    variables=("n",),
    params=("A", "a"),
    bounds={"A": POSITIVE, "a": EXPONENT},
    derivatives=_no_floor,
    amplitudes=("A",),
    sizes=("n",),
    linear=("A",),
    nonlinear=("a",),
    columns=_no_floor_columns,
    assemble=in_order,
    grid={"a": EXPONENT_STARTS},
    least_sizes=2,
)


def _shifted(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
    """E + A (n + n0)^(−a)."""
    floor, amplitude, exponent, shift = values
    moved = x["n"] + shift
    f, slopes = _power(np.array([floor, amplitude, exponent]), {"n": moved})
    by_shift = -exponent * (f - floor) / moved
    return f, np.concatenate([slopes, by_shift[:, None]], axis=-1)


def _shifted_columns(nonlinear: np.ndarray, x: Columns) -> np.ndarray:
    """Columns of E and A, given a and log n0."""
    return _power_columns(nonlinear, {"n": x["n"] + np.exp(nonlinear[1])})


# POW4 of Viering and Loog 2021: sizes count from −n0, as if n0 samples had been seen before.
SHIFTED = ScalingLaw(
    name="shifted",
    equation="E + A (n + n0)^(-a)",
    variables=("n",),
    params=("E", "A", "a", "n0"),
    bounds={"E": POSITIVE, "A": POSITIVE, "a": EXPONENT, "n0": POSITIVE},
    derivatives=_shifted,
    amplitudes=("A",),
    scales={"n0": "n"},
    sizes=("n",),
    linear=("E", "A"),
    nonlinear=("a", "log_n0"),
    columns=_shifted_columns,
    assemble=last_is_log,
    grid={"a": EXPONENT_STARTS, "log_n0": (-0.5, 0.0, 0.25, 0.5, 0.75, 1.0)},
    least_sizes=4,
)


def _exponential(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
    """E + A e^(−n/k)."""
    floor, amplitude, scale = values
    share = x["n"] / scale
    decay = np.exp(-share)
    term = amplitude * decay
    return floor + term, np.stack([np.ones_like(decay), decay, term * share / scale], axis=-1)


def _exponential_columns(nonlinear: np.ndarray, x: Columns) -> np.ndarray:
    """Columns of E and A, given log k."""
    return np.stack([np.ones_like(x["n"]), np.exp(-x["n"] * np.exp(-nonlinear[0]))], axis=-1)


# EXP3 of Viering and Loog 2021, with k = 1/rate: the samples over which the excess falls to 37 %.
EXPONENTIAL = ScalingLaw(
    name="exponential",
    equation="E + A exp(-n/k)",
    variables=("n",),
    params=("E", "A", "k"),
    bounds={"E": POSITIVE, "A": POSITIVE, "k": POSITIVE},
    derivatives=_exponential,
    amplitudes=("A",),
    scales={"k": "n"},
    sizes=("n",),
    linear=("E", "A"),
    nonlinear=("log_k",),
    columns=_exponential_columns,
    assemble=last_is_log,
    grid={"log_k": (-0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2)},
)


def _bend(x: Columns, scale: float, width: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where u = log(n/d)/f: u, log(1 + e^u) and its slope in u."""
    u = (np.log(x["n"]) - np.log(scale)) / width
    return u, np.logaddexp(0.0, u), special.expit(u)


def _broken(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
    """E + A n^(−a) (1 + (n/d)^(1/f))^(−c f)."""
    floor, amplitude, before, change, width, scale = values
    u, soft, rise = _bend(x, scale, width)
    log_n = np.log(x["n"])
    decay = np.exp(-before * log_n - change * width * soft)
    term = amplitude * decay
    slopes = (
        np.ones_like(term),
        decay,
        -term * log_n,
        -term * width * soft,
        -term * change * (soft - u * rise),
        term * change * rise / scale,
    )
    return floor + term, np.stack(slopes, axis=-1)


def _broken_columns(nonlinear: np.ndarray, x: Columns) -> np.ndarray:
    """Columns of E and A, given a, c, f and log d."""
    before, change, width, log_scale = nonlinear
    soft = _bend(x, np.exp(log_scale), width)[1]
    decay = np.exp(-before * np.log(x["n"]) - change * width * soft)
    return np.stack([np.ones_like(decay), decay], axis=-1)


# Caballero et al. 2023 (arXiv 2210.14891), equation 1 with one break: the exponent goes from a to
# a + c around n = d, over about f units of log n. Either may be negative: there the curve rises.
BROKEN = ScalingLaw(
    name="broken",
    equation="E + A n^(-a) (1 + (n/d)^(1/f))^(-c f)",
    variables=("n",),
    params=("E", "A", "a", "c", "f", "d"),
    bounds={
        "E": POSITIVE,
        "A": POSITIVE,
        "a": (-5.0, 5.0),
        "c": (-5.0, 5.0),
        "f": (0.02, 4.0),
        "d": POSITIVE,
    },
    derivatives=_broken,
    amplitudes=("A",),
    scales={"d": "n"},
    sizes=("n",),
    linear=("E", "A"),
    nonlinear=("a", "c", "f", "log_d"),
    columns=_broken_columns,
    assemble=last_is_log,
    grid={
        "a": (0.0, 0.2, 0.5, 1.0),
        "c": (-0.5, -0.2, 0.2, 0.5, 1.0, 2.0),
        "f": (0.1, 0.4, 1.0),
        "log_d": (0.1, 0.3, 0.5, 0.7, 0.9),
    },
    least_sizes=6,
)
