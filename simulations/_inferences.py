"""Regressions on a classifier's labels, gathered over draws into rows of records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from opal.bridge.downstream import HUMAN, NAIVE, POWERED, Regression, infer
from opal.bridge.text.published import GRAMMAR

from . import _labelled_texts as texts
from ._labelled_corpora import FiniteCorpus
from ._labelled_texts import CorpusLaw, Training
from .downstream import ROLES

CASE = ("setting", "n_min", "arm", "synthesizer", "n_oversampled", "share", "role", "covariates")
"""What a classifier and a regression are known by."""
TERM = (*CASE, "method", "term")
COUNTS = ("n_real", "n_max", "n_generator", "n_shared", "n_human")
MEASURED = (
    *("estimate", "bias", "squared_error", "coverage", "width"),
    *("simple", "minus_simple", "differential", "minus_differential"),
    *("false_positives", "false_negatives", "lost"),
)
KNOWN = ("truth", "simple", "differential")
"""Columns of the true coefficients, and of what theory says of the naive ones."""
LOST = pd.DataFrame({"method": ["all"], "term": ["all"], "lost": [1.0]})
"""What stands for a regression without a solution."""


@dataclass(frozen=True)
class DrawnBlock:
    """Some of the draws."""

    number: int
    size: int
    seed: int
    rho: float

    def generators(self) -> Iterator[np.random.Generator]:
        """One for each draw."""
        kind = (FilledTexts, SplitLabels).index(type(self))
        entropy = [self.seed, kind, self.number]
        for child in np.random.SeedSequence(entropy).spawn(self.size):
            yield np.random.default_rng(child)


@dataclass(frozen=True)
class FilledTexts(DrawnBlock):
    """Draws of classifiers of a filled class."""

    n_originals: tuple[int, ...]
    added: tuple[int, ...]
    n_others: int
    n_rows: int
    n_human: int
    n_known: int


@dataclass(frozen=True)
class SplitLabels(DrawnBlock):
    """Draws of human labels, some of which are trained on."""

    n_rows: int
    budget: int
    shares: tuple[float, ...]


@dataclass(frozen=True)
class PublishedTexts:
    """One published corpus."""

    corpus: str
    encoder: str
    classifiers: int
    draws: int
    n_human: int
    seed: int


class Inferred(NamedTuple):
    """A regression by all methods, or the error rates of a classifier."""

    case: dict[str, Any]
    table: pd.DataFrame | None = None  # by method and term, or :data:`LOST`


def averaged(found: Sequence[Inferred]) -> pd.DataFrame:
    """Means over draws of what :data:`MEASURED` names, with standard errors, as rows of records."""
    cases = pd.DataFrame([each.case for each in found])
    tables = {i: each.table for i, each in enumerate(found) if each.table is not None}
    whole = cases.join(_compared(pd.concat(tables).droplevel(1)))
    case = [name for name in (*TERM, *COUNTS, "group") if name in whole and name != "setting"]
    grouped = whole.groupby(case, sort=False, dropna=False)
    rows = []
    for metric in (name for name in MEASURED if name in whole):
        of = grouped[metric].agg(["mean", "sem", "count"]).reset_index().assign(metric=metric)
        rows.append(of[of["count"] > 0])
    names = {"mean": "value", "sem": "std_error", "count": "n_replicates"}
    result = pd.concat(rows, ignore_index=True).rename(columns=names)
    theory = result["metric"].isin(["simple", "differential"])
    result["group"] = result["group"].fillna("all") if "group" in result else "all"
    return result.assign(source=np.where(theory, "theory", "simulation"))


def _compared(table: pd.DataFrame) -> pd.DataFrame:
    """Coefficients against the truth, and the naive ones against theory."""
    found = table.reindex(columns=["method", "term", "estimate", "lower", "upper", *KNOWN, "lost"])
    truth, naive = found["truth"], found["method"] == NAIVE
    covered = (found["lower"] <= truth) & (truth <= found["upper"])
    found["coverage"] = covered.astype(float).where(truth.notna())
    found["width"] = found["upper"] - found["lower"]
    found["bias"] = found["estimate"] - truth
    found["squared_error"] = found["bias"] ** 2
    for name in KNOWN[1:]:
        found[name] = found[name].where(naive)
        found[f"minus_{name}"] = found["estimate"] - found[name]
    return found


def filled(config: FilledTexts, rng: np.random.Generator) -> Iterator[Inferred]:
    """One draw of classifiers of filled classes: inferences, and error rates."""
    law = texts.CorpusLaw(config.rho)
    sizes = config.n_rows, config.n_known, config.n_others
    replicate = texts.filled(law, sizes, config.n_originals, config.added, rng)
    human = replicate.human[: config.n_human]
    for training in replicate.trainings:
        said, rates = replicate.said(training)
        counts = _counts(training, training.n_real - config.n_others, config.n_human)
        yield from (Inferred(counts | each) for each in _rates(law, rates))
        for role, covariates in product(ROLES, texts.COVARIATES):
            options = (role, covariates, replicate.noise)
            table = _inferred(texts.regression, replicate.corpus, said, human, *options)
            if table is not LOST:  # or theory may not have a solution either
                table = _beside(
                    table,
                    truth=[*law.truth(role, covariates).values()],
                    simple=law.naive(role, covariates, rates, differential=False),
                    differential=law.naive(role, covariates, rates, differential=True),
                )
            yield Inferred(counts | {"role": role, "covariates": covariates}, table)


def split(config: SplitLabels, rng: np.random.Generator) -> Iterator[Inferred]:
    """One draw of a corpus whose human labels are trained on, corrected by, or each in part."""
    law, n = texts.CorpusLaw(config.rho), config.n_rows
    replicate = texts.split(law, n, config.budget, [s for s in config.shares if s > 0], rng)
    every = replicate.human[: config.budget]
    for position, training in enumerate(replicate.trainings):
        said, _ = replicate.said(training)
        # What was trained on is left out; where that is all, labels are as people or it gave them.
        last = training.n_real == config.budget
        if last:
            said[every] = replicate.corpus.label[every]
        kept = np.arange(n) if last else np.setdiff1d(np.arange(n), every[: training.n_real])
        case = _budgeted(training.arm, training.writer, training.n_real, config.budget)
        asked = [(NAIVE if last else POWERED, kept, case)]
        if position == 0 and 0.0 in config.shares:  # all human labels, whatever it says
            asked.append((HUMAN, np.arange(n), _budgeted("none", "none", 0, config.budget)))
        for method, kept, case in asked:
            rows = texts.CorpusRows(*(part[kept] for part in replicate.corpus))
            human = np.flatnonzero(np.isin(kept, every))
            for role in ROLES:
                options = (role, texts.BOTH, replicate.noise[kept])
                table = _inferred(texts.regression, rows, said[kept], human, *options)
                table = _beside(table, truth=[*law.truth(role, texts.BOTH).values()])
                own = table["method"].isin([method, *LOST["method"]])
                yield Inferred(case | {"role": role}, table[own])


def labelled(corpus: FiniteCorpus, config: PublishedTexts, number: int) -> list[Inferred]:
    """Inferences on a published corpus by the classifiers of one draw of training texts."""
    rng, found = np.random.default_rng([config.seed, 2, number]), []
    said_by = list(corpus.classifiers(rng))
    people = [rng.permutation(len(corpus.label)) for _ in range(config.draws)]
    for training, n_rare, said in said_by:
        counts = _counts(training, n_rare, config.n_human)
        wrong = {
            "false_positives": float(said[corpus.label == 0].mean()),
            "false_negatives": float(1 - said[corpus.label == 1].mean()),
        }
        found.append(Inferred(counts | wrong))
        for role in ROLES:
            truth, ends = corpus.truth(role), corpus.naive(role, said)
            case = counts | {"role": role, "covariates": "of the text"}
            for order in people:
                table = _inferred(corpus.regression, said, order[: config.n_human], role)
                found.append(Inferred(case, _beside(table, truth=truth, simple=ends)))
    return found


def _budgeted(arm: str, writer: str, n_trained: int, budget: int) -> dict[str, Any]:
    """Columns of a classifier of some of the budget, and of a regression corrected by the rest."""
    counts = dict.fromkeys(("n_real", "n_min", "n_max"), n_trained)
    own = {"arm": arm, "synthesizer": writer, "share": n_trained / budget, "n_human": budget}
    return {**own, **counts, "covariates": texts.BOTH}


def _counts(training: Training, n_rare: int, n_human: int) -> dict[str, Any]:
    """Columns of a classifier."""
    n_others = training.n_real - n_rare
    seen = float(n_rare) if training.n_added else 0.0
    return {
        "arm": training.arm,
        "synthesizer": training.writer,
        "n_real": training.n_real,
        "n_min": min(n_rare, n_others),
        "n_max": max(n_rare, n_others),
        "n_oversampled": training.n_added,
        "n_generator": seen,
        "n_shared": seen,
        "n_human": n_human,
    }


def _rates(law: CorpusLaw, said: np.ndarray) -> Iterator[dict[str, Any]]:
    """Error rates of a classifier, of all texts of a class and by attribute."""
    wrong = np.array([said[0], 1 - said[1]])
    overall = [float(law.link(y) @ wrong[y]) for y in (0, 1)]
    by = dict(zip(("all", *GRAMMAR.attributes), np.column_stack([overall, wrong]).T, strict=True))
    for group, (negatives, positives) in by.items():
        yield {"group": group, "false_positives": negatives, "false_negatives": positives}


def _inferred(regression: Callable[..., Regression], *drawn: Any) -> pd.DataFrame:
    """Coefficients by method and term; :data:`LOST` where labels are separable, or all alike."""
    try:
        return infer(regression(*drawn))
    except ValueError:
        return LOST


def _beside(table: pd.DataFrame, **known: Sequence[float] | np.ndarray) -> pd.DataFrame:
    """Coefficients beside what is known of each of their terms."""
    if table is LOST:
        return table
    return table.assign(**{k: np.tile(v, len(table) // len(v)) for k, v in known.items()})
