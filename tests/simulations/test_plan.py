"""The planner's study: weights of rows, and checks that a bad planner fails."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from opal.objective import Design
from opal.settings import GaussianMixture
from opal.settings.groups import Sample
from opal.synthesis import Oracle
from simulations import plan
from simulations._pilot import Rows

COUNTS = (12, 5)
BASE = Design(
    COUNTS,
    Oracle(GaussianMixture([[-1.0], [1.0]]).law),
    oversample="none",
    weighting="group",
)


def rows() -> Rows:
    samples = [
        Sample(jnp.zeros((sum(counts), 1)), jnp.zeros(sum(counts), int), counts)
        for counts in (COUNTS, (20, 20))
    ]
    return Rows(*samples)


DESIGNS = {
    "none": BASE,
    "part": BASE.with_(counts=(6, 3), n_augmented=4, alpha=0.3),
    "synthetic": BASE.with_(n_augmented=20, alpha=1.0),
    "balance": BASE.with_(weighting="opal", oversample="balance"),
}


@pytest.mark.parametrize("name", DESIGNS)
def test_weights_are_those_of_the_objective(name: str) -> None:
    design = DESIGNS[name]
    weights = rows().weights(design, rows().shuffled(np.random.default_rng(0)))
    assert weights.shape == (sum(COUNTS) + 40,)
    assert weights.sum() == pytest.approx(1.0)
    real, made = np.split(weights > 0, [sum(COUNTS)])
    used = design.counts if design.alpha < 1 else (0, 0)
    assert (real[:12].sum(), real[12:].sum()) == used
    added = [m + design.n_augmented for m in design.n_oversampled]
    assert [made[:20].sum(), made[20:].sum()] == added


def test_fewer_rows_are_among_more() -> None:
    ranks = rows().shuffled(np.random.default_rng(1))
    few, many = (rows().weights(BASE.with_(n_augmented=N, alpha=0.5), ranks) > 0 for N in (5, 11))
    assert (few <= many).all()
    assert few.sum() < many.sum()


def records(ratio: float, *, buys_harm: bool) -> pd.DataFrame:
    """Ten settings that help and ten that hurt, with a planner at ``ratio`` of the best."""
    found: list[dict[str, Any]] = []
    for index in range(20):
        hurts = index >= 10
        best = 1.0 if hurts else 0.5
        value = {"none": 1.0, "best": best, "purchase": 0.9, "balance": 2.0, "validated size": 1.0}
        value |= dict.fromkeys(plan.PLANNERS, best * ratio)
        for arm, excess in value.items():
            found.append(
                {
                    "arm": arm,
                    "value": excess,
                    "source": "simulation",
                    "alpha": 0.5,
                    "family": 0,
                    "dial": "shift",
                    "size": float(index),
                    "buys": buys_harm if hurts else True,
                }
            )
    return pd.DataFrame(found)


def test_a_good_planner_passes_and_a_bad_one_fails() -> None:
    good = {check.name: check.passed for check in plan.checks(records(1.05, buys_harm=False))}
    assert good == {
        "plan is near the best": True,
        "buy none where buying hurts": True,
        "buy none where buying helps": True,
    }
    bad = {check.name: check.passed for check in plan.checks(records(1.2, buys_harm=True))}
    assert not bad["plan is near the best"]
    assert not bad["buy none where buying hurts"]
    helpful = records(1.05, buys_harm=False).query("size < 10")
    (none,) = [c for c in plan.checks(helpful) if c.name == "buy none where buying hurts"]
    assert not none.passed
    assert none.detail.startswith("nothing was compared")
    silent = records(1.05, buys_harm=False).assign(buys=False)
    verdicts = {check.name: check.passed for check in plan.checks(silent)}
    assert not verdicts["buy none where buying helps"]


def test_there_are_settings_enough_and_pilots_are_cheap() -> None:
    full = plan.PRESETS["full"]
    assert len(plan.cells(full)) >= 60
    assert full.pilot_share <= 0.1
    assert len({cell.key() for cell in plan.cells(full)}) == len(plan.cells(full))
