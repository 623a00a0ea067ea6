"""The plan that a pilot makes of how many texts to buy.

It is made from log losses, the risk that its law is of (docs/theory.md, section 12). Like all that
an evaluation says, it is about these base texts: the draws of its law are of the mean over seeds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from opal.bridge.text.curves import pilot
from opal.bridge.text.curves.outcome import purchases
from opal.scaling.evidence import laws_of
from opal.scaling.exchange import Mixture
from opal.scaling.fit import Fit
from opal.scaling.pilot import fit_pilot
from opal.scaling.plan import Plan, plan
from opal.scaling.purchase import Option
from opal.scaling.terms import MIN_GAIN

DRAWS = 400
"""Draws of the law: an end of an interval that decides must not be that of two or three of them."""


@dataclass(frozen=True)
class Advice:
    """What a pilot advises, of the purchase that was trained nearest to what its law recommends.

    Attributes:
        says: ``buy`` or ``none`` if the interval of the gain lies on one side of the least gain
            that counts (a share :data:`opal.scaling.terms.MIN_GAIN` of the excess), else ``open``.
        why: in a sentence.
        wanted: N over all groups and α that the law recommends; where it recommends none, those of
            the best purchase.
        tried: N and α of the purchase that was trained nearest to it.
        promised: the gain in log loss over weighting that the law expects of it, and the ends of
            its 95 % interval.
    """

    says: str
    why: str
    wanted: tuple[int, float]
    tried: tuple[int, float]
    promised: tuple[float, float, float]


def pilot_rows(records: pd.DataFrame, source: str) -> pd.DataFrame:
    """A pilot's table: n and N for each group, α, log loss and seed (:mod:`opal.scaling.pilot`)."""
    chosen = records[(records["metric"] == "balanced_risk") & (records["source"] == "data")]
    own = (chosen["arm"] == pilot.ARM) & chosen["synthesizer"].isin(["none", source])
    rows = chosen[own | (chosen["arm"] == "weighting")]
    n_groups = groups(records)
    # Seeds differ a little in their counts; the law is of the means.
    part = rows["n_real"].where(rows["n_real"] > 0).groupby(rows["replicate"]).rank("dense")
    n = rows["n_each"].groupby(part).transform("mean")
    frame = pd.DataFrame(
        {
            "n": n.fillna(n.max()),
            "N": rows["added"] / n_groups,
            "alpha": rows["alpha"],
            "value": rows["value"],
            "seed": rows["replicate"].astype(int),
        }
    )
    # Resampling counts rows: the advice must not depend on the order in which seeds were run.
    return frame.sort_values(list(frame.columns), ignore_index=True)


def advice(records: pd.DataFrame, source: str) -> Advice:
    """What a pilot on at most half the texts advises.

    The budget buys the largest size, and human texts cannot be bought. Intervals join the spread
    of the law's draws with the error over test texts, which all points share.

    Raises:
        ValueError: the pilot has too few points, or nothing was trained beyond it.
    """
    frame = pilot_rows(records, source)
    trained = purchases(records, source, "balanced_risk")
    if trained.empty:
        raise ValueError(f"no purchase of {source} was trained.")
    fitted = fit_pilot(frame, seed="seed", n_bootstrap=DRAWS)
    n_groups, n = groups(records), float(frame["n"].max())
    made = plan(
        fitted,
        n_real=n,
        n_groups=n_groups,
        price_real=np.inf,
        price_synthetic=1.0,
        budget=float(trained["added"].max()),
    )
    best = _asked(made)
    wanted = best.n_augmented * n_groups, best.alpha
    tried = _nearest(trained, *wanted)
    noise = _error_over_tests(records, source, tried[1])
    gain = _gain(fitted, n, (tried[0] / n_groups, tried[1]), noise)
    says, why = _decided(gain, MIN_GAIN * made.excess)
    return Advice(says, why, wanted, tried, gain)


def groups(records: pd.DataFrame) -> int:
    """Number of groups with test texts."""
    return int(records.loc[records["group"] != "all", "group"].nunique())


def _asked(made: Plan) -> Option:
    """The purchase that is recommended, or the best of those that are not."""
    if made.chosen.n_augmented:
        return made.chosen
    return next(each for each in made.alternatives if each.strategy == "augment")


def _nearest(trained: pd.DataFrame, added: float, alpha: float) -> tuple[int, float]:
    """The trained purchase of the nearest size, and of those the nearest weight."""
    sizes, weights = trained["added"].unique(), trained["alpha"].unique()
    size = sizes[np.argmin(np.abs(sizes - added))]
    return int(size), float(weights[np.argmin(np.abs(weights - alpha))])


def _error_over_tests(records: pd.DataFrame, source: str, alpha: float) -> float:
    """Standard error over test texts of the pilot's gain, at its largest size and this weight."""
    rows = records[
        (records["arm"] == pilot.ARM)
        & (records["synthesizer"] == source)
        & (records["metric"] == "balanced_risk_difference")
        & (records["source"] == "data")
    ]
    rows = rows[rows["added"] == rows.groupby("replicate")["added"].transform("max")]
    far = (rows["alpha"] - alpha).abs()
    near = rows[far == far.min()]
    return float(np.sqrt(np.mean(np.square(near["std_error"]))))


def _gain(
    fitted: Fit, n: float, at: tuple[float, float], noise: float
) -> tuple[float, float, float]:
    """The gain that a law promises for N and α, and the ends of its interval."""
    law, draws = laws_of(fitted)

    def gain(each: Mixture) -> np.ndarray:
        return np.asarray(each.excess(n, 1, 0.0) - each.excess(n, *at))

    moved = gain(law if draws is None else draws)
    moved = moved + noise * np.random.default_rng(0).standard_normal(moved.shape)
    low, high = np.quantile(moved, [0.025, 0.975])
    return float(gain(law)), float(low), float(high)


def _decided(gain: tuple[float, float, float], least: float) -> tuple[str, str]:
    _, low, high = gain
    if low > least:
        return "buy", f"the promised gain is above {least:.2g}, the least that counts"
    if high <= least:
        return "none", f"the promised gain is below {least:.2g}, the least that counts"
    return "open", f"the interval of the promised gain includes {least:.2g}, the least that counts"
