"""Claims of the study generator_capacity: plateaus, where the law sees them, and Bayes below."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from opal.checks import Check, at_least, at_most
from opal.scaling.fitted import Fit
from simulations.generator_capacity import BAYES, TRANSFORMER

FACTOR = 1.5  # within which a held-out regret is predicted
FLAT = -0.25  # slope of log KL in log n on a plateau; that of Bayes is near −1


def of_plateaus(slopes: pd.DataFrame) -> Iterator[Check]:
    """The shortest trainings gain nothing from more seeds; Bayes does."""
    shortest = slopes[slopes["tokens"] == slopes["tokens"].min()]
    yield at_least(
        "too few tokens give a plateau",
        float(shortest[TRANSFORMER].max()),
        FLAT,
        f"slope of log KL in log n at the most seeds, smallest model after "
        f"{shortest['tokens'].min():,} tokens; that of Bayes is {slopes[BAYES].max():.2f}",
    )
    yield at_most(
        "Bayes has none",
        float(slopes[BAYES].max()),
        2 * FLAT,
        "the same slope of the posterior predictive law",
    )


def of_law(table: pd.DataFrame, law: Fit, between: float) -> Iterator[Check]:
    """The law predicts the longest trainings; what was last seen does not."""
    held = table[table["held_out"]]
    yield at_most(
        "the law predicts held-out regret",
        _farthest(held["ratio"]),
        FACTOR,
        f"largest factor between predicted and measured at {len(held)} held-out trainings; "
        f"{int(held['regret'].between(held['low'], held['high']).sum())} lie within the 95 % "
        f"interval of the curve; {_formula(law)}; trainings differ by {between:.0%}",
    )
    yield at_least(
        "regret is not what it was",
        _farthest(held["last_seen"] / held["regret"]),
        FACTOR,
        "largest factor between the longest training that the law has seen and those held "
        "out, which must fail",
    )


def of_bayes(records: pd.DataFrame) -> Iterator[Check]:
    """Nothing beats Bayes, which is found everywhere."""
    regret = records[records["metric"] == "regret"]
    yield at_least(
        "Bayes is not beaten",
        float((regret["value"] / regret["std_error"]).min()),
        -4.0,
        f"least paired z of {len(regret)} regrets",
    )
    yield at_least(
        "every posterior is found",
        float(records["found"].min()),
        1.0,
        "least share of subjects and n",
    )


def _farthest(ratio: pd.Series) -> float:
    return float(np.exp(np.abs(np.log(ratio)).max()))


def _formula(law: Fit) -> str:
    given = {name: f"{found.estimate:.3g}" for name, found in law.params.items()}
    return f"{law.law.equation} with {', '.join(f'{k} = {v}' for k, v in given.items())}"
