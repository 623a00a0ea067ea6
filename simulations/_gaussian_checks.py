"""Tables of the study of quantised rows, and what it states about itself."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from opal.checks import Check, at_least, at_most
from simulations.generator_gaussian import (
    BEATS,
    CONTROLS,
    EXCESS,
    FIT,
    MEDIAN,
    OF_BINS,
    OWN,
    PRIOR,
    THEORIES,
    TRANSFORMER,
    WORST,
)

EXPLAINED = 0.5  # least share of the variance between replicates
ENOUGH_STEPS, MARGIN, SLACK = 1500, 0.25, 2.0  # over Bayes of bins; times SLACK if shorter


def laws(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each n: KL of the transformer and of the references, and ratio and gap."""
    rows = records[(records["case"] == "subjects") & (records["arm"] != "bins")]
    kl = rows[rows["metric"] == "kl"].pivot(index="n_real", columns="arm", values="value")
    of_it = rows[rows["arm"] == TRANSFORMER]
    for metric, name in (("kl", "kl"), ("kl_over_bayes", "ratio"), ("kl_minus_bayes", "gap")):
        each = of_it[of_it["metric"] == metric].set_index("n_real")
        kl[name], kl[f"std_error_{name}"] = each["value"], each["std_error"]
    return kl.drop(columns="kl").reset_index()


def every_number(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each case, number of seeds and arm (:func:`generator_gaussian.comparison`)."""
    rows = records[records["case"] != "subjects"]
    on = ["case", "n_min", "arm"]
    values = rows.pivot(index=on, columns=["source", "metric"], values="value")
    errors = rows.pivot(index=on, columns=["source", "metric"], values="std_error")
    table = values["simulation"][[EXCESS, MEDIAN, BEATS, WORST, "separated"]].copy()
    table["std_error"] = errors["simulation", EXCESS]
    for other, name in ((TRANSFORMER, "transformer"), (FIT, "fit")):
        metric = ("simulation", f"{EXCESS} minus {other}")
        table[f"minus_{name}"], table[f"std_error_{name}"] = values[metric], errors[metric]
    for theory in THEORIES:
        metric = ("simulation", f"{EXCESS} minus {theory}")
        table[theory] = values["theory", theory]
        table[f"z_{theory}"] = values[metric] / errors[metric]
        table[f"explained_{theory}"] = 1 - (errors[metric] / table["std_error"]) ** 2
    return table.rename(columns={EXCESS: "excess"}).reset_index()


def near_bayes(records: pd.DataFrame) -> Iterator[Check]:
    """The transformer's law is near that of Bayes, and neither beats it nor ignores its seeds."""
    table, steps = laws(records), int(records["steps"].min())
    margin = MARGIN * (1 if steps >= ENOUGH_STEPS else SLACK)
    worst = table.loc[table["ratio"].idxmax()]
    yield at_most(
        "near Bayes",
        float(worst["ratio"]),
        1 + margin,
        f"largest mean KL over that of Bayes of the same bins, at n = {worst['n_real']:.0f}, after "
        f"{steps} steps; standard error {worst['std_error_ratio']:.3f}",
    )
    most = table.iloc[-1]
    yield at_least(
        "its seeds are read",
        float(most[PRIOR] / most[OF_BINS]),
        1 + margin,
        f"the same ratio of its law without seeds, at n = {most['n_real']:.0f}; it must fail",
    )
    yield at_least(
        "Bayes is not beaten",
        float((table["gap"] / table["std_error_gap"]).min()),
        -3.0,
        f"least paired z of {len(table)} points against Bayes of the same bins",
    )


def _within(table: pd.DataFrame, name: str) -> pd.Series:
    """Where a theory agrees: within 3 standard errors or 3 %."""
    close = (table[name] / table["excess"] - 1).abs() <= 0.03
    return (table[f"z_{name}"].abs() <= 3) | close


def of_theory(table: pd.DataFrame) -> Iterator[Check]:
    """Theory agrees replicate by replicate; what leaves something out does not."""
    known = table[table["predicted"].notna()]
    ratio = known["predicted"] / known["excess"]
    yield at_least(
        "predicted is simulated",
        float(_within(known, "predicted").mean()),
        0.95,
        f"share of {len(known)} arms within 3 standard errors or 3 %; ratios {ratio.min():.3f} to "
        f"{ratio.max():.3f}, largest |z| {known['z_predicted'].abs().max():.1f}",
    )
    yield at_least(
        "every replicate has its own risk",
        float(known["explained_predicted"].min()),
        EXPLAINED,
        "least share of the variance between replicates that the prediction explains",
    )
    yield at_most(
        "the generator reads the replicate's seeds",
        float(known[f"explained_{OWN}"].max()),
        0.0,
        "largest share that the prediction explains for the seeds of another replicate",
    )
    for name, claim in zip(CONTROLS, ("how its law varies", "the spread"), strict=True):
        chosen = known[(known[name] / known["predicted"] - 1).abs() > CONTROLS[name]]
        yield at_least(
            f"{claim} cannot be left out",
            float((~_within(chosen, name)).mean()) if len(chosen) else 0.0,
            0.95,
            f"share of the {len(chosen)} arms in which leaving it out changes the prediction by "
            f"more than {CONTROLS[name]:.0%}; there it must miss",
        )
    yield at_most(
        "rows are not separable",
        float(known["separated"].max()),
        0.0,
        "largest share of replicates in which a line separates the transformer's training rows",
    )


def of_prior(table: pd.DataFrame) -> Iterator[Check]:
    """Fewest seeds and the right covariance, then most seeds and the wrong one."""
    fits = table[table["arm"] == FIT]
    z = fits["minus_transformer"] / fits["std_error_transformer"]
    right, wrong = fits["case"] != "correlated", fits["case"] == "correlated"
    fewest, most = (fits["n_min"] == end for end in (fits["n_min"].min(), fits["n_min"].max()))
    for claim, where, sign in (
        ("knowing the covariance helps", right & fewest, 1),
        ("believing the wrong one harms", wrong & most, -1),
    ):
        if where.any():
            yield at_least(
                claim,
                float((sign * z[where]).min()),
                3.0,
                "least paired z of the excess of a Gaussian fit over, or under, that of the "
                f"transformer, n_min = {int(fits['n_min'][where].iloc[0])}",
            )
