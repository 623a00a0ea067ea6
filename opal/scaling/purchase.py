"""Budgets, what a law promises for them, and the best of them (docs/theory.md, section 12)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from opal.scaling.exchange import Mixture

MIN_GAIN = 0.02
LEAST_WEIGHT = 0.02  # of a pilot's points
NO_NUMBER = "no number of real samples has so low a risk, by the fitted curve of real ones"
"""Why a purchase is worth no number of real samples."""
_COUNTED = 2.0**53  # samples: beyond it whole numbers are no longer told apart
_SIZES = 61  # numbers of synthetic samples that are tried before the search between them


@dataclass(frozen=True)
class PurchaseBudget:
    """What is in hand and what things cost.

    Attributes:
        counts: real samples of each group.
        price_real: of one real sample; infinite if none can be bought.
        price_synthetic: of one synthetic sample.
        money: that may be spent.
        min_gain: least share of the excess risk that a purchase must take away.
        level: confidence of the intervals.

    Raises:
        ValueError: a number that cannot be; says the rule, the value and the remedy.
    """

    counts: tuple[float, ...]
    price_real: float
    price_synthetic: float
    money: float
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
        if not (self.money > 0 and np.isfinite(self.money)):
            raise ValueError(
                f"budget is the money that may be spent and must be positive; got {self.money}. "
                "With nothing to spend there is nothing to plan."
            )
        for name in ("price_real", "price_synthetic"):
            price = getattr(self, name)
            if not self.money / price < _COUNTED:
                raise ValueError(
                    f"budget must buy a number of samples that can be counted; {self.money:g} "
                    f"buys {self.money / price:g} at {name} = {price:g}. Raise the price, or lower "
                    "the budget."
                )
        if self.largest_size < 1 and self.real_for(self.money) < 1:
            other = f", or for a real one, {self.price_real:g}" if self.price_real < np.inf else ""
            raise ValueError(
                f"budget must pay for a synthetic sample of each group, {self.cost(1):g}{other}; "
                f"got {self.money:g}. Raise it."
            )
        if not 0 <= self.min_gain < 1:
            raise ValueError(
                f"min_gain is a share of the excess risk in [0, 1); got {self.min_gain}."
            )
        if not 0 < self.level < 1:
            raise ValueError(f"level must lie between 0 and 1; got {self.level}. Try 0.95.")

    @property
    def n_groups(self) -> int:
        """``|G|``."""
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
        return int(self.money / (self.n_groups * self.price_synthetic) * (1 + 1e-12))

    def real_for(self, money: float) -> int:
        """Real samples for ``money``."""
        return int(max(money, 0.0) / self.price_real * (1 + 1e-12))


@dataclass(frozen=True)
class Option:
    """One thing to do with the money, and what it is expected to bring.

    Attributes:
        strategy: one of :data:`opal.scaling.plan.STRATEGIES`.
        n_augmented: N, synthetic samples bought for each group.
        alpha: their weight.
        n_real_bought: real samples bought, over all groups.
        cost: money.
        gain: by how much the expected risk falls below that of the real samples in hand.
        ci: interval of the gain; not a number without draws.
        n_equiv: real samples per group with the same expected risk; infinite if no number has it.
    """

    strategy: str
    n_augmented: int
    alpha: float
    n_real_bought: int
    cost: float
    gain: float
    ci: tuple[float, float]
    n_equiv: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-able fields; None for what is infinite or not known, and why there is no n_equiv."""
        ci = None if np.isnan(self.ci[0]) else list(self.ci)
        why = {} if np.isfinite(self.n_equiv) else {"n_equiv_why": NO_NUMBER}
        return {
            "strategy": self.strategy,
            "n_augmented": self.n_augmented,
            "alpha": self.alpha,
            "n_real_bought": self.n_real_bought,
            "cost": self.cost,
            "n_equiv": self.n_equiv if np.isfinite(self.n_equiv) else None,
            **why,
            "expected_gain": {"estimate": self.gain, "ci": ci},
        }


@dataclass(frozen=True)
class Planner:
    """What a law promises for a purchase.

    Attributes:
        law: the estimate.
        draws: parameters of each draw; None if the law is known.
        budget: money, prices and counts.
        measured: measured best point of a pilot (N, α), for validated sizes.
    """

    law: Mixture
    draws: Mixture | None
    budget: PurchaseBudget
    measured: tuple[float, float] | None = None

    def option(self, strategy: str, N: float, alpha: float, bought: float = 0.0) -> Option:
        """What a purchase is expected to bring."""
        budget, n = self.budget, self.budget.n_with(bought)
        alpha = alpha if N else 0.0
        left = float(_left(self.law, n, N, alpha))
        return Option(
            strategy,
            int(N),
            alpha,
            int(bought),
            budget.cost(N, bought),
            self.excess - left,
            self._interval(lambda law: _left(law, n, N, alpha)),
            float(self.law.n_equivalent(left)),
        )

    def balance(self) -> Option:
        """Every group filled to the largest, α = 0 (equation 12.6)."""
        counts = np.asarray(self.budget.counts)
        largest = counts.max()
        share = 1 - counts / largest

        def left(law: Mixture) -> np.ndarray:
            bias = np.mean(share**2) * np.asarray(law.R_s)
            amplitude = np.mean(1 - share) * np.asarray(law.A_r) + np.mean(share) * np.asarray(
                law.A_s
            )
            return np.asarray(bias + amplitude * largest ** -np.asarray(law.beta))

        value = float(left(self.law))
        money = float(np.sum(largest - counts)) * self.budget.price_synthetic
        ci, worth = self._interval(left), float(self.law.n_equivalent(value))
        return Option("balance", 0, 0.0, 0, money, self.excess - value, ci, worth)

    @property
    def excess(self) -> float:
        """Risk of the real samples in hand above the floor."""
        return float(self.law.excess(self.budget.n, 1, 0.0))

    def expected_gain(self, option: Option) -> float:
        """Mean gain over the draws; the law's own where there are none."""
        if self.draws is None:
            return option.gain
        n = self.budget.n_with(option.n_real_bought)
        after = _left(self.draws, n, option.n_augmented, option.alpha)
        return float(np.mean(self.draws.excess(self.budget.n, 1, 0.0) - after))

    def _interval(self, left: Callable[[Mixture], np.ndarray]) -> tuple[float, float]:
        if self.draws is None:
            return (np.nan, np.nan)
        gains = self.draws.excess(self.budget.n, 1, 0.0) - left(self.draws)
        tail = (1 - self.budget.level) / 2
        low, high = np.quantile(gains, [tail, 1 - tail])
        return float(low), float(high)

    def best(self, money: float | None = None, *, real: bool = True) -> Option:
        """The best N, α and number of real samples for ``money`` (the budget if None).

        Money that synthetic samples leave over buys real ones, unless ``real`` is false.
        """
        budget = self.budget
        money = budget.money if money is None else money

        def bought(N: float) -> int:
            return budget.real_for(money - budget.cost(N)) if real else 0

        def left(N: float) -> float:
            n = budget.n_with(bought(N))
            return float(self.law.excess(n, max(N, 1e-9), self.law.best_alpha(n, N)))

        N = _least(left, money / budget.cost(1))
        alpha = self.law.best_alpha(budget.n_with(bought(N)), N)
        N = N if alpha > 0 else 0
        return self.option("augment", N, alpha, bought(N))

    def purchase(self) -> Option:
        """The best that the budget can do with synthetic samples, even where that is harm.

        If no weight helps, it is the whole budget at the smallest weight of a pilot: what the
        answer "none" has to be measured by.
        """
        best = self.best(real=False)
        if best.n_augmented or self.budget.largest_size < 1:
            return best
        return self.option("augment", self.budget.largest_size, LEAST_WEIGHT)


def _left(law: Mixture, n: float, N: float, alpha: float) -> np.ndarray:
    """The risk above the floor, below which there is none: a cross term alone could promise it."""
    return np.maximum(law.excess(n, max(N, 1), alpha), 0.0)


def _least(left: Callable[[float], float], largest: float) -> int:
    """The whole number up to ``largest`` at which ``left`` is least."""
    if largest < 1:
        return 0
    sizes = np.concatenate([[0.0], np.geomspace(1, largest, _SIZES)])
    values = np.array([left(N) for N in sizes])
    at = int(np.argmin(values))
    best = sizes[at]
    if 0 < at < _SIZES:
        ends = (sizes[at - 1], sizes[at + 1])
        found = minimize_scalar(left, bounds=ends, method="bounded")
        best = found.x if found.fun < values[at] else best
    return int(best * (1 + 1e-12))
