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
    """Records of one training, from the KL of the transformer and of Bayes [n, S]."""
    for n, each, best in zip(n_seeds, made, least, strict=True):
        for source, maker, metric, values in (
            ("simulation", TRANSFORMER, "kl", each),
            ("simulation", TRANSFORMER, "regret", each - best),
            ("theory", BAYES, "kl", best),
        ):
            value, error = (float(number) for number in mean_and_std_error(values))
            numbers = {"value": value, "std_error": error}
            labels = {"source": source, "synthesizer": maker, "metric": metric}
            yield {**labels, "n_real": n, **numbers}


def size_of(decoder: Decoder) -> int:
    """Numbers in a decoder."""
    return sum(leaf.size for leaf in jax.tree.leaves(decoder))
