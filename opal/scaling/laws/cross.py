"""The mixture law with a cross term, which plans are made from; its exponent is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from opal.scaling.laws.joined import MIXTURE
from opal.scaling.scaling_law import Columns, ScalingLaw

_AMPLITUDE = (1e-9, np.inf)  # what a table of small weights does not show stays a number


@dataclass(frozen=True)
class CrossLaw(ScalingLaw):
    """A mixture law with a cross term; see :func:`cross_law`.

    Attributes:
        beta: the exponent, which is not fitted.
    """

    beta: float = 1.0


def cross_law(beta: float = 1.0) -> CrossLaw:
    """The mixture law with a cross term and a known exponent.

    ``E + α² R_s + 2α(1−α) C + [α² (A_s N^{-β})^{1/β} + (1−α)² (A_r n^{-β})^{1/β}]^β``. At β = 1,
    the rate of every model with a fixed number of parameters, this is equation 4.2.

    Raises:
        ValueError: β is not positive.
    """
    if not 0 < beta <= 5:
        raise ValueError(
            f"beta is the exponent of the curves, in (0, 5]; got {beta}. It is 1 for models with a "
            "fixed number of parameters."
        )

    def derivatives(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
        floor, bias, cross, a_s, a_r = values
        plain = np.array([floor, bias, a_s, a_r, beta])
        f, slopes = MIXTURE.derivatives(plain, x)
        product = 2 * x["alpha"] * (1 - x["alpha"])
        columns = (slopes[:, 0], slopes[:, 1], product, slopes[:, 2], slopes[:, 3])
        return f + cross * product, np.stack(columns, axis=-1)

    def columns(nonlinear: np.ndarray, x: Columns) -> np.ndarray:
        assert MIXTURE.columns is not None
        plain = MIXTURE.columns(np.array([beta, nonlinear[0]]), x)
        product = 2 * x["alpha"] * (1 - x["alpha"])
        return np.stack([plain[:, 0], plain[:, 1], product, plain[:, 2]], axis=-1)

    def assemble(linear: np.ndarray, nonlinear: np.ndarray) -> np.ndarray:
        floor, bias, cross, a_r = linear
        return np.array([floor, bias, cross, a_r * np.exp(beta * nonlinear[0]), a_r])

    return CrossLaw(
        name="mixture-cross",
        beta=beta,
        equation=f"{MIXTURE.equation} + 2 alpha (1-alpha) C, beta = {beta:g}",
        variables=MIXTURE.variables,
        params=("E", "R_s", "C", "A_s", "A_r"),
        bounds={
            **{name: MIXTURE.bounds[name] for name in ("E", "R_s")},
            **dict.fromkeys(("A_s", "A_r"), _AMPLITUDE),
            "C": (-np.inf, np.inf),
        },
        derivatives=derivatives,
        amplitudes=MIXTURE.amplitudes,
        sizes=MIXTURE.sizes,
        linear=("E", "R_s", "C", "A_r"),
        nonlinear=("log_q",),
        columns=columns,
        assemble=assemble,
        grid={"log_q": MIXTURE.grid["log_q"]},
        least_sizes=MIXTURE.least_sizes,
    )
