"""The terms of a purchase: what is in hand, what things cost, and what counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MIN_GAIN = 0.02


@dataclass(frozen=True)
class Terms:
    """What is in hand and what things cost.

    Attributes:
        counts: real samples of each group.
        price_real: of one real sample; infinite if none can be bought.
        price_synthetic: of one synthetic sample.
        budget: money.
        min_gain: least share of the excess risk that a purchase must take away.
        level: confidence of the intervals.

    Raises:
        ValueError: a number that cannot be; says the rule, the value and the remedy.
    """

    counts: tuple[float, ...]
    price_real: float
    price_synthetic: float
    budget: float
    min_gain: float = MIN_GAIN
    level: float = 0.95

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not self.counts or not min(self.counts) > 0:
            raise ValueError(
                f"n_real is the number of real samples of each group and must be positive; "
                f"got {list(self.counts)}. A plan starts from real samples."
            )
        for name in ("price_real", "price_synthetic"):
            value = getattr(self, name)
            if not value > 0:
                raise ValueError(
                    f"{name} is the price of one sample and must be positive; got {value}. "
                    "For samples that cost next to nothing give a small price."
                )
        if np.isinf(self.price_synthetic):
            raise ValueError("price_synthetic must be finite; got inf. There is nothing to plan.")
        if not (self.budget > 0 and np.isfinite(self.budget)):
            raise ValueError(
                f"budget is the money that may be spent and must be positive; got {self.budget}. "
                "With nothing to spend there is nothing to plan."
            )
        if self.largest_size < 1 and self.real_for(self.budget) < 1:
            other = f", or for a real one, {self.price_real:g}" if self.price_real < np.inf else ""
            raise ValueError(
                f"budget must pay for a synthetic sample of each group, {self.cost(1):g}{other}; "
                f"got {self.budget:g}. Raise it."
            )
        if not 0 <= self.min_gain < 1:
            raise ValueError(
                f"min_gain is a share of the excess risk in [0, 1); got {self.min_gain}."
            )
        if not 0 < self.level < 1:
            raise ValueError(f"level must lie between 0 and 1; got {self.level}. Try 0.95.")

    @property
    def n_groups(self) -> int:
        """|G|."""
        return len(self.counts)

    @property
    def n(self) -> float:
        """Real samples per group: the harmonic mean, which reweighted groups count for."""
        return self.n_with(0)

    @property
    def balanced(self) -> bool:
        """Whether all groups are of one size."""
        return max(self.counts) == min(self.counts)

    def n_with(self, bought: float) -> float:
        """The harmonic mean after ``bought`` real samples went to the smallest groups."""
        sizes = np.sort(np.asarray(self.counts, float))
        filled = np.cumsum(sizes)
        for k in range(1, len(sizes) + 1):
            level = (filled[k - 1] + bought) / k
            if k == len(sizes) or level <= sizes[k]:
                break
        return float(1 / np.mean(1 / np.maximum(sizes, level)))

    def cost(self, N: float, bought: float = 0.0) -> float:
        """Money for N synthetic samples of each group and ``bought`` real ones in all."""
        real = bought * self.price_real if bought else 0.0
        return N * self.n_groups * self.price_synthetic + real

    @property
    def largest_size(self) -> int:
        """N if the whole budget goes to synthetic samples."""
        return int(self.budget / (self.n_groups * self.price_synthetic) * (1 + 1e-12))

    def real_for(self, money: float) -> int:
        """Real samples for ``money``."""
        return int(max(money, 0.0) / self.price_real * (1 + 1e-12))
