"""The study of temperature, cell by cell: seeds, what generators make of them, and its records."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from opal import records
from opal.draws import as_key, named
from opal.theory.generator import bayes
from simulations._generators import Subjects, subjects
from simulations._temperature import first_rows, pairs, sampled, scores_after, tables
from simulations._temperature_rows import Row, measured, rows_of, trained
from simulations.generator_temperature import (
    BAYES,
    TRANSFORMER,
    Config,
    Training,
    classes,
    decoder,
    designs,
    samplings,
    stream,
)


def of_laws(config: Config) -> Iterator[Row]:
    """Records of every estimate after each number of seeds, over all held-out subjects."""
    ways, source = samplings(config), stream(config)
    held = subjects(source, config.context - 1, key=config.seed, n_subjects=config.n_subjects)
    pair, counts = pairs(source.alphabet, held.laws), held.counts(config.n_seeds)
    for arm, scores in _arms(config, held).items():
        for n, seen, each, design in zip(
            config.n_seeds, counts, scores, designs(config), strict=True
        ):
            values = measured(source.alphabet, pair, design, seen, each, ways)
            for row in rows_of(values, ways):
                yield {"arm": arm, "n_real": n, **row}


def _arms(config: Config, held: Subjects) -> dict[str, np.ndarray]:
    """Log probabilities of the next token, up to a constant, by each estimate [N, S, d]."""
    source, counts = stream(config), held.counts(config.n_seeds)
    options = {"key": config.seed, "n_draws": config.n_draws}
    best = bayes(source.alphabet, counts, source.prior, **options)
    return {
        TRANSFORMER: scores_after(decoder(config), held, config.n_seeds),
        BAYES: np.log(np.asarray(best.law)),
    }


def of_training(at: Training) -> Iterator[pd.DataFrame]:
    """Records of one pair of classes after each number of seeds."""
    config, setting, ways = at.config, classes(at.config, at.pair), samplings(at.config)
    key, size = named(as_key(config.seed), f"pair {at.pair}"), config.n_replicates
    held = first_rows(setting.law, config.context - 1, key=key, n_replicates=size)
    scores = scores_after(decoder(config), held, config.n_seeds)
    shape, most = (len(ways), size, *setting.law.table.shape[:2]), max(config.n_seeds)
    for design, seen, each in zip(
        designs(config), held.counts(config.n_seeds), scores, strict=True
    ):
        made = tables(sampled(each, ways).reshape(shape))
        seeds = tables(seen.reshape(shape[1:]))
        found = trained(
            *(setting, design, seeds, made, ways), key=key, most=(config.n_majority, most)
        )
        for (temperature, top_p), (simulated, theory) in zip(ways, found, strict=True):
            for source, rows in (("simulation", simulated), ("theory", theory)):
                frame = records.of_design(
                    *(setting, design, {(name, "all"): row for name, row in rows.items()}),
                    study="generator_temperature",
                    n_replicates=size,
                    source=source,
                )
                yield frame.assign(temperature=temperature, top_p=top_p)
