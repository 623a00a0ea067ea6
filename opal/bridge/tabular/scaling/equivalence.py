"""How many real rows, as many of each group, are worth what an arm is worth.

Rules are trained on balanced samples of real rows of growing size, on the draws and test rows of
the arms. An arm's worth is where its paired difference to this curve is zero, between the sizes
linearly in their logarithm; its interval is where the 95 % interval of the difference holds zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from opal.bridge import resampling


class EquivalentRows(NamedTuple):
    """A number of real rows and its interval.

    Out of reach of the curve a value is 0 or infinite; the ends of an interval stay bounds: a lower
    one is then 0 or the largest size that was measured, an upper one the least or infinite.
    """

    value: float
    lower: float
    upper: float


def equivalent_rows(differences: Mapping[int, resampling.Crossed]) -> EquivalentRows:
    """Where the loss of an arm minus that of so many real rows is zero.

    Args:
        differences: by number of real rows, two at least.
    """
    sizes = sorted(differences)
    at = np.log(sizes)
    mean = np.array([differences[size].mean for size in sizes])
    half = np.array([differences[size].half_width for size in sizes])
    value, lower, upper = (_crossing(at, ends) for ends in (mean, mean + half, mean - half))
    return EquivalentRows(value, min(lower, sizes[-1]), max(upper, sizes[0]))


def _crossing(at: np.ndarray, differences: np.ndarray) -> float:
    """Size at which the difference rises above zero: real rows are then the better ones."""
    above = np.maximum.accumulate(differences) > 0  # noise apart the curve only falls
    if not above.any():
        return np.inf
    first = int(np.argmax(above))
    if first == 0:
        return 0.0
    low, high = differences[first - 1], differences[first]
    share = low / (low - high)
    return float(np.exp(at[first - 1] + share * (at[first] - at[first - 1])))
