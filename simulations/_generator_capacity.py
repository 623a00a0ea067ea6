"""Records of the study generator_capacity: one training beside Bayes on the same seeds."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np

from opal.risk import mean_and_std_error
from opal.synthesis.transformer.model import Decoder
from simulations.generator_capacity import BAYES, TRANSFORMER


def rows_of(
    n_seeds: tuple[int, ...], made: np.ndarray, least: np.ndarray
) -> Iterator[dict[str, object]]:
    """Records of one number of steps.

    Args:
        n_seeds: the n.
        made: KL of each training [trainings, n, S].
        least: KL of Bayes [n, S].
    """
    for n, each, best in zip(n_seeds, made.mean(axis=0), least, strict=True):
        for source, maker, metric, values in (
            ("simulation", TRANSFORMER, "kl", each),
            ("simulation", TRANSFORMER, "regret", each - best),
            ("theory", BAYES, "kl", best),
        ):
            value, error = (float(number) for number in mean_and_std_error(values))
            numbers = {"value": value, "std_error": error}
            labels = {"source": source, "synthesizer": maker, "metric": metric}
            yield {**labels, "n_real": n, **numbers}
    if len(made) > 1:
        last = (made[:, -1] - least[-1]).mean(axis=1)
        labels = {"source": "simulation", "synthesizer": TRANSFORMER}
        spread = float(last.std(ddof=1) / last.mean())
        yield {**labels, "n_real": n_seeds[-1], "metric": "spread_of_trainings", "value": spread}


def size_of(decoder: Decoder) -> int:
    """Numbers in a decoder."""
    return sum(leaf.size for leaf in jax.tree.leaves(decoder))
