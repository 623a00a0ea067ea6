"""How much of a difference is luck of the draw."""

from __future__ import annotations

import numpy as np

_LEAST = 2


def clustered(values: np.ndarray, family: np.ndarray) -> float | None:
    """Standard error of a mean of values that are independent between families only.

    ``√(F/(F−1) Σ_f (Σ_{i∈f} (x_i − x̄))²)/n`` (Liang and Zeger 1986, for a mean); None for fewer
    than two families.
    """
    names, place = np.unique(family, return_inverse=True)
    if len(names) < _LEAST:
        return None
    sums = np.bincount(place, values - values.mean())
    return float(np.sqrt(len(names) / (len(names) - 1) * np.sum(sums**2)) / len(values))


def beyond(count: int, of: int, natural: int, natural_of: int) -> float:
    """How far a count lies above a natural rate, as the z of Fisher's exact one-sided test.

    Where there is nothing to learn the rate from, an equally large set without a case stands in.
    """
    from scipy.stats import fisher_exact, norm

    if not natural_of:
        natural, natural_of = 0, of
    table = [[count, of - count], [natural, natural_of - natural]]
    return float(norm.isf(max(fisher_exact(table, alternative="greater").pvalue, 1e-300)))


def ratio(difference: float, *errors: float | None) -> float | None:
    """A difference over its standard error, from those of independent parts; None without one."""
    if any(error is None for error in errors):
        return None
    error = float(np.sqrt(sum(each**2 for each in errors if each is not None)))
    return difference / error if error > 0 else None
