"""What records of an evaluation of texts must hold, whatever the texts are."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import binom

from opal.bridge.text.corpus import HUMAN
from opal.bridge.text.curves.evaluate import TRIED, summary
from opal.bridge.text.curves.exchange import ARM, METRIC, curve, errors_of_differences, worth
from opal.bridge.text.encoders import WORDS
from opal.checks import Check, at_least, at_most, refuted, within_standard_errors

_RULE = ["setting", "synthesizer", "arm", "added"]


def checks(records: pd.DataFrame) -> list[Check]:
    """Human texts help, α = 0 is weighting, and estimates on test texts agree with exact errors."""
    found = [_human_texts_help(records), _weighting(records)]
    if (records["encoder"] == WORDS).any():
        found += [*_exact(records), *_worths(records)]
    return found


def _human_texts_help(records: pd.DataFrame) -> Check:
    """The balanced error with the most human texts, less that of weighting."""
    rows = records[
        (records["metric"] == "balanced_error_difference")
        & (records["arm"] == "synthetic_weighting")
        & (records["synthesizer"] == HUMAN)
    ]
    table = summary(rows)
    last = table[table["added"] == table.groupby(["setting", "encoder"])["added"].transform("max")]
    z = -last["value"] / last["std_error"]
    detail = f"least fall in standard errors over {len(last)} corpora and encoders"
    return at_least("human texts help", z, 2.0, detail)


def _weighting(records: pd.DataFrame) -> Check:
    """Where ρ = 0 was chosen, the arm is weighting."""
    rows = records[(records["rho"] == 0) & records["metric"].str.endswith("_difference")]
    detail = f"largest difference to weighting where rho = 0, {len(rows)} numbers"
    return at_most("alpha = 0 is weighting", rows["value"].abs(), 1e-3, detail)


def _exact(records: pd.DataFrame) -> list[Check]:
    """Balanced errors on test texts against the grammar's law, and against a wrong one."""
    honest, wrong = (scores(records, f"balanced_error{law}") for law in ("", "_control"))
    detail = "balanced errors on test texts against the law of another writer, which must fail"
    caught = refuted("control", wrong, wrong - honest, detail)
    return [within_standard_errors("exact errors", honest), caught]


def _worths(records: pd.DataFrame) -> list[Check]:
    """Intervals of what texts are worth against exact errors, and against those of a wrong law."""
    words = records[records["encoder"] == WORDS]
    held = worths(words, METRIC)
    caught = len(held) - int(worths(words, f"{METRIC}_control").sum())
    most = float(binom.ppf(0.99, len(held), 0.05))
    detail = f"of {len(held)} intervals, exact worths outside: as many as chance leaves"
    wrong = "exact worths by the law of another writer outside: must be caught"
    missed = len(held) - int(held.sum())
    return [
        at_most("worth", missed, most, detail),
        at_least("worth control", caught, most + 1, wrong),
    ]


def worths(records: pd.DataFrame, metric: str) -> np.ndarray:
    """Whether the interval of each N of each generator holds the worth by exact errors.

    ``records`` are of one corpus by its words, and ``metric`` is that of the exact errors.
    """
    known = records[(records["source"] == "theory") & (records["metric"] == metric)]
    known = known.assign(source="data", metric=METRIC)
    made = records.loc[records["arm"] == ARM, "synthesizer"]
    held = []
    for writer in dict.fromkeys(made[made != HUMAN]):
        own, exact = ([curve(each, name) for name in (HUMAN, writer)] for each in (records, known))
        found = worth(*own, errors=errors_of_differences(records, writer))
        truth = worth(*exact)
        held += [a.low <= b.human <= a.high for a, b in zip(found, truth, strict=True)]
    return np.array(held, dtype=bool)


def scores(records: pd.DataFrame, metric: str) -> pd.Series:
    """z-scores of balanced errors on test texts against exact ones, an arm and size each.

    Both are means over seeds, of the same rules: only the test texts, which seeds share, err.
    """
    words = records[(records["encoder"] == WORDS) & ~records["arm"].isin(TRIED)]
    measured = words[(words["source"] == "data") & (words["metric"] == "balanced_error")]
    known = words[(words["source"] == "theory") & (words["metric"] == metric)]
    mean = summary(measured, _RULE).set_index(_RULE)
    joined = mean.join(known.groupby(_RULE)["value"].mean().rename("exact"), how="inner")
    return (joined["value"] - joined["exact"]) / joined["over_tests"]
