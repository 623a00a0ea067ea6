"""Nodes for Gaussian expectations: one and two dimensions nearly exact, more by random QMC."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import stats

N_SCRAMBLES = 8
# Half the length of an axis, and nodes on it, for one dimension and for two.
_GRIDS = {1: (9.0, 129), 2: (8.0, 49)}


@lru_cache(maxsize=2)
def gaussian_nodes(dim: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Nodes [q, dim] and weights [q] for ``E f(t)``, t ~ N(0, I): the trapezoidal rule.

    For analytic f its error falls exponentially in 1/step (Trefethen and Weideman 2014), with the
    distance of the poles of f from the real axis as rate. The logistic loss of scores with standard
    deviation up to 3 has an error of 1e-13 in one dimension and 1e-8 in two; 1e-7 and 1e-3 at 10.
    Gauss and Hermite nodes of the same number lose most digits there, as their outer nodes carry no
    weight. Corners of the plane, whose probability is below rounding, are left out.
    """
    reach, n = _GRIDS[dim]
    axis = np.linspace(-reach, reach, n)
    grid = np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    nodes = grid[(grid**2).sum(axis=1) <= reach**2 + 1e-9]
    weights = np.exp(-(nodes**2).sum(axis=1) / 2)
    return nodes, weights / weights.sum()


@lru_cache(maxsize=8)
def scrambled_normals(dim: int, log2_points: int = 9) -> np.ndarray:
    """Standard normal points [s, q, dim]: s independent scrambles of a Sobol' sequence.

    Args:
        dim: of a point.
        log2_points: base-2 logarithm of the points q of a scramble.
    """
    uniforms = [
        stats.qmc.Sobol(dim, scramble=True, rng=seed).random_base2(log2_points)
        for seed in range(N_SCRAMBLES)
    ]
    return stats.norm.ppf(np.clip(np.stack(uniforms), 1e-12, 1 - 1e-12))
