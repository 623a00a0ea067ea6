"""Records of the study generator_kl: every estimate's KL on the same seeds, and what is paired."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from opal.risk import mean_and_std_error
from opal.theory.generator import Estimate, add_half, bayes, kl, laplace, maximum_likelihood
from simulations._curves import slope
from simulations._generators import Subjects
from simulations.generator_kl import (
    BAYES,
    COUNTS,
    LAPLACE,
    LIKELIHOOD,
    TRANSFORMER,
    Config,
    Tokens,
    stream,
)

Row = dict[str, object]


def rows_of(
    at: Tokens, held: Subjects, made: np.ndarray, n_seeds: tuple[int, ...]
) -> Iterator[Row]:
    """Records of one alphabet, from the transformer's KL [n, S]."""
    within = len(at.config.n_seeds)
    values = {TRANSFORMER: made}
    for arm, (divergence, found, ess) in references(at, held, n_seeds).items():
        values[arm] = divergence
        for n, share, least in zip(n_seeds, found.mean(axis=1), ess.min(axis=1), strict=False):
            yield _row(arm, n, "found", share)
            yield _row(arm, n, "least_ess", least)
        values[arm] = np.where(found, divergence, np.nan)
    for arm, table in values.items():
        for n, each in zip(n_seeds, table, strict=False):
            known = each[np.isfinite(each)]
            if len(known) > 1:
                yield _row(arm, n, "kl", *_mean(known))
        if arm != LIKELIHOOD:
            yield from _slopes(arm, np.array(n_seeds), table, at.config)
    for arm in (TRANSFORMER, LAPLACE, COUNTS):
        for n, each, best in zip(n_seeds[:within], values[arm], values[BAYES], strict=False):
            ratio = each.mean() / best.mean()
            error = _mean((each - ratio * best) / best.mean())[1]
            yield _row(arm, n, "kl_over_bayes", ratio, error)
            yield _row(arm, n, "kl_minus_bayes", *_mean(each - best))


def references(
    at: Tokens, held: Subjects, n_seeds: tuple[int, ...]
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """KL of each reference [n, S], whether its law was found, and the effective draws.

    Only Bayes is asked for what the context does not hold.
    """
    source, options = stream(at), {"key": at.config.seed, "n_draws": at.config.n_draws}
    every = held.counts(n_seeds)
    counts = every[: len(at.config.n_seeds)]
    with jax.enable_x64(True):
        one = jnp.ones(counts.shape[:2])
        laws: dict[str, Estimate] = {
            BAYES: bayes(source.alphabet, every, source.prior, **options),
            LAPLACE: laplace(source.alphabet, counts, source.prior, **options),
            LIKELIHOOD: maximum_likelihood(source.alphabet, counts),
            COUNTS: Estimate(add_half(counts), one > 0, one),
        }
        return {
            arm: (
                np.asarray(kl(np.broadcast_to(held.laws, law.shape), law)),
                *(np.asarray(found), np.asarray(ess)),
            )
            for arm, (law, found, ess) in laws.items()
        }


def _slopes(arm: str, n_seeds: np.ndarray, table: np.ndarray, config: Config) -> Iterator[Row]:
    """Slope of log mean KL against log n from ``n_slope`` on: in the context, and beyond it."""
    n_seeds = n_seeds[: len(table)]
    inside = (n_seeds >= config.n_slope) & (n_seeds <= max(config.n_seeds))
    beyond = n_seeds >= max(config.n_seeds)
    for metric, chosen in (("slope", inside), ("slope_beyond", beyond)):
        if chosen.sum() > 1:
            value, error = slope(n_seeds[chosen], table[chosen].T)
            yield _row(arm, int(n_seeds[chosen].max()), metric, -value, error)


def _row(arm: str, n: int, metric: str, value: float, error: float = float("nan")) -> Row:
    source = "simulation" if arm == TRANSFORMER else "theory"
    numbers = {"value": float(value), "std_error": float(error)}
    return {"source": source, "arm": arm, "n_real": n, "metric": metric, **numbers}


def _mean(values: np.ndarray) -> tuple[float, float]:
    mean, error = mean_and_std_error(values)
    return float(mean), float(error)
