"""The study of regressions on labels of text classifiers: its laws, records and checks."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from opal.bridge.text import published
from simulations import _inferences
from simulations import _labelled_texts as texts
from simulations import downstream_texts as study
from simulations.downstream import ROLES

TINY = study.PRESETS["tiny"]
LAW = texts.CorpusLaw(0.65)


@pytest.fixture(scope="module")
def records() -> pd.DataFrame:
    return pd.concat([cell.function(cell.config) for cell in study.cells(TINY)], ignore_index=True)


def test_both_regressions_are_logistic() -> None:
    """Shares of the class in strata of a large corpus are those of the stated coefficients."""
    rows = LAW.draw(400_000, np.random.default_rng(0))
    beta = LAW.truth("outcome", texts.BOTH)
    assert LAW.truth("outcome", texts.DRAWN) == {"intercept": -1.2, "drawn": 0.8}
    for attribute in (0, 1):
        for low, high in ((-1.0, -0.9), (0.9, 1.0)):
            own = (rows.attribute == attribute) & (rows.drawn > low) & (rows.drawn < high)
            middle = rows.drawn[own].mean()
            p = expit(beta["intercept"] + beta["attribute"] * attribute + beta["drawn"] * middle)
            error = np.sqrt(p * (1 - p) / own.sum())
            assert abs(rows.label[own].mean() - p) < 4 * error
    assert rows.label.mean() == pytest.approx(LAW.rare(), abs=0.003)


@pytest.mark.parametrize("covariates", [*texts.COVARIATES])
@pytest.mark.parametrize("role", ROLES)
def test_naive_coefficients_of_many_rows_are_those_of_theory(role: str, covariates: str) -> None:
    """Error rates by attribute are needed beside it, and their mean is refuted there alone."""
    rng, n = np.random.default_rng(1), 120_000
    rows, rates = LAW.draw(n, rng), np.array([[0.1, 0.35], [0.5, 0.9]])
    said = (rng.uniform(size=n) < rates[rows.label, rows.attribute]).astype(float)
    human = np.arange(100)
    task = texts.regression(rows, said, human, role, covariates, rng.normal(size=n))
    from opal.bridge.downstream import NAIVE, infer

    table = infer(task)
    found = table[table["method"] == NAIVE]
    z = {
        wrong: (found["estimate"] - LAW.naive(role, covariates, rates, differential=not wrong))
        / found["std_error"]
        for wrong in (False, True)
    }
    assert z[False].abs().max() < 4
    alone = covariates == texts.DRAWN
    assert (z[True].abs().max() < 4) == alone
    assert list(LAW.truth(role, covariates)) == list(task.terms)


def test_classifiers_are_trained_on_what_they_say() -> None:
    rng = np.random.default_rng(2)
    drawn = texts.filled(LAW, (50, 20, 40), (10, 30), (5, 60), rng)
    arms = [(t.arm, t.writer, len(t.rows), t.n_added) for t in drawn.trainings]
    assert len(arms) == 2 * (3 + 2 * 2)
    assert ("raw", "none", 50, 0) in arms
    assert ("synthetic", "biased", 130, 60) in arms
    corpus, known = np.arange(50), set(drawn.known)
    for training in drawn.trainings:
        assert not set(training.rows) & (known | set(corpus))
        assert drawn.y[training.rows].mean() > 0
    weighted = next(t for t in drawn.trainings if t.arm == texts.WEIGHTING)
    balance = weighted.weights @ (2 * drawn.y[weighted.rows] - 1)
    assert balance == pytest.approx(0.0, abs=1e-9)
    few = [t for t in drawn.trainings if t.n_added == 5 and t.writer == "faithful"]
    many = [t for t in drawn.trainings if t.n_added == 60 and t.writer == "faithful"]
    for less, more in zip(few, many, strict=True):
        assert set(less.rows) < set(more.rows)


def test_a_threshold_is_moved_for_the_class_that_is_rare() -> None:
    drawn = texts.filled(LAW, (400, 1, 200), (20,), (1,), np.random.default_rng(3))
    by = {t.arm: drawn.said(t)[0].mean() for t in drawn.trainings}
    assert by[texts.RAW] < by[texts.WEIGHTING]
    assert by[texts.RAW] < by[texts.THRESHOLD]


def test_a_budget_is_never_used_twice() -> None:
    drawn = texts.split(LAW, 300, 100, (0.5, 1.0), np.random.default_rng(4))
    sizes = [len(t.rows) - t.n_added for t in drawn.trainings]
    assert sizes == [50, 50, 100, 100]
    for training in drawn.trainings:
        own = training.rows[: len(training.rows) - training.n_added]
        assert set(own) == set(drawn.human[: len(own)])


def test_checks_of_the_tiny_study(records: pd.DataFrame) -> None:
    """Few draws refuse no theory that is right, and one that is wrong."""
    found = {check.name: check for check in study.checks(records)}
    assert len(found) == 6
    for name, check in found.items():
        assert check.passed, name
    wrong = records.copy()
    wrong.loc[wrong["metric"] == "coverage", "value"] = 0.0
    low = {check.name: check.passed for check in study.checks(wrong)}
    assert not low["corrected coverage, standard errors below 93%"]
    simple = wrong["metric"] == "minus_simple"
    wrong.loc[simple, "value"] += 9 * wrong.loc[simple, "std_error"]
    off = {check.name: check.passed for check in study.checks(wrong)}
    assert not off["naive coefficients are predicted"]
    right = records.copy()
    blind = right["metric"].isin(["minus_simple", "minus_differential"])
    right.loc[blind, "value"] = 0.0
    same = {check.name: check.passed for check in study.checks(right)}
    assert not same["control: one error rate for all attributes"]


def test_every_corpus_has_intervals_that_miss(records: pd.DataFrame) -> None:
    """Naive ones of one corpus that fail do not stand for those of another."""
    other = records[records["setting"] == study.GRAMMAR].assign(setting="sentiment, tfidf")
    other.loc[other["metric"] == "coverage", "value"] = 1.0
    found = {c.name: c.passed for c in study.checks(pd.concat([records, other]))}
    assert found["naive coverage, grammar"]
    assert not found["naive coverage, sentiment, tfidf"]


def test_weighting_of_equal_classes_counts_once(records: pd.DataFrame) -> None:
    """It is the plain rule: 50 texts of one class and 100 of the other have two classifiers."""

    def compared(table: pd.DataFrame) -> int:
        (check,) = (c for c in study.checks(table) if c.name == "naive coefficients are predicted")
        return int(re.findall(r"of (\d+) comparisons", check.detail)[0])

    weighting = (records["arm"] == texts.WEIGHTING) & (records["setting"] == study.GRAMMAR)
    equal = records.copy()
    equal.loc[weighting, "n_max"] = equal.loc[weighting, "n_min"]
    assert compared(equal) == compared(records[~weighting]) < compared(records)


def test_the_comparison_has_a_row_for_each_coefficient(records: pd.DataFrame) -> None:
    table = study.comparison(records)
    grammar = table[table["setting"] == study.GRAMMAR]
    terms = grammar.groupby(["role", "covariates"])["term"].nunique()
    assert terms.to_list() == [4, 3, 3, 2]
    naive = grammar[grammar["method"] == "naive"]
    assert naive[["simple", "differential", "false_positives"]].notna().all(axis=None)
    drawn = naive[naive["covariates"] == texts.DRAWN]
    np.testing.assert_allclose(drawn["simple"], drawn["differential"])
    budget = table[table["setting"] == study.BUDGET]
    assert sorted(budget["share"].unique()) == [0.0, 0.5, 1.0]
    methods = budget.groupby("share")["method"].unique().map(list).to_dict()
    assert methods == {0.0: ["human labels"], 0.5: ["prediction-powered"], 1.0: ["naive"]}


def test_each_classifier_has_a_line(records: pd.DataFrame) -> None:
    table = study.comparison(records)
    said = study.findings(records)
    own = table[(table["role"] == "outcome") & table["share"].isna()]
    least = own["n_min"] == own.groupby("setting")["n_min"].transform("min")
    assert len(said) == len(own[least].groupby(["setting", "arm", "synthesizer", "n_oversampled"]))
    assert all(" originals, " in line and "naive intervals cover" in line for line in said)
    row = own[(own["method"] == "naive") & (own["arm"] == "raw") & (own["term"] != "intercept")]
    assert any(f"naive {value:.2f};" in said[0] for value in row["estimate"])
    unsplit = records[records["setting"] != study.BUDGET].drop(columns="share")
    assert study.findings(unsplit) == said  # as the records of --budget 0 are


def test_a_draw_without_two_labels_is_lost() -> None:
    """People, or a classifier, may say the same of all texts: the draw is counted, and left out."""
    rows = LAW.draw(200, np.random.default_rng(2))
    rows = texts.CorpusRows(*(part[rows.label == 0] for part in rows))
    said = (np.arange(len(rows.label)) % 2).astype(float)
    drawn = (rows, said, np.arange(50), "outcome", texts.DRAWN, np.zeros(len(said)))
    assert _inferences._inferred(texts.regression, *drawn) is _inferences.LOST
    rows.label[:25] = 1
    assert _inferences._inferred(texts.regression, *drawn) is not _inferences.LOST


def test_cells_are_pooled_by_their_draws() -> None:
    same = {"setting": "grammar", "term": "drawn", "metric": "bias", "group": "all"}
    rows = pd.DataFrame({"value": [1.0, 4.0], "std_error": [0.2, 0.1], "n_replicates": [10, 20]})
    (row,) = study.pooled(rows.assign(**same)).to_dict("records")
    assert row["value"] == pytest.approx(3.0)
    assert row["std_error"] == pytest.approx(np.hypot(2.0, 2.0) / 30)
    assert row["n_replicates"] == 30


@pytest.fixture
def mirrored() -> None:
    for name in study.CORPORA[1:]:
        if (why := published.unavailable(name)) is not None:
            pytest.skip(why)


@pytest.mark.slow
@pytest.mark.usefixtures("mirrored")
def test_published_corpora_are_finite() -> None:
    """The mean of human labels alone is the truth, whoever they label."""
    from simulations._labelled_corpora import FiniteCorpus

    sizes: dict[str, Any] = {
        "n_rows": 500,
        "n_human": 400,
        "n_replicates": 20,
        "block": 20,
        "classifiers": 2,
    }
    config = replace(TINY, corpora=("hate-speech",), **sizes)
    (cell,) = study.cells(config)
    table = study.comparison(cell.function(cell.config))
    human = table[(table["method"] == "human labels") & (table["role"] == "covariate")]
    assert human["bias"].abs().max() < 0.1
    corpus = FiniteCorpus.load("hate-speech", "characters")
    perfect = corpus.naive("outcome", corpus.label)
    np.testing.assert_allclose(perfect, corpus.truth("outcome"), atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"corpora": ()}, "--corpora must name at least one corpus"),
        ({"corpora": ("gramar",)}, "unknown corpus 'gramar'; did you mean 'grammar'?"),
        ({"n_originals": (150,)}, "at most n_others; got 150 of 100"),
        ({"n_human": 300}, "n_human must be below n_rows"),
        ({"n_known": 9}, "n_known must be a whole number of at least 10; got 9"),
        ({"budget": 300}, "budget below n_budget_rows, as some rows have no human label"),
        ({"n_replicates": 10}, "n_replicates must be a multiple of block"),
        ({"shares": (0.0,)}, "shares of the budget needs one above 0"),
        ({"shares": (1.5,)}, "shares of the budget are in [0, 1]; got 1.5"),
        ({"budget": 120, "shares": (0.9,)}, "of the budget at least 20 labels must be left to"),
        ({"budget": 10, "shares": (1.0,)}, "budget must be 0 or at least 20 human labels; got 10"),
        ({"rho": 1.0}, "rho is a probability in [0.05, 0.95]; got 1.0"),
    ],
)
def test_refused_before_the_first_cell(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        study.cells(replace(TINY, **fields))
