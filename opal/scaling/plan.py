"""How many synthetic samples to buy, at which weight, and whether to buy any.

docs/theory.md, section 12; docs/plan.md is the guide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from opal import names
from opal.scaling import plan_warnings
from opal.scaling.exchange import FitOrParams, laws_of
from opal.scaling.fit import Fit
from opal.scaling.pilot_fit import measured_best
from opal.scaling.purchase import MIN_GAIN, Option, Planner, PurchaseBudget

STRATEGIES = ("reweight", "real", "augment", "balance", "validated")


@dataclass(frozen=True)
class Plan:
    """What to buy.

    Attributes:
        recommendation: ``"buy synthetic"``, ``"buy real"``, ``"buy both"``, ``"reweight instead"``
            or ``"buy none"``.
        chosen: the option behind it.
        excess: risk of the real samples in hand above the law's floor, which gains are shares of.
        marginal_gain: by how much risk would fall with one more unit of money.
        stop: a sentence on whether more money would help.
        decided: whether the interval of the gain lies on one side of the least gain; and of zero,
            where a purchase is expected to gain.
        alternatives: the other options.
        warnings: what a reader must know.
    """

    recommendation: str
    chosen: Option
    excess: float
    marginal_gain: float
    stop: str
    decided: bool
    alternatives: tuple[Option, ...]
    warnings: tuple[str, ...]

    def alternative(self, strategy: str) -> Option:
        """The option of one of the strategies that were asked for.

        Raises:
            ValueError: it is not among the alternatives.
        """
        found = {option.strategy: option for option in self.alternatives}
        names.check("alternative", [strategy], found)
        return found[strategy]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able fields, documented in docs/plan.md."""
        own = self.chosen.to_dict()
        own.pop("strategy")
        share = self.chosen.gain / self.excess if self.excess > 0 else 0.0
        return {
            "recommendation": self.recommendation,
            **own,
            "gain_share": share,
            "marginal_gain": self.marginal_gain,
            "stop": self.stop,
            "decided": self.decided,
            "alternatives": [option.to_dict() for option in self.alternatives],
            "warnings": list(self.warnings),
        }


def plan(
    fitted: FitOrParams,
    *,
    n_real: float | Sequence[float],
    price_real: float,
    price_synthetic: float,
    budget: float,
    n_groups: int = 2,
    strategies: Sequence[str] = STRATEGIES,
    subsample: float | None = None,
    min_gain: float = MIN_GAIN,
    level: float = 0.95,
    accept_loss: bool = False,
) -> Plan:
    """The best purchase for a budget; none whose gain may be a loss, unless that is accepted.

    Args:
        fitted: a fitted mixture law, or its parameters where they are known
            (:func:`opal.theory.exchange.mixture_parameters` has those of a setting).
        n_real: real samples of each group, or one number for all ``n_groups`` groups.
        price_real: of one real sample; infinite if none can be bought.
        price_synthetic: of one synthetic sample; ``N·|G|`` are bought.
        budget: money.
        n_groups: ``|G|``, where ``n_real`` is one number.
        strategies: which of :data:`STRATEGIES` to show beside the recommendation.
        subsample: share of one pool of samples that each seed of the pilot drew; None if seeds
            have samples of their own. Seeds that share samples agree too well: their spread is
            rescaled (docs/theory.md, section 12.3).
        min_gain: least share of the excess risk that a purchase must take away.
        level: confidence of the intervals.
        accept_loss: buy on the expected gain alone, whatever its interval.

    Raises:
        ValueError: a number that cannot be, an unknown strategy, a law that is no mixture.
    """
    counts = (n_real,) * n_groups if isinstance(n_real, int | float) else tuple(n_real)
    funds = PurchaseBudget(
        tuple(float(n) for n in counts), price_real, price_synthetic, budget, min_gain, level
    )
    names.check("strategy", strategies, STRATEGIES)
    law, draws = laws_of(fitted, subsample)
    measured = measured_best(fitted) if isinstance(fitted, Fit) else None
    planner = Planner(law, draws, funds, measured)
    best = planner.best()
    asked = best if best.cost > 0 else planner.purchase()
    said = [
        *plan_warnings.of_pool(fitted, subsample),
        *plan_warnings.of_misfit(fitted, asked),
        *plan_warnings.of_purchase(fitted, funds.n, best),
    ]
    advice = _decide(planner, best, asked, strategies, said, accept_loss=accept_loss)
    if advice.chosen.cost > 0:
        return advice
    told = plan_warnings.of_measured(fitted, law, min_gain * planner.excess)
    return replace(advice, warnings=(*told, *advice.warnings))


def _decide(
    planner: Planner,
    best: Option,
    asked: Option,
    strategies: Sequence[str],
    said: list[str],
    *,
    accept_loss: bool,
) -> Plan:
    """Buy if the expected gain is worth it and no loss (docs/theory.md, section 12.3)."""
    budget = planner.budget
    least = budget.min_gain * planner.excess
    low, high = asked.ci
    expected = min(planner.expected_gain(best), best.gain) > least
    buys = expected and (accept_loss or not low <= 0)
    chosen = best if buys else planner.option("reweight", 0, 0.0)
    decided = bool(np.isnan(low) or (low > least) == (high > least))
    if expected and not buys:
        said.append(
            f"undecided: a gain of {best.gain:.3g} is expected of N = {best.n_augmented} with "
            f"weight {best.alpha:.3g}, but its interval [{low:.3g}, {high:.3g}] includes a loss. "
            "`opal plan --pilot` proposes what to run next; --accept-loss buys all the same."
        )
    elif not decided:
        said.append(
            f"undecided: the gain's interval [{low:.3g}, {high:.3g}] includes the least gain that "
            f"counts, {least:.3g}. `opal plan --pilot` proposes what to run next."
        )
    marginal = _marginal(planner, chosen)
    return Plan(
        _say(chosen, budget),
        chosen,
        planner.excess,
        marginal,
        _stop(planner, chosen, marginal, least),
        decided,
        tuple(_alternatives(planner, strategies)),
        tuple(said),
    )


def _alternatives(planner: Planner, strategies: Sequence[str]) -> list[Option]:
    budget, found = planner.budget, []
    if "reweight" in strategies:
        found.append(planner.option("reweight", 0, 0.0))
    if "real" in strategies and np.isfinite(budget.price_real):
        found.append(planner.option("real", 0, 0.0, budget.real_for(budget.money)))
    if "augment" in strategies:
        found.append(planner.purchase())
    if "balance" in strategies and not budget.balanced:
        found.append(planner.balance())
    if "validated" in strategies and planner.measured is not None:
        found.append(planner.option("validated", *planner.measured))
    return found


def _say(chosen: Option, budget: PurchaseBudget) -> str:
    if chosen.n_augmented and chosen.n_real_bought:
        return "buy both"
    if chosen.n_augmented:
        return "buy synthetic"
    if chosen.n_real_bought:
        return "buy real"
    return "buy none" if budget.balanced else "reweight instead"


def _marginal(planner: Planner, chosen: Option) -> float:
    """Fall of the expected risk for one more unit of money, from a tenth of the budget more."""
    step = 0.1 * planner.budget.money
    if chosen.cost == 0:
        return max(planner.best(step).gain / step, 0.0)
    more = planner.best(planner.budget.money + step)
    return max((more.gain - chosen.gain) / step, 0.0)


def _stop(planner: Planner, chosen: Option, marginal: float, least: float) -> str:
    """Whether more money would help."""
    budget = planner.budget
    if chosen.cost == 0:
        return "stop: no purchase within this budget takes away enough risk."
    if chosen.n_augmented and chosen.n_augmented < 0.99 * budget.largest_size:
        return (
            f"stop at N = {chosen.n_augmented}: beyond it a real sample is the cheaper way to less "
            "risk."
        )
    if marginal * budget.money < least:
        return "stop: as much money again would take away less than the least gain that counts."
    return "go on: more money would still take away risk that counts."
