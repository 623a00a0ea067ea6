"""Laws of two sizes, as of parameters and tokens, that each add an error; tokens may repeat."""

from __future__ import annotations

import numpy as np

from opal.scaling.scaling_law import (
    EXPONENT,
    EXPONENT_STARTS,
    POSITIVE,
    Columns,
    ScalingLaw,
    in_order,
    last_is_log,
)


def _additive(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
    """E + A x1^(−a) + B x2^(−b)."""
    floor, first, second, a, b = values
    logs = np.log(x["x1"]), np.log(x["x2"])
    decays = np.exp(-a * logs[0]), np.exp(-b * logs[1])
    terms = first * decays[0], second * decays[1]
    slopes = (np.ones_like(logs[0]), *decays, -terms[0] * logs[0], -terms[1] * logs[1])
    return floor + terms[0] + terms[1], np.stack(slopes, axis=-1)


def _additive_columns(nonlinear: np.ndarray, x: Columns) -> np.ndarray:
    """Columns of E, A and B, given a and b."""
    ones = np.ones_like(x["x1"])
    return np.stack([ones, x["x1"] ** -nonlinear[0], x["x2"] ** -nonlinear[1]], axis=-1)


# Hoffmann et al. 2022 (arXiv 2203.15556), equation 2.
ADDITIVE = ScalingLaw(
    name="additive",
    equation="E + A x1^(-a) + B x2^(-b)",
    variables=("x1", "x2"),
    params=("E", "A", "B", "a", "b"),
    bounds={"E": POSITIVE, "A": POSITIVE, "B": POSITIVE, "a": EXPONENT, "b": EXPONENT},
    derivatives=_additive,
    amplitudes=("A", "B"),
    sizes=("x1", "x2"),
    linear=("E", "A", "B"),
    nonlinear=("a", "b"),
    columns=_additive_columns,
    assemble=in_order,
    grid={"a": EXPONENT_STARTS, "b": EXPONENT_STARTS},
)


def _effective(x: Columns, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """D' = U + U R (1 − e^(−r/R)), r = D/U − 1 the repetitions, and its slope in R."""
    unique = np.minimum(x["unique"], x["tokens"])
    share = (x["tokens"] / unique - 1) / reach
    new = -np.expm1(-share)
    return unique * (1 + reach * new), unique * (new - share * np.exp(-share))


def _repeated(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
    """E + A N^(−a) + B D'^(−b)."""
    *additive, reach = values
    data, slope = _effective(x, reach)
    f, slopes = _additive(np.array(additive), {"x1": x["params"], "x2": data})
    by_reach = -additive[4] * additive[2] * data ** -(additive[4] + 1) * slope
    return f, np.concatenate([slopes, by_reach[:, None]], axis=-1)


def _repeated_columns(nonlinear: np.ndarray, x: Columns) -> np.ndarray:
    """Columns of E, A and B, given a, b and log R."""
    data = _effective(x, np.exp(nonlinear[2]))[0]
    return _additive_columns(nonlinear, {"x1": x["params"], "x2": data})


# Muennighoff et al. 2023 (arXiv 2305.16264), section 3.1: a token that is seen again is worth less,
# and R repetitions (R_D* there) are worth 1 − 1/e of R times as many new tokens. Parameters count
# in full: N' of the paper discounts those beyond the compute-optimal size of the unique tokens,
# which is itself a function of the fit, and its R_N* is seen only where models are far too large.
REPEATED = ScalingLaw(
    name="repeated",
    equation="E + A params^(-a) + B D^(-b), D = unique (1 + R (1 - exp((1 - tokens/unique)/R)))",
    variables=("params", "unique", "tokens"),
    params=("E", "A", "B", "a", "b", "R"),
    bounds={
        **dict.fromkeys(("E", "A", "B", "R"), POSITIVE),
        "a": EXPONENT,
        "b": EXPONENT,
    },
    derivatives=_repeated,
    amplitudes=("A", "B"),
    scales={"R": None},
    sizes=("params", "tokens"),
    given=("unique",),
    linear=("E", "A", "B"),
    nonlinear=("a", "b", "log_R"),
    columns=_repeated_columns,
    assemble=last_is_log,
    grid={"a": EXPONENT_STARTS, "b": EXPONENT_STARTS, "log_R": (-0.5, 1.0, 2.5, 4.0, 6.0)},
)
