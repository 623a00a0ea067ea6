"""Regressions on labels of a classifier: corrections against known answers."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import expit

from opal.bridge.downstream import (
    DESIGN,
    HUMAN,
    LABEL,
    NAIVE,
    POWERED,
    Model,
    Regression,
    agreement,
    infer,
    label_regression,
    regression_of,
)
from opal.bridge.downstream.equations import solution, with_power
from opal.theory.misclassification import attenuated, labelled_positive, target


def corpus(
    n: int = 400, labelled: int = 120, *, errors: float = 0.1, key: int = 0, **more: Any
) -> Regression:
    """Rows of two covariates whose label a classifier gets wrong with a probability."""
    rng = np.random.default_rng(key)
    x = np.column_stack([rng.integers(0, 2, n), rng.normal(size=n)]).astype(float)
    label = (rng.uniform(size=n) < expit(-0.5 + x @ [0.8, 0.5])).astype(float)
    said = np.where(rng.uniform(size=n) < errors, 1 - label, label)
    human = np.where(np.arange(n) < labelled, label, np.nan)
    if "outcome" in more:
        more["outcome"] = 0.3 + 0.7 * label + x @ [-0.4, 0.5] + rng.normal(size=n)
    return Regression(human, said, x, ("binary", "normal"), **more)


def by_method(found: pd.DataFrame, column: str = "estimate") -> dict[str, np.ndarray]:
    return {name: part[column].to_numpy() for name, part in found.groupby("method")}


@pytest.mark.parametrize("role", [{}, {"outcome": True, "model": "linear"}])
def test_human_and_naive_rows_are_ordinary_regressions(role: dict[str, Any]) -> None:
    """Coefficients and sandwich errors are those of statsmodels."""
    task = corpus(**role)
    found = infer(task)
    assert list(found["term"].unique()) == list(task.terms)
    for method, labels, rows in (
        (HUMAN, task.human, task.labelled),
        (NAIVE, task.predicted, np.full(len(task.human), True)),
    ):
        among = [] if task.outcome is None else [labels[rows, None]]
        design = np.hstack([np.ones((rows.sum(), 1)), *among, task.covariates[rows]])
        outcome = labels[rows] if task.outcome is None else task.outcome[rows]
        kind = sm.Logit if task.outcome is None else sm.OLS
        options = {"disp": 0} if task.outcome is None else {}
        expected = kind(outcome, design).fit(cov_type="HC1", **options)
        part = found[found["method"] == method]
        np.testing.assert_allclose(part["estimate"], expected.params, rtol=1e-6)
        n, k = design.shape
        # HC1 of statsmodels has n/(n − k) for least squares alone.
        factor = 1.0 if task.outcome is not None else np.sqrt(n / (n - k))
        np.testing.assert_allclose(part["std_error"], factor * expected.bse, rtol=1e-6)


def test_a_model_without_errors_is_worth_all_its_labels() -> None:
    task = corpus(errors=0.0)
    found = by_method(infer(task))
    errors = by_method(infer(task), "std_error")
    np.testing.assert_allclose(found[POWERED], found[NAIVE], atol=0.02)
    assert np.all(errors[POWERED] < 0.7 * errors[HUMAN])


def test_a_model_that_guesses_is_left_out() -> None:
    task = corpus(n=4000, labelled=2000, errors=0.5)
    found = infer(task)
    assert by_method(found, "power")[POWERED].max() < 0.1
    np.testing.assert_allclose(by_method(found)[POWERED], by_method(found)[HUMAN], atol=0.02)


@pytest.mark.parametrize("role", [{}, {"outcome": True, "model": "linear"}])
def test_each_coefficient_has_the_power_of_its_least_variance(role: dict[str, Any]) -> None:
    """Of its own variance on a grid, at the coefficients of human labels."""
    task = corpus(n=2000, labelled=500, errors=0.15, **role)
    found = infer(task)
    theta = by_method(found)[HUMAN]
    grid = np.linspace(0, 1, 201)
    inverse = np.linalg.inv(with_power(task, 0.0)(theta)[1])
    scores = [with_power(task, power)(theta)[0] for power in grid]
    spread = np.array([np.diag(inverse @ np.cov(each.T) @ inverse.T) for each in scores])
    powers = by_method(found, "power")[POWERED]
    np.testing.assert_allclose(powers, grid[spread.argmin(axis=0)], atol=0.006)
    assert np.ptp(powers) > 0.02  # one for all would not do


def test_prediction_powered_coefficients_are_those_of_ppi_python() -> None:
    """``ppi_logistic_pointestimate`` and ``ppi_logistic_ci`` of ppi-python 0.2.3 on this corpus.

    Its λ is (N − n)/N times ours, 0.3 for the first; the intervals are at its own λ for each
    coordinate, of normal quantiles and of another estimate of λ.
    """
    task = corpus(n=2000, labelled=300)
    theta = solution(task, POWERED, 0.3)
    np.testing.assert_allclose(theta, [-0.5944294, 1.1083711, 0.5022635], atol=1e-6)
    found = infer(task)
    own = found[found["method"] == POWERED]
    lower, upper = [-0.734565, 0.53975, 0.307487], [-0.25285, 1.209366, 0.646013]
    width = np.subtract(upper, lower)
    np.testing.assert_allclose(own["upper"] - own["lower"], width, rtol=0.03)
    assert (np.abs(own["lower"] - lower) < 0.07 * width).all()
    human = found[found["method"] == HUMAN]
    assert (human["upper"] - human["lower"] > 1.2 * width).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_a_share_of_positives_has_closed_forms(weighted: bool) -> None:
    """Each mean's influence is its own rows' distance from it, whatever the other mean is."""
    task = corpus(labelled=40, errors=0.2, model="linear")
    chance = np.linspace(0.1, 0.4, 400) if weighted else np.full(400, 0.1)
    none = np.empty((400, 0))
    task = Regression(task.human, task.predicted, none, (), None, "linear", chance)
    w = np.where(task.labelled, 1 / chance, 0.0)
    w *= 400 / w.sum()
    y, said = np.nan_to_num(task.human), task.predicted
    own = w * (y - np.mean(w * y))
    difference = (said - said.mean()) - w * (said - np.mean(w * said))
    power = -np.sum(own * difference) / np.sum(difference**2)
    error = np.sqrt(np.mean((own + power * difference) ** 2) / 400 * 40 / 39)
    found = infer(task).set_index("method").loc[POWERED]
    assert found["power"] == pytest.approx(power, rel=1e-9)
    assert found["std_error"] == pytest.approx(error, rel=1e-9)
    corrected = np.mean(w * y) + power * (said.mean() - np.mean(w * said))
    assert found["estimate"] == pytest.approx(corrected, rel=1e-9)


def test_what_the_model_says_of_all_rows_alike_changes_no_correction() -> None:
    """A share of positives: half more of all rows moves both means of the model alike."""
    task = corpus(labelled=80)
    none = np.empty((len(task.human), 0))
    for probability in (None, np.linspace(0.1, 0.3, len(task.human))):
        less = Regression(task.human, 0.5 * task.predicted, none, (), None, "linear", probability)
        more = replace(less, predicted=less.predicted + 0.5)
        for column in ("power", "estimate", "std_error"):
            was, is_now = (by_method(infer(each), column) for each in (less, more))
            for method in (HUMAN, POWERED, DESIGN):
                np.testing.assert_allclose(is_now[method], was[method], rtol=1e-9)


@pytest.mark.parametrize("errors", [0.05, 0.2, 0.4])
@pytest.mark.parametrize("role", [{}, {"outcome": True, "model": "linear"}])
def test_no_interval_is_wider_than_of_human_labels(errors: float, role: dict[str, Any]) -> None:
    """Not with so few labels that the equations of some λ are nearly singular, either."""
    left = 0
    for key in range(40):
        found = infer(corpus(120, 30, errors=errors, key=key, **role))
        width, power = (by_method(found, name) for name in ("std_error", "power"))
        assert np.all(width[POWERED] <= width[HUMAN])
        unused = power[POWERED] == 0
        np.testing.assert_array_equal(width[POWERED][unused], width[HUMAN][unused])
        left += unused.sum()
    assert left > 0 or errors < 0.4


def test_probabilities_of_being_labelled_are_used() -> None:
    """Positives are labelled three times as often; without the weights the intercept is off."""
    off: list[float] = []
    kept: list[float] = []
    for key in range(40):
        rng = np.random.default_rng(key)
        x = rng.normal(size=(1500, 1))
        label = (rng.uniform(size=1500) < expit(-0.5 + 0.7 * x[:, 0])).astype(float)
        said = np.where(rng.uniform(size=1500) < 0.1, 1 - label, label)
        chance = np.where(said == 1, 0.3, 0.1)
        human = np.where(rng.uniform(size=1500) < chance, label, np.nan)
        for probability, found in ((None, off), (chance, kept)):
            task = Regression(human, said, x, ("x",), probability=probability)
            found.append(by_method(infer(task))[HUMAN][0])
    error = np.std(kept, ddof=1) / np.sqrt(len(kept))
    assert abs(np.mean(kept) + 0.5) < 4 * error
    assert abs(np.mean(off) + 0.5) > 10 * error


@pytest.mark.slow
def test_corrected_intervals_cover_and_naive_ones_do_not() -> None:
    truth = np.array([-0.5, 0.8, 0.5])
    held: dict[str, list[np.ndarray]] = {}
    for key in range(400):
        found = infer(corpus(n=1500, labelled=100, errors=0.15, key=key))
        for method, part in found.groupby("method"):
            inside = (part["lower"] <= truth) & (truth <= part["upper"])
            held.setdefault(str(method), []).append(inside.to_numpy())
    shares = {method: np.mean(each, axis=0) for method, each in held.items()}
    for method in (HUMAN, POWERED, DESIGN):
        assert np.all(np.abs(shares[method] - 0.95) < 3.5 * np.sqrt(0.95 * 0.05 / 400)), method
    assert shares[NAIVE].min() < 0.5


@pytest.mark.slow
def test_few_rows_of_a_value_leave_intervals_too_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the guide says, and so fewer than five are refused."""
    monkeypatch.setattr(label_regression, "_LEAST_ROWS", 1)
    monkeypatch.setattr(label_regression, "_LEAST_SPREAD", 0)
    n, labelled, truth = 1000, 80, -0.4
    covered = {}
    for rarer in (1, 3, 10):
        inside = []
        for key in range(250):
            rng = np.random.default_rng(key)
            rare = (rng.uniform(size=n) < rarer / labelled).astype(float)
            rare[:labelled] = np.arange(labelled) < rarer
            label = (rng.uniform(size=n) < 0.4).astype(float)
            said = np.where(rng.uniform(size=n) < 0.1, 1 - label, label)
            outcome = 0.3 + 0.7 * label + truth * rare + rng.normal(size=n)
            human = np.where(np.arange(n) < labelled, label, np.nan)
            found = infer(Regression(human, said, rare[:, None], ("rare",), outcome, "linear"))
            row = found[(found["method"] == HUMAN) & (found["term"] == "rare")].iloc[0]
            inside.append(row["lower"] <= truth <= row["upper"])
        covered[rarer] = np.mean(inside)
    assert covered[1] < 0.5
    assert covered[3] < 0.87
    assert covered[10] > 0.87


@pytest.mark.slow
def test_rows_far_away_leave_corrected_intervals_too_narrow() -> None:
    """So the guide says: a classifier's errors are largest where hardly any row is labelled."""
    n, truth = 2000, 0.15
    inside: dict[str, list[bool]] = {HUMAN: [], POWERED: []}
    for key in range(400):
        rng = np.random.default_rng(key)
        far = np.exp(1.2 * rng.normal(size=n))
        label = (rng.uniform(size=n) < expit(truth * far)).astype(float)
        said = np.where(rng.uniform(size=n) < np.where(label == 1, 0.2, 0.1), 1 - label, label)
        human = np.where(np.arange(n) < 100, label, np.nan)
        try:
            found = infer(Regression(human, said, far[:, None], ("far",)))
        except ValueError:
            continue  # a spread that one or two rows hold is refused
        for method, part in found[found["term"] == "far"].groupby("method"):
            if method in inside:
                row = part.iloc[0]
                inside[str(method)].append(bool(row["lower"] <= truth <= row["upper"]))
    assert len(inside[HUMAN]) > 200
    assert np.mean(inside[HUMAN]) > 0.91
    assert np.mean(inside[POWERED]) < 0.9


def test_theory_of_the_naive_coefficients() -> None:
    """Against regressions on very many rows, for both roles of the label."""
    rng, n, errors = np.random.default_rng(2), 400_000, (0.1, 0.2)
    x = rng.integers(0, 2, n).astype(float)
    rows = np.array([[1.0, 0.0], [1.0, 1.0]])
    mass, p = np.array([0.5, 0.5]), expit(rows @ [-0.5, 0.8])
    label = (rng.uniform(size=n) < p[x.astype(int)]).astype(float)
    said = np.where(
        rng.uniform(size=n) < np.where(label == 1, errors[1], errors[0]), 1 - label, label
    )
    found = target(rows, mass, labelled_positive(p, errors), logistic=True)
    odds = [np.log(said[x == z].mean() / (1 - said[x == z].mean())) for z in (0, 1)]
    np.testing.assert_allclose(found, [odds[0], odds[1] - odds[0]], atol=0.03)
    assert found[1] < 0.7  # attenuated
    beta = np.array([0.3, 0.7, -0.4])
    outcome = beta[0] + beta[1] * label + beta[2] * x + rng.normal(size=n)
    measured = np.linalg.lstsq(np.column_stack([np.ones(n), said, x]), outcome)[0]
    np.testing.assert_allclose(attenuated(rows, mass, p, errors, beta), measured, atol=0.02)
    assert attenuated(rows, mass, p, errors, beta)[1] < 0.6
    np.testing.assert_allclose(attenuated(rows, mass, p, (0.0, 0.0), beta), beta, atol=1e-12)


def test_theory_of_errors_that_depend_on_a_covariate() -> None:
    """Each value of x has its own error rates; their mean, the negative control, is far off."""
    rng, n = np.random.default_rng(3), 400_000
    each = np.array([[0.05, 0.3], [0.3, 0.05]])  # of negatives and of positives, by x
    x = rng.integers(0, 2, n)
    rows, mass = np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([0.5, 0.5])
    p = expit(rows @ [-0.5, 0.8])
    label = rng.uniform(size=n) < p[x]
    wrong = rng.uniform(size=n) < np.where(label, each[1][x], each[0][x])
    said = (label != wrong).astype(float)
    odds = [np.log(said[x == z].mean() / (1 - said[x == z].mean())) for z in (0, 1)]
    measured = np.array([odds[0], odds[1] - odds[0]])
    right = target(rows, mass, labelled_positive(p, (each[0], each[1])), logistic=True)
    np.testing.assert_allclose(right, measured, atol=0.03)
    overall = float(wrong[~label].mean()), float(wrong[label].mean())
    simple = target(rows, mass, labelled_positive(p, overall), logistic=True)
    assert abs(simple[1] - measured[1]) > 0.5
    assert right[1] > 0.8 > simple[1]  # errors of their own can make a slope too large
    beta = np.array([0.3, 0.7, -0.4])
    outcome = beta[0] + beta[1] * label + beta[2] * x + rng.normal(size=n)
    fitted = np.linalg.lstsq(np.column_stack([np.ones(n), said, x]), outcome)[0]
    differential = attenuated(rows, mass, p, (each[0], each[1]), beta)
    np.testing.assert_allclose(differential, fitted, atol=0.02)
    assert np.abs(attenuated(rows, mass, p, overall, beta) - fitted).max() > 0.1


def test_agreement_counts_rows_that_both_have_labelled() -> None:
    task = corpus(errors=0.25, n=4000, labelled=3000)
    table = agreement(task)
    assert table["rows"].sum() == 3000
    assert table["said_1"].to_list() == pytest.approx([0.25, 0.75], abs=0.05)


def table(**columns: Any) -> pd.DataFrame:
    task = corpus(n=200, labelled=80)
    words = {1.0: "yes", 0.0: "no"}
    base = {
        "human": pd.Series(task.human).map(words),
        "said": pd.Series(task.predicted).map(words),
        "age": task.covariates[:, 1],
        "one": 1.0,
    }
    return pd.DataFrame({**base, **columns})


ROLES: dict[str, Any] = {
    "human": "human",
    "predicted": "said",
    "covariates": ("age",),
    "positive": "yes",
}


def test_words_are_labels() -> None:
    task = regression_of(table(), **ROLES)
    reverse = regression_of(table(), **{**ROLES, "positive": "no"})
    np.testing.assert_allclose(
        by_method(infer(task))[POWERED], -by_method(infer(reverse))[POWERED], atol=1e-6
    )


def test_rates_are_those_of_the_corpus_where_people_labelled_some_rows_more_often() -> None:
    """Half of what the classifier calls positive and a twentieth of the rest, as audits draw."""
    task = corpus(n=40_000, labelled=39_999)
    truth = np.where(task.labelled, task.human, 0.0)
    chance = np.where(task.predicted == 1, 0.5, 0.05)
    drawn = np.random.default_rng(1).uniform(size=len(chance)) < chance
    some = replace(task, human=np.where(drawn, truth, np.nan), probability=chance)
    for row in agreement(some).itertuples():
        rate = task.predicted[truth == row.human].mean()
        assert row.said_1 == pytest.approx(rate, abs=0.03)
        assert abs(some.predicted[some.human == row.human].mean() - rate) > 0.03


@pytest.mark.parametrize("role", [{}, {"outcome": True, "model": "linear"}])
def test_progress_is_told_to_its_end(role: dict[str, Any]) -> None:
    """Also where some equations have no solution."""
    task = corpus(**role)
    told: list[tuple[int, int]] = []
    parted = replace(task, predicted=(task.covariates[:, 0] == 1).astype(float))
    for each in (task, parted):
        told.clear()
        infer(each, progress=lambda done, total: told.append((done, total)))
        assert told == [(k, told[0][1]) for k in range(1, told[0][1] + 1)]


def test_probabilities_stand_beside_words_and_codes_do_not() -> None:
    """A column of 0 and 1 beside words may be of either class: it is refused, not guessed."""
    said = np.linspace(0.0, 1.0, 200)
    task = regression_of(table(said=said), **ROLES)
    np.testing.assert_array_equal(task.predicted, said)
    np.testing.assert_array_equal(task.human, regression_of(table(), **ROLES).human)
    with pytest.raises(ValueError, match="the classifier says '0', '1', which no person does"):
        regression_of(table(said=np.arange(200) % 2), **ROLES)


@pytest.mark.parametrize(
    ("columns", "change", "message"),
    [
        ({"human": "yes"}, {}, "all 200 rows have a human label"),
        ({"human": None}, {}, "people must have labelled some rows; 'human' is empty in all 200"),
        ({"human": None}, {"positive": None}, "'human' is empty in all 200. Let them label rows"),
        ({"human": [None] * 195 + ["yes"] * 5}, {}, "at least 10 rows with a human label; got 5"),
        ({"human": [None] * 100 + ["yes"] * 100}, {}, "human labels must have two values"),
        ({"said": "yes"}, {}, "the classifier's labels must have two values"),
        ({"said": ["maybe"] * 200}, {}, "the classifier says 'maybe', which no person does"),
        ({"said": [None] + ["yes"] * 199}, {}, "the classifier must label every row; 1 of 200"),
        (
            {"human": [None] * 100 + ["no"] * 100},
            {},
            "of 100 rows none is 'yes', as the classifier",
        ),
        (
            {"said": [0, 1] * 100},
            {"positive": "1"},
            "spell labels alike; people say 'no', 'yes' in 'human', and it says '0', '1' in 'said'",
        ),
        ({}, {"positive": "ja"}, "one of the labels that people gave, 'no', 'yes'; got 'ja'"),
        ({}, {"positive": None}, "Say with positive (--positive) which label counts as 1"),
        ({}, {"covariates": ("one",)}, "the covariate 'one' is constant (1), as the intercept is"),
        (
            {"twice": 2 * corpus(n=200, labelled=80).covariates[:, 1]},
            {"covariates": ("age", "twice")},
            "the covariates age, twice say the same",
        ),
        ({}, {"covariates": ("agee",)}, "the table has no column 'agee'"),
        ({}, {"covariates": ("age", "age")}, "each column has one role; 'age' is named twice"),
        ({}, {"outcome": "one", "covariates": ()}, "the outcome must vary; all 200 rows have 1"),
        (
            {},
            {"outcome": "age", "covariates": ()},
            "the outcome of a logistic regression is 0 or 1",
        ),
        (
            {"late": np.where(np.arange(200) < 80, 0.0, np.arange(200))},
            {"outcome": "late", "model": "linear"},
            "the outcome must vary; all 80 labelled rows have 0",
        ),
        ({"p": 0.0}, {"probability": "p"}, "lies in (0, 1] wherever they did; got 0 to 0"),
    ],
)
def test_what_cannot_be_inferred_is_refused(
    columns: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        regression_of(table(**columns), **{**ROLES, **change})


def test_a_covariate_that_no_labelled_row_has_is_told() -> None:
    task = corpus()
    rare = np.column_stack([task.covariates, np.arange(len(task.human)) >= 390])
    names = (*task.names, "rare")
    with pytest.raises(
        ValueError, match="'rare' must vary among rows that people labelled; all 120"
    ):
        Regression(task.human, task.predicted, rare.astype(float), names)


@pytest.mark.parametrize(("rows", "told"), [(1, True), (4, True), (5, False)])
@pytest.mark.parametrize(
    ("what", "model"),
    [
        ("the human labels", "linear"),  # which always has a solution
        ("the covariate 'binary'", "linear"),
        ("the outcome", "linear"),
        ("the outcome", "logistic"),
    ],
)
def test_a_value_that_few_labelled_rows_have_is_told(
    what: str, model: Model, rows: int, told: bool
) -> None:
    """The residual of a single row is zero, and its coefficient's interval would be a tenth."""
    task = corpus(n=2000, labelled=200, model=model)
    rare = np.isin(np.arange(2000), [*range(0, 5 * rows, 5), *range(200, 400)]).astype(float)
    remedy = r"label more of these, each row with a known probability \(--probability\)"
    if what == "the human labels":
        change: dict[str, Any] = {"human": np.where(task.labelled, rare, np.nan)}
    elif what == "the outcome":
        change = {"outcome": rare}
    else:
        task = corpus(n=2000, labelled=200, outcome=True, model=model)
        change = {"covariates": np.column_stack([rare, task.covariates[:, 1]])}
        remedy += ", or leave the column out"
    if told:
        message = f"each value of {what} .* 1 is in {rows} of 200.*{remedy}\\.$"
        with pytest.raises(ValueError, match=message):
            replace(task, **change)
    else:
        assert infer(replace(task, **change))["std_error"].min() > 0


def test_a_covariate_that_one_row_decides_is_told() -> None:
    task = corpus(outcome=True, model="linear")
    far = task.covariates.copy()
    far[3, 1] = 1e6
    message = "'normal' must vary among several rows .* of 120 one or two .* the farthest with 1e"
    with pytest.raises(ValueError, match=message):
        replace(task, covariates=far)


def test_labels_that_a_covariate_parts_are_told() -> None:
    task = corpus()
    apart = np.column_stack([np.where(task.labelled, task.human, task.predicted)])
    with pytest.raises(ValueError, match="'human labels' have no solution here"):
        infer(Regression(task.human, task.predicted, apart, ("apart",)))


def test_a_method_without_a_solution_is_left_out() -> None:
    """A model that says yes of nothing but what one covariate marks parts its own labels."""
    task = corpus(n=2000, labelled=400)
    said = (task.covariates[:, 0] == 1) & (np.arange(2000) % 3 > 0)
    found = infer(replace(task, predicted=said.astype(float)))
    assert set(found["method"]) == {HUMAN, POWERED, DESIGN}
    alone = infer(task)
    same = alone["method"] == HUMAN
    np.testing.assert_allclose(by_method(found)[HUMAN], alone["estimate"][same])


def test_the_label_among_the_covariates_has_a_name() -> None:
    assert corpus(outcome=True, model="linear").terms == ("intercept", LABEL, "binary", "normal")


@pytest.mark.parametrize(("unit", "origin"), [(2.0, 2010.0), (2e5, 5e5), (1e7, 0.0), (1e-6, 0.0)])
@pytest.mark.parametrize("role", [{}, {"outcome": True, "model": "linear"}])
def test_units_of_columns_change_only_those_of_coefficients(
    unit: float, origin: float, role: dict[str, Any]
) -> None:
    """Years, and incomes of millions: slopes by the unit, and the rest as it was."""
    task = corpus(**role)
    factor = np.array([1.0, unit])
    other = replace(task, covariates=task.covariates * factor + [0.0, origin])
    if other.outcome is not None:
        other = replace(other, outcome=1e7 * other.outcome)
    for method in (HUMAN, NAIVE, POWERED, DESIGN):
        for column in ("estimate", "std_error"):
            was, is_now = (by_method(infer(t), column)[method][1:] for t in (task, other))
            scale = np.array([1.0] * (len(was) - 2) + [1.0, unit]) / (1e7 if role else 1.0)
            np.testing.assert_allclose(is_now * scale, was, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"names": ("intercept", "normal")}, "Rename the column 'intercept'"),
        ({"names": ("normal", "normal")}, "Rename the column 'normal'"),
        ({"human": np.inf}, "human labels are 0 and 1, and not a number .* got inf"),
        ({"human": 2.0}, "human labels are 0 and 1, and not a number .* got 2"),
        (
            {"predicted": 1.2},
            "the classifier's labels are 0 and 1, or probabilities; got 1.2 in row 1",
        ),
        ({"predicted": np.nan}, "the classifier's labels .* got nan in row 1"),
        ({"covariates": 1e308}, "the covariate 'normal' must have numbers below 1e"),
        ({"covariates": np.inf}, "the covariate 'normal' must have numbers below 1e"),
    ],
)
def test_names_labels_and_numbers_out_of_range_are_refused(
    change: dict[str, Any], said: str
) -> None:
    task = corpus()
    for name, value in change.items():
        if name != "names":
            column = getattr(task, name).copy()
            column[(0, 1) if name == "covariates" else 0] = value
            change = {name: column}
    with pytest.raises(ValueError, match=said):
        replace(task, **change)


def test_probabilities_as_small_as_can_be_are_weights() -> None:
    task = corpus()
    tiny = replace(task, probability=np.full(len(task.human), 1e-308))
    np.testing.assert_allclose(tiny.weights(), task.weights())


def test_a_label_in_two_spellings_is_told() -> None:
    """One of them would count as another class."""
    frame = table()
    frame["human"] = frame["human"].where(frame.index % 9 > 0, frame["human"].str.capitalize())
    with pytest.raises(ValueError, match="people say 'No' and 'no', which look alike"):
        regression_of(frame, **ROLES)


def test_spaces_are_no_label() -> None:
    """Nor part of one: a cell of spaces is as empty as it looks."""
    frame = table()
    spaced = frame.assign(human=(frame["human"] + "\u00a0 ").fillna(" "), said=" " + frame["said"])
    was, is_now = (regression_of(each, **ROLES) for each in (frame, spaced))
    np.testing.assert_array_equal(is_now.human, was.human)
    np.testing.assert_array_equal(is_now.predicted, was.predicted)
    with pytest.raises(ValueError, match="1 of 200 have no 'said'"):
        regression_of(frame.assign(said=["  ", *frame["said"][1:]]), **ROLES)


def test_probabilities_of_rows_without_a_human_label_may_be_empty() -> None:
    frame = table()
    known = np.where(frame["human"].notna(), np.linspace(0.2, 0.6, 200), np.nan)
    found = infer(regression_of(frame.assign(p=known), **ROLES, probability="p"))
    full = infer(
        regression_of(frame.assign(p=np.linspace(0.2, 0.6, 200)), **ROLES, probability="p")
    )
    pd.testing.assert_frame_equal(found, full)
    known[3] = np.nan
    with pytest.raises(ValueError, match="'p'; 1 of 80 rows have none, the first is data row 4"):
        regression_of(frame.assign(p=known), **ROLES, probability="p")


def test_a_row_that_outweighs_all_others_is_told() -> None:
    """One that was drawn with a chance of a millionth is nearly the whole mean."""
    task = corpus()
    chance = np.full(len(task.human), 0.3)
    replace(task, probability=chance)
    chance[5] = 1e-6
    with pytest.raises(ValueError, match=r"of 1e-06 to 0\.3 these 120 are worth 1\.0"):
        replace(task, probability=chance)


def test_whole_numbers_are_spelled_as_in_the_file() -> None:
    """Empty cells make 2 a 2.0 in the column of people, and not in that of the model."""
    task = corpus()
    frame = pd.DataFrame({"human": task.human + 1, "said": task.predicted.astype(int) + 1})
    found = regression_of(frame, human="human", predicted="said", positive="2")
    np.testing.assert_array_equal(found.human, task.human)
    np.testing.assert_array_equal(found.predicted, task.predicted)


def test_a_label_that_is_always_said_is_no_covariate() -> None:
    """Theory then has no coefficient of it, and says so."""
    rows = np.column_stack([np.ones(4), [0.0, 1.0, 2.0, 3.0]])
    p, mass = np.full(4, 0.5), np.full(4, 0.25)
    with pytest.raises(ValueError, match=r"the classifier's does not\. Give rates"):
        attenuated(rows, mass, p, (1.0, 0.0), np.array([0.3, 0.7, 0.5]))
