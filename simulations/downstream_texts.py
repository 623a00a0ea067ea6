"""Regressions on labels of a text classifier that synthetic texts helped to train.

A class of which few texts are at hand is filled with texts of the grammar's writers; the classifier
labels a corpus of fresh texts, and regressions use its labels: how far off their coefficients are,
against the theory of misclassification at the classifier's own error rates, and what labels of
people repair. Then, how many of a budget of such labels to train on; and two published corpora.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from opal.checks import Check, at_most, refuted, short_of, within_standard_errors, z_threshold
from opal.cli import run_study
from opal.runner import Cell

from . import _config
from .downstream import COVERED

if TYPE_CHECKING:
    import pandas as pd

    from ._inferences import DrawnBlock, FilledTexts, Inferred, PublishedTexts, SplitLabels

GRAMMAR, BUDGET = "grammar", "grammar, budget"
CORPORA = (GRAMMAR, "sentiment", "hate-speech")
_LEAST_HUMAN = 20  # human labels that a regression with four coefficients needs


@dataclass(frozen=True)
class Config:
    """Texts, human labels, and how often all of it is drawn."""

    corpora: tuple[str, ...] = (GRAMMAR,)
    """grammar, sentiment, hate-speech."""
    n_originals: tuple[int, ...] = (50, 75, 100, 200)
    """Texts of the rare class that classifiers are trained on."""
    added: tuple[int, ...] = (100, 500)
    """Synthetic texts of it that are added."""
    n_others: int = 200
    """Texts of the other class."""
    n_rows: int = 1000
    """Texts of a corpus, all of which the classifier labels."""
    n_human: int = 100
    """Rows that people label for the correction; none of them is trained on."""
    n_known: int = 250
    """Texts of each class and attribute, by which the error rates of each classifier are known."""
    budget: int = 300
    """Human labels, some to train on and the rest to correct by; 0 leaves this part out."""
    n_budget_rows: int = 2000
    """Texts of a corpus of the budget."""
    shares: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    """Shares of the budget that are trained on."""
    rho: float = 0.65
    """Chance of the attribute that goes with the class."""
    n_replicates: int = 500
    """Draws of all texts and labels, nothing of which another one has."""
    block: int = 25
    """Draws of a cell."""
    encoder: str | None = None
    """Of published texts: tfidf, characters, minilm, or the folder or hub name of a transformer;
    by default words in English and characters in Danish."""
    classifiers: int = 10
    """Draws of the training texts of a published corpus."""
    seed: int = 19
    """Seed of all draws."""


PRESETS = {
    "tiny": Config(
        n_originals=(50,), added=(150,), n_others=100, n_rows=300, n_human=100, n_known=200,
        budget=120, n_budget_rows=300, shares=(0.0, 0.5, 1.0), n_replicates=12, block=12,
    ),
    "quick": Config(n_originals=(50, 200), added=(500,)),
    "full": Config(corpora=CORPORA),
}  # fmt: skip


def cells(config: Config) -> list[Cell]:
    """Cells of some draws each, and one for each published corpus.

    Raises:
        ValueError: a number is too small or out of its range, or a corpus is unknown or cannot be
            had.
    """
    _check(config)
    found = []
    for name in config.corpora:
        if name == GRAMMAR:
            blocks = range(config.n_replicates // config.block)
            found += [Cell(*each) for number in blocks for each in _blocks(config, number)]
        else:
            found.append(Cell(of_corpus, _published(config, name), name))
    return found


def _check(config: Config) -> None:
    from opal import names
    from opal.settings.groups import validate_number

    _config.require_counts(
        config,
        n_originals=10,
        added=1,
        n_others=10,
        n_rows=_LEAST_HUMAN + 1,
        n_human=_LEAST_HUMAN,
        n_known=10,
        block=2,
    )
    _config.require_counts(
        config, n_replicates=2, classifiers=2, budget=0, n_budget_rows=_LEAST_HUMAN + 1
    )
    if config.n_human >= config.n_rows or config.budget >= config.n_budget_rows:
        raise ValueError(
            "n_human must be below n_rows and budget below n_budget_rows, as some rows have no "
            f"human label; got {config.n_human} of {config.n_rows} and {config.budget} of "
            f"{config.n_budget_rows}. Lower the labels or raise the rows."
        )
    if config.n_replicates % config.block:
        raise ValueError(
            "n_replicates must be a multiple of block, so that cells count alike; got "
            f"{config.n_replicates} and {config.block}. Choose --block a divisor of n_replicates."
        )
    for share in config.shares:
        validate_number(share, "shares of the budget are in [0, 1]", least=0.0, most=1.0)
    validate_number(config.rho, "rho is a probability in [0.05, 0.95]", least=0.05, most=0.95)
    if not config.corpora:
        raise ValueError("--corpora must name at least one corpus; got none.")
    names.check("corpus", config.corpora, CORPORA)
    if max(config.n_originals) > config.n_others:
        raise ValueError(
            "n_originals are of the rarer class, at most n_others; got "
            f"{max(config.n_originals)} of {config.n_others}. Lower n_originals."
        )
    if not any(config.shares) and config.budget:
        raise ValueError(
            "shares of the budget needs one above 0, so that a classifier is trained; got "
            f"{config.shares}. Add one, or leave the part out by --budget 0."
        )
    if 0 < config.budget < _LEAST_HUMAN:
        raise ValueError(
            f"budget must be 0 or at least {_LEAST_HUMAN} human labels; got {config.budget}. Raise "
            "--budget, or leave the part out by --budget 0."
        )
    left = [config.budget - round(share * config.budget) for share in config.shares if share < 1]
    if config.budget and min(left, default=_LEAST_HUMAN) < _LEAST_HUMAN:
        raise ValueError(
            f"of the budget at least {_LEAST_HUMAN} labels must be left to correct by, or none; "
            f"budget {config.budget} and shares {config.shares} leave {min(left)}. Raise --budget, "
            "or lower the shares that are below 1."
        )


def _published(config: Config, name: str) -> PublishedTexts:
    """A published corpus, which is there, and by an encoder that can be loaded."""
    from opal.bridge.text import encoders, published

    from ._inferences import PublishedTexts

    if (why := published.unavailable(name)) is not None:
        raise ValueError(f"corpus {name!r} cannot be had here: {why}")
    usual = encoders.usual([published.language(name)])
    chosen = usual if config.encoder is None else config.encoder
    encoders.require_loadable(chosen)
    draws = config.n_replicates // config.classifiers or 1
    return PublishedTexts(name, chosen, config.classifiers, draws, config.n_human, config.seed)


def _blocks(config: Config, number: int) -> Iterator[tuple[Callable[..., Any], DrawnBlock, str]]:
    from ._inferences import FilledTexts, SplitLabels

    same = number, config.block, config.seed, config.rho
    sizes = config.n_others, config.n_rows, config.n_human, config.n_known
    texts = FilledTexts(*same, config.n_originals, config.added, *sizes)
    yield of_filled, texts, f"{GRAMMAR}, {number}"
    if config.budget:
        labels = SplitLabels(*same, config.n_budget_rows, config.budget, config.shares)
        yield of_split, labels, f"{BUDGET}, {number}"


def of_filled(config: FilledTexts) -> pd.DataFrame:
    """Means over draws of inferences, and of error rates, of classifiers of a filled class."""
    from ._inferences import filled

    return _records(config, filled, GRAMMAR)


def of_split(config: SplitLabels) -> pd.DataFrame:
    """Means over draws of inferences where human labels are trained on, or corrected by."""
    from ._inferences import split

    return _records(config, split, BUDGET)


def _records(
    block: DrawnBlock, draw: Callable[[Any, np.random.Generator], Iterator[Inferred]], setting: str
) -> pd.DataFrame:
    from threadpoolctl import threadpool_limits

    from opal import records

    from ._inferences import averaged

    with threadpool_limits(1):  # the matrices are small
        found = [each for rng in block.generators() for each in draw(block, rng)]
    same = {"study": "downstream_texts", "setting": setting, "replicate": block.number}
    return records.validate(averaged(found).assign(**same))


def of_corpus(config: PublishedTexts) -> pd.DataFrame:
    """Records of a published corpus: means over classifiers, and over who is labelled by people."""
    import pandas as pd
    from threadpoolctl import threadpool_limits

    from opal import records

    from ._inferences import averaged, labelled
    from ._labelled_corpora import FiniteCorpus

    corpus = FiniteCorpus.load(config.corpus, config.encoder)
    with threadpool_limits(1):
        parts = [averaged(labelled(corpus, config, k)) for k in range(config.classifiers)]
    case = [name for name in parts[0] if name not in ("value", "std_error", "n_replicates")]
    # Draws of one classifier share its labels: classifiers are what is independent.
    each = pd.concat(parts, ignore_index=True).groupby(case, sort=False, dropna=False)
    table = each.agg(
        value=("value", "mean"), std_error=("value", "sem"), n_replicates=("n_replicates", "sum")
    )
    same = {"study": "downstream_texts", "setting": f"{config.corpus}, {config.encoder}"}
    table = table.reset_index().assign(**same)
    return records.validate(table.assign(source=table["source"].replace("simulation", "data")))


def pooled(records: pd.DataFrame) -> pd.DataFrame:
    """Means over cells of the same classifiers and regressions, with their standard errors."""
    from ._inferences import TERM

    key = [name for name in (*TERM, "n_human", "group", "metric") if name in records]
    n = records["n_replicates"]
    weighted = records.assign(value=records["value"] * n, std_error=(records["std_error"] * n) ** 2)
    sums = weighted.groupby(key, sort=False, dropna=False)[["value", "std_error", "n_replicates"]]
    table = sums.sum(min_count=1).reset_index()
    error = table["std_error"] ** 0.5 / table["n_replicates"]
    return table.assign(value=table["value"] / table["n_replicates"], std_error=error)


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """A row for each classifier, regression, method and coefficient.

    Returns:
        Columns ``coverage``, ``width``, ``estimate``, ``bias``, ``rmse``, of naive rows also
        ``simple`` and ``differential``, where theory says that they end, and the error rates of the
        classifier. ``share`` is that of the budget which is trained on; ``draws`` have a solution.
    """
    from ._inferences import CASE, TERM

    table = pooled(records)
    key = [name for name in (*TERM, "n_human") if name in table]
    found = table[table["term"].notna() & (table["term"] != "all")]
    wide = found.set_index([*key, "metric"])["value"].unstack("metric").reset_index()
    draws = found[found["metric"] == "estimate"].set_index(key)["n_replicates"]
    wide = wide.merge(draws.rename("draws").reset_index(), on=key)
    wide["rmse"] = wide.pop("squared_error") ** 0.5
    rates = table[table["metric"].isin(["false_positives", "false_negatives"])]
    rates = rates[rates["group"] == "all"]
    same = [name for name in CASE if name not in ("share", "role", "covariates")]
    by = rates.set_index([*same, "metric"])["value"].unstack("metric").reset_index()
    minus = [name for name in wide if name.startswith("minus_")]
    return wide.drop(columns=minus).merge(by, on=same, how="left")


def findings(records: pd.DataFrame) -> list[str]:
    """What each classifier's labels do to a slope, with the fewest originals; a line each."""
    from opal.bridge.downstream import NAIVE, POWERED

    table = comparison(records)
    table = table[(table["role"] == "outcome") & (table["term"] != "intercept")]
    if "share" in table:  # of a budget of labels, which may not have been asked for
        table = table[table["share"].isna()]
    if table.empty:
        return []
    table = table[table["n_min"] == table.groupby("setting")["n_min"].transform("min")]
    same = ["setting", "n_min", "arm", "synthesizer", "n_oversampled"]
    found = []
    for (setting, least, arm, writer, added), rows in table.groupby(same, sort=False):
        of = rows.drop_duplicates("method", keep="last").set_index("method")
        if not {NAIVE, POWERED} <= set(of.index):
            continue
        naive, corrected = of.loc[NAIVE], of.loc[POWERED]
        more = f" + {added:.0f} by {writer}" if added else ""
        found.append(
            f"{setting}, {least:.0f} originals, {arm}{more}: slope of {naive['term']} "
            f"{naive['estimate'] - naive['bias']:.2f}, naive {naive['estimate']:.2f}; naive "
            f"intervals cover {naive['coverage']:.2f}, prediction-powered ones "
            f"{corrected['coverage']:.2f}"
        )
    return found


def checks(records: pd.DataFrame) -> list[Check]:
    """Naive bias as predicted, where errors are differential too; corrected intervals that cover.

    Only what the records hold is judged; on published texts, that naive intervals miss.
    Weighting of classes of equal size is the plain rule, and counts once.
    """
    from opal.bridge.downstream import NAIVE

    from ._labelled_texts import WEIGHTING

    table = pooled(records[(records["arm"] != WEIGHTING) | (records["n_min"] < records["n_max"])])
    rows = table[table["metric"] == "coverage"]
    found = []
    if (table["setting"] == GRAMMAR).any():
        own = table[table["setting"] == GRAMMAR]
        found += [*_predicted(own), *_covered(rows[rows["setting"] == GRAMMAR])]
    slopes = rows[(rows["method"] == NAIVE) & (rows["term"] != "intercept")]
    slopes = slopes[slopes["setting"] != BUDGET]
    detail = "least coverage of a slope by the naive intervals, which must fail"
    missed = {setting: of["value"].min() for setting, of in slopes.groupby("setting", sort=False)}
    return [
        *found,
        *(
            at_most(f"naive coverage, {setting}", least, 0.5, detail)
            for setting, least in missed.items()
        ),
    ]


def _predicted(table: pd.DataFrame) -> list[Check]:
    """Naive coefficients against both theories, at each classifier's own error rates."""
    from ._inferences import TERM
    from ._labelled_texts import BOTH, DRAWN

    key = [name for name in TERM if name in table]
    less = {
        name: table[table["metric"] == f"minus_{name}"].set_index(key)
        for name in ("simple", "differential")
    }
    simple, right = less["simple"], less["differential"]
    z = simple["value"] / simple["std_error"]
    apart = (simple["value"] - right["value"]) / simple["std_error"]
    of = simple.index.get_level_values
    both = (of("covariates") == BOTH) & (of("role") == "outcome")
    better = right[right.index.get_level_values("covariates") == BOTH]
    return [
        within_standard_errors("naive coefficients are predicted", z[of("covariates") == DRAWN]),
        within_standard_errors(
            "naive coefficients are predicted, errors by attribute",
            better["value"] / better["std_error"],
        ),
        refuted(
            "control: one error rate for all attributes",
            z[both],
            apart[both],
            "coefficients beside the attribute, on which errors depend",
        ),
    ]


def _covered(rows: pd.DataFrame) -> list[Check]:
    """Coverage of corrected intervals within its range; above it, of the mean over classifiers.

    Their draws are the same, so that the mean errs as one of them does, or less.
    """
    from opal.bridge.downstream import NAIVE

    own, (low, high) = rows[rows["method"] != NAIVE], COVERED
    means = own.groupby(["role", "covariates", "method", "term"])[["value", "n_replicates"]].mean()
    below = short_of(own["value"], own["n_replicates"], low)
    above = -short_of(means["value"], means["n_replicates"], high)
    seen = f"{own['value'].min():.3f} to {own['value'].max():.3f}, {len(own)} coefficients"
    over = f"means over classifiers {means['value'].min():.3f} to {means['value'].max():.3f}"
    named = "corrected coverage, standard errors"
    return [
        at_most(f"{named} below {low:.0%}", below, z_threshold(max(len(own), 1)), seen),
        at_most(f"{named} above {high:.0%}", above, z_threshold(max(len(means), 1)), over),
    ]


if __name__ == "__main__":
    run_study("downstream_texts")
