"""Means of imputation over corpora, and its claims as a terminal shows them."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pandas as pd

from opal.bridge.resampling import LEVEL
from opal.bridge.text.impute.report import interval


def pooled(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the corpora of all rows that several of them have, under the setting ``all``.

    Classes of a corpus share texts: their errors count as one and the same. Corpora are
    independent, and intervals are normal.
    """
    case = ["n_min", "arm", "synthesizer", "tested", "metric"]
    corpus = table["setting"].str.partition("/")[0].rename("corpus")
    of_corpus = {"value": "mean", "std_error": "mean", "n_full": "min", "n_oversampled": "max"}
    each = table.groupby([*case, corpus])[[*of_corpus]].agg(of_corpus)
    squares = each.assign(std_error=each["std_error"] ** 2).groupby(level=case)
    found = squares.agg(
        value=("value", "mean"),
        std_error=("std_error", "sum"),
        n_full=("n_full", "min"),
        n_oversampled=("n_oversampled", "max"),
        corpora=("value", "size"),
    )
    found = found[found["corpora"] > 1].reset_index()
    error = np.sqrt(found["std_error"]) / found["corpora"]
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * error
    return found.assign(
        setting="all", std_error=error, lower=found["value"] - half, upper=found["value"] + half
    )


def compared(claims: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``claims.claims`` in as few columns as a terminal shows.

    F1 is that of the filled class; differences and the gap have their intervals beside them, and
    those that no row has are left out.
    """
    first = {"setting": "setting", "synthesizer": "texts by", "n_original": "originals"}
    table = claims[[*first]].rename(columns=first)
    scores = {"weighting": "f1_weighting", "filled": "f1", "all real": "f1_all_real"}
    for title, name in scores.items():
        table[title] = claims[name].map("{:.3f}".format)
    differences = {
        "minus weighting": "synthetic_f1_minus_weighting",
        "minus all real": "difference",
        "gap": "gap",
        "minus SSMBA": "synthetic_f1_minus_ssmba",
        "gap minus SSMBA": "synthetic_gap_minus_ssmba",
        "fixed minus drawn seeds": "fixed_seeds_f1_minus_drawn_seeds",
        "gap, fixed minus drawn": "fixed_seeds_gap_minus_drawn_seeds",
    }
    for title, name in differences.items():
        if name in claims:
            ends = (
                ("lower", "upper") if name == "difference" else (f"{name}_lower", f"{name}_upper")
            )
            table[title] = [interval(*row) for row in claims[[name, *ends]].to_numpy()]
    verdicts_of = {"full sample": "full_sample", "2 to 4 %": "gap_published"}
    return table.assign(**{title: claims[name] for title, name in verdicts_of.items()})
