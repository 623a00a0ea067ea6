"""Claims of the study generator_kl: near Bayes, never better, within the bound, unlike counts."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from opal.checks import Check, at_least, at_most, z_threshold
from simulations.generator_kl import BAYES, COUNTS, FEW, TRANSFORMER, bound, kl_of, slopes

ENOUGH_STEPS = 1800
MARGIN, MARGIN_LONG, LONG = 0.10, 0.15, 64  # over Bayes, after ENOUGH_STEPS; up to LONG seeds
NEAR = 0.1  # of Bayes to its limit, to which it tends with 1/n
SLACK = 2.0  # in units of that margin, for a shorter training


def near_bayes(table: pd.DataFrame) -> Iterator[Check]:
    """The transformer's ratio to Bayes, from above and from below."""
    steps = int(table["steps"].min())
    slack = 1.0 if steps >= ENOUGH_STEPS else SLACK
    for name, rows, margin in (
        (f"n below {LONG}", table[table["n_real"].between(4, LONG - 1)], MARGIN),
        (f"n = {LONG}", table[table["n_real"] == LONG], MARGIN_LONG),
    ):
        if len(rows):
            worst = rows.loc[rows["ratio"].idxmax()]
            yield at_most(
                f"near Bayes, {name}",
                float(worst["ratio"]),
                1 + slack * margin,
                f"largest mean KL over that of Bayes from 4 seeds on, after {steps} steps; "
                f"standard error {worst['std_error_ratio']:.3f}",
            )
    yield at_least(
        "Bayes is not beaten",
        float((table["gap"] / table["std_error_gap"]).min()),
        -3.0,
        f"least paired z of {len(table)} points, the prior predictive among them",
    )


def of_bound(records: pd.DataFrame, table: pd.DataFrame) -> Iterator[Check]:
    """The bound holds for more seeds than it was fitted to, and is not how KL falls."""
    found, more = bound(records), table[table["n_real"] > FEW]
    seen = table[table["n_real"] > 0]
    yield at_most(
        "the bound holds",
        float((seen[TRANSFORMER] / seen["bound"]).max()),
        1.0,
        f"largest KL over {found.first:.3g}/√d + {found.second:.3g} log d/√n at {len(seen)} "
        f"points; {(more[TRANSFORMER] / more['bound']).max():.2f} at those with n > {FEW}, which "
        "its constants have not seen",
    )
    steepness = _slope(records, "slope", TRANSFORMER)
    yield at_least(
        "KL falls faster than the bound",
        float(((-0.5 - steepness["value"]) / steepness["std_error"]).min()),
        3.0,
        f"least z of the transformer's slopes, {_listed(steepness)}, against −½, which must fail",
    )


def of_references(records: pd.DataFrame) -> Iterator[Check]:
    """Bayes is found, has its rate, and add-½ counts are another estimate."""
    of_bayes = records[records["arm"] == BAYES]
    ess = of_bayes.loc[of_bayes["metric"] == "least_ess", "value"].min()
    yield at_least(
        "every posterior is found",
        float(of_bayes.loc[of_bayes["metric"] == "found", "value"].min()),
        1.0,
        f"least share of subjects; least share of effective draws {ess:.2f}",
    )
    beyond = _slope(records, "slope_beyond", BAYES)
    yield at_most(
        "Bayes falls as 1/n",
        float((beyond["value"] + 1).abs().max()),
        NEAR,
        f"largest distance from −1 of its slopes beyond the context, {_listed(beyond)}",
    )
    rows = kl_of(records, BAYES)
    rows = rows[rows["n_real"] == rows["n_real"].max()]
    ratio = rows["value"] * 2 * rows["n_real"] / rows["rank"]
    yield at_most(
        "r/2n is approached",
        float((ratio - 1).abs().max()),
        NEAR + 3 * float((ratio * rows["std_error"] / rows["value"]).max()),
        f"KL of Bayes over r/2n at n = {rows['n_real'].max()} is "
        f"{', '.join(f'{value:.3f}' for value in ratio)}; what is left of the prior, and 3 "
        "standard errors",
    )
    counted = records[(records["metric"] == "kl_minus_bayes") & (records["arm"] == COUNTS)]
    z = counted["value"] / counted["std_error"]
    yield at_least(
        "counts are not Bayes",
        float(z.min()),
        z_threshold(len(z)),
        f"least paired z of add-½ counts against Bayes at {len(z)} points, which must fail",
    )


def _slope(records: pd.DataFrame, metric: str, arm: str) -> pd.DataFrame:
    table = slopes(records)
    return table[(table["metric"] == metric) & (table["arm"] == arm)]


def _listed(rows: pd.DataFrame) -> str:
    return ", ".join(
        f"{value:.2f} ± {1.96 * error:.2f}"
        for value, error in zip(rows["value"], rows["std_error"], strict=True)
    )
