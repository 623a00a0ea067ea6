"""Bootstrap of a fit: seeds are drawn again, the same ones for all arms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import stats

from opal.scaling.optimum import descend
from opal.scaling.spread import Spread

_TOLERANCE = 1e-8


def draws(spread: Spread, n_draws: int, *, seed: int) -> np.ndarray:
    """Coordinates ``[n_draws, p]`` of fits to resampled tables.

    Clusters of rows (seeds) are drawn with replacement, so that arms and sizes that share a seed
    stay paired. If there are fewer than two rows to a cluster (no seeds), rows get normal noise
    of their standard error instead, except under Huber's loss, where rows are drawn.

    Deviations are widened by √(S/(S−1)): S seeds drawn with replacement scatter that much less.
    """
    rng = np.random.default_rng(seed)
    clusters = np.unique(spread.problem.clusters, return_inverse=True)[1].reshape(-1)
    n_clusters = int(clusters.max()) + 1
    by_cluster = n_clusters < spread.problem.n_rows or spread.problem.robust
    refit = _resampled if by_cluster else _perturbed
    found = np.stack([refit(spread, clusters, rng) for _ in range(n_draws)])
    widening = np.sqrt(n_clusters / (n_clusters - 1)) if by_cluster else 1.0
    low, high = spread.problem.bounds
    return np.clip(spread.phi + widening * (found - spread.phi), low, high)


def _resampled(spread: Spread, clusters: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One fit to clusters drawn with replacement."""
    n = int(clusters.max()) + 1
    times = np.bincount(rng.integers(n, size=n), minlength=n)[clusters]
    rows = np.repeat(np.arange(len(clusters)), times)
    problem = spread.problem
    again = replace(
        problem,
        x={name: column[rows] for name, column in problem.x.items()},
        y=problem.y[rows],
        root_weights=problem.root_weights[rows],
        clusters=clusters[rows],
    )
    return descend(again, spread.phi, tolerance=_TOLERANCE)


def _perturbed(spread: Spread, _clusters: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One fit to the fitted curve with new noise."""
    problem = spread.problem
    scale = 1.0 if spread.kind == "known" else 0.0
    noise = np.sqrt(max(spread.inflation, scale)) / problem.root_weights
    f, _slopes = problem.model(spread.phi)
    again = replace(problem, y=f + noise * rng.standard_normal(len(f)))
    return descend(again, spread.phi, tolerance=_TOLERANCE)


def percentile_interval(
    estimate: float, samples: np.ndarray, level: float = 0.95
) -> tuple[float, float]:
    """Bias-corrected percentile interval (Efron 1981)."""
    below = (np.sum(samples < estimate) + 0.5 * np.sum(samples == estimate)) / len(samples)
    edge = 0.5 / len(samples)
    shift = stats.norm.ppf(np.clip(below, edge, 1 - edge))
    tail = stats.norm.ppf((1 + level) / 2)
    low, high = np.quantile(samples, stats.norm.cdf([2 * shift - tail, 2 * shift + tail]))
    return float(low), float(high)
