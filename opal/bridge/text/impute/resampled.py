r"""Means over repeated cross-validation, with intervals that know that folds share their texts.

A rule is trained on n₁ texts and tested on n₂ others, J times on splits of the same texts, with
results ``v_1 … v_J`` of variance σ² each. Training sets overlap, and so do test sets of different
repeats: the results are correlated, say by ρ. Then

``Var(v̄) = σ² (1/J + (1 − 1/J) ρ)``  and  ``E s² = σ² (1 − ρ)``

for the mean v̄ and the sample variance s², so that

``Var(v̄) = E s² · (1/J + ρ/(1 − ρ))``.

The naive standard error, ``s/√J``, takes ρ for 0: with J it falls to 0, though no number of splits
tells more than the texts do. ρ cannot be estimated from the splits (Bengio & Grandvalet 2004).
Nadeau & Bengio (2003) argue that results of splits with one and the same rule would be correlated
as their test sets overlap, by ``ρ = n₂/(n₁ + n₂)``, and that a rule does not change so much by the
choice of its n₁ texts that this is far off. Then ``ρ/(1 − ρ) = n₂/n₁``:

``Var(v̄) ≈ s² (1/J + n₂/n₁)``,  and  ``v̄/√Var(v̄)``

is held against Student's t with J − 1 degrees of freedom. Bouckaert & Frank (2004) use it for
r-times repeated K-fold cross-validation, J = rK and n₂/n₁ = 1/(K − 1), and find its level right
and its verdict the same when the splits are drawn again. Where the texts themselves are in part
drawn anew for each repeat, ρ is smaller, and the interval is too wide rather than too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True)
class Resampled:
    """A mean over splits.

    Attributes:
        mean: over the splits.
        std_error: corrected.
        lower: end of the interval.
        upper: the other.
        n: splits.
        p_value: two-sided, of the hypothesis that the mean is 0.
    """

    mean: float
    std_error: float
    lower: float
    upper: float
    n: int
    p_value: float


def corrected(
    values: Sequence[float] | np.ndarray, ratio: float, *, level: float = LEVEL
) -> Resampled:
    """The mean of results of splits, and its corrected interval.

    Args:
        values: a number for each split; NaN where a split has none.
        ratio: n₂/n₁, test texts over training texts: 1/(K − 1) in K-fold cross-validation; 0 is
            the naive interval.
        level: of the interval.

    Raises:
        ValueError: fewer than two splits have a value, or ratio or level are out of range.
    """
    from scipy import stats

    kept = np.asarray(values, dtype=float)
    kept = kept[~np.isnan(kept)]
    if len(kept) < 2:
        raise ValueError(
            f"an interval needs the results of at least two splits; got {len(kept)}. Use more "
            "folds or repeats."
        )
    if not (0 <= ratio < math.inf and 0 < level < 1):
        raise ValueError(
            f"ratio must be finite and not negative, and level in (0, 1); got {ratio} and {level}."
        )
    mean = float(kept.mean())
    error = math.sqrt(float(kept.var(ddof=1)) * (1 / len(kept) + ratio))
    half = float(stats.t.ppf((1 + level) / 2, len(kept) - 1)) * error
    score = abs(mean) / error if error else math.inf if mean else 0.0
    p_value = float(2 * stats.t.sf(score, len(kept) - 1))
    return Resampled(mean, error, mean - half, mean + half, len(kept), p_value)
