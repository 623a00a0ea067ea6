"""What an evaluation of added texts comes to, in a sentence for each writer.

Judged is the balanced error of the most texts that all seeds have, with the weight that
cross-validation chose (arm ``synthetic_alpha``, which can fall back to no weight at all), against
the two rules that cost nothing, group weighting and a moved threshold. Texts *help* if the 95 %
interval of the difference to both lies below 0, and *harm* if that to both lies above 0. They are
*outdone* if one free rule alone does better: they may improve on the other. Texts that
cross-validation gives no weight are *unused*. A purchase is advised where texts help, and on no
other ground, whatever the plan of the log loss says.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from opal.bridge.render import between, signed
from opal.bridge.resampling import crossed_influence, half_width
from opal.bridge.text.curves.exchange import METRIC, most_added

ARM = "synthetic_alpha"
FREE = ("weighting", "threshold")
_RULES = {"weighting": "class weighting", "threshold": "a moved threshold"}
_LEAST, _ENOUGH = 2, 5  # draws, for an interval at all and for one that covers as it should
_MOST = 100  # times as many test texts and draws, beyond which it is of no use to know how many


class Change(NamedTuple):
    """Of the balanced error by added texts, less that of a free rule; below 0 they are better."""

    added: int  # N
    against: str  # the free rule
    free: float  # its balanced error
    value: float  # the difference
    low: float  # end of its 95 % interval
    high: float  # the other
    over_tests: float  # standard error that more test texts lower
    over_seeds: float  # that more seeds lower
    n_test: int  # test texts
    n_seeds: int  # draws
    n_real: float = nan  # labelled texts that each draw trains on
    alpha: float = nan  # mean weight of the texts
    worse: bool = True  # whether the intervals to both free rules lie above 0, if this one does

    @property
    def says(self) -> str:
        """``helps``, ``harms``, ``outdone``, ``unused`` or ``open``."""
        if self.alpha == 0:
            return "unused"
        if self.low > 0:
            return "harms" if self.worse else "outdone"
        return "helps" if self.high < 0 else "open"

    def decided_by(self) -> tuple[float, float]:
        """As many test texts and draws as would decide it, if the estimate stands.

        More test texts alone, if these can; else more draws alone, or more of both. Not a number
        where it is decided, or where a hundred times as many of both would not decide it.
        """
        if self.says != "open":
            return nan, nan
        times = np.geomspace(1, _MOST, 2000)[1:]
        for more_tests, more_seeds in ((True, False), (False, True), (True, True)):
            n = np.ceil(self.n_test * (times if more_tests else times**0))
            s = np.ceil(self.n_seeds * (times if more_seeds else times**0))
            seeds = self.over_seeds**2 * self.n_seeds / s
            variance = self.over_tests**2 * self.n_test / n + seeds
            share = np.maximum(seeds / np.maximum(variance, 1e-300), 1e-6)
            enough = abs(self.value) > half_width(np.sqrt(variance), (s - 1) / share**2)
            if self.value and enough.any():
                first = int(np.argmax(enough))
                return float(n[first]), float(s[first])
        return nan, nan

    def described(self) -> dict[str, Any]:
        """Columns of :func:`opal.bridge.text.curves.plan.comparison`."""
        n_test, n_seeds = self.decided_by()
        return {
            "verdict": self.says,
            "weighed": self.added,
            "change": self.value,
            "change_low": self.low,
            "change_high": self.high,
            "against": self.against,
            "against_error": self.free,
            "n_test": self.n_test,
            "n_seeds": self.n_seeds,
            "n_real": self.n_real,
            "decided_by_test": n_test,
            "decided_by_seeds": n_seeds,
        }


def change(records: pd.DataFrame, writer: str) -> Change | None:
    """What the texts of a writer change; None where nothing can be said of it.

    That is where none were added with a chosen weight, or by one seed alone, which shows no spread.
    ``records`` are of one corpus and encoder.
    """
    rows = records[(records["metric"] == METRIC) & (records["source"] == "data")]
    made = rows[(rows["arm"] == ARM) & (rows["synthesizer"] == writer)]
    if made.empty:
        return None
    most = most_added(made.rename(columns={"replicate": "seed"}))
    made = made[made["added"] == most].set_index("replicate")
    if len(made) < _LEAST:
        return None
    found = []
    for arm in FREE:
        free = rows[rows["arm"] == arm].set_index("replicate").loc[made.index]
        values = (made["value"] - free["value"]).to_numpy()
        influence = [a - b for a, b in zip(made["influence"], free["influence"], strict=True)]
        crossed = crossed_influence(values, influence, np.zeros(len(values), dtype=int))
        (value,), (error,), (dof,), (over_tests,) = crossed
        far, over_seeds = half_width(error, dof), np.sqrt(max(error**2 - over_tests**2, 0.0))
        found.append(
            Change(
                added=most,
                against=arm,
                free=float(free["value"].mean()),
                value=float(value),
                low=float(value - far),
                high=float(value + far),
                over_tests=float(over_tests),
                over_seeds=float(over_seeds),
                n_test=int(made["n_test"].iloc[0]),
                n_seeds=len(values),
                n_real=float(made["n_real"].mean()),
                alpha=float(made["alpha"].mean()),
            )
        )
    # What helps is better than both: the one that it is least sure to beat decides.
    worst = max(found, key=lambda each: (each.high >= 0, each.value))
    return worst._replace(worse=all(each.low > 0 for each in found))


def sentence(row: Mapping[str, Any]) -> str:
    """Did it help, how much, how sure, what now, and what would decide it.

    ``row`` is of :func:`opal.bridge.text.curves.plan.comparison`, with a verdict.
    """
    free = _RULES[row["against"]]
    decides = _decides(row)
    head, now = {
        "helps": ("the texts help", "Buy them, and let cross-validation choose their weight."),
        "harms": ("the texts harm", f"Buy none, and use {free}."),
        "outdone": (f"{free}, which is free, does better", f"Buy none, and use {free}."),
        "unused": ("cross-validation gives the texts no weight", f"Buy none, and use {free}."),
        "open": ("undecided", f"Buy none{' yet' if decides else ''}, and use {free}."),
    }[row["verdict"]]
    unused = row["verdict"] == "unused"
    weight = "weight 0" if unused else "a weight that cross-validation chooses"
    measured = (
        f"the balanced error of {row['n_real']:,.0f} labelled texts is "
        f"{row['against_error'] + row['change']:.3f} with {row['weighed']:,.0f} of these, "
        f"at {weight}, and {row['against_error']:.3f} without them, by "
        f"{free}, which is free: {signed(row['change'])}, 95 % interval "
        f"{between(row['change_low'], row['change_high'])}."
    )
    few = row["n_seeds"] < _ENOUGH
    rough = f"With fewer than {_ENOUGH} draws (--seeds) the interval is rough." if few else ""
    beyond = f"{_MOST} times as many test texts and draws would not decide it."
    open_ = (decides or beyond) if row["verdict"] == "open" else ""
    said = (f"{head}:", measured, rough, now, open_, _worth(row), _loss(row))
    return " ".join(filter(None, said))


def _decides(row: Mapping[str, Any]) -> str:
    tests, seeds = row.get("decided_by_test"), row.get("decided_by_seeds")
    if tests is None or seeds is None or np.isnan(tests):
        return ""
    more = []
    if tests > row["n_test"]:
        more.append(f"{tests:,.0f} test texts (there are {row['n_test']:,.0f})")
    if seeds > row["n_seeds"]:
        more.append(f"{seeds:,.0f} draws, --seeds (there are {row['n_seeds']:,.0f})")
    harm = ", which is harm" if row["change"] > 0 else ""
    return (
        f"If the true change is {signed(row['change'])}{harm}, {' and '.join(more)} would show it."
    )


def _worth(row: Mapping[str, Any]) -> str:
    """What they are worth in human texts, if that is shown to be something of texts that help."""
    if row["verdict"] != "helps" or not row.get("worth_low"):
        return ""
    numbers = [row.get(name) for name in ("worth", "worth_low", "worth_high")]
    best, low, high = ("more than there are" if n is None else f"{n:,.0f}" for n in numbers)
    return (
        f"With one weight for all texts of a class instead, {row['added']:,.0f} of them do what "
        f"{best} human texts do [{low}, {high}]."
    )


def _loss(row: Mapping[str, Any]) -> str:
    """What was measured of the log loss, where that is decided."""
    if row.get("came") not in ("gain", "loss"):
        return ""
    value, far = -row["measured"], row["measured_far"]
    return (
        f"Of probabilities: at weight α = {row['tried_alpha']:g}, {row['tried']:,.0f} of them "
        f"change the log loss by {signed(value)} {between(value - far, value + far)} against class "
        "weighting; hold that against a moved threshold in the table before you use them for it."
    )
