r"""Regressions on labels of a model, corrected by the labels that people gave to some of the rows.

A model labels all N rows of a corpus, people label n of them, drawn at random. The coefficients
solve the mean of scores ``m(θ; label)``, of a linear or logistic regression in which the label is
the outcome or one of the covariates:

.. math::
    \frac1N Σ_i \Big[ λ\,m(θ; \hat y_i) + \frac{R_i}{π_i}\big( m(θ; y_i) - λ\,m(θ; \hat y_i) \big)
    \Big] = 0 ,

R_i saying whether people labelled row i, and π_i how probable that was. Whatever the model says,
the mean is that of ``m(θ; y)``. With λ = 0 only labels of people count; λ = 1 is design-based
supervised learning (arXiv 2306.04746), and the λ of least variance is PPI++ (arXiv 2311.01453),
whose own λ is this one times (N − n)/N. docs/infer.md has the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy import optimize, special

from opal.settings.groups import validate_number

Model = Literal["logistic", "linear"]
LABEL = "label"  # term of the label among the covariates
HUMAN, NAIVE, POWERED, DESIGN = "human labels", "naive", "prediction-powered", "design-based"
_SINGULAR = 1e12  # condition of the mean derivative, beyond which a coefficient is not identified
_MOST_STEPS, _SHORT = 15, 1e-10  # of Newton, and when one is the last, relative to coefficients
_LEAST_ROWS = 5  # labels of people for each coefficient
_LEAST, _MOST = 1e-100, 1e100  # spread and size of a number, whose square can be told
_SAME = 1e-12  # spread relative to size, below which a column has one value


@dataclass(frozen=True)
class Regression:
    """What is regressed on what.

    Attributes:
        human: labels of people [N], 0 or 1; not a number where there is none.
        predicted: labels of the model [N], or its probabilities of a one.
        covariates: [N, k], without an intercept and without the label.
        names: of the covariates [k].
        outcome: [N] where the label is a covariate; None where it is the outcome.
        model: linear or logistic.
        probability: that people label a row [N]; None where all rows were as likely.

    Raises:
        ValueError: no rows without a human label, too few with one or all of them alike, a
            constant outcome or covariate, a covariate that is named as another coefficient, or a
            number out of its range.
    """

    human: Float[np.ndarray, " n"]
    predicted: Float[np.ndarray, " n"]
    covariates: Float[np.ndarray, "n k"]
    names: tuple[str, ...]
    outcome: Float[np.ndarray, " n"] | None = None
    model: Model = "logistic"
    probability: Float[np.ndarray, " n"] | None = None

    def __post_init__(self) -> None:
        """Check what can be known before anything is fitted."""
        self._check_names_and_labels()
        n, labelled = len(self.human), int(self.labelled.sum())
        if labelled == n:
            raise ValueError(
                f"a model's labels are of use where people gave none; all {n} rows have a human "
                "label. Regress on these alone, or add rows without one."
            )
        terms = len(self.terms)
        if labelled < _LEAST_ROWS * terms:
            raise ValueError(
                f"{terms} coefficients need at least {_LEAST_ROWS * terms} rows with a human "
                f"label; got {labelled}. Label more, or leave covariates out."
            )
        given = self.human[self.labelled]
        if np.ptp(given) == 0:
            raise ValueError(
                f"people's labels must have two values; all {labelled} are {given[0]:g}. Label "
                "more rows, or draw those that people label with a known probability each."
            )
        if np.ptp(self.predicted) == 0:
            raise ValueError(
                f"the model's labels must have two values; all are {self.predicted[0]:g}. Such a "
                "model knows nothing: regress on the labels of people alone."
            )
        self._check_covariates()
        self._check_outcome()
        if self.probability is not None:
            chosen = self.probability[self.labelled]
            if not ((chosen > 0) & (chosen <= 1)).all():
                raise ValueError(
                    "the probability that people label a row lies in (0, 1] wherever they did; "
                    f"got {chosen.min():g} to {chosen.max():g}. Give the chance with which each "
                    "row was drawn, or name no such column where all were as likely."
                )

    def _check_names_and_labels(self) -> None:
        kept = ("intercept", LABEL, *self.names)
        twice = next((name for name in kept if kept.count(name) > 1), None)
        if twice is not None:
            raise ValueError(
                f"coefficients have different names, and {kept[0]!r} and {LABEL!r} are kept for "
                f"those of no covariate; got the covariates {', '.join(self.names)}. Rename the "
                f"column {twice!r}."
            )
        given = self.human[~np.isnan(self.human)]
        if not np.isin(given, (0, 1)).all():
            wrong = given[~np.isin(given, (0, 1))][0]
            raise ValueError(
                f"people's labels are 0 and 1, and not a number where there is none; got {wrong:g}."
                " Repair it, or leave it empty."
            )
        outside = ~((self.predicted >= 0) & (self.predicted <= 1))
        if outside.any():
            raise ValueError(
                "the model's labels are 0 and 1, or probabilities; got "
                f"{self.predicted[outside][0]:g} in row {int(np.argmax(outside)) + 1}. Repair it."
            )

    def _check_covariates(self) -> None:
        for name, column in zip(self.names, self.covariates.T, strict=True):
            _check_size(column, f"the covariate {name!r}")
            if not _varies(column):
                raise ValueError(
                    f"the covariate {name!r} is constant ({column[0]:g}), as the intercept is. "
                    "Leave it out."
                )
            own = column[self.labelled]
            if not _varies(own):
                raise ValueError(
                    f"the covariate {name!r} must vary among rows that people labelled; all "
                    f"{len(own)} have {own[0]:g}. Let people label others, or leave it out."
                )
        if not self.names:
            return
        standard = self.covariates - self.covariates.mean(axis=0)
        rank = np.linalg.matrix_rank(standard / standard.std(axis=0))
        if rank < len(self.names):
            raise ValueError(
                f"the covariates {', '.join(self.names)} say the same: beside the intercept they "
                f"have rank {rank}. Leave one out."
            )

    def _check_outcome(self) -> None:
        if self.outcome is None:
            return
        _check_size(self.outcome, "the outcome")
        for rows, what in ((self.outcome, "rows"), (self.outcome[self.labelled], "labelled rows")):
            if not _varies(rows):
                raise ValueError(
                    f"the outcome must vary; all {len(rows)} {what} have {rows[0]:g}. Name another "
                    "column, or leave --outcome out to regress the label itself."
                )
        if self.model == "logistic" and not np.isin(self.outcome, (0.0, 1.0)).all():
            raise ValueError(
                "the outcome of a logistic regression is 0 or 1; got "
                f"{self.outcome.min():g} to {self.outcome.max():g}. Choose the model linear."
            )

    @property
    def labelled(self) -> Bool[np.ndarray, " n"]:
        """R [N]: which rows people labelled."""
        return ~np.isnan(self.human)

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the coefficients."""
        among = () if self.outcome is None else (LABEL,)
        return ("intercept", *among, *self.names)

    def weights(self) -> Float[np.ndarray, " n"]:
        """R/π [N], of mean one."""
        raw = self.labelled.astype(float)
        if self.probability is not None:
            chosen = self.probability[self.labelled]
            raw[self.labelled] = chosen.min() / chosen  # no larger than 1, however rare a row is
        return np.asarray(raw * len(raw) / raw.sum())


def _varies(column: np.ndarray) -> bool:
    """Whether a column has values that differ by more than rounding."""
    return bool(np.ptp(column) > _SAME * np.abs(column).max())


def _check_size(column: np.ndarray, what: str) -> None:
    """Refuse a column whose squares cannot be told from 0 or from infinity."""
    largest, spread = np.abs(column).max(), np.ptp(column / 2)
    if largest > _MOST or 0 < spread < _LEAST:
        raise ValueError(
            f"{what} must have numbers below {_MOST:g} that differ by more than {_LEAST:g}; got "
            f"{column.min():g} to {column.max():g}. Repair them, or change their unit."
        )


def infer(task: Regression, *, level: float = 0.95) -> pd.DataFrame:
    """Coefficients by people's labels alone, by the model's, and by both.

    Standard errors are those of the sandwich, with ``n/(n − k)`` for n labels of people and k
    coefficients, and intervals are Student's. The naive rows take the model's labels for true.

    Returns:
        Columns ``method``, ``power`` (λ), ``term``, ``estimate``, ``std_error``, ``lower`` and
        ``upper``, one row for each method and coefficient. Of naive and design-based rows there are
        none where their equations have no solution.

    Raises:
        ValueError: level outside (0, 1), or other equations without a solution.
    """
    validate_number(level, "level is a confidence in (0, 1), as 0.95", least=1e-9, most=1 - 1e-9)
    n = int(task.labelled.sum())
    standard, back, shift = _standardised(task)
    alone = _solution(standard, HUMAN, 0.0)
    power = _best_power(standard, alone, back)
    rows = []
    for method, used, size in (
        (HUMAN, 0.0, n),
        (NAIVE, np.nan, len(task.human)),
        (POWERED, power, n),
        (DESIGN, 1.0, n),
    ):
        try:
            found = alone if method == HUMAN else _solution(standard, method, used, alone)
        except ValueError:
            if method == POWERED:
                raise
            continue
        theta, freedom = back @ found + shift, size - len(found)
        spread = back @ _covariance(_scores(standard, method, used), found) @ back.T
        error = np.sqrt(np.diag(spread) * size / freedom)
        half = special.stdtrit(freedom, (1 + level) / 2) * error
        columns = (task.terms, theta, error, theta - half, theta + half)
        rows += [(method, used, *values) for values in zip(*columns, strict=True)]
    names = ["method", "power", "term", "estimate", "std_error", "lower", "upper"]
    return pd.DataFrame(rows, columns=names)


def best_power(task: Regression, theta: Float[np.ndarray, " k"]) -> float:
    """The λ in [0, 1] at which the summed variance of the coefficients is least, near θ."""
    standard, back, shift = _standardised(task)
    return _best_power(standard, np.linalg.solve(back, theta - shift), back)


def _best_power(standard: Regression, theta: np.ndarray, back: np.ndarray) -> float:
    (own, slope), (model, _) = _with_power(standard, 0.0)(theta), _naive(standard)(theta)
    more = model * (1 - standard.weights())[:, None]
    inverse = back @ np.linalg.inv(slope)
    inverse = inverse / np.abs(inverse).max()
    own, more = (part @ inverse.T for part in (own, more))
    own, more = own - own.mean(axis=0), more - more.mean(axis=0)
    return float(np.clip(-np.sum(own * more) / np.sum(more**2), 0.0, 1.0))


def _standardised(task: Regression) -> tuple[Regression, np.ndarray, np.ndarray]:
    """The same in units in which all columns are of one size, and the way back.

    Equations in years or in millions are nearly singular in floating point, and these are not.

    Returns:
        The regression on covariates of mean 0 and standard deviation 1, an outcome of a linear
        regression likewise; and ``back`` [k, k] and ``shift`` [k], with which its coefficients θ
        are ``back @ θ + shift`` in the units of ``task``.
    """
    mean, width = task.covariates.mean(axis=0), task.covariates.std(axis=0)
    k = len(task.terms)
    back, shift, outcome = np.eye(k), np.zeros(k), task.outcome
    first = k - len(task.names)
    back[range(first, k), range(first, k)] = 1 / width
    back[0, first:] = -mean / width
    if outcome is not None and task.model == "linear":
        shift[0], unit = outcome.mean(), outcome.std()
        outcome, back = (outcome - shift[0]) / unit, back * unit
    covariates = (task.covariates - mean) / width
    return replace(task, covariates=covariates, outcome=outcome), back, shift


def agreement(task: Regression) -> pd.DataFrame:
    """How often the model says 1, by what people say, among rows that both have labelled.

    Returns:
        Columns ``human`` (0 and 1), ``rows`` and ``said_1``.
    """
    human, said = task.human[task.labelled], task.predicted[task.labelled]
    rows = [(k, int((human == k).sum()), float(said[human == k].mean())) for k in (0, 1)]
    return pd.DataFrame(rows, columns=["human", "rows", "said_1"])


Scores = Callable[
    [Float[np.ndarray, " k"]], tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "k k"]]
]


def _sides(task: Regression, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is regressed on [N, k], with its ones, and the outcome [N]."""
    among = [] if task.outcome is None else [labels[:, None]]
    rows = np.hstack([np.ones((len(labels), 1)), *among, task.covariates])
    return rows, labels if task.outcome is None else task.outcome


def _of_labels(task: Regression, labels: np.ndarray, weights: np.ndarray) -> Scores:
    """Scores of each row [N, k] times its weight, and the mean of their derivatives [k, k]."""
    rows, outcome = _sides(task, labels)

    def scores(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        linear = rows @ theta
        mean = special.expit(linear) if task.model == "logistic" else linear
        bend = mean * (1 - mean) if task.model == "logistic" else np.ones_like(mean)
        residual = weights * (outcome - mean)
        return residual[:, None] * rows, -(rows * (weights * bend)[:, None]).T @ rows / len(rows)

    return scores


def _naive(task: Regression) -> Scores:
    return _of_labels(task, task.predicted, np.ones(len(task.predicted)))


def _with_power(task: Regression, power: float) -> Scores:
    """The scores of both kinds of labels, in one row each."""
    weights = task.weights()
    own = _of_labels(task, np.where(task.labelled, task.human, 0.0), weights)
    said = _of_labels(task, task.predicted, power * (1 - weights))

    def scores(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        (first, slope), (second, more) = own(theta), said(theta)
        return first + second, slope + more

    return scores


def _scores(task: Regression, method: str, power: float) -> Scores:
    return _naive(task) if method == NAIVE else _with_power(task, power)


def _solution(
    task: Regression, method: str, power: float, start: Float[np.ndarray, " k"] | None = None
) -> Float[np.ndarray, " k"]:
    """Where the mean score of a method vanishes [k], sought from ``start``."""
    scores = _scores(task, method, power)

    def equations(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        each, slope = scores(theta)
        return each.mean(axis=0), slope

    found = _newton(equations, np.zeros(len(task.terms)) if start is None else start)
    if found is None:  # its steps are too long where labels nearly part
        found = optimize.root(equations, np.zeros(len(task.terms)), jac=True, tol=1e-12).x
    gradient, slope = equations(found)
    solved = np.all(np.abs(gradient) < 1e-6) and np.abs(found).max() < 1e6
    if not solved or not np.linalg.cond(slope) < _SINGULAR or _parted(task, method, found):
        raise ValueError(
            f"the equations of the method {method!r} have no solution here: labels that a line "
            "separates, covariates that say the same, or too few labels of people. Label more "
            "rows, or leave covariates out."
        )
    return np.asarray(found)


def _parted(task: Regression, method: str, theta: np.ndarray) -> bool:
    """Whether a logistic regression on labels of one kind fits all rows: larger θ fit better."""
    if task.model != "logistic" or method not in (HUMAN, NAIVE):
        return False
    used = task.labelled if method == HUMAN else np.full(len(task.human), True)
    rows, outcome = _sides(task, task.human if method == HUMAN else task.predicted)
    return bool(np.all((rows[used] @ theta > 0) * 1.0 == outcome[used]))


def _newton(
    equations: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], theta: np.ndarray
) -> np.ndarray | None:
    """Where Newton's steps from θ end [k]; None if they do not."""
    for _ in range(_MOST_STEPS):
        gradient, slope = equations(theta)
        try:
            step = np.linalg.solve(slope, gradient)
        except np.linalg.LinAlgError:
            return None
        theta = theta - step
        if not np.isfinite(theta).all():
            return None
        if np.abs(step).max() < _SHORT * (1 + np.abs(theta).max()):
            return theta
    return None


def _covariance(scores: Scores, theta: np.ndarray) -> Float[np.ndarray, "k k"]:
    each, slope = scores(theta)
    inverse = np.linalg.inv(slope)
    return np.asarray(inverse @ np.cov(each.T, ddof=0).reshape(slope.shape) @ inverse.T / len(each))


def regression_of(
    frame: pd.DataFrame,
    *,
    human: str,
    predicted: str,
    covariates: Sequence[str] = (),
    outcome: str | None = None,
    model: Model = "logistic",
    positive: str | None = None,
    probability: str | None = None,
) -> Regression:
    """A regression from the columns of a table.

    Args:
        frame: one row for each text.
        human: column of people's labels; empty where there is none.
        predicted: column of the model's labels, or of its probabilities.
        covariates: numeric columns.
        outcome: column of an outcome, where the label is a covariate.
        model: linear or logistic.
        positive: the label that counts as 1; labels that are 0 and 1 need none.
        probability: column of the probability that people label a row.

    Raises:
        ValueError: a column is not there, or holds what it must not; see :class:`Regression`.
    """
    from opal.scaling.table import check_columns, check_numbers

    named = [human, predicted, *covariates, *(c for c in (outcome, probability) if c)]
    check_columns(frame, named, remedy=" Name columns of the table, several apart by spaces.")
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"each column has one role; {twice!r} is named twice. Leave one out.")
    for name in named[2:]:
        check_numbers(frame, name)
    columns = [frame[name].to_numpy(float) for name in covariates]
    return Regression(
        *_labels(frame[human], frame[predicted], positive),
        np.column_stack(columns) if columns else np.empty((len(frame), 0)),
        tuple(covariates),
        None if outcome is None else frame[outcome].to_numpy(float),
        model,
        None if probability is None else frame[probability].to_numpy(float),
    )


def _labels(
    human: pd.Series, predicted: pd.Series, positive: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Labels of people and of the model as numbers [N] each."""
    if predicted.isna().any():
        raise ValueError(
            f"the model must label every row; {int(predicted.isna().sum())} of {len(predicted)} "
            f"have no {predicted.name!r} (an empty cell, or NA or None). Label or drop them, or "
            "write a class of that name otherwise."
        )
    if human.isna().all():
        raise ValueError(
            f"people must have labelled some rows; {human.name!r} is empty in all {len(human)}. "
            "Let them label rows that are drawn at random."
        )
    if positive is None:
        numbers = [pd.to_numeric(column, errors="coerce") for column in (human, predicted)]
        readable = all(
            (number.isna() == column.isna()).all()
            for number, column in zip(numbers, (human, predicted), strict=True)
        )
        given, said = (number.to_numpy(float) for number in numbers)
        within = readable and np.isin(given[~np.isnan(given)], (0, 1)).all()
        if not within or not ((said >= 0) & (said <= 1)).all():
            raise ValueError(
                f"labels are 0 and 1, and the model's may be probabilities; got {_some(human)} in "
                f"{human.name!r} and {_some(predicted)} in {predicted.name!r}. Say with positive "
                "(--positive) which label counts as 1."
            )
        return given, said
    spelled = [_spelled(column) for column in (human, predicted)]
    known = {*spelled[0][human.notna()]}
    if positive not in known:
        raise ValueError(
            f"positive must be one of the labels that people gave, {_some(human)}; got "
            f"{positive!r}. Spell it as they did."
        )
    unseen = sorted({*spelled[1]} - known)
    if unseen and len(known) > 1:
        raise ValueError(
            f"the model says {', '.join(map(repr, unseen[:5]))}, which no person does: people say "
            f"{_some(human)}. Spell labels alike, let people label rows of these, or write "
            "people's labels as 0 and 1 where the model gives probabilities."
        )
    given, said = ((column == positive).to_numpy(float) for column in spelled)
    return np.where(human.notna(), given, np.nan), said


def _spelled(column: pd.Series) -> pd.Series:
    """Labels as text: whole numbers without the point that empty cells beside them bring."""
    if not pd.api.types.is_float_dtype(column):
        return column.astype(str)
    return column.map(lambda value: f"{value:.0f}" if value % 1 == 0 else str(value))


def _some(column: pd.Series) -> str:
    values = sorted(_spelled(column.dropna()).unique())
    more = "" if len(values) <= 5 else f" and {len(values) - 5} more"
    return (", ".join(map(repr, values[:5])) or "nothing") + more
