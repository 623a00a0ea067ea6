"""A regression that labels of a classifier enter, and what it must hold before it is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

Model = Literal["logistic", "linear"]
LABEL = "label"  # term of the label among the covariates
_LEAST_ROWS = 5  # human labels for each coefficient, and for each of two values of a column
_LEAST_SPREAD = 3  # as many labelled rows at least have the spread of a covariate among them
_LEAST, _MOST = 1e-100, 1e100  # spread and size of a number, whose square can be told
_SAME = 1e-12  # spread relative to size, below which a column has one value


@dataclass(frozen=True)
class Regression:
    """What is regressed on what.

    Attributes:
        human: human labels [N], 0 or 1; not a number where there is none.
        predicted: labels of the classifier [N], or its probabilities of a one.
        covariates: [N, k], without an intercept and without the label.
        names: of the covariates [k].
        outcome: [N] where the label is a covariate; None where it is the outcome.
        model: the regression, linear or logistic.
        probability: that people label a row [N]; None where all rows were as likely.

    Raises:
        ValueError: no rows without a human label, too few with one or nearly all of them alike, an
            outcome or covariate that is constant or in which a few labelled rows alone differ, a
            covariate that is named as another coefficient, or a number out of its range.
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
                f"a classifier's labels are of use where people gave none; all {n} rows have a "
                "human label. Regress on these alone, or add rows without one."
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
                f"human labels must have two values; all {labelled} are {given[0]:g}. Label "
                "more rows, or draw those that people label with a known probability each "
                "(--probability)."
            )
        _check_both_values(given, "the human labels")
        if np.ptp(self.predicted) == 0:
            raise ValueError(
                "the classifier's labels must have two values; all are "
                f"{self.predicted[0]:g}. Such a classifier knows nothing: regress on the "
                "human labels alone."
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
            weights = self.weights()
            effective = weights.sum() ** 2 / (weights**2).sum()  # Kish
            if effective < _LEAST_ROWS * terms:
                raise ValueError(
                    f"{terms} coefficients need at least {_LEAST_ROWS * terms} rows with a human "
                    f"label; with probabilities of {chosen.min():g} to {chosen.max():g} these "
                    f"{labelled} are worth {effective:.1f}. Label more that were unlikely, or "
                    "correct the probabilities."
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
                f"human labels are 0 and 1, and not a number where there is none; got {wrong:g}."
                " Repair it, or leave it empty."
            )
        outside = ~((self.predicted >= 0) & (self.predicted <= 1))
        if outside.any():
            raise ValueError(
                "the classifier's labels are 0 and 1, or probabilities; got "
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
            _check_both_values(own, f"the covariate {name!r}", ", or leave the column out")
            _check_spread(own, f"the covariate {name!r}")
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
                f"{self.outcome.min():g} to {self.outcome.max():g}. Choose the "
                "linear model (--model linear)."
            )
        _check_both_values(self.outcome[self.labelled], "the outcome")

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


def _check_both_values(labelled: np.ndarray, what: str, instead: str = "") -> None:
    """Refuse a column of two values of which one is in too few labelled rows.

    Their own spread is then hardly known, and intervals miss: that of one row is taken for zero.
    """
    values, counts = np.unique(labelled, return_counts=True)
    if len(values) == 2 and counts.min() < _LEAST_ROWS:
        raise ValueError(
            f"each value of {what} must be in at least {_LEAST_ROWS} rows with a human label; "
            f"{values[counts.argmin()]:g} is in {counts.min()} of {len(labelled)}. Let people "
            f"label more of these, each row with a known probability (--probability){instead}."
        )


def _check_spread(labelled: np.ndarray, what: str) -> None:
    """Refuse a covariate whose spread is nearly all in one or two of the labelled rows."""
    away = labelled - labelled.mean()
    share = (away / np.abs(away).max()) ** 2
    if share.sum() ** 2 < _LEAST_SPREAD * (share**2).sum():
        raise ValueError(
            f"{what} must vary among several rows with a human label; of {len(labelled)} one or "
            f"two hold nearly all of its spread, the farthest with {labelled[share.argmax()]:g}. "
            "Repair it, take its logarithm, or leave it out."
        )
