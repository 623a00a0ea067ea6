"""How many synthetic samples to buy, at which weight, and whether to buy any.

docs/theory.md, section 12; docs/plan.md is the guide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from opal import names
from opal.scaling.diagnostics import of_extrapolation
from opal.scaling.exchange import FitOrParams, Mixture, laws_of
from opal.scaling.fit import Fit
from opal.scaling.laws.cross import CrossLaw
from opal.scaling.purchase import MIN_GAIN, NO_NUMBER, Option, Planner, PurchaseBudget
from opal.scaling.table import columns_of

STRATEGIES = ("reweight", "real", "augment", "balance", "validated")
_OF_EXPONENT = ("few sizes", "sizes span too little")  # warnings that a known exponent answers
_OF_POINTS = "the law misses"  # in standard errors, tiny where seeds share their real rows
_CLEAR = 3.0  # standard errors
_ROUNDING = 1e-3  # of the range of the values: what solvers and the order of rows make


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
        price_synthetic: of one synthetic sample; N·|G| are bought.
        budget: money.
        n_groups: |G|, where ``n_real`` is one number.
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
    planner = Planner(*laws_of(fitted, subsample), funds, _measured_best(fitted))
    best = planner.best()
    asked = best if best.cost > 0 else planner.purchase()
    said = [
        *_of_pool(fitted, subsample),
        *_of_misfit(fitted, asked),
        *_warnings(fitted, funds, best),
    ]
    advice = _decide(planner, best, asked, strategies, said, accept_loss=accept_loss)
    if advice.chosen.cost > 0:
        return advice
    told = _of_measured(fitted, planner.law, min_gain * planner.excess)
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


def _warnings(fitted: FitOrParams, budget: PurchaseBudget, best: Option) -> list[str]:
    said = _of_fit(fitted, budget.n, best.n_augmented, best.alpha)
    if best.n_augmented > 0 and not np.isfinite(best.n_equiv):
        said.append(
            f"n_equiv is infinite: {NO_NUMBER}. The real samples in hand are unlucky ones, or the "
            "curve is too short."
        )
    return said


def _measured_best(fitted: FitOrParams) -> tuple[float, float] | None:
    """N and α with the least mean value among points at the largest n."""
    if not isinstance(fitted, Fit):
        return None
    x = {name: fitted.roles.x[name] for name in ("n", "N", "alpha")}
    rows = fitted.frame[fitted.frame[x["n"]] == fitted.frame[x["n"]].max()]
    mean = rows.groupby([x["N"], x["alpha"]])[fitted.roles.y].mean()
    N, alpha = mean.idxmin()
    return (float(N), float(alpha)) if alpha > 0 else (0.0, 0.0)


def _of_fit(fitted: FitOrParams, n: float, N: float, alpha: float) -> list[str]:
    """What the fit warns of, and whether the design (n, N, α) lies far beyond its table."""
    if not isinstance(fitted, Fit):
        return []
    seen = columns_of(fitted.frame, fitted.law, fitted.roles)
    at = {"n": np.array([n]), "N": np.array([max(N, 1.0)]), "alpha": np.array([alpha])}
    known = _OF_EXPONENT if isinstance(fitted.law, CrossLaw) else ()
    kept = [text for text in fitted.warnings if not text.startswith((*known, _OF_POINTS))]
    return [*kept, *of_extrapolation(fitted.law, seen, at, fitted.roles.x)]


def _of_pool(fitted: FitOrParams, subsample: float | None) -> list[str]:
    """Seeds that train on the same real samples: did they draw from one pool as well?"""
    if not isinstance(fitted, Fit) or subsample is not None or fitted.roles.seed is None:
        return []
    alone = fitted.frame[fitted.frame[fitted.roles.x["alpha"]] == 0]
    n = alone[fitted.roles.x["n"]]
    values = alone.loc[n == n.max(), fitted.roles.y]
    if len(values) < 2 or np.ptp(values) > _ROUNDING * np.ptp(fitted.frame[fitted.roles.y]):
        return []
    text = (
        f"all seeds have one risk with all real samples alone ({values.iloc[0]:.4g}). If each drew "
        "half of one pool of synthetic samples too, say --subsample 0.5: without it the intervals "
        "are far too narrow."
    )
    return [text]


def _of_misfit(fitted: FitOrParams, asked: Option) -> list[str]:
    """A law that misses the points with all real samples by more than the gain's interval allows.

    The root mean square miss, with the noise of the means over seeds taken off.
    """
    if not isinstance(fitted, Fit) or fitted.n_seeds < 2:
        return []
    x, seen = fitted.roles.x, columns_of(fitted.frame, fitted.law, fitted.roles)
    rows = fitted.frame.assign(miss=fitted.frame[fitted.roles.y] - fitted.predict(seen))
    rows = rows[rows[x["n"]] == rows[x["n"]].max()]
    each = rows.groupby([x[name] for name in ("n", "N", "alpha")])["miss"]
    mean, noise = each.mean(), each.var() / each.size()
    miss = float(np.sqrt(max(np.mean(mean**2 - noise), 0.0)))
    half = (asked.ci[1] - asked.ci[0]) / 2
    if not miss > half:
        return []
    text = (
        f"the law misses the pilot's risks with all real samples by {miss:.3g} (root mean square), "
        f"more than half of the gain's interval, {half:.3g}, which is then too narrow. Trust the "
        "measured gain of the validated point more than the expected one."
    )
    return [text]


def _of_measured(fitted: FitOrParams, law: Mixture, least: float) -> list[str]:
    """A gain above ``least`` that the pilot measured, where nothing is bought."""
    best = _measured_best(fitted)
    if not isinstance(fitted, Fit) or best is None or best[1] == 0:
        return []
    x, y = fitted.roles.x, fitted.frame[fitted.roles.y]
    n = fitted.frame[x["n"]].max()
    own = fitted.frame[x["n"]] == n
    alone = y[own & (fitted.frame[x["alpha"]] == 0)]
    mixed = y[own & (fitted.frame[x["N"]] == best[0]) & (fitted.frame[x["alpha"]] == best[1])]
    gain = alone.mean() - mixed.mean()
    error = np.sqrt(
        sum(np.var(v, ddof=1) / len(v) if len(v) > 1 else np.inf for v in (alone, mixed))
    )
    if alone.empty or not gain > max(least, _CLEAR * error):
        return []
    expected = float(law.excess(n, 1, 0.0) - law.excess(n, *best))
    agrees = abs(gain - expected) <= _CLEAR * error
    text = (
        f"the pilot measured {gain:.3g} less risk at N = {best[0]:g}, alpha = {best[1]:g} than "
        f"with real samples alone; the law expects {expected:.3g}"
        f"{'' if agrees else ' and does not hold there'}. Validate that point on other samples "
        "before you decide to go without."
    )
    return [text]
