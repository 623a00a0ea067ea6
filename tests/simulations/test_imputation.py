"""The study of imputation on the grammar: its cells, records, claims and checks."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal import records
from opal.bridge.text.impute import claims
from simulations import imputation as study

TINY = study.PRESETS["tiny"]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    (cell,) = study.cells(TINY)
    return records.validate(cell.function(cell.config))


def test_records_are_of_the_grammar(table: pd.DataFrame) -> None:
    assert set(table["setting"]) == {study.GRAMMAR}
    assert set(table["source"]) == {"simulation"}
    assert set(table["n_min"]) == {50}
    assert set(table["n_oversampled"]) == {150}
    assert {"raw", "weighting", "synthetic", "naive_folds", "all_real"} <= set(table["arm"])
    assert {"fixed_seeds", "drawn_seeds"} <= set(table["arm"])
    assert set(table["n_full"]) == {200}
    assert set(table["n_replicates"]) == {3}
    assert (table["lower"] <= table["value"]).all()


def test_more_labels_do_better_than_few(table: pd.DataFrame) -> None:
    labels, weighting, threshold = study.checks(table)
    assert labels.passed
    assert threshold.statistic > 0
    assert weighting.statistic > 0


def test_the_claims_are_compared(table: pd.DataFrame) -> None:
    """Differences of three folds, in words; those of arms that are not there are left out."""
    found = study.comparison(table)
    assert found["texts by"].tolist() == ["biased", "faithful"]
    assert set(found["full sample"]) <= {"holds", "open", "fails"}
    assert found["fixed minus drawn seeds"].str.fullmatch(r"[+-].* \([+-].*, [+-].*\)").all()
    assert "minus SSMBA" not in found
    assert set(found["filling"]) <= {"helps", "open", "harms"}
    (real,) = set(found["all real"])
    rows = table[(table["arm"] == "all_real_threshold") & (table["metric"] == "f1")]
    assert float(real) == pytest.approx(rows["value"].iloc[0], abs=5e-4)
    of_full = table["metric"] == "f1_minus_all_real_threshold"
    difference = table[(table["arm"] == "synthetic_threshold") & of_full]
    known = difference.sort_values("synthesizer")["value"]
    assert found["minus all real"].str.split().str[0].astype(float).to_numpy() == pytest.approx(
        known.to_numpy(), abs=5e-4
    )


def test_the_same_texts_are_no_difference(table: pd.DataFrame) -> None:
    known = claims.claims(table)
    first = known.index == 0
    found = study.compared(known.assign(same_texts=first))
    for column in ("fixed minus drawn seeds", "gap, fixed minus drawn"):
        assert (found[column] == "the same texts").tolist() == first.tolist()


def test_a_check_that_must_fail(table: pd.DataFrame) -> None:
    """If all labels were worth no more than few, the check would say so."""
    wrong = table.assign(value=table["value"].where(table["metric"] != "f1_minus_raw", 0.0))
    assert not any(check.passed for check in study.checks(wrong))


def test_checks_without_their_arms_are_left_out(table: pd.DataFrame) -> None:
    weighted = table[table["arm"].isin(["raw", "weighting"])]
    assert len(study.checks(weighted)) == 1
    assert study.checks(table[table["arm"] == "synthetic"]) == []


def test_several_classes_are_several_cells() -> None:
    full = study.PRESETS["full"]
    names = {cell.label for cell in study.cells(replace(full, encoder="tfidf"))}
    assert {"hypo-l/hyperbole", "sentiment/negative", "crowdflower/worry"} <= names
    assert len(names) == len(full.classes)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"classes": ()}, "name at least one class and one number of originals."),
        ({"classes": ("grammar",)}, "classes are CORPUS/CLASS; got 'grammar'."),
        ({"classes": ("gramar/praise",)}, "did you mean 'grammar'?"),
        ({"n_originals": (50, 200)}, "below fill_to, n_others at least 1"),
        ({"folds": 1}, "folds at least 2; got (50,), 200, 200 and 1."),
        ({"arms": ("rwa",)}, "unknown arm 'rwa'; did you mean 'raw'?"),
        ({"repeats": 0}, "repeats must be at least 1; got 0."),
        ({"encoder": "tfidff"}, "unknown encoder 'tfidff'; did you mean 'tfidf'?"),
    ],
)
def test_refused_before_the_first_cell(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        study.cells(replace(TINY, **fields))


def test_pooling_takes_corpora_as_independent() -> None:
    rows = [("a/x", 0.1, 0.03), ("a/y", 0.3, 0.05), ("b/z", 0.4, 0.03)]
    table = pd.DataFrame(rows, columns=["setting", "value", "std_error"]).assign(
        n_min=50, arm="raw", synthesizer="none", tested="human", metric="f1"
    )
    table = table.assign(n_full=[200, 200, 180], n_oversampled=150)
    (row,) = study.pooled(table).to_dict("records")
    assert row["value"] == pytest.approx(0.3)
    assert row["std_error"] == pytest.approx(np.hypot(0.04, 0.03) / 2)
    assert row["n_full"] == 180
    assert 0 < row["lower"] < row["upper"] < 1
    assert study.pooled(table[table["setting"] != "b/z"]).empty
