"""Two-level bootstrap of group errors: seeds first, then test rows within each seed's groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

METRICS = ("balanced_error", "minority_error", "worst_error")


@dataclass(frozen=True)
class Resampled:
    """Point estimates ``(arms,)`` and bootstrap values ``(resamples, arms)`` of each metric.

    All arms share the seeds and rows of a resample, so their differences are paired.
    """

    estimate: Mapping[str, np.ndarray]
    samples: Mapping[str, np.ndarray]


def metrics(group_errors: np.ndarray, minority: np.ndarray) -> dict[str, np.ndarray]:
    """Balanced, minority and worst error from group errors ``(..., K, arms)``.

    ``group_errors`` are means over the seeds: the worst group is the one that is worst on average.
    The mean of each seed's largest error would add the noise of small test groups to it.
    """
    return {
        "balanced_error": group_errors.mean(axis=-2),
        "minority_error": group_errors[..., minority, :].mean(axis=-2),
        "worst_error": group_errors.max(axis=-2),
    }


def resample(
    errors: Sequence[np.ndarray],
    groups: Sequence[np.ndarray],
    minority: np.ndarray,
    n_resamples: int,
    rng: np.random.Generator,
) -> Resampled:
    """Bootstrap the metrics of all arms at once.

    Args:
        errors: for each seed, the error of each test row under each arm, ``(n_s, arms)`` in [0, 1].
        groups: for each seed, the group of each test row, ``(n_s,)``; every group has rows.
        minority: ``(K,)`` True for the groups behind ``minority_error``.
        n_resamples: number of resamples.
        rng: source of randomness.
    """
    n_seeds, n_groups, n_arms = len(errors), len(minority), errors[0].shape[1]
    seed_means = np.stack(
        [_group_means(e, g, n_groups) for e, g in zip(errors, groups, strict=True)]
    )
    picks = rng.integers(n_seeds, size=(n_resamples, n_seeds))
    drawn = np.empty((n_resamples, n_seeds, n_groups, n_arms))
    for s in range(n_seeds):
        here = picks == s
        for g in range(n_groups):
            inside = errors[s][groups[s] == g]
            n = len(inside)
            counts = rng.multinomial(n, np.full(n, 1.0 / n), size=int(here.sum()))
            drawn[here, g] = counts @ inside / n
    return Resampled(
        estimate=metrics(seed_means.mean(axis=0), minority),
        samples=metrics(drawn.mean(axis=1), minority),
    )


def _group_means(errors: np.ndarray, group: np.ndarray, n_groups: int) -> np.ndarray:
    """Mean error of each group under each arm, ``(K, arms)``."""
    return np.stack([errors[group == g].mean(axis=0) for g in range(n_groups)])


def interval(estimate: float, samples: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Bias-corrected percentile interval (Efron 1981).

    The correction matters for the worst-group error, whose bootstrap values are shifted upward
    because a maximum picks up noise; for means it does next to nothing.
    """
    below = (np.sum(samples < estimate) + 0.5 * np.sum(samples == estimate)) / len(samples)
    normal = NormalDist()
    edge = 0.5 / len(samples)
    shift = normal.inv_cdf(float(np.clip(below, edge, 1 - edge)))
    tail = normal.inv_cdf((1 + level) / 2)
    ranks = [normal.cdf(2 * shift - tail), normal.cdf(2 * shift + tail)]
    lower, upper = np.quantile(samples, ranks)
    return float(lower), float(upper)
