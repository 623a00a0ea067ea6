"""What filling a class comes to, in a sentence for each writer and number of originals.

Judged is F1 of the filled arm with a moved threshold, against each rule that costs nothing
(:data:`FREE`), two of which have a moved threshold too. Filling *helps* if the 95 % interval of
the difference to every one of them lies above 0, and *harms* if that to the best one lies below 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan, nan
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from opal.bridge.render import between, signed
from opal.bridge.resampling import half_width

ARM = "synthetic_threshold"
FREE = ("raw", "weighting", "raw_threshold", "weighting_threshold")
"""Rules that cost nothing: no text is bought or labelled for them."""
NOT_JUDGED = "not judged"
PUBLISHED = "not judged: folds know no lineage, and look too good. Ask --protocol sound."
LARGEST_GAP = 0.05
LEAST_F1 = 0.6
"""A gap above and an F1 below these are to warn, says arXiv 2504.15160."""
_MOST = 100  # times as many texts, beyond which it is of no use to know how many


class Gain(NamedTuple):
    """Of F1 by filling, over a free rule."""

    against: str  # the free rule
    free: float  # its F1
    value: float  # the difference
    low: float  # end of its 95 % interval
    high: float  # the other
    std_error: float  # corrected
    n_splits: float  # J, over all repeats; not a number of a mean over corpora
    n_folds: float  # K, likewise

    @property
    def says(self) -> str:
        """``helps``, ``harms`` or ``open``."""
        return "helps" if self.low > 0 else "harms" if self.high < 0 else "open"

    def decided_by(self) -> tuple[float, float]:
        """Repeats, or times as many original texts, that would decide it if the estimate stands.

        The variance is ``s² (1/J + 1/(K − 1))``, of which more repeats lower the first term alone,
        and more texts both; Student's t has J − 1 degrees. Not a number where it is decided or the
        other one suffices; and both, where a hundred times as many texts would not do.
        """
        if self.says != "open" or self.value == 0 or isnan(self.n_folds):
            return nan, nan
        of_split = self.std_error**2 / (1 / self.n_splits + 1 / (self.n_folds - 1))
        done = round(self.n_splits / self.n_folds)
        repeats = np.arange(done + 1, max(_MOST, 2 * done) + 1)
        splits = repeats * self.n_folds
        far = half_width(np.sqrt(of_split * (1 / splits + 1 / (self.n_folds - 1))), splits - 1)
        enough = abs(self.value) > far
        if enough.any():
            return float(repeats[np.argmax(enough)]), nan
        factor = float(half_width(self.std_error, self.n_splits - 1) / self.value) ** 2
        return nan, factor if factor <= _MOST else nan


def gain(case: pd.DataFrame, writer: str) -> Gain | None:
    """What filling gains over the free rule that it is least sure to beat.

    None where an arm is missing. ``case`` are records of one setting, number of originals and fill
    (:func:`opal.bridge.text.impute.claims.summarise`).
    """
    f1 = case[(case["metric"] == "f1") & case["arm"].isin(FREE)].set_index("arm")["value"]
    own = case[(case["arm"] == ARM) & (case["synthesizer"] == writer)].set_index("metric")
    names = {arm: f"f1_minus_{arm}" for arm in FREE}
    if not {*names.values()} <= set(own.index) or not {*FREE} <= set(f1.index):
        return None
    found = []
    for arm, name in names.items():
        row = own.loc[name]
        value, low, high = (float(row[end]) for end in ("value", "lower", "upper"))
        of_splits = (float(row[name]) for name in ("std_error", "n_replicates", "n_folds"))
        found.append(Gain(arm, float(f1[arm]), value, low, high, *of_splits))
    return min(found, key=lambda each: (each.low > 0, each.value))


def described(known: Gain | None) -> dict[str, Any]:
    """Columns of :func:`opal.bridge.text.impute.claims.claims`."""
    gain = known or Gain("", *[nan] * 7)
    repeats, factor = gain.decided_by()
    return {
        "verdict": gain.says if known else NOT_JUDGED,
        "gain": gain.value,
        "gain_lower": gain.low,
        "gain_upper": gain.high,
        "against": gain.against,
        "f1_against": gain.free,
        "n_repeats": gain.n_splits / gain.n_folds,
        "decided_by_repeats": repeats,
        "decided_by_texts": factor,
    }


def rule(arm: str) -> str:
    """An arm in words.

    >>> rule("raw_threshold")
    'the raw rule with a moved threshold'
    """
    name = arm.removesuffix("_threshold")
    return f"the {name} rule" + (" with a moved threshold" if name != arm else "")


def sentence(row: Mapping[str, Any]) -> str:
    """Did filling help, how much, how sure, what now, and what would decide it.

    ``row`` is of :func:`opal.bridge.text.impute.claims.claims`.
    """
    if row["verdict"] == NOT_JUDGED:
        return (
            f"not judged: it takes the arms {', '.join((ARM, *FREE))}; those without texts or "
            "left out by --arms are missing."
        )
    best = rule(row["against"])
    never = isnan(row["decided_by_repeats"]) and isnan(row["decided_by_texts"])
    yet = "" if never else " yet"
    head, now = {
        "helps": ("filling helps", "Fill the class, and move the threshold."),
        "harms": ("filling harms", f"Buy none, and use {best}."),
        "open": ("undecided", f"Buy none{yet}, and use {best}."),
    }[row["verdict"]]
    measured = (
        f"with a moved threshold F1 is {row['f1_threshold']:.3f}, which is {signed(row['gain'])} "
        f"{between(row['gain_lower'], row['gain_upper'])} against {best} "
        f"({row['f1_against']:.3f}), which costs nothing."
    )
    return " ".join(filter(None, (f"{head}:", measured, now, _decides(row))))


def warnings(row: Mapping[str, Any]) -> list[str]:
    """Where the rule that is judged has a gap or an F1 of which the paper warns."""
    gap, f1, found = row["gap_threshold"], row["f1_threshold"], []
    if gap > LARGEST_GAP:
        found.append(f"the gap is {gap:+.3f}, above {LARGEST_GAP}: the rule knows the writer")
    if f1 < LEAST_F1:
        found.append(f"F1 is {f1:.3f}, below {LEAST_F1}: look whether the texts are of the class")
    return found


def _decides(row: Mapping[str, Any]) -> str:
    if row["verdict"] != "open":
        return ""
    repeats, factor = row["decided_by_repeats"], row["decided_by_texts"]
    if not isnan(repeats):
        return (
            f"{repeats:,.0f} repeats would decide it, if that stands ({row['n_repeats']:.0f} done)."
        )
    if not isnan(factor):
        return f"{factor:.3g} times as many original texts would decide it, if that stands."
    return f"{_MOST} times as many original texts would not decide it, if that stands."
