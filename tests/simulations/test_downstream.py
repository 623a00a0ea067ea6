"""The study of regressions on labels with known error rates: what its checks count and refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from opal.bridge.downstream import NAIVE, POWERED
from simulations import downstream as study

CONFIG = replace(
    study.PRESETS["tiny"],
    n_rows=400,
    n_human=(60, 90),
    false_positives=(0.1, 0.2),
    n_replicates=60,
)
PREDICTED = "naive coefficients are predicted"
BELOW = "corrected coverage, standard errors below 93%"
ABOVE = "corrected coverage, standard errors above 97%"


@pytest.fixture(scope="module")
def records() -> pd.DataFrame:
    parts = [cell.function(cell.config) for cell in study.cells(CONFIG)]
    return pd.concat(parts, ignore_index=True)


def verdicts(records: pd.DataFrame) -> dict[str, bool]:
    return {check.name: check.passed for check in study.checks(records)}


def rows_of(records: pd.DataFrame, metric: str, *arms: str) -> pd.Series:
    simulated = (records["metric"] == metric) & (records["source"] == "simulation")
    return simulated & records["arm"].isin(arms)


def test_what_is_right_passes(records: pd.DataFrame) -> None:
    assert all(verdicts(records).values())


def test_naive_coefficients_count_once(records: pd.DataFrame) -> None:
    """They do not depend on how many labels people give, so that these add no comparison."""
    z, apart = study._naive_bias(records)
    coefficients = 3 + 4  # where the label is the outcome, and where it is a covariate
    assert len(z) == len(apart) == 2 * coefficients
    naive = records[rows_of(records, "estimate", NAIVE)]
    of = naive.pivot_table(index=["role", "errors", "term"], columns="n_real", values="value")
    np.testing.assert_allclose(of[60], of[90], rtol=0.05)


def test_another_theory_is_refused(records: pd.DataFrame) -> None:
    wrong = records.copy()
    theory = (wrong["source"] == "theory") & (wrong["term"] == "label")
    wrong.loc[theory, "value"] = study.true_coefficient("covariate", "label")
    found = verdicts(wrong)
    assert not found[PREDICTED]
    assert found[BELOW]


@pytest.mark.parametrize(
    ("coverage", "n", "fails"),
    [(0.88, 500, BELOW), (0.9, 2000, BELOW), (0.999, 2000, ABOVE), (0.92, 500, "")],
)
def test_coverage_off_its_range_is_refused(
    records: pd.DataFrame, coverage: float, n: int, fails: str
) -> None:
    """One interval of all is enough, by more than what 500 or 2,000 draws leave to chance."""
    planted = records.copy()
    covered = rows_of(planted, "coverage", *planted["arm"].unique())
    planted["n_replicates"] = n
    planted.loc[covered & (planted["arm"] != NAIVE), "value"] = 0.95
    (first, *_) = planted.index[rows_of(planted, "coverage", POWERED)]
    planted.loc[first, "value"] = coverage
    found = verdicts(planted)
    assert [name for name in (BELOW, ABOVE) if not found[name]] == ([fails] if fails else [])


def test_naive_intervals_that_cover_and_labels_that_do_not_pay_are_told(
    records: pd.DataFrame,
) -> None:
    changed = records.copy()
    changed.loc[rows_of(changed, "coverage", NAIVE), "value"] = 0.95
    width = rows_of(changed, "width", *changed["arm"].unique())
    changed.loc[width, "value"] = 1.0
    found = verdicts(changed)
    assert not found["naive coverage of some coefficient"]
    assert not found["labels of a model pay"]
