"""Every cell of the study end_to_end, theory beside simulation, and what must hold of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from opal.checks import Check, at_least, at_most
from simulations.end_to_end import CONTROLS, DESIGN, EXCESS, THEORIES


def every_number(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each cell, with the standard errors of all differences."""
    rows = records[records["weighting"] != ""]
    values = rows.pivot(index=list(DESIGN), columns=["source", "metric"], values="value")
    errors = rows.pivot(index=list(DESIGN), columns=["source", "metric"], values="std_error")
    table = values["theory"][["predicted"]].copy()
    table["simulated"] = values["simulation", EXCESS]
    table["ratio"] = table["predicted"] / table["simulated"]
    for name in THEORIES:
        apart = ("simulation", f"{EXCESS} minus {name}")
        table[name] = values["theory", name]
        table[f"std_error_{name}"] = errors[apart]
        table[f"z_{name}"] = values[apart] / errors[apart]
    table["std_error_simulated"] = errors["simulation", EXCESS]
    table["separated"] = values["simulation", "separated"]
    worth = records[records["metric"] == "seed_multiplier"]
    worth = worth.set_index(["scale", "mean", "n_min"])["value"].rename("seed_multiplier")
    return table.join(worth.astype(np.float64)).reset_index()


def within(table: pd.DataFrame, name: str) -> pd.Series:
    """Which cells a theory agrees with: within 3 standard errors or 3 %."""
    close = (table[name] / table["simulated"] - 1).abs() <= 0.03
    return (table[f"z_{name}"].abs() <= 3) | close


def matters(table: pd.DataFrame, name: str) -> pd.Series:
    """In which cells a wrong theory says something else, whatever was simulated."""
    return (table[name] / table["predicted"] - 1).abs() > CONTROLS[name]


def checks(table: pd.DataFrame) -> list[Check]:
    """Theory agrees; without the shared seeds, and without the spread, the same test fails."""
    z, ratio = table["z_predicted"].abs().max(), table["ratio"]
    return [
        at_least(
            "predicted is simulated",
            float(within(table, "predicted").mean()),
            0.95,
            f"share of {len(table)} cells within 3 standard errors or 3 %; ratios {ratio.min():.3f}"
            f" to {ratio.max():.3f}, largest |z| {z:.1f}",
        ),
        _caught(table, "own_seeds", "shared seeds are not ignored"),
        _caught(table, "floor", "the spread is not ignored"),
        at_most(
            "rows are not separable",
            float(table["separated"].max()),
            0.0,
            "largest share of a cell's replicates in which a line separates the rows",
        ),
    ]


def _caught(table: pd.DataFrame, name: str, claim: str) -> Check:
    """The share of cells in which simulation refuses a wrong theory where it matters."""
    chosen = table[matters(table, name)]
    caught = float((~within(chosen, name)).mean()) if len(chosen) else 0.0
    return at_least(
        claim,
        caught,
        0.95,
        f"share of the {len(chosen)} cells in which leaving it out changes the prediction by more "
        f"than {CONTROLS[name]:.0%}; there it must miss by 3 standard errors and 3 %",
    )
