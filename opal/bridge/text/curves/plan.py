"""The plan that a pilot makes of how many texts to buy, and what the purchases brought.

The plan is made from log losses, the risk that its law is of (docs/theory.md, section 12). Like all
that an evaluation says, it is about these base texts: the draws of its law are of the mean over
seeds. :func:`comparison` puts it beside what added texts are worth
(:mod:`opal.bridge.text.curves.exchange`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from opal.bridge.resampling import Z95, half_width
from opal.bridge.text.corpus import HUMAN
from opal.bridge.text.curves import train
from opal.bridge.text.curves.evaluate import KEYS, summary
from opal.bridge.text.curves.exchange import (
    ARM,
    curve,
    errors_of_differences,
    floor,
    most_added,
    worth,
)
from opal.bridge.text.curves.verdict import change
from opal.scaling.exchange import Mixture, laws_of
from opal.scaling.fit import Fit
from opal.scaling.pilot_fit import fit_pilot
from opal.scaling.plan import plan
from opal.scaling.purchase import MIN_GAIN

_ENOUGH = 5  # seeds, for a purchase to be advised
DRAWS = 400
"""Draws of the law: an end of an interval that decides must not be that of two or three of them."""


@dataclass(frozen=True)
class PurchasePlan:
    """What a pilot advises, of the purchase that was trained nearest to what its law recommends.

    Attributes:
        says: ``buy`` or ``none`` if the interval of the gain lies on one side of the least gain
            that counts (a share :data:`opal.scaling.purchase.MIN_GAIN` of the excess), else
            ``open``.
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


def pilot_rows(records: pd.DataFrame, writer: str) -> pd.DataFrame:
    """A pilot's table: n and N for each group, α, log loss and seed (:mod:`opal.scaling.pilot`)."""
    chosen = records[(records["metric"] == "balanced_risk") & (records["source"] == "data")]
    own = (chosen["arm"] == train.PILOT) & chosen["synthesizer"].isin(["none", writer])
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


def plan_purchase(records: pd.DataFrame, writer: str) -> PurchasePlan:
    """What a pilot on at most half the texts advises.

    The budget buys the largest size, and human texts cannot be bought. Intervals join the spread
    of the law's draws with the error over test texts, which all points share.

    Raises:
        ValueError: the pilot has too few points, or nothing was trained beyond it.
    """
    frame = pilot_rows(records, writer)
    trained = purchases(records, writer, "balanced_risk")
    if trained.empty:
        raise ValueError(f"no purchase of {writer} was trained.")
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
    best = made.chosen
    if not best.n_augmented:
        best = made.alternative("augment")
    wanted = best.n_augmented * n_groups, best.alpha
    tried = _nearest(trained, *wanted)
    noise = _error_over_tests(records, writer, tried[1])
    gain = _gain(fitted, n, (tried[0] / n_groups, tried[1]), noise, frame["seed"].nunique())
    says, why = _decided(gain, MIN_GAIN * made.excess)
    if says == "buy" and frame["seed"].nunique() < _ENOUGH:
        says, why = "open", f"fewer than {_ENOUGH} seeds know their spread too badly to buy"
    return PurchasePlan(says, why, wanted, tried, gain)


def groups(records: pd.DataFrame) -> int:
    """Number of groups with test texts."""
    return int(records.loc[records["group"] != "all", "group"].nunique())


def purchases(records: pd.DataFrame, writer: str, metric: str) -> pd.DataFrame:
    """Gains over weighting of the purchases that most seeds could make, by N and α.

    Returns:
        Columns ``added``, ``alpha``, ``gain``, ``error`` (standard error, paired with weighting)
        and ``far`` (half of the 95 % interval).
    """
    own = (records["arm"] == train.PURCHASE) & (records["synthesizer"] == writer)
    rows = records[own & (records["metric"] == f"{metric}_difference")]
    rows = rows[rows["source"] == "data"]
    table = summary(rows.assign(weight=rows["alpha"]), (*KEYS, "weight"))
    table = table[table["n_replicates"] == table["n_replicates"].max()]
    found = pd.DataFrame(
        {
            "added": table["added"],
            "alpha": table["weight"],
            "gain": -table["value"],
            "error": table["std_error"],
            "far": table["upper"] - table["value"],
        }
    )
    return found.reset_index(drop=True)


def realised(records: pd.DataFrame, writer: str, advised: PurchasePlan) -> dict[str, Any]:
    """What the purchase brought that the advice is about, and what the best one did.

    Returns:
        ``measured``, ``measured_error`` and ``measured_far``: gain in log loss over weighting, its
        standard error, and half of its 95 % interval; ``less_error``, ``less_error_error`` and
        ``less_error_far``: the same of the balanced error; ``best``, ``best_error``,
        ``best_added``, ``best_alpha``: the purchase with the largest gain, or none if no gain is
        above 0; ``regret``: what the advice gains less than that, too large on average since the
        best is the luckiest too; ``came``: ``gain`` or ``loss`` if the measured interval excludes
        0, else ``open``.
    """
    risk, error = (purchases(records, writer, f"balanced_{name}") for name in ("risk", "error"))
    measured, less = (_at(table, advised.tried) for table in (risk, error))
    gain = float(measured["gain"])
    best = risk.loc[risk["gain"].idxmax()]
    if best["gain"] <= 0:
        best = pd.Series(0.0, best.index)
    return {
        "measured": gain,
        "measured_error": float(measured["error"]),
        "measured_far": float(measured["far"]),
        "less_error": float(less["gain"]),
        "less_error_error": float(less["error"]),
        "less_error_far": float(less["far"]),
        "best": float(best["gain"]),
        "best_error": float(best["error"]),
        "best_added": int(best["added"]),
        "best_alpha": float(best["alpha"]),
        "regret": float(best["gain"]) - (gain if advised.says == "buy" else 0.0),
        "came": "open" if abs(gain) <= measured["far"] else "gain" if gain > 0 else "loss",
    }


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """A row for each corpus, encoder and writer of added texts.

    Returns:
        Columns ``floor``, ``floor_low``, ``floor_high`` (of the balanced error); ``worth``,
        ``worth_low``, ``worth_high`` (human texts that ``added`` texts are worth); ``advice``
        (buy, none or open), ``wanted``, ``wanted_alpha`` (N and α that the plan's law likes best),
        ``tried``, ``tried_alpha`` (the trained purchase nearest to them), ``promised``,
        ``promised_low``, ``promised_high`` (its gain in log loss by the law), and those of
        :func:`opal.bridge.text.curves.plan.realised`. Where a number is missing, ``floor_why``,
        ``worth_why`` or ``plan_why`` says why; ``plan_why`` also says what decided. Last come those
        of :class:`opal.bridge.text.curves.verdict.Change`: ``verdict`` (helps, harms, open), what
        ``weighed`` texts change (``change``, ``change_low``, ``change_high``) against the free rule
        ``against`` with its ``against_error``, and the test texts and seeds that there are and
        that would decide it (``decided_by_test``, ``decided_by_seeds``).
    """
    cases = records[records["source"] == "data"].groupby(["setting", "encoder"], sort=False)
    return pd.DataFrame([row for _, each in cases for row in _compared(each)])


def _nearest(trained: pd.DataFrame, added: float, alpha: float) -> tuple[int, float]:
    """The trained purchase of the nearest size, and of those the nearest weight."""
    sizes, weights = trained["added"].unique(), trained["alpha"].unique()
    size = sizes[np.argmin(np.abs(sizes - added))]
    return int(size), float(weights[np.argmin(np.abs(weights - alpha))])


def _error_over_tests(records: pd.DataFrame, writer: str, alpha: float) -> float:
    """Standard error over test texts of the pilot's gain, at its largest size and this weight.

    Seeds share their test texts: it is that of the mean over seeds.
    """
    rows = records[
        (records["arm"] == train.PILOT)
        & (records["synthesizer"] == writer)
        & (records["metric"] == "balanced_risk_difference")
        & (records["source"] == "data")
    ]
    rows = rows[rows["added"] == rows.groupby("replicate")["added"].transform("max")]
    far = (rows["alpha"] - alpha).abs()
    near = rows[far == far.min()]
    (error,) = summary(near.assign(weight=near["alpha"]), ("weight",))["over_tests"]
    return float(error)


def _gain(
    fitted: Fit, n: float, at: tuple[float, float], noise: float, n_seeds: int
) -> tuple[float, float, float]:
    """The gain that a law promises for N and α, and the ends of its interval.

    Few seeds know their spread badly: how far draws lie from the law is stretched as Student's t of
    as many degrees of freedom is, but one, beside the normal.
    """
    law, draws = laws_of(fitted)

    def gain(each: Mixture) -> np.ndarray:
        return np.asarray(each.excess(n, 1, 0.0) - each.excess(n, *at))

    best = gain(law)
    few = half_width(1.0, max(n_seeds - 1, 1)) / Z95
    moved = best if draws is None else best + few * (gain(draws) - best)
    moved = moved + noise * np.random.default_rng(0).standard_normal(moved.shape)
    # No more can be gained than the loss that there is without added texts.
    loss = float(np.asarray(law.E) + law.excess(n, 1, 0.0))
    low, high = np.quantile(np.minimum(moved, loss), [0.025, 0.975])
    return float(best), float(low), float(high)


def _decided(gain: tuple[float, float, float], least: float) -> tuple[str, str]:
    _, low, high = gain
    if low > least:
        return "buy", f"the promised gain is above {least:.2g}, the least that counts"
    if high <= least:
        return "none", f"the promised gain is below {least:.2g}, the least that counts"
    return "open", f"the interval of the promised gain includes {least:.2g}, the least that counts"


def _at(table: pd.DataFrame, point: tuple[int, float]) -> pd.Series:
    return table[(table["added"] == point[0]) & (table["alpha"] == point[1])].iloc[0]


def _compared(records: pd.DataFrame) -> Iterator[dict[str, Any]]:
    own = dict.fromkeys(records.loc[records["arm"] == ARM, "synthesizer"])
    points = {writer: curve(records, writer) for writer in own}
    human = points.get(HUMAN)
    for writer, each in points.items():
        largest = most_added(each[each["added"] > 0])
        row: dict[str, Any] = {
            "setting": records["setting"].iloc[0],
            "encoder": records["encoder"].iloc[0],
            "source": writer,
            "added": largest,
            **_floor(each),
        }
        if writer != HUMAN:
            row |= _worth(human, each, largest, records, writer) | _advised(records, writer)
            changed = change(records, writer)
            row |= changed.described() if changed is not None else {}
        yield row


def _floor(points: pd.DataFrame) -> dict[str, Any]:
    if points["seed"].nunique() < 2:
        return {"floor_why": "a single draw shows no spread; use --seeds 2 or more"}
    try:
        found = floor(points)
    except ValueError as error:  # too few sizes, or a flat curve: there is no law
        return {"floor_why": _sentence(error)}
    if found.why_not:
        return {"floor_why": _sentence(found.why_not)}
    return {"floor": found.estimate, "floor_low": found.low, "floor_high": found.high}


def _worth(
    human: pd.DataFrame | None, points: pd.DataFrame, size: int, records: pd.DataFrame, writer: str
) -> dict[str, Any]:
    if human is None:
        why = "there are no human texts beyond the base texts, or fewer than the least of --sizes"
        return {"worth_why": why}
    (found,) = worth(human, points, (size,), errors=errors_of_differences(records, writer))
    return {"worth": found.human, "worth_low": found.low, "worth_high": found.high}


def _advised(records: pd.DataFrame, writer: str) -> dict[str, Any]:
    try:
        made = plan_purchase(records, writer)
    except ValueError as error:
        return {"plan_why": _sentence(error)}
    promised, low, high = made.promised
    return {
        "advice": made.says,
        "plan_why": made.why,
        "wanted": made.wanted[0],
        "wanted_alpha": made.wanted[1],
        "tried": made.tried[0],
        "tried_alpha": made.tried[1],
        "promised": promised,
        "promised_low": low,
        "promised_high": high,
        **realised(records, writer, made),
    }


def _sentence(error: object) -> str:
    return " ".join(str(error).split()).rstrip(".")
