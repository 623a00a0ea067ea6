"""Learning curves of texts: what N added texts of each source are worth, arm by arm.

:func:`evaluate` is one seed of one corpus; :func:`summary` averages over seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from opal import records
from opal.bridge.text import features, texts
from opal.bridge.text.corpora import TextCorpus
from opal.bridge.text.curves import exact, ladder, material, pilot, purchase, ratio
from opal.bridge.text.curves.arms import ADDING, REFERENCE
from opal.bridge.text.curves.material import Material
from opal.bridge.text.curves.measures import Measure, std_error
from opal.bridge.text.curves.trained import Trained
from opal.bridge.text.features import Features
from opal.checks import require_at_least

STUDY = "text"
SIZES = (30, 60, 120, 250, 500, 1000, 2000, 4000)
AGAINST = "balanced_error_against"
"""Metric: the difference to each number (column ``against``) of human texts, weighted alike."""
TRIED = (pilot.ARM, purchase.ARM)
"""Arms of many weights: what a plan is made from, and what it is held against."""
KEYS = ("setting", "encoder", "synthesizer", "arm", "added", "metric", "group", "source")
"""What names a number, seeds apart."""


@dataclass(frozen=True)
class Settings:
    """How a corpus is evaluated.

    Attributes:
        encoder: ``tfidf``, ``minilm``, a transformer's folder or hub name, or ``words`` (grammar).
        sources: what is added; all that there is by default.
        sizes: numbers N of added texts, over all groups; those beyond a source are left out.
        folds: that choose ρ.
        share: of the base texts that a seed draws.
        most_test: test texts at most.
        strength: C of the penalty, for all arms; chosen by cross-validation for each seed if None.

    Raises:
        ValueError: a number that is too small.
    """

    encoder: str = "tfidf"
    sources: tuple[str, ...] = ()
    sizes: tuple[int, ...] = SIZES
    folds: int = ratio.FOLDS
    share: float = material.SHARE
    most_test: int = material.MOST_TEST
    strength: float | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        require_at_least("folds", self.folds, 2)
        require_at_least("most_test", self.most_test, 1)
        if not self.sizes:
            raise ValueError("--sizes must name at least one number of added texts; got none.")
        require_at_least("sizes", min(self.sizes), 1)
        if self.strength is not None and not self.strength > 0:
            raise ValueError(f"--strength must be positive; got {self.strength}.")
        if not 0 < self.share <= 1:
            raise ValueError(f"--share must be in (0, 1]; got {self.share}.")


def evaluate(corpus: TextCorpus, seed: int, settings: Settings) -> pd.DataFrame:
    """Records of one seed: each metric of each arm, and its differences.

    ``METRIC_difference`` is to group weighting, ``METRIC_to_human`` to as many human texts in the
    same arm. ``std_error`` is the standard error over test texts, paired for differences.

    Raises:
        ValueError: the corpus has no texts for some part, or too few for the folds.
    """
    data = material.material(
        corpus,
        seed,
        chosen=settings.sources,
        share=settings.share,
        most_test=settings.most_test,
    )
    _require_texts(data, settings)
    known = features.of(features.named(settings.encoder), data.frame["text"].tolist())
    # The matrices are small: threads wait for each other longer than they work.
    with threadpool_limits(1):
        trained, strength = _trained(data, known, seed, settings)
    rows = [row for each in trained for row in each.rows(data, _references(each, trained))]
    rows += _against(data, trained)
    if settings.encoder == features.WORDS:
        rows += exact.rows(data, trained)
    frame = pd.DataFrame(rows)
    return records.validate(
        frame.assign(
            study=STUDY,
            setting=corpus.name,
            encoder=settings.encoder,
            replicate=seed,
            strength=strength,
            share=settings.share,
            converged=all(each.rule.converged for each in trained),
        )
    )


def _require_texts(data: Material, settings: Settings) -> None:
    """Each source needs texts for one size, or it would be left out without a word."""
    for source, order in data.added.items():
        if len(order) < min(settings.sizes):
            raise ValueError(
                f"{source!r} has {len(order)} texts whose seeds were all drawn, fewer than the "
                f"least of --sizes, {min(settings.sizes)}. Name a smaller size, a larger --share "
                "of the base texts, or other --sources."
            )


def _trained(
    data: Material, known: Features, seed: int, settings: Settings
) -> tuple[list[Trained], float]:
    """The rules of all arms, and the C of their penalty."""
    strength = settings.strength or ratio.strength(data, known, seed, n_folds=settings.folds)
    ratios = ratio.choose(data, known, seed, n_folds=settings.folds, strength=strength)
    alone = ladder.alone(data, known, seed, strength)
    grown = ladder.grown(data, known, ratios, settings.sizes, strength)
    tried = pilot.trained(data, known, seed, settings.sizes, strength)
    bought = purchase.trained(data, known, settings.sizes, strength)
    return [*alone, *grown, *tried, *bought], strength


def _references(each: Trained, trained: Sequence[Trained]) -> dict[str, Mapping[str, Measure]]:
    """What a rule is compared with, by what the difference is called."""
    found = {"difference": next(t.measured for t in trained if t.arm == REFERENCE)}
    if each.arm in ADDING and each.source != texts.HUMAN:
        alike = (each.arm, texts.HUMAN, each.added)
        for human in trained:
            if (human.arm, human.source, human.added) == alike:
                found["to_human"] = human.measured
    return found


def _against(data: Material, trained: Sequence[Trained]) -> Iterator[dict[str, Any]]:
    """Balanced errors of group-weighted generators' texts, less those of all numbers of human."""
    weighted = [each for each in trained if each.arm == "synthetic_weighting"]
    human = [each for each in weighted if each.source == texts.HUMAN]
    alone = [each for each in trained if each.arm == REFERENCE]
    for made in weighted:
        if made.source == texts.HUMAN or not human:
            continue
        own = made.described(data) | {"source": "data", "group": "all", "metric": AGAINST}
        value, influence = made.measured["balanced_error"]
        for other in (*alone, *human):
            reference = other.measured["balanced_error"]
            yield own | {
                "against": other.added,
                "value": value - reference.value,
                "std_error": std_error(influence - reference.influence),
            }


def summary(frame: pd.DataFrame, keys: Sequence[str] = KEYS) -> pd.DataFrame:
    """Means over seeds with 95 % intervals.

    The standard error joins that over seeds with the mean one over test texts. The test texts are
    those of all seeds, so that the latter does not fall with their number: the sum errs on the wide
    side. Base texts are drawn from one pool: intervals are of this pool, not of another one.
    """
    cells = frame.groupby(list(keys), sort=False, dropna=False)
    found = cells.agg(
        value=("value", "mean"),
        spread=("value", "var"),
        tested=("std_error", lambda errors: float(np.mean(np.square(errors)))),
        n_replicates=("value", "size"),
        n_real=("n_real", "first"),
        alpha=("alpha", "mean"),
        rho=("rho", "mean"),
        total=("total", "mean"),
    ).reset_index()
    seeds = (found["spread"] / found["n_replicates"]).fillna(0.0)
    error = np.sqrt(seeds + found["tested"].fillna(0.0))
    return found.drop(columns=["spread", "tested"]).assign(
        std_error=error, lower=found["value"] - 1.96 * error, upper=found["value"] + 1.96 * error
    )
