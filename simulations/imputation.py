"""A small class filled with synthetic texts: F1 on original and on synthetic texts, by originals.

Repeated cross-validation of the approach of arXiv 2504.15160 with folds by lineage, on texts that
are at hand: the grammar's two writers, or GPT-4's and Llama-2-70B's texts of four corpora.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from opal.checks import Check, at_least
from opal.cli import run_study
from opal.runner import Cell

if TYPE_CHECKING:
    import pandas as pd


GRAMMAR = "grammar/praise"
# The classes with 200 original texts of which at least 50 have synthetic ones; the first of each
# corpus is drawn.
PUBLISHED = (
    *("hypo-l/hyperbole", "sentiment/negative", "ten-dim/conflict", "crowdflower/worry"),
    *("sentiment/positive", "sentiment/neutral", "hypo-l/not hyperbole"),
    *("crowdflower/happiness", "crowdflower/sadness", "crowdflower/neutral"),
    *("ten-dim/social_support", "ten-dim/knowledge", "ten-dim/neutral"),
)


@dataclass(frozen=True)
class Config:
    """Which classes, and how they are tried."""

    classes: tuple[str, ...] = (GRAMMAR,)
    """CORPUS/CLASS each; all other classes of the corpus are kept."""
    n_originals: tuple[int, ...] = (50, 75, 100)
    """Texts of the class at hand; 0 stands for all that have synthetic ones, and more than those
    are passed over."""
    fill_to: int = 200
    """Originals and added texts of the class."""
    n_others: int = 200
    """Texts of each other class, at most."""
    folds: int = 10
    """Folds."""
    repeats: int = 10
    """Repeats of the cross-validation, each with another draw of the originals."""
    encoder: str = "tfidf"
    """tfidf, characters, minilm, multilingual-use, multilingual-minilm, multilingual-e5, or the
    folder or hub name of a transformer."""
    masked_model: str = ""
    """A masked language model for SSMBA, or grown: trained on texts of the corpus that are not
    tried. Without one there is no such arm."""
    arms: tuple[str, ...] = ()
    """Arms, all by default."""
    seed: int = 0
    """Seed of all draws."""


PRESETS = {
    "tiny": Config(n_originals=(50,), folds=3, repeats=1),
    "quick": Config(repeats=2),
    "full": Config(classes=PUBLISHED, n_originals=(50, 75, 100, 0), encoder="minilm"),
}


@dataclass(frozen=True)
class CorpusClass:
    """One class of one corpus."""

    corpus: str
    category: str
    n_originals: tuple[int, ...]
    fill_to: int
    n_others: int
    folds: int
    repeats: int
    encoder: str
    masked_model: str
    arms: tuple[str, ...]
    seed: int


def cells(config: Config) -> list[Cell]:
    """A cell for each class.

    Raises:
        ValueError: a number is too small, or a name is unknown.
        ImportError: the extra ``text`` is missing and needed.
    """
    from opal import names, validation
    from opal.bridge.text import encoders, published
    from opal.bridge.text.impute.evaluate import Trial

    if not config.classes or not config.n_originals:
        raise ValueError("name at least one class and one number of originals.")
    fill_to, folds, least = config.fill_to, config.folds, min(config.n_originals)
    Trial(config.n_originals, fill_to, folds, config.repeats, config.arms)
    if least < 0 or max(config.n_originals) >= fill_to or config.n_others < 1 or folds < 2:
        raise ValueError(
            "n_originals must be at least 0 and below fill_to, n_others at least 1 and folds at "
            f"least 2; got {config.n_originals}, {fill_to}, {config.n_others} and {folds}."
        )
    encoders.require_loadable(config.encoder)
    if config.masked_model:
        validation.require_installed("text", "transformers", "torch")
    shared = asdict(config)
    del shared["classes"]
    found = []
    for name in config.classes:
        corpus, _, category = name.partition("/")
        names.check("corpus of texts", [corpus], published.names())
        if not category:
            raise ValueError(f"classes are CORPUS/CLASS; got {name!r}.")
        found.append(Cell(case_cell, CorpusClass(corpus, category, **shared), name))
    return found


def case_cell(config: CorpusClass) -> pd.DataFrame:
    """Records of one class."""
    from opal.bridge.text import encoders, published
    from opal.bridge.text.impute import claims, evaluate, sources
    from opal.bridge.text.impute.arms import ARMS
    from opal.bridge.text.impute.task import of_corpus

    corpus = published.load_corpus(config.corpus, key=config.seed)
    task = of_corpus(corpus, config.category, n_others=config.n_others)
    have = len(task.originals)
    sizes = {n or have for n in config.n_originals}
    chosen = tuple(sorted(n for n in sizes if n <= have and n < config.fill_to))
    arms = tuple(config.arms) or ARMS
    trial = evaluate.Trial(
        chosen, config.fill_to, config.folds, config.repeats, arms, seed=config.seed
    )
    if config.masked_model:
        task = sources.with_neighbours(task, trial, config.masked_model, corpus)
    frame = evaluate.evaluate(task, trial, evaluate.linear(encoders.encoder(config.encoder)))
    source = "simulation" if config.corpus == published.DEFAULT else "data"
    table = claims.summarise(frame, task, trial, source=source)
    return table.assign(encoder=config.encoder, notes="; ".join(task.notes))


def checks(records: pd.DataFrame) -> list[Check]:
    """What must show where folds and arms are sound; what synthetic texts are worth is a finding.

    Each is a mean over corpora at the fewest originals of a class; those without their arms are
    left out.
    """
    asked = (
        ("labels help", "all_real", "f1_minus_raw", "F1 with all labels minus with few"),
        ("weighting helps", "weighting", "f1_minus_raw", "F1 of weighted minus of raw originals"),
        ("threshold helps", "raw_threshold", "f1_minus_raw", "F1 with a moved threshold minus raw"),
    )
    found = []
    for name, arm, metric, words in asked:
        if records[(records["arm"] == arm) & (records["metric"] == metric)].empty:
            continue
        value, error = _mean(records, arm, metric)
        detail = f"{words}: {value:+.3f} ± {error:.3f}"
        found.append(at_least(name, value / error, 2.0, detail))
    return found


def _mean(records: pd.DataFrame, arm: str, metric: str) -> tuple[float, float]:
    """Mean over corpora, and its standard error, at the fewest originals of each class.

    Classes of a corpus share texts, and sources share folds: their errors count as one and the
    same. Corpora are independent.
    """
    rows = records[(records["arm"] == arm) & (records["metric"] == metric)]
    fewest = rows[rows["n_min"] == rows.groupby("setting")["n_min"].transform("min")]
    corpus = fewest["setting"].str.partition("/")[0]
    each = fewest.groupby(corpus)[["value", "std_error"]].mean()
    error = np.sqrt((each["std_error"] ** 2).sum()) / len(each)
    return float(each["value"].mean()), float(error)


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """The published claims, a row for each class, source and number of originals.

    The setting ``all`` is the mean over corpora, where there are several.
    """
    import pandas as pd

    from opal.bridge.text.impute import claims

    table = pd.concat([records, pooled(records)], ignore_index=True)
    return compared(claims.claims(table))


def pooled(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the corpora of all rows that several of them have, under the setting ``all``.

    Classes of a corpus share texts: their errors count as one and the same. Corpora are
    independent, and intervals are normal.
    """
    from opal.bridge.resampling import LEVEL
    from opal.bridge.text.impute.claims import bounded

    case = ["n_min", "arm", "synthesizer", "tested", "metric"]
    corpus = table["setting"].str.partition("/")[0].rename("corpus")
    of_corpus = {"value": "mean", "std_error": "mean", "n_full": "min", "n_oversampled": "max"}
    each = table.groupby([*case, corpus])[[*of_corpus]].agg(of_corpus)
    squares = each.assign(std_error=each["std_error"] ** 2).groupby(level=case)
    found = squares.agg(
        value=("value", "mean"),
        std_error=("std_error", "sum"),
        n_full=("n_full", "min"),
        n_oversampled=("n_oversampled", "max"),
        corpora=("value", "size"),
    )
    found = found[found["corpora"] > 1].reset_index()
    error = np.sqrt(found["std_error"]) / found["corpora"]
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * error
    ends = {"lower": found["value"] - half, "upper": found["value"] + half}
    return bounded(found.assign(setting="all", std_error=error, **ends))


def compared(claims: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``claims.claims`` in as few columns as a terminal shows.

    F1 is that of the filled class with a moved threshold, and that of the free rule which filling
    is least sure to beat. Differences and the gap, which is of the most probable class, have their
    intervals beside them; those that no row has are left out.
    """
    from opal.bridge.text.impute.claims import FULL
    from opal.bridge.text.impute.report import interval

    first = {"setting": "setting", "synthesizer": "texts by", "n_original": "originals"}
    table = claims[[*first]].rename(columns=first)
    scores = {"free": "f1_against", "filled": "f1_threshold", "all real": f"f1_{FULL}"}
    for title, name in scores.items():
        table[title] = claims[name].map("{:.3f}".format)
    differences = {
        "minus free": "gain",
        "minus all real": "difference",
        "gap": "gap",
        "minus SSMBA": "synthetic_f1_minus_ssmba",
        "gap minus SSMBA": "synthetic_gap_minus_ssmba",
        "fixed minus drawn seeds": "fixed_seeds_f1_minus_drawn_seeds",
        "gap, fixed minus drawn": "fixed_seeds_gap_minus_drawn_seeds",
    }
    for title, name in differences.items():
        if name in claims:
            ends = (
                ("lower", "upper") if name == "difference" else (f"{name}_lower", f"{name}_upper")
            )
            table[title] = [interval(*row) for row in claims[[name, *ends]].to_numpy()]
    if "same_texts" in claims:
        of_seeds = [title for title in table if "minus drawn" in title]
        table.loc[claims["same_texts"].eq(True), of_seeds] = "the same texts"
    verdicts_of = {"filling": "verdict", "full sample": "full_sample", "2 to 4 %": "gap_published"}
    return table.assign(**{title: claims[name] for title, name in verdicts_of.items()})


if __name__ == "__main__":
    run_study("imputation")
