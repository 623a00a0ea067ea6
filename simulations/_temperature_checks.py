"""Tables of the study of temperature and top-p, and what it states about itself."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from opal.checks import Check, at_least, at_most, z_threshold
from simulations._temperature_rows import EXCESS

TRANSFORMER, BAYES = "transformer", "Bayes"
AT = ("n_real", "temperature", "top_p")
DESIGN = ("pair", "n_min", "temperature", "top_p")
# Change of the prediction from which simulation should tell it from another, and the same in
# standard errors: nearly separable rows have tails so heavy that a simulation tells little.
MATTERS, TELLING = 0.1, 4.0
AGREES = 0.95  # share of cells: what the expansion leaves out is a few percent in some
NEAR = 0.05  # of KL and excess at temperature 1 to the least on the grid


def every_number(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each estimate, n and sampling, with paired differences and standard errors."""
    rows = records[(records["pair"] < 0) & ~records["metric"].str.startswith("best ")]
    on = ["arm", *AT]
    table = rows.pivot(index=on, columns="metric", values="value")
    errors = rows.pivot(index=on, columns="metric", values="std_error").dropna(axis=1, how="all")
    table = table.join(errors.add_prefix("std_error "))
    table["bias_rms"] = np.sqrt(table["bias_square"])
    table["std_error bias_rms"] = table["std_error bias_square"] / (2 * table["bias_rms"])
    return table.reset_index()


def best(records: pd.DataFrame) -> pd.DataFrame:
    """The temperature that one half of the pairs choose, and 95 % of its gain on the other half.

    ``gain`` is the mean at that temperature minus the mean at 1, and negative if it is better.
    """
    rows = records[records["metric"].str.startswith("best ")]
    half = 1.96 * rows["std_error"]
    table = rows.assign(
        metric=rows["metric"].str.removeprefix("best "),
        gain=rows["value"],
        low=rows["value"] - half,
        high=rows["value"] + half,
    )
    return table[["arm", "metric", "n_real", "temperature", "gain", "low", "high"]]


def trained(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each pair, n and sampling: simulated and predicted excess risk.

    ``std_error`` and ``z`` are those of the paired difference; ``at_plain`` predicts as if rows
    were drawn at temperature 1.
    """
    rows = records[records["pair"] >= 0]
    values = rows.pivot(index=list(DESIGN), columns=["source", "metric"], values="value")
    errors = rows.pivot(index=list(DESIGN), columns=["source", "metric"], values="std_error")
    table = values["theory"][["predicted", "at_plain", "floor", "undefined"]].copy()
    table["simulated"] = values["simulation", EXCESS]
    table["ratio"] = table["predicted"] / table["simulated"]
    for name, suffix in (("predicted", ""), ("at_plain", "_at_plain")):
        apart = ("simulation", f"{EXCESS} minus {name}")
        table[f"std_error{suffix}"] = errors[apart]
        table[f"z{suffix}"] = values[apart] / errors[apart]
    table["minus_plain"] = values["simulation", f"{EXCESS} minus plain"]
    table["std_error_minus_plain"] = errors["simulation", f"{EXCESS} minus plain"]
    table["separated"] = values["simulation", "separated"]
    return table.reset_index()


def has_rules(table: pd.DataFrame) -> pd.Series:
    """Cells in which every replicate has a rule, and theory one to expand around.

    Elsewhere a line separates some replicate's rows, or all that they are drawn from.
    """
    return (table["separated"] == 0) & (table["undefined"] == 0)


def within(table: pd.DataFrame, name: str, z: str) -> pd.Series:
    """Which cells a theory agrees with: within 3 standard errors or 3 %."""
    return (table[z].abs() <= 3) | ((table[name] / table["simulated"] - 1).abs() <= 0.03)


def of_training(table: pd.DataFrame) -> Iterator[Check]:
    """Predictions agree where there are rules; those at another temperature do not."""
    known = table[has_rules(table)]
    left = table[~has_rules(table)]
    ways = sorted({f"{t:g}/{p:g}" for t, p in zip(left["temperature"], left["top_p"], strict=True)})
    yield at_least(
        "predicted is simulated",
        float(within(known, "predicted", "z").mean()),
        AGREES,
        f"share of {len(known)} cells within 3 standard errors or 3 %; ratios "
        f"{known['ratio'].min():.3f} to {known['ratio'].max():.3f}, largest |z| "
        f"{known['z'].abs().max():.1f}; {len(left)} cells have replicates without a rule "
        f"(temperature/top-p {', '.join(ways) or 'none'})",
    )
    apart = (known["at_plain"] - known["predicted"]).abs()
    telling = apart > TELLING * known["std_error_at_plain"]
    matters = known[(apart > MATTERS * known["predicted"]) & telling]
    caught = ~within(matters, "at_plain", "z_at_plain")
    yield at_least(
        "the temperature is not ignored",
        float(caught.mean()) if len(matters) else 0.0,
        AGREES,
        f"share of the {len(matters)} cells in which the prediction at temperature 1 differs by "
        f"more than {MATTERS:.0%} and {TELLING:g} standard errors; there it must miss by 3 of them "
        "and 3 %",
    )


def of_bound(table: pd.DataFrame) -> Iterator[Check]:
    """No bias exceeds its bound; that of another temperature does not hold."""
    yield at_most(
        "the bound holds",
        float(table["bound"].max()),
        1.0,
        f"largest |b_g| over osc(ℓ) TV of any class, in {len(table)} estimates",
    )
    yield at_least(
        "the bound is of this sampling",
        float(table["bound_at_plain"].max()),
        1.0,
        "the same with the total variation at temperature 1, which must fail",
    )


def of_temperature(table: pd.DataFrame) -> Iterator[Check]:
    """Temperature 1 is best or near it, others stay wrong, and there the mean bias is positive."""
    hot = table[(table["top_p"] == 1) & (table["temperature"] != 1)]
    z = hot["kl minus plain"] / hot["std_error kl minus plain"]
    yield at_least(
        "Bayes has the least KL at temperature 1",
        float(z[hot["arm"] == BAYES].min()),
        -3.0,
        "least paired z of other temperatures against 1",
    )
    for metric in ("kl", "excess"):
        own = table[(table["arm"] == TRANSFORMER) & (table["top_p"] == 1)]
        plain = own[own["temperature"] == 1].set_index("n_real")[metric]
        ratio = plain / own.groupby("n_real")[metric].min()
        yield at_most(
            f"1 is near the best temperature for {metric}",
            float(ratio.max()),
            1 + NEAR,
            f"largest mean at temperature 1 over the least of all temperatures, {len(ratio)} n",
        )
    most = hot[(hot["n_real"] == hot["n_real"].max()) & (hot["arm"] == TRANSFORMER)]
    ends = most[most["temperature"].isin([most["temperature"].min(), most["temperature"].max()])]
    z = ends["excess minus plain"] / ends["std_error excess minus plain"]
    yield at_least(
        "a wrong temperature is not made good by seeds",
        float(z.min()),
        z_threshold(len(z)),
        f"least paired z of the excess at the ends of the grid, n = {most['n_real'].max()}",
    )
    bias = table[(table["temperature"] == 1) & (table["top_p"] == 1)]
    z = bias["bias"] / bias["std_error bias"]
    yield at_least(
        "the best rule looks worse than it is",
        float(z.min()),
        z_threshold(len(z)),
        f"least z of the mean bias at temperature 1, {len(z)} estimates (docs/theory.md, 13.31)",
    )
