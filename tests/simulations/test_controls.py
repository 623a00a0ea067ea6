"""Negative controls pass for what is wrong, and fail where the truth stands in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal.checks import Check
from paper_figures import alpha, imbalance, spurious
from simulations import generator_copies

EXCESS, WORST = "excess_balanced_risk", "worst_error"
ERROR = 0.02
Curves = Mapping[str, Callable[[np.ndarray], np.ndarray]]


def curves(name: str, x: str, places: list[float], theory: Curves) -> pd.DataFrame:
    """Simulation and theory of several series: the first is right for each, up to noise."""
    rng, rows = np.random.default_rng(0), []
    for label, law in theory.items():
        for place, value in zip(places, law(np.array(places)), strict=True):
            common = {name: label, x: place, "group": "all", "std_error": ERROR, "n_max": 1000}
            noisy = value + ERROR * rng.normal()
            rows.append({**common, "source": "simulation", "value": noisy})
            rows.append({**common, "source": "theory", "value": value})
    return pd.DataFrame(rows)


def of_alpha(right: Curves) -> list[Check]:
    table = curves("shift", "alpha", [0.0, 0.25, 0.5, 0.75, 1.0], right)
    table = table.assign(shift=table["shift"].astype(float), metric=EXCESS)
    best = table["alpha"].eq(0.0) & (table["source"] == "simulation")
    return alpha.checks(table.assign(is_optimum=best))


def of_imbalance(right: Curves) -> list[Check]:
    return imbalance.checks(curves("arm", "n_min", [125, 250, 500], right).assign(metric=EXCESS))


def of_spurious(right: Curves) -> list[Check]:
    table = curves("arm", "strength", [0.6, 0.75, 0.9], right).assign(n_min=150)
    return spurious.checks(pd.concat([table.assign(metric=m) for m in (EXCESS, WORST)]))


def flat(level: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: level + 0 * x


@pytest.mark.parametrize(
    ("checks", "names", "claim"),
    [
        (of_alpha, ("0.0", "0.4"), "bias is not ignored"),
        (of_imbalance, ("oracle", "duplication"), "duplicates are not new draws"),
        (of_spurious, ("weighting", "raw"), "plain risk is not weighting"),
    ],
)
def test_a_control_fails_if_the_truth_stands_in_its_place(
    checks: Callable[[Curves], list[Check]], names: tuple[str, str], claim: str
) -> None:
    wrong, own = names
    for gap, passes in ((1.0, True), (0.0, False)):
        found = {c.name: c for c in checks({wrong: flat(1.0), own: flat(1.0 + gap)})}
        assert found[claim].passed is passes, found[claim].detail
        assert found[claim].detail.startswith("nothing was compared" if not passes else "")


def copies(z: Mapping[str, list[float]]) -> dict[str, Check]:
    """Checks of planted records: z-scores after 1, 4, 16 and 64 seeds, by arm and metric."""
    rows: list[dict[str, Any]] = []
    for where, scores in z.items():
        arm, metric = where.split(": ")
        for n, score in zip((1, 4, 16, 64), scores, strict=True):
            common = {"arm": arm, "metric": metric, "n_real": n, "temperature": 1.0}
            rows.append({**common, "value": 1e-3 * score, "std_error": 1e-3})
    return {check.name: check for check in generator_copies.checks(pd.DataFrame(rows))}


def test_one_number_of_seeds_does_not_tell_counts_from_the_truth() -> None:
    own = "add-½ counts: copy minus truth"
    assert copies({own: [-30.0, -40.0, -50.0, -13.0]})["counts do not"].passed
    lucky = copies({own: [0.3, -1.0, 20.0, 0.5]})["counts do not"]
    assert not lucky.passed
    assert lucky.detail.startswith("1 of 4 comparisons refuse it")


def test_what_is_not_in_the_records_is_not_passed() -> None:
    found = copies({"add-½ counts: copy minus truth": [-30.0, -40.0, -50.0, -13.0]})
    others = [check for name, check in found.items() if name != "counts do not"]
    assert len(others) >= 7
    assert not [check.name for check in others if check.passed]
    assert all(check.detail.startswith("nothing was compared") for check in others)
