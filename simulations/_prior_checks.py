"""Checks of the study of a wrong prior."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from opal.checks import Check, at_least, at_most, within_standard_errors, z_threshold
from simulations.generator_kl import BAYES, COUNTS, FEW, TRANSFORMER
from simulations.generator_prior import EXPANSION, EXPANSION_MATCHED, PRIOR, TRAINED, curves

NEAR_BAYES = 0.1  # in mean KL, relative, up to FEW seeds
PRICE_WITHIN = 0.25  # of the expansion, for one to which the next loop is missing


def of_theory(records: pd.DataFrame) -> Iterator[Check]:
    """Weight and price of the prior against their expansions, and controls."""
    index = [*PRIOR, "n_real"]
    weight = curves(records, "weight").set_index(index)
    apart = records[records["metric"] == "weight_apart"].set_index(index)
    near, far = (apart[apart["arm"] == arm] for arm in (EXPANSION, EXPANSION_MATCHED))
    loop = weight[EXPANSION] - weight[f"{EXPANSION}, mode"]
    order = loop**2 / weight[EXPANSION]
    z = ((near["value"].abs() - order).clip(lower=0) / near["std_error"]).dropna()
    yield at_most(
        "the prior weighs what it should",
        float(z.max()),
        z_threshold(len(z)),
        f"largest z of Bayes against (13.15) at {len(z)} points beyond the order of what is left "
        f"out, the square of the loop's share, at most {(loop / weight[EXPANSION]).max() ** 2:.3f}",
    )
    wrong = far[_mismatched(far.reset_index()).to_numpy()]
    miss = (wrong["value"].abs() / wrong["std_error"]).groupby(PRIOR).max()
    yield at_least(
        "the right prior does not say it",
        float(miss.min()),
        z_threshold(len(wrong)),
        f"largest z of its expansion, least of {len(miss)} priors, which must fail",
    )
    yield from _of_price(records)


def _of_price(records: pd.DataFrame) -> Iterator[Check]:
    """What a wrong prior costs, from one seed on."""
    index = [*PRIOR, "n_real"]
    rows = records[_mismatched(records) & (records["n_real"] > 0)]
    price = rows[rows["metric"] == "price"]
    paid, expected = (price[price["arm"] == arm].set_index(index) for arm in (BAYES, EXPANSION))
    apart = rows[rows["metric"] == "price_minus_theory"].set_index(index)
    allowed = PRICE_WITHIN * expected["value"] + z_threshold(len(apart)) * apart["std_error"]
    yield at_most(
        "a wrong prior costs what it should",
        float((apart["value"].abs() / allowed).max()),
        1.0,
        f"largest difference of the price of Bayes from (13.16) at {len(apart)} points, over "
        f"{PRICE_WITHIN:.0%} of it and {z_threshold(len(apart)):.2f} paired standard errors; "
        f"measured over expected is {(paid['value'] / expected['value']).min():.2f} … "
        f"{(paid['value'] / expected['value']).max():.2f}",
    )
    yield at_least(
        "it is not free",
        float((paid["value"] / paid["std_error"]).groupby(PRIOR).max().min()),
        z_threshold(len(paid)),
        "largest z of the price, least of the priors; the right prior's theory expects none",
    )


def of_transformer(records: pd.DataFrame) -> Iterator[Check]:
    """Off its prior the transformer is near Bayes with few seeds, of which one beats the prior."""
    ends = records[records["metric"] == "n_half_high"]
    own, counted = (ends[ends["arm"] == arm] for arm in (TRANSFORMER, COUNTS))
    half = records["n_tokens"].min() / 2
    yield at_most(
        "seeds beat the prior of the transformer sooner than that of counts",
        float(own["value"].max() / half),
        1.0,
        f"upper end of its n_half, at most {own['value'].max():.2f} seeds, over the d/2 = "
        f"{half:g} of counts, for which the same is {counted['value'].max() / half:.2f}",
    )
    ratio = records[records["metric"] == "kl_over_bayes"]
    few = ratio[ratio["n_real"].between(1, FEW)]
    last = ratio[ratio["n_real"] == ratio["n_real"].max()]
    yield at_most(
        "the transformer is near Bayes with few seeds",
        float(few["value"].max()),
        1 + NEAR_BAYES,
        f"largest mean KL over Bayes under the training's prior up to {FEW} seeds, all priors; "
        f"with {last['n_real'].max()} it is {_listed(last)}",
    )


def _listed(rows: pd.DataFrame) -> str:
    parts = rows[[*PRIOR, "value", "std_error"]].itertuples(index=False)
    return ", ".join(f"{v:.2f} ± {e:.2f} at ({s:g}, {m:g})" for s, m, v, e in parts)


def of_references(records: pd.DataFrame) -> Iterator[Check]:
    """Who cannot be beaten, what counts carry, and whether all was found."""
    rows = records[(records["metric"] == "kl_minus_matched") & (records["std_error"] > 0)]
    yield at_least(
        "the right prior is not beaten",
        float((rows["value"] / rows["std_error"]).min()),
        -4.0,
        f"least paired z of {len(rows)} points of the transformer, of Bayes and of counts",
    )
    counted = records[(records["metric"] == "weight") & (records["arm"] == COUNTS)]
    half = counted["n_tokens"] / 2
    z = (counted["value"] - half / (counted["n_real"] + half)) / counted["std_error"]
    yield within_standard_errors("counts carry d/2 seeds", z.tolist())
    yield at_least(
        "all is found",
        float(records.loc[records["metric"] == "found", "value"].min()),
        1.0,
        "least share of subjects and n, of posteriors and of expansions",
    )


def _mismatched(records: pd.DataFrame) -> pd.Series:
    same = (records["scale"] == TRAINED[0]) & (records["mean"] == TRAINED[1])
    return ~same
