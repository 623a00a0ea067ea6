"""Bias and coverage of regressions on a classifier's labels, and of their corrections.

Texts are rows with two covariates; a classifier labels all of them with known error rates, and
people label a few, drawn at random. The label is the outcome of a logistic regression, or a
covariate of a linear one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opal.checks import (
    Check,
    at_least,
    at_most,
    refuted,
    short_of,
    within_standard_errors,
    z_threshold,
)
from opal.cli import run_study
from opal.runner import Cell

from . import _config

if TYPE_CHECKING:
    import pandas as pd

    from opal.bridge.downstream import Regression

ROLES = ("outcome", "covariate")
"""What the label is in a regression."""
TRUTH = {"outcome": (-1.0, 0.8, 0.5), "covariate": (0.3, 0.7, -0.4, 0.5)}
"""Coefficients: intercept, where the label is a covariate that of the label, both covariates."""
NOISE = 1.0  # standard deviation of a linear outcome
ON = ("role", "errors", "n_real", "arm", "term")
COVERED = (0.93, 0.97)
"""Where coverage of corrected intervals should lie."""


@dataclass(frozen=True)
class Config:
    """Rows, human labels, and error rates of the classifier."""

    n_rows: int = 2000
    """Rows of a corpus, all of which the classifier labels."""
    n_human: tuple[int, ...] = (50, 75, 100, 200)
    """Rows that people label."""
    false_positives: tuple[float, ...] = (0.02, 0.05, 0.1)
    """Share of negatives that the classifier calls positive, one cell each; twice as many positives
    are called negative."""
    n_replicates: int = 2000
    """Corpora of each cell."""
    seed: int = 18
    """Seed of all cells."""


PRESETS = {
    "tiny": Config(n_rows=300, n_human=(60,), false_positives=(0.1,), n_replicates=10),
    "quick": Config(n_rows=1000, n_human=(50, 100, 200), n_replicates=500),
    "full": Config(),
}


@dataclass(frozen=True)
class Corpora:
    """Corpora of one kind."""

    config: Config
    role: str
    false_positives: float
    n_human: int

    @property
    def errors(self) -> tuple[float, float]:
        """Error rates of negatives and of positives."""
        return self.false_positives, 2 * self.false_positives


def cells(config: Config) -> list[Cell]:
    """A cell for each role of the label, each classifier, and each number of human labels."""
    from opal.settings.groups import validate_number

    _config.require_counts(config, n_replicates=2, n_human=20, n_rows=21)
    if max(config.n_human) >= config.n_rows:
        raise ValueError(
            "n_human must be below n_rows, as some rows have no human label; got "
            f"{max(config.n_human)} of {config.n_rows}. Lower n_human or raise n_rows."
        )
    for rate in config.false_positives:
        validate_number(rate, "false_positives are shares in (0, 0.4]", least=1e-3, most=0.4)
    return [
        Cell(measure, Corpora(config, role, rate, n), f"{role}, errors {rate:g}, {n} labels")
        for role in ROLES
        for rate in config.false_positives
        for n in config.n_human
    ]


def draw(at: Corpora, rng: np.random.Generator) -> Regression:
    """One corpus."""
    from scipy.special import expit

    from opal.bridge.downstream import Regression

    n, (negative, positive) = at.config.n_rows, at.errors
    x = np.column_stack([rng.integers(0, 2, n), rng.normal(size=n)])
    theta = np.array(TRUTH["outcome"])
    label = (rng.uniform(size=n) < expit(theta[0] + x @ theta[1:])).astype(float)
    wrong = rng.uniform(size=n) < np.where(label == 1, positive, negative)
    said = np.where(wrong, 1 - label, label)
    human = np.full(n, np.nan)
    chosen = rng.permutation(n)[: at.n_human]
    human[chosen] = label[chosen]
    names = ("binary", "normal")
    if at.role == "outcome":
        return Regression(human, said, x, names)
    beta = np.array(TRUTH["covariate"])
    outcome = np.column_stack([np.ones(n), label, x]) @ beta + NOISE * rng.normal(size=n)
    return Regression(human, said, x, names, outcome, "linear")


def measure(at: Corpora) -> pd.DataFrame:
    """Coverage, width and mean of each method's coefficients, and the naive ones of theory."""
    import pandas as pd

    from opal import records
    from opal.bridge.downstream import NAIVE, infer

    config, truth = at.config, TRUTH[at.role]
    # The same corpora for every number of labels and every classifier.
    found, lost = [], 0
    for child in np.random.SeedSequence([config.seed, ROLES.index(at.role)]).spawn(
        config.n_replicates
    ):
        try:
            found.append(infer(draw(at, np.random.default_rng(child))))
        except ValueError:  # the few labels are all alike, or separable
            lost += 1
    rows: list[dict[str, object]] = []
    if len(found) > 1:
        table = pd.concat(found, keys=range(len(found)))
        terms = dict(zip(found[0]["term"].unique(), truth, strict=True))
        exact = table["term"].map(terms)
        table = table.assign(
            covered=(table["lower"] <= exact) & (exact <= table["upper"]),
            width=table["upper"] - table["lower"],
        )
        means = {"coverage": "covered", "width": "width", "estimate": "estimate", "power": "power"}
        for (method, term), part in table.groupby(["method", "term"], sort=False):
            for metric, column in means.items():
                values = part[column].to_numpy(float)
                error = values.std(ddof=1) / np.sqrt(len(values))
                numbers = {"value": values.mean(), "std_error": error, "source": "simulation"}
                rows.append({"arm": method, "term": term, "metric": metric, **numbers})
        for term, value in zip(terms, naive_target(at), strict=True):
            numbers = {"value": value, "std_error": 0.0, "source": "theory"}
            rows.append({"arm": NAIVE, "term": term, "metric": "estimate", **numbers})
    share = {"value": lost / config.n_replicates, "std_error": np.nan, "source": "simulation"}
    rows.append({"arm": "all", "term": "all", "metric": "without_solution", **share})
    frame = pd.DataFrame(rows).assign(study="downstream", setting="two covariates", role=at.role)
    counts = dict.fromkeys(("n_real", "n_min", "n_max"), at.n_human)
    kept = {"errors": at.false_positives, "n_replicates": len(found)}
    return records.validate(frame.assign(**counts, **kept))


def naive_target(at: Corpora) -> np.ndarray:
    """Where the coefficients of a regression on the classifier's labels end up."""
    from scipy.special import expit

    from opal.settings.quadrature import gaussian_nodes
    from opal.theory.misclassification import naive_coefficients

    nodes, weights = gaussian_nodes(1)
    normal = nodes[:, 0]
    rows = np.vstack([np.column_stack([normal**0, 0 * normal + z, normal]) for z in (0, 1)])
    mass = np.concatenate([weights, weights]) / 2
    p = expit(rows @ np.array(TRUTH["outcome"]))
    beta = np.array(TRUTH["covariate"]) if at.role == "covariate" else None
    return naive_coefficients(rows, mass, p, at.errors, beta)


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """Coverage, width and mean by method and coefficient, and what theory says of the naive one.

    ``std_error`` is that of the mean of the estimates.
    """
    rows = records[records["term"] != "all"]
    table = rows.pivot_table(
        index=list(ON), columns=["source", "metric"], values=["value", "std_error"], sort=False
    )
    simulated = table["value"]["simulation"][["coverage", "width", "estimate", "power"]]
    predicted = table["value"]["theory"]["estimate"]
    error = table["std_error"]["simulation"]["estimate"]
    return simulated.assign(std_error=error, predicted=predicted).reset_index()


def checks(records: pd.DataFrame) -> list[Check]:
    """Naive bias as predicted, naive intervals that miss, corrected ones that cover and pay."""
    from opal.bridge.downstream import DESIGN, HUMAN, NAIVE, POWERED

    z, apart = _naive_bias(records)
    rows = records[(records["metric"] == "coverage") & (records["source"] == "simulation")]
    corrected = rows[rows["arm"].isin([HUMAN, POWERED, DESIGN])]
    share, allowed = corrected["value"], z_threshold(max(2 * len(corrected), 1))
    below, above = (short_of(share, corrected["n_replicates"], limit) for limit in COVERED)
    low, high = COVERED
    of_label = rows[(rows["arm"] == NAIVE) & (rows["term"] != "intercept")]
    table = comparison(records)
    widths = table.pivot_table(
        index=["role", "errors", "n_real", "term"], columns="arm", values="width"
    )
    return [
        within_standard_errors("naive coefficients are predicted", z),
        refuted("naive coefficients are biased", apart, apart, "against the true coefficients"),
        at_most(
            f"corrected coverage, standard errors below {low:.0%}",
            below,
            allowed,
            f"{share.min():.3f} to {share.max():.3f}",
        ),
        at_most(
            f"corrected coverage, standard errors above {high:.0%}",
            -above,
            allowed,
            f"{len(share)} coefficients",
        ),
        at_most(
            "naive coverage of some coefficient",
            of_label["value"].min(),
            0.5,
            "least coverage of a slope by the naive intervals, which must fail",
        ),
        at_least(
            "labels of a model pay",
            (1 - widths[POWERED] / widths[HUMAN]).median(),
            0.1,
            "median share of the width that they take off intervals of human labels alone",
        ),
    ]


def _naive_bias(records: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Mean naive coefficients against theory and against the truth, in standard errors.

    Naive regressions do not see human labels: those of any number of them are the same, and count
    once.
    """
    from opal.bridge.downstream import NAIVE

    rows = records[(records["metric"] == "estimate") & (records["arm"] == NAIVE)]
    on = [name for name in ON if name not in ("arm", "n_real")]
    most = rows.sort_values("n_replicates", kind="stable")  # draws without a solution are lost
    rows = most.drop_duplicates([*on, "source"], keep="last")
    both = rows[rows["source"] == "simulation"].merge(
        rows[rows["source"] == "theory"], on=on, suffixes=("", "_theory")
    )
    names = zip(both["role"], both["term"], strict=True)
    true = [true_coefficient(role, term) for role, term in names]
    z = (both["value"] - both["value_theory"]) / both["std_error"]
    return z, (both["value"] - np.array(true)) / both["std_error"]


def true_coefficient(role: str, term: str) -> float:
    """What a coefficient is where nothing is labelled wrongly."""
    terms = ["intercept", *(["label"] if role == "covariate" else []), "binary", "normal"]
    return TRUTH[role][terms.index(term)]


if __name__ == "__main__":
    run_study("downstream")
