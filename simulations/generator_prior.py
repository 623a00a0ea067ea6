"""Seeds against a wrong prior: how many a generator needs for its examples to win.

A transformer learnt from subjects t ~ N(0, I) and is asked about subjects of other priors. It is
held beside Bayes under its prior, Bayes under the right one, and counts, on the same seeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opal.checks import Check, at_least, at_most, refuted, within_standard_errors, z_threshold
from opal.cli import run_study
from opal.runner import Cell

from . import _config
from ._config import PriorSubjects
from ._rows import BAYES, COUNTS, PLAIN, TRANSFORMER, Row, mean, of_subjects, ratio, row, z_of

if TYPE_CHECKING:
    import pandas as pd

    from ._prior import Weight

MATCHED = "Bayes, right prior"
EXPANSION, EXPANSION_MATCHED = "expansion", "expansion, right prior"
TRAINED = (1.0, 0.0)  # scale and mean of the prior of the training
PRIOR = ["scale", "mean"]
ENDS = ("", "_low", "_high")  # of an interval
FEW, NEAR_BAYES = 8, 0.1  # in mean KL, relative, up to FEW seeds
PRICE_WITHIN = 0.25  # of the expansion, for one to which the next loop is missing


@dataclass(frozen=True)
class Config(_config.Generator):
    """One transformer, and the priors of the subjects that it is asked about."""

    priors: tuple[tuple[float, float], ...] = (
        *((1.0, 0.0), (1.0, 0.5), (1.0, 1.0), (1.0, 2.0)),
        *((0.5, 0.0), (1.5, 0.0), (2.0, 0.0), (2.0, 1.0)),
    )
    """Scale and mean of the subjects' coordinates, one cell each; (1, 0) in the training."""
    n_seeds: tuple[int, ...] = (0, 1, 2, 4, 8, 16, 32, 64)
    """Seeds in the context, increasing from 0, the prior predictive."""
    n_subjects: int = 2048
    """Held-out subjects of each prior."""
    n_draws: int = 2000
    """Draws of each posterior."""
    seed: int = 7
    """Seed of subjects and draws."""


PRESETS = {
    "tiny": Config(
        **_config.TINY,
        priors=((1.0, 0.0), (1.0, 2.0)),
        n_seeds=(0, 1, 4, 8),
        n_subjects=64,
        n_draws=100,
    ),
    "quick": Config(
        priors=((1.0, 0.0), (1.0, 1.0), (2.0, 0.0)), steps=700, n_subjects=1024, n_draws=1000
    ),
    "full": Config(),
}


def cells(config: Config) -> list[Cell]:
    """One cell for each prior."""
    _check(config)
    at = [PriorSubjects(config, *prior) for prior in config.priors]
    return [Cell(measure, one, f"scale {one.scale:g}, mean {one.mean:g}") for one in at]


def _check(config: Config) -> None:
    from opal.settings.tokens import Prior

    _config.require_counts(config, n_draws=1, n_subjects=2)
    _config.require_seeds(config, least=0)
    increasing = sorted({0, *config.n_seeds})
    if list(config.n_seeds) != increasing or len(increasing) < 3:
        raise ValueError(
            "n_seeds must increase from 0, the prior predictive, with two numbers after it to "
            f"interpolate between; got {config.n_seeds}."
        )
    if len(set(config.priors)) < len(config.priors) or TRAINED not in config.priors:
        raise ValueError(
            f"priors must be different, with {TRAINED} of the training among them to compare "
            f"with; got {config.priors}."
        )
    for prior in config.priors:
        Prior(*prior)
    config.check()


def measure(at: PriorSubjects) -> pd.DataFrame:
    """KL and the weight of the prior of every estimate after each number of seeds."""
    import jax

    from opal.settings.tokens import Prior
    from opal.theory.generator import add_half, bayes, kl

    from ._generators import sampled, scores_after, subjects

    config, tokens, right = at.config, at.config.alphabet(), at.prior()
    held = subjects(
        *(config.stream(right), max(config.n_seeds)), key=config.seed, n_subjects=config.n_subjects
    )
    counts = held.counts(config.n_seeds)
    drawn = {"key": config.seed, "n_draws": config.n_draws}
    beliefs = {BAYES: Prior(), MATCHED: right}
    believed = {arm: bayes(tokens, counts, prior, **drawn) for arm, prior in beliefs.items()}
    laws = {arm: np.asarray(estimate.law) for arm, estimate in believed.items()}
    (laws[TRANSFORMER],) = sampled(scores_after(config.decoder(), held, config.n_seeds), [PLAIN])
    with jax.enable_x64(True):
        laws[COUNTS] = np.asarray(add_half(counts))
        divergence = {
            arm: np.asarray(kl(np.broadcast_to(held.laws, law.shape), law))
            for arm, law in laws.items()
        }
    found = min(float(estimate.found.mean()) for estimate in believed.values())
    rows = _rows(at, held.laws, laws, divergence, found)
    return of_subjects(rows, "generator_prior", config.setting, config.n_subjects).assign(
        scale=at.scale, mean=at.mean, n_tokens=config.n_tokens, steps=config.steps
    )


def _rows(
    at: PriorSubjects,
    truth: np.ndarray,
    laws: dict[str, np.ndarray],
    divergence: dict[str, np.ndarray],
    found: float,
) -> Iterator[Row]:
    """All records of a prior, from laws [N, S, d] and KL [N, S] of each arm after n seeds.

    ``truth`` are the subjects' own laws [S, d]; ``found`` is the least share of posteriors found.
    """
    config = at.config
    weight, expected, known = _theory(at, truth, laws)
    kl = divergence | expected
    yield from _of_kl(config.n_seeds, kl)
    yield from _of_weight(config.n_seeds[1:], weight)
    yield from _of_seeds(config, kl, weight)
    yield row(EXPANSION, 0, "found", min(found, known))


def _theory(
    at: PriorSubjects, truth: np.ndarray, laws: dict[str, np.ndarray]
) -> tuple[dict[str, Weight], dict[str, np.ndarray], float]:
    """Weights for n ≥ 1, measured and expected; expected KL; and whether all was found."""
    from opal.settings.tokens import Prior
    from opal.theory.prior import expansion, pull

    from ._prior import Weight

    tokens, n_seeds = at.config.alphabet(), at.config.n_seeds
    features = truth @ tokens.embeddings
    weight, kl, found = {}, {}, []
    for arm in (TRANSFORMER, BAYES, COUNTS):
        made = laws[arm] @ tokens.embeddings
        weight[arm] = Weight.of(features - made[1:], features - made[0])
    way = features - laws[BAYES][0] @ tokens.embeddings
    beliefs = {EXPANSION: Prior(), EXPANSION_MATCHED: at.prior()}
    for arm, prior in beliefs.items():
        expected = expansion(tokens, truth, prior, n_seeds)
        found.append(float(expected.found.mean()))
        kl[arm] = expected.kl
        for name, subject in ((arm, expected.posterior_mean), (f"{arm}, mode", expected.mode)):
            left = pull(subject[1:], prior, n_seeds[1:], tokens.eta)
            weight[name] = Weight.of(left, way)
    return weight, kl, min(found)


def _of_kl(n_seeds: tuple[int, ...], kl: dict[str, np.ndarray]) -> Iterator[Row]:
    """Mean KL of each arm, and what is paired with the two kinds of Bayes."""
    price = kl[BAYES] - kl[MATCHED]
    paired = {
        "kl_minus_bayes": {TRANSFORMER: kl[TRANSFORMER] - kl[BAYES]},
        "kl_minus_matched": {arm: kl[arm] - kl[MATCHED] for arm in (TRANSFORMER, BAYES, COUNTS)},
        "price": {BAYES: price, EXPANSION: kl[EXPANSION] - kl[EXPANSION_MATCHED]},
        "kl_minus_theory": {
            BAYES: kl[BAYES] - kl[EXPANSION],
            MATCHED: kl[MATCHED] - kl[EXPANSION_MATCHED],
        },
        "price_minus_theory": {BAYES: price - kl[EXPANSION] + kl[EXPANSION_MATCHED]},
    }
    for metric, tables in {"kl": kl, **paired}.items():
        for arm, table in tables.items():
            for n, each in zip(n_seeds, table, strict=True):
                yield row(arm, n, metric, *mean(each))
    for n, each, best in zip(n_seeds, kl[TRANSFORMER], kl[BAYES], strict=True):
        yield row(TRANSFORMER, n, "kl_over_bayes", *ratio(each, best))


def _of_weight(n_seeds: tuple[int, ...], weight: dict[str, Weight]) -> Iterator[Row]:
    """The weight of the prior for each arm, and how far theories are from that of Bayes."""
    measured = weight[BAYES]
    apart = {
        arm: measured._replace(along=measured.along - weight[arm].along)
        for arm in (EXPANSION, EXPANSION_MATCHED)
    }
    for metric, of in (("weight", weight), ("weight_apart", apart)):
        for arm, one in of.items():
            for n, value, error in zip(n_seeds, one.mean(), one.std_error(), strict=True):
                yield row(arm, n, metric, value, error)


def _of_seeds(
    config: Config, kl: dict[str, np.ndarray], weight: dict[str, Weight]
) -> Iterator[Row]:
    """Seeds after which the prior weighs a half, and from which counts are better."""
    from ._prior import seeds_to_half, seeds_to_overtake

    n_seeds, key = np.array(config.n_seeds[1:]), config.seed
    found = [
        (arm, "n_half", seeds_to_half(n_seeds, weight[arm], key=key))
        for arm in (TRANSFORMER, BAYES, COUNTS, EXPANSION)
    ]
    for arm in (TRANSFORMER, BAYES, MATCHED):
        passed = seeds_to_overtake(n_seeds, kl[COUNTS][1:], kl[arm][1:], key=key)
        found.append((arm, "n_overtaken", passed))
    for arm, metric, seeds in found:
        for suffix, value in zip(ENDS, seeds, strict=True):
            yield row(arm, max(config.n_seeds), metric + suffix, value)


def curves(records: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row for each prior and n, with a column for each arm's ``metric``."""
    rows = records[records["metric"] == metric]
    return rows.pivot(index=[*PRIOR, "n_real"], columns="arm", values="value").reset_index()


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each prior and generator, of whom counts and the right prior are better or not.

    ``n_half`` with its 95 % interval is the seeds after which the prior weighs a half, and
    ``expected`` that of the expansion; from ``overtaken`` seeds on counts have a smaller KL.
    ``ratio`` is mean KL over that of Bayes under the training's prior and ``matched`` over that
    under the right one, after the most seeds.
    """
    import pandas as pd

    last = records["n_real"].max()
    values = (
        records[records["n_real"] == last]
        .set_index([*PRIOR, "arm", "metric"])["value"]
        .sort_index()
    )
    rows = []
    for prior in records[PRIOR].drop_duplicates().itertuples(index=False, name=None):
        of = values[prior]
        for arm in (TRANSFORMER, BAYES):
            numbers = {**dict(zip(PRIOR, prior, strict=True)), "arm": arm}
            numbers |= {name: of[arm, name] for name in ("n_half", "n_half_low", "n_half_high")}
            crossing = [of[arm, f"n_overtaken{end}"] for end in ENDS]
            numbers["overtaken"] = "{:.3g} ({:.3g} to {:.3g})".format(*crossing)
            if not np.isfinite(crossing[0]):
                numbers["overtaken"] = f"none up to {last}"
            numbers["expected"] = of[EXPANSION, "n_half"]
            numbers["ratio"] = of[arm, "kl"] / of[BAYES, "kl"]
            numbers["matched"] = of[arm, "kl"] / of[MATCHED, "kl"]
            rows.append(numbers)
    return pd.DataFrame(rows)


def checks(records: pd.DataFrame) -> list[Check]:
    """Theory says what the prior weighs and costs, that of another prior does not."""
    wrong = records[~records["scale"].eq(TRAINED[0]) | ~records["mean"].eq(TRAINED[1])]
    return [
        *_of_theory(records, wrong),
        *_of_price(wrong[wrong["n_real"] > 0]),
        *_of_transformer(records),
        *_of_references(records),
    ]


def _of_theory(records: pd.DataFrame, wrong: pd.DataFrame) -> Iterator[Check]:
    """The weight of the prior against its expansion, and that of the right prior as control."""
    index = [*PRIOR, "n_real"]
    weight = curves(records, "weight").set_index(index)
    near = _paired(records, "weight_apart", EXPANSION)
    loop = weight[EXPANSION] - weight[f"{EXPANSION}, mode"]
    order = loop**2 / weight[EXPANSION]
    z = ((near["value"].abs() - order).clip(lower=0) / near["std_error"]).dropna()
    yield at_most(
        "the prior weighs what it should",
        z,
        z_threshold(max(len(z), 1)),
        f"largest z of Bayes against (13.15) at {len(z)} points beyond the order of what is left "
        f"out, the square of the loop's share, at most {(loop / weight[EXPANSION]).max() ** 2:.3f}",
    )
    far = _paired(wrong, "weight_apart", EXPANSION_MATCHED)
    apart = (far["value"] - near["value"].reindex(far.index)) / far["std_error"]
    yield refuted(
        "the right prior does not say it",
        z_of(far),
        apart,
        "the weight by the expansion of the right prior, at each wrong prior and n, which must "
        "fail",
    )


def _of_price(rows: pd.DataFrame) -> Iterator[Check]:
    """What a wrong prior costs, from one seed on."""
    paid, expected = (_paired(rows, "price", arm) for arm in (BAYES, EXPANSION))
    apart = _paired(rows, "price_minus_theory", BAYES)
    wide = z_threshold(max(len(apart), 1))
    allowed = PRICE_WITHIN * expected["value"] + wide * apart["std_error"]
    measured = paid["value"] / expected["value"]
    yield at_most(
        "a wrong prior costs what it should",
        apart["value"].abs() / allowed,
        1.0,
        f"largest difference of the price of Bayes from (13.16) at {len(apart)} points, over "
        f"{PRICE_WITHIN:.0%} of it and {wide:.2f} paired standard errors; measured over expected "
        f"is {measured.min():.2f} … {measured.max():.2f}",
    )
    yield refuted(
        "it is not free",
        z_of(paid),
        expected["value"].reindex(paid.index) / paid["std_error"],
        "a price of nothing, which the theory of the right prior expects; it must fail",
    )


def _paired(rows: pd.DataFrame, metric: str, arm: str) -> pd.DataFrame:
    """A metric of an arm, by prior and n."""
    chosen = rows[(rows["metric"] == metric) & (rows["arm"] == arm)]
    return chosen.set_index([*PRIOR, "n_real"])


def _of_transformer(records: pd.DataFrame) -> Iterator[Check]:
    """Off its prior the transformer is near Bayes with few seeds, of which one beats the prior."""
    ends = records[records["metric"] == "n_half_high"]
    own, counted = (ends[ends["arm"] == arm] for arm in (TRANSFORMER, COUNTS))
    half = records["n_tokens"].min() / 2
    yield at_most(
        "seeds beat the prior of the transformer sooner than that of counts",
        own["value"] / half,
        1.0,
        f"upper end of its n_half, at most {own['value'].max():.2f} seeds, over the d/2 = "
        f"{half:g} of counts, for which the same is {counted['value'].max() / half:.2f}",
    )
    over = records[records["metric"] == "kl_over_bayes"]
    last = over[over["n_real"] == over["n_real"].max()]
    parts = last[[*PRIOR, "value", "std_error"]].itertuples(index=False)
    listed = ", ".join(f"{v:.2f} ± {e:.2f} at ({s:g}, {m:g})" for s, m, v, e in parts)
    yield at_most(
        "the transformer is near Bayes with few seeds",
        over["value"][over["n_real"].between(1, FEW)],
        1 + NEAR_BAYES,
        f"largest mean KL over Bayes under the training's prior up to {FEW} seeds, all priors; "
        f"with {last['n_real'].max()} it is {listed}",
    )


def _of_references(records: pd.DataFrame) -> Iterator[Check]:
    """Who cannot be beaten, what counts carry, and whether all was found."""
    rows = records[(records["metric"] == "kl_minus_matched") & (records["std_error"] > 0)]
    yield at_least(
        "the right prior is not beaten",
        z_of(rows),
        -4.0,
        f"least paired z of {len(rows)} points of the transformer, of Bayes and of counts",
    )
    counted = records[(records["metric"] == "weight") & (records["arm"] == COUNTS)]
    half = counted["n_tokens"] / 2
    z = (counted["value"] - half / (counted["n_real"] + half)) / counted["std_error"]
    yield within_standard_errors("counts carry d/2 seeds", z)
    yield at_least(
        "all is found",
        records.loc[records["metric"] == "found", "value"],
        1.0,
        "least share of subjects and n, of posteriors and of expansions",
    )


if __name__ == "__main__":
    run_study("generator_prior")
